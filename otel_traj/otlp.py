"""OTLP messages <-> records: protobuf and JSON, traces and logs.

Both encodings end in the same two builders, so a span reads the same whichever way it came; and
both are written from one message in plain Python, so it is the same whichever way it goes. Reading
gives what was written (`tests/test_otlp.py`), but for `start_seq`, which OTLP does not have, and
for spans that have not ended, which it does not carry.

Protobuf classes come from `opentelemetry-proto` and are imported on first use only: a recording
process never needs them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, Final, Literal, TypeAlias, cast

from otel_traj import semconv
from otel_traj.errors import InputError
from otel_traj.model import (
    Attributes,
    LogRecord,
    SpanEvent,
    SpanKind,
    SpanLink,
    SpanRecord,
    SpanStatus,
    is_local_root,
    quickly_made,
)

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

_HEX: Final = re.compile(r"[0-9A-Fa-f]+")


def records_from_json(message: Mapping[str, Any]) -> Iterator[SpanRecord | LogRecord]:
    """Read an export request (or `TracesData`, `LogsData`) in the JSON encoding.

    Ids are hex, as OTLP says; base64, which generic protobuf printers write, is accepted, and hex
    of another length as `hex_id` says.

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
            yield from map(_start_or_log, _logs_of_json(group))
    except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError) as error:
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
    message = parsed(body, signal)
    if signal == "traces":
        yield from _spans_of_proto(message)
    else:
        yield from map(_start_or_log, _logs_of_proto(message))


@dataclass(frozen=True, slots=True)
class Origin:
    """What spans of one scope of a request have in common."""

    resource: Attributes
    scope_name: str | None
    scope_version: str | None
    scope_attributes: Attributes
    schema_url: str | None


@quickly_made
@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """An ended span as it came, of which only what places it is read; `record` reads the rest.

    Whoever sorts spans needs no more, and sends their bytes to who does.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    start_ns: int
    end_ns: int
    is_local_root: bool
    body: bytes
    origin: Origin

    @property
    def record(self) -> SpanRecord:
        """The whole of it, read anew each time."""
        return _span_of_proto(_span_message().FromString(self.body), self.origin)


@cache
def _span_message() -> Any:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

    return Message


Span: TypeAlias = SpanRecord | ReceivedSpan


def record_of(span: Span) -> SpanRecord:
    """The record of a span, read by now or not."""
    return span if isinstance(span, SpanRecord) else span.record


def received_spans(body: bytes) -> Iterator[Span]:
    """The spans of a serialised `ExportTraceServiceRequest`, as little of them as places them.

    Those without ids, which are made from their content, are read whole.

    Raises:
        InputError: The bytes are no such message.
    """
    for span, origin in _spans_with_origin(parsed(body, "traces")):
        trace_id, span_id = _proto_id(span.trace_id), _proto_id(span.span_id)
        if not trace_id or not span_id:
            yield _span_of_proto(span, origin)
            continue
        parent_span_id = _proto_id(span.parent_span_id)
        yield ReceivedSpan(
            trace_id,
            span_id,
            parent_span_id,
            span.start_time_unix_nano,
            span.end_time_unix_nano or span.start_time_unix_nano,
            is_local_root(parent_span_id, span.flags),
            span.SerializeToString(),
            origin,
        )


def check_protobuf(body: bytes, signal: Signal) -> int:
    """How many spans or logs a serialised export request has; its records are not made.

    Args:
        body: As for `records_from_protobuf`, which reads whatever this one accepts.
        signal: Which of the two it is.

    Raises:
        InputError: The bytes are no such message.
    """
    message = parsed(body, signal)
    if signal == "traces":
        return sum(len(s.spans) for group in message.resource_spans for s in group.scope_spans)
    return sum(len(s.log_records) for group in message.resource_logs for s in group.scope_logs)


def parsed(body: bytes, signal: Signal) -> Any:
    """A serialised export request as protobuf message, `TracesData` or `LogsData`.

    Raises:
        InputError: The bytes are no such message.
    """
    from google.protobuf.message import DecodeError

    try:
        if signal == "traces":
            from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

            return TracesData.FromString(body)
        from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

        return LogsData.FromString(body)
    except DecodeError as error:
        raise InputError(f"Not an OTLP {signal} message: {error}") from error


def _start_or_log(log: LogRecord) -> SpanRecord | LogRecord:
    """The open span that an event `traj.span.start` tells of; any other log as it is."""
    name = log.attributes.get(semconv.SPAN_START_NAME)
    if log.event_name != semconv.EVENT_SPAN_START or not (log.trace_id and log.span_id and name):
        return log
    told = (semconv.SPAN_START_NAME, semconv.SPAN_START_PARENT, semconv.EVENT_NAME)
    parent = log.attributes.get(semconv.SPAN_START_PARENT)
    return SpanRecord(
        trace_id=log.trace_id,
        span_id=log.span_id,
        parent_span_id=parent if isinstance(parent, str) else None,
        name=str(name),
        start_ns=log.time_ns or log.observed_ns or 0,
        end_ns=None,
        attributes={key: value for key, value in log.attributes.items() if key not in told},
        scope_name=log.scope_name,
        resource=log.resource,
    )


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
    if not text or _HEX.fullmatch(text):
        return hex_id(text, size)
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
    for span, origin in _spans_with_origin(message):
        yield _span_of_proto(span, origin)


def _spans_with_origin(message: Any) -> Iterator[tuple[Any, Origin]]:
    for group in message.resource_spans:
        resource = _proto_attributes(group.resource.attributes)
        for part in group.scope_spans:
            origin = Origin(
                resource,
                part.scope.name or None,
                part.scope.version or None,
                _proto_attributes(part.scope.attributes),
                part.schema_url or None,
            )
            for span in part.spans:
                yield span, origin


def _span_of_proto(span: Any, origin: Origin) -> SpanRecord:
    trace_id, span_id = _proto_id(span.trace_id), _proto_id(span.span_id)
    end_ns = span.end_time_unix_nano
    is_whole = trace_id and span_id and end_ns  # as nearly all are
    make = cast("Callable[..., SpanRecord]", SpanRecord if is_whole else span_record)
    return make(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=_proto_id(span.parent_span_id),
        name=span.name,
        kind=_enum(span.kind, KINDS, ""),
        start_ns=span.start_time_unix_nano,
        end_ns=end_ns,
        status=_enum(span.status.code, STATUSES, ""),
        status_message=span.status.message or None,
        attributes=_proto_attributes(span.attributes),
        events=tuple(map(_proto_event, span.events)) if span.events else (),
        links=tuple(map(_proto_link, span.links)) if span.links else (),
        resource=origin.resource,
        scope_name=origin.scope_name,
        scope_version=origin.scope_version,
        scope_attributes=origin.scope_attributes,
        schema_url=origin.schema_url,
        trace_state=span.trace_state or None,
        flags=span.flags or None,
        dropped_attributes=span.dropped_attributes_count,
        dropped_events=span.dropped_events_count,
        dropped_links=span.dropped_links_count,
    )


def _proto_event(event: Any) -> SpanEvent:
    return SpanEvent(event.time_unix_nano, event.name, _proto_attributes(event.attributes))


def _proto_link(link: Any) -> SpanLink:
    return SpanLink(link.trace_id.hex(), link.span_id.hex(), _proto_attributes(link.attributes))


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
    # Nearly all are texts: these need not be asked what they are.
    return {pair.key: pair.value.string_value or _proto_value(pair.value) for pair in pairs}


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


def hex_id(given: str | None, size: int) -> str | None:
    """An id of `size` bytes as lower-case hex, whatever its writer took for an id.

    A shorter one is padded with zeros, as Jaeger's 64-bit trace ids are. One that is longer or no
    hex at all, as makers of their own ids write, becomes a digest of itself: the same one always,
    so that parents and children still find each other. None when absent or all zero.
    """
    text = (given or "").lower().removeprefix("0x")
    if not text.strip("0"):
        return None
    if len(text) <= 2 * size and _HEX.fullmatch(text):
        return text.zfill(2 * size)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[: 2 * size]


def _event_name(name: str | None, attributes: Mapping[str, Any]) -> str | None:
    """The field, or the attribute that told it before the field existed."""
    given = name or attributes.get(semconv.EVENT_NAME)
    return given if isinstance(given, str) and given else None


# --- writing -----------------------------------------------------------------------------------


def traces_to_protobuf(spans: Iterable[SpanRecord]) -> bytes:
    """Serialise ended spans as one `ExportTraceServiceRequest`; open ones are left out."""
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    return TracesData(**_traces(spans)).SerializeToString()


def logs_to_protobuf(logs: Iterable[LogRecord]) -> bytes:
    """Serialise log records as one `ExportLogsServiceRequest`."""
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    return LogsData(**_logs(logs)).SerializeToString()


def traces_to_json(spans: Iterable[SpanRecord]) -> dict[str, Any]:
    """Ended spans as an export request in the JSON encoding; open ones are left out.

    Returns:
        A message of which `json.dumps` makes one line as the Collector's file exporter writes it.
    """
    return {"resourceSpans": _json_field("", _traces(spans)["resource_spans"])}


def logs_to_json(logs: Iterable[LogRecord]) -> dict[str, Any]:
    """Log records as an export request in the JSON encoding."""
    return {"resourceLogs": _json_field("", _logs(logs)["resource_logs"])}


def _traces(spans: Iterable[SpanRecord]) -> dict[str, Any]:
    """The message as its protobuf class takes it: fields under their own names, ids as bytes."""
    ended = (span for span in spans if span.end_ns is not None)
    # `repr`, for 1 and True are equal, and a resource of one is not a resource of the other.
    groups = groupby(ended, key=lambda span: repr((span.resource, _scope(span), span.schema_url)))
    parts = [[*members] for _, members in groups]
    return {
        "resource_spans": [
            {
                "resource": {"attributes": _pairs(part[0].resource)},
                "scope_spans": [
                    {
                        "scope": _scope(part[0]),
                        "spans": [*map(_span, part)],
                        "schema_url": _text(part[0].schema_url),
                    }
                ],
            }
            for part in parts
        ]
    }


def _scope(span: SpanRecord) -> dict[str, Any]:
    return {
        "name": _text(span.scope_name),
        "version": _text(span.scope_version),
        "attributes": _pairs(span.scope_attributes),
    }


def _span(span: SpanRecord) -> dict[str, Any]:
    return {
        "trace_id": bytes.fromhex(span.trace_id),
        "span_id": bytes.fromhex(span.span_id),
        "parent_span_id": bytes.fromhex(span.parent_span_id or ""),
        "trace_state": _text(span.trace_state),
        "flags": span.flags or 0,
        "name": _text(span.name),
        "kind": KINDS.index(span.kind),
        "start_time_unix_nano": _unsigned(span.start_ns),
        "end_time_unix_nano": _unsigned(span.end_ns),
        "attributes": _pairs(span.attributes),
        "dropped_attributes_count": span.dropped_attributes,
        "events": [
            {
                "time_unix_nano": _unsigned(event.time_ns),
                "name": _text(event.name),
                "attributes": _pairs(event.attributes),
            }
            for event in span.events
        ],
        "dropped_events_count": span.dropped_events,
        "links": [
            {
                "trace_id": bytes.fromhex(link.trace_id),
                "span_id": bytes.fromhex(link.span_id),
                "attributes": _pairs(link.attributes),
            }
            for link in span.links
        ],
        "dropped_links_count": span.dropped_links,
        "status": {"message": _text(span.status_message), "code": STATUSES.index(span.status)},
    }


def _logs(logs: Iterable[LogRecord]) -> dict[str, Any]:
    groups = groupby(logs, key=lambda log: repr((log.resource, log.scope_name)))
    parts = [[*members] for _, members in groups]
    return {
        "resource_logs": [
            {
                "resource": {"attributes": _pairs(part[0].resource)},
                "scope_logs": [
                    {
                        "scope": {"name": _text(part[0].scope_name)},
                        "log_records": [*map(_log, part)],
                    }
                ],
            }
            for part in parts
        ]
    }


def _log(log: LogRecord) -> dict[str, Any]:
    return {
        "time_unix_nano": _unsigned(log.time_ns),
        "observed_time_unix_nano": _unsigned(log.observed_ns),
        "severity_text": _text(log.severity),
        "body": _any_value(log.body),
        "attributes": _pairs(log.attributes),
        "trace_id": bytes.fromhex(log.trace_id or ""),
        "span_id": bytes.fromhex(log.span_id or ""),
        "event_name": _text(log.event_name),
    }


def _pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": _text(key), "value": _any_value(value)} for key, value in attributes.items()]


def _any_value(value: Any) -> dict[str, Any]:
    """An `AnyValue`; what it cannot hold (an integer beyond 64 bits, a foreign object) as text."""
    match value:
        case None:
            return {}
        case bool():
            return {"bool_value": value}
        case int() if -(2**63) <= value < 2**63:
            return {"int_value": value}
        case float():
            return {"double_value": value}
        case bytes():
            return {"bytes_value": value}
        case Mapping():
            return {"kvlist_value": {"values": _pairs(value)}}
        case str():
            return {"string_value": _text(value)}
        case Sequence():
            return {"array_value": {"values": [*map(_any_value, value)]}}
    return {"string_value": _text(str(value))}


def _text(text: str | None) -> str:
    """As UTF-8 can hold it: lone surrogates replaced by U+FFFD. Absent is empty."""
    return (text or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unsigned(ns: int | None) -> int:
    """A time as OTLP's fixed64 holds it: none before 1970. Absent is 0."""
    return min(max(ns or 0, 0), 2**64 - 1)


_AS_TEXT: Final = ("int_value", "_unix_nano")
"""Ends of the names of 64-bit fields, which the JSON encoding writes as decimal text."""


def _json_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message in the JSON encoding, without fields that say nothing, as protobuf writes it.

    Of attributes nothing is left out: false is not the same as no value.
    """
    return {
        _camel(name): _json_field(name, field)
        for name, field in message.items()
        if field or name == "key" or name.endswith("_value")
    }


def _json_field(name: str, field: Any) -> Any:
    if isinstance(field, Mapping):
        return _json_message(field)
    if isinstance(field, list):
        return [*map(_json_message, field)]
    if isinstance(field, bytes):
        return base64.b64encode(field).decode() if name == "bytes_value" else field.hex()
    if isinstance(field, float) and not math.isfinite(field):
        return "NaN" if math.isnan(field) else "Infinity" if field > 0 else "-Infinity"
    return str(field) if name.endswith(_AS_TEXT) else field


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))
