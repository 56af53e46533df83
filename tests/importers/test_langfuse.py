"""Langfuse's exports: the span that Langfuse received comes back out of its columns."""

import json
from pathlib import Path
from typing import Any

import pytest

from otel_traj import importers
from otel_traj.importers import Reading
from otel_traj.model import LogRecord, SpanRecord

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ROOT, CALL = "1" * 16, "2" * 16
START_NS = 1_750_000_000_250_000_000


def observation(**changes: Any) -> dict[str, Any]:
    return {
        "id": CALL,
        "traceId": TRACE,
        "parentObservationId": ROOT,
        "type": "GENERATION",
        "name": "chat gpt-5",
        "startTime": "2025-06-15T15:06:40.250Z",
        "endTime": "2025-06-15T15:06:42.250Z",
        "level": "DEFAULT",
        "statusMessage": None,
        "input": None,
        "output": None,
        "model": None,
        "modelParameters": {},
        "usageDetails": {},
        "completionStartTime": None,
        "metadata": "{}",
        **changes,
    }


def metadata(**attributes: Any) -> str:
    return json.dumps(
        {
            "attributes": attributes,
            "resourceAttributes": {"service.name": "helper"},
            "scope": {"name": "agent_framework", "version": "1.0", "attributes": {"k": "v"}},
        }
    )


def export(*observations: dict[str, Any], **trace: Any) -> dict[str, Any]:
    header = {"id": TRACE, "name": "run", "sessionId": None, "userId": None, "scores": [], **trace}
    return {"trace": header, "observations": list(observations)}


def read(content: Any, tmp_path: Path) -> tuple[Reading, list[Any]]:
    (tmp_path / "file").write_text(json.dumps(content))
    (reading,) = importers.readings(tmp_path / "file")
    return reading, list(reading)


def attributes(content: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    _, (record,) = read(export(content), tmp_path)
    return dict(record.attributes)


def test_the_span_is_rebuilt_from_the_metadata(tmp_path: Path) -> None:
    own = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": "62"}
    reading, (span,) = read(export(observation(metadata=metadata(**own))), tmp_path)

    assert (reading.format, reading.flaws) == ("Langfuse export", [])
    assert span == SpanRecord(
        trace_id=TRACE,
        span_id=CALL,
        parent_span_id=ROOT,
        name="chat gpt-5",
        start_ns=START_NS,
        end_ns=START_NS + 2_000_000_000,
        attributes={"langfuse.observation.type": "generation", **own},
        resource={"service.name": "helper"},
        scope_name="agent_framework",
        scope_version="1.0",
        scope_attributes={"k": "v"},
    )


def test_metadata_that_is_an_object_already_is_read_too(tmp_path: Path) -> None:
    content = observation(metadata=json.loads(metadata(key="value")))

    assert attributes(content, tmp_path)["key"] == "value"


def test_observations_inside_their_trace_are_read_too(tmp_path: Path) -> None:
    _, (span,) = read({"id": TRACE, "observations": [observation(traceId=None)]}, tmp_path)

    assert (span.trace_id, span.span_id) == (TRACE, CALL)


def test_what_was_moved_to_columns_goes_back_to_attributes(tmp_path: Path) -> None:
    found = attributes(
        observation(
            input=json.dumps([{"role": "user", "content": "Hello"}]),
            output="Good day",
            model="gpt-5",
            modelParameters={"temperature": 0.2, "max_tokens": None},
            completionStartTime="2025-06-15T15:06:40.750Z",
        ),
        tmp_path,
    )

    assert found == {
        "langfuse.observation.type": "generation",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.input.messages": '[{"role": "user", "content": "Hello"}]',
        "gen_ai.output.messages": '[{"role": "assistant", "content": "Good day"}]',
    }


def test_what_an_attribute_still_tells_wins(tmp_path: Path) -> None:
    own = {
        "input.value": "as sent",
        "gen_ai.completion.0.content": "as sent",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.usage.output_tokens": 4,
    }
    found = attributes(
        observation(
            input="as shown",
            output="as shown",
            model="gpt-5-2025-08-07",
            usageDetails={"input": 14, "output": 43},
            metadata=metadata(**own),
        ),
        tmp_path,
    )

    assert found == {"langfuse.observation.type": "generation", **own}


@pytest.mark.parametrize(
    ("content", "key", "value"),
    [
        ({"role": "user", "content": "Hi"}, "gen_ai.input.messages", None),
        ({"prompt": "Hi"}, "input.value", '{"prompt": "Hi"}'),
        (
            [{"toolCallId": "c1", "toolName": "search", "input": "{}"}],
            "gen_ai.input.messages",
            None,
        ),
    ],
)
def test_contents_are_messages_only_if_they_look_so(
    content: Any, key: str, value: str | None, tmp_path: Path
) -> None:
    found = attributes(observation(input=content), tmp_path)

    assert key in found
    assert value is None or found[key] == value


def test_contents_of_tools_and_others_stay_what_they_are(tmp_path: Path) -> None:
    found = attributes(observation(type="TOOL", input={"city": "Oslo"}, output="rain"), tmp_path)

    assert found["langfuse.observation.type"] == "tool"
    assert found["input.value"] == '{"city": "Oslo"}'
    assert found["output.value"] == "rain"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, {}),
        ({"input": 10, "output": 3, "total": 13}, {"input_tokens": 10, "output_tokens": 3}),
        (
            {"input": 10, "input_cache_read": 6, "output": 3, "output_reasoning": 2, "total": 21},
            {
                "input_tokens": 16,
                "cache_read.input_tokens": 6,
                "output_tokens": 5,
                "reasoning.output_tokens": 2,
            },
        ),
        (
            {"input": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 1},
            {
                "input_tokens": 13,
                "cache_read.input_tokens": 7,
                "cache_write.input_tokens": 1,
            },
        ),
    ],
)
def test_cached_and_reasoning_tokens_are_counted_in_again(
    usage: dict[str, int], expected: dict[str, int], tmp_path: Path
) -> None:
    found = attributes(observation(usageDetails=usage), tmp_path)

    told = {key: value for key, value in found.items() if key.startswith("gen_ai.usage.")}
    assert told == {f"gen_ai.usage.{key}": value for key, value in expected.items()}


def test_a_providers_own_count_in_the_answer_is_not_overruled(tmp_path: Path) -> None:
    body = {"choices": [], "usage": {"prompt_tokens": 163}}
    found = attributes(observation(output=json.dumps(body), usageDetails={"input": 542}), tmp_path)

    assert "gen_ai.usage.input_tokens" not in found


def test_a_root_has_what_only_the_trace_tells(tmp_path: Path) -> None:
    trace = {"sessionId": "s1", "userId": "u1", "input": "Hi", "output": "Bye", "tags": ["demo"]}
    _, (root, child) = read(
        export(
            observation(id=ROOT, parentObservationId=None, type="SPAN"),
            observation(type="SPAN"),
            **trace,
        ),
        tmp_path,
    )

    of_both = {"langfuse.observation.type": "span", "session.id": "s1", "user.id": "u1"}
    assert child.attributes == of_both
    assert root.attributes == {
        **of_both,
        "langfuse.trace.name": "run",
        "langfuse.trace.tags": ["demo"],
        "input.value": "Hi",
        "output.value": "Bye",
    }


def test_other_metadata_keeps_the_name_that_langfuse_gives_it(tmp_path: Path) -> None:
    found = attributes(observation(metadata={"thread_id": "t1", "langgraph_step": 1}), tmp_path)

    assert found["langfuse.observation.metadata.thread_id"] == "t1"
    assert found["langfuse.observation.metadata.langgraph_step"] == 1


@pytest.mark.parametrize(
    ("changes", "end_ns", "status"),
    [
        ({"level": "ERROR", "statusMessage": "quota"}, START_NS + 2_000_000_000, "ERROR"),
        ({"level": "WARNING"}, START_NS + 2_000_000_000, "UNSET"),
        ({"endTime": None}, None, "UNSET"),
        ({"endTime": None, "type": "EVENT"}, START_NS, "UNSET"),
    ],
)
def test_ends_and_failures(
    changes: dict[str, Any], end_ns: int | None, status: str, tmp_path: Path
) -> None:
    _, (span,) = read(export(observation(**changes)), tmp_path)

    assert (span.end_ns, span.status) == (end_ns, status)
    assert span.status_message == changes.get("statusMessage")


def score(**changes: Any) -> dict[str, Any]:
    return {
        "name": "correctness",
        "value": 0.5,
        "stringValue": None,
        "comment": "half of it",
        "source": "EVAL",
        "timestamp": "2025-06-15T15:06:40.250Z",
        "traceId": TRACE,
        "observationId": None,
        **changes,
    }


def test_a_score_is_an_evaluation_of_the_root_or_of_its_observation(tmp_path: Path) -> None:
    scores = [
        score(),
        score(observationId=CALL, value=None, stringValue="bad", comment=None, source=None),
    ]
    root = observation(id=ROOT, parentObservationId="f" * 16)
    reading, found = read(export(observation(), root, scores=scores), tmp_path)

    whole, of_call = (record for record in found if isinstance(record, LogRecord))
    assert (reading.n_spans, reading.n_logs) == (2, 2)
    assert (whole.trace_id, whole.span_id, whole.time_ns) == (TRACE, ROOT, START_NS)
    assert whole.event_name == "gen_ai.evaluation.result"
    assert whole.attributes == {
        "gen_ai.evaluation.name": "correctness",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.explanation": "half of it",
        "traj.source": "langfuse:eval",
    }
    assert of_call.span_id == CALL
    assert of_call.attributes == {
        "gen_ai.evaluation.name": "correctness",
        "gen_ai.evaluation.score.label": "bad",
        "traj.source": "langfuse:api",
    }


def test_ids_of_older_sdks_become_opentelemetrys(tmp_path: Path) -> None:
    run, call = "run-7", "2f1a4f6e-7d43-4a8e-9d4f-2b8f6f0f6a11"
    content = export(
        observation(id=call, traceId=run, parentObservationId=None),
        observation(traceId=run, parentObservationId=call),
        id=run,
    )
    _, (above, below) = read(content, tmp_path)

    assert (len(above.trace_id), len(above.span_id)) == (32, 16)
    assert (below.trace_id, below.parent_span_id) == (above.trace_id, above.span_id)


def test_a_broken_observation_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    broken = observation(startTime=None)
    reading, found = read(export(broken, observation(), scores=[score()]), tmp_path)

    assert (reading.n_spans, reading.n_logs, len(found)) == (1, 1, 2)
    assert [flaw.place for flaw in reading.flaws] == ["line 1, observation 1"]
