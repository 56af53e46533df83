"""Spans as JSON objects in the Python SDK's own words, one each.

`ReadableSpan.to_json()` and the console exporter write them so, with ids under `context`; others
write one such object per line with the ids beside the name, a scope, and `code` for the status.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_traj.importers.parts import Records
from otel_traj.importers.times import iso_ns
from otel_traj.model import SpanEvent, SpanKind, SpanLink, SpanStatus
from otel_traj.otlp import KINDS, STATUSES, hex_id, span_record

NAME: Final = "SDK spans"

_KINDS: Final[Mapping[str, SpanKind]] = {kind: kind for kind in KINDS}
_STATUSES: Final[Mapping[str, SpanStatus]] = {status: status for status in STATUSES}
_ENUM: Final = re.compile(r"SpanKind\.|SPAN_KIND_|StatusCode\.|STATUS_CODE_")

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """A span with its ids and start."""
    return "start_time" in value and ("span_id" in value or isinstance(value.get("context"), dict))


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """The span."""
    yield "", _records(value)


def _records(span: _Object) -> Records:
    context = span.get("context") or span
    status = span.get("status") or {}
    scope = span.get("scope") or span.get("instrumentation_scope") or {}
    resource = span.get("resource") or {}
    end = span.get("end_time")
    record = span_record(
        trace_id=hex_id(context.get("trace_id"), 16),
        span_id=hex_id(context.get("span_id"), 8),
        parent_span_id=hex_id(span.get("parent_span_id") or span.get("parent_id"), 8),
        name=span.get("name") or "",
        kind=_KINDS.get(_bare(span.get("kind")), "UNSPECIFIED"),
        start_ns=iso_ns(span["start_time"]),
        end_ns=iso_ns(end) if end else 0,
        status=_STATUSES.get(_bare(status.get("status_code") or status.get("code")), "UNSET"),
        status_message=status.get("message") or status.get("description") or None,
        attributes=dict(span.get("attributes") or {}),
        events=tuple(map(_event, span.get("events") or ())),
        links=tuple(map(_link, span.get("links") or ())),
        resource=dict(resource.get("attributes") or {}),
        scope_name=scope.get("name") or None,
        scope_version=scope.get("version") or None,
        scope_attributes=dict(scope.get("attributes") or {}),
        schema_url=resource.get("schema_url") or None,
        trace_state=_trace_state(context.get("trace_state")),
    )
    yield record if end else dataclasses.replace(record, end_ns=None)


def _bare(name: Any) -> str:
    """The name of an enum's member without the enum's."""
    return _ENUM.sub("", str(name))


def _trace_state(text: Any) -> str | None:
    """The header; the SDK prints an empty one as the list that it is."""
    return text if isinstance(text, str) and text not in ("", "[]") else None


def _event(event: _Object) -> SpanEvent:
    return SpanEvent(
        iso_ns(event["timestamp"]), event.get("name") or "", dict(event.get("attributes") or {})
    )


def _link(link: _Object) -> SpanLink:
    context = link.get("context") or link
    return SpanLink(
        hex_id(context.get("trace_id"), 16) or "",
        hex_id(context.get("span_id"), 8) or "",
        dict(link.get("attributes") or {}),
    )
