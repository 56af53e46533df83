"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def us_since(moment: datetime) -> int:
    """Microseconds from a moment until now."""
    return round((datetime.now(UTC) - moment).total_seconds() * 1e6)


def when(moment: datetime) -> str:
    """A time to the second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def is_told(moment: datetime) -> bool:
    """Whether somebody told a time: those that nobody did keep an order, from the epoch on."""
    return moment.year > 1970
