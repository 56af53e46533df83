"""Every recorded run there is, whatever its dialect, in current names; and to our own receiver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import otel_traj
from otel_traj import exporters, semconv
from otel_traj.assembly import assemble
from otel_traj.model import LogRecord, SpanRecord, Trajectory
from otel_traj.store import TrajectoryStore, open_store
from otel_traj_exporters.current_names import SCOPE, Told, translate
from tests import corpus
from tests.collector.running import free_address
from tests.exporters.test_otlp import happened
from tests.jaeger.running import IN_MEMORY, get, jaeger, needs_jaeger
from tests.server.serving import Serving, serving

RUNS = corpus.runs(corpus.WHOLE) or corpus.runs(corpus.SHIPPED)

# Prefixes of other dialects' words, for what the conventions have words for.
FOREIGN: Final = (
    *("llm.", "openinference.", "input.value", "output.value", "traceloop.", "langsmith."),
    *("gen_ai.prompt", "gen_ai.completion", "gen_ai.system.", "langfuse.", "mlflow.", "ai."),
    *("logfire.", "pydantic_ai.", "operation.cost", "lk.", "tool.parameters", "tool.name"),
)

# How the request was put is told in fewer words, so that replay knows it less exactly.
LESS_EXACT: Final = {
    *("request_hash", "params_hash", "messages_hash", "prefix_hash"),
    *("grade", "grade_reason", "new_messages"),
}
# Runs with columns that do not come back: a second id of a tool call, agents told by logs.
UNTOLD: Final = {
    "traceloop-openai__responses": {"tool_call_id"},
    "claude-agent-sdk__native": {"agent_run", "agent_path", "agent_name", "handoff_to"},
}

OTLP: Final = "receivers::otlp::protocols::http::endpoint"


def exported(run: Path) -> Iterator[tuple[Trajectory, list[SpanRecord], list[LogRecord]]]:
    spans, logs = corpus.records(run)
    for found in assemble(spans, logs):
        step_of = {(span.trace_id, span.span_id): span.step for span in found.spans}
        told = Told(
            [span for span in spans if (span.trace_id, span.span_id) in step_of],
            [log for log in logs if (log.trace_id, log.span_id) in step_of],
            list(found.annotations),
            step_of,
        )
        yield found.trajectory, *translate(found.trajectory, told)


def without(rows: list[dict[str, Any]], run: Path) -> list[dict[str, Any]]:
    left_out = LESS_EXACT.union(*(names for key, names in UNTOLD.items() if key in run.name))
    return [{name: row[name] for name in row if name not in left_out} for row in rows]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_of_the_corpus_is_told_in_current_names_and_comes_back(run: Path) -> None:
    for trajectory, spans, logs in exported(run):
        written = [span for span in spans if span.scope_name == SCOPE]
        keys = {key for span in written for key in span.attributes}
        assert {key for key in keys if key.startswith(FOREIGN)} == set()
        assert all(semconv.OPERATION in span.attributes for span in written)

        [again] = [found.trajectory for found in assemble(spans, logs)]
        assert again.trajectory_id == trajectory.trajectory_id
        assert without(happened(again), run) == without(happened(trajectory), run)


@pytest.fixture
def many(tmp_path: Path) -> TrajectoryStore:
    """A store of the runs that are shipped with the tests, each in a dialect of its own."""
    store = TrajectoryStore.create(tmp_path / "many")
    for run in corpus.runs(corpus.SHIPPED):
        spans, logs = corpus.records(run)
        store.append([*spans, *logs])
    return store


def counted(store: Path) -> list[tuple[int, ...]]:
    tables = ("trajectories", "steps", "spans", "logs", "annotations")
    counts = ", ".join(f"(select count(*) from {table})" for table in tables)
    return open_store(store).sql(f"select {counts}").fetchall()


def taken(service: Serving) -> float:
    """Spans and logs that the receiver has acknowledged."""
    durable = "otel_traj_receiver_records_durable_total{"
    return sum(n for name, n in service.metrics().items() if name.startswith(durable))


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_sent_twice_to_our_receiver_is_as_sent_once(
    many: TrajectoryStore, tmp_path: Path, transport: str
) -> None:
    with serving(tmp_path / "received") as service:
        url = service.http if transport == "http" else f"grpc://{service.grpc}"
        assert exporters.export(many.trajectories(), "otlp", url, store=many) == 5
        first, before = counted(service.store), taken(service)
        assert exporters.export(many.trajectories(), "otlp", url, store=many) == 5
        second, after = counted(service.store), taken(service)

    assert after == 2 * before > 0
    assert second == first
    received = {run.trajectory_id: run for run in open_store(tmp_path / "received").trajectories()}
    assert {run.trajectory_id for run in many.trajectories()} == received.keys()
    for run in many.trajectories():
        there, here = happened(received[run.trajectory_id]), happened(run)
        assert [row | {"rev": 0} for row in there] == [row | {"rev": 0} for row in here]


@pytest.mark.slow
@needs_jaeger
def test_jaeger_is_sent_the_spans_and_what_it_takes_not_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording = otel_traj.instrument(tmp_path / "here", instrumentors=(), seal=False)
    with otel_traj.trajectory("tidy up", agent="cleaner"):
        with otel_traj.inference("m-1", provider="openai", input="Which?") as call:
            call.output("a.txt")
        with otel_traj.tool_call("write") as tool:
            tool.file_diff("a.txt", before="", after="a")  # an event, hence a log record
    recording.shutdown()
    store = open_store(tmp_path / "here")
    otlp_address = free_address()

    url = f"http://{otlp_address}"
    with jaeger(tmp_path, IN_MEMORY, f"{OTLP}={otlp_address}") as address:
        for _ in range(2):
            assert exporters.export(store.trajectories(), "otlp", url, store=store) == 1
        [run] = store.trajectories()
        _, found = get(address, f"/api/traces/{run.trace_ids[0]}")

    names = [span["operationName"] for trace in found["data"] for span in trace["spans"]]
    assert sorted(set(names)) == ["chat m-1", "execute_tool write", "invoke_agent cleaner"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{url} takes no log records: events, and what was said of runs afterwards, stay behind"
    ] * 2
