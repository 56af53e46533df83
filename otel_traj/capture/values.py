"""What a program hands over, as attribute values: whole, never raising, never cut."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any, Final

from otel_traj import semconv

Scalar = str | bool | int | float


def as_text(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else as_json(value)


def as_scalar(value: Any) -> Scalar:
    """A value that an attribute holds as it is, or JSON."""
    return value if isinstance(value, str | bool | int | float) else as_json(value)


def as_json(value: Any) -> str:
    """Any Python value as JSON text; what JSON has not is told as `otel_traj.wal` tells it.

    Dataclasses and pydantic models become objects, enumerations their values, other objects their
    `repr`. Characters stay readable; only lone surrogates, which UTF-8 has not, make it escape.
    """
    try:
        text = _encode(value)
        text.encode()
    except (ValueError, TypeError, RecursionError):
        from otel_traj import wal  # 30 ms with the model, which few programs ever need here

        return wal.dumps(value)
    return text


def limited(key: str, text: str, max_bytes: int | None) -> dict[str, str | int]:
    """Attributes that tell a text: whole, or its beginning with a mark, its length and its hash.

    Args:
        key: Of the attribute.
        text: Its value.
        max_bytes: Of UTF-8 that are kept; None for all.
    """
    if max_bytes is None or len(text) * 4 <= max_bytes:
        return {key: text}
    whole = text.encode("utf-8", "surrogatepass")
    if len(whole) <= max_bytes:
        return {key: text}
    import hashlib  # 8 ms of OpenSSL, not for `import otel_traj`

    kept = whole[:max_bytes].decode("utf-8", "ignore")
    return {
        key: f"{kept}… [cut: {len(whole)} bytes]",
        f"{semconv.TRUNCATED_PREFIX}{key}": len(whole),
        f"{semconv.HASH_PREFIX}{key}": hashlib.sha256(whole).hexdigest(),
    }


def canonical_json(value: Any) -> str:
    """`as_json` with keys in order and no spaces, so that equal values give equal text."""
    return json.dumps(
        json.loads(as_json(value)), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def _known(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if callable(dump := getattr(type(value), "model_dump", None)):
        return _dumped(value, dump)
    from otel_traj import wal

    return json.loads(wal.dumps(value))


def _dumped(value: Any, dump: Any) -> Any:
    try:
        return dump(value)
    except Exception as error:  # the user's code
        return f"<{type(value).__qualname__}: model_dump raised {type(error).__name__}>"


_encode: Final = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_known
).encode
