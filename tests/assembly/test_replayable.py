"""The canonical request of what can be replayed whole is one that the provider's SDK would send.

And it is the one that the model was sent, as far as those who wrote the runs down tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from otel_traj.assembly.requests import rebuild
from otel_traj.dialects import Facts
from otel_traj.dialects.canonical import canonical_request
from otel_traj.dialects.messages import Messages, dumps
from otel_traj.model import Step
from tests import corpus
from tests.assembly.test_requests import model_calls

pydantic = pytest.importorskip("pydantic")

RUNS = corpus.runs(corpus.WHOLE) or corpus.runs(corpus.SHIPPED)

# Parameters that go by the same name in chat completions.
SAME_PARAMS = ("model", "temperature", "top_p", "max_tokens", "seed", "stop")


@cache
def calls_of(run: Path) -> list[Any]:
    """(steps, step, what its spans tell) of each model call of a run."""
    return list(model_calls(*corpus.records(run)))


def grade_a(run: Path) -> list[dict[str, Any]]:
    """Canonical requests of the steps that tell all, calls and answers numbered alike."""
    return [
        canonical_request(facts)
        for _, step, facts in calls_of(run)
        if step.grade == "A" and facts.previous_response_id is None
    ]


def checked(params: Any, body: Mapping[str, Any]) -> None:
    """Validate a body against the SDK's own request type, lazy iterables included."""
    exhaust(adapter_of(params).validate_python(body))


@cache
def adapter_of(params: Any) -> Any:
    """Kept, as lazy iterables still need it when they are read."""
    return pydantic.TypeAdapter(params)


def exhaust(value: Any) -> None:
    if isinstance(value, Mapping):
        for item in value.values():
            exhaust(item)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for item in value:
            exhaust(item)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_openai_takes_the_canonical_request(run: Path) -> None:
    types = pytest.importorskip("openai.types.chat.completion_create_params")
    for request in grade_a(run):
        checked(types.CompletionCreateParamsNonStreaming, openai_body(request))


def openai_body(request: Mapping[str, Any]) -> dict[str, Any]:
    """A canonical request as a chat completion."""
    system = [{"role": "system", "content": request["system"]}] if "system" in request else []
    numbers = iter(range(len(request["messages"])))
    params = {k: v for k, v in request.get("params", {}).items() if k in SAME_PARAMS}
    tools = [{"type": "function", "function": tool} for tool in request.get("tools", ())]
    messages = [openai_message(piece, numbers) for piece in request["messages"]]
    return {"model": "m", **params, "messages": [*system, *messages], "tools": tools}


def openai_message(piece: Mapping[str, Any], numbers: Iterable[int]) -> dict[str, Any]:
    match piece["type"]:
        case "tool_call":
            arguments = dumps(piece.get("arguments", {}))
            call = {"name": piece["name"], "arguments": arguments}
            number = next(iter(numbers))
            calls = [{"id": f"call_{number}", "type": "function", "function": call}]
            return {"role": "assistant", "tool_calls": calls}
        case "tool_result":
            content = piece.get("content", "")
            content = content if isinstance(content, str) else dumps(content)
            return {"role": "tool", "tool_call_id": f"call_{piece['ref']}", "content": content}
        case "text" | "reasoning":
            return {"role": piece["role"], "content": piece["text"]}
        case other:
            raise AssertionError(f"a part that no provider takes: {other}")


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_anthropic_takes_the_canonical_request(run: Path) -> None:
    types = pytest.importorskip("anthropic.types.message_create_params")
    for request in grade_a(run):
        checked(types.MessageCreateParamsNonStreaming, anthropic_body(request))


def anthropic_body(request: Mapping[str, Any]) -> dict[str, Any]:
    """A canonical request as a message of Anthropic's."""
    numbers = iter(range(len(request["messages"])))
    tools = [
        {"name": tool["name"], "input_schema": {"type": "object", **tool.get("parameters", {})}}
        for tool in request.get("tools", ())
    ]
    messages = [anthropic_message(piece, numbers) for piece in request["messages"]]
    body = {"model": "m", "max_tokens": 1024, "messages": messages, "tools": tools}
    return body | ({"system": request["system"]} if "system" in request else {})


def anthropic_message(piece: Mapping[str, Any], numbers: Iterable[int]) -> dict[str, Any]:
    match piece["type"]:
        case "tool_call":
            block = {"type": "tool_use", "id": f"call_{next(iter(numbers))}", "name": piece["name"]}
            return {
                "role": "assistant",
                "content": [block | {"input": piece.get("arguments", {})}],
            }
        case "tool_result":
            content = piece.get("content", "")
            content = content if isinstance(content, str) else dumps(content)
            block = {"type": "tool_result", "tool_use_id": f"call_{piece['ref']}"}
            return {"role": "user", "content": [block | {"content": content}]}
        case _:
            role = "assistant" if piece["role"] == "assistant" else "user"
            return {"role": role, "content": piece["text"]}


# --- what the model saw ------------------------------------------------------------------------

SEVERAL_CONVERSATIONS = ("__multi-turn", "__multiturn", "__evals", "__parallel")
"""Runs in which not every tool that ran before a call is part of its history."""


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_request_of_grade_a_is_what_the_model_saw(run: Path) -> None:
    truth = corpus.truth(run)

    for steps, step, facts in calls_of(run):
        place = place_of(step, truth["steps"]) if step.grade == "A" else None
        request = rebuild(steps, step.step)
        if place is None or request is None:
            continue
        happened, call = truth["steps"][:place], truth["steps"][place]
        assert called(facts) & {call.get("request_model"), call.get("response_model"), None}
        if not run.name.endswith(SEVERAL_CONVERSATIONS):
            assert unanswered(request, happened, call["agent"]) == []
        if call["agent"] == truth["agents"][0]:
            assert words(truth["user_input"]) in words(texts_of_users(request))


def place_of(step: Step, happened: list[dict[str, Any]]) -> int | None:
    """The place of a model call in what happened: by response id, else by its tokens."""
    tokens = step.input_tokens, step.output_tokens
    for place, call in enumerate(happened):
        is_it = call["kind"] == "llm" and step.response_id in (call.get("response_id"), None)
        if is_it and tokens == (call.get("input_tokens"), call.get("output_tokens")):
            return place
    return None


def called(facts: Facts) -> set[str | None]:
    """The model by the names that spans give it: some tell only which one answered."""
    return {facts.model, facts.response_model}


def unanswered(request: Messages, happened: list[dict[str, Any]], agent: str) -> list[str]:
    """Tools of an agent that ran before, whose answers its request does not hold."""
    answers = [words(part.value) for message in request for part in message.answers]
    return [
        tool["name"]
        for tool in happened
        if tool["kind"] == "tool" and tool["agent"] == agent and "model_saw" in tool
        if not any(words(core_of(tool)) in answer for answer in answers)
    ]


def core_of(tool: Mapping[str, Any]) -> Any:
    """What every framework shows a model of a tool, however it words a failure round it."""
    message = tool.get("error", {}).get("message")
    return message if message and message in str(tool["model_saw"]) else tool["model_saw"]


def texts_of_users(request: Messages) -> str:
    return " ".join(message.text or "" for message in request if message.role == "user")


def words(value: Any) -> str:
    """Letters and digits, so that escaping and nesting do not matter."""
    told = value if isinstance(value, str) else dumps(value)
    return "".join(letter for letter in told if letter.isalnum())
