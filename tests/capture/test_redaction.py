"""Every value passes the redactor before it leaves; no secret of a known form gets out."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry._logs import LogRecord as SdkLogRecord
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from otel_traj import semconv
from otel_traj.capture import trajectory
from otel_traj.capture.redaction import FAILED, SECRET, redact_secrets
from otel_traj.model import LogRecord, SpanRecord


def record_everywhere(recording: Any, secret: str) -> None:
    """Put a text wherever a value can be."""
    options = recording._options
    options.logger_provider._resource = options.tracer_provider._resource
    tracer = options.tracer_provider.get_tracer("t", attributes={"scope": secret})
    link = Link(SpanContext(1, 1, is_remote=False), {"link": secret})
    with tracer.start_as_current_span("s", links=[link], attributes={"a": [secret]}) as span:
        span.add_event("e", {"event": [secret]})
        span.record_exception(ValueError(secret))
        options.logger_provider.get_logger("l").emit(
            SdkLogRecord(body={"text": secret}, attributes={"log": secret}, event_name="x")
        )
        span.set_status(Status(StatusCode.ERROR, secret))
    assert recording.flush()


@pytest.mark.usefixtures("faults_are_swallowed")
@pytest.mark.parametrize("redact", ["builtin", "own", "raising"])
def test_redaction_sees_every_value(instrument: Any, records: Any, redact: str) -> None:
    secret = "key: sk-ant-api03-" + "x" * 20

    def own(key: str, value: Any) -> Any:
        return "gone"

    def raising(key: str, value: Any) -> Any:
        raise RuntimeError(f"cannot handle {key}")

    redactors = {"builtin": None, "own": own, "raising": raising}
    recording = instrument(redact=redactors[redact])

    record_everywhere(recording, secret)

    stored = repr([*records(SpanRecord), *records(LogRecord)])
    assert "sk-ant" not in stored
    replaced = {"builtin": f"key: {SECRET}", "own": "gone", "raising": FAILED}[redact]
    assert stored.count(replaced) >= 9
    assert (recording.stats().redaction_failures > 0) == (redact == "raising")


def test_redactor_is_told_the_key(instrument: Any, records: Any) -> None:
    def mask(key: str, value: Any) -> Any:
        return "***" if key == semconv.TASK else value

    recording = instrument(redact=mask)
    with trajectory("private", agent="a"):
        pass
    recording.flush()

    (span,) = (s for s in records(SpanRecord) if not s.is_open)
    assert span.attributes[semconv.TASK] == "***"
    assert span.attributes[semconv.AGENT_NAME] == "a"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcT3BlbkFJdef_-1",
        "sk-ant-api03-" + "a1" * 12,
        "sk_live_" + "a1" * 12,
        "AKIAIOSFODNN7EXAMPLE",
        "github_pat_" + "a1" * 12,
        "ghp_" + "a" * 36,
        "glpat-" + "a" * 20,
        "xoxb-" + "1234567890-abcdefghij",
        "AIzaSy" + "a" * 33,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_of_known_forms_are_replaced(secret: str) -> None:
    value = {"messages": [f"use {secret}, please"], "n": 1}

    assert redact_secrets("k", value) == {"messages": [f"use {SECRET}, please"], "n": 1}


def test_bearer_tokens_are_replaced_and_prose_is_not() -> None:
    assert redact_secrets("h", "Bearer 0123456789abcdef01") == f"Bearer {SECRET}"
    for innocent in ("the bearer of this letter", "risk-anticipating", "AKIA", "ghp_short", "eyJ"):
        assert redact_secrets("h", innocent) == innocent
