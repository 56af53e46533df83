"""The SDK's spans and logs into the store and into trajectories, without the agent waiting.

On the agent's thread a start, an end or a log is one `append` to a queue: no lock, no encoding, no
system call. One daemon thread takes the queue at most every `TICK_S`, writes what has ended as
lines of the write-ahead log, tells once of each span that is still open, follows each trace until
it is over (`OpenTrace`) and then writes its `Close`. Rows are derived by the sealer; listeners get
what the same pure core makes of the same lines.

What is bounded, and what goes when the bound is reached:

- the queue, `QUEUE_SIZE` items: from half on starts are no longer noted (the order of simultaneous
  starts and the early sign of a span are lost, no data); when full, ended spans and logs are
  dropped, counted per trace and told in its `Close`;
- what waits for a disk that cannot be written (`otel_traj.capture.spool`): the oldest is dropped,
  counted, and told in a `Close` of its own if that of its trace has been written;
- what is kept of one open trace for listeners, `KEPT_SPANS` and `KEPT_BYTES`: its contents are
  forgotten and listeners get an outline with `complete=False`; the store has everything;
- open traces, `OPEN_TRACES`: the oldest is no longer followed, its end is left to the sealer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import threading
import time
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, cast

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext, StatusCode, TraceFlags

from otel_traj import semconv, wal
from otel_traj.assembly import assemble
from otel_traj.assembly.lifecycle import OpenTrace
from otel_traj.capture.guard import faults, guard, logger, report
from otel_traj.capture.lines import Lines, has_ids
from otel_traj.capture.spool import Spool
from otel_traj.model import Close, LogRecord, SpanRecord, Trajectory
from otel_traj.redaction import FAILED, Redaction

TICK_S: Final = 0.2
"""How long an ended span may wait in memory: what `kill -9` without `flush()` loses at most."""

QUEUE_SIZE: Final = 16_384
KEPT_SPANS: Final = 10_000
KEPT_BYTES: Final = 64 * 1024 * 1024

OPEN_TRACES: Final = 10_000

_REMEMBERED_TRACES: Final = 10_000
_EXIT_S: Final = 10.0
"""How long the end of the program may wait for the last lines to be written."""
_RETRY_S: Final = 1.0
"""How long to leave a disk alone that could not be written, unless somebody flushes."""

_LOST: Final = re.compile(rb'\{"k":"(?P<kind>span|log)","trace_id":(?:"(?P<trace>[0-9a-f]+)"|null)')
"""How a line of an ended span or a log begins (`wal.encode`)."""

Listener: TypeAlias = Callable[[Trajectory], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a recording has done so far. Counts, but for `bytes_written`."""

    spans: int
    """Ended spans taken from the queue."""
    logs: int
    closes: int
    """Traces seen to end."""
    dropped_spans: int
    """Lost: the queue was full, or the disk could not be written for too long."""
    dropped_logs: int
    late_spans: int
    """Ended after their trace was closed; stored, but `on_trajectory` had been called."""
    open_traces: int
    queued: int
    """Items that wait for the next tick."""
    bytes_written: int
    bytes_waiting: int
    """Encoded and in memory, as the disk cannot be written."""
    write_failures: int
    redacted: Mapping[str, int]
    """Replacements by what was found; a text that goes into the store and over OTLP counts twice.
    """
    redaction_failures: int
    """Texts left out, as a function of the redaction raised."""
    listener_failures: int
    faults: int
    """Failures of otel-traj itself in this process, each kind logged once."""


@dataclass(slots=True)
class _Trace:
    """One trace that is not over: its lifecycle, and its lines if somebody listens."""

    lifecycle: OpenTrace
    listened: bool
    trajectory_id: str | None = None
    dropped_spans: int = 0
    dropped_logs: int = 0
    lines: list[bytes] = field(default_factory=list)
    n_bytes: int = 0
    n_spans: int = 0
    first_ns: int = 0
    last_ns: int = 0
    has_failed: bool = False
    is_whole: bool = True

    def end(self, span: ReadableSpan, now: float, *, was_told: bool) -> None:
        """Note an ended span; `was_told` unless it began in this very tick, never seen open."""
        is_root = _is_local_root(span)
        if was_told or is_root:
            self.lifecycle.end(_span_id(span), now, is_local_root=is_root)
        self.lifecycle.last_seen = now
        self.n_spans += 1
        self.first_ns = min(self.first_ns, span.start_time or 0)
        self.last_ns = max(self.last_ns, span.end_time or 0)
        if is_root:
            self.has_failed = span.status.status_code is StatusCode.ERROR
        given = span.attributes.get(semconv.TRAJECTORY_ID) if span.attributes else None
        if isinstance(given, str) and self.trajectory_id is None:
            self.trajectory_id = given

    def keep(self, line: bytes) -> None:
        """Hold a line for the listeners, unless that has become too much."""
        if not (self.listened and self.is_whole):
            return
        self.n_bytes += len(line)
        self.lines.append(line)
        if self.n_bytes > KEPT_BYTES or self.n_spans > KEPT_SPANS:
            self.is_whole = False
            self.lines.clear()


class TrajectorySpanProcessor(SpanProcessor):
    """Records the spans of a `TracerProvider`; its `log_processor` those of a `LoggerProvider`.

    Forked children record into a segment of their own, with a thread of their own. Nothing raises
    into the caller, and after `shutdown` everything is ignored.
    """

    def __init__(
        self,
        writer: wal.WalWriter | None,
        *,
        redaction: Redaction | None = None,
        of_roots: Mapping[str, Any] | None = None,
        after_tick: Callable[[int], object] | None = None,
        queue_size: int = QUEUE_SIZE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to record; the thread starts with the first span.

        Args:
            writer: Where lines go; None if only listeners want them.
            redaction: What is replaced before it is written; None for credentials.
            of_roots: Attributes that spans without a parent get besides.
            after_tick: Called on the worker thread with the bytes written so far.
            queue_size: Items that may wait.
            clock: Seconds, for the ends of traces.
        """
        self._writer = writer
        self._after_tick = after_tick
        self._clock = clock
        self._listeners: list[Listener] = []
        self._redaction = Redaction() if redaction is None else redaction
        self._lines = Lines(self._redaction, of_roots)
        self._limit = queue_size
        self._crowd = queue_size // 2
        self._is_shut = False
        self._reset()
        self.log_processor = TrajectoryLogProcessor(self)
        if hasattr(os, "register_at_fork"):
            reset = weakref.WeakMethod(self._after_fork_in_child)
            os.register_at_fork(after_in_child=lambda: (reset() or _nothing)())
        self._end_with_child()

    def _reset(self) -> None:
        """Begin with nothing: in a new process, whatever is here belongs to the parent."""
        self._queue: deque[Any] = deque()  # live spans (starts), readable spans (ends), logs
        self._idle = True  # the worker sleeps until it is roused, or there is none
        self._wake = _closed_gate()
        self._worker: threading.Thread | None = None
        self._tickets: deque[_Ticket] = deque()
        self._turn = threading.RLock()  # one tick at a time: the worker, or whoever finds it dead
        self._drops: Counter[tuple[int, bool]] = Counter()  # (trace id, is a log)
        self._drops_lock = threading.RLock()  # re-entrant: see `_closed_gate`
        # Below: touched under `_turn` only.
        self._traces: dict[int, _Trace] = {}
        self._over: OrderedDict[int, None] = OrderedDict()
        self._start_seqs: dict[int, int] = {}  # span id -> number; of open spans
        self._untold: dict[int, Span] = {}  # open spans whose start has not been written
        self._n_started = 0
        self._spool = Spool(self._writer, self._give_up) if self._writer else None
        self._lost: Counter[int] = Counter()  # trace id -> spans, of traces not open now
        self._n_lost_before = 0  # drops that the flush before has answered for
        self._finished: deque[tuple[_Trace, Close]] = deque()
        self._counts: Counter[str] = Counter()

    # --- the agent's thread -----------------------------------------------------------------------

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note that a span runs."""
        queue = self._queue
        if len(queue) < self._crowd:
            queue.append(span)
            if self._idle:
                self._rouse()
        else:
            self._rouse()

    def on_end(self, span: ReadableSpan) -> None:
        """Queue an ended span."""
        queue = self._queue
        if len(queue) < self._crowd:
            queue.append(span)
            if self._idle:
                self._rouse()
        else:
            self._crowded(span)

    def on_log(self, log: Any) -> None:
        """Queue a log record; those of no trace that are no events tell of no trajectory."""
        record = log.log_record
        if record.trace_id or getattr(record, "event_name", None):
            self.on_end(log)

    @guard("queue a span")
    def _crowded(self, item: Any) -> None:
        if self._is_shut:
            return
        self._rouse()
        if len(self._queue) < self._limit:
            self._queue.append(item)
            return
        with self._drops_lock:
            self._drops[_trace_id(item), not isinstance(item, ReadableSpan)] += 1

    @guard("start the recording thread")
    def _rouse(self) -> None:
        if self._is_shut:
            return
        if self._worker is None:
            with self._turn:
                if self._worker is None:
                    # Here, not before: if gevent has patched `threading` since, the thread is a
                    # greenlet, and waiting at a gate of the system would stop all the others.
                    self._wake = _closed_gate()
                    worker = threading.Thread(target=self._work, name="otel-traj", daemon=True)
                    worker.start()
                    self._worker = worker
        # Here, not when the worker has woken: until it gets its turn, each span would rouse it.
        self._idle = False
        with contextlib.suppress(RuntimeError):  # it is awake already
            self._wake.release()

    # --- set-up and end ---------------------------------------------------------------------------

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` on the worker thread with each trajectory that begins from now on."""
        self._listeners.append(listener)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write everything that has ended; True when it is durable and listeners were called.

        False as well when something was dropped since the last time that somebody asked.
        """
        if self._is_shut:
            return False
        worker = self._worker
        ticket = _Ticket()
        self._tickets.append(ticket)
        if worker is None or not worker.is_alive() or worker is threading.current_thread():
            self._take_turn()
        else:
            self._rouse()
        return ticket.done.wait(timeout_millis / 1000) and ticket.is_durable

    def shutdown(self) -> None:
        """Write everything and stop; what comes later is ignored. Waits `_EXIT_S` at most."""
        if self._is_shut:
            return
        deadline = time.monotonic() + _EXIT_S
        self.force_flush(int(_EXIT_S * 1000))
        self._limit = self._crowd = -1
        self._is_shut = True
        with contextlib.suppress(RuntimeError):
            self._wake.release()
        worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            worker.join(max(0.0, deadline - time.monotonic()))
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            # The worker is stuck in a write. The segment is its to close, the kernel's when we end.
            logger.warning(
                "The disk of the store does not answer: %d spans or logs and what was being"
                " written are lost unless it does before the program has ended",
                len(self._queue),
            )
            return
        try:
            with guard("write the last spans"):
                self._take_turn(last=True)
            self._leave()
        finally:
            self._turn.release()

    def _leave(self) -> None:
        """Give up what cannot be written, and the segment."""
        if self._spool is None:
            return
        before = self._n_lost
        if self._spool.give_up():
            logger.warning(
                "%d spans or logs are lost: the store could not be written up to the end of the"
                " program",
                self._n_lost - before,
            )
        self._spool.close()

    def stats(self) -> Stats:
        """Counts up to now."""
        counts, redacted = self._counts, self._redaction.counts()
        return Stats(
            spans=counts["spans"],
            logs=counts["logs"],
            closes=counts["closes"],
            dropped_spans=counts["dropped_spans"],
            dropped_logs=counts["dropped_logs"],
            late_spans=counts["late_spans"],
            open_traces=len(self._traces),
            queued=len(self._queue),
            bytes_written=self._spool.bytes_written if self._spool else 0,
            bytes_waiting=self._spool.n_bytes if self._spool else 0,
            write_failures=self._spool.failures if self._spool else 0,
            redacted=redacted,
            redaction_failures=redacted.get(FAILED, 0),
            listener_failures=counts["listener_failures"],
            faults=faults(),
        )

    def _after_fork_in_child(self) -> None:
        self._reset()
        self._end_with_child()

    def _end_with_child(self) -> None:
        """Have the rest written at the end of a child of `multiprocessing`: it has no `atexit`.

        It has finalisers, but clears them when it begins to work, and then sets those registered.
        """
        if "multiprocessing.util" in sys.modules:
            from multiprocessing import parent_process, util

            util.register_after_fork(self, _finalise_with_process)
            if parent_process() is not None:
                _finalise_with_process(self)

    # --- the worker -------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._is_shut:
            self._wait()
            self._take_turn()

    def _wait(self) -> None:
        """Sleep while there is nothing to do, then until a tick is due or somebody asks."""
        is_waiting = self._spool is not None and self._spool.n_bytes > 0
        if not is_waiting:
            self._idle = True  # before looking, so that nobody queues unseen in between
            if not (self._queue or self._tickets or self._is_shut):
                # Open traces may end by lingering; without one nothing happens unasked.
                self._wake.acquire(timeout=1.0 if self._traces else -1)
            self._idle = False
        if not (self._tickets or self._is_shut or len(self._queue) >= self._crowd):
            self._wake.acquire(timeout=_RETRY_S if is_waiting else TICK_S)

    def _take_turn(self, *, last: bool = False) -> None:
        """One tick, and what follows from it; whoever waits is told even if it failed."""
        tickets = [self._tickets.popleft() for _ in range(len(self._tickets))]
        is_durable = False
        try:
            with self._turn, guard("record spans"):
                is_durable = self._tick(last=last)
            self._deliver()
            if self._after_tick is not None:
                with guard("look after the store"):
                    self._after_tick(self._spool.bytes_written if self._spool else 0)
        finally:
            if tickets:
                is_durable = is_durable and self._n_lost == self._n_lost_before
                self._n_lost_before = self._n_lost
            for ticket in tickets:
                ticket.is_durable = is_durable
                ticket.done.set()

    def _tick(self, *, last: bool) -> bool:
        """Take the queue and write what came of it; whether nothing is left to be written."""
        lines: list[bytes] = []
        try:
            self._take_queue(lines, last=last)
        finally:
            is_written = self._write(lines)
        return is_written

    def _take_queue(self, lines: list[bytes], *, last: bool) -> None:
        now = self._clock()
        if self._writer is None and not self._listeners:
            self._queue.clear()
        recording = guard("record a span")
        for _ in range(len(self._queue)):
            item = self._queue.popleft()
            with recording:
                self._take(item, lines, now)
                continue
            self._count_lost(item)
        with guard("tell of open spans"):
            self._tell_open(lines, now)
        self._count_drops()
        with guard("close traces"):
            self._close_finished(lines, now, last=last)

    def _take(self, item: Any, lines: list[bytes], now: float) -> None:
        if type(item) is ReadableSpan:
            self._take_end(item, lines, now)
        elif isinstance(item, Span):
            self._take_start(item)
        elif isinstance(item, ReadableSpan):
            self._take_end(item, lines, now)
        else:
            self._take_log(item, lines)

    def _take_start(self, span: Span) -> None:
        context = cast(SpanContext, span.context)
        if has_ids(span) and context.trace_flags & TraceFlags.SAMPLED:
            self._start_seqs[context.span_id] = self._n_started
            self._untold[context.span_id] = span
            self._n_started += 1

    def _take_end(self, span: ReadableSpan, lines: list[bytes], now: float) -> None:
        context = span.context
        if context is None or not has_ids(span):
            self._counts["spans"] += 1
            lines.append(self._lines.of_span(span, None))
            return
        if not context.trace_flags & TraceFlags.SAMPLED:
            return
        self._counts["spans"] += 1
        was_told = self._untold.pop(context.span_id, None) is None
        line = self._lines.of_span(span, self._start_seqs.pop(context.span_id, None))
        lines.append(line)
        trace = self._trace_of(span, now)
        if trace is None:
            self._counts["late_spans"] += 1
            return
        trace.end(span, now, was_told=was_told)
        trace.keep(line)

    def _take_log(self, log: Any, lines: list[bytes]) -> None:
        self._counts["logs"] += 1
        line = self._lines.of_log(log)
        lines.append(line)
        if trace := self._traces.get(log.log_record.trace_id):
            trace.keep(line)

    def _trace_of(self, span: ReadableSpan, now: float) -> _Trace | None:
        """The open trace of a span, begun if need be; None if it is over and this no new root."""
        trace_id = cast(SpanContext, span.context).trace_id
        trace = self._traces.get(trace_id)
        if trace is None and (trace_id not in self._over or _is_local_root(span)):
            trace = self._traces[trace_id] = _Trace(
                OpenTrace(f"{trace_id:032x}", now),
                listened=bool(self._listeners),
                first_ns=span.start_time or 0,
                dropped_spans=self._lost.pop(trace_id, 0),
            )
            if len(self._traces) > OPEN_TRACES:
                self._forget(next(iter(self._traces)))
        return trace

    def _forget(self, trace_id: int) -> _Trace:
        """Follow a trace no longer; what still comes of it is late."""
        trace = self._traces.pop(trace_id)
        self._over[trace_id] = None
        if len(self._over) > _REMEMBERED_TRACES:
            self._over.popitem(last=False)
        for span_id in trace.lifecycle.open_spans:
            self._start_seqs.pop(int(span_id, 16), None)
        return trace

    def _tell_open(self, lines: list[bytes], now: float) -> None:
        """One `start` line for each span that has begun since the last tick and not ended."""
        untold, self._untold = self._untold, {}
        for span_id, span in untold.items():
            line = self._lines.of_span(span, self._start_seqs.get(span_id), is_open=True)
            lines.append(line)
            if trace := self._trace_of(span, now):
                trace.lifecycle.start(_sketch(span), now)
                trace.keep(line)

    def _count_drops(self) -> None:
        with self._drops_lock:
            drops, self._drops = self._drops, Counter()
        for (trace_id, is_log), count in drops.items():
            self._count_drop(trace_id, is_log, count)

    def _count_lost(self, item: Any) -> None:
        """An item that could not be recorded by a fault of ours; a lost start loses no data."""
        if not isinstance(item, Span):
            self._count_drop(_trace_id(item), not isinstance(item, ReadableSpan))

    def _count_drop(self, trace_id: int, is_log: bool, count: int = 1) -> None:
        if not (self._counts["dropped_spans"] or self._counts["dropped_logs"]):
            logger.warning(
                "Spans or logs were dropped: they came faster than they could be written, or the "
                "disk is full. Your program goes on. Further drops are only counted "
                "(Recording.stats(), and n_dropped_spans of the trajectories)"
            )
        self._counts["dropped_logs" if is_log else "dropped_spans"] += count
        if trace := self._traces.get(trace_id):
            trace.dropped_logs += count * is_log
            trace.dropped_spans += count * (not is_log)
        elif not is_log and len(self._lost) < _REMEMBERED_TRACES:
            self._lost[trace_id] += count

    @property
    def _n_lost(self) -> int:
        """Spans and logs dropped so far."""
        return self._counts["dropped_spans"] + self._counts["dropped_logs"]

    # --- the end of a trace -----------------------------------------------------------------------

    def _close_finished(self, lines: list[bytes], now: float, *, last: bool) -> None:
        for trace_id, trace in [*self._traces.items()]:
            trace.lifecycle.forget_ended()
            if trace.lifecycle.is_done(now) or (last and trace.lifecycle.root_ended is not None):
                self._close(trace_id, lines)

    def _close(self, trace_id: int, lines: list[bytes]) -> None:
        trace = self._forget(trace_id)
        lifecycle = trace.lifecycle
        close = Close(
            trajectory_id=trace.trajectory_id or _made_id(lifecycle),
            trace_ids=(lifecycle.trace_id,),
            root_span_id=lifecycle.root_span_id,
            n_open=len(lifecycle.open_spans),
            dropped_spans=trace.dropped_spans,
            dropped_logs=trace.dropped_logs,
        )
        self._counts["closes"] += 1
        close = self._redaction.record(close)
        lines.append(wal.encode([close]))
        if self._listeners:
            self._finished.append((trace, close))

    def _deliver(self) -> None:
        """Call the listeners. Outside of `_turn`: they may do anything, also flush."""
        while self._finished:
            trace, close = self._finished.popleft()
            with guard("assemble a trajectory"):
                for trajectory in _trajectories(trace, close):
                    for listener in self._listeners:
                        self._call(listener, trajectory)

    def _call(self, listener: Listener, trajectory: Trajectory) -> None:
        try:
            listener(trajectory)
        except Exception as error:  # the user's code, on our thread
            self._counts["listener_failures"] += 1
            report("call an on_trajectory listener", error)

    # --- the disk ---------------------------------------------------------------------------------

    def _write(self, lines: Iterable[bytes]) -> bool:
        """Append lines to the log; whether nothing waits any more."""
        if self._spool is None:
            return True
        self._spool.add(lines)
        if not self._spool.write():
            return False
        if self._lost.keys() & self._over.keys():
            self._spool.add(self._told_losses())
            return self._spool.write()
        return True

    def _told_losses(self) -> Iterable[bytes]:
        """A further `Close` of each trace that lost spans after its own one was on its way."""
        for trace_id in [*self._lost.keys() & self._over.keys()]:
            dropped = self._lost.pop(trace_id)
            yield wal.encode([Close("", (f"{trace_id:032x}",), None, dropped_spans=dropped)])

    def _give_up(self, line: bytes) -> None:
        """Count a lost line. Its head is enough: decoding it takes memory, which may be short."""
        if lost := _LOST.match(line):
            self._count_drop(int(lost["trace"] or b"0", 16), is_log=lost["kind"] == b"log")


class TrajectoryLogProcessor(LogRecordProcessor):
    """The log side of a `TrajectorySpanProcessor`: the same queue, so that order is kept."""

    def __init__(self, spans: TrajectorySpanProcessor) -> None:
        """Feed the queue of `spans`, which does everything else."""
        self._spans = spans

    def on_emit(self, log_record: Any) -> None:
        """Queue a log record."""
        self._spans.on_log(log_record)

    emit = on_emit  # its name before opentelemetry-sdk 1.35

    def shutdown(self) -> None:
        """Write everything; stopping is the span processor's."""
        self.force_flush()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the span processor's."""
        return self._spans.force_flush(timeout_millis)


class _Ticket:
    """Somebody waits for the next tick."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.is_durable = False


def _closed_gate() -> threading.Lock:
    """A semaphore without memory: who acquires it waits until somebody releases it.

    `release` is atomic and never blocks, so it is safe where a finaliser or a signal handler
    interrupts the very same call; an `Event` is not.
    """
    gate = threading.Lock()
    gate.acquire()
    return gate


def _nothing() -> None:
    """In place of a processor that is gone."""


def _finalise_with_process(processor: TrajectorySpanProcessor) -> None:
    from multiprocessing.util import Finalize

    Finalize(None, processor.shutdown, exitpriority=0)


def _trace_id(item: Any) -> int:
    """The trace of a span or log; 0 for none."""
    context = item.context if isinstance(item, ReadableSpan) else item.log_record
    return (context.trace_id or 0) if context else 0


def _is_local_root(span: ReadableSpan) -> bool:
    return span.parent is None or span.parent.is_remote


def _sketch(span: ReadableSpan) -> SpanRecord:
    """As much of a span as `OpenTrace` looks at."""
    parent = span.parent
    return SpanRecord(
        trace_id="",
        span_id=_span_id(span),
        parent_span_id=f"{parent.span_id:016x}" if parent else None,
        name=span.name,
        start_ns=span.start_time or 0,
        end_ns=None,
        flags=0x300 if parent and parent.is_remote else None,
    )


def _span_id(span: ReadableSpan) -> str:
    return f"{cast(SpanContext, span.context).span_id:016x}"


def _made_id(trace: OpenTrace) -> str:
    """The id that assembly gives a trajectory whose user gave none (`assembly.rows.Ids`)."""
    return hashlib.sha256(f"{trace.trace_id}{trace.root_span_id or ''}".encode()).hexdigest()[:20]


def _trajectories(trace: _Trace, close: Close) -> Iterable[Trajectory]:
    """What a finished trace holds, derived as the sealer will from the same lines."""
    if not (trace.listened and trace.is_whole):
        yield _outline(trace, close)
        return
    records = list(wal.decode(b"".join(trace.lines)))
    assemblies = assemble(
        [record for record in records if isinstance(record, SpanRecord)],
        [record for record in records if isinstance(record, LogRecord)],
    )
    for assembly in assemblies:
        yield replace(assembly.trajectory, n_dropped_spans=close.dropped_spans)


def _outline(trace: _Trace, close: Close) -> Trajectory:
    """All that is left of a trace whose contents were too much to keep."""
    return Trajectory(
        trajectory_id=close.trajectory_id,
        trace_ids=close.trace_ids,
        root_span_id=close.root_span_id,
        start_time=_instant(trace.first_ns),
        end_time=_instant(trace.last_ns),
        duration_us=trace.last_ns // 1000 - trace.first_ns // 1000,
        status="error" if trace.has_failed else "completed",
        n_spans=trace.n_spans,
        n_open=close.n_open,
        n_dropped_spans=close.dropped_spans,
        complete=False,
    )


def _instant(ns: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=ns // 1000)
