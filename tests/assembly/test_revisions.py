"""Of several accounts of one trajectory the last one counts; thoughts are steps."""

from __future__ import annotations

import itertools
from typing import Any

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.model import LogRecord, SpanRecord
from tests.assembly.spans import TRACE, at, span, span_id

ID = {semconv.TRAJECTORY_ID: "t1", semconv.OPERATION: "invoke_agent", semconv.TASK: "task"}


def account(name: str, tools: int, outcome: str, trajectory_id: str = "t1") -> list[SpanRecord]:
    told = {**ID, semconv.TRAJECTORY_ID: trajectory_id, semconv.OUTCOME: outcome}
    return [
        span(name, 0, 10, attributes=told),
        *(
            span(f"{name} {n}", n, n, name, attributes={semconv.OPERATION: "execute_tool"})
            for n in range(tools)
        ),
    ]


def told(name: str, ms: float) -> LogRecord:
    return LogRecord(TRACE, span_id(name), at(ms), None, semconv.EVENT_REVISION, None, None)


def facts(spans: list[SpanRecord], logs: list[LogRecord]) -> list[Any]:
    return [
        (
            a.trajectory.trajectory_id,
            a.trajectory.n_tools,
            [(said.value_text, said.created.microsecond) for said in a.annotations],
        )
        for a in assemble(spans, logs)
    ]


def test_the_account_that_was_given_last_is_the_run_in_any_order() -> None:
    spans = [*account("first", 2, "failure"), *account("second", 3, "success")]
    logs = [told("first", 20), told("second", 30)]

    for mixed in itertools.permutations(logs):
        assert facts(spans[::-1], list(mixed)) == [("t1", 3, [("success", 30_000)])]


def test_an_account_given_again_counts_from_then_on() -> None:
    spans = [*account("first", 2, "failure"), *account("second", 3, "success")]
    logs = [told("first", 20), told("second", 30), told("first", 40), told("first", 50)]

    assert facts(spans, logs) == [("t1", 2, [("failure", 40_000)])]


def test_the_same_account_told_twice_is_no_later_word() -> None:
    assert facts(account("only", 1, "success"), [told("only", 30), told("only", 20)]) == [
        ("t1", 1, [("success", 20_000)])
    ]


def test_a_recorded_run_gives_way_to_what_was_stored_for_it() -> None:
    spans = [*account("recorded", 2, "failure"), *account("stored", 1, "success")]

    assert facts(spans, [told("stored", 30)]) == [("t1", 1, [("success", 30_000)])]


def test_accounts_of_other_trajectories_in_the_trace_stay() -> None:
    spans = [*account("mine", 2, "failure"), *account("theirs", 1, "success", "t2")]

    without = facts(spans, [])

    assert [found[1] for found in facts(spans, [told("mine", 30)])] == [f[1] for f in without]


def test_a_thought_is_a_step_with_what_was_thought_and_chosen() -> None:
    spans = [
        span("run", 0, 10, attributes=ID),
        span(
            "think",
            1,
            2,
            "run",
            attributes={
                semconv.STEP_KIND: "thought",
                semconv.STEP_REASONING: "Pods restart.",
                semconv.STEP_JUSTIFICATION: "cheap",
                semconv.TOOL_NAME: "kubectl",
            },
        ),
    ]

    [run] = assemble(spans)

    [step] = run.trajectory.steps
    assert (step.kind, step.reasoning, step.tool_name) == ("thought", "Pods restart.", "kubectl")
    assert (run.trajectory.n_tools, run.trajectory.tools) == (0, ())
