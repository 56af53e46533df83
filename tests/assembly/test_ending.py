"""How a run ended: read from its spans alone, whatever its root says."""

from __future__ import annotations

from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.model import SpanEvent, SpanRecord
from tests.assembly.spans import agent, answers, asks, at, chat, only, text, tool

QUESTION = text("user", "Where is A-1?")
DONE = text("assistant", "It has shipped.")


def ended(*spans: SpanRecord) -> tuple[str, str | None]:
    run = only(spans).trajectory
    return run.status, run.error_type


def failing(error_type: str) -> dict[str, Any]:
    return {"status": "ERROR", "attributes": {semconv.ERROR_TYPE: error_type}}


@pytest.mark.parametrize(
    ("error_type", "status"),
    [
        ("asyncio.exceptions.CancelledError", "aborted"),
        ("trio.Cancelled", "aborted"),
        ("KeyboardInterrupt", "aborted"),
        ("GeneratorExit", "aborted"),
        ("AbortError", "aborted"),
        ("cancelled", "aborted"),
        ("TimeoutError", "timeout"),
        ("openai.APITimeoutError", "timeout"),
        ("httpx.ReadTimeout", "timeout"),
        ("google.api_core.exceptions.DeadlineExceeded", "timeout"),
        ("timeout", "timeout"),
        ("openai.BadRequestError", "error"),
        ("agents.exceptions.MaxTurnsExceeded", "error"),
        ("my.TimeoutPolicyError", "error"),
        ("_OTHER", "error"),
    ],
)
@pytest.mark.parametrize("where", ["the last call", "the agent"])
def test_cancelled_timed_out_and_failed_runs_are_told_apart(
    where: str, error_type: str, status: str
) -> None:
    of_agent, of_call = ({}, failing(error_type))[:: 1 if where == "the last call" else -1]
    spans = [agent("a", 0, 50, **of_agent), chat("c1", 1, 10, "a", given=[QUESTION], **of_call)]

    assert ended(*spans) == (status, error_type)


def test_an_exception_event_tells_as_much_as_an_attribute() -> None:
    event = SpanEvent(at(9), "exception", {"exception.type": "asyncio.CancelledError"})

    assert ended(agent("a", 0, 50), chat("c1", 1, 10, "a", events=(event,)))[0] == "aborted"


def test_a_call_that_failed_and_was_made_again_is_no_failed_run() -> None:
    spans = [
        agent("a", 0, 50),
        chat("c1", 1, 10, "a", given=[QUESTION], **failing("openai.RateLimitError")),
        chat("c2", 11, 20, "a", given=[QUESTION], said=DONE),
    ]

    assert ended(*spans) == ("completed", None)


def test_a_tool_that_timed_out_is_no_timed_out_run() -> None:
    call = asks(("x", "lookup", {}))
    spans = [
        agent("a", 0, 50),
        chat("c1", 1, 10, "a", given=[QUESTION], said=call),
        tool("lookup", 11, 20, "a", **failing("TimeoutError") | {"attributes": {
            semconv.TOOL_CALL_ID: "x", semconv.ERROR_TYPE: "TimeoutError",
            semconv.TOOL_NAME: "lookup", semconv.OPERATION: "execute_tool",
        }}),
        chat("c2", 21, 30, "a", given=[QUESTION, call, answers(("x", "gone"))], said=DONE),
    ]  # fmt: skip

    run = only(spans).trajectory

    assert (run.status, run.n_errors, run.final_answer) == ("completed", 1, "It has shipped.")


def test_a_sub_agent_that_failed_is_no_failed_run_when_the_agent_went_on() -> None:
    spans = [
        agent("a", 0, 90),
        chat("c1", 1, 10, "a", given=[QUESTION], said=asks(("x", "ask_b", {}))),
        tool("ask_b", 11, 40, "a"),
        agent("b", 12, 39, "execute_tool ask_b", **failing("RuntimeError")),
        chat("c2", 13, 20, "b", given=[QUESTION], **failing("RuntimeError")),
        chat("c3", 41, 50, "a", given=[QUESTION], said=DONE),
    ]

    assert ended(*spans) == ("completed", None)


def test_without_an_answer_no_answer_is_made_up() -> None:
    run = only(
        [agent("a", 0, 50), chat("c1", 1, 10, "a", given=[QUESTION], **failing("x.Error"))]
    ).trajectory

    assert (run.user_input, run.final_answer) == ("Where is A-1?", None)
