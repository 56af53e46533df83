"""Which messages in the user's name are the user's."""

from __future__ import annotations

import pytest

from otel_traj import semconv
from tests.assembly.spans import agent, answers, asks, chat, only, span, text, tool

RETOLD = {
    "as a call": "For context:\n[triage] called tool `lookup` with parameters: {'id': 'A-1'}",
    "as a result": "For context:\n[triage] `lookup` tool returned result: {'status': 'lost'}",
    "as a speech": "For context:\n[triage] said: It is lost, somebody else will help.",
    "as it was": "It is lost, somebody else will help.",
}

OWN = {
    "a new question": "And what about A-2?",
    "a question about an agent": "Can triage do that?",
}


def user_messages(message: str) -> list[str | None]:
    """What users say in a run in which a second agent is given this message after the first."""
    run = only(
        [
            span("flow", 0, 90, attributes={semconv.OPERATION: "invoke_workflow"}),
            agent("triage", 1, 40, "flow"),
            chat(
                "t1", 2, 10, "triage",
                given=[text("user", "Where is A-1?")],
                said=asks(("c1", "lookup", {"id": "A-1"})),
            ),
            tool("lookup", 11, 12, "triage", attributes={semconv.TOOL_CALL_ID: "c1"}),
            chat(
                "t2", 13, 20, "triage",
                given=[text("user", "Where is A-1?"), asks(("c1", "lookup", {"id": "A-1"})), answers(("c1", "lost"))],
                said=text("assistant", "It is lost, somebody else will help."),
            ),
            agent("refunds", 41, 80, "flow"),
            chat(
                "r1", 42, 50, "refunds",
                given=[text("user", "Where is A-1?"), text("user", message)],
                said=text("assistant", "Refunded."),
            ),
        ]
    )  # fmt: skip
    return [step.new_messages for step in run.trajectory.steps if step.kind == "user"]


@pytest.mark.parametrize("message", RETOLD.values(), ids=RETOLD)
def test_what_another_agent_did_is_no_word_of_the_user(message: str) -> None:
    assert len(user_messages(message)) == 1


@pytest.mark.parametrize("message", OWN.values(), ids=OWN)
def test_a_user_may_ask_on_whoever_acts(message: str) -> None:
    [first, second] = user_messages(message)

    assert message in (second or "")
    assert first != second
