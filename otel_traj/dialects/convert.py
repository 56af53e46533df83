"""How the value of an attribute becomes a fact: by what the fact is, not by who wrote it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from otel_traj.dialects.messages import Messages, as_text, decode, is_block, loads, system_text
from otel_traj.dialects.reprs import from_repr


def text(value: Any) -> str | None:
    """A name or id; quoted JSON scalars lose their quotes, "null" is nothing."""
    value = loads(value)
    if isinstance(value, str):
        return value if value.strip() and value != "null" else None
    if isinstance(value, bool) or value is None:
        return None
    return str(value) if isinstance(value, int | float) else None


def count(value: Any) -> int | None:
    """A number of tokens."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.isdigit() else None


def amount(value: Any) -> float | None:
    """A cost or score."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def flag(value: Any) -> bool | None:
    """True or false."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def texts(value: Any) -> tuple[str, ...]:
    """A list of names; a single one is a list of one."""
    value = loads(value)
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(name for item in items if (name := text(item)) is not None)


def first_word(value: Any) -> str | None:
    """The first of several finish reasons; a list may come as JSON text."""
    value = loads(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None
    return text(value)


def microseconds(value: Any) -> int | None:
    """A duration told in seconds."""
    number = amount(value)
    return None if number is None else round(number * 1e6)


def input_messages(value: Any) -> Messages | None:
    """Messages that a model was given."""
    return decode(value, "user") or None


def output_messages(value: Any) -> Messages | None:
    """Messages that a model gave."""
    return decode(value, "assistant") or None


def structured(value: Any) -> Any:
    """A list or object, possibly written as JSON text."""
    value = loads(value)
    return None if value in ("", [], (), {}) else value


def arguments(value: Any) -> Any:
    """What a tool was called with, out of the wrappers that instrumentors put round it.

    An empty object stays: "no arguments" is told, None is "not told".
    """
    value = loads(value)
    if not isinstance(value, Mapping):
        return value
    if "input_str" in value:
        inner = loads(value.get("inputs"))
        return inner if isinstance(inner, Mapping) else literal(value["input_str"])
    if {"args", "kwargs"} <= value.keys():
        return _bound(value["args"], value["kwargs"])
    if set(value) == {"tool_name", "arguments"}:
        return loads(value["arguments"])
    return value


def _bound(positional: Any, named: Any) -> Any:
    positional, named = loads(positional), loads(named)
    if not positional:
        return named
    if not named and isinstance(positional, list) and len(positional) == 1:
        return positional[0]
    return {"args": positional, "kwargs": named}


def literal(value: Any) -> Any:
    """A Python repr as its value; anything else as it is."""
    found = from_repr(value)
    return loads(value) if found is None else found


def result(value: Any) -> Any:
    """What a tool gave, out of dumped messages and wrappers; a text stays the text it was."""
    inner = loads(value)
    if isinstance(inner, str):
        return _repr_content(inner)
    if isinstance(inner, list):
        return _out_of_list(inner, value)
    if not isinstance(inner, Mapping):
        return value
    answers = _answers(inner)
    if answers:
        return answers[-1][1]
    for wrapper in ("output", "result"):
        if wrapper in inner and _is_wrapper(inner, wrapper):
            return result(inner[wrapper])
    if {"name", "response"} <= inner.keys() <= {"id", "name", "response", "scheduling"}:
        return result(inner["response"])  # Gemini's answer to a function call
    blocks = inner.get("content")
    if isinstance(blocks, list) and set(inner) <= _MCP_RESULT:
        return _text_of_blocks(blocks, value)
    return value


def _out_of_list(items: list[Any], otherwise: Any) -> Any:
    """The text of content blocks, or the answer in messages; another list is the tool's own."""
    if items and all(map(is_block, items)):
        return _text_of_blocks(items, otherwise)
    if len(items) == 1 and isinstance(items[0], Mapping) and items[0].keys() == {"text"}:
        return items[0]["text"]  # Bedrock's blocks have no type
    answers = _answers_in(items)
    return answers[-1][1] if answers else otherwise


def _text_of_blocks(blocks: list[Any], otherwise: Any) -> Any:
    """The text of content blocks; blocks of other kinds leave the value as it was."""
    texts = [message.text for message in decode(blocks, "tool") if message.text]
    return "\n".join(texts) if texts else otherwise


def call_id_of_result(value: Any) -> str | None:
    """The tool call id that a dumped tool message or its wrapper names."""
    inner = loads(value)
    if not isinstance(inner, Mapping):
        found = re.search(r"tool_call_id='([^']+)'", inner) if isinstance(inner, str) else None
        return found[1] if found else None
    answers = _answers(inner)
    if answers and answers[-1][0]:
        return answers[-1][0]
    beside = inner.get("kwargs")
    return text(beside.get("tool_call_id")) if isinstance(beside, Mapping) else None


def goto_of_result(value: Any) -> str | None:
    """The node that a dumped LangGraph `Command` goes to."""
    inner = loads(value)
    if isinstance(inner, Mapping) and isinstance(inner.get("output"), Mapping | str):
        inner = loads(inner["output"])
    if isinstance(inner, Mapping) and {"graph", "update", "goto"} & inner.keys():
        target = inner.get("goto")
        target = target[0] if isinstance(target, list) and target else target
        return target if isinstance(target, str) and target else None
    if isinstance(inner, str) and "Command(" in inner[:40]:
        found = re.search(r"goto=\(?\[?'([^']+)'", inner)
        return found[1] if found else None
    return None


_MCP_RESULT: Final = {"content", "isError", "is_error", "structuredContent", "_meta", "meta"}
_BESIDE_OUTPUT: Final = {"output", "result", "kwargs", "is_error", "isError", "tags", "metadata"}


def _is_wrapper(value: Mapping[str, Any], wrapper: str) -> bool:
    """Whether nothing but the wrapper's own keys stands beside the answer."""
    return set(value) <= _BESIDE_OUTPUT and (wrapper == "output" or len(value) > 1)


def _answers(value: Mapping[str, Any]) -> list[tuple[str | None, Any]]:
    """(call id, content) of each dumped tool message: the value itself, or in a graph's update."""
    dumped = value.get("type") in ("constructor", "tool") or isinstance(
        value.get("update"), Mapping
    )
    if not dumped and isinstance(value.get("output"), Mapping):
        return _answers(value["output"])
    if not dumped:
        return []
    return _answers_in(value)


def _answers_in(messages: Any) -> list[tuple[str | None, Any]]:
    return [
        (part.id, part.value)
        for message in decode(messages, "tool")
        for part in message.tool_results
    ]


_REPR: Final = re.compile(
    r"""^content=(?P<quote>['"])(?P<text>.*?)(?P=quote)(?: [a-z_]+=|$)""", re.S
)


def _repr_content(value: str) -> str:
    """The content of a tool message that was printed: `content='…' name='…' tool_call_id='…'`."""
    found = _REPR.match(value)
    if not found:
        return value
    quoted = found["quote"] + found["text"] + found["quote"]
    try:
        return str(ast.literal_eval(quoted))
    except (ValueError, SyntaxError):
        return found["text"]


_REDACTED: Final = re.compile(r"[<\[(*_]*redacted[>\])*_]*", re.I)


def content(value: Any) -> str | None:
    """A text that somebody wrote; a placeholder for one is none."""
    found = as_text(value)
    return None if found is None or _REDACTED.fullmatch(found.strip()) else found


def said(value: Any) -> Any:
    """What a wrapper was given or gave back; a placeholder for it is nothing."""
    return content(value) if isinstance(value, str) else whole(value)


def whole(value: Any) -> Any:
    """Whatever it is."""
    return None if value == "" else value


def system(value: Any) -> str | None:
    """System instructions as one text."""
    return system_text(loads(value))


def documents(value: Any) -> Any:
    """Retrieved documents, flattened ones as plain objects."""
    value = loads(value)
    if isinstance(value, list):
        return [
            item["document"] if isinstance(item, Mapping) and set(item) == {"document"} else item
            for item in value
        ] or None
    return value or None


CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "finish_reason": first_word,
    "stream": flag,
    "ttft_us": microseconds,
    "cost_usd": amount,
    "input": input_messages,
    "output": output_messages,
    "output_text": content,
    "output_reasoning": content,
    "output_calls": structured,
    "system": system,
    "tool_definitions": structured,
    "temperature": amount,
    "top_p": amount,
    "max_tokens": count,
    "seed": count,
    "stop": structured,
    "response_format": structured,
    "tool_choice": structured,
    "arguments": arguments,
    "result": whole,
    "query": whole,
    "documents": documents,
    "said_input": said,
    "said_output": said,
    **dict.fromkeys(
        (
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "reasoning_tokens",
        ),
        count,
    ),
}
"""Fact -> converter; every other fact is a `text`."""


__all__ = [
    "CONVERTERS",
    "arguments",
    "as_text",
    "call_id_of_result",
    "goto_of_result",
    "literal",
    "result",
    "text",
]
