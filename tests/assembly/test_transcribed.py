"""Spans that were written from an account of a run: what it lacks stays unknown."""

from __future__ import annotations

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.assembly.requests import rebuild
from otel_traj.model import SpanRecord, Trajectory
from tests.assembly.spans import agent, answers, asks, chat, span, span_id, text

INSTRUCTIONS = text("system", "Be brief.")
ASKED = asks(("c1", "transfer_to_human", {"id": "A-1"}))
REQUEST = [INSTRUCTIONS, text("user", "Where is A-1?"), ASKED, answers(("c1", "shipped"))]


def derived(*spans: SpanRecord) -> Trajectory:
    (assembly,) = assemble(spans)
    return assembly.trajectory


def test_a_request_that_tells_only_what_is_new_is_the_whole_one() -> None:
    def tool() -> SpanRecord:
        told = {
            semconv.OPERATION: "execute_tool",
            semconv.TOOL_NAME: "transfer_to_human",
            semconv.TOOL_CALL_ID: "c1",
        }
        return span("tool", 3, 4, "a", attributes=told)

    first = chat("one", 1, 2, "a", given=REQUEST[:2], said=ASKED)
    continues = {semconv.REQUEST_CONTINUES: span_id("one")}
    rest = chat("two", 5, 6, "a", given=REQUEST[3:], attributes=continues)
    whole = chat("two", 5, 6, "a", given=REQUEST)

    found = derived(agent("a", 0, 9), first, tool(), rest)
    expected = derived(agent("a", 0, 9), first, tool(), whole)

    # The tool is named like a hand-over, but the same instructions go on: it is none.
    assert [step.kind for step in found.steps] == ["user", "llm", "tool", "llm"]
    assert found.steps == expected.steps
    assert rebuild(found.steps, 3) == rebuild(expected.steps, 3)


def test_a_request_that_goes_on_from_a_lost_call_is_not_whole() -> None:
    continues = {semconv.REQUEST_CONTINUES: span_id("lost")}

    (_, step) = derived(
        agent("a", 0, 9),
        chat("two", 5, 6, "a", given=[text("user", "hi")], said=ASKED, attributes=continues),
    ).steps

    assert (step.messages_hash, step.grade) == (None, "C")


def test_times_that_the_source_lacked_are_no_durations() -> None:
    lacking = {semconv.REPAIRED: ["start_time", "end_time"]}

    run = derived(agent("a", 0, 9, attributes=lacking), chat("one", 1, 2, "a", attributes=lacking))

    (step,) = run.steps
    assert (run.status, run.end_time, run.duration_us) == ("completed", None, None)
    assert (step.end_time, step.duration_us) == (None, None)
    assert step.inferred == ("start_time: order in the source",)
    assert run.repairs == ()  # ids were there


def test_a_recorded_cost_is_the_cost() -> None:
    (step,) = derived(
        agent("a", 0, 9), chat("one", 1, 2, "a", attributes={semconv.COST_USD: 0.5})
    ).steps

    assert (step.cost_usd, step.cost_source) == (0.5, "recorded")
