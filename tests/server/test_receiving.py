"""What real exporters send is stored as if it had been recorded here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import otel_traj
from otel_traj import otlp
from otel_traj.capture.recording import Recording
from otel_traj.store import TrajectoryStore, open_store
from tests.server.serving import Serving, serving, wait_for
from tests.store.runs import run

pytestmark = pytest.mark.slow

Record = Callable[..., Recording]


@pytest.fixture
def record(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    """`instrument()` into a store of this process, and to a service by what OTEL_* say."""
    begun: list[Recording] = []

    def begin(protocol: str, endpoint: str, **environment: str) -> Recording:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        begun.append(
            otel_traj.instrument(
                store,
                instrumentors=(),
                seal=False,
                content=True,  # over OTLP only where somebody says so
                tracer_provider=TracerProvider(shutdown_on_exit=False),
                logger_provider=LoggerProvider(shutdown_on_exit=False),
            )
        )
        return begun[-1]

    yield begin
    for each in begun:
        each.shutdown()


def endpoint_of(service: Serving, protocol: str) -> str:
    return f"http://{service.grpc}" if protocol == "grpc" else service.http


def run_agent(task: str) -> str:
    """A run with a model call, two tools, one of which fails, and an outcome."""
    with otel_traj.trajectory(task, agent="clerk") as run:
        with otel_traj.inference("m-1", provider="openai", input="Where is order 42?") as call:
            call.output("I will look.")
            call.usage(input_tokens=12, output_tokens=4)
        with otel_traj.tool_call("lookup", arguments={"id": "42"}) as tool:
            tool.result({"status": "shipped ✓"})
        with otel_traj.tool_call("mail", arguments={"to": "x"}) as tool:
            tool.error("no such address")
        run.reward(0.5, source="test")
        run.outcome("failure")
    return run.id


def rows(store: TrajectoryStore, table: str, trajectory_id: str) -> list[dict[str, Any]]:
    """All that is derived and does not tell how it came here."""
    of_the_way = {"rev", "start_seq", "ingest_seq", "ingest_time", "n_late"}
    found = store.sql(
        f"from {table} where trajectory_id = $id order by all", {"id": trajectory_id}
    ).to_arrow_table()
    return [
        {name: value for name, value in row.items() if name not in of_the_way}
        for row in found.to_pylist()
    ]


@pytest.mark.parametrize("packing", [{}, {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_what_is_received_equals_what_is_recorded(
    service: Serving, record: Record, store: Path, protocol: str, packing: dict[str, str]
) -> None:
    recording = record(protocol, endpoint_of(service, protocol), **packing)

    trajectory_id = run_agent(f"{protocol} {packing}")
    assert recording.flush()

    recorded, received = open_store(store), open_store(service.store)
    [trajectory] = rows(recorded, "trajectories", trajectory_id)
    assert (trajectory["status"], trajectory["outcome"], trajectory["n_steps"]) == (
        "completed",
        "failure",
        len(rows(recorded, "steps", trajectory_id)),
    )
    for table in ("trajectories", "steps", "trajectory_spans"):
        assert rows(received, table, trajectory_id) == rows(recorded, table, trajectory_id)


def test_a_run_is_seen_while_it_goes_on(service: Serving, record: Record) -> None:
    recording = record("http/protobuf", service.http, OTEL_TRAJ_LIVE="1")
    received = open_store(service.store)

    with otel_traj.trajectory("a long one", agent="clerk") as run, otel_traj.tool_call("wait"):
        assert recording.flush()
        [open_one] = rows(received, "trajectories", run.id)
    assert recording.flush()

    assert (open_one["status"], open_one["n_open"]) == ("open", 2)
    [closed] = rows(received, "trajectories", run.id)
    assert (closed["status"], closed["n_open"]) == ("completed", 0)


def test_the_service_seals_without_anybody_reading(service: Serving, record: Record) -> None:
    recording = record("http/protobuf", service.http)
    sealed = 'otel_traj_sealer_records_sealed_total{signal="traces"}'
    before = service.metrics().get(sealed, 0.0)

    run_agent("nobody reads")
    assert recording.flush()

    wait_for(lambda: service.metrics().get(sealed, 0.0) >= before + 4)


def test_two_receivers_share_a_store_and_a_trajectory(store: Path) -> None:
    spans = run(1)
    with serving(store) as one, serving(store) as other:
        for receiver, part in ((one, spans[:2]), (other, spans[2:]), (other, spans)):
            assert receiver.post("/v1/traces", otlp.traces_to_protobuf(part)).status == 200
        assert (one.stop(), other.stop()) == (0, 0)

    received = open_store(store)
    assert received.sql("select task, n_spans, n_steps from trajectories").fetchall() == [
        ("order-1", 4, 3)
    ]
    assert received.verify() == []


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_what_is_exported_while_the_receiver_is_away_arrives_afterwards(
    store: Path, transport: str
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    with serving(store) as first:
        target = first.grpc if transport == "grpc" else f"{first.http}/v1/traces"
        exporter = (
            GrpcExporter(target, insecure=True) if transport == "grpc" else HttpExporter(target)
        )
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
        tracer.start_span("before").end()
        assert provider.force_flush()
        first.kill()
    tracer.start_span("meanwhile").end()
    with serving(store, *first.options) as second:
        assert provider.force_flush()
        tracer.start_span("after").end()
        assert provider.force_flush()
        provider.shutdown()
        assert second.stop() == 0

    found = open_store(store).sql("select name from spans order by start_time").fetchall()
    assert found == [("before",), ("meanwhile",), ("after",)]
