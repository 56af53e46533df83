"""Vocabularies that nobody listed: one run, told in words that no table here knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.assembly import assemble
from otel_traj.dialects import read
from otel_traj.dialects.messages import dumps
from otel_traj.model import SpanRecord
from tests.assembly.spans import log, only, span, told

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Vocabulary:
    """How a made-up framework writes an agent, a model call (by number) and a tool call."""

    agent: tuple[str, Attributes]
    call: Callable[[int], tuple[str, Attributes]]
    tool: tuple[str, Attributes]


# What happened: the model asks for a look-up, the tool answers, the model says it.
QUESTION = {"role": "user", "content": "Where is A-1?"}
ASKING = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "id1",
            "type": "function",
            "function": {"name": "lookup", "arguments": '{"id":"A-1"}'},
        }
    ],
}
ANSWERING = {"role": "tool", "tool_call_id": "id1", "content": "shipped"}
DONE = {"role": "assistant", "content": "It has shipped."}
GIVEN = ([QUESTION], [QUESTION, ASKING, ANSWERING])
SAID = (ASKING, DONE)
USAGE = ((10, 5), (20, 4))

ANTHROPIC_ASKING = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "id1", "name": "lookup", "input": {"id": "A-1"}}],
}
ANTHROPIC_ANSWERING = {
    "role": "user",
    "content": [{"type": "tool_result", "tool_use_id": "id1", "content": "shipped"}],
}
ANTHROPIC_GIVEN = ([QUESTION], [QUESTION, ANTHROPIC_ASKING, ANTHROPIC_ANSWERING])
ANTHROPIC_SAID = (ANTHROPIC_ASKING["content"], [{"type": "text", "text": "It has shipped."}])

GEMINI_ASKING = {
    "role": "model",
    "parts": [{"functionCall": {"id": "id1", "name": "lookup", "args": {"id": "A-1"}}}],
}
GEMINI_ANSWERING = {
    "role": "user",
    "parts": [
        {"functionResponse": {"id": "id1", "name": "lookup", "response": {"result": "shipped"}}}
    ],
}
GEMINI_QUESTION = {"role": "user", "parts": [{"text": "Where is A-1?"}]}
GEMINI_GIVEN = ([GEMINI_QUESTION], [GEMINI_QUESTION, GEMINI_ASKING, GEMINI_ANSWERING])
GEMINI_SAID = (GEMINI_ASKING, {"role": "model", "parts": [{"text": "It has shipped."}]})


def flattened(prefix: str, value: Any, index: str = ".{}") -> Attributes:
    """A nested value as index keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    keys: Attributes = {}
    for key, inner in pairs:
        path = prefix + (f".{key}" if isinstance(value, dict) else index.format(key))
        keys |= flattened(path, inner, index) if isinstance(inner, dict | list) else {path: inner}
    return {key: inner for key, inner in keys.items() if inner is not None}


def openai_bodies(n: int) -> tuple[Attributes, Attributes]:
    usage = {"prompt_tokens": USAGE[n][0], "completion_tokens": USAGE[n][1]}
    choice = {"index": 0, "message": SAID[n], "finish_reason": ("tool_calls", "stop")[n]}
    request = {"model": "m-1", "messages": GIVEN[n]}
    return request, {"id": f"r{n}", "model": "m-1", "choices": [choice], "usage": usage}


def anthropic_bodies(n: int) -> tuple[Attributes, Attributes]:
    usage = {"input_tokens": USAGE[n][0], "output_tokens": USAGE[n][1]}
    request = {"model": "m-1", "max_tokens": 9, "messages": ANTHROPIC_GIVEN[n]}
    return request, {
        "id": f"r{n}",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": ANTHROPIC_SAID[n],
        "stop_reason": "end_turn",
        "usage": usage,
    }


def gemini_bodies(n: int) -> tuple[Attributes, Attributes]:
    usage = {"promptTokenCount": USAGE[n][0], "candidatesTokenCount": USAGE[n][1]}
    candidate = {"content": GEMINI_SAID[n], "finishReason": "STOP"}
    return {"model": "m-1", "contents": GEMINI_GIVEN[n]}, {
        "candidates": [candidate],
        "modelVersion": "m-1",
        "responseId": f"r{n}",
        "usageMetadata": usage,
    }


def in_bodies(bodies: Callable[[int], tuple[Attributes, Attributes]]) -> Callable[[int], Any]:
    """A call that only its bodies tell, under keys that say nothing of models."""

    def call(n: int) -> tuple[str, Attributes]:
        request, response = bodies(n)
        return "do_it", {"acme.sent": dumps(request), "acme.got": dumps(response)}

    return call


ARGUMENTS = '{"id": "A-1"}'
VOCABULARIES = {
    "kinds in one attribute": Vocabulary(
        ("support", {"acme.span_type": "AGENT", "acme.agent_name": "support"}),
        lambda n: ("step", {"acme.span_type": "LLM", "acme.model": "m-1", "acme.tokens.input": USAGE[n][0], "acme.tokens.output": USAGE[n][1], "acme.messages": dumps(GIVEN[n]), "acme.completion": dumps(SAID[n])}),
        ("step", {"acme.span_type": "TOOL", "acme.tool_name": "lookup", "acme.args": ARGUMENTS, "acme.result": "shipped"}),
    ),
    "camel case": Vocabulary(
        ("agent", {"agentName": "support"}),
        lambda n: ("chat", {"modelName": "m-1", "inputTokens": USAGE[n][0], "outputTokens": USAGE[n][1], "inputMessages": dumps(GIVEN[n]), "outputMessages": dumps([SAID[n]])}),
        ("tool", {"toolName": "lookup", "toolCallId": "id1", "toolArgs": ARGUMENTS, "toolResult": "shipped"}),
    ),
    "names of spans": Vocabulary(
        ("Agent: support", {"agent_name": "support"}),
        lambda n: ("Generation", {"model": "m-1", "usage": dumps({"input": USAGE[n][0], "output": USAGE[n][1]}), "input": dumps(GIVEN[n]), "output": dumps(SAID[n])}),
        ("tool: lookup", {"input": ARGUMENTS, "output": "shipped"}),
    ),
    "dotted lists": Vocabulary(
        ("run", {"acme.step_type": "agent", "acme.agent.name": "support"}),
        lambda n: ("call", {"acme.step_type": "llm", "acme.llm.model": "m-1", "acme.usage.prompt_tokens": USAGE[n][0], "acme.usage.completion_tokens": USAGE[n][1], **flattened("acme.prompt", GIVEN[n]), **flattened("acme.completion", [SAID[n]])}),
        ("call", {"acme.step_type": "tool", "acme.function.name": "lookup", "acme.arguments": ARGUMENTS, "acme.output": "shipped"}),
    ),
    "lists in brackets": Vocabulary(
        ("run", {"acme.run_type": "agent", "acme.agent.name": "support"}),
        lambda n: ("call", {"acme.run_type": "llm", "acme.model_id": "m-1", "acme.usage": {"prompt_tokens": USAGE[n][0], "completion_tokens": USAGE[n][1]}, **flattened("acme.input", GIVEN[n], "[{}]"), **flattened("acme.output", [SAID[n]], "[{}]")}),
        ("call", {"acme.run_type": "tool", "acme.tool.name": "lookup", "acme.input": ARGUMENTS, "acme.output": '"shipped"'}),
    ),
    "structured values": Vocabulary(
        ("run", {"observation_type": "AGENT", "agent_name": "support"}),
        lambda n: ("call", {"observation_type": "GENERATION", "model": "m-1", "usage": {"input_tokens": USAGE[n][0], "output_tokens": USAGE[n][1]}, "input": {"messages": GIVEN[n]}, "output": SAID[n]}),
        ("call", {"observation_type": "TOOL", "tool_name": "lookup", "input": {"id": "A-1"}, "output": "shipped"}),
    ),
    "JSON in JSON": Vocabulary(
        ("run", {"node.type": "agent", "node.agent_name": "support"}),
        lambda n: ("call", {"node.type": "llm", "node.model": "m-1", "node.token_usage": dumps(dumps({"prompt_tokens": USAGE[n][0], "completion_tokens": USAGE[n][1]})), "node.inputs": dumps({"messages": dumps(GIVEN[n])}), "node.outputs": dumps(dumps(SAID[n]))}),
        ("call", {"node.type": "tool", "node.tool_name": "lookup", "node.inputs": dumps(ARGUMENTS), "node.outputs": dumps("shipped")}),
    ),
    "a kind among other attributes": Vocabulary(
        ("run", {"acme.kind": "agent", "acme.agent_name": "support"}),
        lambda n: ("call", {"acme.kind": "llm_call", "acme.model": "m-1", "acme.prompt_tokens": USAGE[n][0], "acme.completion_tokens": USAGE[n][1], "acme.prompt": dumps(GIVEN[n]), "acme.response": dumps(SAID[n])}),
        ("call", {"acme.kind": "tool_call", "acme.tool_name": "lookup", "acme.tool_input": ARGUMENTS, "acme.tool_output": "shipped"}),
    ),
    "bodies of OpenAI": Vocabulary(
        ("invoke", {"acme.kind": "agent", "acme.agent_name": "support"}),
        in_bodies(openai_bodies),
        ("lookup", {"acme.kind": "tool", "acme.tool_name": "lookup", "acme.input": ARGUMENTS, "acme.output": "shipped"}),
    ),
    "bodies of Anthropic": Vocabulary(
        ("invoke", {"acme.kind": "agent", "acme.agent_name": "support"}),
        in_bodies(anthropic_bodies),
        ("lookup", {"acme.kind": "tool", "acme.tool_name": "lookup", "acme.input": ARGUMENTS, "acme.output": "shipped"}),
    ),
    "bodies of Gemini": Vocabulary(
        ("invoke", {"acme.kind": "agent", "acme.agent_name": "support"}),
        in_bodies(gemini_bodies),
        ("lookup", {"acme.kind": "tool", "acme.tool_name": "lookup", "acme.input": ARGUMENTS, "acme.output": "shipped"}),
    ),
}  # fmt: skip


def told_in(words: Vocabulary) -> list[SpanRecord]:
    agent, tool = words.agent, words.tool
    first, second = words.call(0), words.call(1)
    return [
        span(agent[0], 0, 100, id="agent", attributes=agent[1], scope_name="acme"),
        span(first[0], 1, 10, "agent", id="c1", attributes=first[1], scope_name="acme"),
        span(tool[0], 11, 20, "agent", id="t1", attributes=tool[1], scope_name="acme"),
        span(second[0], 21, 30, "agent", id="c2", attributes=second[1], scope_name="acme"),
    ]


@pytest.mark.parametrize("words", VOCABULARIES)
def test_the_same_run_comes_out_of_every_vocabulary(words: str) -> None:
    run = only(told_in(VOCABULARIES[words])).trajectory

    columns = ("kind", "agent_name", "tool_name", "tool_call_id", "arguments", "result", "output_text", "input_tokens")  # fmt: skip
    assert told(run.steps, *columns) == [
        ("user", "support", None, None, None, None, None, None),
        ("llm", "support", None, None, None, None, None, 10),
        ("tool", "support", "lookup", "id1", '{"id":"A-1"}', "shipped", None, None),
        ("llm", "support", None, None, None, None, "It has shipped.", 20),
    ]
    assert (run.user_input, run.final_answer) == ("Where is A-1?", "It has shipped.")
    assert (run.output_tokens, run.models, run.status) == (9, ("m-1",), "completed")


# --- what is no model call, no tool, no agent ----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("POST /chat", {"http.route": "/chat", "http.request.body.size": 12}),
        ("GET /tools/{id}", {"http.response.status_code": 200, "request": "{}"}),
        ("agent.heartbeat", {"host.name": "a", "agent.version": "1"}),
        ("SELECT completion", {"db.statement": "select 1", "db.response": "[[1]]"}),
        ("cache", {"type": "tool", "kind": "llm"}),
        ("predict", {"model": "resnet", "input.size": 3, "output": "cat"}),
        ("sign in", {"access_token": "x", "session.id": "s", "success": True}),
    ],
)
def test_what_only_sounds_like_an_agent_is_no_run(name: str, attributes: Attributes) -> None:
    assert assemble([span(name, 0, 1, attributes=attributes, kind="SERVER")]) == []


# --- single rules --------------------------------------------------------------------------------


def test_a_generation_that_holds_several_calls_is_the_agent_that_made_them() -> None:
    spans = told_in(VOCABULARIES["kinds in one attribute"])
    attributes = {"acme.span_type": "GENERATION", "acme.functionId": "support", "acme.model": "m-1"}
    spans[0] = span("generate", 0, 100, id="agent", attributes=attributes)

    run = only(spans).trajectory

    assert (run.agents, run.n_llm, run.input_tokens) == (("support",), 2, 30)


def test_the_name_of_a_chain_is_the_agent_where_nothing_else_names_one() -> None:
    spans = told_in(VOCABULARIES["kinds in one attribute"])
    spans[0] = span("support", 0, 100, id="agent", attributes={"acme.run_type": "chain"})

    assert only(spans).trajectory.agents == ("support",)


def test_calls_that_name_their_agent_need_no_agents_span() -> None:
    spans = told_in(VOCABULARIES["kinds in one attribute"])[1:]
    for record in spans:
        assert isinstance(record.attributes, dict)
        record.attributes["acme.metadata.agent_name"] = "support"

    assert only(spans).trajectory.agents == ("support",)


def test_cached_input_that_is_more_than_the_input_was_not_part_of_it() -> None:
    usage = {"acme.model": "m", "acme.output_tokens": 1, "acme.cache_read_tokens": 100}

    apart = read(span("chat", 0, 1, attributes={**usage, "acme.input_tokens": 20}))
    within = read(span("chat", 0, 1, attributes={**usage, "acme.input_tokens": 120}))

    assert (apart.input_tokens, within.input_tokens) == (120, 120)


@pytest.mark.parametrize("flag", [{"acme.is_error": True}, {"acme.success": "false"}])
def test_a_flag_tells_a_failure_that_the_status_does_not(flag: Attributes) -> None:
    attributes = {"acme.tool_name": "lookup", "acme.args": "{}", "acme.error": '{"message":"gone"}'}

    facts = read(span("tool", 0, 1, attributes={**attributes, **flag}))

    assert (facts.kind, facts.failed, facts.error_message) == ("tool", True, "gone")


def test_a_failed_call_is_a_model_call_without_an_answer() -> None:
    attributes = {"acme.model": "m-1", "acme.prompt": dumps(GIVEN[0])}

    run = only([span("generate", 0, 1, attributes=attributes, status="ERROR")]).trajectory

    assert [step.kind for step in run.steps] == ["user", "llm"]
    assert run.status == "error"


def test_logs_join_the_call_whose_id_they_name_and_the_model_call_that_ended_with_them() -> None:
    spans = [
        span("turn", 0, 100, attributes={"acme.span_type": "agent", "acme.agent_name": "support"}),
        span("model", 1, 10, "turn", id="c1", attributes={"acme.span_type": "llm", "model": "m-1", "output_tokens": 5}),
        span("run", 11, 20, "turn", id="t1", attributes={"acme.span_type": "tool", "tool_name": "lookup", "tool_use_id": "id1"}),
    ]  # fmt: skip
    logs = [
        log("acme.tool", "turn", 19, None, tool_use_id="id1", tool_input=ARGUMENTS),
        log("acme.answer", "turn", 11, None, model="m-1", response="It has shipped."),
    ]

    for arrived in (logs, logs[::-1]):
        llm, tool = only(spans, arrived).trajectory.steps
        assert (llm.output_text, tool.arguments) == ("It has shipped.", '{"id":"A-1"}')


def test_a_placeholder_for_content_is_no_content() -> None:
    attributes = {"acme.model": "m", "acme.output_tokens": 1, "acme.output": "__REDACTED__"}

    assert read(span("chat", 0, 1, attributes=attributes)).output is None


def test_words_of_its_own_count_beside_the_conventions_words() -> None:
    told_by_otel = {
        semconv.OPERATION: "chat",
        semconv.INPUT_MESSAGES: dumps(GIVEN[0]),
        semconv.OUTPUT_MESSAGES: dumps([SAID[1]]),
        semconv.OUTPUT_TOKENS: 4,
    }

    facts = read(span("chat m", 0, 1, attributes={**told_by_otel, "acme.response_id": "r1"}))

    assert facts.response_id == "r1"
