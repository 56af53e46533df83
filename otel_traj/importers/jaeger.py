"""Jaeger's JSON: what its query API and the download button of its UI give.

    {"data": [{"traceID", "spans": [{"tags", "logs", "references", "processID"}], "processes"}]}

Times are microseconds. What OpenTelemetry has fields for and Jaeger has not (status, kind, scope)
travels as tags and goes back into the fields, by the rules of OpenTelemetry's Jaeger mapping.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from otel_traj import semconv
from otel_traj.importers.parts import Records
from otel_traj.model import SpanEvent, SpanKind, SpanLink, SpanStatus
from otel_traj.otlp import KINDS, hex_id, span_record

NAME: Final = "Jaeger JSON"

_US: Final = 1_000  # nanoseconds
_CHILD_OF: Final = "CHILD_OF"
_REFERENCE_TYPE: Final = "opentracing.ref_type"

_KINDS: Final[Mapping[str, SpanKind]] = {kind.lower(): kind for kind in KINDS}

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """An answer of the query API, or one trace out of it."""
    traces = _traces(value)
    return bool(traces) and all(isinstance(t, Mapping) and "spans" in t for t in traces)


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """Span by span."""
    for trace_number, trace in enumerate(_traces(value), start=1):
        processes = trace.get("processes") or {}
        for number, span in enumerate(trace["spans"] or (), start=1):
            yield f"trace {trace_number}, span {number}", _records(span, processes)


def _traces(value: _Object) -> list[Any]:
    traces = value.get("data", [value])
    return traces if isinstance(traces, list) else []


def _records(span: _Object, processes: _Object) -> Records:
    tags = _values(span.get("tags"))
    start_ns = int(span["startTime"]) * _US
    trace_id = hex_id(span.get("traceID"), 16)
    parent, others = _parent(span, trace_id)
    status = _status(tags)
    scope_name = tags.pop("otel.library.name", None)
    scope_version = tags.pop("otel.library.version", None)
    yield span_record(
        trace_id=trace_id,
        span_id=hex_id(span.get("spanID"), 8),
        parent_span_id=parent,
        name=span.get("operationName") or "",
        kind=_KINDS.get(str(tags.pop("span.kind", "")).lower(), "UNSPECIFIED"),
        start_ns=start_ns,
        end_ns=start_ns + int(span.get("duration") or 0) * _US,
        status=status,
        status_message=tags.pop("otel.status_description", None),
        scope_name=tags.pop("otel.scope.name", scope_name),
        scope_version=tags.pop("otel.scope.version", scope_version),
        trace_state=tags.pop("w3c.tracestate", None),
        attributes=tags,
        events=tuple(map(_event, span.get("logs") or ())),
        links=tuple(map(_link, others)),
        resource=_resource(span.get("process") or processes.get(str(span.get("processID"))) or {}),
    )


def _resource(process: _Object) -> dict[str, Any]:
    name = process.get("serviceName")
    return {**({semconv.SERVICE_NAME: name} if name else {}), **_values(process.get("tags"))}


def _status(tags: dict[str, Any]) -> SpanStatus:
    """The status, taken out of the tags; `error` was Jaeger's own before there was another."""
    code = tags.pop("otel.status_code", None)
    is_error = tags.get("error") in (True, "true")
    if is_error:
        del tags["error"]
    if code == "ERROR" or is_error:
        return "ERROR"
    return "OK" if code == "OK" else "UNSET"


def _parent(span: _Object, trace_id: str | None) -> tuple[str | None, list[_Object]]:
    """The parent's id and all other references, which are links.

    The parent is the first in the same trace that the span is a child of, else the first that it
    follows from; the oldest exports have a key for it.
    """
    references: Sequence[_Object] = span.get("references") or ()
    near = [ref for ref in references if hex_id(ref.get("traceID"), 16) == trace_id]
    near.sort(key=lambda ref: ref.get("refType") != _CHILD_OF)
    if not near:
        return hex_id(span.get("parentSpanID"), 8), list(references)
    return hex_id(near[0].get("spanID"), 8), [ref for ref in references if ref is not near[0]]


def _link(reference: _Object) -> SpanLink:
    return SpanLink(
        hex_id(reference.get("traceID"), 16) or "",
        hex_id(reference.get("spanID"), 8) or "",
        {_REFERENCE_TYPE: str(reference.get("refType", "")).lower()},
    )


def _event(log: _Object) -> SpanEvent:
    fields = _values(log.get("fields"))
    return SpanEvent(int(log["timestamp"]) * _US, str(fields.pop("event", "")), fields)


def _values(tags: Sequence[_Object] | None) -> dict[str, Any]:
    return {tag["key"]: _value(tag.get("type"), tag.get("value")) for tag in tags or ()}


def _value(kind: Any, value: Any) -> Any:
    """A tag's value; stores that know only text keep numbers as text beside their type."""
    if not isinstance(value, str):
        return value
    match kind:
        case "bool":
            return value == "true"
        case "int64":
            return int(value)
        case "float64":
            return float(value)
        case "binary":
            return base64.b64decode(value)
    return value
