"""OTLP out: what is read back from it is the same run, told in current names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

import otel_traj
from otel_traj import exporters, importers, model, otlp, semconv
from otel_traj.errors import ConfigurationError
from otel_traj.model import SpanRecord, Step, Trajectory
from otel_traj.store import TrajectoryStore
from tests import corpus

RUNS = corpus.runs(corpus.SHIPPED)

# What depends on the spans round a step, not on what happened.
UNTOLD = {
    "merged_spans",
    "inferred",
    "start_seq",
    "span_id",
    "start_time",
    "end_time",
    "duration_us",
}


def stored(folder: Path, records: Any) -> TrajectoryStore:
    store = TrajectoryStore.create(folder)
    store.append(records)
    return store


def happened(trajectory: Trajectory) -> list[dict[str, Any]]:
    """Kinds, names, arguments, results, messages, tokens, errors, hand-overs of the steps."""
    told = [name for name in model.columns(Step) if name not in UNTOLD]
    return [{name: getattr(step, name) for name in told} for step in trajectory.steps]


def by_id(store: TrajectoryStore) -> list[Trajectory]:
    return sorted(store.trajectories(), key=lambda trajectory: trajectory.trajectory_id)


@pytest.mark.parametrize("suffix", ["jsonl", "pb"])
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_in_any_dialect_comes_back_with_the_same_steps(
    run: Path, suffix: str, tmp_path: Path
) -> None:
    spans, logs = corpus.records(run)
    store = stored(tmp_path / "a", [*spans, *logs])
    path = tmp_path / f"out.{suffix}"

    n = exporters.export(store.trajectories(), "otlp", path, store=store)

    again = stored(tmp_path / "b", importers.read(path))
    assert n == len(by_id(store))
    for before, after in zip(by_id(store), by_id(again), strict=True):
        assert after.trajectory_id == before.trajectory_id
        assert (after.status, after.user_input) == (before.status, before.user_input)
        assert (after.final_answer, after.agents) == (before.final_answer, before.agents)
        assert happened(after) == happened(before)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_step_is_a_span_in_current_names(run: Path, tmp_path: Path) -> None:
    spans, logs = corpus.records(run)
    store = stored(tmp_path / "a", [*spans, *logs])
    [trajectory] = store.trajectories()

    exporters.export([trajectory], "otlp", tmp_path / "out.jsonl", store=store)

    written = [r for r in importers.read(tmp_path / "out.jsonl") if isinstance(r, SpanRecord)]
    named = {span.name for span in written}
    for step in trajectory.steps:
        if step.kind == "llm":
            assert f"chat {step.model}" in named
        elif step.tool_name and step.handoff_mode != "delegate":
            assert f"execute_tool {step.tool_name}" in named
    owned = {(step.trace_id, step.span_id) for step in trajectory.steps if step.kind == "llm"}
    for span in written:
        if (span.trace_id, span.span_id) in owned:
            assert not [key for key in span.attributes if key.startswith(("llm.", "traceloop."))]
            assert semconv.OUTPUT_MESSAGES in span.attributes


def test_verbatim_is_what_was_received(tmp_path: Path) -> None:
    spans, logs = corpus.records(RUNS[-1])
    store = stored(tmp_path / "a", [*spans, *logs])

    exporters.export(store.trajectories(), "otlp", tmp_path / "out.pb", store=store, verbatim=True)

    written = list(importers.read(tmp_path / "out.pb"))
    spans_written = [record for record in written if isinstance(record, SpanRecord)]
    assert sorted(spans_written, key=repr) == sorted(spans, key=repr)


@pytest.fixture
def judged(tmp_path: Path) -> TrajectoryStore:
    """A run that says its outcome and changes a file, of which more is said afterwards."""
    recording = otel_traj.instrument(tmp_path / "judged", instrumentors=(), seal=False)
    with otel_traj.trajectory("tidy up", agent="cleaner") as run:
        with otel_traj.tool_call("write", arguments={"path": "a.txt"}) as call:
            call.file_diff("a.txt", before="old\n", after="new\n")
            call.result("ok")
        run.outcome("partial")
        run.reward(0.5, source="unit-test")
    recording.shutdown()
    store = otel_traj.open_store(tmp_path / "judged")
    [trajectory] = store.trajectories()
    store.annotate(trajectory.trajectory_id, "outcome", "success", kind="outcome", source="review")
    store.annotate(trajectory.trajectory_id, "relevance", 0.25, kind="score", source="review")
    return store


def test_outcomes_rewards_and_file_changes_come_back(
    judged: TrajectoryStore, tmp_path: Path
) -> None:
    exporters.export(judged.trajectories(), "otlp", tmp_path / "out.jsonl", store=judged)

    again = stored(tmp_path / "b", importers.read(tmp_path / "out.jsonl"))
    query = (
        "select name, value_num, value_text, source, target from annotations_latest order by all"
    )
    assert again.sql(query).fetchall() == judged.sql(query).fetchall()
    verdict = "select outcome, outcome_source, reward, task from trajectories"
    assert again.sql(verdict).fetchall() == judged.sql(verdict).fetchall()
    [before], [after] = judged.trajectories(), again.trajectories()
    assert after.file_changes == before.file_changes != ()


def test_without_a_store_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="store="):
        exporters.export([], "otlp", tmp_path / "out.jsonl")

    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_file_that_was_there(
    judged: TrajectoryStore, tmp_path: Path
) -> None:
    def broken() -> Iterator[Trajectory]:
        yield from judged.trajectories()
        raise OSError("disk full")

    path = tmp_path / "out" / "runs.jsonl"
    path.parent.mkdir()
    path.write_text("kept")

    with pytest.raises(OSError, match="disk full"):
        exporters.export(broken(), "otlp", path, store=judged)

    assert [(p.name, p.read_text()) for p in path.parent.iterdir()] == [("runs.jsonl", "kept")]


# --- receivers ---------------------------------------------------------------------------------


@dataclass
class Receiver:
    """Takes OTLP on loopback, over HTTP and gRPC, and keeps what came."""

    records: list[Any] = field(default_factory=list)
    headers: list[str | None] = field(default_factory=list)
    rejects: int = 0

    def take(self, body: bytes, signal: otlp.Signal) -> None:
        self.records += otlp.records_from_protobuf(body, signal)

    def answer(self) -> Any:
        response = trace_service_pb2.ExportTraceServiceResponse()
        response.partial_success.rejected_spans = self.rejects
        return response


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def http(receiver: Receiver) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            signal = self.path.removeprefix("/v1/")
            assert signal in ("traces", "logs")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(body, "traces" if signal == "traces" else "logs")
            receiver.headers.append(self.headers["x-tenant"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(receiver.answer().SerializeToString())

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def grpc_server(receiver: Receiver) -> Iterator[str]:
    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            receiver.take(request.SerializeToString(), "traces")
            receiver.headers.append(dict(context.invocation_metadata()).get("x-tenant"))
            return receiver.answer()

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            receiver.take(request.SerializeToString(), "logs")
            return logs_service_pb2.ExportLogsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)  # type: ignore[no-untyped-call]
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize("transport", ["http", "grpc_server"])
def test_a_receiver_gets_what_a_file_holds(
    transport: str,
    receiver: Receiver,
    judged: TrajectoryStore,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=lab")
    url = request.getfixturevalue(transport)
    exporters.export(judged.trajectories(), "otlp", tmp_path / "out.pb", store=judged)

    n = exporters.export(judged.trajectories(), "otlp", url, store=judged)

    assert n == 1
    assert receiver.records == list(importers.read(tmp_path / "out.pb"))
    assert receiver.headers[0] == "lab"


@pytest.mark.parametrize("transport", ["http", "grpc_server"])
def test_what_a_receiver_rejects_is_told(
    transport: str,
    receiver: Receiver,
    judged: TrajectoryStore,
    request: pytest.FixtureRequest,
) -> None:
    receiver.rejects = 2

    with pytest.raises(OSError, match="rejected 2"):
        exporters.export(
            judged.trajectories(), "otlp", request.getfixturevalue(transport), store=judged
        )


def test_a_receiver_without_log_records_gets_the_spans(
    judged: TrajectoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[Any] = []

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            taken.append(request)
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)  # type: ignore[no-untyped-call]
    url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()

    n = exporters.export(judged.trajectories(), "otlp", url, store=judged)

    server.stop(None).wait()
    assert (n, len(taken)) == (1, 1)
    [told] = caplog.records
    assert told.getMessage().startswith(f"{url} takes no log records")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "grpc://127.0.0.1:9"])
def test_nobody_listening_is_an_error_of_the_system(url: str, judged: TrajectoryStore) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        exporters.export(judged.trajectories(), "otlp", url, store=judged)


def test_an_address_of_another_kind_is_refused(judged: TrajectoryStore) -> None:
    with pytest.raises(ConfigurationError, match="grpc://HOST:4317"):
        exporters.export(judged.trajectories(), "otlp", "ftp://host", store=judged)
    with pytest.raises(ConfigurationError, match="'parquet' writes files"):
        exporters.export(judged.trajectories(), "parquet", "http://host")
