"""Chat messages, as OpenAI's API and those that copied it write them -> messages.

Nothing is guessed: a text is a text, also where it looks like something else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from otel_traj.dialects.messages import Message, Part, as_text, is_block


def chat_message(given: Mapping[str, Any]) -> Message:
    """A message with role and content, tool calls, or the call that it answers."""
    role, content = str(given.get("role") or "user"), given.get("content")
    if role == "tool":
        return Message(role, (Part("tool_result", id=given.get("tool_call_id"), value=content),))
    return Message(
        role, answer_parts(content, given.get("reasoning_content"), given.get("tool_calls") or ())
    )


def answer_parts(
    content: Any, reasoning: str | None, tool_calls: Sequence[Mapping[str, Any]]
) -> tuple[Part, ...]:
    """What somebody thought, said and asked for, in this order."""
    blocks = content if isinstance(content, list) else [content]
    return (
        *([Part("reasoning", text=reasoning)] if reasoning else []),
        *(_part(block) for block in blocks if block is not None),
        *map(_tool_call, tool_calls),
    )


def _part(block: Any) -> Part:
    if isinstance(block, Mapping):
        if isinstance(block.get("text"), str):
            return Part("text", text=block["text"])
        return Part("media" if is_block(block) else "other", value=block)
    return Part("text", text=as_text(block))


def _tool_call(given: Mapping[str, Any]) -> Part:
    function = given.get("function")
    told = function if isinstance(function, Mapping) else given
    value = _arguments(told.get("arguments"))
    return Part("tool_call", id=given.get("id"), name=told.get("name"), value=value)


def _arguments(given: Any) -> Any:
    """An object also where it came as JSON text, as model APIs give it."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given
