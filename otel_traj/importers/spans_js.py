"""Spans as the JavaScript SDK's `ReadableSpan`s dumped to JSON: a list of them, or one per line.

Times are the SDK's pairs of seconds and nanoseconds, milliseconds, or ISO 8601. Names changed from
version 1 to 2 (`instrumentationLibrary`, `parentSpanId`); both are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_traj.importers.parts import Records
from otel_traj.importers.times import iso_ns
from otel_traj.model import SpanEvent, SpanKind, SpanLink
from otel_traj.otlp import STATUSES, hex_id, span_record

NAME: Final = "JavaScript SDK spans"

_KINDS: Final[tuple[SpanKind, ...]] = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
"""The SDK's numbers start at INTERNAL, unlike OTLP's."""

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """A span with its context; a dump of the object itself writes it as a private field."""
    return "startTime" in value and isinstance(_context(value), Mapping)


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """The span."""
    yield "", _records(value)


def _context(span: _Object) -> Any:
    return span.get("spanContext") or span.get("_spanContext")


def _records(span: _Object) -> Records:
    context = _context(span)
    parent = span.get("parentSpanContext") or {}
    scope = span.get("instrumentationScope") or span.get("instrumentationLibrary") or {}
    resource = span.get("resource") or {}
    status = span.get("status") or {}
    start_ns = _nanoseconds(span["startTime"])
    yield span_record(
        trace_id=hex_id(context.get("traceId"), 16),
        span_id=hex_id(context.get("spanId"), 8),
        parent_span_id=hex_id(parent.get("spanId") or span.get("parentSpanId"), 8),
        name=span.get("name") or "",
        kind=_KINDS[span.get("kind") or 0],
        start_ns=start_ns,
        end_ns=_nanoseconds(span["endTime"]) if span.get("endTime") else start_ns,
        status=STATUSES[status.get("code") or 0],
        status_message=status.get("message") or None,
        attributes=dict(span.get("attributes") or {}),
        events=tuple(map(_event, span.get("events") or ())),
        links=tuple(map(_link, span.get("links") or ())),
        resource=dict(resource.get("attributes") or resource.get("_attributes") or {}),
        scope_name=scope.get("name") or None,
        scope_version=scope.get("version") or None,
        schema_url=scope.get("schemaUrl") or None,
        flags=context.get("traceFlags"),
        dropped_attributes=span.get("droppedAttributesCount") or 0,
        dropped_events=span.get("droppedEventsCount") or 0,
        dropped_links=span.get("droppedLinksCount") or 0,
    )


def _event(event: _Object) -> SpanEvent:
    return SpanEvent(
        _nanoseconds(event["time"]), event.get("name") or "", dict(event.get("attributes") or {})
    )


def _link(link: _Object) -> SpanLink:
    context = link.get("context") or {}
    return SpanLink(
        hex_id(context.get("traceId"), 16) or "",
        hex_id(context.get("spanId"), 8) or "",
        dict(link.get("attributes") or {}),
    )


def _nanoseconds(time: Any) -> int:
    if isinstance(time, str):
        return iso_ns(time)
    if isinstance(time, int | float):
        return round(time * 1_000_000)
    seconds, nanoseconds = time
    return int(seconds) * 10**9 + int(nanoseconds)
