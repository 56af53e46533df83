"""A dialect that nobody listed: facts from fragments of keys that everybody writes alike.

A key is read as words (`ai.toolCall.args`, `tool_call_args` and `tool.call.args` end in the same
words); what stands at its end says what it holds. Kinds are believed only where other facts support
them, so that a web server's `POST /chat` is no model call. Nothing here knows a library's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from otel_traj import semconv
from otel_traj.dialects.bodies import read_request, read_response
from otel_traj.dialects.convert import (
    CONVERTERS,
    arguments,
    content,
    flag,
    structured,
    text,
)
from otel_traj.dialects.events import read_events
from otel_traj.dialects.facts import Facts, Kind
from otel_traj.dialects.messages import Messages, decode, from_pieces, loads, unflatten
from otel_traj.model import SpanRecord

Words = tuple[str, ...]

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_KIND_KEYS: Final[tuple[Words, ...]] = (
    ("span", "kind"),
    ("span", "type"),
    ("run", "type"),
    ("observation", "type"),
    ("step", "type"),
)
_WEAK_KIND_KEYS: Final[tuple[Words, ...]] = (("subtype",), ("node", "type"), ("kind",), ("type",))
"""Keys that mostly tell something else: believed only where other facts support them."""

_OPERATION_KEYS: Final[tuple[Words, ...]] = (("operation", "name"), ("operation", "id"))
_KIND_WORDS: Final[Mapping[Kind, frozenset[str]]] = {
    "tool": frozenset({"tool", "function"}),
    "handoff": frozenset({"handoff", "transfer"}),
    "embedding": frozenset({"embedding", "embeddings", "embed"}),
    "retrieval": frozenset({"retriever", "retrieval", "retrieve"}),
    "evaluation": frozenset({"evaluator", "evaluation", "experiment"}),
    "llm": frozenset({"llm", "chat", "completion", "generation", "generate", "inference", "model"}),
    "agent": frozenset({"agent"}),
}
"""Most telling first: a "tool call of an agent" is a tool."""

_CHAIN_WORDS: Final = frozenset({"chain", "workflow", "flow", "graph", "pipeline"})

_NO_COUNT: Final = frozenset(
    {"max", "total", "audio", "image", "text", "details", "limit", "per", "cost", "price"}
)
_USAGE: Final[tuple[Words, ...]] = (("usage",), ("usage", "details"), ("usage", "metadata"))
_INPUTS: Final[tuple[Words, ...]] = (
    ("input", "messages"),
    ("prompt", "messages"),
    ("input", "value"),
    ("raw", "input"),
    ("inputs",),
    ("input",),
    ("prompt",),
    ("messages",),
    ("request",),
    ("task",),
)
_OUTPUTS: Final[tuple[Words, ...]] = (
    ("output", "messages"),
    ("response", "messages"),
    ("output", "value"),
    ("outputs",),
    ("output",),
    ("completion",),
    ("result",),
    ("response",),
    ("final", "result"),
)
_CALL_DATA: Final = (*_INPUTS, ("usage",), ("response", "id"))
"""Keys that a model call has, though it failed."""


@lru_cache(maxsize=4096)
def words_of(key: str) -> Words:
    """The words of a key or name, lower case, numbers apart."""
    return tuple(word.lower() for word in _WORD.findall(key))


class _Keys:
    """Keys as words, to be found by the words in which they end; in the order of the keys."""

    __slots__ = ("_by_last", "_found", "words")

    def __init__(self, words: Mapping[str, Words]) -> None:
        self.words = words
        self._by_last: dict[str, list[str]] = {}
        for key, own in words.items():
            for last in own[-1:]:
                self._by_last.setdefault(last, []).append(key)
        self._found: dict[Words, list[str]] = {}

    def ending(self, ends: Words) -> Sequence[str]:
        """The keys that end in these words."""
        found = self._found.get(ends)
        if found is None:
            same = self._by_last.get(ends[-1], ())
            found = [key for key in same if self.words[key][-len(ends) :] == ends]
            self._found[ends] = found
        return found

    def any_ending(self, wanted: Iterable[Words]) -> bool:
        """Whether any key ends in any of these."""
        return any(map(self.ending, wanted))


_MAX_KEYS: Final = 256
"""Of a set of keys that is remembered: those of flattened lists have no end."""


@lru_cache(maxsize=1024)
def _known_keys(keys: tuple[str, ...]) -> _Keys:
    return _Keys({key: words_of(key) for key in keys})


def _keys_of(attributes: Mapping[str, Any]) -> _Keys:
    make = _known_keys if len(attributes) <= _MAX_KEYS else _known_keys.__wrapped__
    return make(tuple(attributes))


def read_unlisted(span: SpanRecord, attributes: Mapping[str, Any], kind: Kind | None) -> Facts:
    """Facts by fragments of keys.

    Args:
        span: For its name, status and events.
        attributes: The span's, with those of its log records.
        kind: What a listed table says that the span is; None where none does.

    Returns:
        Facts with their own kind, `wrapper` where nothing supports another.
    """
    keys = _keys_of(attributes)
    facts = _counts_and_names(attributes, keys)
    facts.kind = kind or _kind_of(span, attributes, keys, facts)
    exchange = _exchange(attributes) if kind is None and facts.kind == "wrapper" else None
    if exchange is not None:
        facts.fill(exchange)
        facts.kind = "llm"
    if facts.kind == "wrapper":
        # Whatever else its keys are called, it is not about a model, a tool or an agent.
        facts = Facts(
            agent_name=facts.agent_name,
            conversation_id=facts.conversation_id,
            session_id=facts.session_id,
            user_id=facts.user_id,
            workflow_name=facts.workflow_name or _chain_named(span, attributes, keys),
        )
    elif facts.kind == "llm":
        facts.model = facts.model or _model_named(span, attributes, keys)
        _read_messages(facts, span, attributes, keys)
    elif facts.kind == "tool":
        _read_tool(facts, span, attributes, keys)
    elif facts.kind == "agent":
        facts.agent_name = facts.agent_name or _without_verb(span.name)
    elif facts.kind == "retrieval":
        facts.query = _first(attributes, keys, (("query",), *_INPUTS))
        facts.documents = structured(_first(attributes, keys, (("documents",), *_OUTPUTS)))
    if facts.kind != "agent":
        facts.acting_agent, facts.agent_name = facts.agent_name, None
    if facts.kind in ("agent", "workflow", "wrapper"):
        facts.said_input = content(_first(attributes, keys, (("user", "prompt"), *_INPUTS)))
        facts.said_output = content(_first(attributes, keys, (*_OUTPUTS, ("response", "text"))))
    return facts


def names_a_fact(key: str) -> bool:
    """Whether the words of a key say that it holds a count, a name or an id."""
    return _fact_of(words_of(key)) is not None


def told_by(attributes: Mapping[str, Any]) -> Facts:
    """The counts and names that a log record tells, of whatever span."""
    return _counts_and_names(attributes, _keys_of(attributes))


# --- what it is --------------------------------------------------------------------------------


def _kind_of(span: SpanRecord, attributes: Mapping[str, Any], keys: _Keys, facts: Facts) -> Kind:
    said = _first(attributes, keys, _KIND_KEYS)
    by_key = _kind_in(words_of(str(loads(said)))) if said is not None else None
    operation = _first(attributes, keys, _OPERATION_KEYS)
    by_operation = _kind_in(words_of(str(loads(operation)))) if operation is not None else None
    loosely = _first(attributes, keys, _WEAK_KIND_KEYS)
    by_weak_key = _kind_in(words_of(str(loads(loosely)))) if loosely is not None else None
    by_name = _kind_in(words_of(span.name))
    if by_key == "tool" and by_name == "handoff":
        return "handoff"
    kind = by_key or by_operation or by_weak_key or by_name or "llm"
    if by_key or _is_supported(kind, span, attributes, facts, keys):
        return kind
    return "wrapper"


def _chain_named(span: SpanRecord, attributes: Mapping[str, Any], keys: _Keys) -> str | None:
    """The name of a span that says to be a chain of steps."""
    said = (_first(attributes, keys, _KIND_KEYS), _first(attributes, keys, _OPERATION_KEYS))
    words = {word for value in said for word in words_of(str(loads(value)))}
    return span.name if words & _CHAIN_WORDS else None


def _model_named(span: SpanRecord, attributes: Mapping[str, Any], keys: _Keys) -> str | None:
    """The name of a span that says to be a model."""
    said = _first(attributes, keys, (*_KIND_KEYS, *_WEAK_KIND_KEYS))
    return span.name if words_of(str(loads(said))) == ("model",) else None


def _is_supported(
    kind: Kind,
    span: SpanRecord,
    attributes: Mapping[str, Any],
    facts: Facts,
    keys: _Keys,
) -> bool:
    """Whether the facts of a span bear out what only its name or operation says that it is."""
    if kind == "llm":
        if facts.model is None or span.status == "ERROR":
            asked = keys.any_ending(_CALL_DATA)
            return facts.response_id is not None or (facts.model is not None and asked)
        return facts.response_id is not None or facts.output_tokens is not None
    if kind == "tool":
        has_data = keys.any_ending(_TOOL_DATA)
        own_name = _first(attributes, keys, (("name",),))
        is_named = facts.tool_name is not None or own_name in (attributes.get("name"), span.name)
        return is_named and own_name != "" and has_data
    return kind == "agent" and facts.agent_name is not None


def _kind_in(words: Words) -> Kind | None:
    said = set(words)
    return next((kind for kind, names in _KIND_WORDS.items() if said & names), None)


# --- providers' own bodies ----------------------------------------------------------------------

_ANSWERS: Final = frozenset({"choices", "candidates", "stop_reason", "output", "message"})
"""Keys of which a response has one."""


def _exchange(attributes: Mapping[str, Any]) -> Facts | None:
    """The facts of a provider's request and response, under whatever keys they are.

    A response is known by what it says of itself: its usage, or why it ended.
    """
    bodies = [body for body in map(loads, attributes.values()) if isinstance(body, Mapping)]
    for answer in bodies:
        if not _ANSWERS & answer.keys():
            continue
        facts = read_response(answer)
        if facts.output and (facts.output_tokens is not None or facts.finish_reason):
            requests = [read_request(body) for body in bodies if body is not answer]
            asked = max(requests, key=lambda request: len(request.input or ()), default=Facts())
            facts.fill(asked)
            return facts
    return None


# --- single facts ------------------------------------------------------------------------------


def _counts_and_names(attributes: Mapping[str, Any], keys: _Keys) -> Facts:
    facts = Facts()
    for key, words in keys.words.items():
        fact = _fact_of(words)
        if fact is None or getattr(facts, fact) is not None:
            continue
        converter: Callable[[Any], Any] = CONVERTERS.get(fact, text)
        value = converter(attributes[key])
        if value is not None:
            setattr(facts, fact, value)
    usage = structured(_first(attributes, keys, _USAGE))
    if facts.output_tokens is None and isinstance(usage, Mapping):
        counted = {str(key): ("usage", *words_of(str(key))) for key in usage}
        facts.fill(_counts_and_names(usage, _Keys(counted)))
    _read_failure(facts, attributes, keys)
    cached = (facts.cache_read_tokens or 0) + (facts.cache_write_tokens or 0)
    if facts.input_tokens is not None and cached > facts.input_tokens:
        facts.input_tokens += cached  # a part is never more than the whole: it is counted apart
    return facts


_FAILED: Final[Mapping[Words, bool]] = {("is", "error"): True, ("success",): False}
"""Flags, and what they say of a call that failed."""


def _read_failure(facts: Facts, attributes: Mapping[str, Any], keys: _Keys) -> None:
    facts.error_message = _error_text(_first(attributes, keys, (("error", "message"), ("error",))))
    facts.failed = any(
        flag(attributes[key]) is meaning
        for ends, meaning in _FAILED.items()
        for key in keys.ending(ends)
    )


def _error_text(value: Any) -> str | None:
    """What went wrong, out of the objects that it is told in."""
    inner = loads(value)
    while isinstance(inner, Mapping):
        inner = loads(next((inner[key] for key in _ERROR_KEYS if inner.get(key)), None))
    return inner if isinstance(inner, str) and inner and flag(inner) is None else None


_ERROR_KEYS: Final = ("data", "error", "message", "detail")


@lru_cache(maxsize=4096)
def _fact_of(words: Words) -> str | None:
    """The fact that a key's words name."""
    said = set(words)
    if said & {"token", "tokens", "usage"}:
        return (
            None
            if said & _NO_COUNT and not said & {"cache", "cached", "reasoning"}
            else _count_of(said)
        )
    for ends, fact in _NAMES:
        if _ends(words, ends):
            return fact
    return None


def _count_of(said: set[str]) -> str | None:
    if "reasoning" in said:
        return "reasoning_tokens"
    if said & {"cache", "cached"}:
        return "cache_write_tokens" if said & {"write", "creation"} else "cache_read_tokens"
    if said & {"input", "prompt"}:
        return "input_tokens"
    return "output_tokens" if said & {"output", "completion"} else None


_NAMES: Final[tuple[tuple[Words, str], ...]] = (
    (("response", "model"), "response_model"),
    (("response", "model", "name"), "response_model"),
    (("model",), "model"),
    (("model", "name"), "model"),
    (("model", "id"), "model"),
    (("response", "id"), "response_id"),
    (("finish", "reason"), "finish_reason"),
    (("finish", "reasons"), "finish_reason"),
    (("stop", "reason"), "finish_reason"),
    (("agent", "name"), "agent_name"),
    (("agent", "id"), "agent_id"),
    (("tool", "name"), "tool_name"),
    (("tool", "call", "name"), "tool_name"),
    (("function", "name"), "tool_name"),
    (("tool", "call", "id"), "tool_call_id"),
    (("tool", "use", "id"), "tool_call_id"),
    (("conversation", "id"), "conversation_id"),
    (("thread", "id"), "conversation_id"),
    (("session", "id"), "session_id"),
    (("user", "id"), "user_id"),
    (("workflow", "name"), "workflow_name"),
    (("function", "id"), "workflow_name"),
    (("subagent", "type"), "handoff_to"),
    (("subagent", "name"), "handoff_to"),
    (("to", "agent"), "handoff_to"),
    (("target", "agent"), "handoff_to"),
    (("from", "agent"), "handoff_from"),
    (("source", "agent"), "handoff_from"),
    (("is", "streaming"), "stream"),
    (("streaming",), "stream"),
    (("stream",), "stream"),
)


def _ends(words: Words, ends: Words) -> bool:
    return words[-len(ends) :] == ends


def _first(attributes: Mapping[str, Any], keys: _Keys, wanted: Iterable[Words]) -> Any:
    """The value of the first key that ends in one of the word sequences, best sequence first."""
    for ends in wanted:
        for key in keys.ending(ends):
            if attributes[key] not in (None, ""):
                return attributes[key]
    return None


# --- contents ----------------------------------------------------------------------------------

_TOOL_INPUTS: Final[tuple[Words, ...]] = (("arguments",), ("args",), *_INPUTS, ("parameters",))
_TOOL_OUTPUTS: Final[tuple[Words, ...]] = (("result",), ("tool", "output"), *_OUTPUTS)
_TOOL_DATA: Final = (*_TOOL_INPUTS, *_TOOL_OUTPUTS)


def _read_tool(facts: Facts, span: SpanRecord, attributes: Mapping[str, Any], keys: _Keys) -> None:
    facts.tool_name = facts.tool_name or text(attributes.get("name")) or _tool_in(span.name)
    facts.arguments = arguments(_first(attributes, keys, _TOOL_INPUTS))
    facts.result = _first(attributes, keys, _TOOL_OUTPUTS)
    for event in span.events:
        inner = _keys_of(event.attributes)
        if facts.result is None and event.name != "exception":
            facts.result = _first(event.attributes, inner, _TOOL_OUTPUTS)


def _tool_in(name: str) -> str | None:
    """The tool that a span is named for; None where its name only says that it is a tool."""
    bare = _without_verb(name)
    return None if set(words_of(bare)) & {"tool", "function"} else bare


def _without_verb(name: str) -> str:
    """What is left of a span's name without the words that only say what kind it is."""
    bare = re.sub(
        r"(?i)^(?:execute_tool|invoke_agent|running tool:?|agent[_ ]run:?|function:|tool:)\s+"
        r"|[. ](?:run|tool|agent)$",
        "",
        name,
    )
    return bare.strip("[]") or name


_ANSWER_WORDS: Final = frozenset({"output", "completion", "response"})
"""`output.messages` are messages, but none that the model was given."""


def _read_messages(
    facts: Facts, span: SpanRecord, attributes: Mapping[str, Any], keys: _Keys
) -> None:
    facts.tool_name = facts.tool_call_id = None  # of the calls in its answer
    events = [value for value in attributes.values() if _lists_events(value)]
    if events:
        facts.fill(read_events(span, (), events))
    facts.input = facts.input or _flattened(attributes, ("input", "prompt", "request"))
    facts.output = facts.output or _flattened(attributes, ("output", "completion", "response"))
    asked = _Keys(
        {k: words for k, words in keys.words.items() if not _ANSWER_WORDS.intersection(words)}
    )
    for ends in _INPUTS:
        value = _first(attributes, asked, (ends,))
        if value is None:
            continue
        body = read_request(value)
        facts.input = facts.input or body.input or _messages(value, "user")
        facts.fill(body)
    asking = _first(attributes, asked, _INPUTS)
    if facts.input is None and _is_prose(asking):
        facts.input = decode(content(asking), "user") or None
    for ends in _OUTPUTS:
        value = _first(attributes, keys, (ends,))
        if value is None:
            continue
        body = read_response(value)
        facts.output = facts.output or body.output or _messages(value, "assistant")
        facts.fill(body)
    said = _first(attributes, keys, (("response", "text"), ("output", "text"), *_OUTPUTS))
    facts.output = facts.output or from_pieces(
        content(said) if _is_prose(said) else None,
        content(_first(attributes, keys, (("reasoning",),))),
        _first(attributes, keys, (("tool", "calls"),)),
    )


def _is_prose(value: Any) -> bool:
    """Whether a value is a text that somebody wrote, and no object as JSON."""
    return isinstance(value, str) and isinstance(loads(value), str)


def _lists_events(value: Any) -> bool:
    """Whether a value is a list of per-message events as JSON."""
    return isinstance(value, str) and value.startswith("[") and f'"{semconv.EVENT_NAME}"' in value


def _messages(value: Any, role: str) -> Messages | None:
    """Messages, if the value is a list or object that decodes into some; no bare text."""
    inner = loads(value)
    if not isinstance(inner, list | Mapping):
        return None
    found = decode(inner, role)
    known = all(part.kind != "other" for message in found for part in message.parts)
    return found if found and known else None


_BRACKETS: Final = re.compile(r"\[(\d+)\]")


def _flattened(attributes: Mapping[str, Any], about: Iterable[str]) -> Messages | None:
    """Messages flattened into index keys, by the words before the index."""
    wanted = set(about)
    attributes = {_BRACKETS.sub(r".\1", key): value for key, value in attributes.items()}
    prefixes = {
        found[1]
        for key in attributes
        if (found := re.match(r"(.+?)\.\d+(?:\.|$)", key)) and wanted & set(words_of(found[1]))
    }
    for prefix in sorted(prefixes):
        messages = decode(unflatten(attributes, prefix), next(iter(wanted)))
        if messages and any(message.parts for message in messages):
            return messages
    return None
