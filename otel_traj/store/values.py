r"""The JSON text that a column holds, for any attribute value; read back, the value is the same.

It differs from the log's form (`otel_traj.wal`) because SQL reads it: text stays readable UTF-8,
and everything is JSON that DuckDB accepts, which refuses the escapes of lone surrogates. What JSON
lacks has a stand-in, a map with one key:

    {"$b64": "AAE="}            bytes
    {"$f": "NaN"}               NaN, Infinity, -Infinity
    {"$json": "\"\\ud800\""}   text, or a map with a key, that is no Unicode: as ASCII JSON
    {"$map": [["$f", "NaN"]]}   a map that only looks like one of these
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from otel_traj.dialects import quick_json
from otel_traj.wal import text_of

_STAND_INS: Final = frozenset({"$b64", "$f", "$json", "$map"})
_NON_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_MAX_DEPTH: Final = 100
"""Containers nested deeper become text; the stack of the reader is not ours to exhaust."""


def dumps(value: Any) -> str:
    """Any Python value as JSON text; foreign objects as their `repr`, sets and tuples as lists."""
    try:
        text = _encode(value)
    except (ValueError, TypeError, RecursionError):
        return _encode(_plain(value))
    # Only a text with this in it can hold a map that `loads` would take for something else.
    if '{"$' in text or not is_unicode(text):
        return _encode(_plain(value))
    return text


def loads(text: str) -> Any:
    """Inverse of `dumps`."""
    return json.loads(text, object_pairs_hook=_restore) if '{"$' in text else json.loads(text)


def is_unicode(text: str) -> bool:
    """Whether UTF-8, hence Arrow and DuckDB, can hold the text: no lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(text: str) -> str:
    """The text with every lone surrogate replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _default(value: Any) -> Any:
    """What the C encoder does not know."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$b64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | Set):
        return list(value)
    return text_of(value)


_encode: Final = quick_json.encoder(_default, allow_nan=False)


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` made of JSON types and stand-ins only."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Python refuses to print integers of more than 4,300 digits.
        return int(value) if value.bit_length() < 1024 else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$f": _NON_FINITE[str(float(value))]}
    if isinstance(value, str):
        return str(value) if is_unicode(value) else {"$json": json.dumps(value)}
    if depth > _MAX_DEPTH:
        return f"<nested deeper than {_MAX_DEPTH}>"
    if isinstance(value, bytes | bytearray | memoryview):
        return _default(value)
    if isinstance(value, Mapping):
        return _plain_map({_key(k): _plain(item, depth + 1) for k, item in value.items()})
    if isinstance(value, Sequence | Set):
        return [_plain(item, depth + 1) for item in value]
    return text_of(value)


def _plain_map(value: dict[str, Any]) -> dict[str, Any]:
    if not all(map(is_unicode, value)):
        return {"$json": json.dumps(value)}
    if len(value) == 1 and value.keys() <= _STAND_INS:
        return {"$map": [list(pair) for pair in value.items()]}
    return value


def _key(key: Any) -> str:
    """A map's key as text; as the C encoder writes it where that knows it."""
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    return key if isinstance(key, str) else text_of(key)


def _restore(pairs: list[tuple[str, Any]]) -> Any:
    """Undo the stand-ins; called from the innermost object outwards."""
    if len(pairs) == 1:
        ((key, value),) = pairs
        if key == "$b64":
            return base64.b64decode(value)
        if key == "$f":
            return float(value)
        if key == "$json":
            return json.loads(value, object_pairs_hook=_restore)
        if key == "$map":
            return dict(value)
    return dict(pairs)
