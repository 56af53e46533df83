"""Whatever is recorded is redacted before it leaves: into the log, over OTLP, to listeners."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry._logs import LogRecord as SdkLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otel_traj import semconv
from otel_traj.capture import tool_call, trajectory
from otel_traj.errors import ConfigurationError
from otel_traj.model import Annotation, Close, LogRecord, SpanRecord
from otel_traj.redaction import Redaction

SECRET = "sk-ant-api03-" + "x1" * 20
MARK = "[redacted:anthropic-key]"


def record_everywhere(recording: Any, text: str) -> None:
    """Put a text wherever one can be."""
    options = recording._options
    options.logger_provider._resource = options.tracer_provider._resource
    tracer = options.tracer_provider.get_tracer("t", attributes={"scope": text})
    state = TraceState([("k", text.replace("key: ", ""))])
    link = Link(SpanContext(1, 1, False, trace_state=state), {"link": text})
    with tracer.start_as_current_span(f"s {text}", links=[link], attributes={"a": [text]}) as span:
        span.add_event(f"e {text}", {"event": [text]})
        span.record_exception(ValueError(text))
        options.logger_provider.get_logger("l").emit(
            SdkLogRecord(body={"text": text}, attributes={"log": text}, event_name="x")
        )
        span.set_status(Status(StatusCode.ERROR, text))
    assert recording.flush()


def everything(records: Any) -> list[Any]:
    return [one for cls in (SpanRecord, LogRecord, Annotation, Close) for one in records(cls)]


def raising(key: str, text: str) -> str:
    raise RuntimeError(f"cannot handle {text}")


@pytest.mark.parametrize(
    ("redact", "replaced"),
    [
        (None, "key: [redacted:anthropic-key]"),
        (True, "key: [redacted:anthropic-key]"),
        (Redaction((), functions=(lambda key, text: "gone",)), "gone"),
        (Redaction((), functions=(raising,)), "[redacted:failed]"),
        (Redaction((), attributes={"*": "mask"}), "[redacted:mask]"),
    ],
)
def test_every_text_of_a_span_and_a_log_is_redacted(
    instrument: Any, records: Any, redact: Any, replaced: str
) -> None:
    recording = instrument(redact=redact)

    record_everywhere(recording, f"key: {SECRET}")

    stored = repr([*records(SpanRecord), *records(LogRecord)])
    assert "sk-ant" not in stored
    assert stored.count(replaced) >= 11


def test_what_is_told_once_for_many_spans_is_redacted_too(instrument: Any, records: Any) -> None:
    provider = TracerProvider(resource=Resource({"r": SECRET}), shutdown_on_exit=False)
    recording = instrument(tracer_provider=provider)
    tracer = provider.get_tracer(f"scope {SECRET}", "1", attributes={"s": SECRET})

    for _ in range(2):
        with tracer.start_as_current_span("nothing of interest"):
            pass
    recording.flush()

    assert SECRET not in repr(records(SpanRecord))
    ended = [span for span in records(SpanRecord) if not span.is_open]
    assert [(s.resource, s.scope_name, s.scope_attributes) for s in ended] == [
        ({"r": MARK}, f"scope {MARK}", {"s": MARK})
    ] * 2


def test_a_secret_in_a_name_or_a_trace_state_takes_no_short_cut(
    instrument: Any, records: Any
) -> None:
    recording = instrument()
    tracer = recording._options.tracer_provider.get_tracer("t")
    state = TraceState([("k", SECRET)])
    parent = SpanContext(1, 1, True, TraceFlags(TraceFlags.SAMPLED), state)

    with tracer.start_as_current_span(
        f"GET /{SECRET}", context=set_span_in_context(NonRecordingSpan(parent))
    ):
        pass
    recording.flush()

    (ended,) = (span for span in records(SpanRecord) if not span.is_open)
    assert (ended.name, ended.trace_state) == (f"GET /{MARK}", f"k={MARK}")
    assert ended.attributes == {semconv.REDACTED: ["name"]}


def test_a_run_is_closed_under_the_id_that_its_spans_have(instrument: Any, records: Any) -> None:
    recording = instrument(redact=True)
    told: list[str] = []
    recording.on_trajectory(lambda trajectory: told.append(trajectory.trajectory_id))

    with trajectory("t", agent="a", trajectory_id="for alice@example.com"):
        pass
    recording.flush()

    (close,) = records(Close)
    (span,) = (span for span in records(SpanRecord) if not span.is_open)
    assert told == [close.trajectory_id] == [span.attributes[semconv.TRAJECTORY_ID]]
    assert "alice" not in repr(everything(records))


def test_listeners_are_told_what_is_stored(instrument: Any) -> None:
    recording = instrument()
    told: list[Any] = []
    recording.on_trajectory(told.append)

    with trajectory(f"find {SECRET}", agent="a") as run:
        with tool_call("look", arguments={"k": SECRET}) as call:
            call.result(SECRET)
        run.outcome("failure", rationale=SECRET)
    recording.flush()

    (run_,) = told
    assert SECRET not in repr((run_, run_.steps))
    assert (run_.task, run_.steps[0].result) == (f"find {MARK}", MARK)


def test_replacements_and_failures_are_counted(instrument: Any) -> None:
    def fail(key: str, text: str) -> str:
        if key == "fails":
            raise ValueError(text)
        return text

    recording = instrument(redact=Redaction(functions=(fail,)))
    tracer = recording._options.tracer_provider.get_tracer("t")

    with tracer.start_as_current_span("s", attributes={"a": f"{SECRET} {SECRET}", "fails": "x"}):
        pass
    recording.flush()

    stats = recording.stats()
    assert stats.redacted == {"anthropic-key": 2, "failed": 1}
    assert stats.redaction_failures == 1
    assert stats.faults == 0


def test_nothing_is_redacted_where_somebody_says_so(instrument: Any, records: Any) -> None:
    recording = instrument(redact=False)

    record_everywhere(recording, f"key: {SECRET}")

    assert "[redacted" not in repr(everything(records))
    assert recording.stats().redacted == {}


def test_the_environment_says_what_is_redacted(
    instrument: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRAJ_REDACT", "emails")
    recording = instrument()

    with trajectory(f"alice@example.com has {SECRET}"):
        pass
    recording.flush()

    (span,) = (span for span in records(SpanRecord) if not span.is_open)
    assert span.attributes[semconv.TASK] == f"[redacted:emails] has {SECRET}"


@pytest.mark.parametrize("redact", [lambda key, value: value, "secrets-and-more", 17])
def test_what_cannot_be_understood_is_refused_when_it_is_said(instrument: Any, redact: Any) -> None:
    with pytest.raises(ConfigurationError):
        instrument(redact=redact)
