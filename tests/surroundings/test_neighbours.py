"""Other users of OpenTelemetry in the same process: providers, processors, samplers, switches."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

import otel_traj
from otel_traj import semconv
from otel_traj.redaction import Redaction

LOOK = "with otel_traj.trajectory('t'), otel_traj.tool_call('look'): pass\n"
PROVIDER = (
    "from opentelemetry import trace\n"
    "from opentelemetry.sdk.trace import TracerProvider\n"
    "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
    "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
    "theirs = InMemorySpanExporter()\n"
    "provider = TracerProvider()\n"
    "provider.add_span_processor(SimpleSpanProcessor(theirs))\n"
    "trace.set_tracer_provider(provider)\n"
)
FIRST = "import sys\n" + PROVIDER + "import otel_traj\n"
INSTRUMENT = "recording = otel_traj.instrument(sys.argv[1], instrumentors=(), seal=False)\n"


def look() -> None:
    with otel_traj.trajectory("t"), otel_traj.tool_call("look"):
        pass


@pytest.mark.slow
def test_provider_that_was_there_before_is_used_by_both(run: Any, tools: Any) -> None:
    told = run(LOOK + "print(len(theirs.get_finished_spans()))", head=FIRST + INSTRUMENT)

    assert told == "2\n"
    assert tools() == {"t": ["look"]}


@pytest.mark.slow
def test_provider_set_after_us_is_refused_by_opentelemetry_and_ours_goes_on(
    start: Any, tools: Any
) -> None:
    process = start(PROVIDER + LOOK)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "Overriding of current TracerProvider is not allowed" in errors
    assert tools() == {"t": ["look"]}


class Stamp(SpanProcessor):
    """A neighbour that sets an attribute on every span."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        span.set_attribute("neighbour", 1)


def test_neighbours_see_what_they_saw_without_us(instrument: Any, store: Path) -> None:
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(Stamp())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    recording = instrument(
        tracer_provider=provider,
        content=True,
        redact=Redaction(patterns={"gone": "^secret$"}),
    )

    with otel_traj.tool_call("look") as call:
        call.result("secret")
    recording.shutdown()

    (theirs,) = exporter.get_finished_spans()
    assert theirs.attributes is not None
    assert (theirs.attributes["neighbour"], theirs.attributes[semconv.TOOL_CALL_RESULT]) == (
        1,
        "secret",
    )
    told = otel_traj.open_store(store).sql(
        "select attributes->>'neighbour', tool_result from spans"
    )
    assert told.fetchall() == [("1", "[redacted:gone]")]


def test_after_us_a_provider_of_others_works_on(instrument: Any) -> None:
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument(tracer_provider=provider).shutdown()

    with provider.get_tracer("t").start_as_current_span("theirs"):
        pass

    assert [span.name for span in exporter.get_finished_spans()] == ["theirs"]


# --- sampling ----------------------------------------------------------------------------------


def test_runs_that_are_not_sampled_are_not_recorded_and_run_as_ever(
    instrument: Any, tools: Any
) -> None:
    recording = instrument(tracer_provider=TracerProvider(ALWAYS_OFF, shutdown_on_exit=False))

    with otel_traj.trajectory("t") as run:
        with otel_traj.tool_call("look") as call:
            call.result(1)
        run.outcome("success")
    recording.shutdown()

    assert tools() == {}
    assert recording.stats().dropped_spans == 0


def test_sampled_runs_are_whole(instrument: Any, trajectories: Any) -> None:
    sampler = ParentBased(TraceIdRatioBased(0.5))
    recording = instrument(tracer_provider=TracerProvider(sampler, shutdown_on_exit=False))

    for _ in range(64):
        look()
    recording.shutdown()

    found = trajectories()
    assert 0 < len(found) < 64  # 1 in 2**63 that it is not
    assert {(run.tools, run.sampling_rate) for run in found} == {(("look",), 0.5)}


def test_what_is_suppressed_for_instrumentors_is_still_recorded_by_the_verbs(
    instrument: Any, tools: Any
) -> None:
    """The switch stops instrumentations; who writes a verb has asked for a span by name."""
    recording = instrument()

    with suppress_instrumentation():
        look()
    recording.shutdown()

    assert tools() == {"t": ["look"]}


@pytest.mark.slow
def test_sdk_that_is_disabled_records_nothing_and_the_program_runs(run: Any, store: Path) -> None:
    run(LOOK, OTEL_SDK_DISABLED="true")

    assert list((store / "_wal").glob("*.wal")) == []


# --- notebooks ---------------------------------------------------------------------------------

CELLS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def cell(text):
    shell.run_cell(text).raise_error()
call = f"otel_traj.instrument({sys.argv[1]!r}, instrumentors=(), seal=False)"
cell(f"import otel_traj; recording = {call}")
define = '''
@otel_traj.tool
async def look(n):
    return n
@otel_traj.trajectory("task", agent="a")
async def agent(n):
    return await look(n)
'''
cell(define)
cell("await agent(1)")
cell(f"again = {call}")
cell("assert again is recording")
cell(define)
cell("await agent(2)")
shell.run_cell("with otel_traj.trajectory('fails'):\\n    look_for()")
cell("await agent(3)")
cell("recording.flush()")
cell(f"runs = list(otel_traj.open_store({sys.argv[1]!r}).trajectories())")
cell("assert len(runs) == 4, runs")
cell("await agent(4)")
"""


@pytest.mark.slow
def test_cells_may_be_run_again(start: Any, trajectories: Any) -> None:
    pytest.importorskip("IPython")
    process = start(CELLS, head="import sys\n", PYTHONWARNINGS="ignore", IPYTHONDIR="/tmp")
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 0, errors
    told = sorted((run.task, run.status, run.tools) for run in trajectories())
    assert told == [("fails", "error", ()), *[("task", "completed", ("look",))] * 4]


# --- bounds ------------------------------------------------------------------------------------


def test_redaction_that_hangs_stops_the_recording_and_not_the_agent(
    instrument: Any, tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hanging, let_go = threading.Event(), threading.Event()

    def hang(key: str, text: str) -> str:
        hanging.set()
        assert let_go.wait(30)
        return text

    recording = instrument(redact=Redaction(functions=(hang,)))
    look()
    assert hanging.wait(10)

    for _ in range(10_000):  # more than the queue holds
        look()
    assert recording.stats().queued <= 16_384
    assert recording.flush(timeout=0.01) is False
    let_go.set()
    recording.flush()  # may tell as well that some of what had ended was dropped
    assert recording.flush()

    stats = recording.stats()
    assert stats.dropped_spans > 0
    assert stats.spans + stats.dropped_spans == 20_002
    assert [record.message[:29] for record in caplog.records] == ["Spans or logs were dropped: t"]
