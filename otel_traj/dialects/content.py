"""Which keys hold what may be private: messages, arguments, results, documents, files.

The tables of the dialects say under which keys such facts stand; what they do not read is listed
here. `without_content` is what a trace may tell where content must not leave the process: names,
ids, models, tokens, times, outcomes, errors. `tests/dialects/test_content.py` proves it on real
runs of every dialect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from otel_traj import semconv
from otel_traj.dialects import DIALECTS
from otel_traj.dialects.events import CONTENT_EVENTS
from otel_traj.dialects.table import At, Flat, InEvent, InLog, Source
from otel_traj.dialects.unlisted import words_of

_CONTENT_FACTS: Final = frozenset(
    {
        "input",
        "output",
        "output_text",
        "output_reasoning",
        "output_calls",
        "said_input",
        "said_output",
        "system",
        "tool_definitions",
        "arguments",
        "result",
        "query",
        "documents",
    }
)

_UNREAD: Final = frozenset(
    {
        # ours
        semconv.INITIAL_STATE,
        semconv.STEP_REASONING,
        semconv.STEP_OBSERVATION,
        semconv.STEP_JUSTIFICATION,
        semconv.FILE_DIFF,
        semconv.FILE_BEFORE,
        semconv.FILE_AFTER,
        semconv.CHECKPOINT_STATE,
        # OpenTelemetry: events up to 1.36, memory operations
        "content",
        "gen_ai.event.content",
        "gen_ai.memory.query.text",
        "gen_ai.memory.records",
        # OpenInference
        "llm.function_call",
        "reranker.query",
        # Traceloop
        "gen_ai.task.input",
        "gen_ai.task.output",
        "mcp.response.value",
        # Vercel AI SDK
        "ai.value",
        "ai.values",
        # Logfire: a template filled with values
        "logfire.msg",
        "inputs",
        "expected_output",
        # Claude Code
        "prompt_text",
        "tool_parameters",
    }
)
_UNREAD_LISTS: Final = (
    "embedding.embeddings",
    "llm.choices",
    "llm.prompt_template",
    "llm.prompts",
    "reranker.input_documents",
    "reranker.output_documents",
)

_WORDS: Final = frozenset({"messages", "prompt", "prompts", "completion", "arguments"})
"""A key of a dialect that nobody listed holds content if it ends so, and its value is no number."""

_TOLD_OF_MESSAGES: Final = frozenset({"id", "index", "role", "type", "name", "finish_reason"})
_HOLD_MESSAGES: Final = frozenset({"message", "tool_calls", "function"})
"""What of a message tells how it is built and not what it says (conventions up to 1.36)."""


def without_content(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the attributes of a span, an event or a log record, without those of content."""
    return {key: value for key, value in attributes.items() if not _is_content(key, value)}


def body_without_content(event_name: str | None, body: Any) -> Any:
    """A log record's body; of an event that carries messages, only how they are built.

    Other bodies are as they are: what a program logs is its own affair.
    """
    if event_name in CONTENT_EVENTS:
        return _structure(body)
    if event_name == semconv.EVENT_INFERENCE_DETAILS and isinstance(body, Mapping):
        return without_content(body)
    return body


def _is_content(key: str, value: Any) -> bool:
    return _is_listed(key) or (
        words_of(key)[-1:] in _WORDS_AT_END and not isinstance(value, int | float)
    )


@lru_cache(maxsize=4096)  # lists flattened into keys have one for each index
def _is_listed(key: str) -> bool:
    return key in _KEYS or (key.startswith(_PREFIXES) and key not in _TELLING)


def _structure(body: Any) -> Any:
    if isinstance(body, Mapping):
        told = {key: value for key, value in body.items() if key in _TOLD_OF_MESSAGES}
        held = {key: _structure(value) for key, value in body.items() if key in _HOLD_MESSAGES}
        return {**told, **held}
    if isinstance(body, list | tuple):
        return [_structure(item) for item in body]
    return None


def _sources(*, of_content: bool) -> Iterator[Source]:
    for dialect in DIALECTS:
        for fact, sources in dialect.facts.items():
            if (fact in _CONTENT_FACTS) is of_content:
                yield from sources


def _keys(sources: Iterable[Source]) -> Iterator[str]:
    for source in sources:
        if isinstance(source, str):
            yield source
        elif isinstance(source, At | InEvent | InLog):
            yield source.key


_BODIES: Final = (
    key for dialect in DIALECTS for key in (*dialect.request, *dialect.response, *dialect.events)
)
_KEYS: Final = frozenset({*_BODIES, *_UNREAD, *_keys(_sources(of_content=True))})
_TELLING: Final = frozenset(_keys(_sources(of_content=False)))
"""Keys that tell something else, like a reason to stop, in the midst of a flattened message."""
_LISTS: Final = (s.prefix for s in _sources(of_content=True) if isinstance(s, Flat))
_PREFIXES: Final = tuple(sorted({f"{prefix}." for prefix in (*_LISTS, *_UNREAD_LISTS)}))
_WORDS_AT_END: Final = frozenset((word,) for word in _WORDS)
