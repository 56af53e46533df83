"""Numbers and times as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime


def duration(us: int | None) -> str:
    """Microseconds as three figures or two units: `34.1 ms`, `2 min 5 s`; "" when unknown."""
    if us is None:
        return ""
    if us < 0:
        return f"-{duration(-us)}"
    for limit, per_unit, unit in (
        (1_000, 1, "µs"),
        (1_000_000, 1_000, "ms"),
        (60_000_000, 1e6, "s"),
    ):
        if us < limit * 0.9995:  # what rounds up to the next unit is said in that
            return f"{us / per_unit:.3g} {unit}"
    minutes, seconds = divmod(round(us / 1e6), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def count(n: int, noun: str) -> str:
    """A number with its noun: `1 step`, `1,204 steps`, `2 trajectories`, `3 days`."""
    many = re.sub("([^aeiou])y$", r"\1ie", noun) + "s"
    return f"{n:,} {noun if n == 1 else many}"


def us_since(moment: datetime) -> int:
    """Microseconds from a moment until now."""
    return round((datetime.now(UTC) - moment).total_seconds() * 1e6)


def when(moment: datetime) -> str:
    """A time to the second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def is_told(moment: datetime) -> bool:
    """Whether somebody told a time: those that nobody did keep an order, from the epoch on."""
    return moment.year > 1970
