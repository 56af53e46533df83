"""What other instrumentors call the same things: one file, one table per dialect.

`read` turns a span and its log records into `Facts`. The tables of the dialects that a span speaks
are asked first, in the order of `DIALECTS`; the others fill what is still missing, so that a span
in two dialects, or in one that nobody listed, still tells what its known keys tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from otel_traj import semconv
from otel_traj.dialects.bodies import read_request, read_response
from otel_traj.dialects.claude_code import CLAUDE_CODE
from otel_traj.dialects.convert import (
    CONVERTERS,
    call_id_of_result,
    goto_of_result,
    literal,
    result,
    text,
)
from otel_traj.dialects.events import first_chunk_ns, read_events
from otel_traj.dialects.facts import Facts, Kind
from otel_traj.dialects.langsmith import LANGSMITH
from otel_traj.dialects.messages import Message, from_pieces, is_cut, loads, unflatten
from otel_traj.dialects.mlflow import MLFLOW
from otel_traj.dialects.openinference import OPENINFERENCE
from otel_traj.dialects.otel import OTEL, OTEL_EVENTS
from otel_traj.dialects.others import (
    AGENT_FRAMEWORK,
    AGENT_TRACE,
    ANTHROPIC_SDK,
    GOOGLE_ADK,
    MCP,
)
from otel_traj.dialects.pydantic_ai import LOGFIRE, PYDANTIC_AI
from otel_traj.dialects.table import (
    At,
    Dialect,
    Flat,
    InEvent,
    InLog,
    InName,
    Source,
    Times,
)
from otel_traj.dialects.traceloop import TRACELOOP
from otel_traj.dialects.traj import IMPORTED, TRAJ
from otel_traj.dialects.unlisted import names_a_fact, read_unlisted, told_by
from otel_traj.dialects.vercel import VERCEL
from otel_traj.model import LogRecord, SpanRecord

__all__ = ["DIALECTS", "Dialect", "Facts", "Kind", "kind_of", "read", "stray_target"]

DIALECTS: Final[tuple[Dialect, ...]] = (
    IMPORTED,
    TRAJ,
    OPENINFERENCE,
    LANGSMITH,
    VERCEL,
    MLFLOW,
    CLAUDE_CODE,
    LOGFIRE,
    PYDANTIC_AI,
    ANTHROPIC_SDK,
    AGENT_FRAMEWORK,
    GOOGLE_ADK,
    MCP,
    TRACELOOP,
    OTEL_EVENTS,
    OTEL,
    AGENT_TRACE,
)
"""Most specific first: many dialects also write some OpenTelemetry names."""

_COMMON: Final = frozenset({TRAJ, OTEL_EVENTS, OTEL, AGENT_TRACE})
"""Dialects whose words others write too: beside them a span may say more in words of its own."""

_STANDARD: Final = ("gen_ai.", "traj.")
"""Prefixes of the names of which the tables know what they mean."""

_ONLY_FOR: Final[Mapping[str, frozenset[str]]] = {
    "arguments": frozenset({"tool"}),
    "result": frozenset({"tool"}),
    "tool_name": frozenset({"tool", "handoff", "thought"}),
    "query": frozenset({"retrieval", "memory"}),
    "documents": frozenset({"retrieval", "memory"}),
    "handoff_from": frozenset({"handoff", "tool"}),
    "handoff_to": frozenset({"handoff", "tool", "goto"}),
    "output_text": frozenset({"llm"}),
    "output_reasoning": frozenset({"llm"}),
    "output_calls": frozenset({"llm"}),
    "input": frozenset({"llm", "agent", "workflow", "wrapper"}),
    "output": frozenset({"llm", "agent", "workflow", "wrapper"}),
    "said_input": frozenset({"agent", "workflow", "wrapper"}),
    "said_output": frozenset({"agent", "workflow", "wrapper"}),
}
"""Facts that a key tells only of spans of some kinds: `input.value` means another thing on each."""

_NAMED_BY: Final[Mapping[str, frozenset[str]]] = {
    "agent_name": frozenset({"agent"}),
    "tool_name": frozenset({"tool"}),
    "handoff_to": frozenset({"handoff"}),
    "workflow_name": frozenset({"workflow", "wrapper"}),
}
"""Facts that a span's name may tell, and the kinds of spans that are named so."""

_CONTROL_FLOW: Final = re.compile(
    r"(?:[\w.]+\.)?(?:ParentCommand|GraphInterrupt|NodeInterrupt|GraphBubbleUp)\b|Command\("
)
"""Exceptions by which frameworks move on; they are no failures."""


def read(span: SpanRecord, logs: Iterable[LogRecord] = ()) -> Facts:
    """Gather the facts that a span and its log records tell.

    Args:
        span: Ended or open.
        logs: The records that carry this span's context, in any order.
    """
    logs = list(logs)
    attributes = _with_details(span.attributes, logs)
    shape = _shape(span.scope_name, attributes)
    spoken = shape.spoken
    kind = _kind(span, attributes, shape)
    facts = Facts(kind=kind or "wrapper")
    facts.dialects = shape.names
    _read_tables(facts, span, attributes, shape, logs)
    if facts.kind == "llm":
        _read_model_call(facts, span, attributes, spoken, logs)
    if shape.is_unlisted and (shape.has_own_words or not _is_told(facts)):
        _add_unlisted(facts, read_unlisted(span, _with_logs(attributes, logs), kind))
    if facts.agent_name == facts.agent_id:
        facts.agent_name = None  # an id in the place of a name
    if facts.kind == "tool":
        told = facts.result
        facts.tool_call_id = facts.tool_call_id or call_id_of_result(told)
        facts.handoff_to = facts.handoff_to or goto_of_result(told)
        facts.result = result(told)
    _read_failure(facts, span)
    if facts.failed and facts.result in ({}, [], "{}", "[]"):
        facts.result = None  # what exporters write where there is nothing
    facts.cut_keys = tuple(
        sorted(k for k, value in attributes.items() if type(value) is str and is_cut(value))
    )
    return facts


def _add_unlisted(facts: Facts, unlisted: Facts) -> None:
    """Fill what the tables left open; the kind of the span is then no open question."""
    facts.kind = unlisted.kind
    if facts.tool_name and (unlisted.tool_name or "").endswith(f"__{facts.tool_name}"):
        facts.tool_name = unlisted.tool_name  # what the model calls it: server and name
    if facts.agent_name is not None:
        unlisted.acting_agent = None  # some write one name on the spans of every agent
    facts.fill(unlisted)


_ESSENTIALS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "llm": ("input", "output", "output_tokens"),
    "tool": ("tool_name", "arguments", "result"),
    "agent": ("agent_name", "input", "output"),
}


def _is_told(facts: Facts) -> bool:
    """Whether the tables found all that matters, so that fragments need no looking for."""
    essentials = _ESSENTIALS.get(facts.kind, ())
    return bool(essentials) and all(getattr(facts, fact) is not None for fact in essentials)


def kind_of(span: SpanRecord) -> Kind:
    """What a span is, by the span alone."""
    return read(span).kind


def stray_target(span: SpanRecord, log: LogRecord) -> Kind | None:
    """The kind of span that a log tells of although it carries the context of `span` above it."""
    shape = _shape(span.scope_name, span.attributes)
    for dialect in shape.spoken:
        kind = dialect.stray_logs.get(log.event_name or "")
        if kind is not None:
            return kind
    return _unlisted_target(span, log) if shape.is_unlisted and not _is_standard(log) else None


def _unlisted_target(span: SpanRecord, log: LogRecord) -> Kind | None:
    """A log with the id of another tool call, or a model's name on the span of no model."""
    told = told_by(log.attributes)
    if told.tool_call_id is None and told.model is None:
        return None
    own = read(span)
    if told.tool_call_id is not None:
        return "tool" if own.tool_call_id != told.tool_call_id else None
    return "llm" if own.kind != "llm" else None


def _with_details(attributes: Mapping[str, Any], logs: Sequence[LogRecord]) -> Mapping[str, Any]:
    """The span's attributes, and those that only its details event has."""
    for log in logs:
        if log.event_name == semconv.EVENT_INFERENCE_DETAILS:
            body = log.body if isinstance(log.body, Mapping) else {}
            attributes = {**body, **log.attributes, **attributes}
    return attributes


def _with_logs(attributes: Mapping[str, Any], logs: Sequence[LogRecord]) -> Mapping[str, Any]:
    """The span's attributes, and those that only its log records have."""
    for log in logs:
        if not _is_standard(log):
            attributes = {**log.attributes, **attributes}
    return attributes


def _is_standard(log: LogRecord) -> bool:
    """Whether the conventions say what a log record means."""
    return (log.event_name or "").startswith(_STANDARD)


def _kind(span: SpanRecord, attributes: Mapping[str, Any], shape: _Shape) -> Kind | None:
    """What the span is: by its kind keys, else its name, else its facts; None if nothing tells."""
    by_override = (named for dialect in shape.spoken for named in dialect.overrides)
    by_key: Iterable[Kind | None] = (
        kinds.get(str(text(attributes[key]))) for key, kinds in shape.kind_keys
    )
    by_name = (named for dialect in shape.spoken for named in dialect.names)
    found = (
        _first_match(span.name, by_override)
        or next(filter(None, by_key), None)
        or _first_match(span.name, by_name)
        or _kind_by_facts(attributes, shape)
    )
    if found == "agent" and attributes.get("tool.name"):
        return "tool"  # a tool that an instrumentor took for an agent, by its name
    return found


def _first_match(name: str, patterns: Iterable[tuple[re.Pattern[str], Kind]]) -> Kind | None:
    return next((kind for pattern, kind in patterns if pattern.fullmatch(name)), None)


_TELLING: Final = ("response_id", "output_tokens", "model", "tool_name", "arguments", "result")
"""Facts that tell what a span is."""


def _kind_by_facts(attributes: Mapping[str, Any], shape: _Shape) -> Kind | None:
    """A dialect that nobody listed still writes some keys that others do."""

    def has(fact: str) -> bool:
        return any(attributes[key] not in (None, "") for key in shape.telling[fact])

    if has("response_id") or (has("output_tokens") and has("model")):
        return "llm"
    if has("tool_name") and (has("arguments") or has("result")):
        return "tool"
    return None


def _read_tables(
    facts: Facts,
    span: SpanRecord,
    attributes: Mapping[str, Any],
    shape: _Shape,
    logs: Sequence[LogRecord],
) -> None:
    """Fill facts from the tables; names of spans only where no key of any dialect tells."""
    for fact, sources in shape.places(facts.kind, bool(span.events), bool(logs)):
        converter: Callable[[Any], Any] = CONVERTERS.get(fact, text)
        for source in sources:
            if isinstance(source, str):
                found = attributes.get(source)
            else:
                found = _look_up(source, span, attributes, logs)
            if found is not None:
                value = converter(found)
                if value is not None:
                    setattr(facts, fact, value)
                    break


# --- what follows from the keys of a span alone --------------------------------------------------

_Places = tuple[tuple[str, tuple[Source, ...]], ...]
"""Facts, and where each may stand, best place first."""


class _Shape:
    """What spans of one instrumentation scope that have the same keys have in common.

    An instrumentor writes the same few sets of keys again and again: each is looked at once.

    Attributes:
        spoken: The dialects that such a span is written in, most specific first.
        names: Theirs.
        kind_keys: Keys that may tell its kind, with their values; of spoken dialects first.
        is_unlisted: It speaks no dialect but words that everybody borrows.
        has_own_words: Keys beside those words look as if they told facts.
        telling: Fact of `_TELLING` -> keys under which any dialect tells it.
    """

    __slots__ = (
        "_keys",
        "_places",
        "has_own_words",
        "is_unlisted",
        "kind_keys",
        "names",
        "spoken",
        "telling",
    )

    def __init__(self, scope: str | None, keys: frozenset[str]) -> None:
        self._keys = keys
        self._places: dict[tuple[Kind, bool, bool], _Places] = {}
        self.spoken = tuple(dialect for dialect in DIALECTS if dialect.speaks(scope, keys))
        self.names = tuple(dict.fromkeys(dialect.name for dialect in self.spoken))
        self.is_unlisted = _COMMON.issuperset(self.spoken)
        self.has_own_words = self.is_unlisted and any(
            names_a_fact(key) for key in keys if not key.startswith(_STANDARD)
        )
        self.kind_keys = tuple(
            (key, kinds)
            for dialect in (*self.spoken, *(d for d in DIALECTS if d not in self.spoken))
            for key, kinds in dialect.kinds.items()
            if key in keys
        )
        self.telling = {
            fact: tuple(key for key in _keys_telling(fact) if key in keys) for fact in _TELLING
        }

    def places(self, kind: Kind, has_events: bool, has_logs: bool) -> _Places:
        """Where the facts of such a span of this kind may stand."""
        variant = kind, has_events, has_logs
        if variant not in self._places:
            found = (
                (fact, tuple(s for s in sources if self._may_hold(s, has_events, has_logs)))
                for fact, sources in _plan(self.spoken, kind)
            )
            self._places[variant] = tuple((fact, sources) for fact, sources in found if sources)
        return self._places[variant]

    def _may_hold(self, source: Source, has_events: bool, has_logs: bool) -> bool:
        match source:
            case str(key) | At(key) | Times(key):
                return key in self._keys
            case Flat(prefix):
                return any(key.startswith(f"{prefix}.") for key in self._keys)
            case InEvent():
                return has_events
            case InLog():
                return has_logs
            case InName():
                return True


@cache
def _keys_telling(fact: str) -> tuple[str, ...]:
    sources = (source for dialect in DIALECTS for source in dialect.facts.get(fact, ()))
    return tuple(source for source in sources if isinstance(source, str) and "." in source)


@lru_cache(maxsize=1024)
def _known_shape(scope: str | None, keys: frozenset[str]) -> _Shape:
    return _Shape(scope, keys)


_MAX_KEYS: Final = 256
"""Of a shape that is remembered: the keys of flattened lists have no end."""


def _shape(scope: str | None, attributes: Mapping[str, Any]) -> _Shape:
    make = _known_shape if len(attributes) <= _MAX_KEYS else _Shape
    return make(scope, frozenset(attributes))


def forget_shapes() -> None:
    """For whoever has changed `DIALECTS`."""
    _known_shape.cache_clear()
    _plan.cache_clear()
    _keys_telling.cache_clear()


@cache
def _plan(spoken: tuple[Dialect, ...], kind: Kind) -> _Places:
    """Where the facts of a span of this kind may stand, whatever its keys."""
    places: dict[str, list[Source]] = {}
    names: dict[str, list[Source]] = {}
    for dialect in (*spoken, *(d for d in DIALECTS if d not in spoken)):
        for fact, sources in dialect.facts.items():
            if kind not in _ONLY_FOR.get(fact, (kind,)):
                continue
            for source in sources:
                if isinstance(source, InName):
                    # Names of spans tell only in a dialect that is spoken, or in OpenTelemetry's.
                    if dialect in (spoken or (OTEL,)) and kind in _NAMED_BY[fact]:
                        names.setdefault(fact, []).append(source)
                elif dialect in spoken or _is_borrowable(source):
                    places.setdefault(fact, []).append(source)
    facts = dict.fromkeys((*places, *names))
    return tuple((fact, (*places.get(fact, ()), *names.get(fact, ()))) for fact in facts)


def _is_borrowable(source: Source) -> bool:
    """Whether a key means the same outside its dialect: `gen_ai.x` does, `name` does not."""
    match source:
        case str(key) | At(key) | InEvent(_, key) | InLog(_, key) | Times(key) | Flat(key):
            return "." in key
    return False


def _look_up(
    source: Source, span: SpanRecord, attributes: Mapping[str, Any], logs: Sequence[LogRecord]
) -> Any:
    match source:
        case Flat(prefix):
            return unflatten(attributes, prefix) or None
        case At(key, path):
            value = literal(attributes.get(key))
            for name in path:
                value = loads(value.get(name)) if isinstance(value, Mapping) else None
            return value
        case InName(pattern):
            found = pattern.fullmatch(span.name)
            return found[1] if found else None
        case InEvent(name, key):
            return next(
                (e.attributes.get(key) for e in reversed(span.events) if e.name == name), None
            )
        case InLog(name, key):
            return next((log.attributes.get(key) for log in logs if log.event_name == name), None)
        case Times(key, factor):
            value = attributes.get(key)
            return value * factor if isinstance(value, int | float) else None


def _read_model_call(
    facts: Facts,
    span: SpanRecord,
    attributes: Mapping[str, Any],
    spoken: Sequence[Dialect],
    logs: Sequence[LogRecord],
) -> None:
    """Messages, wherever they stand: in pieces, in bodies, in events."""
    facts.output = facts.output or from_pieces(
        facts.output_text, facts.output_reasoning, facts.output_calls
    )
    _read_bodies(facts, attributes, spoken)
    listed = [attributes.get(key) for dialect in spoken for key in dialect.events]
    facts.fill(read_events(span, logs, listed))
    if facts.ttft_us is None and (first := first_chunk_ns(span)) is not None:
        facts.ttft_us, facts.stream = (first - span.start_ns) // 1000, True
    facts.finish_reason = facts.finish_reason or next(
        (m.finish_reason for m in facts.output or () if m.finish_reason), None
    )
    if facts.input_tokens is not None and any(dialect.excludes_cache for dialect in spoken):
        facts.input_tokens += (facts.cache_read_tokens or 0) + (facts.cache_write_tokens or 0)


def _read_bodies(facts: Facts, attributes: Mapping[str, Any], spoken: Sequence[Dialect]) -> None:
    for dialect in spoken:
        for key in dialect.request:
            body = read_request(attributes.get(key))
            if _weight(body.input, len) > _weight(facts.input, len):
                facts.input = body.input  # flattened keys lose what passes the attribute limit
            facts.fill(body)
        for key in dialect.response:
            body = read_response(attributes.get(key))
            if _weight(body.output, _n_parts) > _weight(facts.output, _n_parts):
                facts.output = body.output
            facts.fill(body)


def _weight(
    messages: Sequence[Message] | None, size: Callable[[Sequence[Message]], int]
) -> tuple[int, int]:
    """How much messages tell: their size, and at equal size how many calls and answers have ids."""
    messages = messages or ()
    ids = sum(part.id is not None for message in messages for part in message.parts)
    return size(messages), ids


def _n_parts(messages: Sequence[Message]) -> int:
    return sum(len(message.parts) for message in messages)


def _read_failure(facts: Facts, span: SpanRecord) -> None:
    """Whether the call failed, and how; a framework's control flow is no failure."""
    is_told = span.events or span.status == "ERROR" or semconv.ERROR_TYPE in span.attributes
    if not is_told and not facts.failed:
        facts.error_type = facts.error_message = None
        return
    exceptions = [event for event in span.events if event.name == semconv.EXCEPTION_EVENT]
    told = exceptions[-1].attributes if exceptions else {}
    error_type = text(span.attributes.get(semconv.ERROR_TYPE)) or text(
        told.get(semconv.EXCEPTION_TYPE)
    )
    message = (
        text(told.get(semconv.EXCEPTION_MESSAGE)) or span.status_message or facts.error_message
    )
    failed = facts.failed or span.status == "ERROR" or bool(error_type or exceptions)
    facts.is_control_flow = failed and any(
        _CONTROL_FLOW.match(said) for said in (error_type, message) if said
    )
    facts.failed = failed and not facts.is_control_flow
    facts.error_type, facts.error_message = (error_type, message) if facts.failed else (None, None)
