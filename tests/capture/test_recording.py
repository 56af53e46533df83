"""`instrument()` once is the set-up: clear errors at the call, none afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

import otel_traj
from otel_traj import semconv, wal
from otel_traj.capture import state
from otel_traj.errors import (
    ConfigurationError,
    StoreNotWritableError,
    StoreVersionError,
    UnknownNameError,
)
from otel_traj.model import LogRecord, SpanRecord, Trajectory


def test_recording_puts_spans_and_events_into_the_store(instrument: Any, records: Any) -> None:
    recording = instrument()

    with otel_traj.trajectory("t", agent="a") as run:
        run.checkpoint("c", 1)
    assert recording.flush()

    (span,) = (s for s in records(SpanRecord) if not s.is_open)
    (log,) = records(LogRecord)
    assert span.attributes[semconv.TRAJECTORY_ID] == run.id
    assert (log.event_name, log.span_id) == (semconv.EVENT_CHECKPOINT, span.span_id)
    assert (log.scope_name, span.scope_name) == ("otel_traj", "otel_traj")
    assert (recording.stats().spans, recording.stats().logs, recording.stats().faults) == (1, 1, 0)


def test_on_trajectory_hands_over_each_finished_run(instrument: Any) -> None:
    recording: otel_traj.Recording = instrument()
    heard: list[Trajectory] = []

    @recording.on_trajectory
    def listen(trajectory: Trajectory) -> None:
        heard.append(trajectory)

    for task in ("one", "two"):
        with otel_traj.trajectory(task), otel_traj.tool_call("look") as call:
            call.result(42)
    recording.flush()

    assert [(run.task, run.steps[0].result) for run in heard] == [("one", "42"), ("two", "42")]


def test_second_call_returns_the_same_recording(instrument: Any) -> None:
    first = instrument(content=True)
    options = first._options

    assert otel_traj.instrument() is first
    again = instrument(
        content=True,
        tracer_provider=options.tracer_provider,
        logger_provider=options.logger_provider,
    )
    assert again is first
    with pytest.raises(ConfigurationError, match="already, with other arguments"):
        otel_traj.instrument("elsewhere")


def test_after_shutdown_verbs_do_nothing_and_a_new_recording_may_begin(
    instrument: Any, records: Any
) -> None:
    first = instrument()
    first.shutdown()
    first.shutdown()
    with otel_traj.trajectory("between"):
        pass
    assert state.active() is None
    assert not first.flush()

    second = instrument()
    with otel_traj.trajectory("after"):
        pass
    assert second.flush()

    assert second is not first
    assert [span.attributes[semconv.TASK] for span in records(SpanRecord)] == ["after"]


def test_run_that_outlives_the_recording_is_left_open(instrument: Any, records: Any) -> None:
    recording = instrument()
    with otel_traj.trajectory("t"):
        recording.shutdown()

    assert [span.is_open for span in records(SpanRecord)] == [True]


def test_store_comes_from_the_argument_the_environment_or_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instrument: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for given, variable, expected in [
        ("given", "named", "given"),
        (None, "named", "named"),
        (None, "", "traces"),
    ]:
        monkeypatch.setenv("OTEL_TRAJ_STORE", variable)
        recording = instrument(store=given)
        assert (tmp_path / expected / "format.json").exists()
        recording.shutdown()


# --- set-up errors -----------------------------------------------------------------------------


def test_unknown_sink_is_refused_with_a_hint(instrument: Any) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'store'"):
        instrument(sinks=("stor",))
    assert state.active() is None


def test_unknown_instrumentor_is_refused_with_what_there_is(
    instrument: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(os.environ)

    with pytest.raises(UnknownNameError, match="'anthropic'"):
        instrument(instrumentors=("antropic",))

    assert dict(os.environ) == before
    assert state.active() is None


def test_unwritable_store_is_refused(instrument: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreNotWritableError, match=r"file.*traces"):
        instrument(store=tmp_path / "file" / "traces")
    assert otel_traj.current() is None


def test_store_of_a_newer_version_is_refused(instrument: Any, store: Path) -> None:
    (store / "format.json").write_text('{"format": 9, "min_reader": 9, "min_writer": 9}')

    with pytest.raises(StoreVersionError, match="needs format 9"):
        instrument()


def test_provider_that_takes_no_processors_is_refused(instrument: Any) -> None:
    from opentelemetry.trace import NoOpTracerProvider

    with pytest.raises(ConfigurationError, match="opentelemetry-sdk"):
        instrument(tracer_provider=NoOpTracerProvider())


# --- providers ---------------------------------------------------------------------------------

PROVIDERS = """
import otel_traj
from opentelemetry import trace, _logs
{before}
recording = otel_traj.instrument("traces", instrumentors=(), seal=False)
with trace.get_tracer("user").start_as_current_span("of the user"):
    _logs.get_logger("user").emit(body="event", event_name="e")
assert recording.flush()
provider = trace.get_tracer_provider()
print(type(provider).__name__, provider._span_limits.max_span_attributes)
stats = recording.stats()
print(provider.resource.attributes.get("service.name"), stats.spans, stats.logs)
"""


@pytest.mark.parametrize(
    ("before", "environment", "expected"),
    [
        ("", {}, "TracerProvider 4096"),
        ("", {"OTEL_ATTRIBUTE_COUNT_LIMIT": "50"}, "TracerProvider 50"),
        (
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "trace.set_tracer_provider(TracerProvider())",
            {},
            "TracerProvider 128",
        ),
    ],
)
def test_global_providers_are_used_or_made(
    tmp_path: Path, before: str, environment: dict[str, str], expected: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROVIDERS.format(before=before)],
        env={
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OTEL_SERVICE_NAME": "mine",
            **environment,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.stdout.split("\n")[:2], ran.stderr) == ([expected, "mine 1 1"], "")


def test_disabled_sdk_is_respected(
    instrument: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    recording = instrument(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        logger_provider=LoggerProvider(shutdown_on_exit=False),
    )

    with otel_traj.trajectory("t") as run:
        run.checkpoint("c", 1)
    recording.flush()

    assert records(SpanRecord) == []


# --- content -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "variable", "expected"),
    [
        (None, None, True),
        (None, "NO_CONTENT", False),
        (None, "false", False),
        (None, "SPAN_ONLY", True),
        (True, "NO_CONTENT", True),
        (False, None, False),
    ],
)
def test_content_is_recorded_unless_somebody_said_no(
    instrument: Any,
    records: Any,
    monkeypatch: pytest.MonkeyPatch,
    argument: bool | None,
    variable: str | None,
    expected: bool,
) -> None:
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(name, variable)
    recording = instrument(content=argument)

    with otel_traj.tool_call("look", arguments={"a": 1}):
        pass
    recording.flush()

    (span,) = (s for s in records(SpanRecord) if not s.is_open)
    assert (semconv.TOOL_CALL_ARGUMENTS in span.attributes) == expected


def test_content_is_recorded_by_the_wal_api_only_once(instrument: Any, store: Path) -> None:
    recording = instrument()
    with otel_traj.tool_call("look", arguments="findme"):
        pass
    recording.flush()

    (segment,) = wal.segments(store)
    assert segment.read_bytes().count(b"findme") == 1
