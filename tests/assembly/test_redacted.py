"""What was redacted is not what was said: a step that tells it cannot be replayed as it was."""

from __future__ import annotations

import json

import pytest

from otel_traj import semconv
from otel_traj.assembly.requests import rebuild
from otel_traj.dialects.canonical import hash_messages
from otel_traj.dialects.messages import dumps
from otel_traj.model import LogRecord, SpanRecord, Step
from otel_traj.redaction import Redaction
from tests.assembly.spans import agent, answers, asks, chat, log, only, text, tool

KEY = "sk-ant-api03-" + "x1" * 20
TOOLS = dumps([{"type": "function", "name": "lookup", "parameters": {}}])

INPUT, OUTPUT = f"redacted: {semconv.INPUT_MESSAGES}", f"redacted: {semconv.OUTPUT_MESSAGES}"
RESULT, ARGUMENTS = semconv.TOOL_CALL_RESULT, semconv.TOOL_CALL_ARGUMENTS


def run_of(
    question: str = "Where?",
    argument: str = "k",
    result: str = "shipped",
    answer: str = "Shipped.",
) -> list[SpanRecord]:
    """A model that asks for a tool, and answers when it has the result; redacted."""
    asked, found = asks(("id1", "lookup", {"of": argument})), answers(("id1", result))
    given = [text("user", question)]
    tools = {semconv.TOOL_DEFINITIONS: TOOLS}
    executed = {
        semconv.TOOL_CALL_ID: "id1",
        ARGUMENTS: json.dumps({"of": argument}),
        RESULT: result,
    }
    spans = [
        agent("a", 0, 100),
        chat("c1", 1, 10, "a", given=given, said=asked, attributes=tools),
        tool("lookup", 11, 19, "a", attributes=executed),
        chat(
            "c2",
            *(20, 30, "a"),
            given=[*given, asked, found],
            said=text("assistant", answer),
            attributes=tools,
        ),
    ]
    return [*map(Redaction().record, spans)]


def steps_of(spans: list[SpanRecord], logs: list[LogRecord] | None = None) -> list[Step]:
    """The steps that are graded: model call, tool, model call."""
    return [step for step in only(spans, logs or ()).trajectory.steps if step.grade]


def test_a_run_without_secrets_is_graded_as_ever() -> None:
    assert [step.grade for step in steps_of(run_of())] == ["A", "A", "A"]
    assert only(run_of()).trajectory.attributes is None


@pytest.mark.parametrize(
    ("where", "reasons"),
    [
        ("question", [INPUT, None, INPUT]),
        ("argument", [OUTPUT, f"redacted: {ARGUMENTS}", INPUT]),
        ("result", [None, f"redacted: {RESULT}", INPUT]),
        ("answer", [None, None, OUTPUT]),
    ],
)
def test_a_step_that_tells_something_redacted_is_never_graded_a(
    where: str, reasons: list[str | None]
) -> None:
    steps = steps_of(run_of(**{where: f"key {KEY}"}))

    assert [step.grade_reason for step in steps] == reasons
    assert [step.grade for step in steps] == ["C" if reason else "A" for reason in reasons]


def test_a_tool_whose_arguments_only_a_redacted_answer_tells_is_not_graded_a() -> None:
    spans = run_of(argument=KEY)
    bare = {key: value for key, value in spans[2].attributes.items() if "arguments" not in key}
    del bare[semconv.REDACTED]
    spans[2] = tool("lookup", 11, 19, "a", attributes=bare)

    told = steps_of(spans)[1]

    assert (told.arguments, told.grade) == ('{"of":"[redacted:anthropic-key]"}', "C")
    assert told.grade_reason == OUTPUT


def test_redacted_log_records_count_like_the_span_they_belong_to() -> None:
    told = log(
        semconv.EVENT_INFERENCE_DETAILS,
        "c2",
        29,
        **{semconv.SYSTEM_INSTRUCTIONS: dumps([{"type": "text", "content": KEY}])},
    )

    steps = steps_of(run_of(), [Redaction().record(told)])

    assert [step.grade for step in steps] == ["A", "A", "C"]
    assert steps[2].grade_reason == f"redacted: {semconv.SYSTEM_INSTRUCTIONS}"


def test_hashes_of_redacted_requests_are_those_of_what_is_stored() -> None:
    (first, _, second) = steps_of(run_of(question=f"key {KEY}"))
    other, _, _ = steps_of(run_of(question=f"key {KEY[:-4]}abcd"))
    steps = only(run_of(question=f"key {KEY}")).trajectory.steps

    requests = [rebuild(steps, step.step) for step in (first, second)]

    assert [hash_messages(r or ()) for r in requests] == [first.messages_hash, second.messages_hash]
    assert first.messages_hash == other.messages_hash
    assert "sk-ant" not in repr(steps)


def test_a_run_tells_how_many_of_its_values_were_redacted() -> None:
    header = only(run_of(result=KEY, answer=KEY)).trajectory

    assert json.loads(header.attributes or "") == {semconv.REDACTED: 3}
