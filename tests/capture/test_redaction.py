"""Whatever is recorded is redacted before it leaves: into the log, over OTLP, to listeners."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry._logs import LogRecord as SdkLogRecord
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from otel_traj.model import LogRecord, SpanRecord
from otel_traj.redaction import Redaction

SECRET = "sk-ant-api03-" + "x1" * 20


def record_everywhere(recording: Any, text: str) -> None:
    """Put a text wherever one can be."""
    options = recording._options
    options.logger_provider._resource = options.tracer_provider._resource
    tracer = options.tracer_provider.get_tracer("t", attributes={"scope": text})
    link = Link(SpanContext(1, 1, is_remote=False), {"link": text})
    with tracer.start_as_current_span(f"s {text}", links=[link], attributes={"a": [text]}) as span:
        span.add_event(f"e {text}", {"event": [text]})
        span.record_exception(ValueError(text))
        options.logger_provider.get_logger("l").emit(
            SdkLogRecord(body={"text": text}, attributes={"log": text}, event_name="x")
        )
        span.set_status(Status(StatusCode.ERROR, text))
    assert recording.flush()


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
