"""`instrument()` with instrumentors in a real process: whose content goes where, and back again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_traj
from otel_traj.capture.instrumentors import GENAI_CONTENT
from otel_traj.demo.model_server import Answer, ModelServer, Script
from otel_traj.model import SpanRecord

MODEL = "gpt-4o-mini"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GENAI_CONTENT, raising=False)


def _tracers() -> TracerProvider:
    return TracerProvider(shutdown_on_exit=False)


def _loggers() -> LoggerProvider:
    return LoggerProvider(shutdown_on_exit=False)


def ended(records: Any) -> list[SpanRecord]:
    """The recorded spans, without those of which only the start had been seen when it was noted."""
    return [span for span in records(SpanRecord) if span.end_ns is not None]


# --- content -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "foreign", "sinks", "expected"),
    [
        (None, False, ("store",), "SPAN_ONLY"),
        (None, False, ("otlp",), "NO_CONTENT"),
        (None, False, ("store", "otlp"), "SPAN_ONLY"),
        (None, True, ("store",), None),
        (True, True, ("store",), "SPAN_ONLY"),
        (True, False, ("otlp",), "SPAN_ONLY"),
        (False, False, ("store",), "NO_CONTENT"),
        (False, True, ("store",), "NO_CONTENT"),
    ],
)
def test_instrumentors_are_told_of_content_what_the_user_says_or_the_sinks_allow(
    instrument: Any, said: bool | None, foreign: bool, sinks: tuple[str, ...], expected: str | None
) -> None:
    tracers = _tracers()
    if foreign:
        tracers.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))

    recording = instrument(tracer_provider=tracers, content=said, sinks=sinks)

    assert os.environ.get(GENAI_CONTENT) == expected
    recording.shutdown()
    assert GENAI_CONTENT not in os.environ


def test_exporter_of_logs_is_foreign_too(instrument: Any) -> None:
    loggers = _loggers()
    loggers.add_log_record_processor(SimpleLogRecordProcessor(ConsoleLogRecordExporter()))

    instrument(logger_provider=loggers)

    assert GENAI_CONTENT not in os.environ


class StandIn:
    """A provider before another one, as that of Logfire."""

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider
        self.resource = provider.resource

    def add_span_processor(self, processor: SpanProcessor) -> None:
        self.provider.add_span_processor(processor)

    def get_tracer(self, *arguments: Any, **more: Any) -> Any:
        return self.provider.get_tracer(*arguments, **more)


@pytest.mark.parametrize(("is_exported", "expected"), [(True, None), (False, "SPAN_ONLY")])
def test_provider_behind_another_is_looked_into(
    instrument: Any, is_exported: bool, expected: str | None
) -> None:
    tracers = _tracers()
    if is_exported:
        tracers.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))

    instrument(tracer_provider=StandIn(tracers))

    assert os.environ.get(GENAI_CONTENT) == expected


def test_processors_of_an_earlier_recording_are_not_foreign(instrument: Any) -> None:
    tracers, loggers = _tracers(), _loggers()
    sinks = ("store", "otlp")
    instrument(tracer_provider=tracers, logger_provider=loggers, sinks=sinks).shutdown()

    instrument(tracer_provider=tracers, logger_provider=loggers, sinks=sinks)

    assert os.environ[GENAI_CONTENT] == "SPAN_ONLY"


def test_verbs_keep_content_from_what_others_export(instrument: Any, records: Any) -> None:
    tracers, exporter = _tracers(), InMemorySpanExporter()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    recording = instrument(tracer_provider=tracers)

    with otel_traj.trajectory("t"), otel_traj.tool_call("ask", arguments={"key": "private"}):
        pass
    recording.shutdown()

    assert "private" not in repr([span.attributes for span in exporter.get_finished_spans()])
    assert "private" not in repr(records(SpanRecord))


# --- on and off ----------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[ModelServer]:
    pytest.importorskip("openai")
    pytest.importorskip("opentelemetry.instrumentation.genai.openai")
    script = Script({"r": {MODEL: [Answer(text="It has been sent.")]}})
    with ModelServer(script) as server:
        yield server


def ask(server: ModelServer) -> None:
    import openai

    with openai.OpenAI(base_url=f"{server.url}/r/v1", api_key="none", max_retries=0) as client:
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Where is my order?"}]
        )


def test_uninstrument_puts_everything_back(
    instrument: Any, records: Any, server: ModelServer
) -> None:
    before = dict(os.environ)
    recording = instrument(instrumentors=["openai"])
    assert recording.instrumented == ("opentelemetry-instrumentation-genai-openai",)

    ask(server)
    otel_traj.uninstrument()
    ask(server)
    otel_traj.uninstrument()

    (call,) = ended(records)
    assert (call.name, "Where is my order?" in repr(call.attributes)) == (f"chat {MODEL}", True)
    assert dict(os.environ) == before


def test_a_new_recording_instruments_again(
    instrument: Any, records: Any, server: ModelServer
) -> None:
    for _ in range(2):
        instrument(instrumentors=["openai"])
        ask(server)
        otel_traj.uninstrument()

    assert len(ended(records)) == 2


def test_nothing_of_ours_is_on_the_provider_after_a_name_that_nothing_has(instrument: Any) -> None:
    tracers = _tracers()

    with pytest.raises(otel_traj.OtelTrajError, match="opennai"):
        instrument(tracer_provider=tracers, instrumentors=["opennai"], sinks=("store", "otlp"))

    assert tracers._active_span_processor._span_processors == ()


def test_tracers_of_a_library_s_own_are_recorded(instrument: Any, records: Any) -> None:
    recording: otel_traj.Recording = instrument()
    its_own = _tracers()

    recording._attach(its_own)
    recording._attach(None)
    with its_own.get_tracer("library").start_as_current_span("work"):
        pass
    recording.shutdown()

    assert [span.name for span in ended(records)] == ["work"]


@pytest.mark.slow
def test_what_is_installed_here_is_recorded_by_one_line(
    tmp_path: Path, server: ModelServer
) -> None:
    program = f"""
import json
import otel_traj
recording = otel_traj.instrument("traces", seal=False)
import openai
client = openai.OpenAI(base_url={f"{server.url}/r/v1"!r}, api_key="none", max_retries=0)
client.chat.completions.create(model={MODEL!r}, messages=[{{"role": "user", "content": "Where?"}}])
print(json.dumps(recording.instrumented))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "opentelemetry-instrumentation-genai-openai" in json.loads(ran.stdout)
    first, *_ = ran.stderr.splitlines()
    assert first == f"otel-traj records to {tmp_path / 'traces'}, with content"
    assert len(ran.stderr.splitlines()) <= 4
