"""What a client of Jaeger's API asks for: both families of its parameters, read into one question.

Clients disagree on units (Grafana sends milliseconds where Jaeger means microseconds), so a time is
read by its magnitude, and on the spelling of names, so those in snake case are accepted as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from starlette.datastructures import QueryParams

from otel_traj.errors import InputError

DEFAULT_LIMIT: Final = 100
MOST_TRACES: Final = 10_000

ServiceFrom: TypeAlias = Literal["service", "agent"]
"""What counts as the service of a span: `service.name`, or the agent that acts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Which traces are wanted: those with a span for which all of it holds, the newest first.

    Attributes:
        service: Name of its service; None for any.
        operation: Its name; None for any.
        tags: What it must show, by key; all values as text.
        start_min_ns, start_max_ns: When it starts, Unix nanoseconds, both included.
        duration_min_ns, duration_max_ns: How long it takes, both included.
        limit: So many traces at most.
    """

    service: str | None = None
    operation: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    start_min_ns: int | None = None
    start_max_ns: int | None = None
    duration_min_ns: int | None = None
    duration_max_ns: int | None = None
    limit: int = DEFAULT_LIMIT

    def __post_init__(self) -> None:
        """Refuse what cannot be answered.

        Raises:
            InputError: The limit is out of bounds, or a range is empty.
        """
        if not 1 <= self.limit <= MOST_TRACES:
            raise InputError(f"The number of traces must be from 1 to {MOST_TRACES:,}")
        low, high = self.duration_min_ns, self.duration_max_ns
        if low is not None and high is not None and high < low:
            raise InputError("'maxDuration' should be greater than 'minDuration'")


def legacy_query(given: QueryParams) -> TraceQuery:
    """The question of `/api/traces`.

    Raises:
        InputError: A parameter cannot be read.
    """
    return TraceQuery(
        service=given.get("service") or None,
        operation=given.get("operation") or None,
        tags=_tags(given.getlist("tag"), given.getlist("tags")),
        start_min_ns=_time(given, "start"),
        start_max_ns=_time(given, "end"),
        duration_min_ns=_duration(given, "minDuration"),
        duration_max_ns=_duration(given, "maxDuration"),
        limit=_limit(given, "limit"),
    )


def v3_query(given: QueryParams) -> TraceQuery:
    """The question of `/api/v3/traces` and `/api/v3/trace-summaries`.

    Raises:
        InputError: A parameter cannot be read, or the range of time is not given.
    """
    times = {name: _named(given, name) for name in ("query.startTimeMin", "query.startTimeMax")}
    if not all(times.values()):
        raise InputError("query.start_time_min and query.start_time_max are required")
    low, high = (_rfc3339_ns(text or "", name) for name, text in times.items())
    attributes = _named(given, "query.attributes")
    return TraceQuery(
        service=_named(given, "query.serviceName"),
        operation=_named(given, "query.operationName"),
        tags=_tags([], [attributes] if attributes else []),
        start_min_ns=low,
        start_max_ns=high,
        duration_min_ns=_duration(given, "query.durationMin"),
        duration_max_ns=_duration(given, "query.durationMax"),
        limit=_limit(given, "query.searchDepth", "query.numTraces"),
    )


def trace_id(text: str) -> str:
    """A trace id as the store has it: 32 hex digits; leading zeros may be left out.

    Raises:
        InputError: It is none.
    """
    if not re.fullmatch(r"[0-9A-Fa-f]{1,32}", text):
        raise InputError(f"{text!r} is no trace id: up to 32 hex digits")
    return text.lower().zfill(32)


def service_from(given: QueryParams, default: ServiceFrom) -> ServiceFrom:
    """What counts as service in this request.

    Raises:
        InputError: It is none of the two.
    """
    match given.get("service_from", default):
        case "service":
            return "service"
        case "agent":
            return "agent"
        case other:
            raise InputError(f"service_from={other!r} is neither 'service' nor 'agent'")


def max_value(given: QueryParams) -> int | None:
    """How many characters of a value are wanted; None for all.

    Raises:
        InputError: It is no such number.
    """
    return _whole(given, "max_value", least=1)


def dependency_range(given: QueryParams) -> tuple[int, int]:
    """From when to when calls between services are wanted, Unix nanoseconds.

    Raises:
        InputError: A parameter cannot be read.
    """
    end_ns = _time(given, "endTs") or _now_ns()
    lookback_ms = _whole(given, "lookback", least=0)
    return end_ns - (_DAY_MS if lookback_ms is None else lookback_ms) * 1_000_000, end_ns


_DAY_MS: Final = 24 * 3_600 * 1_000


def _named(given: QueryParams, name: str) -> str | None:
    """A parameter under its name or that in snake case; None where it is absent or empty."""
    snake = re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)
    return given.get(name) or given.get(snake) or None


def _tags(pairs: list[str], objects: list[str]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon:
            raise InputError(f"malformed 'tag' parameter, expecting key:value, received: {pair}")
        tags[key] = value
    for text in objects:
        try:
            read = json.loads(text)
        except ValueError as error:
            raise InputError(f"malformed 'tags' parameter, cannot read JSON: {error}") from error
        if not isinstance(read, dict):
            raise InputError("malformed 'tags' parameter: it must be a JSON object of texts")
        tags |= {k: v if isinstance(v, str) else json.dumps(v) for k, v in read.items()}
    return tags


def _limit(given: QueryParams, *names: str) -> int:
    for name in names:
        text = _named(given, name)
        if text is not None:
            return _integer(text, name)
    return DEFAULT_LIMIT


def _whole(given: QueryParams, name: str, *, least: int) -> int | None:
    text = given.get(name)
    if not text:
        return None
    number = _integer(text, name)
    if number < least:
        raise InputError(f"unable to parse param '{name}': {number} is less than {least}")
    return number


def _integer(text: str, name: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,19}", text):
        raise InputError(f"unable to parse param '{name}': {text!r} is no integer")
    return int(text)


# --- times -------------------------------------------------------------------------------------


def _time(given: QueryParams, name: str) -> int | None:
    text = given.get(name)
    return unix_ns(_integer(text, name)) if text else None


def unix_ns(number: int) -> int:
    """A Unix time in whatever unit its magnitude tells -> nanoseconds.

    Seconds up to the year 5138, milliseconds from 1973, microseconds from 1973, nanoseconds from
    1973: the ranges do not meet.
    """
    for limit, unit in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)):
        if abs(number) < limit:
            return number * unit
    return number


_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)"
)


def _rfc3339_ns(text: str, name: str) -> int:
    read = _RFC3339.fullmatch(text.replace(" ", "+"))  # a plus that was not escaped in the URL
    try:
        if read is None:
            raise ValueError("it is no time as RFC 3339 has it")
        moment = datetime.fromisoformat(read[1] + read[3].upper().replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(f"malformed parameter {name}: {text!r}: {error}") from error
    whole = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    return int(whole) * 10**9 + int((read[2] or "0").ljust(9, "0"))


_UNITS: Final[Mapping[str, int]] = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # micro sign
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3_600 * 10**9,
}
_PART: Final = re.compile(rf"(\d+\.?\d*|\.\d+)({'|'.join(sorted(_UNITS, key=len, reverse=True))})")


def duration_ns(text: str) -> int:
    """A duration as Go writes it (`1.2s`, `1h30m`) in nanoseconds.

    Raises:
        InputError: It is none, or negative.
    """
    if text == "0":
        return 0
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise InputError(f"{text!r} is no duration: write 1.5s, 200ms or 1h30m")
    return sum(round(float(part[1]) * _UNITS[part[2]]) for part in parts)


def _duration(given: QueryParams, name: str) -> int | None:
    text = _named(given, name)
    if text is None:
        return None
    try:
        return duration_ns(text)
    except InputError as error:
        raise InputError(f"unable to parse param '{name}': {error}") from error


def _now_ns() -> int:
    return int(datetime.now(UTC).timestamp() * 1e9)
