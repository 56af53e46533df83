"""Python values as JSON text that gives back equal values: tuples, times, sets, bytes, any keys.

A type that JSON lacks is a map with one key:

    {"$tuple": [1, 2]}    {"$datetime": "2026-11-21T12:00:00+00:00"}    {"$dict": [[1, "one"]]}

`$dict` also stands for maps with other keys than text, and for those that only look like one of
these. Nothing is ever executed on the way back, which is why an object of a class of one's own
comes back as what is told of it: a dataclass or pydantic model as a map, anything else as its
`repr`.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from otel_traj.capture.values import as_json

_MAX_DEPTH: Final = 100
"""Containers nested deeper come back as text; the stack of the reader is not ours to exhaust."""


def dumps(value: Any) -> str:
    """Any value as ASCII JSON text; never raises."""
    return json.dumps(_tagged(value, 0), separators=(",", ":"))


def loads(text: str) -> Any:
    """Inverse of `dumps`."""
    return _restored(json.loads(text))


def is_same(left: Any, right: Any) -> bool:
    """Whether two values are equal and of the same types all through; NaN is the same as NaN."""
    return dumps(left) == dumps(right)


_WRITE: Final[Mapping[type, tuple[str, Callable[[Any], Any]]]] = {
    bytes: ("$bytes", lambda value: base64.b64encode(value).decode("ascii")),
    datetime: ("$datetime", datetime.isoformat),
    date: ("$date", date.isoformat),
    time: ("$time", time.isoformat),
    timedelta: ("$timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: ("$decimal", str),
    UUID: ("$uuid", str),
    complex: ("$complex", lambda value: [repr(value.real), repr(value.imag)]),
}

_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "$bytes": base64.b64decode,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": lambda parts: timedelta(*parts),
    "$decimal": Decimal,
    "$uuid": UUID,
    "$complex": lambda parts: complex(*map(float, parts)),
    "$float": float,
    "$int": lambda text: int(text, 16),
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$dict": dict,
}


def _tagged(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if abs(value) < 2**63 else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind in _WRITE:
        tag, write = _WRITE[kind]
        return {tag: write(value)}
    if depth > _MAX_DEPTH:
        return f"<nested deeper than {_MAX_DEPTH}>"
    if kind is list:
        return [_tagged(item, depth + 1) for item in value]
    if kind is tuple:
        return {"$tuple": [_tagged(item, depth + 1) for item in value]}
    if kind in (set, frozenset):
        members = [_tagged(item, depth + 1) for item in value]
        return {f"${kind.__name__}": sorted(members, key=json.dumps)}
    if kind is dict:
        return _tagged_dict(value, depth)
    return _tagged(json.loads(as_json(value)), depth + 1)


def _tagged_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    only = next(iter(value)) if len(value) == 1 else ""
    if all(type(key) is str for key in value) and not only.startswith("$"):
        return {key: _tagged(item, depth + 1) for key, item in value.items()}
    pairs = [[_tagged(key, depth + 1), _tagged(item, depth + 1)] for key, item in value.items()]
    return {"$dict": pairs}


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, told),) = value.items()
        if tag in _READ:
            return _READ[tag](_restored(told))
    return {key: _restored(item) for key, item in value.items()}
