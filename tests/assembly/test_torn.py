"""Which traces make one run, and which runs one trace holds; short made-up runs, one rule each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.assembly import WINDOW_NS, assemble, assemble_alone, connected, placed
from otel_traj.model import Assembly, LogRecord, SpanLink, SpanRecord, Trajectory
from tests.assembly.spans import agent, answers, asks, chat, log, only, span, span_id, text, tool

A, B, C, D = ("1" * 32, "2" * 32, "3" * 32, "4" * 32)
QUESTION = text("user", "Where is A-1?")
DONE = text("assistant", "It has shipped.")
HERE = {semconv.SERVICE_INSTANCE_ID: "one"}
THERE = {semconv.SERVICE_INSTANCE_ID: "two"}
WINDOW_MS = WINDOW_NS / 1e6


def runs(spans: Iterable[SpanRecord], *logs: Any) -> list[Trajectory]:
    spans = list(spans)
    found = assemble(spans, logs)
    assert by_connected_traces(spans, logs) == found
    return [assembly.trajectory for assembly in found]


def by_connected_traces(spans: list[SpanRecord], logs: Iterable[LogRecord]) -> list[Assembly]:
    """What the sealer does: each trace alone, and those that are connected once more together."""
    alone = {
        trace_id: assemble_alone(
            [s for s in spans if s.trace_id == trace_id], logs, known_ids={}, open_traces=()
        )
        for trace_id in dict.fromkeys(span.trace_id for span in spans)
    }
    groups = connected({trace_id: trace.relations for trace_id, trace in alone.items()})
    found = []
    for group in groups:
        own = [span for span in spans if span.trace_id in group]
        together = placed(own, logs, known_ids={}, open_traces=())
        found += alone[group[0]].found if len(group) == 1 else together
    return [assembly for _, assembly in sorted(found, key=lambda one: one[0])]


def traces(spans: Iterable[SpanRecord]) -> list[tuple[str, ...]]:
    return [run.trace_ids for run in runs(spans)]


def rules(run: Trajectory) -> set[str]:
    return {repair.rule for repair in run.repairs}


def looking_up(id_: str | None, question: dict[str, Any] = QUESTION) -> tuple[Any, Any]:
    """A request that asks for a tool, and the messages of the next one."""
    asking = asks((id_, "lookup", {"id": "A-1"}))  # type: ignore[arg-type]
    return asking, [question, asking, answers((id_, "shipped"))]  # type: ignore[arg-type]


# --- no run at all -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spans",
    [
        [span("GET /health", 0, 5)],
        [span("create_agent a", 0, 5, attributes={semconv.OPERATION: "create_agent"})],
        [span("workflow.build", 0, 5, attributes={"workflow.id": "w"}, scope_name="agent_framework")],
        [span("embeddings m", 0, 5, attributes={semconv.OPERATION: "embeddings"})],
    ],
)  # fmt: skip
def test_a_trace_without_any_step_is_no_run(spans: list[SpanRecord]) -> None:
    assert runs(spans) == []


def test_building_an_agent_before_it_runs_is_no_step_of_the_run() -> None:
    built = span("create_agent a", 1, 2, "a", attributes={semconv.OPERATION: "create_agent"})

    run = only([agent("a", 0, 50), built, chat("c1", 3, 10, "a", given=[QUESTION], said=DONE)])

    assert [step.kind for step in run.trajectory.steps] == ["user", "llm"]
    assert run.trajectory.n_spans == 3


# --- several traces, one run -------------------------------------------------------------------


def test_requests_of_one_conversation_are_runs_of_their_own_with_one_conversation_id() -> None:
    talk = {semconv.CONVERSATION_ID: "conv-42"}
    spans = [
        chat("c1", 0, 10, trace=A, given=[QUESTION], said=DONE, attributes=talk),
        chat("c2", 20, 30, trace=B, given=[QUESTION, DONE, text("user", "Thanks!")], attributes=talk),
    ]  # fmt: skip

    assert [(run.trace_ids, run.conversation_id) for run in runs(spans)] == [
        ((A,), "conv-42"),
        ((B,), "conv-42"),
    ]


def test_calls_without_a_root_are_one_run_when_each_answers_the_one_before() -> None:
    first, then = looking_up("x")
    again = asks(("y", "lookup", {"id": "B-2"}))
    spans = [
        chat("c1", 0, 10, trace=C, given=[QUESTION], said=first),
        chat("c2", 20, 30, trace=A, given=then, said=again),
        chat("c3", 40, 50, trace=B, given=[*then, again, answers(("y", "lost"))], said=DONE),
    ]

    [run] = runs(reversed(spans))

    assert run.trace_ids == (C, A, B)
    assert [step.kind for step in run.steps] == ["user", "llm", "tool", "llm", "tool", "llm"]
    assert (run.stitch_confidence, run.final_answer) == (0.9, "It has shipped.")


def test_calls_whose_tools_have_no_ids_are_stitched_by_the_messages_they_repeat() -> None:
    first, then = looking_up(None)
    other = text("user", "Where is B-2?")
    spans = [
        chat("c1", 0, 10, trace=A, given=[QUESTION], said=first),
        chat("d1", 5, 12, trace=B, given=[other], said=first),
        chat("c2", 20, 30, trace=C, given=then, said=DONE),
    ]

    assert traces(spans) == [(A, C), (B,)]
    assert "stitched: message prefix" in rules(runs(spans)[0])


def test_ids_that_repeat_are_told_apart_by_the_messages_before_them() -> None:
    other = text("user", "Where is B-2?")
    first, then = looking_up("call_1")
    _, other_then = looking_up("call_1", other)
    spans = [
        chat("c1", 0, 10, trace=A, given=[QUESTION], said=first),
        chat("d1", 5, 12, trace=B, given=[other], said=first),
        chat("c2", 20, 30, trace=C, given=then, said=DONE),
        chat("d2", 25, 30, trace=D, given=other_then, said=DONE),
    ]

    assert traces(spans) == [(A, C), (B, D)]


def test_where_two_calls_may_be_meant_a_trace_is_left_apart_and_says_so() -> None:
    first, then = looking_up("call_1")
    spans = [
        chat("c1", 0, 10, trace=A, given=[QUESTION], said=first),
        chat("d1", 5, 12, trace=B, given=[QUESTION], said=first),
        chat("c2", 20, 30, trace=C, given=then, said=DONE),
    ]

    found = runs(spans)

    assert [run.trace_ids for run in found] == [(A,), (B,), (C,)]
    assert [run.stitch_confidence for run in found] == [None] * 3
    assert ["left apart: answers the call" in rules(run) for run in found] == [False, False, True]


def test_a_retry_answers_the_same_call() -> None:
    first, then = looking_up("x")
    spans = [
        chat("c1", 0, 10, trace=A, given=[QUESTION], said=first),
        chat("c2", 20, 21, trace=B, given=then, status="ERROR"),
        chat("c3", 22, 30, trace=C, given=then, said=DONE),
    ]

    assert traces(spans) == [(A, B, C)]


@pytest.mark.parametrize(
    ("start", "resource", "told"),
    [
        (20, THERE, None),
        (20 + WINDOW_MS, HERE, None),
        (20, HERE, text("user", "And another thing")),
    ],
    ids=["another process", "much later", "the user speaks"],
)
def test_calls_without_a_root_stay_apart(start: float, resource: Any, told: Any) -> None:
    first, then = looking_up("x")
    given = [*then, told] if told else then
    spans = [
        chat("c1", 0, 10, trace=A, given=[QUESTION], said=first, resource=HERE),
        chat("c2", start, start + 5, trace=B, given=given, said=DONE, resource=resource),
    ]

    assert traces(spans) == [(A,), (B,)]


def test_equal_resource_attributes_are_one_process_where_no_instance_is_told() -> None:
    first, then = looking_up("x")
    shop, bank = {semconv.SERVICE_NAME: "shop"}, {semconv.SERVICE_NAME: "bank"}

    def calls(resource: Any) -> list[SpanRecord]:
        return [
            chat("c1", 0, 10, trace=A, given=[QUESTION], said=first, resource=shop),
            chat("c2", 20, 30, trace=B, given=then, said=DONE, resource=resource),
        ]

    assert traces(calls(shop)) == [(A, B)]
    assert traces(calls(bank)) == [(A,), (B,)]


def test_a_conversation_id_never_stitches() -> None:
    talk = {semconv.CONVERSATION_ID: "conv-42"}
    spans = [
        agent("a", 0, 10, trace=A, attributes=talk),
        chat("c1", 1, 5, "a", trace=A, given=[QUESTION], said=DONE),
        chat("c2", 20, 30, trace=B, given=[QUESTION], said=DONE, attributes=talk),
        chat("c3", 40, 50, trace=C, given=[QUESTION], said=DONE, attributes=talk),
    ]

    assert traces(spans) == [(A,), (B,), (C,)]


def test_a_trace_with_an_agent_of_its_own_is_not_stitched_by_messages() -> None:
    first, then = looking_up("x")
    spans = [
        chat("c1", 0, 10, trace=A, given=[QUESTION], said=first),
        agent("a", 19, 40, trace=B),
        chat("c2", 20, 30, "a", trace=B, given=then, said=DONE),
    ]

    assert traces(spans) == [(A,), (B,)]


def test_agents_in_traces_of_their_own_are_one_run_by_a_link_also_across_processes() -> None:
    handing_over = span("message.send", 8, 9, "a", trace=A, resource=HERE)
    spans = [
        agent("triage", 0, 20, trace=A, id="a", resource=HERE),
        chat("c1", 1, 5, "a", trace=A, given=[QUESTION], said=DONE, resource=HERE),
        handing_over,
        agent(
            "refunds", 30, 60, trace=B, id="b", resource=THERE,
            links=(SpanLink(A, handing_over.span_id),),
        ),
        chat("c2", 31, 40, "b", trace=B, given=[QUESTION], said=DONE, resource=THERE),
    ]  # fmt: skip

    [run] = runs(spans)

    assert run.trace_ids == (A, B)
    assert run.agents == ("triage", "refunds")
    assert (run.root_span_id, run.stitch_confidence) == (span_id("a"), 0.95)


def test_a_link_to_what_does_nothing_joins_nothing() -> None:
    spans = [
        span("queue receive", 0, 1, trace=A),
        chat("c1", 5, 9, trace=B, given=[QUESTION], links=(SpanLink(A, span_id("queue receive")),)),
    ]

    assert traces(spans) == [(B,)]


def test_a_parent_in_another_process_makes_one_run() -> None:
    spans = [
        agent("a", 0, 50, resource=HERE),
        tool("lookup", 5, 30, "a", resource=HERE),
        chat("c1", 10, 20, "execute_tool lookup", given=[QUESTION], said=DONE, resource=THERE, flags=0x301),
    ]  # fmt: skip

    [run] = runs(spans)

    assert (run.n_spans, run.n_orphans, run.root_span_id) == (3, 0, span_id("a"))


@pytest.mark.parametrize(("start", "is_one"), [(2, True), (20, False)])
def test_one_call_told_by_client_and_gateway_is_one_by_its_response_id(
    start: float, is_one: bool
) -> None:
    """The gateway's span lies in the client's; an id alone may be made up twice."""
    spans = [
        agent("a", 0, 50, trace=A, resource=HERE),
        chat("client", 1, 10, "a", trace=A, given=[QUESTION], said=DONE, response_id="r-1",
             tokens=(5, 2), resource=HERE),
        chat("gateway", start, start + 6, trace=B, response_id="r-1", tokens=(5, 2), resource=THERE),
    ]  # fmt: skip

    found = runs(spans)

    assert [run.trace_ids for run in found] == ([(A, B)] if is_one else [(A,), (B,)])
    assert found[0].n_llm == 1
    assert found[0].input_tokens == 5


def test_equal_response_ids_of_two_agents_in_two_processes_are_two_calls() -> None:
    def calling(name: str, trace: str, start: float, end: float, resource: Any) -> list[SpanRecord]:
        return [
            agent(name, start, end, trace=trace, resource=resource),
            chat(f"c {name}", start + 1, end - 1, name, trace=trace, response_id="r-1",
                 given=[QUESTION], said=DONE, resource=resource),
        ]  # fmt: skip

    spans = [*calling("a", A, 0, 50, HERE), *calling("b", B, 10, 40, THERE)]

    assert traces(spans) == [(A,), (B,)]


# --- several runs, one trace -------------------------------------------------------------------


def case(number: int, parent: str, *, name: str = "a") -> list[SpanRecord]:
    start = number * 10
    return [
        agent(name, start, start + 9, parent, id=f"agent {number}"),
        chat(f"c{number}", start + 1, start + 5, f"agent {number}",
             given=[text("user", f"question {number}")], said=DONE),
    ]  # fmt: skip


def test_the_cases_of_an_evaluation_are_runs_and_the_evaluation_is_none() -> None:
    evaluation = span("evaluate", 0, 100, attributes={semconv.OPERATION: "experiment"})
    score = log(semconv.EVENT_EVALUATION, "agent 2", 30, **{
        semconv.EVALUATION_NAME: "outcome", semconv.EVALUATION_LABEL: "failure",
    })  # fmt: skip

    first, second = assemble(
        [evaluation, *case(1, "evaluate"), *case(2, "evaluate")], [score]
    )  # fmt: skip

    assert first.trajectory.trajectory_id != second.trajectory.trajectory_id
    assert [a.trajectory.user_input for a in (first, second)] == ["question 1", "question 2"]
    assert {len(a.spans) for a in (first, second)} == {2}
    assert [a.annotations for a in (first,)] == [()]
    assert [(a.name, a.value_text) for a in second.annotations] == [("outcome", "failure")]


def test_a_batch_job_is_cut_at_the_invocations_of_its_agent() -> None:
    spans = [span("nightly job", 0, 100), *case(1, "nightly job"), *case(2, "nightly job")]

    assert [(run.user_input, run.root_span_id) for run in runs(spans)] == [
        ("question 1", span_id("agent 1")),
        ("question 2", span_id("agent 2")),
    ]


def test_agents_below_an_agent_or_workflow_are_one_run() -> None:
    workflow = span("invoke_workflow w", 0, 100, attributes={semconv.OPERATION: "invoke_workflow"})
    above = agent("above", 0, 100)

    for root in (workflow, above):
        inside = root.name if root is workflow else "above"
        assert len(runs([root, *case(1, inside), *case(2, inside)])) == 1


def test_different_agents_one_after_the_other_are_one_run() -> None:
    spans = [
        span("handle request", 0, 100),
        *case(1, "handle request", name="triage"),
        *case(2, "handle request", name="refunds"),
    ]

    [run] = runs(spans)

    assert run.agents == ("triage", "refunds")
    assert run.n_handoffs == 0


def test_an_agent_that_is_asked_twice_by_what_thinks_itself_is_one_run() -> None:
    spans = [
        span("research", 0, 100),
        *case(1, "research"),
        *case(2, "research"),
        chat("sum up", 40, 50, "research", given=[QUESTION], said=DONE),
    ]

    assert len(runs(spans)) == 1


# --- what is missing ---------------------------------------------------------------------------


def test_children_of_a_root_that_never_came_are_one_run_with_a_root_made_up() -> None:
    spans = [
        chat("c1", 0, 10, "lost", given=[QUESTION], said=looking_up("x")[0]),
        tool("lookup", 11, 12, "lost"),
        chat("c2", 20, 30, "lost", given=looking_up("x")[1], said=DONE),
    ]

    [run] = runs(spans)

    assert (run.root_span_id, run.n_orphans, run.status) == (None, 3, "completed")
    assert "orphan span" in rules(run)
    assert {step.agent_path for step in run.steps} == {"root.0"}


def test_a_root_that_comes_late_changes_no_id() -> None:
    """The id is made of the first trace and its root, which orphans name."""
    late = agent("lost", 0, 50)
    spans = [chat("c1", 1, 10, "lost", given=[QUESTION], said=DONE)]

    before, after = runs(spans), runs([*spans, late])

    assert before[0].trajectory_id == after[0].trajectory_id
    assert after[0].root_span_id == late.span_id


def test_a_tool_that_two_calls_may_have_asked_for_is_left_apart_and_says_so() -> None:
    asking = asks(("call_1", "lookup", {"id": "A-1"}))
    spans = [
        chat("c1", 0, 10, trace=A, given=[QUESTION], said=asking),
        chat("d1", 5, 12, trace=B, given=[QUESTION], said=asking),
        tool("lookup", 20, 25, trace=C, attributes={semconv.TOOL_CALL_ID: "call_1"}),
    ]

    found = runs(spans)

    assert [run.trace_ids for run in found] == [(A,), (B,), (C,)]
    assert "left apart: tool call id" in rules(found[2])


def test_a_tool_that_ran_once_more_in_a_trace_of_its_own_is_joined_with_who_asked() -> None:
    asking = asks(("call_1", "lookup", {"id": "A-1"}))
    of_call_1 = {semconv.TOOL_CALL_ID: "call_1"}
    spans = [
        agent("a", 0, 50, trace=A),
        chat("c1", 1, 10, "a", trace=A, given=[QUESTION], said=asking),
        tool("lookup", 11, 15, "a", trace=A, attributes=of_call_1),
        tool("lookup", 20, 25, trace=B, attributes=of_call_1),
    ]

    assert traces(spans) == [(A, B)]
