"""The sink `otlp` sends what the sink `store` keeps, redacted, over the SDK's own exporters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry._logs import LogRecord as ApiLogRecord
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import otel_traj
from otel_traj import semconv
from otel_traj.capture.instrumentors import GENAI_CONTENT
from otel_traj.capture.sinks import wants_otlp
from otel_traj.store import TrajectoryStore
from tests import receivers
from tests.capture.test_redaction import record_everywhere
from tests.collector.running import needs_collector

QUESTION, ANSWER = "where is my order A-1001?", "it lies in the depot"
KEY = "sk-ant-api03-" + "x" * 20


@pytest.fixture(params=sorted(receivers.RECEIVERS))
def receiver(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[receivers.Receiver]:
    with receivers.RECEIVERS[request.param]() as receiver:
        export_to(receiver, monkeypatch)
        yield receiver


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[receivers.Receiver]:
    with receivers.http() as receiver:
        export_to(receiver, monkeypatch)
        yield receiver


def export_to(receiver: receivers.Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", receiver.protocol)
    monkeypatch.delenv(GENAI_CONTENT, raising=False)


def run_agent(loggers: LoggerProvider) -> None:
    """Does all that the API can tell, in the run and after it."""
    with otel_traj.trajectory("t", task_id="order", agent="support", user_id="u") as run:
        run.initial_state({"orders": 1})
        run.metadata(seed=1)
        with otel_traj.inference("gpt-4o", provider="openai", input=QUESTION) as call:
            call.output(tool_calls=[{"id": "c1", "name": "edit", "arguments": '{"path": "a"}'}])
            call.usage(12, 3, cache_read_tokens=4)
        with otel_traj.tool_call(
            "edit", arguments={"path": "a"}, call_id="c1", reasoning="it says so"
        ) as edit:
            edit.file_diff("a", "x\n", "y\n")
            edit.result(KEY)
            edit.observe({"lines": 1})
            edit.reward(0.5)
            edit.done()
        run.checkpoint("edited", {"n": 1})
        with otel_traj.trajectory("sub", agent="researcher"), otel_traj.tool_call("look") as look:
            look.error("nothing there")
        run.final_answer(ANSWER)
        run.outcome("partial")
        run.reward(0.5, source="unit-test")
        context = context_api.get_current()
    run.outcome("success", rationale="a person looked")
    run.reward(1.0)
    edit.reward(0.75)
    loggers.get_logger("judge").emit(
        ApiLogRecord(
            context=context,
            event_name=semconv.EVENT_EVALUATION,
            attributes={semconv.EVALUATION_NAME: "tone", semconv.EVALUATION_VALUE: 0.9},
        )
    )


TABLES = ("trajectories", "steps", "file_changes", "annotations", "trajectory_spans")
ONLY_OURS = {"start_seq", "ingest_seq", "ingest_time"}
"""The order of starts is seen by our processor alone; when it was stored is another time there."""


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    store = otel_traj.open_store(path)
    found = {}
    for table in TABLES:
        told = store.sql(f"from {table}").to_arrow_table().to_pylist()
        without = [{k: v for k, v in row.items() if k not in ONLY_OURS} for row in told]
        found[table] = sorted(without, key=repr)
    return found


def stored(path: Path, receiver: receivers.Receiver) -> Path:
    """What arrived, in a store of its own."""
    store = TrajectoryStore.create(path)
    store.append(receiver.records)
    return path


@pytest.mark.parametrize("sinks", [("store", "otlp"), ("store",)])
def test_run_told_over_otlp_equals_the_recorded_one_row_for_row(
    instrument: Any,
    store: Path,
    tmp_path: Path,
    receiver: receivers.Receiver,
    sinks: tuple[str, ...],
) -> None:
    loggers = LoggerProvider(shutdown_on_exit=False)
    # The variable adds `otlp` where it is not asked for.
    recording = instrument(sinks=sinks, content=True, logger_provider=loggers)

    run_agent(loggers)
    assert recording.flush()
    recording.shutdown()

    here, there = rows(store), rows(stored(tmp_path / "there", receiver))
    assert {table: len(found) for table, found in here.items()} == {
        "trajectories": 1,
        "steps": 4,
        "file_changes": 1,
        "annotations": 7,
        "trajectory_spans": 5,
    }
    assert there == here
    (run,) = there["trajectories"]
    assert (run["outcome"], run["reward"], run["final_answer"]) == ("success", 1.0, ANSWER)
    assert "[redacted:anthropic-key]" in repr(there)
    assert KEY not in repr(receiver.records)


@pytest.mark.slow
@needs_collector
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_run_told_through_the_real_collector_equals_the_recorded_one(
    instrument: Any,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
) -> None:
    loggers = LoggerProvider(shutdown_on_exit=False)
    with receivers.collector(tmp_path, protocol) as receiver:
        export_to(receiver, monkeypatch)
        recording = instrument(content=True, logger_provider=loggers)
        run_agent(loggers)
        assert recording.flush()
        recording.shutdown()

    assert rows(stored(tmp_path / "there", receiver)) == rows(store)


def test_content_stays_in_the_store_unless_it_is_asked_for(
    instrument: Any, store: Path, tmp_path: Path, receiver: receivers.Receiver
) -> None:
    loggers = LoggerProvider(shutdown_on_exit=False)
    recording = instrument(sinks=("store", "otlp"), logger_provider=loggers)

    run_agent(loggers)
    recording.shutdown()

    here, there = rows(store), rows(stored(tmp_path / "there", receiver))
    for said in (QUESTION, ANSWER, "it says so", "lines"):
        assert said in repr(here)
        assert said not in repr(receiver.records)
    (run,), (same,) = there["trajectories"], here["trajectories"]
    told = ("trajectory_id", "n_llm", "n_tools", "outcome", "reward", "agents", "input_tokens")
    assert {key: run[key] for key in told} == {key: same[key] for key in told}
    (change,) = there["file_changes"]
    assert (change["path"], change["added"], change["diff"]) == ("a", 1, None)


def test_live_tells_of_open_spans_and_changes_nothing_of_the_rest(
    instrument: Any,
    store: Path,
    tmp_path: Path,
    receiver: receivers.Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRAJ_LIVE", "1")
    recording = instrument(sinks=("store", "otlp"), content=True)

    with otel_traj.trajectory("t", agent="a"), otel_traj.tool_call("look", arguments={"n": 1}):
        assert recording.flush()
        (live,) = rows(stored(tmp_path / "live", receiver))["trajectories"]
    recording.shutdown()

    assert (live["status"], live["task"], live["n_open"]) == ("open", "t", 2)
    assert [(span.name, span.is_open) for span in receiver.spans()] == [
        ("invoke_agent a", True),
        ("execute_tool look", True),
        ("execute_tool look", False),
        ("invoke_agent a", False),
    ]
    assert receiver.logs() == []
    assert rows(stored(tmp_path / "there", receiver)) == rows(store)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_collector_that_is_away_is_told_and_waited_for_no_longer_than_asked(
    instrument: Any, store: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    export_to(receivers.Receiver("http://127.0.0.1:9", protocol), monkeypatch)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    recording = instrument(sinks=("store", "otlp"))

    with otel_traj.tool_call("look"):
        pass
    assert recording.flush() is False

    with otel_traj.tool_call("look"):
        pass
    assert recording.flush(timeout=0.01) is False
    recording.shutdown()
    assert [run["tools"] for run in rows(store)["trajectories"]] == [["look"], ["look"]]


def test_otlp_alone_writes_no_store(
    instrument: Any, tmp_path: Path, http: receivers.Receiver
) -> None:
    recording = instrument(store=tmp_path / "nowhere", sinks="otlp")

    with otel_traj.trajectory("t"), otel_traj.tool_call("look"):
        pass
    recording.flush()

    assert {span.attributes[semconv.OPERATION] for span in http.spans()} == {
        "execute_tool",
        "invoke_agent",
    }
    assert not (tmp_path / "nowhere").exists()


def test_every_text_that_is_sent_is_redacted_and_says_so(
    instrument: Any, http: receivers.Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRAJ_LIVE", "1")  # tells of starts, in log records of their own
    secret, mail = "AKIA" + "IOSFODNN7EXAMPLE", "alice@example.com"
    recording = instrument(sinks=("otlp",), redact=True, content=True)

    record_everywhere(recording, f"{mail} has {secret}")

    told = repr(http.records)
    assert (secret in told, mail in told) == (False, False)
    assert told.count("[redacted:emails] has [redacted:aws-key]") >= 13
    begun, ended = sorted(http.spans(), key=lambda span: not span.is_open)
    assert begun.attributes[semconv.REDACTED] == ["a", semconv.SPAN_START_NAME]
    assert ended.attributes[semconv.REDACTED] == [
        *("a", "event", "event.name", "exception.message", "exception.stacktrace", "link", "name"),
        "status.message",
    ]
    (log,) = http.logs()
    assert log.attributes[semconv.REDACTED] == ["body", "log"]


def test_what_limits_dropped_stays_counted_in_redacted_copies(
    instrument: Any, http: receivers.Receiver
) -> None:
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=1), shutdown_on_exit=False)
    recording = instrument(sinks=("otlp",), tracer_provider=provider)

    with provider.get_tracer("t").start_as_current_span("s", attributes={"a": 1, "b": 2}):
        pass
    recording.flush()

    (span,) = http.spans()
    assert (span.attributes, span.dropped_attributes) == ({"b": 2}, 1)


def test_provider_that_exports_already_is_not_given_another_exporter(
    http: receivers.Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    assert wants_otlp(provider)

    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    assert not wants_otlp(provider)
    provider.shutdown()

    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    assert not wants_otlp(TracerProvider(shutdown_on_exit=False))
