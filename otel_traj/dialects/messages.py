"""One decoder for messages, in whatever shape an instrumentation writes them.

Everything ends as `Message`s made of `Part`s, which `to_json` writes in the form of the
OpenTelemetry GenAI schemas. Shapes are told by their structure, never by who sent them: OTel parts,
OpenAI chat and Responses, Anthropic and Gemini content blocks, LangChain dumps, per-message events,
flattened index keys, JSON in JSON. What no rule knows stays as a part of kind `other`, untouched.
"""

from __future__ import annotations

import json
import marshal
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Literal, TypeGuard, TypeVar

from otel_traj.dialects import quick_json
from otel_traj.dialects.quick_json import dumps as dumps
from otel_traj.dialects.quick_json import quoted
from otel_traj.dialects.reprs import from_repr
from otel_traj.model import found_once, quickly_made

_T = TypeVar("_T")

NO_REFERENCES: Final = 2
"""The last version of `marshal` in which equal values are the same bytes, however Python shares
their parts: a key of the whole value, types and order of keys with it."""

_OBSERVATION: Final = "Observation:"

PartKind = Literal["text", "reasoning", "tool_call", "tool_result", "media", "other"]


@quickly_made
@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message.

    `text` belongs to text and reasoning. `id` and `name` belong to tool calls and tool results.
    `value` is the arguments of a call, the result of a tool, or the undecoded block. `failed` is
    what a tool result says of itself, None where its form has no place for that.
    """

    kind: PartKind
    text: str | None = None
    id: str | None = None
    name: str | None = None
    value: Any = None
    failed: bool | None = None


@dataclass(frozen=True)
class Message:
    """Who said what. `role` is system, user, assistant, tool or what the source calls it.

    What follows from its parts is found once: each request of a run repeats those of the last one.
    """

    role: str
    parts: tuple[Part, ...]
    finish_reason: str | None = None

    @found_once
    def text(self) -> str | None:
        """The text parts, joined; None when there is none."""
        texts = [part.text for part in self.parts if part.kind == "text" and part.text]
        return "\n".join(texts) or None

    @found_once
    def reasoning(self) -> str | None:
        """The reasoning parts, joined; None when there is none."""
        texts = [part.text for part in self.parts if part.kind == "reasoning" and part.text]
        return "\n".join(texts) or None

    @found_once
    def tool_calls(self) -> tuple[Part, ...]:
        """What the model asked for, in its order."""
        return tuple([part for part in self.parts if part.kind == "tool_call"])

    @found_once
    def tool_results(self) -> tuple[Part, ...]:
        """Answers to tool calls, in order."""
        return tuple([part for part in self.parts if part.kind == "tool_result"])

    @property
    def has_content(self) -> bool:
        """Whether it says anything but names and ids."""
        return any(part.text is not None or part.value is not None for part in self.parts)

    @found_once
    def is_hollow(self) -> bool:
        """Whether content is missing: instrumentors that must not tell it leave the frame.

        Calls and what an assistant says may be empty in earnest.
        """
        if not self.parts:
            return self.role != "assistant"
        for part in self.parts:
            if part.text is None and part.value is None and part.kind != "tool_call":
                return True
        return False

    @found_once
    def answers(self) -> tuple[Part, ...]:
        """Tool results, also those that a ReAct loop sends in its user's name."""
        if self.role == "user" and (self.text or "").startswith(_OBSERVATION):
            return (Part("tool_result", value=_observed(self.text)),)
        return tuple(
            part if part.id else replace(part, value=_observed(part.value))
            for part in self.tool_results
        )


def _observed(value: Any) -> Any:
    """An answer without the word by which ReAct loops announce it."""
    is_announced = isinstance(value, str) and value.startswith(_OBSERVATION)
    return value[len(_OBSERVATION) :].lstrip() if is_announced else value


Messages = tuple[Message, ...]


def weight(messages: Messages | None) -> tuple[int, int]:
    """How much messages tell: how many parts they have, and how many calls and answers have ids."""
    parts = [part for message in messages or () for part in message.parts]
    return len(parts), sum(part.id is not None for part in parts)


# --- JSON, as strangers write it ---------------------------------------------------------------


def is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value is a JSON object; quicker than the check of the abstract class."""
    kind = type(value)
    return kind is dict or (kind not in _NO_OBJECTS and isinstance(value, Mapping))


_NO_OBJECTS: Final = frozenset({str, list, tuple, int, float, bool, bytes, type(None)})


def loads(value: Any) -> Any:
    """A JSON container or quoted text as its value, as often as it was encoded; else as it is.

    Plain numbers and words stay text: a tool result "42" is a text. A JSON text that was cut off
    gives all its whole values and no half one.
    """
    if not isinstance(value, str) or value[:1] in _PLAIN_STARTS:
        return value
    for _ in range(3):
        if not isinstance(value, str):
            return value
        text = value.strip()
        if not text or text[0] not in '{["':
            return value
        try:
            value = quick_json.loads(text)
        except ValueError:
            return value if text[0] == '"' else _loads_cut(text, value)
        except RecursionError:
            return value
    return value


_PLAIN_STARTS: Final = frozenset(string.ascii_letters + string.digits)
"""First characters of texts that are certainly no JSON container."""


def is_cut(value: Any) -> bool:
    """Whether a text starts as a JSON container and ends before its end."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return False
    # Nearly all texts are whole, and counting is a tenth of the cost of reading.
    if value.count("[") == value.count("]") and value.count("{") == value.count("}"):
        return False
    try:
        quick_json.loads(value)
    except ValueError:
        return _loads_cut(value, None) is not None
    except RecursionError:
        return False
    return False


_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def _loads_cut(text: str, otherwise: Any) -> Any:
    """The whole values of a JSON container that was cut off; `otherwise` if it is none."""
    closers: list[str] = []
    whole = ""  # the text up to the last whole value, closed
    after_key = False
    last_end = 0
    for token in _TOKEN.finditer(text):
        if text[last_end : token.start()].strip():
            break
        last_end = token.end()
        mark = token[0]
        if mark in "{[":
            closers.append("}" if mark == "{" else "]")
            after_key = False
        elif mark in "}]":
            if not closers or closers.pop() != mark:
                return otherwise
            if not closers:
                return otherwise
            whole = text[:last_end] + "".join(reversed(closers))
            after_key = False
        elif mark == ":":
            after_key = True
        elif mark != ",":
            is_key = closers[-1:] == ["}"] and not after_key
            # A number at the very end may be the first half of a longer one.
            if not is_key and (mark[0] == '"' or last_end < len(text)):
                whole = text[:last_end] + "".join(reversed(closers))
            if not is_key:
                after_key = False
    try:
        return json.loads(whole)
    except ValueError:
        return otherwise


def as_text(value: Any) -> str | None:
    """A text as it is, anything else as JSON text, None as None."""
    return value if value is None or isinstance(value, str) else dumps(value)


def unflatten(attributes: Mapping[str, Any], prefix: str) -> list[Any]:
    """Values under `prefix.N.…` as the list of objects they were flattened from.

    Gaps (dropped attributes) are closed: the list has one item per index that is there.
    """
    root: dict[str, Any] = {}
    start = len(prefix) + 1
    for key, value in attributes.items():
        if not key.startswith(prefix + "."):
            continue
        node = root
        *path, leaf = key[start:].split(".")
        for name in path:
            child = node.get(name)
            if not isinstance(child, dict):
                child = node[name] = {}
            node = child
        node[leaf] = value
    items = _lists(root)
    return items if isinstance(items, list) else []


def _lists(node: Any) -> Any:
    """Objects whose keys are all numbers become lists."""
    if not isinstance(node, dict):
        return node
    if node and all(key.isdigit() for key in node):
        return [_lists(node[key]) for key in sorted(node, key=int)]
    return {key: _lists(value) for key, value in node.items()}


# --- messages ----------------------------------------------------------------------------------

_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "developer": "system",
    "function": "tool",
    "tool-call": "assistant",
    "tool_call": "assistant",
    "tool-response": "tool",
    "tool_response": "tool",
    "humanmessage": "user",
    "humanmessagechunk": "user",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "systemmessage": "system",
    "toolmessage": "tool",
    "functionmessage": "tool",
    "chatmessage": "user",
}
_LANGCHAIN_TYPES: Final = {"human", "ai", "system", "tool", "function"}
_CONTAINERS: Final = ("messages", "input", "contents", "outputs", "output", "inputs", "update")


def role_of(name: Any) -> str:
    """A role in the words of the conventions: `MessageRole.USER`, `human` and `user` are one."""
    if name in _KNOWN_ROLES:
        return str(name)
    text = str(name).rsplit(".", 1)[-1].lower()
    return _ROLES.get(text, text)


_KNOWN_ROLES: Final = ("user", "assistant", "tool", "system")
"""A tuple, as what stands there may be anything."""


def decode(value: Any, role: str = "user") -> Messages:
    """Messages in any known shape; a bare text is one message of `role`.

    Args:
        value: Structured value or JSON text; None gives no messages.
        role: Who speaks where the value does not say.
    """
    told = _decode_history(value) if isinstance(value, str) and value[:1] == "[" else None
    if told is not None:
        return told
    value = loads(value)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        printed = from_repr(value)
        if _is_printed_message(printed):
            return (_of_message(printed, role),)
        return (Message(role, (Part("text", text=value),)),)
    if is_object(value):
        return _decode_object(value, role)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return _decode_list(value, role)
    return (Message(role, (Part("other", value=value),)),)


def _decode_history(text: str) -> Messages | None:
    """The messages of a JSON list; what an earlier list told word for word is not read again.

    None if it is anything but a list of objects that say who speaks.
    """
    found: list[Message] = []
    try:
        for item in quick_json.items_of(text):
            message = _seen.get(item)
            if message is None:
                value = quick_json.loads(item)
                if not (is_object(value) and value.get("role") and _FRAMES.isdisjoint(value)):
                    return None
                message = _seen.add(item, _of_message(value, ""))
            found.append(message)
    except (ValueError, RecursionError):
        return None
    return tuple(found)


class _Memory(Generic[_T]):
    """Messages that were read not long ago: each request of a run repeats those of the last one."""

    def __init__(self) -> None:
        self._by_text: dict[bytes, _T] = {}
        self._n_bytes = 0

    def get(self, text: bytes) -> _T | None:
        """What was written so, if it was read."""
        return self._by_text.get(text)

    def add(self, text: bytes, message: _T) -> _T:
        """Remember what was read and how it was written."""
        if self._n_bytes > _MOST_SEEN:
            self._by_text.clear()
            self._n_bytes = 0
        self._by_text[text] = message
        self._n_bytes += len(text)
        return message


_MOST_SEEN: Final = 4_000_000
"""Bytes of all that is remembered; then it begins anew."""

_seen = _Memory[Message]()
_seen_objects = _Memory[Messages]()


def from_pieces(text: Any, reasoning: Any, calls: Any) -> Messages | None:
    """A model's answer whose text, reasoning and tool calls stand apart; None without any."""
    listed = loads(calls)
    parts = [
        *([Part("reasoning", text=as_text(reasoning))] if reasoning else []),
        *([Part("text", text=as_text(text))] if text else []),
        *(_call(call) for call in (listed if isinstance(listed, list) else ()) if is_object(call)),
    ]
    return (Message("assistant", tuple(parts)),) if parts else None


def system_text(value: Any) -> str | None:
    """System instructions given as text, parts or blocks, as one text."""
    if value is None or value == "" or value == []:
        return None
    messages = decode(value, "system")
    texts = [message.text for message in messages if message.text]
    return "\n".join(texts) or as_text(value)


def _decode_list(items: Sequence[Any], role: str) -> Messages:
    if items and all(is_block(item) for item in items):
        return (Message(role, tuple(part for item in items for part in _parts(item))),)
    return tuple(
        message
        for item in items
        for message in (_decode_item if type(item) is dict else decode)(item, role)
    )


def _decode_item(value: dict[str, Any], role: str) -> Messages:
    """`_decode_object`, but what an earlier list told in the same words is not read again."""
    try:
        told = marshal.dumps((role, value), NO_REFERENCES)
    except ValueError:  # of other types than JSON has
        return _decode_object(value, role)
    known = _seen_objects.get(told)
    return _seen_objects.add(told, _decode_object(value, role)) if known is None else known


def _decode_object(value: Mapping[str, Any], role: str) -> Messages:
    value = _unwrapped(value)
    if "role" in value and _ENVELOPES.isdisjoint(value):
        return (_of_message(value, role),)  # what comes first below, and mostly comes
    if "choices" in value and isinstance(value["choices"], Sequence):
        return tuple(m for choice in value["choices"] for m in decode(choice, "assistant"))
    if "candidates" in value and isinstance(value["candidates"], Sequence):
        return tuple(m for item in value["candidates"] for m in decode(item, "assistant"))
    if "generations" in value:
        return decode(value["generations"], "assistant")
    if isinstance(value.get("message"), Mapping | str):
        return _of_choice(value, role)
    if _is_item(value):
        return (_of_item(value, role),)
    if "role" in value or "parts" in value or "content" in value or "tool_calls" in value:
        return (_of_message(value, role),)
    for key in _CONTAINERS:
        if isinstance(loads(value.get(key)), Mapping | list):
            return decode(value[key], role)
    if is_block(value):
        return (Message(role, tuple(_parts(value))),)
    if isinstance(value.get("text"), str):
        return (Message(role, (_text(value),), _word(value.get("finish_reason"))),)
    return (Message(role, (Part("other", value=value),)),)


_ENVELOPES: Final = frozenset({"choices", "candidates", "generations", "message"})
"""Keys of objects that hold messages, though they have a role beside them."""

_FRAMES: Final = _ENVELOPES | {"type"}
"""Without any of these keys, what says who speaks is a message and nothing else."""


def _unwrapped(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A dumped LangChain message as a plain one."""
    kind = value.get("type")
    if kind is None:
        return value
    if kind == "constructor" and is_object(value.get("kwargs")):
        name = str((value.get("id") or [""])[-1])
        return {"role": name, **value["kwargs"]}
    if kind in _LANGCHAIN_TYPES:
        inner = value.get("data") if is_object(value.get("data")) else value
        return {**inner, "role": value["type"]}  # type: ignore[dict-item]
    return value


def _of_choice(value: Mapping[str, Any], role: str) -> Messages:
    """A choice, a generation or a flattened entry: the message inside, some facts beside it."""
    inner = loads(value["message"])
    if is_object(inner):
        beside = {
            key: value[key] for key in ("tool_calls", "role") if key in value and key not in inner
        }
        inner = {**_unwrapped(inner), **beside}
    reason = (
        value.get("finish_reason")
        or value.get("finishReason")
        or (value.get("generation_info") or {}).get("finish_reason")
    )
    return tuple(
        Message(message.role, message.parts, message.finish_reason or _word(reason))
        for message in decode(inner, role)
    )


def _is_item(value: Mapping[str, Any]) -> bool:
    """An item of OpenAI's Responses API that is no message."""
    return (
        str(value.get("type", "")).startswith(("function_call", "custom_tool_call", "reasoning"))
        and "role" not in value
    )


def _of_item(value: Mapping[str, Any], role: str) -> Message:
    kind = value["type"]
    if str(kind).endswith("_output"):
        return Message("tool", tuple(_parts(value)))
    return Message("assistant", tuple(_parts(value)))


def _of_message(value: Mapping[str, Any], role: str) -> Message:
    said = role_of(value["role"]) if value.get("role") else role
    if said != "tool" and value.keys() <= _STANDARD and type(value.get("parts")) is list:
        told = tuple(part for block in value["parts"] for part in _parts(block))
        return Message(said, told, _word(value.get("finish_reason")))
    parts: list[Part] = []
    if value.get("reasoning_content"):
        parts.append(Part("reasoning", text=as_text(value["reasoning_content"])))
    blocks = next(
        (value[k] for k in ("parts", "contents", "content") if value.get(k) is not None), None
    )
    if is_object(blocks) and "parts" in blocks:
        blocks = blocks["parts"]
    call_id = value.get("tool_call_id") or (value.get("id") if said == "tool" else None)
    content = _content(blocks)
    results = [part.value for part in content if part.kind == "tool_result"]
    if said == "tool" and not results and (blocks is not None or call_id):
        parts.append(
            Part(
                "tool_result",
                id=_word(call_id),
                name=_word(value.get("name")),
                value=_plain(blocks),
                failed=_failed(value),
            )
        )
    else:  # some tell a tool's answer as text as well
        parts.extend(part for part in content if said != "tool" or part.text not in results)
    parts.extend(_calls_beside(value, parts))
    return Message(
        said, tuple(parts), _word(value.get("finish_reason") or value.get("stop_reason"))
    )


_STANDARD: Final = frozenset({"role", "parts", "finish_reason"})
"""Keys of a message in the form of the conventions, which leaves nothing to find out."""


def _calls_beside(value: Mapping[str, Any], parts: list[Part]) -> Iterable[Part]:
    """Tool calls told beside the content, but for those that the content tells as well."""
    if _CALLS.isdisjoint(value):
        return
    listed = loads(value.get("tool_calls")) or loads(
        (value.get("additional_kwargs") or {}).get("tool_calls")
    )
    legacy = value.get("function_call")
    calls = [loads(call) for call in listed] if isinstance(listed, list) else []
    if is_object(legacy):
        calls.append(legacy)
    known = {(part.id, part.name) for part in parts if part.kind == "tool_call"}
    for call in calls:
        if is_object(call):
            inner = call.get("tool_call")
            part = _call(inner if is_object(inner) else call)
            if (part.id, part.name) not in known:
                yield part


_CALLS: Final = frozenset({"tool_calls", "additional_kwargs", "function_call"})


def _content(blocks: Any) -> list[Part]:
    blocks = loads(blocks) if isinstance(blocks, str) and blocks[:2] in ("[{", '["') else blocks
    if blocks is None or blocks == "" or blocks == '""':
        return []
    if is_object(blocks):
        return _parts(blocks)
    if isinstance(blocks, Sequence) and not isinstance(blocks, str | bytes):
        return [part for block in blocks for part in _parts(block)]
    return [Part("text", text=as_text(blocks))]


def _plain(blocks: Any) -> Any:
    """A tool's answer: text blocks as one text, anything else as it is."""
    blocks = loads(blocks) if isinstance(blocks, str) and blocks.startswith("[{") else blocks
    parts = _content(blocks) if isinstance(blocks, list | Mapping) else []
    if parts and all(part.kind == "text" for part in parts):
        return "\n".join(part.text or "" for part in parts)
    return blocks


# --- parts -------------------------------------------------------------------------------------


def is_block(value: Any) -> bool:
    """Whether a value is a content block: of a type that no message has, and nobody speaks it."""
    return (
        is_object(value)
        and "role" not in value
        and isinstance(value.get("type"), str)
        and value["type"] in _PART_OF
    )


def _parts(block: Any) -> list[Part]:
    block = loads(block) if isinstance(block, str) and block.startswith("{") else block
    if isinstance(block, str):
        return [Part("text", text=block)] if block else []
    if not is_object(block):
        return [Part("other", value=block)]
    if not _INNER.isdisjoint(block):
        if is_object(block.get("tool_call")):  # flattened OpenInference
            return [_call(block["tool_call"])]
        if is_object(block.get("message_content")):
            return _parts(block["message_content"])
        for key, decoder in _HOLDERS.items():
            if is_object(block.get(key)):
                return [decoder(block[key])]
    if (typed := _PART_OF.get(str(block.get("type")))) is not None:
        part = typed(block)
        is_empty = part.kind == "tool_call" and part.name is None and part.id is None
        return [] if is_empty else _out_of_repr(part)
    if ("name" in block or "tool_name" in block) and ("arguments" in block or "args" in block):
        return [_call(block)]  # its type was cut off, or never told
    if "result" in block and is_object(block.get("origin")):
        return [_result({**block, **_call_ids(block["origin"])})]
    if isinstance(block.get("text"), str) and not block.get("thought"):
        return [Part("text", text=block["text"])]
    if isinstance(block.get("text"), str):
        return [Part("reasoning", text=block["text"])]
    return [Part("other", value=block)]


def _out_of_repr(part: Part) -> list[Part]:
    """The parts of a block or message that was printed into a text; any other part as it is."""
    inner = from_repr(part.text) if part.kind == "text" else None
    if inner is None:
        return [part]
    if is_block(inner):
        return _parts(inner)
    if _is_printed_message(inner):
        return list(_of_message(inner, "assistant").parts)
    return [part]


def _is_printed_message(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return (
        is_object(value)
        and "role" in value
        and not value.keys().isdisjoint(("content", "tool_calls"))
    )


def _text(block: Mapping[str, Any]) -> Part:
    return Part("text", text=as_text(_first(block, "content", "text", "value")))


def _reasoning(block: Mapping[str, Any]) -> Part:
    said = _first(block, "content", "text", "thinking", "reasoning", "summary")
    if isinstance(said, Sequence) and not isinstance(said, str):
        said = "\n".join(
            str(item.get("text", "")) if is_object(item) else str(item) for item in said
        )
    return Part("reasoning", text=as_text(said) or None)


_CALL_IDS: Final = ("tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "ref")


def _call(block: Mapping[str, Any]) -> Part:
    function = block.get("function")
    inner: Mapping[str, Any] = function if is_object(function) else block
    if is_object(inner.get("tool_call")):
        inner = inner["tool_call"]
    arguments = _first(inner, "arguments", "args", "input", "parameters")
    return Part(
        "tool_call",
        # `call_id` is what the answer will name; `id` is then the item's own.
        id=_word(_first(block, "call_id", "id", *_CALL_IDS)),
        name=_word(_first(inner, "name", "tool_name", "toolName")),
        value=loads(arguments),
    )


def _result(block: Mapping[str, Any]) -> Part:
    return Part(
        "tool_result",
        id=_word(_first(block, "call_id", *_CALL_IDS, "id")),
        name=_word(_first(block, "name", "tool_name", "toolName")),
        value=_plain(_first(block, "response", "result", "output", "content")),
        failed=_failed(block),
    )


def _call_ids(call: Mapping[str, Any]) -> dict[str, Any]:
    """Which call an answer that holds it whole is to."""
    part = _call(call)
    return {"call_id": part.id, "name": part.name}


def _failed(block: Mapping[str, Any]) -> bool | None:
    said = _first(block, "is_error", "isError", "error")
    if isinstance(said, bool):
        return said
    return {"error": True, "success": False}.get(str(block.get("status")))


def _media(block: Mapping[str, Any]) -> Part:
    return Part("media", value=dict(block))


_HOLDERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Part]]] = {
    **dict.fromkeys(("functionCall", "function_call", "toolUse", "toolRequest"), _call),
    **dict.fromkeys(
        ("functionResponse", "function_response", "toolResult", "toolResponse"), _result
    ),
}
"""Blocks that are named by their one key: Gemini, its Python clients, Bedrock, Genkit."""

_INNER: Final = frozenset({"tool_call", "message_content", *_HOLDERS})
"""Keys under which a block may hold what it is; most blocks have none of them."""

_PART_OF: Final[Mapping[str, Callable[[Mapping[str, Any]], Part]]] = {
    **dict.fromkeys(("text", "output_text", "input_text", "refusal"), _text),
    **dict.fromkeys(("reasoning", "thinking", "reasoning_text", "redacted_thinking"), _reasoning),
    **dict.fromkeys(
        (
            "tool_call",
            "tool_use",
            "function_call",
            "tool-call",
            "function",
            "custom_tool_call",
            "server_tool_call",
            "server_tool_use",
        ),
        _call,
    ),
    **dict.fromkeys(
        (
            "tool_call_response",
            "tool_result",
            "function_call_output",
            "tool-result",
            "custom_tool_call_output",
            "server_tool_call_response",
        ),
        _result,
    ),
    **dict.fromkeys(("blob", "file", "uri", "image", "image_url", "input_image", "audio"), _media),
}


def _first(block: Mapping[str, Any], *keys: str) -> Any:
    for key in keys:
        value = block.get(key)
        if value is not None:
            return value
    return None


def _word(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


# --- out ---------------------------------------------------------------------------------------


def to_json(messages: Iterable[Message]) -> str:
    """JSON text in the form of the OpenTelemetry GenAI message schemas."""
    return f"[{','.join(map(_message_json, messages))}]"


def calls_to_json(calls: Iterable[Part]) -> str:
    """Tool calls as JSON text: a list of their ids, names and arguments."""
    return f"[{','.join(f'{{{_call_json(call)}}}' for call in calls)}]"


def from_json(text: str | None) -> Messages:
    """The messages that `to_json` wrote, part by part; nothing is guessed, unlike in `decode`."""
    return tuple(
        Message(
            message["role"],
            tuple(map(_part_from_json, message["parts"])),
            message.get("finish_reason"),
        )
        for message in json.loads(text or "[]")
    )


def _part_from_json(part: Any) -> Part:
    match part:
        case {"type": "text" | "reasoning" as kind, "content": said, **rest} if not rest:
            return Part(kind, text=said)
        case {"type": "tool_call", "id": id, "name": name, "arguments": value, **rest} if not rest:
            return Part("tool_call", id=id, name=name, value=value)
        case {"type": "tool_call_response", "id": id, "response": value, **beside} if (
            beside.keys() <= {"name", "is_error"}
        ):
            return Part(
                "tool_result",
                id=id,
                name=part.get("name"),
                value=value,
                failed=part.get("is_error"),
            )
        case _:
            return Part("media" if is_block(part) else "other", value=part)


def _message_json(message: Message) -> str:
    parts = ",".join(map(_part_json, message.parts))
    reason = message.finish_reason
    finish = f',"finish_reason":{quoted(reason)}' if reason else ""
    return f'{{"role":{quoted(message.role)},"parts":[{parts}]{finish}}}'


def _part_json(part: Part) -> str:
    match part.kind:
        case "text" | "reasoning":
            return f'{{"type":"{part.kind}","content":{_value_json(part.text)}}}'
        case "tool_call":
            return f'{{"type":"tool_call",{_call_json(part)}}}'
        case "tool_result":
            told = {"name": part.name, "is_error": part.failed}
            beside = [
                f',"{key}":{dumps(value)}' for key, value in told.items() if value is not None
            ]
            result = f'"id":{_value_json(part.id)},"response":{_value_json(part.value)}'
            return f'{{"type":"tool_call_response",{result}{"".join(beside)}}}'
        case _:
            return _value_json(part.value)


def _call_json(part: Part) -> str:
    who = f'"id":{_value_json(part.id)},"name":{_value_json(part.name)}'
    return f'{who},"arguments":{_value_json(part.value)}'


def _value_json(value: Any) -> str:
    return "null" if value is None else dumps(value)
