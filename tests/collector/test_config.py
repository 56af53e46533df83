"""collector-config.yaml does what it says, in a real Collector; `build.py` makes one."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_traj import importers
from otel_traj.model import SpanRecord
from tests.collector import build

COLLECTOR = build.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COLLECTOR is None, reason="no collector: python tests/collector/build.py"),
]


def run(root: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    config = str(root / "collector-config.yaml")
    return subprocess.Popen(
        [str(COLLECTOR), *arguments, "--config", config],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def endpoint(root: Path, tmp_path: Path) -> Iterator[str]:
    """OTLP over HTTP to a Collector with the shipped configuration, on ports that are free."""
    grpc, http = (f"127.0.0.1:{free_port()}" for _ in range(2))
    process = run(
        root,
        "--set=service::telemetry::metrics::level=none",
        f"--set=receivers::otlp::protocols::grpc::endpoint={grpc}",
        f"--set=receivers::otlp::protocols::http::endpoint={http}",
        OTEL_TRAJ_INBOX=str(tmp_path / "inbox"),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"Everything is ready" in line:
            break
    yield f"http://{http}/v1/traces"
    process.terminate()
    process.communicate(timeout=30)


def test_a_collector_accepts_the_configuration(root: Path) -> None:
    process = run(root, "validate")
    _, complaint = process.communicate(timeout=60)

    assert (process.returncode, complaint) == (0, b"")


def test_a_span_sent_to_the_collector_can_be_ingested(endpoint: str, tmp_path: Path) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint)))

    provider.get_tracer("test").start_span("chat gpt", attributes={"n": 2**53 + 1}).end()

    provider.shutdown()
    written = tmp_path / "inbox" / "traces.jsonl"
    deadline = time.monotonic() + 30
    while not (written.exists() and written.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    [span] = importers.read(tmp_path / "inbox")
    assert isinstance(span, SpanRecord)
    assert (span.name, span.attributes) == ("chat gpt", {"n": 2**53 + 1})
