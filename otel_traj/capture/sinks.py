"""Where records go: `store` is our own write-ahead log, `otlp` the SDK's processors and exporters.

The exporters are the SDK's, so its environment variables hold (endpoint, headers, protocol,
compression, timeouts). They are imported only when asked for, being much heavier than all the rest.
"""

from __future__ import annotations

import copy
import importlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, TraceState, set_span_in_context

from otel_traj import semconv
from otel_traj.capture.guard import guard
from otel_traj.capture.lines import event_name
from otel_traj.dialects.content import body_without_content, without_content
from otel_traj.errors import UnknownNameError
from otel_traj.redaction import (
    BODY,
    EVENT,
    NAME,
    SCOPE_NAME,
    STATUS_MESSAGE,
    TRACE_STATE,
    Redaction,
    marked,
)

STORE: Final = "store"
OTLP: Final = "otlp"

LIVE: Final = "OTEL_TRAJ_LIVE"

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def check(names: Iterable[str]) -> frozenset[str]:
    """The sinks asked for.

    Raises:
        UnknownNameError: There is no such sink.
    """
    known = (STORE, OTLP)
    for name in names:
        if name not in known:
            raise UnknownNameError("sink", name, known)
    return frozenset(names)


def wants_otlp(tracer_provider: TracerProvider) -> bool:
    """Whether the environment names a Collector that this provider does not export to yet."""
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return False
    active = getattr(tracer_provider, "_active_span_processor", None)
    processors = getattr(active, "_span_processors", ())
    exporters = [getattr(processor, "span_exporter", None) for processor in processors]
    return not any(type(exporter).__name__ == "OTLPSpanExporter" for exporter in exporters)


def otlp_processors(
    redaction: Redaction, *, content: bool, of_roots: Mapping[str, Any] | None = None
) -> tuple[Any, Any]:
    """The SDK's batch processors for spans and logs, exporting redacted copies over OTLP.

    Args:
        redaction: What is replaced in the copies.
        content: Whether messages, arguments, results and files may leave the process; False takes
            them out of what instrumentors and verbs recorded (`otel_traj.dialects.content`).
        of_roots: Attributes that spans without a parent get besides.

    With `OTEL_TRAJ_LIVE=1` an event tells of each span as it begins, for who watches runs live.
    """
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "")
    package = f"opentelemetry.exporter.otlp.proto.{'grpc' if protocol == 'grpc' else 'http'}"
    traces = importlib.import_module(f"{package}.trace_exporter").OTLPSpanExporter
    logs = importlib.import_module(f"{package}._log_exporter").OTLPLogExporter
    spans = _Spans(RedactingSpanExporter(traces(), redaction, content, of_roots))
    events = _Logs(RedactingLogExporter(logs(), redaction, content))
    is_live = os.environ.get(LIVE) == "1"
    return StartTeller(spans, events) if is_live else spans, events


class _Spans(BatchSpanProcessor):
    """The SDK's, whose flush knows neither a timeout nor whether it was in vain."""

    def __init__(self, exporter: RedactingSpanExporter) -> None:
        super().__init__(exporter)
        self._redacting = exporter

    def force_flush(self, timeout_millis: int | None = 30_000) -> bool:
        return _flush(super().force_flush, self._redacting, timeout_millis)


class _Logs(BatchLogRecordProcessor):
    """As `_Spans`."""

    def __init__(self, exporter: RedactingLogExporter) -> None:
        super().__init__(cast(Any, exporter))
        self._redacting = exporter

    def force_flush(self, timeout_millis: int | None = 30_000) -> bool:
        return _flush(super().force_flush, self._redacting, timeout_millis)


def _flush(
    flush: Callable[[], bool],
    exporter: RedactingSpanExporter | RedactingLogExporter,
    timeout_millis: int | None,
) -> bool:
    """Whether all exports of a flush succeeded in time; one that did not goes on."""
    failures = exporter.failures
    waiting = threading.Thread(target=flush, name="otel-traj-flush", daemon=True)
    waiting.start()
    waiting.join(None if timeout_millis is None else timeout_millis / 1000)
    return not waiting.is_alive() and exporter.failures == failures


class StartTeller(SpanProcessor):
    """Stands before a span processor and emits an event `traj.span.start` for each span."""

    def __init__(self, spans: SpanProcessor, events: Any) -> None:
        """Pass spans on to `spans`, and tell of their starts to the log processor `events`."""
        self._spans = spans
        self._events = events
        self._loggers: dict[int, tuple[Resource, LoggerProvider]] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tell of the start."""
        self._spans.on_start(span, parent_context)
        with guard("tell of a started span"):
            self._tell(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Pass it on."""
        self._spans.on_end(span)

    def shutdown(self) -> None:
        """As the span processor's."""
        self._spans.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the span processor's."""
        return self._spans.force_flush(timeout_millis)

    def _tell(self, span: Span) -> None:
        if not span.get_span_context().trace_flags.sampled:
            return
        attributes = {**(span.attributes or {}), semconv.SPAN_START_NAME: span.name}
        if span.parent is not None:
            attributes[semconv.SPAN_START_PARENT] = f"{span.parent.span_id:016x}"
        scope = span.instrumentation_scope
        self._provider(span.resource).get_logger(scope.name if scope else "").emit(
            LogRecord(
                timestamp=span.start_time,
                context=set_span_in_context(span),
                event_name=semconv.EVENT_SPAN_START,
                attributes=attributes,
            )
        )

    def _provider(self, resource: Resource) -> LoggerProvider:
        """One whose logs go to `events` alone; made once for each resource."""
        kept = self._loggers.get(id(resource))
        if kept is None:
            provider = LoggerProvider(resource, shutdown_on_exit=False)
            provider.add_log_record_processor(self._events)
            kept = self._loggers[id(resource)] = (resource, provider)
        return kept[1]


class RedactingSpanExporter(SpanExporter):
    """Gives an exporter copies of spans that have been redacted."""

    def __init__(
        self,
        exporter: Any,
        redaction: Redaction,
        content: bool = True,
        of_roots: Mapping[str, Any] | None = None,
    ) -> None:
        """Stand before `exporter`; without `content` the copies lack what holds it.

        Copies of spans without a parent have the attributes `of_roots` besides.
        """
        self._exporter = exporter
        self._copies = _Copies(redaction, content, of_roots)
        self.failures = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export redacted copies."""
        try:
            result: SpanExportResult = self._exporter.export([*map(self._copies.of_span, spans)])
        except Exception:  # as exporters of older SDKs do
            self.failures += 1
            raise
        self.failures += result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        """As the exporter's."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the exporter's."""
        return bool(self._exporter.force_flush(timeout_millis))


class RedactingLogExporter:
    """As `RedactingSpanExporter`, for logs; the SDK has renamed its base class, so it has none."""

    def __init__(self, exporter: Any, redaction: Redaction, content: bool = True) -> None:
        """Stand before `exporter`; see `RedactingSpanExporter`."""
        self._exporter = exporter
        self._copies = _Copies(redaction, content)
        self.failures = 0

    def export(self, batch: Sequence[Any]) -> Any:
        """Export redacted copies."""
        try:
            result = self._exporter.export([*map(self._copies.of_log, batch)])
        except Exception:
            self.failures += 1
            raise
        self.failures += result.name != "SUCCESS"
        return result

    def shutdown(self) -> None:
        """As the exporter's."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the exporter's."""
        return bool(self._exporter.force_flush(timeout_millis))


class _RedactedSpan(ReadableSpan):
    """A copy with other values; what the limits dropped from the original stays counted."""

    def __init__(self, original: ReadableSpan, **values: Any) -> None:
        super().__init__(
            parent=original.parent,
            kind=original.kind,
            start_time=original.start_time,
            end_time=original.end_time,
            **values,
        )
        self._original = original

    @property
    def dropped_attributes(self) -> int:
        return self._original.dropped_attributes

    @property
    def dropped_events(self) -> int:
        return self._original.dropped_events

    @property
    def dropped_links(self) -> int:
        return self._original.dropped_links


_MAX_COPIES: Final = 256
"""Resources and scopes of which the copy is kept."""

_T = TypeVar("_T")


class _Copies:
    """Redacted copies of the SDK's objects, with or without content."""

    def __init__(
        self, redaction: Redaction, content: bool, of_roots: Mapping[str, Any] | None = None
    ) -> None:
        self._redaction = redaction
        self._of_roots = of_roots or {}
        self._content = content
        self._copies: dict[int, tuple[Any, Any]] = {}

    def of_span(self, span: ReadableSpan) -> ReadableSpan:
        attributes, changed = self._told(span.attributes)
        if self._of_roots and span.parent is None:
            attributes = {**self._of_roots, **attributes}
        status, name = span.status, self._value(NAME, span.name, changed)
        message = self._value(STATUS_MESSAGE, status.description, changed)
        events = [
            Event(
                self._value(EVENT, event.name, changed),
                self._part(event.attributes, changed),
                event.timestamp,
            )
            for event in span.events
        ]
        links = [
            Link(self._context(link.context), self._part(link.attributes, changed))
            for link in span.links
        ]
        return _RedactedSpan(
            span,
            name=name or "",
            context=self._context(span.context),
            resource=self._kept(span.resource, self._resource),
            instrumentation_scope=self._kept(span.instrumentation_scope, self._scope),
            attributes=marked(attributes, changed),
            events=events,
            links=links,
            status=status if message is status.description else Status(status.status_code, message),
        )

    def of_log(self, given: Any) -> Any:
        log = copy.copy(given.log_record)
        body = log.body if self._content else body_without_content(event_name(log), log.body)
        attributes, changed = self._told(log.attributes)
        log.body = self._value(BODY, body, changed)
        log.attributes = dict(marked(attributes, changed))
        redacted = copy.copy(given)
        # The SDK's class is frozen, and another one in each of its versions.
        object.__setattr__(redacted, "log_record", log)
        for name, copied in (("resource", self._resource), ("instrumentation_scope", self._scope)):
            if hasattr(given, name):
                object.__setattr__(redacted, name, self._kept(getattr(given, name), copied))
        return redacted

    def _told(self, attributes: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], list[str]]:
        given = dict(attributes or {})
        return self._redaction.told(given if self._content else without_content(given))

    def _part(self, attributes: Mapping[str, Any] | None, changed: list[str]) -> Mapping[str, Any]:
        """The attributes of an event or a link."""
        redacted, keys = self._told(attributes)
        changed += keys
        return redacted

    def _value(self, key: str, value: Any, changed: list[str]) -> Any:
        redacted = self._redaction.value(key, value)
        if redacted is not value:
            changed.append(key)
        return redacted

    def _context(self, context: Any) -> Any:
        """A span context, whose trace state others have written."""
        state = context.trace_state if context else None
        if not state:
            return context
        redacted = {key: self._redaction.value(TRACE_STATE, item) for key, item in state.items()}
        if all(redacted[key] is item for key, item in state.items()):
            return context
        told = TraceState([(key, item) for key, item in redacted.items() if item is not None])
        return SpanContext(
            context.trace_id, context.span_id, context.is_remote, context.trace_flags, told
        )

    def _kept(self, thing: _T, copied: Callable[[_T], _T]) -> _T:
        """`copied(thing)`, made once. Holding `thing` keeps its `id` from being given again."""
        kept = self._copies.get(id(thing))
        if kept is None:
            if len(self._copies) >= _MAX_COPIES:
                self._copies.clear()
            kept = self._copies[id(thing)] = (thing, copied(thing))
        return cast(_T, kept[1])

    def _resource(self, resource: Resource) -> Resource:
        attributes, changed = self._redaction.told(dict(resource.attributes))
        return Resource(attributes, resource.schema_url) if changed else resource

    def _scope(self, scope: InstrumentationScope | None) -> InstrumentationScope | None:
        if scope is None:
            return None
        attributes, changed = self._redaction.told(dict(scope.attributes or {}))
        name = self._redaction.value(SCOPE_NAME, scope.name)
        if not changed and name is scope.name:
            return scope
        return InstrumentationScope(name or "", scope.version, scope.schema_url, attributes)
