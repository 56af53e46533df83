"""The SDK's spans and log records as lines of the write-ahead log.

`span_record` and `log_record` say what a span or log *is* as a record, exactly as if it had come
through OTLP (`tests/capture/test_lines.py` sends each through the SDK's own encoder). `Lines`
writes the same thing as text without making records, since it is paid for every span of the user's
program; resource and scope, which hardly ever change, are kept as text.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from otel_traj import semconv, wal
from otel_traj.model import LogRecord, SpanEvent, SpanLink, SpanRecord, SpanStatus
from otel_traj.model import SpanKind as SpanKindName
from otel_traj.redaction import SCOPE_NAME, TRACE_STATE, Redaction

# As the OTLP encoder sets them. Bit 8: it is known whether the parent is remote; bit 9: it is.
_LOCAL_PARENT: Final = 0x100
_REMOTE_PARENT: Final = 0x300

_MAX_TEXTS: Final = 256
"""Resources, scopes and names kept as text; beyond that we begin afresh."""


class Lines:
    """Writes spans and logs of this process as lines, redacted; used by one thread at a time."""

    def __init__(self, redaction: Redaction, of_roots: Mapping[str, Any] | None = None) -> None:
        """Choose what is replaced on the way, and what spans without a parent get besides."""
        self._redaction = redaction
        self._of_roots = of_roots or {}
        self._texts: dict[int, tuple[object, str]] = {}
        self._names: dict[str, str | None] = {}

    def of_span(self, span: ReadableSpan, start_seq: int | None, *, is_open: bool = False) -> bytes:
        """One line, with its end; `is_open` for a span that has only started."""
        if has_ids(span):
            line = self._fast(span, start_seq, is_open)
            if line is not None:
                return line.encode("ascii")
        record = span_record(span, start_seq, is_open=is_open)
        if self._of_roots and span.parent is None:
            record = replace(record, attributes={**self._of_roots, **record.attributes})
        return wal.encode([self._redaction.record(record)])

    def of_log(self, log: Any) -> bytes:
        """One line, with its end, of what a log processor is given."""
        return wal.encode([self._redaction.record(log_record(log))])

    def _fast(self, span: ReadableSpan, start_seq: int | None, is_open: bool) -> str | None:
        """The text of `wal.encode([span_record(...)])`; None if it may have to be redacted."""
        name, attributes = self._name(_name(span)), _copy(span.attributes)
        if self._of_roots and span.parent is None:
            attributes = {**self._of_roots, **attributes}
        message, others = _message_text(span), _others_text(span)
        if name is None or self._redaction.may_change(attributes):
            return None
        if (message or others) and self._redaction.may_hold(message + others):
            return None
        context, parent = cast(SpanContext, span.context), span.parent
        kind, status = span.kind, span.status.status_code
        parts = [
            '{"k":"start"' if is_open else '{"k":"span"',
            f',"trace_id":"{context.trace_id:032x}","span_id":"{context.span_id:016x}"',
            f',"parent_span_id":"{parent.span_id:016x}"' if parent else ',"parent_span_id":null',
            f',"name":{name},"start_ns":{_start_ns(span)}',
            ',"end_ns":null' if is_open else f',"end_ns":{_end_ns(span)}',
            "" if kind is SpanKind.INTERNAL else f',"kind":"{kind.name}"',
            "" if status is StatusCode.UNSET else f',"status":"{status.name}"',
            message,
            f',"attributes":{wal.dumps(attributes)}' if attributes else "",
            others,
            self._kept(span.resource, self._resource_text),
        ]
        if (scope := span.instrumentation_scope) is not None:
            parts.append(self._kept(scope, self._scope_text))
        if state := self._redaction.value(TRACE_STATE, _trace_state(context)):
            parts.append(f',"trace_state":{wal.dumps(state)}')
        parts.append(f',"flags":{_flags(parent)}')
        for name in ("dropped_attributes", "dropped_events", "dropped_links"):
            if dropped := getattr(span, name):
                parts.append(f',"{name}":{dropped}')
        if start_seq is not None:
            parts.append(f',"start_seq":{start_seq}')
        parts.append("}\n")
        return "".join(parts)

    def _kept(self, thing: Any, text_of: Callable[[Any], str]) -> str:
        """`text_of(thing)`, made once. Holding `thing` keeps its `id` from being given again."""
        kept = self._texts.get(id(thing))
        if kept is None:
            if len(self._texts) >= _MAX_TEXTS:
                self._texts.clear()
            kept = self._texts[id(thing)] = (thing, text_of(thing))
        return kept[1]

    def _name(self, name: str) -> str | None:
        """A span's name as JSON; None if it has to be redacted.

        Programs have few names, but for those that put ids into them.
        """
        if name not in self._names:
            if len(self._names) >= _MAX_TEXTS:
                self._names.clear()
            self._names[name] = None if self._redaction.may_hold(name) else wal.dumps(name)
        return self._names[name]

    def _resource_text(self, resource: Resource) -> str:
        attributes, _ = self._redaction.told(dict(resource.attributes))
        return f',"resource":{wal.dumps(attributes)}' if attributes else ""

    def _scope_text(self, scope: InstrumentationScope) -> str:
        fields: Sequence[tuple[str, Any]] = (
            ("scope_name", scope.name and self._redaction.value(SCOPE_NAME, scope.name)),
            ("scope_version", scope.version),
            ("scope_attributes", self._redaction.told(_copy(scope.attributes))[0]),
            ("schema_url", scope.schema_url),
        )
        return "".join(f',"{name}":{wal.dumps(value)}' for name, value in fields if value)


def _message_text(span: ReadableSpan) -> str:
    message = span.status.description
    return f',"status_message":{wal.dumps(message)}' if message else ""


def _others_text(span: ReadableSpan) -> str:
    """Events and links."""
    told, events, links = "", span.events, span.links
    if events:
        told += f',"events":{wal.dumps([_event_fields(event) for event in events])}'
    if links:
        told += f',"links":{wal.dumps([_link_fields(link) for link in links])}'
    return told


def span_record(span: ReadableSpan, start_seq: int | None, *, is_open: bool = False) -> SpanRecord:
    """An SDK span as a record; `is_open` for one that has only started.

    One without ids gets some, and tells so in `traj.repaired`: it still says what happened.
    """
    scope, status, context = span.instrumentation_scope, span.status, span.context
    attributes = _copy(span.attributes)
    trace_id, span_id = (context.trace_id, context.span_id) if context else (0, 0)
    if missing := [n for n, i in (("trace_id", trace_id), ("span_id", span_id)) if not i]:
        attributes[semconv.REPAIRED] = missing
    return SpanRecord(
        trace_id=f"{trace_id:032x}" if trace_id else secrets.token_hex(16),
        span_id=f"{span_id:016x}" if span_id else secrets.token_hex(8),
        parent_span_id=f"{span.parent.span_id:016x}" if span.parent else None,
        name=_name(span),
        start_ns=_start_ns(span),
        end_ns=None if is_open else _end_ns(span),
        kind=cast(SpanKindName, span.kind.name),
        status=cast(SpanStatus, status.status_code.name),
        status_message=status.description or None,
        attributes=attributes,
        events=tuple(
            SpanEvent(event.timestamp, event.name, _copy(event.attributes)) for event in span.events
        ),
        links=tuple(
            SpanLink(
                f"{link.context.trace_id:032x}",
                f"{link.context.span_id:016x}",
                _copy(link.attributes),
            )
            for link in span.links
        ),
        resource=dict(span.resource.attributes),
        scope_name=(scope.name or None) if scope else None,
        scope_version=(scope.version or None) if scope else None,
        scope_attributes=_copy(scope.attributes) if scope else {},
        schema_url=(scope.schema_url or None) if scope else None,
        trace_state=_trace_state(context),
        flags=_flags(span.parent),
        dropped_attributes=span.dropped_attributes,
        dropped_events=span.dropped_events,
        dropped_links=span.dropped_links,
        start_seq=start_seq,
    )


def log_record(given: Any) -> LogRecord:
    """What a log processor is given as a record; the SDK has renamed its class three times."""
    log, scope = given.log_record, given.instrumentation_scope
    resource = getattr(given, "resource", None) or log.resource
    return LogRecord(
        trace_id=f"{log.trace_id:032x}" if log.trace_id else None,
        span_id=f"{log.span_id:016x}" if log.span_id else None,
        time_ns=log.timestamp or None,
        observed_ns=log.observed_timestamp or None,
        event_name=event_name(log),
        severity=log.severity_text or None,
        body=log.body,
        attributes=_copy(log.attributes),
        scope_name=(scope.name or None) if scope else None,
        resource=dict(resource.attributes),
    )


def event_name(log: Any) -> str | None:
    """The name of an SDK log record, from the field or the attribute that was there before it."""
    name = getattr(log, "event_name", None) or (log.attributes or {}).get(semconv.EVENT_NAME)
    return name if isinstance(name, str) and name else None


def has_ids(span: ReadableSpan) -> bool:
    """False for spans made by hand or by a broken id generator."""
    return bool(span.context and span.context.trace_id and span.context.span_id)


def _name(span: ReadableSpan) -> str:
    name: object = span.name  # whatever its annotation says
    return name if isinstance(name, str) else wal.text_of(name)


def _start_ns(span: ReadableSpan) -> int:
    return span.start_time or 0


def _end_ns(span: ReadableSpan) -> int:
    return span.end_time or _start_ns(span)


def _copy(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """The attributes as they are now, though another thread may be setting one of them.

    `copy` of the SDK's class is one step under the interpreter's lock; `dict(...)` iterates.
    """
    if not attributes:
        return {}
    copied = getattr(attributes, "copy", attributes.items)()
    return copied if isinstance(copied, dict) else dict(copied)


def _event_fields(event: Any) -> dict[str, Any]:
    fields = {"time_ns": event.timestamp, "name": event.name}
    return {**fields, "attributes": _copy(event.attributes)} if event.attributes else fields


def _link_fields(link: Any) -> dict[str, Any]:
    fields = {
        "trace_id": f"{link.context.trace_id:032x}",
        "span_id": f"{link.context.span_id:016x}",
    }
    return {**fields, "attributes": _copy(link.attributes)} if link.attributes else fields


def _trace_state(context: Any) -> str | None:
    state = context.trace_state if context else None
    return ",".join(f"{key}={value}" for key, value in state.items()) if state else None


def _flags(parent: Any) -> int:
    return _REMOTE_PARENT if parent and parent.is_remote else _LOCAL_PARENT
