"""What assembly promises, on runs short enough to check by eye."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.model import Repair, SpanEvent, SpanLink, SpanRecord
from tests.assembly.spans import (
    TRACE,
    agent,
    answers,
    asks,
    at,
    chat,
    log,
    only,
    span,
    span_id,
    text,
    told,
    tool,
)

QUESTION = text("user", "Where is A-1?")


def looked_up() -> list[SpanRecord]:
    """An agent that asks a model, runs a tool, asks again and answers."""
    return [
        agent("support", 0, 100),
        chat(
            "c1",
            1,
            10,
            "support",
            given=[QUESTION],
            said=asks(("id1", "lookup", {"id": "A-1"})),
            tokens=(10, 5),
        ),
        tool(
            "lookup",
            11,
            20,
            "support",
            attributes={
                semconv.TOOL_CALL_ID: "id1",
                semconv.TOOL_CALL_ARGUMENTS: '{"id":"A-1"}',
                semconv.TOOL_CALL_RESULT: "shipped",
            },
        ),
        chat(
            "c2",
            21,
            30,
            "support",
            given=[QUESTION, asks(("id1", "lookup", {"id": "A-1"})), answers(("id1", "shipped"))],
            said=text("assistant", "It has shipped."),
            tokens=(20, 4),
        ),
    ]


def test_a_run_becomes_steps_in_order_of_cause() -> None:
    run = only(looked_up())

    assert told(run.trajectory.steps, "step", "kind", "turn", "parent_step", "agent_name") == [
        (0, "user", 0, None, "support"),
        (1, "llm", 0, None, "support"),
        (2, "tool", 0, 1, "support"),
        (3, "llm", 1, None, "support"),
    ]
    header = run.trajectory
    assert (header.user_input, header.final_answer, header.status) == (
        "Where is A-1?",
        "It has shipped.",
        "completed",
    )
    assert (header.input_tokens, header.output_tokens, header.tools) == (30, 9, ("lookup",))
    assert (header.n_steps, header.n_llm, header.n_tools, header.n_spans) == (4, 2, 1, 4)
    assert header.cache_read_tokens is None  # nobody told: unknown, not 0


def test_a_model_call_carries_only_what_is_new() -> None:
    steps = only(looked_up()).trajectory.steps

    assert [m["role"] for m in json.loads(steps[3].new_messages or "[]")] == ["tool"]
    assert steps[3].output_text == "It has shipped."


def test_calls_told_twice_count_once() -> None:
    """A library's span inside a framework's, and one in a trace of its own."""
    inner = chat("inner", 2, 9, "c1", response_id="r1", tokens=(10, 5))
    outer = replace(
        looked_up()[1], attributes={**looked_up()[1].attributes, semconv.RESPONSE_ID: "r1"}
    )
    elsewhere = chat("own", 1, 10, trace="b" * 32, response_id="r1", tokens=(10, 5))

    run = only([looked_up()[0], outer, *looked_up()[2:], inner, elsewhere])

    assert run.trajectory.n_llm == 2
    assert run.trajectory.input_tokens == 30
    assert run.trajectory.n_duplicates == 2
    merged = run.trajectory.steps[1].merged_spans
    assert {(m.span_id, m.rule) for m in merged} == {
        (span_id("inner"), "nested"),
        (span_id("own"), "response id"),
    }


def test_a_response_id_joins_only_calls_that_overlap() -> None:
    """Test servers and replays repeat their ids."""
    first = chat("c1", 0, 10, response_id="r", given=[QUESTION], said=text("assistant", "a"))
    later = chat("c2", 50, 60, response_id="r", given=[QUESTION], said=text("assistant", "b"))
    foreign = chat(
        "c3", 0, 10, response_id="r", trace="c" * 32, resource={"service.instance.id": "other"}
    )

    assert sum(a.trajectory.n_llm for a in assemble([first, later, foreign])) == 3


def test_usage_on_parents_is_never_added() -> None:
    spans = looked_up()
    spans[0] = agent(
        "support",
        0,
        100,
        attributes={semconv.INPUT_TOKENS: 30, semconv.OUTPUT_TOKENS: 9},
    )

    assert only(spans).trajectory.input_tokens == 30


def test_tools_told_only_by_messages_become_steps() -> None:
    call = asks(("x", "lookup", {"id": 1}), ("y", "rate", {}))
    run = only(
        [
            span("handle", 0, 100),
            chat("c1", 1, 10, "handle", given=[QUESTION], said=call),
            chat(
                "c2",
                20,
                30,
                "handle",
                given=[QUESTION, call, answers(("x", "shipped"), ("y", "Error: no rates"))],
                said=text("assistant", "Done."),
            ),
        ]
    )

    lookup, rate = [step for step in run.trajectory.steps if step.kind == "tool"]
    assert (lookup.arguments, lookup.result, lookup.tool_call_id) == ('{"id":1}', "shipped", "x")
    assert lookup.span_id == span_id("c1")
    assert lookup.start_time == run.trajectory.steps[1].end_time
    assert lookup.status == "ok"
    assert (rate.status, rate.error_message) == ("error", "Error: no rates")
    assert "error_message: the text of the result" in rate.inferred
    assert lookup.group_id == rate.group_id == run.trajectory.steps[1].step


def test_a_tool_asked_for_at_the_very_end_did_not_run() -> None:
    run = only([chat("c1", 0, 10, given=[QUESTION], said=asks(("x", "lookup", {})))])

    assert [step.kind for step in run.trajectory.steps] == ["user", "llm"]


def test_a_tool_span_without_id_is_matched_by_name_and_arguments() -> None:
    call = asks(("x", "lookup", {"id": 1}), ("y", "lookup", {"id": 2}))
    run = only(
        [
            agent("a", 0, 100),
            chat("c1", 1, 10, "a", given=[QUESTION], said=call),
            tool(
                "lookup",
                11,
                20,
                "a",
                id="t2",
                attributes={semconv.TOOL_CALL_ARGUMENTS: '{"id": 2}'},
            ),
            tool(
                "lookup",
                12,
                21,
                "a",
                id="t1",
                attributes={semconv.TOOL_CALL_ARGUMENTS: '{"id": 1}'},
            ),
        ]
    )

    tools = [step for step in run.trajectory.steps if step.kind == "tool"]
    assert told(tuple(tools), "span_id", "tool_call_id") == [
        (span_id("t2"), "y"),
        (span_id("t1"), "x"),
    ]


def test_nested_spans_of_one_tool_are_one_step_with_the_error_of_any() -> None:
    run = only(
        [
            tool("lookup", 0, 10),
            span(
                "inner",
                1,
                9,
                "execute_tool lookup",
                status="ERROR",
                attributes={
                    semconv.OPERATION: "execute_tool",
                    semconv.TOOL_NAME: "lookup",
                    semconv.ERROR_TYPE: "ValueError",
                },
            ),
        ]
    )

    assert told(run.trajectory.steps, "kind", "status", "error_type") == [
        ("tool", "error", "ValueError")
    ]


def test_a_tool_with_an_agent_in_it_is_a_delegation() -> None:
    run = only(
        [
            agent("boss", 0, 100),
            chat("c1", 1, 5, "boss", given=[QUESTION], said=asks(("d", "research", {"q": "x"}))),
            tool("research", 10, 50, "boss", attributes={semconv.TOOL_CALL_ID: "d"}),
            agent("researcher", 11, 49, "execute_tool research"),
            chat(
                "c2", 12, 40, "researcher", given=[text("user", "x")], said=text("assistant", "y")
            ),
        ]
    )

    assert told(run.trajectory.steps, "kind", "agent_name", "handoff_to", "handoff_mode") == [
        ("user", "boss", None, None),
        ("llm", "boss", None, None),
        ("handoff", "boss", "researcher", "delegate"),
        ("llm", "researcher", None, None),
    ]
    assert run.trajectory.steps[3].agent_path == "boss.0/researcher.1"
    assert run.trajectory.steps[3].parent_step == 2


def transferred(system: str) -> list[SpanRecord]:
    """A loop that calls `transfer_to_refunds` and goes on under a system text."""
    old, new = text("system", "You sell."), text("system", system)
    call = asks(("h", "transfer_to_refunds", {}))
    return [
        span("handle", 0, 100),
        chat("c1", 1, 5, "handle", given=[old, QUESTION], said=call),
        chat("c2", 10, 20, "handle", given=[new, QUESTION, call, answers(("h", "ok"))]),
    ]


def test_a_transfer_gives_what_follows_to_the_other_agent() -> None:
    run = only(transferred("You refund."))

    assert told(run.trajectory.steps, "kind", "agent_name", "handoff_to") == [
        ("user", None, None),
        ("llm", None, None),
        ("handoff", None, "refunds"),
        ("llm", "refunds", None),
    ]


def test_the_same_agent_going_on_is_no_transfer() -> None:
    run = only(transferred("You sell."))

    assert [step.kind for step in run.trajectory.steps] == ["user", "llm", "tool", "llm"]


def test_agents_in_sequence_hand_nothing_over() -> None:
    run = only(
        [
            span("workflow", 0, 100, attributes={semconv.OPERATION: "invoke_workflow"}),
            agent("writer", 1, 40, "workflow"),
            chat("c1", 2, 30, "writer", given=[QUESTION], said=text("assistant", "draft")),
            agent("editor", 50, 90, "workflow"),
            chat("c2", 51, 80, "editor", given=[QUESTION], said=text("assistant", "final")),
        ]
    )

    assert run.trajectory.n_handoffs == 0
    assert run.trajectory.agents == ("writer", "editor")


def test_control_flow_is_no_failure() -> None:
    command = SpanEvent(
        at(9),
        "exception",
        {
            "exception.type": "langgraph.errors.ParentCommand",
            "exception.message": "Command(goto='x')",
        },
    )
    spans = looked_up()
    spans[0] = agent("support", 0, 100, status="ERROR", events=(command,))

    assert only(spans).trajectory.status == "completed"


@pytest.mark.parametrize("root_status", ["OK", "UNSET"])
def test_a_run_failed_if_its_last_model_call_did_whatever_the_root_says(root_status: Any) -> None:
    run = only(
        [
            agent("a", 0, 100, status=root_status),
            chat(
                "c1",
                1,
                5,
                "a",
                given=[QUESTION],
                status="ERROR",
                status_message="bad request",
                attributes={semconv.ERROR_TYPE: "BadRequestError"},
            ),
        ]
    )

    header = run.trajectory
    assert (header.status, header.error_type, header.error_message, header.final_answer) == (
        "error",
        "BadRequestError",
        "bad request",
        None,
    )


def test_a_failed_tool_alone_is_no_failed_run() -> None:
    spans = looked_up()
    spans[2] = replace(spans[2], status="ERROR", status_message="boom")

    header = only(spans).trajectory
    assert (header.status, header.n_errors, header.n_llm_errors) == ("completed", 1, 0)


def test_a_stream_that_its_reader_left_is_aborted() -> None:
    run = only([chat("c1", 0, 10, given=[QUESTION], attributes={semconv.REQUEST_STREAM: True})])

    assert run.trajectory.status == "aborted"


def test_open_spans_make_an_open_run() -> None:
    spans = [replace(s, end_ns=None) if s.name == "support" else s for s in looked_up()]

    header = only(spans).trajectory
    assert (header.status, header.complete, header.n_open, header.end_time) == (
        "open",
        False,
        1,
        None,
    )
    assert header.final_answer is None


def test_a_span_that_never_ended_does_not_hold_a_run_open_whose_root_has() -> None:
    spans = looked_up()
    spans[2] = replace(spans[2], end_ns=None)

    header = only(spans).trajectory
    assert (header.status, header.complete, header.n_open) == ("completed", True, 1)


def test_a_trace_that_its_owner_calls_open_is_open() -> None:
    assert only(looked_up(), open_traces={TRACE}).trajectory.status == "open"


def test_traces_without_steps_are_no_trajectories() -> None:
    health = span("GET /health", 0, 1)
    built = span("create_agent a", 0, 1, attributes={semconv.OPERATION: "create_agent"})

    assert assemble([health]) == []
    assert assemble([built]) == []
    assert assemble([]) == []


def test_a_declared_trajectory_without_steps_is_one() -> None:
    run = only([agent("a", 0, 1, attributes={semconv.TASK: "t", semconv.TASK_ID: "7"})])

    assert (run.trajectory.task, run.trajectory.task_id, run.trajectory.n_steps) == ("t", "7", 0)


def test_an_orphan_stays_and_is_counted() -> None:
    header = only(looked_up()[1:]).trajectory

    assert header.n_orphans == 3
    assert Repair("orphan span", 3, 0.8) in header.repairs
    assert header.n_steps == 4


def test_a_clock_that_runs_backwards_is_a_counted_repair() -> None:
    spans = looked_up()
    spans[2] = replace(spans[2], end_ns=spans[2].start_ns - 5)

    run = only(spans)

    assert run.trajectory.steps[2].duration_us is None
    assert Repair("clock ran backwards", 1, 1.0) in run.trajectory.repairs


def test_an_answer_is_never_before_its_question() -> None:
    """The tool ran in a process whose clock is behind."""
    spans = looked_up()
    spans[2] = replace(spans[2], start_ns=at(-50), end_ns=at(-40))

    assert [s.kind for s in only(spans).trajectory.steps] == ["user", "llm", "tool", "llm"]


def test_a_parent_loop_does_not_hang() -> None:
    run = only([chat("c1", 0, 1, "c2", given=[QUESTION]), chat("c2", 2, 3, "c1", given=[QUESTION])])

    assert run.trajectory.n_llm == 2


def test_a_span_that_is_its_own_parent_is_a_root() -> None:
    assert only([chat("c1", 0, 1, "c1", given=[QUESTION])]).trajectory.n_llm == 1


def test_model_calls_that_are_traces_of_their_own_become_one_run() -> None:
    call = asks(("x", "lookup", {}))
    first = chat("c1", 0, 10, trace="1" * 32, given=[QUESTION], said=call)
    second = chat("c2", 20, 30, trace="2" * 32, given=[QUESTION, call, answers(("x", "ok"))])

    run = only([first, second])

    assert run.trajectory.trace_ids == ("1" * 32, "2" * 32)
    assert run.trajectory.stitch_confidence == 0.9
    assert Repair("stitched: answers the call", 1, 0.9) in run.trajectory.repairs


def test_the_next_turn_of_a_conversation_is_a_run_of_its_own() -> None:
    call = asks(("x", "lookup", {}))
    first = chat("c1", 0, 10, trace="1" * 32, given=[QUESTION], said=call)
    second = chat(
        "c2",
        20,
        30,
        trace="2" * 32,
        given=[QUESTION, call, answers(("x", "ok")), text("user", "And B-2?")],
    )

    assert len(assemble([first, second])) == 2


def test_a_link_joins_traces_that_do_something() -> None:
    first = chat("c1", 0, 10, trace="1" * 32, given=[QUESTION], said=text("assistant", "a"))
    link = SpanLink(first.trace_id, first.span_id)
    second = chat("c2", 20, 30, trace="2" * 32, given=[QUESTION], links=(link,))
    to_nowhere = chat("c3", 20, 30, trace="3" * 32, links=(SpanLink("f" * 32, "0" * 16),))

    assert [a.trajectory.trace_ids for a in assemble([first, second, to_nowhere])] == [
        ("1" * 32, "2" * 32),
        ("3" * 32,),
    ]


def test_a_known_trace_keeps_its_id_and_the_users_becomes_an_alias() -> None:
    spans = looked_up()
    spans[0] = agent("support", 0, 100, attributes={semconv.TRAJECTORY_ID: "mine"})

    assert only(spans).trajectory.trajectory_id == "mine"
    late = only(spans, known_ids={TRACE: "before"}).trajectory
    assert (late.trajectory_id, late.aliases) == ("before", ("mine",))


def test_outcome_reward_and_evaluations_become_annotations() -> None:
    spans = looked_up()
    spans[0] = agent(
        "support",
        0,
        100,
        attributes={semconv.TASK: "t", semconv.OUTCOME: "failure", semconv.REWARD: 0.5},
    )
    score = log(
        semconv.EVENT_EVALUATION,
        "c2",
        31,
        **{semconv.EVALUATION_NAME: "helpful", semconv.EVALUATION_VALUE: 0.9},
    )

    run = only(spans, [score])

    assert {
        (a.target, a.name, a.kind, a.value_text, a.value_num, a.source) for a in run.annotations
    } == {
        ("trajectory", "outcome", "outcome", "failure", None, "explicit"),
        ("trajectory", "reward", "reward", None, 0.5, "explicit"),
        ("step", "helpful", "score", None, 0.9, "evaluation"),
    }
    assert only(spans, [score]).annotations == run.annotations  # ids are hashes of what is said


def test_file_changes_belong_to_the_step_that_made_them() -> None:
    change = log(
        semconv.EVENT_FILE_CHANGE,
        "execute_tool lookup",
        15,
        **{semconv.FILE_PATH: "a.py", semconv.FILE_ADDED: 2, semconv.FILE_AFTER: ""},
    )

    (row,) = only(looked_up(), [change]).trajectory.file_changes
    assert (row.step, row.path, row.added, row.removed, row.content_after) == (
        2,
        "a.py",
        2,
        None,
        "",
    )


def test_content_off_leaves_structure_and_counts_the_gaps() -> None:
    run = only(
        [
            agent("a", 0, 100),
            chat(
                "c1", 1, 5, "a", tokens=(1, 2), attributes={semconv.FINISH_REASONS: ["tool_calls"]}
            ),
            chat("c2", 6, 9, "a", tokens=(3, 4)),
        ]
    )

    assert told(run.trajectory.steps, "kind", "tool_name") == [
        ("llm", None),
        ("tool", None),
        ("llm", None),
    ]
    assert run.trajectory.n_missing_content == 3
    assert run.trajectory.grade == "D"


HOLLOW = {"role": "user", "parts": [{"type": "text"}]}
HI = text("user", "Hi")
HELLO = text("assistant", "Hello")


@pytest.mark.parametrize(
    ("given", "said", "grade", "reason"),
    [
        ([HI], HELLO, "A", None),
        ([HI], None, "D", "the answer is not told"),
        (None, HELLO, "B", "the request is not told"),
        ([HOLLOW], HELLO, "B", "the request is not told"),
        ([HOLLOW], asks(("c1", "look", None)), "D", "no content is told"),
        ([HI, HOLLOW], HELLO, "C", "messages without their content: 1"),
        ([HI], asks(("c1", "now", None)), "C", "tool definitions are not told"),
    ],
)
def test_a_model_call_is_graded_by_the_content_that_is_told(
    given: Any, said: Any, grade: str, reason: str | None
) -> None:
    [run] = assemble([agent("a", 0, 9), chat("c1", 1, 5, "a", given=given, said=said)])

    [call] = [step for step in run.trajectory.steps if step.kind == "llm"]
    assert (call.grade, call.grade_reason) == (grade, reason)


DEFINED = {semconv.TOOL_DEFINITIONS: '[{"type":"function","name":"lookup"}]'}


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ({"attributes": DEFINED}, None),
        ({}, "tool definitions are not told"),
        ({"attributes": DEFINED, "dropped_attributes": 3}, "attributes that were dropped: 3"),
        ({"attributes": {**DEFINED, semconv.REQUEST_MODEL: None}}, "the model is not told"),
    ],
)
def test_a_request_that_is_not_whole_says_what_it_lacks(lacking: Any, reason: str | None) -> None:
    asking = chat("c1", 1, 5, "a", given=[HI], said=asks(("c1", "lookup", {})), **lacking)

    step = only([agent("a", 0, 9), asking]).trajectory.steps[-1]

    assert (step.grade, step.grade_reason) == ("C" if reason else "A", reason)
    assert (step.request_hash is None) == (reason is not None and "model" not in reason)


@pytest.mark.parametrize(
    "given",
    [[answers(("id1", "shipped"))], [QUESTION]],
    ids=["answers to calls that it does not show", "neither the calls before nor their answers"],
)
def test_a_request_whose_history_is_left_out_is_not_whole(given: Any) -> None:
    said = asks(("id1", "lookup", {}))
    spans = [
        agent("a", 0, 99),
        chat("c1", 1, 5, "a", given=[QUESTION], said=said, attributes=DEFINED),
        chat("c2", 10, 15, "a", given=given, said=text("assistant", "Done."), attributes=DEFINED),
    ]

    first, *_, last = (s for s in only(spans).trajectory.steps if s.kind == "llm")

    assert (first.grade, last.grade) == ("A", "C")
    assert last.grade_reason == "the messages before these are not told"
    assert (last.request_hash, last.messages_hash) == (None, None)


def test_of_two_accounts_of_a_call_the_fuller_one_counts() -> None:
    asked = asks(("c1", "look", {"id": 1}))
    bare = {"role": "assistant", "parts": [{**asked["parts"][0], "id": None}]}
    run = only(
        [
            agent("a", 0, 30),
            chat("framework", 1, 9, "a", given=[HI], said=bare),
            chat("client", 2, 8, "framework", given=[text("system", "Be brief."), HI], said=asked),
            chat(
                "framework 2", 11, 19, "a", given=[HI, asked, answers(("c1", "lost"))], said=HELLO
            ),
        ]
    )

    [call] = [step for step in run.trajectory.steps if step.kind == "tool"]
    [first, _] = [step for step in run.trajectory.steps if step.kind == "llm"]
    assert (call.tool_call_id, call.result) == ("c1", "lost")
    assert "Be brief." in (first.new_messages or "")
