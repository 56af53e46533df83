"""The canonical request of what can be replayed whole is one that the provider's SDK would send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from otel_traj.dialects.canonical import canonical_request
from otel_traj.dialects.messages import dumps
from tests import corpus
from tests.assembly.test_requests import model_calls

pydantic = pytest.importorskip("pydantic")

RUNS = corpus.runs(corpus.WHOLE) or corpus.runs(corpus.SHIPPED)

# Parameters that go by the same name in chat completions.
SAME_PARAMS = ("model", "temperature", "top_p", "max_tokens", "seed", "stop")


def grade_a(run: Path) -> list[dict[str, Any]]:
    """Canonical requests of the steps that tell all, calls and answers numbered alike."""
    return [
        canonical_request(facts)
        for _, step, facts in model_calls(*corpus.records(run))
        if step.grade == "A" and facts.previous_response_id is None
    ]


def checked(params: Any, body: Mapping[str, Any]) -> None:
    """Validate a body against the SDK's own request type, lazy iterables included."""
    adapter = pydantic.TypeAdapter(params)  # lazy iterables still need it when they are read
    exhaust(adapter.validate_python(body))


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
