"""Hand-overs that only an argument tells: a tool for handing over to whoever is named."""

from __future__ import annotations

import pytest

from otel_traj import semconv
from otel_traj.dialects.messages import dumps
from otel_traj.model import SpanRecord
from tests.assembly.spans import agent, chat, only, span, told, tool


def handed_over(argument: str, next_agent: str) -> list[SpanRecord]:
    """A workflow whose first agent names somebody in an argument; then an agent goes on."""
    arguments = dumps({"to": argument, "reason": "an invoice"})
    return [
        span("workflow", 0, 100, attributes={semconv.OPERATION: "invoke_workflow"}),
        agent("desk", 1, 40, "workflow"),
        chat("c1", 2, 20, "desk"),
        tool("handoff", 25, 30, "desk", attributes={semconv.TOOL_CALL_ARGUMENTS: arguments}),
        agent(next_agent, 50, 90, "workflow"),
        chat("c2", 51, 80, next_agent),
    ]


@pytest.mark.parametrize("argument", ["invoice_clerk", "Invoice Clerk"])
def test_a_call_that_names_the_agent_that_goes_on_hands_over(argument: str) -> None:
    run = only(handed_over(argument, "invoice_clerk")).trajectory

    [handoff] = [step for step in run.steps if step.kind == "handoff"]
    assert (handoff.agent_name, handoff.handoff_to, handoff.handoff_mode) == (
        "desk",
        "invoice_clerk",
        "transfer",
    )


def test_a_call_that_names_somebody_else_hands_nothing_over() -> None:
    run = only(handed_over("auditor", "invoice_clerk")).trajectory

    assert told(run.steps, "kind", "agent_name") == [
        ("llm", "desk"),
        ("tool", "desk"),
        ("llm", "invoice_clerk"),
    ]
