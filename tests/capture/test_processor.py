"""Spans reach the store and listeners, whatever happens; the agent is never hurt."""

from __future__ import annotations

import dataclasses
import gc
import os
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from otel_traj import semconv, wal
from otel_traj.assembly import IDLE_S, LINGER_S, assemble
from otel_traj.capture import processor as module
from otel_traj.capture import spool
from otel_traj.capture.processor import TrajectorySpanProcessor
from otel_traj.model import Close, LogRecord, SpanRecord, Trajectory
from otel_traj.store import open_store

AGENT = {semconv.OPERATION: semconv.OP_INVOKE_AGENT, semconv.AGENT_NAME: "a"}
TOOL = {semconv.OPERATION: semconv.OP_EXECUTE_TOOL, semconv.TOOL_NAME: "look"}


def run_agent(tracer: Any, tools: int = 1) -> None:
    with tracer.start_as_current_span("invoke_agent a", attributes=AGENT):
        for _ in range(tools):
            with tracer.start_as_current_span("execute_tool look", attributes=TOOL):
                pass


def ended(spans: list[SpanRecord]) -> list[SpanRecord]:
    return [span for span in spans if not span.is_open]


def wait_until(condition: Callable[[], object]) -> None:
    """Poll; the worker has its own time."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# --- what is recorded --------------------------------------------------------------------------


def test_flush_returns_when_everything_that_ended_is_on_disk(processors: Any, records: Any) -> None:
    processor, tracer = processors()

    run_agent(tracer)
    assert processor.force_flush()

    spans = records(SpanRecord)
    assert [(s.name, s.start_seq) for s in spans] == [
        ("execute_tool look", 1),
        ("invoke_agent a", 0),
    ]
    (close,) = records(Close)
    assert close == Close(
        trajectory_id=assemble(spans)[0].trajectory.trajectory_id,
        trace_ids=(spans[0].trace_id,),
        root_span_id=spans[1].span_id,
    )
    assert (processor.stats().spans, processor.stats().closes) == (2, 1)


def test_spans_are_written_soon_without_being_asked(processors: Any, records: Any) -> None:
    _, tracer = processors()

    run_agent(tracer)

    wait_until(lambda: records(Close))


def test_open_span_is_told_once_with_what_is_known(processors: Any, records: Any) -> None:
    processor, tracer = processors()

    with tracer.start_as_current_span("invoke_agent a", attributes=AGENT):
        with tracer.start_as_current_span("execute_tool look", attributes=TOOL) as tool:
            processor.force_flush()
            tool.set_attribute("late", 1)
            processor.force_flush()
        assert processor.stats().open_traces == 1
        assert records(Close) == []
    processor.force_flush()

    spans = records(SpanRecord)
    assert [(s.name, s.is_open, "late" in s.attributes) for s in spans] == [
        ("invoke_agent a", True, False),
        ("execute_tool look", True, False),
        ("execute_tool look", False, True),
        ("invoke_agent a", False, False),
    ]
    assert [s.start_seq for s in spans] == [0, 1, 1, 0]
    assert len(records(Close)) == 1


def test_trace_with_a_span_left_open_closes_after_lingering(processors: Any, records: Any) -> None:
    clock = Clock()
    processor, tracer = processors(clock=clock)
    with tracer.start_as_current_span("root") as root:
        left = tracer.start_span("left open")
        processor.force_flush()

    processor.force_flush()
    assert records(Close) == []
    clock.now += LINGER_S
    processor.force_flush()

    (close,) = records(Close)
    assert close.n_open == 1
    assert close.root_span_id == f"{root.context.span_id:016x}"
    left.end()
    processor.force_flush()
    assert [s.name for s in ended(records(SpanRecord))] == ["root", "left open"]
    assert len(records(Close)) == 1
    assert processor.stats().late_spans == 1


def test_remote_parent_makes_a_local_root(processors: Any, records: Any) -> None:
    processor, tracer = processors()
    context = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))

    for _ in range(2):
        tracer.start_span("request", set_span_in_context(NonRecordingSpan(context))).end()
        processor.force_flush()

    assert len(records(Close)) == 2


def test_trace_without_a_local_root_is_over_when_quiet(processors: Any, records: Any) -> None:
    clock = Clock()
    processor, tracer = processors(clock=clock)
    foreign = SpanContext(7, 8, is_remote=False, trace_flags=TraceFlags(1))

    with tracer.start_as_current_span("s", set_span_in_context(NonRecordingSpan(foreign))):
        processor.force_flush()
    processor.force_flush()
    assert records(Close) == []
    clock.now += IDLE_S
    processor.force_flush()

    (close,) = records(Close)
    assert close.root_span_id is None


def test_the_user_s_id_is_in_the_close(processors: Any, records: Any) -> None:
    processor, tracer = processors()

    with tracer.start_as_current_span("root"):
        tracer.start_span("run", attributes={semconv.TRAJECTORY_ID: "mine"}).end()
    processor.force_flush()

    assert [close.trajectory_id for close in records(Close)] == ["mine"]


def test_logs_of_traces_and_events_are_kept_and_others_are_not(
    processors: Any, records: Any
) -> None:
    processor, tracer = processors()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor.log_processor)
    logger = provider.get_logger("l")

    logger.emit(body="outside")
    logger.emit(body="event", event_name="gen_ai.evaluation.result")
    with tracer.start_as_current_span("s") as span:
        logger.emit(body="inside")
    processor.force_flush()

    logs = records(LogRecord)
    assert [log.body for log in logs] == ["event", "inside"]
    assert logs[1].span_id == f"{span.context.span_id:016x}"
    assert processor.stats().logs == 2


def test_unsampled_spans_are_left_out(processors: Any, records: Any) -> None:
    processor, _ = processors()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(processor)

    with provider.get_tracer("t").start_as_current_span("s"):
        pass
    for flags in (TraceFlags(0), TraceFlags(1)):
        context = SpanContext(1, 2, is_remote=False, trace_flags=flags)
        processor.on_end(ReadableSpan(f"sampled {flags}", context=context, start_time=1))
    processor.force_flush()

    assert [span.name for span in records(SpanRecord)] == ["sampled 1"]


@pytest.mark.parametrize("context", [None, SpanContext(0, 0, is_remote=False)])
def test_span_without_ids_is_recorded(processors: Any, records: Any, context: Any) -> None:
    processor, _ = processors()

    processor.on_end(ReadableSpan("by hand", context=context))
    processor.force_flush()

    (span,) = records(SpanRecord)
    assert span.attributes[semconv.REPAIRED] == ["trace_id", "span_id"]


def test_threads_and_pools_record_together(processors: Any, records: Any) -> None:
    processor, tracer = processors()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: run_agent(tracer, tools=4), range(40)))
    processor.force_flush()

    spans = records(SpanRecord)
    assert len(ended(spans)) == 40 * 5
    assert len(records(Close)) == 40
    assert {s.start_seq for s in ended(spans)} == set(range(200))
    assert processor.stats().dropped_spans == 0


# --- bounds ------------------------------------------------------------------------------------


def test_full_queue_drops_are_counted_and_told_in_the_close(
    processors: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, tracer = processors(queue_size=8)
    with processor._turn, tracer.start_as_current_span("root"):  # the worker cannot take the queue
        for _ in range(20):
            tracer.start_span("child").end()
        wait_until(lambda: not processor._idle)
    processor.force_flush()
    with tracer.start_as_current_span("next"):
        pass
    processor.force_flush()

    stats = processor.stats()
    kept = [s.name for s in ended(records(SpanRecord))]
    assert stats.dropped_spans > 0
    assert kept.count("child") + kept.count("root") + stats.dropped_spans == 21
    assert kept[-1] == "next"


def test_dropped_spans_are_told_in_the_close_of_their_trace(processors: Any, records: Any) -> None:
    processor, tracer = processors(queue_size=8)
    with tracer.start_as_current_span("root"):
        processor.force_flush()
        with processor._turn:
            for _ in range(20):
                tracer.start_span("child").end()
        processor.force_flush()
    processor.force_flush()

    (close,) = records(Close)
    assert close.dropped_spans == processor.stats().dropped_spans > 0


def test_ended_spans_are_released_though_their_trace_is_open(processors: Any) -> None:
    processor, tracer = processors()
    with tracer.start_as_current_span("root"):
        never = tracer.start_span("never ended", attributes={"a": 1})
        run_agent(tracer, tools=50)
        processor.force_flush()

        assert len(processor._queue) == len(processor._untold) == 0
        assert len(processor._start_seqs) == 2
        gc.collect()
        assert not any(
            type(o) is ReadableSpan and o.name == "execute_tool look" for o in gc.get_objects()
        )
    del never


def test_oldest_open_trace_is_forgotten_beyond_the_bound(
    processors: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_TRACES", 3)
    processor, tracer = processors()

    roots = [tracer.start_span(f"root {n}", context=set_span_in_context(_none())) for n in range(5)]
    processor.force_flush()
    assert processor.stats().open_traces == 3
    for root in roots:
        root.end()
    processor.force_flush()

    assert len(ended(records(SpanRecord))) == 5
    assert processor.stats().open_traces == 0


def _none() -> Any:
    return NonRecordingSpan(SpanContext(0, 0, is_remote=False))


@pytest.mark.usefixtures("faults_are_swallowed")
def test_disk_that_is_full_is_tried_again_and_nothing_is_lost(
    processors: Any, records: Any
) -> None:
    processor, tracer = processors()
    run_agent(tracer)
    assert processor.force_flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        run_agent(tracer)
        assert not processor.force_flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert processor.force_flush()
    assert len(ended(records(SpanRecord))) == 4
    assert len(records(Close)) == 2
    assert processor.stats().write_failures > 0


@pytest.mark.usefixtures("faults_are_swallowed")
def test_what_waits_for_a_full_disk_is_bounded_and_its_loss_counted(
    processors: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SPOOL_BYTES", 3000)
    processor, tracer = processors()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        for _ in range(10):
            run_agent(tracer)
            processor.force_flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert processor.force_flush()

    stored = len(ended(records(SpanRecord)))
    assert 0 < stored < 20
    assert stored + processor.stats().dropped_spans == 20


@pytest.mark.usefixtures("faults_are_swallowed")
def test_run_that_lost_spans_to_a_full_disk_says_so_in_the_store(
    processors: Any, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, tracer = processors()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        run_agent(tracer, tools=9)
        assert not processor.force_flush()
        monkeypatch.setattr(spool, "SPOOL_BYTES", processor.stats().bytes_waiting // 2)
        assert not processor.force_flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert processor.force_flush()

    [(n_spans, n_dropped)] = (
        open_store(store).sql("select n_spans, n_dropped_spans from trajectories").fetchall()
    )
    assert n_dropped == processor.stats().dropped_spans > 0
    assert n_spans + n_dropped == 10


@pytest.mark.usefixtures("faults_are_swallowed")
def test_what_cannot_be_written_up_to_the_end_is_counted_and_told_once(
    processors: Any, caplog: pytest.LogCaptureFixture
) -> None:
    processor, tracer = processors()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        run_agent(tracer)
        run_agent(tracer)
        processor.shutdown()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert processor.stats().dropped_spans == 4
    told = [record.getMessage()[:30] for record in caplog.records]
    assert told == [
        "Cannot write to the store: [Er",
        "Spans or logs were dropped: th",
        "4 spans or logs are lost: the ",
    ]


def test_end_of_the_program_does_not_wait_for_a_disk_that_does_not_answer(
    processors: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, let_go = threading.Event(), threading.Event()

    def sync(fd: int) -> None:
        stuck.set()
        assert let_go.wait(60)

    monkeypatch.setattr(wal, "_fdatasync", sync)
    monkeypatch.setattr(module, "_EXIT_S", 0.3)
    processor, tracer = processors()
    run_agent(tracer)
    assert stuck.wait(10)

    processor.shutdown()

    assert not let_go.is_set()
    assert "does not answer" in caplog.text
    let_go.set()


# --- listeners ---------------------------------------------------------------------------------


def test_listener_gets_what_the_sealer_derives(processors: Any, records: Any) -> None:
    processor, tracer = processors()
    heard: list[Trajectory] = []
    processor.add_listener(heard.append)

    run_agent(tracer, tools=3)
    with tracer.start_as_current_span("health check"):
        pass
    processor.force_flush()

    (trajectory,) = heard
    derived = assemble(records(SpanRecord), records(LogRecord))
    assert [trajectory] == [assembly.trajectory for assembly in derived]
    assert trajectory.steps == derived[0].trajectory.steps
    assert trajectory.complete


@pytest.mark.parametrize(("limit", "value"), [("KEPT_SPANS", 10), ("KEPT_BYTES", 4000)])
def test_long_run_is_an_outline_for_listeners_and_whole_in_the_store(
    processors: Any, records: Any, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(module, limit, value)
    processor, tracer = processors()
    heard: list[Trajectory] = []
    processor.add_listener(heard.append)

    run_agent(tracer, tools=20)
    processor.force_flush()

    (outline,) = heard
    spans = records(SpanRecord)
    (derived,) = assemble(spans)
    assert len(spans) == outline.n_spans == 21
    assert (outline.complete, outline.steps) == (False, ())
    same = ("trajectory_id", "trace_ids", "root_span_id", "start_time", "end_time", "status")
    for name in same:
        assert getattr(outline, name) == getattr(derived.trajectory, name), name


@pytest.mark.usefixtures("faults_are_swallowed")
def test_listener_that_raises_is_counted_and_others_are_called(processors: Any) -> None:
    processor, tracer = processors()
    heard: list[Trajectory] = []

    def bad(trajectory: Trajectory) -> None:
        raise ZeroDivisionError

    processor.add_listener(bad)
    processor.add_listener(heard.append)

    run_agent(tracer)
    run_agent(tracer)
    processor.force_flush()

    assert len(heard) == 2
    assert processor.stats().listener_failures == 2


def test_listener_may_record_and_flush(processors: Any, records: Any) -> None:
    processor, tracer = processors()
    heard: list[str] = []

    def judge(trajectory: Trajectory) -> None:
        heard.append(threading.current_thread().name)
        if len(heard) == 1:
            run_agent(tracer)
            assert processor.force_flush()

    processor.add_listener(judge)
    run_agent(tracer)
    processor.force_flush()

    wait_until(lambda: len(heard) == 2)
    assert heard == ["otel-traj", "otel-traj"]
    assert len(records(Close)) == 2


def test_listeners_alone_need_no_store() -> None:
    processor = TrajectorySpanProcessor(None)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("t")
    run_agent(tracer)
    assert processor.force_flush()
    heard: list[Trajectory] = []
    processor.add_listener(heard.append)

    run_agent(tracer)
    processor.force_flush()

    assert [dataclasses.replace(t).tools for t in heard] == [("look",)]
    processor.shutdown()


# --- ends --------------------------------------------------------------------------------------


def test_shutdown_writes_the_rest_and_ignores_what_comes_later(
    processors: Any, records: Any, store: Path
) -> None:
    processor, tracer = processors()
    run_agent(tracer)

    processor.shutdown()
    processor.shutdown()
    run_agent(tracer)

    assert len(records(SpanRecord)) == 2
    assert not processor.force_flush()
    assert all(wal.is_abandoned(segment) for segment in wal.segments(store))


def test_shutdown_closes_traces_whose_root_has_ended_and_leaves_open_ones(
    processors: Any, records: Any
) -> None:
    processor, tracer = processors()
    with tracer.start_as_current_span("over"):
        tracer.start_span("left open")
    still = tracer.start_span("running")

    processor.shutdown()

    assert [close.n_open for close in records(Close)] == [1]
    assert {s.name for s in records(SpanRecord) if s.is_open} == {"left open", "running"}
    still.end()


def test_worker_ends_with_the_processor_and_sleeps_while_there_is_nothing(processors: Any) -> None:
    processor, tracer = processors()
    assert "otel-traj" not in [thread.name for thread in threading.enumerate()]
    run_agent(tracer)
    processor.force_flush()
    (worker,) = (t for t in threading.enumerate() if t.name == "otel-traj")
    wait_until(lambda: processor._idle)

    processor.shutdown()

    assert not worker.is_alive()


@pytest.mark.usefixtures("faults_are_swallowed")
def test_thread_that_cannot_start_is_tried_again(
    processors: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, tracer = processors()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        run_agent(tracer)
        assert processor.force_flush()
        assert len(records(SpanRecord)) == 2

    run_agent(tracer)
    wait_until(lambda: len(records(Close)) == 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_records_into_its_own_segment(
    processors: Any, records: Any, store: Path
) -> None:
    processor, tracer = processors()
    with tracer.start_as_current_span("parent"):
        tracer.start_span("queued by the parent").end()
        child = os.fork()
        if not child:
            tracer.start_span("child").end()
            os._exit(0 if processor.force_flush() else 1)
        assert os.waitpid(child, 0)[1] == 0
    processor.force_flush()

    assert len(wal.segments(store)) == 2
    assert sorted(s.name for s in ended(records(SpanRecord))) == [
        "child",
        "parent",
        "queued by the parent",
    ]


@pytest.mark.usefixtures("faults_are_swallowed")
def test_span_that_cannot_be_told_costs_only_itself(processors: Any, records: Any) -> None:
    processor, tracer = processors()
    odd = ReadableSpan("odd", context=SpanContext(1, 2, False, TraceFlags(1)), start_time=1)
    odd._status = None  # type: ignore[assignment]

    processor.on_end(odd)
    run_agent(tracer)
    processor.force_flush()

    assert len(records(SpanRecord)) == 2
    assert processor.stats().dropped_spans == 1
