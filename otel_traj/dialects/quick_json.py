"""JSON as the standard library reads and writes it, in a fifth of the time.

msgspec reads and quotes nearly everything; what it refuses (NaN, numbers beyond a double, lone
surrogates) is left to `json`, so that nobody can tell who did it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Final, cast

import msgspec

_read: Final = msgspec.json.Decoder().decode
_read_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_write: Final = msgspec.json.Encoder().encode
_REFUSED: Final = (msgspec.DecodeError, UnicodeEncodeError)


def loads(text: str | bytes) -> Any:
    """The value of a JSON text, UTF-8 if it is bytes.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deep.
    """
    try:
        return _read(text)
    except _REFUSED:
        return json.loads(text)


def items_of(text: str) -> list[bytes]:
    """The items of a JSON list, each as it is written.

    Raises:
        ValueError: It is none, or holds what only `json` reads.
    """
    try:
        return [bytes(item) for item in _read_items(text)]
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def dumps(value: Any) -> str:
    """Compact JSON text; what JSON cannot say is written as text."""
    return quoted(value) if type(value) is str else _encode(value)


def encoder(default: Callable[[Any], Any], *, allow_nan: bool) -> Callable[[Any], str]:
    """`encode` of a `json.JSONEncoder` that writes compact text; not of what holds itself.

    That one makes its part in C anew for each value, which takes longer than to write a small one.
    What holds itself is a RecursionError here, not a ValueError.

    Args:
        default: As there: what stands for a value that JSON cannot say.
        allow_nan: As there.
    """
    plain = json.JSONEncoder(
        ensure_ascii=False, separators=(",", ":"), default=default, allow_nan=allow_nan
    )
    make = cast(Any, json.encoder).c_make_encoder
    if make is None:  # an interpreter without it
        return plain.encode
    write = make(None, default, encode_basestring, None, ":", ",", False, False, allow_nan)
    return lambda value: "".join(write(value, 0))


_encode: Final = encoder(str, allow_nan=True)


def quoted(text: str) -> str:
    """A text as JSON, in which all that may stand unescaped does."""
    try:
        return _write(text).decode()
    except UnicodeEncodeError:
        return encode_basestring(text)
