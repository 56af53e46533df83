"""`instrument()` and what it returns: one recording per process, into one store."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context

from otel_traj.capture import state
from otel_traj.capture.guard import guard
from otel_traj.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.trace import TracerProvider

    from otel_traj.capture.instrumentors import Switched
    from otel_traj.capture.processor import Stats
    from otel_traj.capture.sealing import SealStarter
    from otel_traj.model import Trajectory
    from otel_traj.redaction import Redaction

ListenerT = TypeVar("ListenerT", bound="Callable[[Trajectory], object]")

SCOPE: Final = "otel_traj"

MAX_ATTRIBUTES: Final = 4096
"""Per span of a provider that we make. The SDK's 128 cut long histories, oldest messages first."""

_lock = threading.RLock()  # protects `_recording`
_recording: Recording | None = None


@dataclass(frozen=True, slots=True)
class _Options:
    """The arguments of `instrument`, with defaults resolved."""

    store: Path
    sinks: frozenset[str]
    content: bool | None
    """What was said about content; None for yes into the store and no over OTLP."""
    redaction: Redaction
    instrumentors: tuple[str, ...] | None
    tracer_provider: TracerProvider | None
    logger_provider: LoggerProvider | None
    seal: bool


def instrument(
    store: str | Path | None = None,
    *,
    sinks: Collection[str] = ("store",),
    content: bool | None = None,
    redact: Redaction | bool | None = None,
    instrumentors: Collection[str] | None = None,
    tracer_provider: TracerProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    seal: bool = True,
) -> Recording:
    """Record this process's agents from now on.

    Uses the tracer and logger providers that are there, or makes them; switches on the instrumentor
    of each installed model library. Asked again with the same arguments, or with none, it returns
    the recording that is on.

    Args:
        store: Folder of the store; None for `OTEL_TRAJ_STORE`, else `./traces`.
        sinks: Where records go: `store`, `otlp`. `OTEL_EXPORTER_OTLP_ENDPOINT` adds `otlp` unless
            the provider exports over OTLP already.
        content: Whether to record prompts, answers, arguments, results and files. None for what
            `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says; without it they are kept in
            the store and left out of what goes over OTLP.
        redact: What is replaced before anything leaves the process, on a thread of ours: a
            `Redaction`, True for all built-in rules, False for nothing. None for what
            `OTEL_TRAJ_REDACT` says, else for credentials.
        instrumentors: Libraries (`openai`, `anthropic`, `langchain`) or packages of instrumentors
            to switch on. None for all that is installed, () for none.
        tracer_provider: Instead of the global one.
        logger_provider: Instead of the global one.
        seal: Whether a helper process may turn the log into Parquet at the end and now and then.

    Raises:
        UnknownNameError: No sink, instrumentor or redaction rule of that name.
        StoreNotWritableError: Nothing can be written there.
        StoreVersionError: A newer otel-traj made the store.
        ConfigurationError: A recording is on with other arguments, or a provider is not the SDK's.
    """
    from otel_traj.capture import instrumentors as switches
    from otel_traj.capture import sinks as sink_names
    from otel_traj.redaction import choose

    global _recording
    given = (store, sinks, content, redact, instrumentors, tracer_provider, logger_provider, seal)
    options = _Options(
        store=Path(store or os.environ.get("OTEL_TRAJ_STORE") or "traces").absolute(),
        sinks=sink_names.check((sinks,) if isinstance(sinks, str) else sinks),
        content=_said_of_content() if content is None else content,
        redaction=choose(redact),
        instrumentors=switches.check(instrumentors),
        tracer_provider=tracer_provider,
        logger_provider=logger_provider,
        seal=seal,
    )
    with _lock:
        if _recording is None:
            _recording = Recording(options)
        elif given != _DEFAULTS and options != _recording._options:
            raise ConfigurationError(
                f"Recording to {str(_recording._options.store)!r} already, with other arguments. "
                "Call `shutdown()` on the recording first, or `instrument()` without arguments"
            )
        return _recording


def _said_of_content() -> bool | None:
    """What the user's environment says; while a recording is on, its variables are in there too."""
    from otel_traj.capture import instrumentors

    with _lock:
        if _recording is not None:
            return _recording._options.content
        return instrumentors.content_by_environment()


def uninstrument() -> None:
    """End the recording of this process, if one is on: everything is written and put back.

    Instrumentors, switches of libraries and variables are as they were before `instrument`.
    """
    with _lock:
        recording = _recording
    if recording is not None:
        recording.shutdown()


_DEFAULTS: Final = (None, ("store",), None, None, None, None, None, True)


class Recording:
    """What `instrument` returns: the recording of this process, until `shutdown`."""

    def __init__(self, options: _Options) -> None:
        """Begin; see `instrument`, the only caller."""
        from otel_traj import wal
        from otel_traj.capture import instrumentors, sampled, sinks
        from otel_traj.capture.announcement import announce
        from otel_traj.capture.processor import TrajectorySpanProcessor
        from otel_traj.capture.sealing import SealStarter

        self._options = options
        writer = None
        self._seals: SealStarter | None = None
        if sinks.STORE in options.sinks:
            wal.initialise(options.store)
            writer = wal.WalWriter(options.store)
            self._seals = SealStarter(options.store) if options.seal else None
        tracers = _tracer_provider(options.tracer_provider)
        loggers = _logger_provider(options.logger_provider, tracers)
        content = _content_to_record(options, tracers, loggers)
        of_roots = sampled.told_by(tracers)
        self._others: list[Any] = []
        if sinks.OTLP in options.sinks or sinks.wants_otlp(tracers):
            self._others += sinks.otlp_processors(
                options.redaction, content=options.content is True, of_roots=of_roots
            )
        self._processor = TrajectorySpanProcessor(
            writer,
            redaction=options.redaction,
            of_roots=of_roots,
            after_tick=self._seals.after_tick if self._seals else None,
        )
        self._switched: Switched = instrumentors.switch_on(
            options.instrumentors,
            content=content,
            content_over_otlp=options.content is True,
            tracer_provider=tracers,
            logger_provider=loggers,
            attach=self._attach,
        )
        self._attach(tracers)
        for log_processor in [self._processor.log_processor, *self._others[1:]]:
            loggers.add_log_record_processor(log_processor)
        state.set_active(active_of(tracers, loggers, content is True))
        atexit.register(self.shutdown)
        announce(_heading(options, self._others), self._switched.outcomes, content)

    def _attach(self, provider: Any) -> None:
        """Record the spans of a tracer provider, if it is one of the SDK."""
        if hasattr(provider, "add_span_processor"):
            for processor in [self._processor, *self._others[:1]]:
                provider.add_span_processor(processor)

    @property
    def instrumented(self) -> tuple[str, ...]:
        """Packages switched on: instrumentors, and libraries that tell of themselves."""
        return self._switched.names

    def flush(self, timeout: float = 30.0) -> bool:
        """Return when everything that has ended is on disk, and `on_trajectory` has been called.

        With the sink `otlp`, when it has been sent as well.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it is; False after the timeout, where the disk cannot be written or nobody takes
            what is sent, and when something was dropped since the flush before.
        """
        deadline = monotonic() + timeout
        flushed = [
            processor.force_flush(max(0, int((deadline - monotonic()) * 1000)))
            for processor in [self._processor, *self._others]
        ]
        return all(flushed)

    def shutdown(self) -> None:
        """Write everything and stop recording; called at the end of the program in any case.

        Instrumentors and variables are as before. A later `instrument` begins anew.
        """
        global _recording
        with _lock:
            if _recording is not self:
                return
            _recording = None
            state.set_active(None)
        atexit.unregister(self.shutdown)
        self._switched.off()
        for processor in [self._processor, *self._others]:
            with guard("shut down"):
                processor.shutdown()
        if self._seals is not None and self.stats().bytes_written:
            with guard("start sealing"):
                self._seals.start()
                self._seals.leave()

    def on_trajectory(self, listener: ListenerT) -> ListenerT:
        """Call `listener(trajectory)` with each run that begins from now on, when it is over.

        On a thread of ours, one call at a time. What it raises is logged once and counted. Usable
        as a decorator.
        """
        self._processor.add_listener(listener)
        return listener

    def stats(self) -> Stats:
        """What has been recorded, dropped and failed so far."""
        return self._processor.stats()

    @property
    def store(self) -> Path | None:
        """Folder of the store that is recorded into; None where everything goes over OTLP."""
        return self._options.store if "store" in self._options.sinks else None


def _tracer_provider(given: TracerProvider | None) -> TracerProvider:
    """The provider to record from: the given, the global, or a new one made global."""
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider

    present: Any = given or trace.get_tracer_provider()
    if isinstance(present, trace.ProxyTracerProvider):
        limits = SpanLimits()
        if not any(os.environ.get(name) for name in ATTRIBUTE_LIMITS):
            limits = SpanLimits(max_span_attributes=MAX_ATTRIBUTES)
        present = TracerProvider(span_limits=limits)
        trace.set_tracer_provider(present)
    if not hasattr(present, "add_span_processor"):
        raise ConfigurationError(
            f"The tracer provider {present!r} takes no span processors. Give one of "
            "opentelemetry-sdk: instrument(tracer_provider=...)"
        )
    provider: TracerProvider = present
    return provider


def _content_to_record(
    options: _Options, tracers: TracerProvider, loggers: LoggerProvider
) -> bool | None:
    """What instrumentors are told; None leaves it as it is, for what others export is theirs."""
    from otel_traj.capture import sinks

    if options.content is not None:
        return options.content
    if _has_foreign_processors(tracers) or _has_foreign_processors(loggers):
        return None
    return sinks.STORE in options.sinks


def _heading(options: _Options, others: Sequence[Any]) -> str:
    """Where records go, for the eyes of a person."""
    from otel_traj.capture import sinks

    places = [str(options.store)] if sinks.STORE in options.sinks else []
    return f"records to {' and '.join([*places, *(['OTLP'] if others else [])])}"


def _has_foreign_processors(provider: TracerProvider | LoggerProvider) -> bool:
    """Whether somebody else sees what this provider's tracers or loggers record.

    Also of a provider that stands in for another one, as Logfire's does; True where none is seen.
    """
    inner = getattr(provider, "provider", provider)
    spans = getattr(inner, "_active_span_processor", None)
    logs = getattr(inner, "_multi_log_record_processor", None)
    several = getattr(spans, "_span_processors", getattr(logs, "_log_record_processors", None))
    return several is None or any(not _is_ours(processor) for processor in several)


def _is_ours(processor: Any) -> bool:
    """Whether it is ours, or the SDK's round an exporter of ours."""
    batch = getattr(processor, "_batch_processor", processor)
    exporter = getattr(batch, "span_exporter", None) or getattr(batch, "_exporter", None)
    return any(type(part).__module__.startswith("otel_traj") for part in (processor, exporter))


ATTRIBUTE_LIMITS: Final = ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")


def _logger_provider(given: LoggerProvider | None, tracers: TracerProvider) -> LoggerProvider:
    """As `_tracer_provider`. Without one, what instrumentors send as events would be lost."""
    from opentelemetry import _logs
    from opentelemetry.sdk._logs import LoggerProvider

    present: Any = given or _logs.get_logger_provider()
    if not hasattr(present, "add_log_record_processor"):
        present = LoggerProvider(resource=tracers.resource)
        _logs.set_logger_provider(present)
    provider: LoggerProvider = present
    return provider


def active_of(tracers: TracerProvider, loggers: LoggerProvider, content: bool) -> state.Active:
    """What lets the verbs record into these providers."""
    from opentelemetry._logs import LogRecord, SeverityNumber

    logger = loggers.get_logger(SCOPE)

    def emit(event: str, attributes: Mapping[str, Any], context: Context) -> None:
        logger.emit(
            LogRecord(
                timestamp=time_ns(),
                context=context,
                severity_number=SeverityNumber.INFO,
                attributes=dict(attributes),
                event_name=event,
            )
        )

    return state.Active(tracers.get_tracer(SCOPE), emit, content)
