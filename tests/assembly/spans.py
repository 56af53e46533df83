"""Spans written by hand, short enough to read: names are ids, times are milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.dialects.messages import dumps
from otel_traj.model import Assembly, LogRecord, SpanRecord, Step

TRACE = "a" * 32
EPOCH_NS = 1_700_000_000_000_000_000


def span_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def at(ms: float) -> int:
    return EPOCH_NS + int(ms * 1_000_000)


def span(
    name: str,
    start: float,
    end: float | None,
    parent: str | None = None,
    *,
    trace: str = TRACE,
    id: str | None = None,
    attributes: dict[str, Any] | None = None,
    **fields: Any,
) -> SpanRecord:
    """A span whose id is made of its name (or `id`); `parent` is the name of its parent."""
    return SpanRecord(
        trace_id=trace,
        span_id=span_id(id or name),
        parent_span_id=span_id(parent) if parent else None,
        name=name,
        start_ns=at(start),
        end_ns=None if end is None else at(end),
        attributes=attributes or {},
        **fields,
    )


def agent(
    name: str, start: float, end: float | None, parent: str | None = None, **fields: Any
) -> SpanRecord:
    attributes = {semconv.OPERATION: "invoke_agent", semconv.AGENT_NAME: name}
    attributes |= fields.pop("attributes", {})
    return span(name, start, end, parent, attributes=attributes, **fields)


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def asks(*calls: tuple[str, str, Any]) -> dict[str, Any]:
    """An assistant message with tool calls (id, name, arguments)."""
    parts = [
        {"type": "tool_call", "id": id, "name": name, "arguments": arguments}
        for id, name, arguments in calls
    ]
    return {"role": "assistant", "parts": parts}


def answers(*results: tuple[str, Any]) -> dict[str, Any]:
    """A tool message that answers calls by id."""
    parts = [{"type": "tool_call_response", "id": id, "response": value} for id, value in results]
    return {"role": "tool", "parts": parts}


def chat(
    name: str,
    start: float,
    end: float | None,
    parent: str | None = None,
    *,
    given: list[dict[str, Any]] | None = None,
    said: dict[str, Any] | None = None,
    response_id: str | None = None,
    tokens: tuple[int, int] | None = None,
    **fields: Any,
) -> SpanRecord:
    attributes: dict[str, Any] = {semconv.OPERATION: "chat", semconv.REQUEST_MODEL: "m-1"}
    if given is not None:
        attributes[semconv.INPUT_MESSAGES] = dumps(given)
    if said is not None:
        attributes[semconv.OUTPUT_MESSAGES] = dumps([said])
    if response_id is not None:
        attributes[semconv.RESPONSE_ID] = response_id
    if tokens is not None:
        attributes[semconv.INPUT_TOKENS], attributes[semconv.OUTPUT_TOKENS] = tokens
    attributes |= fields.pop("attributes", {})
    return span(name, start, end, parent, attributes=attributes, **fields)


def tool(
    name: str, start: float, end: float | None, parent: str | None = None, **fields: Any
) -> SpanRecord:
    attributes = {semconv.OPERATION: "execute_tool", semconv.TOOL_NAME: name}
    attributes |= fields.pop("attributes", {})
    return span(f"execute_tool {name}", start, end, parent, attributes=attributes, **fields)


def log(event: str, of: str, when: float, body: Any = None, **attributes: Any) -> LogRecord:
    return LogRecord(
        trace_id=TRACE,
        span_id=span_id(of),
        time_ns=at(when),
        observed_ns=None,
        event_name=event,
        severity=None,
        body=body,
        attributes=attributes,
    )


def only(spans: Iterable[SpanRecord], logs: Iterable[LogRecord] = (), **options: Any) -> Assembly:
    """What these records tell, which must be one run."""
    (assembly,) = assemble(spans, logs, **options)
    return assembly


def told(steps: Sequence[Step], *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the steps."""
    return [tuple(getattr(step, column) for column in columns) for step in steps]
