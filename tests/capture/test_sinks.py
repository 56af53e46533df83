"""The sink `otlp` sends what the sink `store` keeps, redacted, over the SDK's own exporters."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import otel_traj
from otel_traj import otlp, semconv
from otel_traj.assembly import assemble
from otel_traj.capture.redaction import SECRET
from otel_traj.capture.sinks import wants_otlp
from otel_traj.model import LogRecord, SpanRecord


class Collector:
    """Takes OTLP over HTTP on loopback and keeps what came."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {"/v1/traces": [], "/v1/logs": []}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.bodies[self.path].append(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def spans(self) -> list[Any]:
        bodies = self.bodies["/v1/traces"]
        return [span for body in bodies for span in otlp.records_from_protobuf(body, "traces")]

    def logs(self) -> list[Any]:
        bodies = self.bodies["/v1/logs"]
        return [log for body in bodies for log in otlp.records_from_protobuf(body, "logs")]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    yield collector
    collector.close()


def run_agent() -> None:
    with otel_traj.trajectory("t", agent="a") as run:
        with otel_traj.tool_call("edit", arguments={"path": "a"}) as call:
            call.file_diff("a", "x\n", "y\n")
            call.result("sk-ant-api03-" + "x" * 20)
        run.outcome("success")
    run.reward(1.0)


@pytest.mark.parametrize("sinks", [("store", "otlp"), ("store",)])
def test_run_recorded_through_otlp_equals_the_one_in_the_store(
    instrument: Any, records: Any, collector: Collector, sinks: tuple[str, ...]
) -> None:
    recording = instrument(sinks=sinks)  # the variable adds `otlp` where it is not asked for

    run_agent()
    assert recording.flush()
    recording.shutdown()

    assert SECRET in repr(collector.spans())
    (here,) = assemble(records(SpanRecord), records(LogRecord))
    (there,) = assemble(collector.spans(), collector.logs())
    assert _rows(here) == _rows(there)


def _rows(assembly: Any) -> str:
    """All rows, but for the order of starts, which only our processor sees."""
    told = repr((assembly, assembly.trajectory.steps, assembly.trajectory.file_changes))
    for n in range(9):
        told = told.replace(f"start_seq={n}", "start_seq=None")
    return told


def test_otlp_alone_writes_no_store(instrument: Any, tmp_path: Any, collector: Collector) -> None:
    recording = instrument(store=tmp_path / "nowhere", sinks="otlp")

    run_agent()
    recording.flush()

    assert len(collector.spans()) == 2
    assert not (tmp_path / "nowhere").exists()
    recording.shutdown()


def test_what_limits_dropped_stays_counted_in_redacted_copies(
    instrument: Any, collector: Collector
) -> None:
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=1), shutdown_on_exit=False)
    recording = instrument(sinks=("otlp",), tracer_provider=provider)

    with provider.get_tracer("t").start_as_current_span("s", attributes={"a": 1, "b": 2}):
        pass
    recording.flush()

    (span,) = collector.spans()
    assert (span.attributes, span.dropped_attributes) == ({"b": 2}, 1)
    recording.shutdown()


def test_provider_that_exports_already_is_not_given_another_exporter(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    assert wants_otlp(provider)

    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    assert not wants_otlp(provider)
    provider.shutdown()

    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    assert not wants_otlp(TracerProvider(shutdown_on_exit=False))


def test_names_are_those_of_the_conventions(instrument: Any, collector: Collector) -> None:
    recording = instrument(sinks=("otlp",))

    run_agent()
    recording.flush()

    assert {span.attributes[semconv.OPERATION] for span in collector.spans()} == {
        "execute_tool",
        "invoke_agent",
    }
    recording.shutdown()
