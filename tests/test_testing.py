"""The kit that users test their agents with: deterministic, in memory, without traces left."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import Phase, find, settings

import otel_traj
from otel_traj import testing
from otel_traj.capture import state
from otel_traj.model import Annotation, Close, LogRecord, SpanRecord


def agent() -> None:
    with otel_traj.trajectory("t", agent="a") as run:
        with otel_traj.tool_call("look") as call:
            call.result(1)
        run.checkpoint("c", {})


def test_capture_gives_ids_in_order_and_a_second_per_look_at_the_clock() -> None:
    with testing.capture() as captured:
        agent()

    tool, run = captured.spans
    second = testing.SECOND_NS
    assert [(span.trace_id[-1], span.span_id[-1], span.start_seq) for span in (run, tool)] == [
        ("1", "1", 0),
        ("1", "2", 1),
    ]
    assert [(span.start_ns - testing.START_NS) // second for span in (run, tool)] == [0, 1]
    assert run.resource == {"service.name": "test"}
    assert [log.span_id for log in captured.logs] == [run.span_id]


def test_same_program_twice_is_captured_equal() -> None:
    captures = []
    for _ in range(2):
        with testing.capture() as captured:
            agent()
        captures.append((captured.spans, captured.logs, captured.trajectories()))

    assert captures[0] == captures[1]


def test_capture_ends_with_its_block_and_may_be_nested() -> None:
    with testing.capture() as outer:
        with testing.capture() as inner:
            agent()
        agent()
    agent()

    assert len(inner.spans) == len(outer.spans) == 2
    assert state.active() is None


def test_real_ids_and_times_on_request() -> None:
    with testing.capture(deterministic=False) as captured:
        agent()

    assert captured.spans[0].span_id != "0000000000000002"
    assert captured.spans[0].start_ns > testing.START_NS


def test_fixture_of_the_plug_in_gives_trajectories(otel_traj_capture: testing.Capture) -> None:
    agent()

    (run,) = otel_traj_capture.trajectories()
    assert run.tools == ("look",)


def test_ids_never_repeat_and_the_clock_never_stops() -> None:
    ids, clock = testing.SequentialIds(), testing.TickingClock()

    assert [ids.generate_trace_id() for _ in range(3)] == [1, 2, 3]
    assert [ids.generate_span_id() for _ in range(3)] == [1, 2, 3]
    assert not ids.is_trace_id_random()
    times = [clock() for _ in range(3)]
    assert {b - a for a, b in itertools.pairwise(times)} == {testing.SECOND_NS}


@pytest.mark.parametrize("cls", [SpanRecord, LogRecord, Annotation, Close])
def test_strategies_make_records_of_every_kind(cls: type) -> None:
    unshrunk = settings(phases=[Phase.generate], max_examples=2_000)

    assert find(testing.records(), lambda record: isinstance(record, cls), settings=unshrunk)
