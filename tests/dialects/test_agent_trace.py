"""The names of an earlier tracing format, accepted as input (S3.11)."""

from __future__ import annotations

from typing import Any

from otel_traj.dialects.messages import dumps
from otel_traj.model import SpanEvent, SpanRecord
from tests.assembly.spans import at, only, span, told


def agent(name: str, start: float, end: float, **fields: Any) -> SpanRecord:
    attributes = {
        "agent.id": f"id-of-{name}",
        "agent.name": name,
        "agent.role": "worker",
        "agent.model": "m-1",
        "agent.framework": "custom",
        "agenttrace.kind": "agent_call",
        "agenttrace.input": dumps({"args": [f"ask {name}"], "kwargs": {}}),
        "agenttrace.output": dumps(f"{name} is done"),
    }
    return span(f"agent:{name}", start, end, "run", attributes=attributes, **fields)


def events() -> tuple[SpanEvent, ...]:
    """A message between agents, a hand-over, a checkpoint."""
    message = {
        "message.from_agent": "planner",
        "message.to_agent": "writer",
        "message.content": '"the plan"',
    }
    checkpoint = {
        "checkpoint.name": "planned",
        "checkpoint.state_size_bytes": 12,
        "checkpoint.restorable": True,
    }
    return (
        SpanEvent(at(41), "agent_message", {**message, "message.type": "request"}),
        SpanEvent(at(42), "agent_message", {**message, "message.type": "handoff"}),
        SpanEvent(at(43), "checkpoint", checkpoint),
    )


def test_s3_11_agents_tools_and_handoffs_come_out_of_the_older_names() -> None:
    search = {
        "tool.name": "search",
        "agenttrace.kind": "tool_call",
        "agenttrace.input": dumps({"args": [], "kwargs": {"q": "x"}}),
        "agenttrace.output": dumps("found"),
    }
    spans = [
        span("run", 0, 100, attributes={"agenttrace.framework": "custom"}, events=events()),
        agent("planner", 1, 40),
        span("tool:search", 10, 20, "agent:planner", attributes=search),
        agent("writer", 50, 90),
        span("tool:search", 60, 70, "agent:writer", id="again", attributes=search),
    ]

    run = only(spans).trajectory

    assert told(run.steps, "kind", "agent_name", "tool_name", "arguments", "result") == [
        ("tool", "planner", "search", '{"q":"x"}', "found"),
        ("handoff", None, None, '"the plan"', None),
        ("tool", "writer", "search", '{"q":"x"}', "found"),
    ]
    handoff = run.steps[1]
    assert (handoff.handoff_from, handoff.handoff_to, handoff.handoff_mode) == (
        "planner",
        "writer",
        "transfer",
    )
    assert (run.agents, run.agent_id, run.dialects) == (
        ("planner", "writer"),
        "id-of-planner",
        ("agent-trace",),
    )


def test_s3_11_a_handoff_that_is_a_span_names_both_agents() -> None:
    handoff = span(
        "handoff to writer",
        41,
        42,
        "run",
        attributes={
            "coordination.type": "handoff",
            "coordination.from_agent": "planner",
            "coordination.to_agent": "writer",
        },
    )

    run = only(
        [span("run", 0, 100), agent("planner", 1, 40), handoff, agent("writer", 50, 90)]
    ).trajectory

    assert told(run.steps, "kind", "handoff_from", "handoff_to") == [
        ("handoff", "planner", "writer")
    ]


def test_s3_11_model_calls_with_the_conventions_names_are_read_beside_them() -> None:
    model = {
        "agenttrace.kind": "llm_call",
        "agent.model": "m-1",
        "gen_ai.usage.input_tokens": 3,
        "llm.prompt": "Hi",
        "llm.completion": "Hello",
    }

    steps = only(
        [agent("planner", 0, 9), span("llm", 1, 2, "agent:planner", attributes=model)]
    ).trajectory.steps

    assert told(steps, "kind", "agent_name", "model", "input_tokens", "output_text") == [
        ("user", "planner", None, None, None),
        ("llm", "planner", "m-1", 3, "Hello"),
    ]
