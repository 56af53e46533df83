"""Requests as a broken or hostile sender would make them: near enough to real ones to get far."""

from __future__ import annotations

import json
import random
from typing import Any

from otel_traj.server.requests import Encoding

_ODD_VALUES: list[Any] = [
    *[None, True, -1, 0, 2**31, 2**63, 2**64, 2**70, 0.5, 1e400, float("nan")],
    *["", "x", "\0", "\ud800", "9" * 5000, "00" * 16, "ff" * 8, "NaN", "Infinity"],
    *[[], {}, [[]], [None], {"key": "k"}, {"intValue": "x"}, {"stringValue": 5}],
]


def mutated(body: bytes, encoding: Encoding, chance: random.Random) -> bytes:
    """The request with one to three changes."""
    for _ in range(chance.randint(1, 3)):
        if encoding == "json" and chance.random() < 0.7:
            body = _other_value(body, chance)
        else:
            body = _other_bytes(body, chance)
    return body


def _other_bytes(body: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(body) + 1)
    end = min(len(body), start + chance.choice([0, 1, 1, 1, 2, 8, 64]))
    inserted = chance.choice([b"", chance.randbytes(1), chance.randbytes(1), chance.randbytes(8)])
    return body[:start] + inserted + body[end:]


def _other_value(body: bytes, chance: random.Random) -> bytes:
    """A value anywhere in the JSON replaced by an odd one."""
    try:
        message = json.loads(body)
    except ValueError:
        return body
    places = list(_places(message))
    if places:
        container, key = chance.choice(places)
        container[key] = chance.choice(_ODD_VALUES)
    return json.dumps(message).encode()


def _places(value: Any) -> Any:
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(entries):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)
