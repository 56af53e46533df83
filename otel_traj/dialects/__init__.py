"""What other instrumentors call the same things: one file, one table per dialect.

`read` turns a span and its log records into `Facts`. The tables of the dialects that a span speaks
are asked first, in the order of `DIALECTS`; the others fill what is still missing, so that a span
in two dialects, or in one that nobody listed, still tells what its known keys tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from otel_traj import semconv
from otel_traj.dialects.bodies import read_request, read_response
from otel_traj.dialects.convert import CONVERTERS, call_id_of_result, goto_of_result, result, text
from otel_traj.dialects.events import read_events
from otel_traj.dialects.facts import Facts, Kind
from otel_traj.dialects.messages import is_cut, loads, unflatten
from otel_traj.dialects.openinference import OPENINFERENCE
from otel_traj.dialects.otel import OTEL, OTEL_EVENTS
from otel_traj.dialects.table import At, Const, Dialect, Flat, InName, Source
from otel_traj.dialects.traceloop import TRACELOOP
from otel_traj.dialects.traj import TRAJ
from otel_traj.model import LogRecord, SpanRecord

__all__ = ["DIALECTS", "Dialect", "Facts", "Kind", "read"]

DIALECTS: Final[tuple[Dialect, ...]] = (TRAJ, OPENINFERENCE, TRACELOOP, OTEL_EVENTS, OTEL)
"""Most specific first: many dialects also write some OpenTelemetry names."""

_ONLY_FOR: Final[Mapping[str, frozenset[str]]] = {
    "arguments": frozenset({"tool"}),
    "result": frozenset({"tool"}),
    "tool_name": frozenset({"tool", "handoff"}),
    "query": frozenset({"retrieval"}),
    "documents": frozenset({"retrieval"}),
    "input": frozenset({"llm", "agent", "workflow", "wrapper"}),
    "output": frozenset({"llm", "agent", "workflow", "wrapper"}),
    "said_input": frozenset({"agent", "workflow", "wrapper"}),
    "said_output": frozenset({"agent", "workflow", "wrapper"}),
}
"""Facts that a key tells only of spans of some kinds: `input.value` means another thing on each."""

_NAMED_BY: Final[Mapping[str, Kind]] = {"agent_name": "agent", "tool_name": "tool"}
"""Facts that a span's name may tell, and the kind of span that is named so."""

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
    spoken = [dialect for dialect in DIALECTS if dialect.speaks(span)]
    tables = [*spoken, *(dialect for dialect in DIALECTS if dialect not in spoken)]
    logs = list(logs)
    attributes = _with_details(span.attributes, logs)
    facts = Facts(kind=_kind(span, attributes, spoken, tables))
    facts.dialects = tuple(dialect.name for dialect in spoken if dialect is not TRAJ) or (
        ("traj",) if TRAJ in spoken else ()
    )
    _read_tables(facts, span, attributes, spoken, tables)
    if facts.kind == "llm":
        _read_bodies(facts, attributes, spoken)
        facts.fill(read_events(span, logs))
        facts.finish_reason = facts.finish_reason or next(
            (m.finish_reason for m in facts.output or () if m.finish_reason), None
        )
    if facts.kind == "tool":
        told = facts.result
        facts.tool_call_id = facts.tool_call_id or call_id_of_result(told)
        facts.handoff_to = facts.handoff_to or goto_of_result(told)
        facts.result = result(told)
    _read_failure(facts, span)
    facts.cut_keys = tuple(key for key, value in attributes.items() if is_cut(value))
    return facts


def _with_details(attributes: Mapping[str, Any], logs: Sequence[LogRecord]) -> Mapping[str, Any]:
    """The span's attributes, and those that only its details event has."""
    for log in logs:
        if log.event_name == semconv.EVENT_INFERENCE_DETAILS:
            body = log.body if isinstance(log.body, Mapping) else {}
            attributes = {**body, **log.attributes, **attributes}
    return attributes


def _kind(
    span: SpanRecord,
    attributes: Mapping[str, Any],
    spoken: Sequence[Dialect],
    tables: Sequence[Dialect],
) -> Kind:
    """What the span is: by its kind keys, else by its name, else by the facts it has."""
    for dialect in tables:
        for key, values in dialect.kinds.items():
            kind = values.get(str(text(attributes.get(key))))
            if kind == "agent" and attributes.get("tool.name"):
                return "tool"  # a tool that an instrumentor took for an agent, by its name
            if kind is not None:
                return kind
    for dialect in spoken:
        for pattern, kind in dialect.names:
            if pattern.fullmatch(span.name):
                return kind
    if _has(attributes, tables, "response_id") or (
        _has(attributes, tables, "output_tokens") and _has(attributes, tables, "model")
    ):
        return "llm"
    if _has(attributes, tables, "tool_name") and (
        semconv.TOOL_CALL_ARGUMENTS in attributes or semconv.TOOL_CALL_RESULT in attributes
    ):
        return "tool"
    return "wrapper"


def _has(attributes: Mapping[str, Any], tables: Sequence[Dialect], fact: str) -> bool:
    return any(
        isinstance(source, str) and attributes.get(source) not in (None, "")
        for dialect in tables
        for source in dialect.facts.get(fact, ())
    )


def _read_tables(
    facts: Facts,
    span: SpanRecord,
    attributes: Mapping[str, Any],
    spoken: Sequence[Dialect],
    tables: Sequence[Dialect],
) -> None:
    for dialect in tables:
        may_name = dialect in spoken or not spoken
        for fact, sources in dialect.facts.items():
            if getattr(facts, fact) is not None:
                continue
            if facts.kind not in _ONLY_FOR.get(fact, (facts.kind,)):
                continue
            for source in sources:
                if isinstance(source, InName) and not (
                    may_name and _NAMED_BY.get(fact) == facts.kind
                ):
                    continue
                found = _look_up(source, span, attributes)
                converter: Callable[[Any], Any] = CONVERTERS.get(fact, text)
                value = None if found is None else converter(found)
                if value is not None:
                    setattr(facts, fact, value)
                    break


def _look_up(source: Source, span: SpanRecord, attributes: Mapping[str, Any]) -> Any:
    match source:
        case str():
            return attributes.get(source)
        case Flat(prefix):
            return unflatten(attributes, prefix) or None
        case At(key, path):
            value = loads(attributes.get(key))
            for name in path:
                value = loads(value.get(name)) if isinstance(value, Mapping) else None
            return value
        case InName(pattern):
            found = pattern.fullmatch(span.name)
            return found[1] if found else None
        case Const(value):
            return value


def _read_bodies(facts: Facts, attributes: Mapping[str, Any], spoken: Sequence[Dialect]) -> None:
    for dialect in spoken:
        for key in dialect.request:
            body = read_request(attributes.get(key))
            if body.input is not None and len(body.input) > len(facts.input or ()):
                facts.input = body.input  # flattened keys lose what passes the attribute limit
            facts.fill(body)
        for key in dialect.response:
            body = read_response(attributes.get(key))
            if body.output is not None and _told(body) > _told(facts):
                facts.output = body.output
            facts.fill(body)


def _told(facts: Facts) -> int:
    """How many parts the output has."""
    return sum(len(message.parts) for message in facts.output or ())


def _read_failure(facts: Facts, span: SpanRecord) -> None:
    """Whether the call failed, and how; a framework's control flow is no failure."""
    exceptions = [event for event in span.events if event.name == semconv.EXCEPTION_EVENT]
    told = exceptions[-1].attributes if exceptions else {}
    error_type = text(span.attributes.get(semconv.ERROR_TYPE)) or text(
        told.get(semconv.EXCEPTION_TYPE)
    )
    message = text(told.get(semconv.EXCEPTION_MESSAGE)) or span.status_message
    if not (span.status == "ERROR" or error_type or exceptions):
        return
    if any(_CONTROL_FLOW.match(said) for said in (error_type, message) if said):
        facts.is_control_flow = True
        return
    facts.failed = True
    facts.error_type = error_type
    facts.error_message = message
