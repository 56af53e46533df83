"""One span per dialect: what it says in our words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.dialects import DIALECTS, read
from otel_traj.dialects.messages import decode
from otel_traj.model import SpanEvent
from tests.assembly.spans import at, log, span


def facts_of(name: str = "x", scope: str | None = None, **attributes: Any) -> Any:
    return read(span(name, 0, 1, attributes=attributes["attributes"], scope_name=scope))


TOOLS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "otel": ("execute_tool look", None, {semconv.OPERATION: "execute_tool", semconv.TOOL_NAME: "look", semconv.TOOL_CALL_ARGUMENTS: '{"id":1}', semconv.TOOL_CALL_RESULT: "found"}),
    "openinference": ("look", None, {"openinference.span.kind": "TOOL", "tool.name": "look", "input.value": '{"id":1}', "output.value": "found"}),
    "traceloop": ("look.tool", None, {"traceloop.span.kind": "tool", "traceloop.entity.name": "look", "traceloop.entity.input": '{"args": [], "kwargs": {"id": 1}}', "traceloop.entity.output": '"found"'}),
    "traceloop, langchain": ("execute_tool look", None, {"traceloop.span.kind": "tool", semconv.TOOL_NAME: "look", semconv.TOOL_CALL_ARGUMENTS: '{"input_str": "{\'id\': 1}", "tags": []}', semconv.TOOL_CALL_RESULT: json.dumps({"output": {"lc": 1, "type": "constructor", "id": ["ToolMessage"], "kwargs": {"content": "found", "tool_call_id": "c1"}}, "kwargs": {}})}),
    "langsmith": ("look", "langsmith", {"langsmith.span.kind": "tool", "gen_ai.prompt": '{"id":1}', "gen_ai.completion": '{"output": "found"}'}),
    "vercel-ai": ("ai.toolCall", "ai", {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "look", "ai.toolCall.args": '{"id":1}', "ai.toolCall.result": '"found"'}),
    "mlflow": ("look", None, {"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": '{"id": 1}', "mlflow.spanOutputs": '"found"'}),
    "pydantic-ai": ("running tool", "pydantic-ai", {semconv.TOOL_NAME: "look", "tool_arguments": '{"id": 1}', "tool_response": "found"}),
    "logfire": ("Function: {name}", "logfire.openai_agents", {"name": "look", "input": '{"id": 1}', "output": "found"}),
    "google-adk": ("execute_tool look", "gcp.vertex.agent", {"gcp.vertex.agent.tool_call_args": '{"id": 1}', "gcp.vertex.agent.tool_response": '{"name": "look", "response": "found"}'}),
    "smolagents": ("SimpleTool", None, {"openinference.span.kind": "TOOL", "tool.name": "look", "input.value": '{"args": [], "sanitize_inputs_outputs": true, "kwargs": {"id": 1}}', "output.value": "found"}),
    "anthropic-sdk": ("anthropic.custom_tool_use look", "com.anthropic.sdk.python", {semconv.OPERATION: "execute_tool", semconv.TOOL_NAME: "look", semconv.TOOL_CALL_ARGUMENTS: '{"id":1}', "anthropic.tool_result.content": '[{"type":"text","text":"found"}]'}),
}  # fmt: skip


@pytest.mark.parametrize("dialect", TOOLS)
def test_a_tool_reads_the_same_in_every_dialect(dialect: str) -> None:
    name, scope, attributes = TOOLS[dialect]

    facts = facts_of(name, scope, attributes=attributes)

    assert (facts.kind, facts.tool_name, facts.arguments, facts.result) == (
        "tool",
        "look",
        {"id": 1},
        "found",
    )


CHATS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "otel": ("chat m", None, {semconv.OPERATION: "chat", semconv.REQUEST_MODEL: "m", semconv.INPUT_TOKENS: 3, semconv.OUTPUT_TOKENS: 2, semconv.OUTPUT_MESSAGES: '[{"role":"assistant","parts":[{"type":"text","content":"hi"}]}]'}),
    "openinference": ("ChatCompletion", None, {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"model": "m"}', "llm.token_count.prompt": 3, "llm.token_count.completion": 2, "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "hi"}),
    "traceloop 0.4x": ("openai.chat", None, {"llm.request.type": "chat", semconv.REQUEST_MODEL: "m", "gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 2, "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "hi"}),
    "vercel-ai": ("ai.generateText.doGenerate", "ai", {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "m", "ai.usage.promptTokens": 3, "ai.usage.completionTokens": 2, "ai.response.text": "hi"}),
    "mlflow": ("Completions", None, {"mlflow.spanType": '"CHAT_MODEL"', "model": '"m"', "mlflow.chat.tokenUsage": '{"input_tokens": 3, "output_tokens": 2}', "mlflow.spanOutputs": '{"choices": [{"message": {"role": "assistant", "content": "hi"}}]}'}),
    "langsmith": ("ChatOpenAI", "langsmith", {"langsmith.span.kind": "llm", semconv.REQUEST_MODEL: "m", semconv.INPUT_TOKENS: 3, semconv.OUTPUT_TOKENS: 2, "gen_ai.completion": '{"generations": [[{"message": {"kwargs": {"content": "hi"}, "type": "constructor", "id": ["AIMessage"]}}]]}'}),
    "unlisted, actions": ("m", "new.library", {"x:type": "action", "x:metadata:subtype": "model", "x:input": '{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}', "x:output": '{"message":{"role":"model","content":[{"text":"hi"}]},"finishReason":"stop","usage":{"inputTokens":3.0,"outputTokens":2.0}}'}),
    "unlisted, observations": ("call", "new.library", {"x.observation.type": "generation", "x.observation.model.name": "m", "x.observation.usage_details": '{"input": 3, "output": 2, "total": 5}', "x.observation.cost_details": '{"input": 0.3}', "x.observation.output": '{"role":"assistant","content":"hi"}'}),
    "unlisted": ("whatever", "new.library", {semconv.REQUEST_MODEL: "m", semconv.INPUT_TOKENS: 3, semconv.OUTPUT_TOKENS: 2, semconv.OUTPUT_MESSAGES: '[{"role":"assistant","content":"hi"}]'}),
}  # fmt: skip


@pytest.mark.parametrize("dialect", CHATS)
def test_a_model_call_reads_the_same_in_every_dialect(dialect: str) -> None:
    name, scope, attributes = CHATS[dialect]

    facts = facts_of(name, scope, attributes=attributes)

    assert (facts.kind, facts.model, facts.input_tokens, facts.output_tokens) == ("llm", "m", 3, 2)
    assert [message.text for message in facts.output] == ["hi"]


BLOCKS = {
    "Gemini": ({"functionCall": {"id": "c", "name": "look", "args": {"id": 1}}}, {"functionResponse": {"id": "c", "name": "look", "response": {"n": 2}}}),
    "Bedrock": ({"toolUse": {"toolUseId": "c", "name": "look", "input": {"id": 1}}}, {"toolResult": {"toolUseId": "c", "content": {"n": 2}}}),
    "Genkit": ({"toolRequest": {"ref": "c", "name": "look", "input": {"id": 1}}}, {"toolResponse": {"ref": "c", "name": "look", "output": {"n": 2}}}),
}  # fmt: skip


@pytest.mark.parametrize("provider", BLOCKS)
def test_blocks_named_by_their_one_key_are_calls_and_answers(provider: str) -> None:
    asked, answered = BLOCKS[provider]

    [model, tool] = decode(
        [{"role": "model", "content": [asked]}, {"role": "tool", "content": [answered]}]
    )

    [call], [answer] = model.tool_calls, tool.tool_results
    assert (call.id, call.name, call.value) == ("c", "look", {"id": 1})
    assert (answer.id, answer.value) == ("c", {"n": 2})


def test_input_that_excludes_cached_tokens_is_completed() -> None:
    facts = facts_of(
        "claude_code.llm_request",
        "com.anthropic.claude_code.tracing",
        attributes={
            "span.type": "llm_request",
            "input_tokens": 72,
            "output_tokens": 30,
            "cache_read_tokens": 128,
            "cache_creation_tokens": 10,
        },
    )

    assert (facts.input_tokens, facts.cache_read_tokens, facts.cache_write_tokens) == (210, 128, 10)


def test_a_tool_that_was_taken_for_an_agent_is_a_tool() -> None:
    attributes = {"openinference.span.kind": "AGENT", "tool.name": "transfer_to_refund_agent"}

    assert facts_of("transfer_to_refund_agent", attributes=attributes).kind == "tool"


def test_per_message_events_in_any_order_of_arrival() -> None:
    chat = span("chat m", 0, 10, attributes={semconv.OPERATION: "chat", "gen_ai.system": "openai"})
    logs = [
        log("gen_ai.choice", "chat m", 9, {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}),
        log("gen_ai.user.message", "chat m", 2, {"content": "hello"}),
        log("gen_ai.system.message", "chat m", 1, {"content": "be kind"}),
    ]  # fmt: skip

    facts = read(chat, logs)

    assert [(m.role, m.text) for m in facts.input or ()] == [
        ("system", "be kind"),
        ("user", "hello"),
    ]
    assert [(m.role, m.text) for m in facts.output or ()] == [("assistant", "hi")]
    assert facts.finish_reason == "stop"


def test_events_on_the_span_as_the_first_conventions_had_them() -> None:
    events = (
        SpanEvent(at(1), "gen_ai.content.prompt", {"gen_ai.prompt": '[{"role":"user","content":"q"}]'}),
        SpanEvent(at(2), "gen_ai.content.completion", {"gen_ai.completion": '[{"role":"assistant","content":"a"}]'}),
    )  # fmt: skip
    chat = span("chat m", 0, 10, attributes={semconv.OPERATION: "chat"}, events=events)

    facts = read(chat)

    assert [m.text for m in (*(facts.input or ()), *(facts.output or ()))] == ["q", "a"]


def test_details_that_only_the_event_has() -> None:
    chat = span("chat m", 0, 10, attributes={semconv.OPERATION: "chat"})
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}]
    details = log(semconv.EVENT_INFERENCE_DETAILS, "chat m", 9, **{semconv.OUTPUT_MESSAGES: said})

    assert [m.text for m in read(chat, [details]).output or ()] == ["hi"]


def test_generic_keys_are_not_borrowed_from_other_dialects() -> None:
    """`name`, `model` and `input` mean something else on everybody else's spans."""
    facts = facts_of("GET /", attributes={"name": "a", "model": "b", "agent_name": "c", "usage": 1})

    assert (facts.kind, facts.agent_name, facts.model) == ("wrapper", None, None)


def test_names_of_dialects_are_unique() -> None:
    names = [dialect.name for dialect in DIALECTS]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "event",
    [
        "First Token Stream Event",
        "new_token",
        "ai.stream.firstChunk",
        "gen_ai.content.completion.chunk",
        "mlflow.chunk.item.0",
    ],
)
def test_the_first_chunk_of_a_stream_tells_how_long_it_took(event: str) -> None:
    chunks = (SpanEvent(at(7), event), SpanEvent(at(3), event))

    facts = read(span("chat m", 0, 10, attributes={semconv.OPERATION: "chat"}, events=chunks))

    assert (facts.ttft_us, facts.stream) == (3000, True)


SINGLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "LangSmith: token details are reprs": ({"langsmith.span.kind": "llm", "gen_ai.usage.input_token_details": "{'cache_read': 64}", "gen_ai.usage.output_token_details": "{'reasoning': 16}"}, {"cache_read_tokens": 64, "reasoning_tokens": 16}),
    "LangSmith: conversation": ({"langsmith.span.kind": "chain", "langsmith.metadata.conversation_id": "c"}, {"conversation_id": "c"}),
    "LangSmith: the agent of a node": ({"langsmith.span.kind": "llm", "langsmith.metadata.lc_agent_name": "a"}, {"acting_agent": "a"}),
    "OpenInference: the agent of a node": ({"openinference.span.kind": "LLM", "metadata": '{"lc_agent_name": "a", "thread_id": "t"}'}, {"acting_agent": "a", "conversation_id": "t"}),
    "OpenInference: models": ({"openinference.span.kind": "LLM", "llm.request.model_name": "m", "llm.model_name": "m-1", "llm.cost.total": 0.5}, {"model": "m", "response_model": "m-1", "cost_usd": 0.5}),
    "OpenInference: tokens": ({"openinference.span.kind": "LLM", "llm.token_count.prompt_details.cache_write": 1, "llm.token_count.completion_details.reasoning": 2}, {"cache_write_tokens": 1, "reasoning_tokens": 2}),
    "Traceloop: association": ({"traceloop.span.kind": "task", "traceloop.association.properties.session_id": "s", "traceloop.association.properties.user_id": "u", "traceloop.workflow.name": "w"}, {"session_id": "s", "user_id": "u", "workflow_name": "w"}),
    "Traceloop: tokens": ({"llm.request.type": "chat", "gen_ai.usage.reasoning_tokens": 3, "gen_ai.usage.cache_read_input_tokens": 4}, {"reasoning_tokens": 3, "cache_read_tokens": 4}),
    "Vercel: context": ({"ai.operationId": "ai.generateText", "ai.settings.context.sessionId": "s", "ai.telemetry.functionId": "a"}, {"kind": "agent", "session_id": "s", "agent_name": "a"}),
    "Vercel: time to the first chunk": ({"ai.operationId": "ai.streamText.doStream", "ai.response.msToFirstChunk": 12.5}, {"ttft_us": 12500}),
    "Vercel: finish": ({"ai.operationId": "ai.generateText.doGenerate", "ai.response.finishReason": "tool-calls", "ai.usage.cachedInputTokens": 1}, {"finish_reason": "tool-calls", "cache_read_tokens": 1}),
    "MLflow: usage": ({"mlflow.spanType": '"CHAT_MODEL"', "mlflow.chat.tokenUsage": '{"input_tokens": 3, "output_tokens": 2}', "mlflow.llm.cost": '{"total_cost": 0.5}'}, {"input_tokens": 3, "cost_usd": 0.5}),
    "OTel: older usage": ({semconv.OPERATION: "chat", "gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 2}, {"input_tokens": 3, "output_tokens": 2}),
    "OTel: cache writes by both names": ({semconv.OPERATION: "chat", "gen_ai.usage.cache_creation.input_tokens": 3}, {"cache_write_tokens": 3}),
    "OTel: memory": ({semconv.OPERATION: "search_memory", "gen_ai.memory.query.text": "q", "gen_ai.memory.records": '[{"id": 1}]'}, {"kind": "memory", "query": "q", "documents": [{"id": 1}]}),
    "OTel: a response fetched again is no call": ({semconv.OPERATION: "fetch_response", semconv.RESPONSE_ID: "r"}, {"kind": "wrapper"}),
    "OTel: a transfer's target": ({semconv.OPERATION: "execute_tool", semconv.TOOL_NAME: "t", semconv.TRANSFER_TARGET: "a"}, {"handoff_to": "a"}),
    "Claude Code: an agent as a tool": ({"span.type": "tool", "tool_name": "Agent", "subagent_type": "a"}, {"tool_name": "Agent", "handoff_to": "a"}),
    "Claude Code: a command": ({"span.type": "tool", "tool_name": "Bash", "full_command": "ls"}, {"arguments": "ls"}),
    "agent framework: finish reasons are JSON": ({semconv.OPERATION: "chat", semconv.FINISH_REASONS: '["stop"]', "executor.id": "e"}, {"finish_reason": "stop"}),
}  # fmt: skip


@pytest.mark.parametrize("case", SINGLE)
def test_a_key_tells_its_fact(case: str) -> None:
    attributes, expected = SINGLE[case]

    facts = facts_of(attributes=attributes)

    assert expected == {name: getattr(facts, name) for name in expected}


def test_a_retry_of_pydantic_ai_says_why() -> None:
    attributes = {semconv.OPERATION: "execute_tool", semconv.TOOL_NAME: "t", "pydantic_ai.tool.retry.cause": "bad id"}  # fmt: skip
    failed = span("execute_tool t", 0, 1, attributes=attributes, scope_name="pydantic-ai", status="ERROR")  # fmt: skip

    assert read(failed).error_message == "bad id"


def test_a_message_list_may_be_structured_as_well_as_json() -> None:
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}]
    told = [facts_of(attributes={semconv.OPERATION: "chat", semconv.OUTPUT_MESSAGES: value}) for value in (said, json.dumps(said), json.dumps(json.dumps(said)))]  # fmt: skip

    assert told[0].output == told[1].output == told[2].output


def test_an_answer_of_the_responses_api_repeats_what_it_was_asked_with() -> None:
    tools = [{"type": "function", "name": "look"}]
    said = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "hi"}],
    }
    answer = {"id": "r", "model": "m", "instructions": "Be kind.", "tools": tools, "output": [said]}

    facts = facts_of(
        attributes={"openinference.span.kind": "LLM", "output.value": json.dumps(answer)}
    )

    assert (facts.tool_definitions, facts.system) == (tools, "Be kind.")
