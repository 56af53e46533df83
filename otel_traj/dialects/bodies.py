"""Facts in a provider's own request and response JSON.

Instrumentors that keep the raw bodies keep what their attributes drop: the whole history, empty
arguments, the requested model of a call that failed, the response id, reasoning. Bodies of OpenAI
(chat, Responses), Anthropic, Gemini and LangChain's dumps are told apart by their keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_traj.dialects.convert import count
from otel_traj.dialects.facts import Facts
from otel_traj.dialects.messages import decode, loads, system_text
from otel_traj.dialects.reprs import from_repr


def read_request(value: Any) -> Facts:
    """Facts of a request body; none when it is not recognised as one."""
    body = loads(value)
    facts = Facts()
    if isinstance(body, list) and body and all(_is_message(item) for item in body):
        facts.input = decode(body) or None
    if not isinstance(body, Mapping):
        return facts
    inner = next(
        (loads(body[key]) for key in ("messages", "input", "contents", "prompt") if body.get(key)),
        None,
    )
    if inner is not None:
        facts.input = decode(inner) or None
    facts.model = _text(body.get("model") or body.get("model_name"))
    system = body.get("instructions") or body.get("system") or body.get("systemInstruction")
    facts.system = system_text(system)
    facts.tool_definitions = body.get("tools") or None
    facts.previous_response_id = _text(body.get("previous_response_id"))
    stream = body.get("stream")
    facts.stream = stream if isinstance(stream, bool) else None
    _read_params(facts, body)
    return facts


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and "role" in value


_CONFIGS: Final = ("generationConfig", "generation_config", "config", "inferenceConfig")
"""Objects in which Gemini's and Bedrock's requests keep what others say at the top."""

_NUMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "temperature": ("temperature",),
    "top_p": ("top_p", "topP"),
    "max_tokens": (
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "maxOutputTokens",
        "maxTokens",
    ),
    "seed": ("seed",),
}
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "stop": ("stop", "stop_sequences", "stopSequences"),
    "response_format": ("response_format", "output_format"),
    "tool_choice": ("tool_choice", "toolChoice", "toolConfig", "tool_config"),
}


def _read_params(facts: Facts, body: Mapping[str, Any]) -> None:
    """What steers the answer."""
    inner = next((body[key] for key in _CONFIGS if isinstance(body.get(key), Mapping)), None)
    body = {**(inner or {}), **body}
    for fact, keys in _NUMBERS.items():
        setattr(facts, fact, next((n for key in keys if _is_number(n := body.get(key))), None))
    for fact, keys in _CHOICES.items():
        setattr(facts, fact, next((body[key] for key in keys if body.get(key)), None))
    facts.reasoning_effort = _text(_in(body, "reasoning", "effort")) or _text(
        body.get("reasoning_effort")
    )
    schema = body.get("responseJsonSchema") or body.get("responseSchema")
    facts.response_format = (
        facts.response_format
        or _in(body, "text", "format")
        or _in(body, "output_config", "format")
        or ({"schema": schema} if schema else None)
    )


def _in(body: Mapping[str, Any], outer: str, inner: str) -> Any:
    holder = body.get(outer)
    return holder.get(inner) if isinstance(holder, Mapping) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_response(value: Any) -> Facts:
    """Facts of a response body; none when it is not recognised as one."""
    body = loads(value)
    facts = Facts()
    if not isinstance(body, Mapping):
        return facts
    if "generations" in body:
        return _read_generations(body)
    if isinstance(body.get("response"), Mapping):
        body = body["response"]
    has_message = isinstance(body.get("message"), Mapping)
    if not has_message and not body.keys() & {"choices", "output", "content", "candidates", "text"}:
        return facts
    printed = from_repr(body.get("raw"))  # a client's own object beside what was made of it
    if isinstance(printed, Mapping):
        body = {**printed, **{key: value for key, value in body.items() if value is not None}}
    said = body.get("output") if isinstance(body.get("output"), Sequence) else body
    facts.output = decode(said, "assistant") or None
    if said is not body:  # the Responses API repeats what it was asked with
        facts.tool_definitions = body.get("tools") or None
        facts.system = _text(body.get("instructions"))
    facts.response_id = _text(body.get("id") or body.get("responseId") or body.get("response_id"))
    facts.response_model = _text(
        body.get("model") or body.get("modelVersion") or body.get("model_version")
    )
    facts.finish_reason = _text(body.get("stop_reason")) or _finish(facts)
    _read_usage(facts, body.get("usage") or body.get("usageMetadata") or body.get("usage_metadata"))
    return facts


def _read_generations(body: Mapping[str, Any]) -> Facts:
    """LangChain's `LLMResult`: what the provider said lies in the message's metadata."""
    facts = Facts()
    facts.output = decode(body["generations"], "assistant") or None
    metadata = _metadata(body["generations"])
    overall = body.get("llm_output") if isinstance(body.get("llm_output"), Mapping) else {}
    facts.response_id = _text(metadata.get("id") or (overall or {}).get("id"))
    facts.response_model = _text(
        metadata.get("model_name")
        or metadata.get("model")
        or (overall or {}).get("model_name")
        or (overall or {}).get("model")
    )
    facts.finish_reason = _text(metadata.get("finish_reason") or metadata.get("stop_reason"))
    _read_usage(facts, metadata.get("token_usage") or metadata.get("usage"))
    return facts


def _metadata(generations: Any) -> Mapping[str, Any]:
    item = generations
    while isinstance(item, Sequence) and not isinstance(item, str) and item:
        item = item[0]
    message = item.get("message") if isinstance(item, Mapping) else None
    if not isinstance(message, Mapping):
        return {}
    for wrapper in ("kwargs", "data"):
        if isinstance(message.get(wrapper), Mapping):
            message = message[wrapper]
    found = message.get("response_metadata")
    return found if isinstance(found, Mapping) else {}


def _finish(facts: Facts) -> str | None:
    return next((m.finish_reason for m in facts.output or () if m.finish_reason), None)


def _read_usage(facts: Facts, usage: Any) -> None:
    if not isinstance(usage, Mapping):
        return
    facts.input_tokens = _count(
        usage,
        "prompt_tokens",
        "input_tokens",
        "promptTokenCount",
        "prompt_token_count",
        "inputTokens",
        "promptTokens",
    )
    facts.output_tokens = _count(
        usage,
        "completion_tokens",
        "output_tokens",
        "candidatesTokenCount",
        "candidates_token_count",
        "outputTokens",
        "completionTokens",
    )
    read, written = (
        _count(usage, "cache_read_input_tokens"),
        _count(usage, "cache_creation_input_tokens"),
    )
    if facts.input_tokens is not None and (read is not None or written is not None):
        # Anthropic counts cached input apart; everywhere else it is part of the input.
        facts.input_tokens += (read or 0) + (written or 0)
    details_in = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    details_out = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    facts.cache_read_tokens = read if read is not None else _count(details_in, "cached_tokens")
    facts.cache_write_tokens = written
    facts.reasoning_tokens = _count(details_out, "reasoning_tokens")


def _count(usage: Any, *keys: str) -> int | None:
    if not isinstance(usage, Mapping):
        return None
    return next((n for key in keys if (n := count(usage.get(key))) is not None), None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
