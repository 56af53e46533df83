"""The traps of GenAI telemetry, each on the shortest spans that show it.

Numbers are those of the traps seen in real spans of ten frameworks; what a test is named
for must come out.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from otel_traj import otlp, semconv
from otel_traj.assembly import assemble
from otel_traj.dialects.messages import dumps
from otel_traj.model import LogRecord, SpanEvent, SpanLink, SpanRecord, Step
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
LOOKUP = asks(("id1", "lookup", {"id": "A-1"}))
SHIPPED = answers(("id1", "shipped"))
DONE = text("assistant", "It has shipped.")


def openinference(
    kind: str, name: str, start: float, end: float, parent: str | None = None, **fields: Any
) -> SpanRecord:
    attributes = {"openinference.span.kind": kind, **fields.pop("attributes", {})}
    return span(name, start, end, parent, attributes=attributes, **fields)


def traceloop(
    kind: str, name: str, start: float, end: float, parent: str | None = None, **fields: Any
) -> SpanRecord:
    attributes = {"traceloop.span.kind": kind, **fields.pop("attributes", {})}
    return span(name, start, end, parent, attributes=attributes, **fields)


def steps_of(spans: list[SpanRecord], logs: list[LogRecord] | None = None) -> tuple[Step, ...]:
    return only(spans, logs or []).trajectory.steps


def kinds_of(spans: list[SpanRecord], logs: list[LogRecord] | None = None) -> list[str]:
    return [step.kind for step in steps_of(spans, logs)]


def tools_of(spans: list[SpanRecord], logs: list[LogRecord] | None = None) -> list[Step]:
    return [step for step in steps_of(spans, logs) if step.kind == "tool"]


def asked_and_answered(**options: Any) -> list[SpanRecord]:
    """Two model calls with a tool call between them that no span tells."""
    return [
        span("handle", 0, 100),
        chat("c1", 1, 10, "handle", given=[QUESTION], said=LOOKUP, **options),
        chat("c2", 20, 30, "handle", given=[QUESTION, LOOKUP, SHIPPED], said=DONE, **options),
    ]


# --- double emission ---------------------------------------------------------------------------


def test_trap_1_a_librarys_span_inside_a_frameworks_is_the_same_call() -> None:
    outer = openinference(
        "LLM", "response", 0, 10, attributes={"llm.model_name": "m-1", semconv.RESPONSE_ID: "r1"}
    )
    inner = chat("Response", 1, 9, "response", response_id="r1", tokens=(10, 5))

    run = only([outer, inner])

    assert told(run.trajectory.steps, "kind", "span_id", "input_tokens", "output_tokens") == [
        ("llm", span_id("response"), 10, 5)
    ]
    assert [(m.span_id, m.rule) for m in run.trajectory.steps[0].merged_spans] == [
        (span_id("Response"), "nested")
    ]


def test_trap_2_a_call_told_in_a_trace_of_its_own_joins_by_response_id_and_time() -> None:
    framework = [agent("a", 0, 100), chat("c1", 1, 10, "a", response_id="r1", tokens=(10, 5))]
    library = chat("lib", 2, 9, trace="b" * 32, response_id="r1", tokens=(10, 5))
    an_hour_later = chat("lib2", 3.6e6, 3.6e6 + 7, trace="c" * 32, response_id="r1")

    first, second = assemble([*framework, library, an_hour_later])

    assert (first.trajectory.n_llm, first.trajectory.input_tokens) == (1, 10)
    assert first.trajectory.trace_ids == (TRACE, "b" * 32)
    assert second.trajectory.trace_ids == ("c" * 32,)


def test_trap_3_one_library_that_tells_an_agent_three_times_tells_of_one() -> None:
    task = {semconv.OPERATION: "execute_task"}
    spans = [
        agent("run", 0, 100),
        traceloop("workflow", "run.workflow", 1, 99, "run", id="flow"),
        traceloop("task", "execute_task helper", 2, 90, "flow", attributes=task, id="task"),
        agent("helper", 2, 89, "flow", id="empty sibling"),
        traceloop("task", "before_model", 3, 4, "task", attributes=task),
        traceloop("task", "before_model", 3, 4, "task", attributes=task, id="hook twice"),
        agent("helper", 5, 80, "task", id="node"),
        agent("helper", 6, 79, "node", id="graph"),
        chat("c1", 7, 70, "graph", given=[QUESTION], said=DONE, tokens=(10, 5)),
    ]

    run = only(spans)

    assert told(run.trajectory.steps, "kind", "agent_name") == [
        ("user", "helper"),
        ("llm", "helper"),
    ]
    assert run.trajectory.agents == ("helper",)
    assert run.trajectory.n_handoffs == 0


def test_trap_4_equal_calls_with_ids_of_their_own_stay_apart() -> None:
    same: dict[str, Any] = {"given": [QUESTION], "said": DONE, "tokens": (10, 5)}

    run = only(
        [
            agent("a", 0, 100),
            chat("c1", 1, 10, "a", response_id="r1", **same),
            chat("c2", 2, 11, "a", response_id="r2", **same),
        ]
    )

    assert (run.trajectory.n_llm, run.trajectory.input_tokens) == (2, 20)


def test_trap_5_client_and_server_of_one_mcp_call_are_one_tool() -> None:
    server = {"mcp.method.name": "tools/call", semconv.OPERATION: "execute_tool"}
    spans = [
        chat("c1", 0, 5, "handle", given=[QUESTION], said=LOOKUP),
        span("handle", 0, 100),
        span(
            "MCP send tools/call lookup",
            10,
            20,
            "handle",
            scope_name="mcp-python-sdk",
            attributes={"mcp.method.name": "tools/call"},
        ),
        span(
            "tools/call lookup",
            11,
            19,
            "MCP send tools/call lookup",
            attributes={**server, semconv.TOOL_NAME: "lookup"},
            resource={"service.name": "another process"},
            status="ERROR",
        ),
        span("MCP send tools/list", 6, 7, "handle", attributes={"mcp.method.name": "tools/list"}),
        chat("c2", 30, 40, "handle", given=[QUESTION, LOOKUP, SHIPPED], said=DONE),
    ]

    (lookup,) = tools_of(spans)

    assert (lookup.tool_name, lookup.tool_call_id, lookup.status) == ("lookup", "id1", "error")
    assert lookup.span_id == span_id("MCP send tools/call lookup")
    assert len(lookup.merged_spans) == 1


def test_trap_5_a_tool_and_its_execution_are_one_tool() -> None:
    claude: dict[str, Any] = {"scope_name": "com.anthropic.claude_code.tracing"}
    own = {"span.type": "tool", "tool_name": "mcp__orders__lookup", "tool_use_id": "id1"}
    execution = {"span.type": "tool.execution", "tool_use_id": "id1", semconv.ERROR_TYPE: "oops"}

    (lookup,) = steps_of(
        [
            span("tool", 0, 10, attributes=own, **claude),
            span("tool.execution", 1, 9, "tool", attributes=execution, status="ERROR", **claude),
            span("blocked", 1, 2, "tool", attributes={"span.type": "tool.blocked_on_user"}),
        ]
    )

    assert (lookup.tool_name, lookup.error_type) == ("mcp__orders__lookup", "oops")


def test_trap_6_usage_on_parents_is_no_usage() -> None:
    spans = [
        agent("a", 0, 100, attributes={semconv.INPUT_TOKENS: 30, semconv.OUTPUT_TOKENS: 9}),
        span(
            "ai.generateText",
            1,
            99,
            "a",
            scope_name="ai",
            attributes={"ai.operationId": "ai.generateText", "ai.usage.promptTokens": 20},
        ),
        chat("c1", 2, 10, "ai.generateText", response_id="r1", tokens=(10, 5)),
        chat("c2", 20, 30, "ai.generateText", response_id="r2", tokens=(20, 4)),
    ]

    header = only(spans).trajectory

    assert (header.n_llm, header.input_tokens, header.output_tokens) == (2, 30, 9)


# --- what is not there -------------------------------------------------------------------------


def test_trap_7_tools_without_spans_are_read_from_requests() -> None:
    (lookup,) = tools_of(asked_and_answered())

    assert (lookup.tool_name, lookup.arguments, lookup.result, lookup.status) == (
        "lookup",
        '{"id":"A-1"}',
        "shipped",
        "ok",
    )
    assert lookup.inferred == (
        "tool: asked for by the model, the run went on",
        "result: the next request",
    )


@pytest.mark.parametrize(
    ("answer", "inferred"),
    [
        ({"content": "Error: gone"}, True),
        ({"content": "gone", "is_error": True}, False),
    ],
)
def test_trap_7_a_failure_told_by_text_alone_is_inferred(answer: Any, inferred: bool) -> None:
    block = {"type": "tool_result", "tool_use_id": "id1", **answer}
    spans = asked_and_answered()
    spans[2] = replace(
        spans[2],
        attributes={
            **spans[2].attributes,
            semconv.INPUT_MESSAGES: dumps([QUESTION, LOOKUP, {"role": "user", "content": [block]}]),
        },
    )

    (lookup,) = tools_of(spans)

    assert (lookup.status, lookup.error_message) == ("error", answer["content"])
    assert ("error_message: the text of the result" in lookup.inferred) is inferred


def test_trap_8_a_request_that_only_adds_goes_on_from_the_response_it_names() -> None:
    spans = [
        span("handle", 0, 100),
        chat("c1", 1, 10, "handle", given=[QUESTION], said=LOOKUP, response_id="r1"),
        chat(
            "c2",
            20,
            30,
            "handle",
            given=[SHIPPED],
            said=DONE,
            attributes={semconv.REQUEST_PREVIOUS_RESPONSE_ID: "r1"},
        ),
    ]
    whole = [*spans[:2], chat("c2", 20, 30, "handle", given=[QUESTION, LOOKUP, SHIPPED], said=DONE)]

    chained, resent = steps_of(spans), steps_of(whole)

    assert chained[3].messages_hash == resent[3].messages_hash is not None
    assert chained[3].new_messages == resent[3].new_messages
    assert [step.kind for step in chained] == ["user", "llm", "tool", "llm"]


def test_trap_9_agents_without_model_calls_are_runs_with_delegations() -> None:
    run = only([agent("boss", 0, 100), agent("helper", 10, 50, "boss", id="helper")])

    assert told(run.trajectory.steps, "kind", "agent_name", "handoff_to", "handoff_mode") == [
        ("handoff", "boss", "helper", "delegate")
    ]
    assert run.trajectory.input_tokens is None


def test_trap_10_content_off_leaves_calls_tools_and_tokens() -> None:
    asked = {semconv.FINISH_REASONS: ["tool_calls"]}
    hollow = {"id": "id1", "type": "function", "function": {"name": "lookup"}}
    spans = [
        agent("a", 0, 100),
        chat("c1", 1, 10, "a", tokens=(10, 5), attributes=asked),
        chat("c2", 20, 30, "a", tokens=(20, 4)),
    ]
    events = [
        log("gen_ai.user.message", "c1", 1),
        log("gen_ai.choice", "c1", 9, {"finish_reason": "tool_calls", "tool_calls": [hollow]}),
        log("gen_ai.tool.message", "c2", 20, {"id": "id1"}),
    ]

    nameless, named = only(spans).trajectory, only(spans, events).trajectory

    assert told(nameless.steps, "kind", "tool_name") == [
        ("llm", None),
        ("tool", None),
        ("llm", None),
    ]
    assert told(named.steps, "kind", "tool_name", "tool_call_id") == [
        ("llm", None, None),
        ("tool", "lookup", "id1"),
        ("llm", None, None),
    ]
    assert nameless.input_tokens == named.input_tokens == 30
    assert nameless.grade == named.grade == "D"


def log_line(told_in: str, event: str, ms: float, body: Any) -> dict[str, Any]:
    """An OTLP log record that names its event in the field or in the attribute."""
    record: dict[str, Any] = {
        "traceId": TRACE,
        "spanId": span_id("c1"),
        "timeUnixNano": str(at(ms)),
        "body": {"stringValue": dumps(body)},
    }
    if told_in == "field":
        record["eventName"] = event
    else:
        record["attributes"] = [{"key": "event.name", "value": {"stringValue": event}}]
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}


@pytest.mark.parametrize("told_in", ["field", "attribute"])
def test_trap_11_content_in_logs_joins_its_span_in_any_order(told_in: str) -> None:
    lines = [
        log_line(told_in, "gen_ai.choice", 9, {"message": {"content": "It has shipped."}}),
        log_line(told_in, "gen_ai.user.message", 2, {"content": "Where is A-1?"}),
    ]
    logs: Any = [record for line in lines for record in otlp.records_from_json(line)]
    spans = [agent("a", 0, 100), chat("c1", 1, 10, "a")]

    for arrived in (logs, logs[::-1]):
        header = only(spans, arrived).trajectory
        assert (header.user_input, header.final_answer) == ("Where is A-1?", "It has shipped.")


def test_trap_12_model_calls_without_a_root_are_stitched_by_what_they_answer() -> None:
    first = chat("c1", 0, 10, trace="1" * 32, given=[QUESTION], said=LOOKUP)
    second = chat("c2", 20, 30, trace="2" * 32, given=[QUESTION, LOOKUP, SHIPPED], said=DONE)

    run = only([second, first]).trajectory

    assert [step.kind for step in run.steps] == ["user", "llm", "tool", "llm"]
    assert run.stitch_confidence == 0.9


def test_trap_12_children_of_a_root_that_never_came_are_one_run() -> None:
    error = {semconv.ERROR_TYPE: "BadRequestError"}
    spans = [
        chat("c1", 0, 10, "never came", given=[QUESTION], said=LOOKUP),
        tool("lookup", 11, 12, "never came"),
        chat("c2", 20, 30, "never came", status="ERROR", attributes=error),
    ]

    run = only(spans).trajectory

    assert (run.status, run.error_type, run.n_orphans, run.root_span_id) == (
        "error",
        "BadRequestError",
        3,
        None,
    )


def test_trap_13_missing_call_ids_are_matched_by_name_arguments_and_order() -> None:
    said = asks(
        ("x", "rate", {"to": "EUR"}), ("y", "rate", {"to": "USD"}), ("z", "rate", {"to": "EUR"})
    )
    spans = [
        agent("a", 0, 100),
        chat("c1", 1, 5, "a", given=[QUESTION], said=said),
        *(
            openinference(
                "TOOL",
                f"t{start}",
                start,
                start + 1,
                "a",
                attributes={"tool.name": "rate", "input.value": dumps({"to": to})},
            )
            for start, to in ((10, "USD"), (12, "EUR"), (14, "EUR"))
        ),
    ]

    tools = tools_of(spans)

    assert told(tools, "tool_call_id", "arguments") == [
        ("y", '{"to":"USD"}'),
        ("x", '{"to":"EUR"}'),
        ("z", '{"to":"EUR"}'),
    ]
    assert all("tool_call_id: name, arguments and order" in tool.inferred for tool in tools)


# --- handoffs ----------------------------------------------------------------------------------


def handed_over(*between: SpanRecord) -> list[SpanRecord]:
    """Two agents one after the other under a workflow, with these spans between them."""
    return [
        span("flow", 0, 100, attributes={semconv.OPERATION: "invoke_workflow"}),
        agent("support", 1, 40, "flow"),
        chat("c1", 2, 30, "support", given=[QUESTION], said=text("assistant", "?")),
        *between,
        agent("refunds", 50, 90, "flow"),
        chat("c2", 51, 80, "refunds", given=[QUESTION], said=DONE),
    ]


def test_trap_14_a_sequence_alone_is_no_handoff() -> None:
    assert only(handed_over()).trajectory.n_handoffs == 0


@pytest.mark.parametrize(
    "handoff",
    [
        traceloop("handoff", "support → unknown.handoff", 41, 42, "flow"),
        span(
            "agent_handoff OpenAI Agent",
            41,
            42,
            "flow",
            attributes={
                semconv.OPERATION: "agent_handoff",
                semconv.AGENT_NAME: "OpenAI Agent",
                "gen_ai.handoff.from_agent": "support",
                "gen_ai.handoff.to_agent": "refunds",
            },
        ),
        openinference("TOOL", "handoff to refunds", 41, 42, "flow"),
        tool("transfer_to_refunds", 35, 36, "support"),
    ],
    ids=["target unknown", "from and to", "in the name", "a tool"],
)
def test_trap_14_a_handoff_names_the_agent_that_goes_on(handoff: SpanRecord) -> None:
    handoffs = [s for s in steps_of(handed_over(handoff)) if s.kind == "handoff"]

    assert told(handoffs, "handoff_to", "handoff_mode", "status") == [("refunds", "transfer", "ok")]


@pytest.mark.parametrize("status", ["ERROR", "OK"])
def test_trap_14_control_flow_shown_as_an_exception_is_no_failure(status: Any) -> None:
    command = SpanEvent(
        at(9),
        "exception",
        {"exception.type": "ParentCommand", "exception.message": "Command(goto='refunds')"},
    )
    spans = handed_over()
    spans[1] = replace(spans[1], status=status, events=(command,))

    run = only(spans).trajectory

    assert (run.status, run.n_errors) == ("completed", 0)


def test_trap_15_broadcasts_and_the_build_of_a_workflow_are_no_steps() -> None:
    maf: dict[str, Any] = {"scope_name": "agent_framework"}
    spans = [
        span("workflow.build", 0, 1, trace="b" * 32, attributes={"workflow.id": "w"}, **maf),
        span("workflow.run", 2, 100, attributes={"workflow.id": "w"}, **maf),
        *(
            span(
                "executor.process refunds",
                start,
                end,
                "workflow.run",
                id=f"executor {start}",
                attributes={"executor.id": "refunds"},
                **maf,
            )
            for start, end in ((3, 4), (5, 6), (7, 90))
        ),
        agent("refunds", 8, 80, "executor 7"),
        chat("c1", 9, 70, "refunds", given=[QUESTION], said=DONE),
    ]

    run = only(spans).trajectory

    assert (run.trace_ids, run.agents, run.n_handoffs, run.n_steps) == (
        (TRACE,),
        ("refunds",),
        0,
        2,
    )


# --- wrong or misleading -----------------------------------------------------------------------


def test_trap_16_a_tool_taken_for_an_agent_by_its_name_is_a_tool() -> None:
    transfer = openinference(
        "AGENT",
        "transfer_to_refunds",
        35,
        36,
        "support",
        attributes={"tool.name": "transfer_to_refunds"},
    )

    run = only(handed_over(transfer)).trajectory

    assert run.agents == ("support", "refunds")
    assert run.n_handoffs == 1


def test_trap_17_python_reprs_are_read_and_the_common_agent_name_is_not() -> None:
    call = "ResponseFunctionToolCall(arguments='{\"id\":\"A-1\"}', call_id='id1', name='lookup', type='function_call', id='fc_1', caller=None)"
    thought = "ResponseReasoningItem(id='rs_0', summary=[Summary(text='First look.', type='summary_text')], type='reasoning', content=None)"
    said = {
        "role": "assistant",
        "parts": [{"type": "text", "content": part} for part in (thought, call)],
    }
    everywhere = {semconv.AGENT_NAME: "OpenAI Agent"}
    spans = [
        span("flow", 0, 100, attributes={semconv.OPERATION: "invoke_agent"}),
        agent("support", 1, 90, "flow"),
        span("unknown", 2, 50, "support", attributes={semconv.OPERATION: "unknown", **everywhere}),
        chat("c1", 3, 10, "unknown", given=[QUESTION], said=said, attributes=everywhere),
        tool("lookup", 11, 12, "unknown", attributes=everywhere),
    ]  # fmt: skip

    user, llm, lookup = steps_of(spans)

    assert {user.agent_name, llm.agent_name, lookup.agent_name} == {"support"}
    assert (llm.reasoning, llm.output_text) == ("First look.", None)
    assert (lookup.tool_call_id, lookup.arguments) == ("id1", '{"id":"A-1"}')


def test_trap_18_an_answer_whose_id_nobody_asked_with_is_taken_by_order() -> None:
    asked = asks(("fc_1_0", "lookup", {"id": "A-1"}))
    spans = [
        chat("c1", 1, 10, "handle", given=[QUESTION], said=asked),
        span("handle", 0, 100),
        chat("c2", 20, 30, "handle", given=[QUESTION, asked, answers(("call_a1", "shipped"))]),
    ]

    (lookup,) = tools_of(spans)

    assert (lookup.tool_call_id, lookup.result) == ("call_a1", "shipped")
    assert "tool_call_id: the answer, by order" in lookup.inferred


TWO = [("x", "lookup", {"id": 1}), ("y", "rate", {})]
BESIDE = [
    {"id": id, "type": "function", "function": {"name": name, "arguments": dumps(arguments)}}
    for id, name, arguments in TWO
]
BLOCKS = [
    {"type": "tool_use", "id": id, "name": name, "input": arguments} for id, name, arguments in TWO
]
PLAN = {"type": "text", "text": "Let me look."}


@pytest.mark.parametrize(
    "said",
    [
        [{"role": "assistant", "content": [PLAN, *BLOCKS]}],
        [{"role": "assistant", "content": [*BLOCKS, PLAN]}],
        [{"role": "assistant", "content": "Let me look.", "tool_calls": BESIDE}],
        [
            {"role": "assistant", "content": [PLAN]},
            {"role": "assistant", "tool_calls": BESIDE[:1]},
            {"role": "assistant", "tool_calls": BESIDE[1:]},
        ],
        [{"role": "assistant", "content": [PLAN, *BLOCKS], "tool_calls": BESIDE}],
    ],
    ids=["text first", "calls first", "calls beside", "a message each", "each call twice"],
)
def test_trap_19_parallel_calls_are_the_same_however_they_are_arranged(said: Any) -> None:
    spans = [
        agent("a", 0, 100),
        chat("c1", 1, 5, "a", given=[QUESTION], attributes={semconv.OUTPUT_MESSAGES: dumps(said)}),
        chat(
            "c2", 20, 30, "a", given=[QUESTION, *said, answers(("x", "1"), ("y", "2"))], said=DONE
        ),
    ]

    steps = steps_of(spans)

    assert told(steps, "kind", "output_text", "tool_call_id", "result") == [
        ("user", None, None, None),
        ("llm", "Let me look.", None, None),
        ("tool", None, "x", "1"),
        ("tool", None, "y", "2"),
        ("llm", "It has shipped.", None, None),
    ]


DUMPED = {"lc": 1, "type": "constructor", "id": ["langchain", "ToolMessage"], "kwargs": {"content": "found", "tool_call_id": "c1", "status": "success"}}  # fmt: skip


@pytest.mark.parametrize(
    ("told_as", "attributes"),
    [
        ("JSON in JSON", {semconv.TOOL_CALL_ARGUMENTS: '"{\\"id\\": 1}"', semconv.TOOL_CALL_RESULT: "found"}),
        ("repr", {"traceloop.entity.input": '{"input_str": "{\'id\': 1}", "tags": []}', "traceloop.entity.output": '"found"'}),
        ("constructor", {semconv.TOOL_CALL_ARGUMENTS: '{"id": 1}', semconv.TOOL_CALL_RESULT: json.dumps(DUMPED)}),
        ("type and data", {semconv.TOOL_CALL_ARGUMENTS: '{"id": 1}', semconv.TOOL_CALL_RESULT: '{"type": "tool", "data": {"content": "found", "tool_call_id": "c1"}}'}),
        ("args and kwargs", {"openinference.span.kind": "TOOL", "input.value": '{"args": [], "kwargs": {"id": 1}, "sanitize_inputs_outputs": true}', "output.value": "found"}),
        ("MCP result", {semconv.TOOL_CALL_ARGUMENTS: {"id": 1}, semconv.TOOL_CALL_RESULT: '{"content": [{"type": "text", "text": "found"}], "isError": false}'}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_trap_20_arguments_and_results_lose_their_wrappers(told_as: str, attributes: Any) -> None:
    (step,) = steps_of([tool("look", 0, 1, attributes=attributes)])

    assert (step.arguments, step.result) == ('{"id":1}', "found")


def test_trap_20_a_bare_argument_is_completed_by_the_call_that_asked() -> None:
    bare = {"tool.name": "lookup", "input.value": "A-1"}
    spans = [
        agent("a", 0, 100),
        chat("c1", 1, 5, "a", given=[QUESTION], said=LOOKUP),
        openinference("TOOL", "lookup", 10, 12, "a", attributes=bare),
    ]

    (lookup,) = tools_of(spans)

    assert (lookup.tool_call_id, lookup.arguments) == ("id1", '{"id":"A-1"}')


@pytest.mark.parametrize("reasons", [["tool_calls"], '["tool_calls"]', "tool_calls"])
def test_trap_20_finish_reasons_are_read_in_every_encoding(reasons: Any) -> None:
    (step,) = steps_of([chat("c1", 0, 1, attributes={semconv.FINISH_REASONS: reasons})])

    assert step.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("asking", "answering"),
    [
        (LOOKUP, {"role": "user", "parts": SHIPPED["parts"]}),
        (
            {"type": "ai", "data": {"content": "", "tool_calls": [{"id": "id1", "name": "lookup", "args": {"id": "A-1"}}]}},
            {"type": "tool", "data": {"content": "shipped", "tool_call_id": "id1"}},
        ),
        (
            {"role": "tool-call", "content": [{"type": "text", "text": "Calling tools: []"}]},
            {"role": "tool-response", "content": [{"type": "text", "text": "Observation:\nshipped"}]},
        ),
    ],
    ids=["a user answers", "LangChain's roles", "smolagents' roles"],
)  # fmt: skip
def test_trap_21_whoever_speaks_for_a_tool_is_no_user(asking: Any, answering: Any) -> None:
    spans = asked_and_answered()
    given = dumps([QUESTION, asking, answering])
    spans[2] = replace(spans[2], attributes={**spans[2].attributes, semconv.INPUT_MESSAGES: given})

    steps = steps_of(spans)

    assert told(steps, "kind", "result") == [
        ("user", None),
        ("llm", None),
        ("tool", "shipped"),
        ("llm", None),
    ]


@pytest.mark.parametrize("root_status", ["OK", "UNSET"])
def test_trap_22_a_root_that_says_ok_over_a_failed_last_call_is_no_success(
    root_status: Any,
) -> None:
    bad = {semconv.ERROR_TYPE: "openai.BadRequestError"}
    spans = [
        span("flow", 0, 100, status=root_status, attributes={"openinference.span.kind": "CHAIN"}),
        chat("c1", 1, 10, "flow", status="ERROR", status_message="no", attributes=bad),
    ]

    header = only(spans).trajectory

    assert (header.status, header.error_type, header.error_message, header.final_answer) == (
        "error",
        "openai.BadRequestError",
        "no",
        None,
    )


def test_trap_22_a_tool_that_failed_and_was_tried_again_is_no_failed_run() -> None:
    again = asks(("id2", "lookup", {"id": "A-1"}))
    failed = answers(("id1", "Error: busy"))
    spans = [
        agent("a", 0, 100),
        chat("c1", 1, 5, "a", given=[QUESTION], said=LOOKUP),
        tool("lookup", 6, 7, "a", id="t1", status="ERROR", status_message="details are redacted"),
        chat("c2", 10, 15, "a", given=[QUESTION, LOOKUP, failed], said=again),
        tool("lookup", 16, 17, "a", id="t2"),
        chat("c3", 20, 30, "a", given=[QUESTION, LOOKUP, failed, again, answers(("id2", "ok"))], said=DONE),
    ]  # fmt: skip

    header = only(spans).trajectory
    first, second = (step for step in header.steps if step.kind == "tool")

    assert (header.status, header.n_errors) == ("completed", 1)
    assert (first.error_message, first.model_saw) == ("details are redacted", "Error: busy")
    assert (second.status, second.model_saw) == ("ok", "ok")


@pytest.mark.parametrize(
    ("name", "scope", "attributes"),
    [
        ("SimpleTool", None, {"openinference.span.kind": "TOOL", "tool.name": "lookup"}),
        ("ai.toolCall", "ai", {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "lookup"}),
        ("Function: {name}", "logfire.openai_agents", {"name": "lookup"}),
        ("running tool", "pydantic-ai", {semconv.TOOL_NAME: "lookup"}),
    ],
)
def test_trap_23_a_tool_is_not_called_what_its_span_is(
    name: str, scope: str | None, attributes: Any
) -> None:
    (step,) = steps_of([span(name, 0, 1, scope_name=scope, attributes=attributes)])

    assert (step.kind, step.tool_name) == ("tool", "lookup")


def test_trap_23_an_agent_is_not_called_what_its_span_is() -> None:
    attributes = {semconv.OPERATION: "invoke_agent", semconv.AGENT_NAME: "support"}
    spans = [
        span("invoke_agent gpt-4o-mini", 0, 100, attributes=attributes, id="a"),
        chat("c1", 1, 10, "a", given=[QUESTION], said=DONE),
    ]

    assert only(spans).trajectory.agents == ("support",)


def test_trap_24_building_an_agent_is_no_run() -> None:
    built = span("create_agent a", 0, 1, attributes={semconv.OPERATION: "create_agent"})

    assert assemble([built]) == []


def test_trap_25_a_retriever_whose_operation_is_embeddings_is_a_retrieval() -> None:
    attributes = {
        semconv.OPERATION: "embeddings",
        "langsmith.span.kind": "retriever",
        "gen_ai.prompt": '{"query": "refunds"}',
        "gen_ai.completion": '{"documents": [{"page_content": "30 days"}]}',
    }

    (step,) = steps_of([span("Retriever", 0, 1, scope_name="langsmith", attributes=attributes)])

    assert told([step], "kind", "arguments", "result") == [
        ("retrieval", "refunds", '[{"page_content":"30 days"}]')
    ]


def test_trap_25_a_built_in_answer_is_no_tool_and_code_calls_tools_without_asking() -> None:
    code = text("assistant", "Code: print(lookup('A-1'))")
    spans = [
        openinference("AGENT", "support.run", 0, 100),
        openinference("CHAIN", "Step 1", 1, 50, "support.run"),
        chat("c1", 2, 10, "Step 1", given=[QUESTION], said=code),
        openinference("TOOL", "SimpleTool", 11, 12, "Step 1", attributes={"tool.name": "lookup"}),
        openinference("CHAIN", "Step 2", 51, 99, "support.run"),
        chat("c2", 52, 60, "Step 2", given=[QUESTION, code, text("user", "Observation:\nshipped")]),
        openinference("TOOL", "FinalAnswerTool", 61, 62, "Step 2", attributes={"tool.name": "final_answer"}),
    ]  # fmt: skip

    steps = steps_of(spans)

    assert told(steps, "kind", "tool_name", "agent_name") == [
        ("user", None, "support"),
        ("llm", None, "support"),
        ("tool", "lookup", "support"),
        ("llm", None, "support"),
    ]


# --- structure and time ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parents",
    [
        {"c1": "a", "t1": "a", "t2": "a", "c2": "a"},
        {"c1": "step 1", "t1": "step 1", "t2": "step 1", "c2": "step 2"},
        {"c1": "step 1", "t1": "c1", "t2": "c1", "c2": "step 2"},
        {"c1": "a", "t1": "step 1", "t2": "step 2", "c2": "a"},
    ],
    ids=["siblings", "in a step", "in the call", "each in its node"],
)
def test_trap_26_the_order_is_that_of_time_wherever_tools_hang(parents: Any) -> None:
    said = asks(("x", "lookup", {}), ("y", "rate", {}))
    ids = {"x": {semconv.TOOL_CALL_ID: "x"}, "y": {semconv.TOOL_CALL_ID: "y"}}
    spans = [
        agent("a", 0, 100, id="a"),
        span("step 1", 1, 60, "a"),
        span("step 2", 1, 99, "a"),
        chat("c1", 2, 50, parents["c1"], given=[QUESTION], said=said, response_id="r1"),
        tool("lookup", 11, 30, parents["t1"], attributes=ids["x"]),
        tool("rate", 12, 20, parents["t2"], attributes=ids["y"]),
        chat("c2", 61, 70, parents["c2"], response_id="r2", given=[QUESTION, said, answers(("x", "1"), ("y", "2"))]),
    ]  # fmt: skip

    steps = steps_of(spans[::-1])

    assert told(steps, "kind", "tool_name", "parent_step") == [
        ("user", None, None),
        ("llm", None, None),
        ("tool", "lookup", 1),
        ("tool", "rate", 1),
        ("llm", None, None),
    ]


def test_trap_27_a_sub_agent_beside_the_whole_agent_belongs_to_the_tool_it_ran_in() -> None:
    spans = [
        span("flow", 0, 100, attributes={"traceloop.span.kind": "workflow"}),
        traceloop("agent", "support.agent", 1, 99, "flow"),
        chat("c1", 2, 10, "support.agent", given=[QUESTION], said=asks(("x", "ask_refunds", {}))),
        traceloop("tool", "ask_refunds.tool", 20, 60, "support.agent"),
        traceloop("agent", "refunds.agent", 21, 59, "flow"),
        chat("c2", 22, 50, "refunds.agent", given=[text("user", "Refund!")], said=DONE),
    ]

    handoff, inner = steps_of(spans)[2:]

    assert told([handoff], "kind", "agent_name", "handoff_to", "handoff_mode") == [
        ("handoff", "support", "refunds", "delegate")
    ]
    assert inner.agent_path == "support.0/refunds.1"


def test_trap_27_parallel_sub_agents_keep_their_calls_apart() -> None:
    said = asks(("x", "ask", {"who": 1}), ("y", "ask", {"who": 2}))
    spans = [
        agent("boss", 0, 100, id="boss"),
        chat("c0", 1, 5, "boss", given=[QUESTION], said=said),
    ]
    for number, call in ((1, "x"), (2, "y")):
        asking = {semconv.TOOL_CALL_ID: call}
        spans += [
            tool("ask", 10, 90, "boss", id=f"t{number}", attributes=asking),
            agent("helper", 11, 89, f"t{number}", id=f"h{number}"),
            chat(f"c{number}1", 11 + number, 20, f"h{number}", given=[text("user", call)], said=LOOKUP),
            tool("lookup", 30 + number, 40, f"h{number}", id=f"l{number}"),
            chat(f"c{number}2", 50 + number, 60, f"h{number}", given=[text("user", call), LOOKUP, SHIPPED]),
        ]  # fmt: skip

    steps = steps_of(spans)

    ran = [step for step in steps if step.tool_name == "lookup"]
    askers = [steps[step.parent_step or 0] for step in ran]
    assert [s.agent_run for s in ran] == [asker.agent_run for asker in askers]
    assert len({step.agent_run for step in ran}) == 2
    assert [s.handoff_to for s in steps if s.kind == "handoff"] == ["helper", "helper"]


def test_trap_28_a_handoff_across_traces_that_are_linked_is_one_run() -> None:
    first = chat("c1", 0, 10, trace="1" * 32, given=[QUESTION], said=text("assistant", "Wait."))
    link = SpanLink("1" * 32, first.span_id)
    second = agent("refunds", 20, 40, trace="2" * 32, links=(link,), id="a")
    third = chat("c2", 21, 30, "a", trace="2" * 32, given=[QUESTION], said=DONE)

    run = only([first, second, third]).trajectory

    assert run.trace_ids == ("1" * 32, "2" * 32)
    assert "stitched: span link" in {repair.rule for repair in run.repairs}


def test_trap_28_the_turns_of_a_session_are_runs_that_count_their_own_messages_only() -> None:
    session = {semconv.CONVERSATION_ID: "session"}
    second = [QUESTION, DONE, text("user", "And B-2?")]
    spans = [
        agent("a", 0, 50, trace="1" * 32, attributes=session),
        chat("c1", 1, 10, "a", trace="1" * 32, given=[QUESTION], said=DONE, tokens=(1, 1)),
        agent("a", 60, 90, trace="2" * 32, attributes=session),
        chat("c2", 61, 70, "a", trace="2" * 32, given=second, said=DONE, tokens=(3, 1)),
    ]  # fmt: skip

    first, later = (assembly.trajectory for assembly in assemble(spans))

    assert first.conversation_id == later.conversation_id == "session"
    assert (first.user_input, later.user_input) == ("Where is A-1?", "And B-2?")
    assert (first.n_llm, later.n_llm) == (1, 1)
    assert [s.kind for s in later.steps][-1] == "llm"


def test_trap_29_a_frameworks_retry_is_a_call_and_an_sdks_is_inside_one() -> None:
    limited = {semconv.ERROR_TYPE: "RateLimitError"}
    spans = [
        agent("a", 0, 100),
        chat("c1", 1, 10, "a", given=[QUESTION], status="ERROR", attributes=limited),
        chat("c2", 20, 30, "a", given=[QUESTION], said=DONE, tokens=(10, 5)),
        span("POST", 21, 22, "c2", attributes={"http.response.status_code": 429}),
        span("POST", 25, 29, "c2", attributes={"http.response.status_code": 200}, id="again"),
    ]

    header = only(spans).trajectory

    assert (header.n_llm, header.n_llm_errors, header.status) == (2, 1, "completed")
    assert header.input_tokens == 10


def test_trap_30_a_flood_of_chunks_is_no_content_and_no_usage() -> None:
    chunks = tuple(SpanEvent(at(1 + n / 9), "gen_ai.content.completion.chunk") for n in range(50))
    stream = {"gen_ai.is_streaming": True, semconv.FINISH_REASONS: ["stop"]}

    (user, step) = steps_of(
        [chat("c1", 0, 10, given=[QUESTION], said=DONE, attributes=stream, events=chunks)]
    )

    assert (user.kind, step.output_text, step.stream) == ("user", "It has shipped.", True)
    assert (step.input_tokens, step.output_tokens) == (None, None)


@pytest.mark.parametrize("finish", [["error"], [""], None])
def test_trap_30_a_stream_that_was_abandoned_is_aborted_and_keeps_its_text(finish: Any) -> None:
    attributes = {semconv.REQUEST_STREAM: True, semconv.FINISH_REASONS: finish}
    spans = [
        span("handle", 0, 100, status="OK"),
        chat("c1", 1, 10, "handle", given=[QUESTION], said=text("assistant", "It has"), attributes=attributes),
    ]  # fmt: skip

    header = only(spans).trajectory

    assert (header.status, header.steps[1].output_text) == ("aborted", "It has")
    assert header.output_tokens is None


def test_trap_31_a_cut_message_list_keeps_its_whole_parts_and_no_half_text() -> None:
    given = dumps([QUESTION, LOOKUP, answers(("id1", "shipped and half of something"))])[:-40]
    spans = asked_and_answered()
    spans[2] = replace(spans[2], attributes={**spans[2].attributes, semconv.INPUT_MESSAGES: given})

    run = only(spans).trajectory
    lookup, last = run.steps[2], run.steps[3]

    assert lookup.tool_name == "lookup"
    assert "half" not in (lookup.result or "")
    assert (last.grade, last.grade_reason) == ("C", f"cut off: {semconv.INPUT_MESSAGES}")
    assert (last.request_hash, run.n_truncated) == (None, 1)


def test_trap_31_dropped_attributes_are_counted_and_the_raw_body_fills_them() -> None:
    body = {"model": "m-1", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is A-1?"}]}  # fmt: skip
    attributes = {
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "Where is A-1?",
        "input.value": dumps(body),
    }

    run = only([openinference("LLM", "Chat", 0, 1, attributes=attributes, dropped_attributes=7)])

    step = run.trajectory.steps[-1]
    assert run.trajectory.n_dropped_attributes == 7
    assert [m["role"] for m in json.loads(step.new_messages or "[]")] == ["system", "user"]


def test_trap_32_input_counts_cache_and_zero_is_not_unknown() -> None:
    claude: dict[str, Any] = {"scope_name": "com.anthropic.claude_code.tracing"}
    usage = {"input_tokens": 72, "output_tokens": 30, "cache_read_tokens": 128, "cache_creation_tokens": 0}  # fmt: skip
    own = span("r", 0, 1, attributes={"span.type": "llm_request", "model": "m", **usage}, **claude)
    other = chat("c", 5, 6, trace="b" * 32, tokens=(10, 5))

    with_cache, without = (a.trajectory.steps[0] for a in assemble([own, other]))

    assert (with_cache.input_tokens, with_cache.cache_read_tokens) == (200, 128)
    assert (with_cache.cache_write_tokens, without.cache_write_tokens) == (0, None)


def test_trap_32_reasoning_that_only_the_raw_answer_has_is_kept() -> None:
    message = {"role": "assistant", "content": "It has shipped.", "reasoning_content": "Looked."}
    attributes = {
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "It has shipped.",
        "output.value": dumps({"id": "r1", "choices": [{"message": message}]}),
    }

    (step,) = steps_of([openinference("LLM", "Chat", 0, 1, attributes=attributes)])

    assert (step.output_text, step.reasoning, step.response_id) == (
        "It has shipped.",
        "Looked.",
        "r1",
    )


def test_trap_33_evaluations_among_the_attributes_are_annotations_of_what_they_are_about() -> None:
    told = {
        "evaluations.0.evaluation.name": "helpful",
        "evaluations.0.evaluation.score": 0.5,
        "evaluations.0.evaluation.label": "so so",
        "trace.evaluations.0.evaluation.name": "solved",
        "trace.evaluations.0.evaluation.label": "yes",
    }
    spans = [agent("a", 0, 9), chat("c1", 1, 5, "a", given=[QUESTION], said=DONE, attributes=told)]

    run = only(spans)

    assert {(a.target, a.name, a.value_num, a.value_text, a.source) for a in run.annotations} == {
        ("step", "helpful", 0.5, "so so", "evaluation"),
        ("trajectory", "solved", None, "yes", "evaluation"),
    }
    assert [step.kind for step in run.trajectory.steps] == ["user", "llm"]


def test_trap_33_evaluations_are_annotations_and_each_case_is_a_run() -> None:
    evals = {semconv.OPERATION: "experiment"}
    spans = [span("evaluate", 0, 100, attributes=evals)]
    for number in (1, 2):
        spans += [
            span(f"case {number}", number * 10, number * 10 + 9, "evaluate"),
            agent("a", number * 10 + 1, number * 10 + 7, f"case {number}", id=f"a{number}"),
            chat(f"c{number}", number * 10 + 2, number * 10 + 5, f"a{number}", given=[QUESTION]),
            openinference("EVALUATOR", "judge", number * 10 + 8, number * 10 + 9, f"case {number}", id=f"j{number}"),
        ]  # fmt: skip
    score = log(
        semconv.EVENT_EVALUATION,
        "a2",
        30,
        **{semconv.EVALUATION_NAME: "quality", semconv.EVALUATION_VALUE: 0.75},
    )

    first, second = assemble(spans, [score])

    assert [step.kind for step in first.trajectory.steps] == ["user", "llm"]
    assert first.annotations == ()
    assert [(a.name, a.value_num) for a in second.annotations] == [("quality", 0.75)]
