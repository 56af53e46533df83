r"""The canonical form of a model's request, and its hashes.

Two requests that say the same to a model are equal here, whichever provider they went to and
whichever instrumentor told of them: OpenAI chat and Responses, Anthropic, Gemini, OpenTelemetry
parts, LangChain dumps. A request has four components, each with a hash of its own:

- system: instructions told apart and leading system messages, as one text;
- tools: name, description and parameters of each, by name;
- messages: one object per *part*, because providers group parts into messages differently;
- params: what steers the answer, under one name each (`PARAMS`), the model included.

Texts are NFC with `\n` line ends and are never trimmed; what is empty is absent. Arguments are
parsed JSON, or the text that was none. Ids are gone: a tool result names the number of the call
that it answers, counted from 0 over the whole request. Everything is written as RFC 8785 says and
hashed with SHA-256; hashes are 64 hex digits.

Any change to what is hashed raises `CANON_VERSION`; test vectors hold it still.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import marshal
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from otel_traj.dialects import quick_json
from otel_traj.dialects.facts import Facts
from otel_traj.dialects.messages import (
    NO_REFERENCES,
    Message,
    Messages,
    Part,
    decode,
    dumps,
    is_block,
    is_object,
    loads,
)
from otel_traj.dialects.quick_json import quoted

CANON_VERSION: Final = "1"
"""Stands in every row that has a hash; hashes of two versions are never compared."""

PARAMS: Final = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "stop",
    "response_format",
    "tool_choice",
    "reasoning_effort",
)
"""Facts that steer the answer. Others (user, metadata, stream, timeouts, …) never do."""


class Hashes(NamedTuple):
    """Hashes of one request; None where nothing is told.

    `prefix` is the chain over the messages that an earlier request holds already: p0 is the hash
    of system and tools, p(k) the hash of p(k-1) and the k-th canonical message.
    """

    request: str | None = None
    system: str | None = None
    tools: str | None = None
    messages: str | None = None
    params: str | None = None
    prefix: str | None = None


def canonical_request(facts: Facts) -> dict[str, Any]:
    """The four components of a request as plain JSON values; those that are not told are absent."""
    messages = facts.input or ()
    leading = count_leading_system(messages)
    numbering = Numbering()
    components = {
        "system": canonical_system(facts.system, messages),
        "tools": canonical_tools(facts.tool_definitions),
        "messages": [
            piece
            for message in messages[leading:]
            for piece in _pieces(message, numbering.refs(message))
        ],
        "params": canonical_params(facts),
    }
    return {name: value for name, value in components.items() if value}


def hash_request(
    facts: Facts,
    messages: Messages,
    bodies: Sequence[Body],
    kept: int,
    written: Written | None = None,
) -> Hashes:
    """The hashes of a request.

    Args:
        facts: Its system text, tools and parameters.
        messages: All of its messages.
        bodies: Their canonical bytes.
        kept: How many of its first messages an earlier request or answer holds.
        written: What was hashed before, to which this is added.
    """
    system = _hash_of(canonical_system(facts.system, messages))
    tools = _hash_of_tools(facts.tool_definitions)
    params = _hash_of_params(facts)
    leading = count_leading_system(messages)
    chain = chain_of(system, tools, bodies[:kept], leading=leading, written=written)
    told = _hash_of_bodies(bodies[leading:])
    return Hashes(
        request=_hash("".join(part or _ABSENT for part in (system, tools, told, params)).encode()),
        system=system,
        tools=tools,
        messages=told,
        params=params,
        prefix=chain[-1],
    )


def hash_messages(messages: Messages) -> str:
    """The hash of the messages component alone."""
    return _hash_of_bodies(message_bodies(messages, Numbering())[count_leading_system(messages) :])


def _hash_of_bodies(bodies: Iterable[Body]) -> str:
    """The hash of the canonical JSON list."""
    return _hash(b"[" + b",".join(piece for body in bodies for piece in body) + b"]")


def chain_of(
    system: str | None,
    tools: str | None,
    bodies: Iterable[Body],
    *,
    leading: int = 0,
    written: Written | None = None,
) -> list[str]:
    """The prefix chain: p0, then its state after each message as it was told.

    Args:
        system: Hash of the system component.
        tools: Hash of the tools component.
        bodies: Canonical bytes of the messages.
        leading: How many of the first ones are part of the system component.
        written: What was hashed before, to which this is added.
    """
    states = {} if written is None else written.states
    state = _hash(((system or _ABSENT) + (tools or _ABSENT)).encode())
    chain = [state]
    for index, body in enumerate(bodies):
        for piece in body if index >= leading else ():
            following = states.get((state, piece))
            if following is None:
                following = states[state, piece] = _hash(state.encode() + piece)
            state = following
        chain.append(state)
    return chain


# --- system and messages -----------------------------------------------------------------------

Body = tuple[bytes, ...]
"""The canonical bytes of one message: one item per part that says something."""


@dataclass(slots=True)
class Numbering:
    """Numbers of tool calls, by which results name them: ids are made up anew in every run."""

    count: int = 0
    by_id: dict[str, int] = field(default_factory=dict)
    waiting: dict[int, str | None] = field(default_factory=dict)
    """Number and name of each call without an answer."""

    def copy(self) -> Numbering:
        """The same numbers, to go on with apart."""
        return Numbering(self.count, dict(self.by_id), dict(self.waiting))

    def call(self, part: Part) -> None:
        """Number a tool call."""
        if part.id is not None:
            self.by_id[part.id] = self.count
        self.waiting[self.count] = part.name
        self.count += 1

    def refs(self, message: Message) -> tuple[int | None, ...]:
        """Number the calls of a message; which call each of its results answers."""
        if not message.tool_results:
            for part in message.tool_calls:
                self.call(part)
            return ()
        found = []
        for part in message.parts:
            if part.kind == "tool_call":
                self.call(part)
            elif part.kind == "tool_result":
                found.append(self.answered_by(part))
        return tuple(found)

    def answered_by(self, part: Part) -> int | None:
        """The call that a result answers: by id, else the first of its name that waits for one.

        Gemini has no ids; some instrumentors tell a call by another id than its answer names.
        """
        number = self.by_id.get(part.id or "")
        if number is None:
            fitting = (n for n, name in self.waiting.items() if part.name in (None, name))
            number = next(fitting, None)
        if number is not None:
            self.waiting.pop(number, None)
        return number


def canonical_system(system: str | None, messages: Messages) -> str | None:
    """Instructions told apart and leading system messages as one text; each text once."""
    leading = [message.text for message in messages[: count_leading_system(messages)]]
    if not leading:
        return system or None
    texts = [text for text in (system, "\n".join(t for t in leading if t)) if text]
    return "\n".join(dict.fromkeys(texts)) or None


def count_leading_system(messages: Messages) -> int:
    """How many messages at the beginning are instructions, and nothing but text."""
    for index, message in enumerate(messages):
        if message.role != "system" or any(part.kind != "text" for part in message.parts):
            return index
    return len(messages)


@dataclass(slots=True)
class Written:
    """What was written and hashed of a run: each request repeats the messages of the last one.

    Attributes:
        bodies: Message by `id`, and the calls that its results answer -> it (so that it stays),
            its bytes.
        states: A state of the prefix chain, and a piece -> the state after it.
    """

    bodies: dict[tuple[int, tuple[int | None, ...]], tuple[Message, Body]] = field(
        default_factory=dict
    )
    states: dict[tuple[str, bytes], str] = field(default_factory=dict)


def message_bodies(
    messages: Iterable[Message], numbering: Numbering, written: Written | None = None
) -> list[Body]:
    """The canonical bytes of each message.

    Args:
        messages: In order; system messages too.
        numbering: Of the tool calls before them; goes on counting.
        written: What was written before, to which these are added.
    """
    known_bodies = {} if written is None else written.bodies
    bodies = []
    for message in messages:
        refs = numbering.refs(message)
        known = known_bodies.get((id(message), refs))
        if known is None:
            body = tuple([_piece_bytes(piece) for piece in _pieces(message, refs)])
            known = known_bodies[id(message), refs] = message, body
        bodies.append(known[1])
    return bodies


def _piece_bytes(piece: Mapping[str, Any]) -> bytes:
    """The canonical JSON of a piece, as `canonical_json` writes it; its keys are plain words."""
    members = [f'"{key}":{_canonical_text(piece[key], _DEPTH - 1)}' for key in sorted(piece)]
    return f"{{{','.join(members)}}}".encode("utf-8", "surrogatepass")


_WORDS: Final = {
    word: f'"{word}"'
    for word in (
        *("system", "user", "assistant", "tool"),
        *("text", "reasoning", "tool_call", "tool_result"),
    )
}
"""Roles and types in JSON: two stand in every piece."""


def _pieces(message: Message, refs: Iterable[int | None]) -> Iterator[dict[str, Any]]:
    """A message as canonical messages of one part each; what says nothing is left out."""
    answered = iter(refs)
    for part in _calls_last(message.parts):
        match part.kind:
            case "text" if part.text:
                yield {"role": message.role, "type": "text", "text": part.text}
            case "reasoning" if part.text:
                yield {"role": "assistant", "type": "reasoning", "text": part.text}
            case "tool_call":
                call = {"role": "assistant", "type": "tool_call", "name": part.name}
                yield _told(call | {"arguments": _parsed(part.value)})
            case "tool_result":
                yield {"role": "tool", "type": "tool_result", "ref": next(answered)} | _told(
                    {"content": _result(part.value)}
                )
            case "media" | "other" if part.value not in (None, "", {}, []):
                yield {"role": message.role} | _media(part.value)


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, "", {}, [])}


def _calls_last(parts: Sequence[Part]) -> Sequence[Part]:
    """Tool calls behind the text beside them, where chat completions have them and most tell them.

    Where answers are among the parts, the order says which call they are to, and stays.
    """
    if len(parts) < 2:
        return parts
    kinds = {part.kind for part in parts}
    if len(kinds) < 2 or "tool_call" not in kinds or "tool_result" in kinds:
        return parts
    return sorted(parts, key=lambda part: part.kind == "tool_call")


def _parsed(value: Any) -> Any:
    """JSON text of an object or list as its value; any other text as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return quick_json.loads(value)
    except (ValueError, RecursionError):
        return value


def _result(value: Any) -> Any:
    """What a tool gave, out of what Gemini and the AI SDK put round it; scalars as text."""
    value = _parsed(value)
    if isinstance(value, Mapping) and set(value) in ({"result"}, {"output"}):
        value = _parsed(next(iter(value.values())))
    elif isinstance(value, Mapping) and set(value) == {"type", "value"}:
        value = _parsed(value["value"]) if value["type"] in _AI_SDK_RESULTS else value
    if isinstance(value, list) and value and all(map(is_block, value)):
        parts = [part for message in decode(value, "tool") for part in message.parts]
        return [_media(part.value) if part.kind == "media" else part.text for part in parts]
    return dumps(value) if isinstance(value, int | float) else value


_AI_SDK_RESULTS: Final = ("text", "json", "error-text", "error-json")


def _media(block: Any) -> dict[str, Any]:
    """An image, a sound, a file: the hash of its bytes, or where it lies; else the block itself."""
    for holder in _holders(block):
        place = next((holder[k] for k in _PLACES if isinstance(holder.get(k), str)), None)
        data = next((holder[k] for k in _DATA if isinstance(holder.get(k), str | bytes)), None)
        mime = next((holder[k] for k in _MIME if isinstance(holder.get(k), str)), None)
        if place is not None and place.startswith("data:"):
            header, _, data = place.partition(",")
            mime = header[5:].split(";")[0]
            place = None
        if data is not None:
            return {"type": "media", "sha256": _hash(_bytes(data))} | _told({"mime": mime})
        if place is not None:
            return {"type": "media", "uri": place}
    return {"type": "other", "value": block}


_PLACES: Final = ("url", "image_url", "uri", "file_uri", "fileUri", "file_id")
_DATA: Final = ("data", "content", "file_data")
_MIME: Final = ("mime_type", "mimeType", "media_type", "format")
_HOLDERS: Final = (
    "image_url",
    "input_audio",
    "source",
    "file",
    "inlineData",
    "inline_data",
    "fileData",
    "file_data",
)


def _holders(block: Any) -> list[Mapping[str, Any]]:
    """Where a media block keeps its bytes: in an object of its own, else in itself."""
    if not isinstance(block, Mapping):
        return []
    inner = [block[key] for key in _HOLDERS if isinstance(block.get(key), Mapping)]
    return [*inner, block] if block.get("type") not in ("text", None) else inner


def _bytes(data: str | bytes) -> bytes:
    """Media as bytes: base64 mostly, a text where it is none."""
    if isinstance(data, bytes):
        return data
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return data.encode("utf-8", "surrogatepass")


# --- tools -------------------------------------------------------------------------------------

_LISTS: Final = ("function_tools", "functionDeclarations", "function_declarations", "tools")
_WRAPPERS: Final = ("tool", "json_schema", "function")
_SCHEMAS: Final = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parameters_json_schema",
    "parametersJsonSchema",
)


def canonical_tools(definitions: Any) -> list[Any]:
    """Tools by name; a provider's own tools, which have no name, as they were declared."""
    tools = [_told(tool) for tool in _definitions(definitions)]
    return sorted(tools, key=lambda tool: (str(tool.get("name", "")), canonical_json(tool)))


def _hash_of_tools(definitions: Any) -> str | None:
    """The hash of the tools component; every request of an agent repeats the same ones."""
    if definitions is None:
        return None
    try:
        told = marshal.dumps(definitions, NO_REFERENCES)
    except ValueError:  # of other types than JSON has
        return _hash_of(canonical_tools(definitions))
    hash_ = _hash_of_told_tools if len(told) <= _MOST_TOLD else _hash_of_told_tools.__wrapped__
    return hash_(told)


@lru_cache(maxsize=64)
def _hash_of_told_tools(told: bytes) -> str | None:
    return _hash_of(canonical_tools(marshal.loads(told)))  # as it was written above


_MOST_TOLD: Final = 256 * 1024
"""Bytes of definitions that are remembered."""


def _definitions(value: Any) -> Iterator[Mapping[str, Any]]:
    value = loads(value)
    if value is None:
        return
    if isinstance(value, list | tuple):
        for item in value:
            yield from _definitions(item)
    elif isinstance(value, Mapping):
        lists = [key for key in _LISTS if key in value and "name" not in value]
        wrapper = next((key for key in _WRAPPERS if isinstance(loads(value.get(key)), Mapping)), "")
        if lists:
            yield from _definitions([value[key] for key in lists])
        elif wrapper and "name" not in value:
            yield from _definitions(value[wrapper])
        else:
            yield _definition(value)


def _definition(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    if not tool.get("name"):
        return tool
    schema = next((tool[key] for key in _SCHEMAS if tool.get(key)), None)
    return {
        "name": tool["name"],
        "description": tool.get("description"),
        "parameters": loads(schema),
    }


# --- parameters --------------------------------------------------------------------------------


def canonical_params(facts: Facts) -> dict[str, Any]:
    """The parameters that are told, in one form; those at their neutral value are absent."""
    told = {name: getattr(facts, name) for name in PARAMS}
    told["stop"] = [told["stop"]] if isinstance(told["stop"], str) else told["stop"]
    told["tool_choice"] = _tool_choice(told["tool_choice"])
    told["response_format"] = _response_format(told["response_format"])
    return _told(told)


def _hash_of_params(facts: Facts) -> str | None:
    """The hash of the parameters; a run has few sets of them, and mostly plain ones."""
    told = _PARAMS(facts)
    if _PLAIN.issuperset(map(type, told)):
        return _hash_of_plain_params(*told)
    return _hash_of(canonical_params(facts))


@lru_cache(maxsize=256, typed=True)
def _hash_of_plain_params(*told: Any) -> str | None:
    return _hash_of(canonical_params(Facts(**dict(zip(PARAMS, told, strict=True)))))


_PARAMS: Final = attrgetter(*PARAMS)
_PLAIN: Final = frozenset({str, int, float, type(None)})

_CHOICES: Final = {"any": "required", "auto": None, "validated": None}


def _tool_choice(value: Any) -> Any:
    """`none`, `required` or {"name": …}; `auto` is what is meant where nothing is said."""
    if value is None:
        return None
    value = loads(value)
    if isinstance(value, str):
        return _CHOICES.get(value.lower(), value.lower())
    if not isinstance(value, Mapping):
        return value
    inner = next((value[k] for k in _CHOICE_HOLDERS if isinstance(value.get(k), Mapping)), value)
    names = inner.get("allowedFunctionNames") or inner.get("allowed_function_names")
    if names:
        return {"name": names[0]} if len(names) == 1 else {"names": names}
    if inner.get("name"):
        return {"name": inner["name"]}
    if inner.get("toolName"):
        return {"name": inner["toolName"]}
    mode = inner.get("mode") or inner.get("type")
    return _tool_choice(mode) if isinstance(mode, str) else value


_CHOICE_HOLDERS: Final = ("function", "functionCallingConfig", "function_calling_config")


def _response_format(value: Any) -> Any:
    """{"type": "json_schema", "schema": …} or {"type": "json_object"}; plain text is absent."""
    if value is None:
        return None
    value = loads(value)
    if not isinstance(value, Mapping):
        return value
    inner = value.get("json_schema")
    schema = (inner if isinstance(inner, Mapping) else value).get("schema")
    if schema:
        return {"type": "json_schema", "schema": loads(schema)}
    return None if value.get("type") == "text" else value


# --- RFC 8785 ----------------------------------------------------------------------------------


def canonical_json(value: Any) -> bytes:
    r"""JSON as RFC 8785 writes it: keys sorted, no spaces, numbers as ECMAScript prints them.

    Texts are made NFC with `\n` line ends first. What the RFC refuses, real traffic holds:
    integers beyond 2**53 keep all their digits, lone surrogates are encoded as they are, NaN and
    infinities are texts, and so is what is nested more than 100 deep.
    """
    return _canonical_text(value, _DEPTH).encode("utf-8", "surrogatepass")


def _canonical_text(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return _WORDS.get(value) or quoted(_clean(value))
    out: list[str] = []
    _write(value, out.append, depth)
    return "".join(out)


_DEPTH: Final = 100
_Put = Callable[[str], object]


def _write(value: Any, put: _Put, depth: int) -> None:
    if isinstance(value, str):
        put(quoted(_clean(value)))
    elif value is None:
        put("null")
    elif isinstance(value, bool):
        put("true" if value else "false")
    elif isinstance(value, int):
        put(str(value))
    elif isinstance(value, float):
        put(_number(value))
    elif depth == 0:
        put(quoted(dumps(value)))
    elif is_object(value):
        _write_object(value, put, depth - 1)
    elif isinstance(value, list | tuple):
        _write_list(value, put, depth - 1)
    else:
        put(quoted(str(value)))


def _write_list(items: Sequence[Any], put: _Put, depth: int) -> None:
    put("[")
    for index, item in enumerate(items):
        if index:
            put(",")
        _write(item, put, depth)
    put("]")


def _write_object(values: Mapping[Any, Any], put: _Put, depth: int) -> None:
    texts = {str(key): value for key, value in values.items()}
    is_ascii = "".join(texts).isascii()
    separator = "{"
    for key in sorted(texts, key=None if is_ascii else _utf16):
        value = texts[key]
        if isinstance(value, str):
            put(f"{separator}{quoted(key)}:{quoted(_clean(value))}")
        else:
            put(f"{separator}{quoted(key)}:")
            _write(value, put, depth)
        separator = ","
    put("}" if texts else "{}")


def _utf16(key: str) -> list[int]:
    """Its UTF-16 code units, which order keys; the codec is loaded late, when files may be gone."""
    return [unit for char in map(ord, key) for unit in _units(char)]


def _units(char: int) -> tuple[int, ...]:
    return (char,) if char < 0x10000 else (0xD7C0 + (char >> 10), 0xDC00 + (char & 0x3FF))


def _clean(text: str) -> str:
    """NFC, and lines that end as on Unix."""
    text = text.replace("\r\n", "\n")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _number(value: float) -> str:
    """A double as ECMAScript prints it: `1`, `0.000001`, `1e-7`, `1e+21`."""
    if not math.isfinite(value):
        return quoted(str(value))
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # a letter only for what is not finite
    if digits == (0,):
        return "0"
    text = "".join(map(str, digits))
    point = len(text) + exponent  # how many digits stand before the decimal point
    if len(text) <= point <= 21:
        text += "0" * (point - len(text))
    elif 0 < point <= 21:
        text = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        text = f"{text[0]}{fraction}e{point - 1:+d}"
    return f"-{text}" if sign else text


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hash_of(component: Any) -> str | None:
    """The hash of a component; None for an empty one."""
    return _hash(canonical_json(component)) if component else None


_ABSENT: Final = _hash(b"null")
"""Stands for a component that is not told, inside the hashes made of several."""
