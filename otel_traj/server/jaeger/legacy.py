"""Traces in Jaeger's own JSON: spans with tags, logs and references, processes beside them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Final

from otel_traj import semconv
from otel_traj.model import SpanEvent, SpanLink, SpanRecord

_MOST_EXACT: Final = 2**53 - 1
"""The largest integer that JavaScript holds; a larger one is sent as text."""

Tag = dict[str, Any]


def trace(trace_id: str, spans: Sequence[SpanRecord]) -> dict[str, Any]:
    """One trace of a legacy answer.

    Args:
        trace_id: 32 hex digits.
        spans: Ended spans; each names a service.
    """
    processes = _Processes()
    known = {None, *(span.span_id for span in spans)}
    return {
        "traceID": trace_id,
        "spans": [
            {**_span(span, processes.id_of(span)), "warnings": _warnings(span, known)}
            for span in spans
        ],
        "processes": processes.by_id,
        "warnings": None,
    }


class _Processes:
    """Numbers the processes of a trace in order of appearance."""

    def __init__(self) -> None:
        self.by_id: dict[str, dict[str, Any]] = {}
        self._known: dict[str, str] = {}

    def id_of(self, span: SpanRecord) -> str:
        process = {"serviceName": str(span.resource.get(semconv.SERVICE_NAME, ""))}
        tags = process_tags(span)
        key = repr((process, tags))
        if key not in self._known:
            self._known[key] = f"p{len(self._known) + 1}"
            self.by_id[self._known[key]] = {**process, "tags": tags}
        return self._known[key]


def _span(span: SpanRecord, process_id: str) -> dict[str, Any]:
    end_ns = max(span.end_ns or 0, span.start_ns)
    return {
        "traceID": span.trace_id,
        "spanID": span.span_id,
        "operationName": span.name,
        "references": list(_references(span)),
        "startTime": span.start_ns // 1000,
        "duration": (end_ns - span.start_ns) // 1000,
        "tags": span_tags(span),
        "logs": [_log(event) for event in span.events],
        "processID": process_id,
    }


def _warnings(span: SpanRecord, known: Set[str | None]) -> list[str] | None:
    if span.parent_span_id in known:
        return None
    return [f"its parent {span.parent_span_id} is not in the trace"]


def _references(span: SpanRecord) -> Iterator[dict[str, str]]:
    """The parent first; a link to the parent says of which sort that reference is."""
    parent = (span.trace_id, span.parent_span_id)
    to_parent = [link for link in span.links if (link.trace_id, link.span_id) == parent]
    if span.parent_span_id:
        sort = _reference_type(to_parent[-1]) if to_parent else "CHILD_OF"
        yield {"refType": sort, "traceID": span.trace_id, "spanID": span.parent_span_id}
    for link in span.links:
        if link not in to_parent:
            yield {
                "refType": _reference_type(link),
                "traceID": link.trace_id,
                "spanID": link.span_id,
            }


def _reference_type(link: SpanLink) -> str:
    is_child = link.attributes.get("opentracing.ref_type") == "child_of"
    return "CHILD_OF" if is_child else "FOLLOWS_FROM"


# --- tags --------------------------------------------------------------------------------------


def span_tags(span: SpanRecord) -> list[Tag]:
    """What a span shows: its attributes, and fields of OTLP that Jaeger has no place for."""
    return _sorted([*_fields(span), *_tags(span.attributes)])


def process_tags(span: SpanRecord) -> list[Tag]:
    """What the process of a span shows."""
    rest = {key: value for key, value in span.resource.items() if key != semconv.SERVICE_NAME}
    return _sorted(_tags(rest))


def log_tags(event: SpanEvent) -> list[Tag]:
    """What an event shows; its name first."""
    name = [_tag("event", event.name)] if event.name and "event" not in event.attributes else []
    return [*name, *_sorted(_tags(event.attributes))]


def _log(event: SpanEvent) -> dict[str, Any]:
    return {"timestamp": event.time_ns // 1000, "fields": log_tags(event)}


def _fields(span: SpanRecord) -> Iterator[Tag]:
    told = {
        "otel.scope.name": span.scope_name,
        "otel.scope.version": span.scope_version,
        "span.kind": None if span.kind == "UNSPECIFIED" else span.kind.lower(),
        "otel.status_code": None if span.status == "UNSET" else span.status,
        "error": True if span.status == "ERROR" else None,
        "otel.status_description": span.status_message,
        "w3c.tracestate": span.trace_state,
    }
    return (_tag(key, value) for key, value in told.items() if value)


FIELDS: Final[Mapping[str, str]] = {
    "otel.scope.name": "scope_name",
    "otel.scope.version": "scope_version",
    "span.kind": "lower(nullif(kind, 'UNSPECIFIED'))",
    "otel.status_code": "nullif(status, 'UNSET')",
    "error": "case when status = 'ERROR' then 'true' else 'false' end",
    "otel.status_description": "status_message",
    "w3c.tracestate": "trace_state",
}
"""The same in SQL over a row of `spans`, as text; that nothing failed can be searched for too."""


def _tags(attributes: Mapping[str, Any]) -> Iterator[Tag]:
    return (_tag(key, value) for key, value in attributes.items())


def _tag(key: str, value: Any) -> Tag:
    match value:
        case bool():
            return {"key": key, "type": "bool", "value": value}
        case int():
            exact = abs(value) <= _MOST_EXACT
            return {"key": key, "type": "int64", "value": value if exact else str(value)}
        case float() if math.isfinite(value):
            return {"key": key, "type": "float64", "value": value}
        case bytes():
            text = base64.b64encode(value).decode("ascii")
            return {"key": key, "type": "binary", "value": text}
    return {"key": key, "type": "string", "value": text_of(value)}


def text_of(value: Any) -> str:
    """A value as the text by which it is searched for."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value).removesuffix(".0")
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case list() | tuple() | Mapping():
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=text_of)
    return str(value)


def _sorted(tags: Iterable[Tag]) -> list[Tag]:
    return sorted(tags, key=lambda tag: str(tag["key"]))
