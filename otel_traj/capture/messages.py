"""What callers say to a model and it to them, as the GenAI conventions write messages (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from otel_traj.capture.values import as_json, as_text


def input_messages(given: Any) -> str:
    """A request as `gen_ai.input.messages`.

    Args:
        given: A text (one user message), or a list of messages as OpenAI or the conventions write
            them; anything else counts as a text.
    """
    messages = given if isinstance(given, list | tuple) else [{"role": "user", "content": given}]
    return as_json([_message(message) for message in messages])


def output_message(given: Mapping[str, Any]) -> str:
    """An answer as `gen_ai.output.messages`; `given` may have text, reasoning and tool_calls."""
    parts: list[Any] = []
    if reasoning := given.get("reasoning"):
        parts.append({"type": "reasoning", "content": reasoning})
    if (text := given.get("text")) is not None:
        parts.append({"type": "text", "content": text})
    parts += [_tool_call(call) for call in given.get("tool_calls") or ()]
    return as_json([{"role": "assistant", "parts": parts}])


def _message(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return {"role": "user", "parts": [_text(given)]}
    if "parts" in given:
        return given
    role, content = given.get("role", "user"), given.get("content")
    parts: list[Any] = []
    if "tool_call_id" in given:
        answered = {"id": given["tool_call_id"], "response": content}
        return {"role": role, "parts": [{"type": "tool_call_response", **answered}]}
    if isinstance(content, list | tuple):
        parts += [_part(part) for part in content]
    elif content is not None:
        parts.append(_text(content))
    parts += [_tool_call(call) for call in given.get("tool_calls") or ()]
    return {"role": role, "parts": parts}


def _part(given: Any) -> Any:
    """OpenAI's text parts in the conventions' form; any other part as it is."""
    if isinstance(given, Mapping) and "text" in given:
        return _text(given["text"])
    return given if isinstance(given, Mapping) else _text(given)


def _text(content: Any) -> dict[str, Any]:
    return {"type": "text", "content": as_text(content)}


def _tool_call(given: Mapping[str, Any]) -> dict[str, Any]:
    function = given.get("function") or given
    call = {"type": "tool_call", "id": given.get("id"), "name": function.get("name")}
    return {**call, "arguments": _arguments(function.get("arguments"))}


def _arguments(given: Any) -> Any:
    """An object also where it came as JSON text, as model APIs give it."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given
