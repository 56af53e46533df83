"""Texts of any length in answers of some: their beginnings, and how to ask for the whole."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from otel_traj.dialects.messages import Message, as_text, from_json
from otel_traj.dialects.messages import Part as MessagePart
from otel_traj.server.viewer.answers import Attribute, Media, Part, Text, ToldMessage

PREVIEW: Final = 400
LONGEST: Final = 64 * 1024
"""Characters of a text in a transcript, and in a detail."""

MOST: Final = 2 * 1024 * 1024
"""Characters of all texts of a detail; then even short ones are only begun."""

_MOST_MESSAGES: Final = 2_000


class Texts:
    """Cuts texts, and keeps the whole ones by their keys.

    Attributes:
        whole: Key -> text or bytes.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        """Begin an answer.

        Args:
            longest: Characters of a text that are sent.
        """
        self.whole: dict[str, str | bytes] = {}
        self._longest = longest
        self._left = MOST

    def text(self, key: str, text: str | None) -> Text | None:
        """A text, or what of it is sent; None for none."""
        if text is None:
            return None
        self.whole[key] = text
        room = min(self._longest, max(PREVIEW, self._left))
        self._left -= min(room, len(text))
        if len(text) <= room:
            return {"text": text, "length": len(text), "key": None, "sha256": None}
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return {"text": text[:room], "length": len(text), "key": key, "sha256": digest}

    def json(self, key: str, value: Any) -> Text | None:
        """The same of any value as JSON; a text is what it is."""
        return self.text(key, as_text(value))

    def messages(self, key: str, text: str | None) -> list[ToldMessage]:
        """Messages of a canonical JSON text; at most so many that a page can hold them."""
        return [
            self._message(f"{key}.{i}", message)
            for i, message in enumerate(from_json(text)[:_MOST_MESSAGES])
        ]

    def _message(self, key: str, message: Message) -> ToldMessage:
        return {
            "role": message.role,
            "finish_reason": message.finish_reason,
            "parts": [self.part(f"{key}.{i}", part) for i, part in enumerate(message.parts)],
        }

    def part(self, key: str, part: MessagePart) -> Part:
        """A piece of a message."""
        told: Part = {
            "kind": part.kind,
            "text": None,
            "is_json": False,
            "id": part.id,
            "name": part.name,
            "failed": part.failed,
            "media": None,
        }
        if part.kind == "media" and (media := self._media(key, part.value)):
            return {**told, "media": media}
        if part.kind in ("text", "reasoning"):
            return {**told, "text": self.text(key, part.text or "")}
        return {
            **told,
            "text": self.json(key, part.value),
            "is_json": not isinstance(part.value, str),
        }

    def _media(self, key: str, block: Any) -> Media | None:
        """An image, a sound, a file, in whatever shape it came; None where none is known."""
        for holder in _holders(block):
            mime, uri, data = (_said(holder, keys) for keys in (_MIME, _PLACES, _DATA))
            if uri and uri.startswith("data:"):
                head, _, data = uri.partition(",")
                mime, uri = head[5:].split(";")[0] or mime, None
            if data is None and uri is None:
                continue
            content = _bytes(data) if data is not None else None
            if content is not None:
                self.whole[key] = content
            is_short = data is not None and len(data) <= self._longest
            return {
                "mime": mime,
                "uri": uri[:LONGEST] if uri else None,
                "data": data if is_short and content is not None else None,
                "n_bytes": None if content is None else len(content),
                "key": None if content is None else key,
            }
        return None

    def attributes(self, place: str, told: Mapping[str, Any]) -> list[Attribute]:
        """Attributes by key."""
        return [
            {"key": key, "type": _type(value), "value": self._value(f"{place}.{key}", value)}
            for key, value in sorted(told.items())
        ]

    def _value(self, key: str, value: Any) -> Text:
        if isinstance(value, bytes):
            told = self.text(key, base64.b64encode(value).decode("ascii"))
            self.whole[key] = value
        else:
            told = self.text(key, value if isinstance(value, str) else _json(value))
        assert told is not None  # there is a text for every value
        return told


def beginning(text: str | None) -> Text | None:
    """The beginning of a text that is read elsewhere."""
    if text is None:
        return None
    return {"text": text[:PREVIEW], "length": len(text), "key": None, "sha256": None}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_foreign)


def _foreign(value: Any) -> str:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)


def _type(
    value: Any,
) -> Literal["string", "bool", "int", "double", "bytes", "array", "map", "null"]:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "double"
        case str():
            return "string"
        case bytes():
            return "bytes"
        case Mapping():
            return "map"
        case _:
            return "array"


# --- media -------------------------------------------------------------------------------------

_MIME: Final = ("mime_type", "mimeType", "media_type", "format")
_PLACES: Final = ("url", "image_url", "uri", "file_uri", "fileUri", "file_id")
_DATA: Final = ("data", "content", "file_data")
_INSIDE: Final = (
    "image_url",
    "input_audio",
    "source",
    "file",
    "inlineData",
    "inline_data",
    "fileData",
    "file_data",
)


def _holders(block: Any) -> Iterable[Mapping[str, Any]]:
    if isinstance(block, Mapping):
        yield block
        for name in _INSIDE:
            if isinstance(block.get(name), Mapping):
                yield block[name]


def _said(holder: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    return next((holder[key] for key in keys if isinstance(holder.get(key), str)), None)


def _bytes(data: str) -> bytes | None:
    try:
        return base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        return None
