"""OTLP messages -> records: protobuf and JSON, traces and logs.

Both encodings end in the same two builders, so a span reads the same whichever way it came.
Protobuf classes come from `opentelemetry-proto` and are imported on first use only: a recording
process never needs them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from otel_traj import semconv
from otel_traj.errors import InputError
from otel_traj.model import LogRecord, SpanEvent, SpanKind, SpanLink, SpanRecord, SpanStatus

Signal = Literal["traces", "logs"]

KINDS: Final[tuple[SpanKind, ...]] = (
    "UNSPECIFIED",
    "INTERNAL",
    "SERVER",
    "CLIENT",
    "PRODUCER",
    "CONSUMER",
)
STATUSES: Final[tuple[SpanStatus, ...]] = ("UNSET", "OK", "ERROR")


def records_from_json(message: Mapping[str, Any]) -> Iterator[SpanRecord | LogRecord]:
    """Read an export request (or `TracesData`, `LogsData`) in the JSON encoding.

    Ids are hex, as OTLP says; base64, which generic protobuf printers write, is accepted.

    Raises:
        InputError: It has neither `resourceSpans` nor `resourceLogs`, or a value of the wrong type.
    """
    groups = {key: _pick(message, *names) for key, names in _JSON_GROUPS.items()}
    if all(group is None for group in groups.values()):
        raise InputError("Not OTLP: the object has neither 'resourceSpans' nor 'resourceLogs'")
    try:
        for group in groups["spans"] or ():
            yield from _spans_of_json(group)
        for group in groups["logs"] or ():
            yield from _logs_of_json(group)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise InputError(f"Not valid OTLP JSON: {type(error).__name__}: {error}") from error


def records_from_protobuf(body: bytes, signal: Signal) -> Iterator[SpanRecord | LogRecord]:
    """Read one serialised export request.

    Args:
        body: `ExportTraceServiceRequest` or `ExportLogsServiceRequest`; `TracesData` and `LogsData`
            have the same wire form.
        signal: Which of the two it is; the bytes do not say.

    Raises:
        InputError: The bytes are no such message.
    """
    from google.protobuf.message import DecodeError

    try:
        if signal == "traces":
            from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

            yield from _spans_of_proto(TracesData.FromString(body))
        else:
            from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

            yield from _logs_of_proto(LogsData.FromString(body))
    except DecodeError as error:
        raise InputError(f"Not an OTLP {signal} message: {error}") from error


# --- JSON --------------------------------------------------------------------------------------

_JSON_GROUPS: Final = {
    "spans": ("resourceSpans", "resource_spans"),
    "logs": ("resourceLogs", "resource_logs"),
}


def _pick(message: Mapping[str, Any], *names: str) -> Any:
    return next((message[name] for name in names if name in message), None)


def _spans_of_json(group: Mapping[str, Any]) -> Iterator[SpanRecord]:
    resource = _json_attributes((group.get("resource") or {}).get("attributes"))
    for part in _pick(group, "scopeSpans", "scope_spans", "instrumentationLibrarySpans") or ():
        scope = _pick(part, "scope", "instrumentationLibrary") or {}
        scope_attributes = _json_attributes(scope.get("attributes"))
        for span in part.get("spans") or ():
            status = span.get("status") or {}
            yield span_record(
                trace_id=_json_id(_pick(span, "traceId", "trace_id"), 16),
                span_id=_json_id(_pick(span, "spanId", "span_id"), 8),
                parent_span_id=_json_id(_pick(span, "parentSpanId", "parent_span_id"), 8),
                name=span.get("name") or "",
                kind=_enum(span.get("kind"), KINDS, "SPAN_KIND_"),
                start_ns=_integer(_pick(span, "startTimeUnixNano", "start_time_unix_nano")) or 0,
                end_ns=_integer(_pick(span, "endTimeUnixNano", "end_time_unix_nano")) or 0,
                status=_enum(status.get("code"), STATUSES, "STATUS_CODE_"),
                status_message=status.get("message") or None,
                attributes=_json_attributes(span.get("attributes")),
                events=tuple(
                    SpanEvent(
                        _integer(_pick(event, "timeUnixNano", "time_unix_nano")) or 0,
                        event.get("name") or "",
                        _json_attributes(event.get("attributes")),
                    )
                    for event in span.get("events") or ()
                ),
                links=tuple(
                    SpanLink(
                        _json_id(_pick(link, "traceId", "trace_id"), 16) or "",
                        _json_id(_pick(link, "spanId", "span_id"), 8) or "",
                        _json_attributes(link.get("attributes")),
                    )
                    for link in span.get("links") or ()
                ),
                resource=resource,
                scope_name=scope.get("name") or None,
                scope_version=scope.get("version") or None,
                scope_attributes=scope_attributes,
                schema_url=_pick(part, "schemaUrl", "schema_url") or None,
                trace_state=_pick(span, "traceState", "trace_state") or None,
                flags=_integer(span.get("flags")),
                dropped_attributes=_integer(span.get("droppedAttributesCount")) or 0,
                dropped_events=_integer(span.get("droppedEventsCount")) or 0,
                dropped_links=_integer(span.get("droppedLinksCount")) or 0,
            )


def _logs_of_json(group: Mapping[str, Any]) -> Iterator[LogRecord]:
    resource = _json_attributes((group.get("resource") or {}).get("attributes"))
    for part in _pick(group, "scopeLogs", "scope_logs") or ():
        scope = part.get("scope") or {}
        for log in _pick(part, "logRecords", "log_records") or ():
            attributes = _json_attributes(log.get("attributes"))
            yield LogRecord(
                trace_id=_json_id(_pick(log, "traceId", "trace_id"), 16),
                span_id=_json_id(_pick(log, "spanId", "span_id"), 8),
                time_ns=_integer(_pick(log, "timeUnixNano", "time_unix_nano")) or None,
                observed_ns=_integer(_pick(log, "observedTimeUnixNano", "observed_time_unix_nano"))
                or None,
                event_name=_event_name(_pick(log, "eventName", "event_name"), attributes),
                severity=_pick(log, "severityText", "severity_text") or None,
                body=_json_value(log.get("body")),
                attributes=attributes,
                scope_name=scope.get("name") or None,
                resource=resource,
            )


def _json_attributes(pairs: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    return {pair["key"]: _json_value(pair.get("value")) for pair in pairs or ()}


def _json_value(value: Mapping[str, Any] | None) -> Any:
    if not value:
        return None
    ((kind, inner),) = value.items()
    match kind:
        case "stringValue" | "string_value" | "boolValue" | "bool_value":
            return inner
        case "intValue" | "int_value":
            return int(inner)
        case "doubleValue" | "double_value":
            return float(inner)  # "NaN" and "Infinity" come as text
        case "bytesValue" | "bytes_value":
            return base64.b64decode(inner)
        case "arrayValue" | "array_value":
            return [_json_value(item) for item in inner.get("values") or ()]
        case "kvlistValue" | "kvlist_value":
            return _json_attributes(inner.get("values"))
    raise ValueError(f"unknown kind of value {kind!r}")


def _json_id(text: str | None, size: int) -> str | None:
    """An id of `size` bytes as lower-case hex; None when absent or all zero."""
    if not text or not text.strip("0"):
        return None
    if len(text) == 2 * size:
        bytes.fromhex(text)
        return text.lower()
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != size:
        raise ValueError(f"{text!r} is no id of {size} bytes")
    return raw.hex()


def _enum(value: Any, names: tuple[Any, ...], prefix: str) -> Any:
    """An enum given as number or as name; unknown ones are the first."""
    if isinstance(value, str):
        value = value.removeprefix(prefix)
        return value if value in names else names[0]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else names[0]


def _integer(value: Any) -> int | None:
    return None if value is None or value == "" else int(value)


# --- protobuf ----------------------------------------------------------------------------------


def _spans_of_proto(message: Any) -> Iterator[SpanRecord]:
    for group in message.resource_spans:
        resource = _proto_attributes(group.resource.attributes)
        for part in group.scope_spans:
            scope_attributes = _proto_attributes(part.scope.attributes)
            for span in part.spans:
                yield span_record(
                    trace_id=_proto_id(span.trace_id),
                    span_id=_proto_id(span.span_id),
                    parent_span_id=_proto_id(span.parent_span_id),
                    name=span.name,
                    kind=_enum(span.kind, KINDS, ""),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    status=_enum(span.status.code, STATUSES, ""),
                    status_message=span.status.message or None,
                    attributes=_proto_attributes(span.attributes),
                    events=tuple(
                        SpanEvent(
                            event.time_unix_nano, event.name, _proto_attributes(event.attributes)
                        )
                        for event in span.events
                    ),
                    links=tuple(
                        SpanLink(
                            link.trace_id.hex(),
                            link.span_id.hex(),
                            _proto_attributes(link.attributes),
                        )
                        for link in span.links
                    ),
                    resource=resource,
                    scope_name=part.scope.name or None,
                    scope_version=part.scope.version or None,
                    scope_attributes=scope_attributes,
                    schema_url=part.schema_url or None,
                    trace_state=span.trace_state or None,
                    flags=span.flags or None,
                    dropped_attributes=span.dropped_attributes_count,
                    dropped_events=span.dropped_events_count,
                    dropped_links=span.dropped_links_count,
                )


def _logs_of_proto(message: Any) -> Iterator[LogRecord]:
    for group in message.resource_logs:
        resource = _proto_attributes(group.resource.attributes)
        for part in group.scope_logs:
            for log in part.log_records:
                attributes = _proto_attributes(log.attributes)
                yield LogRecord(
                    trace_id=_proto_id(log.trace_id),
                    span_id=_proto_id(log.span_id),
                    time_ns=log.time_unix_nano or None,
                    observed_ns=log.observed_time_unix_nano or None,
                    event_name=_event_name(getattr(log, "event_name", None), attributes),
                    severity=log.severity_text or None,
                    body=_proto_value(log.body),
                    attributes=attributes,
                    scope_name=part.scope.name or None,
                    resource=resource,
                )


def _proto_attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _proto_value(pair.value) for pair in pairs}


def _proto_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_proto_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _proto_attributes(value.kvlist_value.values)
    return getattr(value, kind)


def _proto_id(raw: bytes) -> str | None:
    return raw.hex() if raw.strip(b"\0") else None


# --- both --------------------------------------------------------------------------------------


def span_record(
    *, trace_id: str | None, span_id: str | None, end_ns: int, **fields: Any
) -> SpanRecord:
    """A span as received; missing ids are made from its content and told in `traj.repaired`.

    A span without ids is against the protocol but still tells what happened. The same span sent
    twice gets the same ids, so that it still counts once.
    """
    if trace_id and span_id:
        return SpanRecord(
            trace_id=trace_id, span_id=span_id, end_ns=end_ns or fields["start_ns"], **fields
        )
    content = json.dumps([trace_id, span_id, end_ns, fields], sort_keys=True, default=str)
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    missing = [name for name, given in (("trace_id", trace_id), ("span_id", span_id)) if not given]
    fields["attributes"] = {**fields["attributes"], semconv.REPAIRED: missing}
    return SpanRecord(
        trace_id=trace_id or digest[:32],
        span_id=span_id or digest[32:48],
        end_ns=end_ns or fields["start_ns"],
        **fields,
    )


def _event_name(name: str | None, attributes: Mapping[str, Any]) -> str | None:
    """The field, or the attribute that told it before the field existed."""
    given = name or attributes.get(semconv.EVENT_NAME)
    return given if isinstance(given, str) and given else None
