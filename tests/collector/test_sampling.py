"""A Collector that samples keeps runs whole or not at all; `sampling_rate` tells how many."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

import otel_traj
from otel_traj.cli.collector_config import RECEIVER, configuration
from otel_traj.store import TrajectoryStore, open_store
from tests.collector.running import HASTE, NO_JAEGER, collecting, needs_collector
from tests.server.serving import serving, wait_for

pytestmark = [pytest.mark.slow, needs_collector]

RUNS, EVERY = 80, 4
"""Runs that are recorded; of so many, one fails."""

QUARTER = """\
  probabilistic_sampler:
    sampling_percentage: 25
"""
FAILED_AND_A_QUARTER = """\
  tail_sampling:
    decision_wait: 1s
    policies:
      - {name: failed, type: status_code, status_code: {status_codes: [ERROR]}}
      - {name: others, type: probabilistic, probabilistic: {sampling_percentage: 25}}
"""
TELL_THRESHOLD = "processor.tailsamplingprocessor.usetracestate"


def sampling(processor: str) -> str:
    """The shipped configuration, with a processor more for traces."""
    name = processor.strip().partition(":")[0]
    text = configuration(RECEIVER).replace("processors:\n", f"processors:\n{processor}", 1)
    return text.replace("redaction]", f"redaction, {name}]", 1)


def run_agent(number: int) -> None:
    """Two steps, an event and an outcome; one of `EVERY` runs fails."""
    with (
        contextlib.suppress(ValueError),
        otel_traj.trajectory(f"order-{number}", agent="clerk") as run,
    ):
        with otel_traj.tool_call("look"):
            pass
        with otel_traj.tool_call("write") as call:
            call.file_diff("a.txt", before="", after="a")
        run.reward(1.0, source="test")
        if number % EVERY == 0:
            raise ValueError("no such order")


@pytest.fixture
def sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> TrajectoryStore:
    """What is stored of `RUNS` runs that went through a Collector with a sampling processor."""
    processor, gates = request.param
    store = tmp_path / "traces"
    with (
        serving(store) as service,
        collecting(
            tmp_path,
            *HASTE,
            NO_JAEGER,
            text=sampling(processor),
            gates=gates,
            OTEL_TRAJ_RECEIVER=service.http,
        ) as collector,
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        recording = otel_traj.instrument(
            tmp_path / "here",
            sinks=("otlp",),
            content=True,
            instrumentors=(),
            tracer_provider=TracerProvider(shutdown_on_exit=False),
            logger_provider=LoggerProvider(shutdown_on_exit=False),
        )
        for number in range(RUNS):
            run_agent(number)
        assert recording.flush()
        recording.shutdown()
        if "tail_sampling" in processor:
            failed = f"select count(*) = {RUNS // EVERY} from trajectories where status = 'error'"
            wait_for(lambda: open_store(store).sql(failed).fetchall() == [(True,)])
        collector.stop()
        assert service.stop() == 0
    return open_store(store)


def assert_whole(store: TrajectoryStore) -> None:
    """What there is of runs is all there is, and what came of others is no run."""
    counts = "select n_spans, n_steps, count(*) from trajectories group by all"
    [(n_spans, n_steps, n)] = store.sql(counts).fetchall()
    assert (n_spans, n_steps) == (3, 2)
    assert 0 < n < RUNS
    for table in ("file_changes", "annotations where name = 'reward'"):
        assert store.sql(f"select count(*) from {table}").fetchall() == [(n,)]


@pytest.mark.parametrize("sampled", [(QUARTER, "")], indirect=True)
def test_sampling_by_trace_keeps_runs_whole_and_tells_the_share(sampled: TrajectoryStore) -> None:
    assert_whole(sampled)
    rates = sampled.sql("select distinct sampling_rate from trajectories").fetchall()
    assert rates == [(0.25,)]


@pytest.mark.parametrize("sampled", [(FAILED_AND_A_QUARTER, TELL_THRESHOLD)], indirect=True)
def test_tail_sampling_keeps_runs_whole_and_tells_the_share_of_each_kind(
    sampled: TrajectoryStore,
) -> None:
    assert_whole(sampled)
    by_kind = "select distinct status, sampling_rate from trajectories order by all"
    assert sampled.sql(by_kind).fetchall() == [("completed", 0.25), ("error", 1.0)]
    corrected = sampled.sql(
        "select status, sum(1 / sampling_rate) from trajectories group by all order by all"
    )
    [(_, completed), (_, failed)] = corrected.fetchall()
    assert failed == RUNS / EVERY
    assert completed % 4 == 0


@pytest.mark.parametrize("sampled", [(FAILED_AND_A_QUARTER, "")], indirect=True)
def test_without_its_feature_gate_tail_sampling_leaves_the_share_unknown(
    sampled: TrajectoryStore,
) -> None:
    assert_whole(sampled)
    rates = sampled.sql("select distinct sampling_rate from trajectories").fetchall()
    assert rates == [(None,)]
