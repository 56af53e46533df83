"""A tool whose context was lost on its way through a queue is joined by the id of its call."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.assembly.runs import WINDOW_NS
from otel_traj.model import SpanRecord
from tests.assembly.spans import agent, answers, asks, chat, text, tool

QUESTION = text("user", "where is it?")
ASKED, ANSWERED = asks(("c1", "lookup", {"n": 1})), answers(("c1", "shipped"))
WINDOW_MS = WINDOW_NS / 1e6


def run(trace: str) -> list[SpanRecord]:
    root, told = f"support {trace}", dict[str, Any](trace=trace * 32)
    return [
        agent(root, 0, 100, **told),
        chat(f"asks {trace}", 1, 10, root, given=[QUESTION], said=ASKED, **told),
        chat(f"ends {trace}", 30, 40, root, given=[QUESTION, ASKED, ANSWERED], **told),
    ]


def elsewhere(start: float = 15, trace: str = "9", **fields: Any) -> SpanRecord:
    return tool(
        "lookup",
        start,
        start + 5,
        trace=trace * 32,
        attributes={semconv.TOOL_CALL_ID: "c1", semconv.TOOL_CALL_RESULT: "shipped, told by it"},
        **fields,
    )


def test_tool_in_a_trace_of_its_own_is_the_step_that_was_asked_for() -> None:
    for spans in permutations([*run("1"), elsewhere()]):
        (assembly,) = assemble(spans)

        steps = [(step.kind, step.tool_name, step.result) for step in assembly.trajectory.steps]
        assert steps == [
            ("user", None, None),
            ("llm", None, None),
            ("tool", "lookup", "shipped, told by it"),
            ("llm", None, None),
        ]
        assert assembly.trajectory.trace_ids == ("1" * 32, "9" * 32)
        assert assembly.trajectory.stitch_confidence == 0.9


@pytest.mark.parametrize(
    "other",
    [
        elsewhere(start=0.5),
        elsewhere(start=11 + WINDOW_MS),
        elsewhere(resource={"service.instance.id": "two"}),
        tool("lookup", 15, 20, trace="9" * 32),
    ],
    ids=["before", "long after", "another process", "no id"],
)
def test_tool_that_this_call_cannot_have_asked_for_stays_alone(other: SpanRecord) -> None:
    assert len(assemble([*run("1"), other])) == 2


def test_tool_that_two_runs_may_have_asked_for_stays_alone() -> None:
    assert len(assemble([*run("1"), *run("2"), elsewhere()])) == 3
