"""What of an export request may be stored: all of it, a part, or nothing.

What is accepted here, the sealer can read (`tests/server/test_requests.py` feeds it mutations of
real requests): an acknowledged span that no table can hold would be a span lost.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableSequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from otel_traj import otlp, wal
from otel_traj.errors import InputError
from otel_traj.model import Record, is_sound
from otel_traj.otlp import Signal
from otel_traj.redaction import Redaction

Encoding: TypeAlias = Literal["protobuf", "json"]

_MAX_NS: Final = 2**63 - 1
"""Times are 64-bit integers with a sign in every table; that is until 2262."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The part of a request that may be stored.

    Attributes:
        body: The request's own bytes; written anew only where records were taken out or redacted.
            Empty when there is nothing to store.
        kind: Of the frame that takes it.
        accepted: How many spans or logs it holds.
        rejected: How many were taken out.
        reason: Why they were; empty when none was.
    """

    body: bytes
    kind: wal.FrameKind
    accepted: int
    rejected: int = 0
    reason: str = ""


def check(body: bytes, signal: Signal, encoding: Encoding) -> Checked:
    """Tell what of a request may be stored.

    Args:
        body: The request, not compressed.
        signal: What it exports.
        encoding: How it is written.

    Raises:
        InputError: It is no such request.
    """
    return (_check_protobuf if encoding == "protobuf" else _check_json)(body, signal)


def redacted(checked: Checked, signal: Signal, encoding: Encoding, redaction: Redaction) -> Checked:
    """The same without what a redaction finds; where it finds nothing, the request's own bytes."""
    records: list[Record] = list(
        otlp.records_from_protobuf(checked.body, signal)
        if encoding == "protobuf"
        else otlp.records_from_json(json.loads(checked.body))
    )
    clean = [redaction.record(record) for record in records]
    if all(after is before for after, before in zip(clean, records, strict=True)):
        return checked
    return replace(checked, body=wal.encode(clean), kind="json")


_KINDS: Final[Mapping[Signal, wal.FrameKind]] = {"traces": "otlp-traces", "logs": "otlp-logs"}


def _checked(body: bytes, signal: Signal, total: int, flaws: Counter[str]) -> Checked:
    rejected = flaws.total()
    reason = "; ".join(f"{count} with {flaw}" for flaw, count in flaws.most_common())
    accepted = total - rejected
    return Checked(body if accepted else b"", _KINDS[signal], accepted, rejected, reason)


def _take_out(
    members: MutableSequence[Any], flaws: Iterable[str | None], found: Counter[str]
) -> None:
    """Delete the members that have a flaw, and count the flaws."""
    flawed = [(position, flaw) for position, flaw in enumerate(flaws) if flaw]
    for position, flaw in reversed(flawed):
        del members[position]
        found[flaw] += 1


# --- protobuf ----------------------------------------------------------------------------------


def _check_protobuf(body: bytes, signal: Signal) -> Checked:
    message = otlp.parsed(body, signal)
    parts = _protobuf_parts(message, signal)
    flaw_of = _flaw_of_span if signal == "traces" else _flaw_of_log
    total = 0
    flaws: Counter[str] = Counter()
    for members in parts:
        total += len(members)
        _take_out(members, map(flaw_of, members), flaws)
    # In the log, a body that begins with a brace is JSON. In protobuf that would be the old "group"
    # in a field that OTLP does not have: legal, and of no meaning to anybody.
    if flaws or body.startswith(b"{"):
        message.DiscardUnknownFields()
        body = message.SerializeToString()
    return _checked(body, signal, total, flaws)


def _protobuf_parts(message: Any, signal: Signal) -> Iterator[Any]:
    if signal == "traces":
        for group in message.resource_spans:
            for part in group.scope_spans:
                yield part.spans
    else:
        for group in message.resource_logs:
            for part in group.scope_logs:
                yield part.log_records


_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


def _flaw_of_span(span: Any) -> str | None:
    # Half of the time that a request takes here: each field is a call, and is read once.
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == _NO_TRACE:
        return "an invalid trace id"
    if len(span_id) != 8 or span_id == _NO_SPAN:
        return "an invalid span id"
    if len(span.parent_span_id) not in (0, 8):
        return "an invalid parent span id"
    if not 0 < span.start_time_unix_nano <= _MAX_NS or span.end_time_unix_nano > _MAX_NS:
        return "an invalid time"
    for event in span.events:
        if event.time_unix_nano > _MAX_NS:
            return "an event of an invalid time"
    return None


def _flaw_of_log(log: Any) -> str | None:
    if len(log.trace_id) not in (0, 16):
        return "an invalid trace id"
    if len(log.span_id) not in (0, 8):
        return "an invalid span id"
    if max(log.time_unix_nano, log.observed_time_unix_nano) > _MAX_NS:
        return "an invalid time"
    return None


# --- JSON --------------------------------------------------------------------------------------


def _check_json(body: bytes, signal: Signal) -> Checked:
    message = _json_object(body)
    if not message:
        return Checked(b"", _KINDS[signal], 0)
    groups, parts, members = _JSON_NAMES[signal]
    if groups not in message:
        raise InputError(f"Not OTLP {signal}: the object has no {groups!r}")
    flaw_of = _flaw_of_json_span if signal == "traces" else _flaw_of_json_log
    total = 0
    flaws: Counter[str] = Counter()
    try:
        for group in message[groups] or ():
            for part in group.get(parts) or ():
                found = part.get(members) or []
                total += len(found)
                _take_out(found, map(flaw_of, found), flaws)
    except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"Not valid OTLP JSON: {type(error).__name__}: {error}") from error
    # The objects are without flaw by now; this reads all the rest of them, as the sealer will.
    if total > flaws.total() and not _is_readable(message):
        raise InputError("Not valid OTLP JSON: a field has the wrong type")
    body = json.dumps(message).encode() if flaws else body.strip()
    return _checked(body, signal, total, flaws)


def _is_readable(message: Mapping[str, Any]) -> bool:
    try:
        return all(map(is_sound, otlp.records_from_json(message)))
    except RecursionError:
        raise InputError("Not valid OTLP JSON: a value is nested too deeply") from None


_JSON_NAMES: Final = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        # `json.loads` would take UTF-16 as well, which nobody could tell from protobuf any more.
        message = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"Not JSON: {error}") from error
    if not isinstance(message, dict):
        raise InputError("Not OTLP JSON: no object")
    return message


def _flaw_of_json_span(span: Mapping[str, Any]) -> str | None:
    if not _is_hex(span.get("traceId"), 16) or not span["traceId"].strip("0"):
        return "an invalid trace id"
    if not _is_hex(span.get("spanId"), 8) or not span["spanId"].strip("0"):
        return "an invalid span id"
    if span.get("parentSpanId") and not _is_hex(span["parentSpanId"], 8):
        return "an invalid parent span id"
    start_ns, end_ns = _ns(span.get("startTimeUnixNano")), _ns(span.get("endTimeUnixNano"))
    if not 0 < start_ns <= _MAX_NS or not 0 <= end_ns <= _MAX_NS:
        return "an invalid time"
    if not all(
        0 <= _ns(event.get("timeUnixNano")) <= _MAX_NS for event in span.get("events") or ()
    ):
        return "an event of an invalid time"
    return None


def _flaw_of_json_log(log: Mapping[str, Any]) -> str | None:
    if log.get("traceId") and not _is_hex(log["traceId"], 16):
        return "an invalid trace id"
    if log.get("spanId") and not _is_hex(log["spanId"], 8):
        return "an invalid span id"
    times = (_ns(log.get("timeUnixNano")), _ns(log.get("observedTimeUnixNano")))
    if not all(0 <= time_ns <= _MAX_NS for time_ns in times):
        return "an invalid time"
    return None


_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def _is_hex(given: Any, size: int) -> bool:
    return isinstance(given, str) and len(given) == 2 * size and bool(_HEX.fullmatch(given))


def _ns(given: Any) -> int:
    return int(given or 0)
