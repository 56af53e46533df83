"""What real frameworks do that no corpus showed: hand-overs told by an argument, names respelt."""

from __future__ import annotations

import pytest

from otel_traj import semconv
from otel_traj.dialects.messages import dumps
from otel_traj.model import SpanRecord
from tests.assembly.spans import agent, chat, only, span, text, told, tool


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


def test_a_tool_is_the_one_that_was_asked_for_however_its_name_is_spelt() -> None:
    asked = {"type": "tool_call", "id": "c-1", "name": "delegate_work", "arguments": {}}
    spans = [
        agent("desk", 0, 100),
        chat("c1", 1, 20, "desk", said={"role": "assistant", "parts": [asked]}),
        tool("Delegate work", 25, 30, "desk"),
        chat("c2", 40, 50, "desk"),
    ]

    run = only(spans).trajectory

    assert told(run.steps, "kind", "tool_name", "tool_call_id") == [
        ("llm", None, None),
        ("tool", "delegate_work", "c-1"),
        ("llm", None, None),
    ]


def test_a_servers_span_beside_that_of_its_caller_is_the_same_call() -> None:
    asked = {semconv.TOOL_CALL_ARGUMENTS: dumps({"city": "Bern"})}
    spans = [
        agent("desk", 0, 100),
        tool("mcp__weather__look", 10, 30, "desk", attributes=asked, scope_name="client"),
        tool("look", 15, 20, "desk", scope_name="server"),
        tool("look", 50, 60, "desk", scope_name="server"),
    ]

    run = only(spans).trajectory

    assert told(run.steps, "kind", "tool_name", "arguments") == [
        ("tool", "mcp__weather__look", '{"city":"Bern"}'),
        ("tool", "look", None),
    ]


@pytest.mark.parametrize(
    ("instructions", "worker"),
    [("You are invoice_clerk.", "invoice_clerk"), ("You are helpful.", "desk")],
)
def test_a_worker_without_a_span_is_named_by_the_argument_that_its_instructions_name(
    instructions: str, worker: str
) -> None:
    arguments = {"task": "Write it", "coworker": "invoice_clerk"}
    asked = {"type": "tool_call", "id": "c-1", "name": "delegate", "arguments": arguments}
    delegated = {semconv.TOOL_CALL_ID: "c-1", semconv.TOOL_CALL_ARGUMENTS: dumps(arguments)}
    spans = [
        agent("desk", 0, 100),
        chat(
            "c1",
            1,
            20,
            "desk",
            given=[text("system", "You are the desk.")],
            said={"role": "assistant", "parts": [asked]},
        ),
        tool("delegate", 25, 60, "desk", attributes=delegated),
        chat("c2", 30, 50, "execute_tool delegate", given=[text("system", instructions)]),
    ]

    run = only(spans).trajectory

    assert told(run.steps, "kind", "agent_name") == [
        ("llm", "desk"),
        ("handoff", "desk"),
        ("llm", worker),
    ]
