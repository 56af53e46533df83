"""Whether a record's fields hold what they are declared to hold.

JSON promises no types, and a store that was given a list for a name could never be sealed again. So
what a file says is looked at before anybody believes it; attributes may have any value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from otel_traj.errors import InputError
from otel_traj.importers.parts import Records
from otel_traj.model import LogRecord, SpanEvent, SpanLink, SpanRecord

MALFORMED: Final = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)
"""What reading an object of the wrong shape raises."""


def checked(name: str, records: Records) -> Records:
    """The same records; what raises in them, or no store could hold, comes as InputError.

    Args:
        name: What messages call their format.
        records: Read while they are asked for.
    """
    try:
        for record in records:
            check(record)
            yield record
    except MALFORMED as error:
        raise InputError(not_valid(name, error)) from error


def not_valid(name: str, error: Exception) -> str:
    """What a message says of content that is not what its format asks for."""
    return f"Not valid {name}: {type(error).__name__}: {error}"


def check(record: SpanRecord | LogRecord) -> None:
    """Look at every field of a record that a file can fill.

    Raises:
        ValueError: A field holds something else; the message names it.
    """
    _check(record)
    if isinstance(record, SpanRecord):
        for event in record.events:
            _check(event)
        for link in record.links:
            _check(link)


def _check(part: object) -> None:
    for name, is_valid in _FIELDS[type(part)].items():
        value = getattr(part, name)
        if value is not None and not is_valid(value):
            raise ValueError(f"{name} is {str(value)[:80]!r}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_int64(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_object(value: Any) -> bool:
    return all(isinstance(key, str) for key in value)


_FIELDS: Final[Mapping[type, Mapping[str, Callable[[Any], bool]]]] = {
    SpanRecord: {
        "name": _is_text,
        "start_ns": _is_int64,
        "end_ns": _is_int64,
        "status_message": _is_text,
        "attributes": _is_object,
        "resource": _is_object,
        "scope_name": _is_text,
        "scope_version": _is_text,
        "scope_attributes": _is_object,
        "schema_url": _is_text,
        "trace_state": _is_text,
        "flags": _is_int64,
        "dropped_attributes": _is_count,
        "dropped_events": _is_count,
        "dropped_links": _is_count,
    },
    LogRecord: {
        "time_ns": _is_int64,
        "observed_ns": _is_int64,
        "event_name": _is_text,
        "severity": _is_text,
        "attributes": _is_object,
        "scope_name": _is_text,
        "resource": _is_object,
    },
    SpanEvent: {"time_ns": _is_int64, "name": _is_text, "attributes": _is_object},
    SpanLink: {"attributes": _is_object},
}
