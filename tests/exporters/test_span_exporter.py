"""`OTEL_TRACES_EXPORTER=trajectory`: real programs that set nothing but the environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult

from otel_traj import wal
from otel_traj.capture import guard
from otel_traj.model import SpanRecord
from otel_traj.store import open_store
from otel_traj_exporters.span_exporter import TrajectorySpanExporter

AGENT = """
from opentelemetry import trace

tracer = trace.get_tracer("agent")
with tracer.start_as_current_span("invoke_agent helper") as agent:
    agent.set_attribute("gen_ai.operation.name", "invoke_agent")
    agent.set_attribute("gen_ai.agent.name", "helper")
    with tracer.start_as_current_span("execute_tool search") as tool:
        tool.set_attribute("gen_ai.operation.name", "execute_tool")
        tool.set_attribute("gen_ai.tool.name", "search")
        tool.set_attribute("gen_ai.tool.call.arguments", '{"q":"tides"}')
        tool.set_attribute("gen_ai.tool.call.result", "two a day")
"""

CONFIGURE = """
from opentelemetry.sdk._configuration import _OTelSDKConfigurator

_OTelSDKConfigurator().configure()
"""

IMPORTED = """
import sys

print(sorted({"duckdb", "pyarrow", "google.protobuf", "grpc"} & sys.modules.keys()))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, root: Path) -> Run:
    """Run a Python program in an environment in which this package is installed."""
    info = tmp_path / "site" / "otel_traj_here-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otel-traj-here\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_traces_exporter]\n"
        "trajectory = otel_traj_exporters.span_exporter:TrajectorySpanExporter\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")} | {
        "PYTHONPATH": os.pathsep.join([str(info.parent), *filter(None, sys.path)]),
        "OTEL_TRACES_EXPORTER": "trajectory",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }

    def run(program: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment | more,
            capture_output=True,
            text=True,
            check=True,
        )

    return run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OTEL_TRAJ_STORE", str(tmp_path / "traces"))
    return tmp_path / "traces"


def spans(store: Path) -> list[SpanRecord]:
    return [
        record
        for segment in wal.segments(store)
        for frame in wal.frames(segment)
        if isinstance(frame, wal.Frame)
        for record in wal.decode(frame.body)
        if isinstance(record, SpanRecord)
    ]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_the_environment_alone_records_a_program(run: Run, tmp_path: Path) -> None:
    ran = run(CONFIGURE + AGENT + IMPORTED)

    # Without OTEL_TRAJ_STORE it is ./traces; the helper makes Parquet of it by itself.
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
    wait_until(lambda: bool(list((tmp_path / "traces").glob("steps/**/*.parquet"))))
    [trajectory] = open_store(tmp_path / "traces").trajectories()
    [tool] = trajectory.steps
    assert trajectory.agent_name == "helper"
    assert (tool.tool_name, tool.arguments, tool.result) == (
        "search",
        '{"q":"tides"}',
        "two a day",
    )


@pytest.mark.slow
def test_a_store_that_cannot_be_written_costs_the_program_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    ran = run(CONFIGURE + AGENT + "print('done')", OTEL_TRAJ_STORE=str(tmp_path / "file"))

    assert ran.stdout == "done\n"
    assert ran.stderr.count("Failed to write spans to the store") == 1


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ("", "alice@example.com has [redacted:aws-key]"),
        ("on", "[redacted:emails] has [redacted:aws-key]"),
        ("off", "alice@example.com has AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_spans_are_redacted_as_the_environment_says(
    store: Path, monkeypatch: pytest.MonkeyPatch, environment: str, told: str
) -> None:
    monkeypatch.setenv("OTEL_TRAJ_REDACT", environment)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(TrajectorySpanExporter()))

    with provider.get_tracer("t").start_as_current_span(
        "s", attributes={"a": "alice@example.com has AKIAIOSFODNN7EXAMPLE"}
    ):
        pass

    assert [span.attributes["a"] for span in spans(store)] == [told]


def test_a_redaction_that_cannot_be_understood_writes_nothing_and_harms_nobody(
    store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "RERAISE", False)
    monkeypatch.setattr(guard, "_causes", Counter())
    monkeypatch.setenv("OTEL_TRAJ_REDACT", "secret")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(TrajectorySpanExporter()))

    for _ in range(2):
        with provider.get_tracer("t").start_as_current_span("s"):
            pass

    assert not store.exists()
    assert caplog.text.count("No redaction rule named 'secret'") == 1


def test_batches_that_cut_a_trace_give_one_trajectory(store: Path) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(TrajectorySpanExporter()))
    tracer = provider.get_tracer("agent")

    with tracer.start_as_current_span("invoke_agent helper"):
        for name in ("search", "fetch"):
            with tracer.start_as_current_span(f"execute_tool {name}") as tool:
                tool.set_attribute("gen_ai.tool.name", name)

    [trajectory] = open_store(store).trajectories()
    assert trajectory.tools == ("search", "fetch")


def test_what_was_flushed_is_on_disk(store: Path) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(TrajectorySpanExporter()))
    provider.get_tracer("agent").start_span("execute_tool search").end()

    assert provider.force_flush()

    assert [span.name for span in spans(store)] == ["execute_tool search"]
    provider.shutdown()


def test_secrets_are_replaced(store: Path) -> None:
    exporter = TrajectorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    key = "ghp_" + "a" * 36

    provider.get_tracer("agent").start_span("x", attributes={"gen_ai.prompt": key}).end()

    [span] = spans(store)
    assert key not in str(span.attributes)


def test_a_disk_that_fails_is_told_to_the_sdk(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_causes", type(guard._causes)())
    store.write_text("no folder")
    exporter = TrajectorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    span = provider.get_tracer("agent").start_span("x")
    span.end()

    assert exporter.export([span]) is SpanExportResult.FAILURE  # type: ignore[list-item]
    assert exporter.export([]) is SpanExportResult.SUCCESS
    exporter.shutdown()
