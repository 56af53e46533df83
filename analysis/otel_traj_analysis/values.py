"""Values of an answer as people read them; the unit is in the name of the column.

`duration_s` is said in seconds or minutes, `cost_usd` in dollars, a rate or share in per cent, a
difference of rates in points. What is not known is said so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from otel_traj.safety import visible
from otel_traj.words import duration, percent, usd

UNKNOWN: Final = "\N{EN DASH}"

NAMELESS: Final[Mapping[str, str]] = {
    "agent_name": "(unnamed)",
    "task": "(unnamed)",
    "model": "(unnamed)",
}
"""Column -> what stands for NULL where that means that nobody gave a name."""

ORDERED: Final = ("pattern", "calls", "prefix")
"""Lists in which one thing follows another."""


def text(column: str, value: Any) -> str:
    """A value of a column in one line, harmless (`otel_traj.safety`)."""
    match value:
        case None:
            return NAMELESS.get(column, UNKNOWN)
        case str():
            return visible(value)
        case bool():
            return "yes" if value else "no"
        case int() if not _has_unit(column):
            return f"{value:,}"
        case int() | float():
            return _number(column, float(value))
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
        case date():
            return value.isoformat()
        case [] if column in ORDERED:
            return "nothing"
        case list():
            joint = " → " if column in ORDERED else ", "
            return joint.join(text("", item) for item in value) or UNKNOWN
        case dict():
            return ", ".join(f"{visible(str(key))}: {text('', v)}" for key, v in value.items())
    return visible(str(value))


def is_share(column: str) -> bool:
    """Whether a column holds a part of a whole, in [0, 1]."""
    return column.split("_")[0] in ("share", "savable") or any(
        word in ("rate", "share") for word in column.split("_")
    )


def is_difference(column: str) -> bool:
    """Whether a column holds a difference of rates, in [-1, 1]."""
    return column.startswith("difference") or column.split("_")[-1] == "change"


def is_number(duckdb_type: str) -> bool:
    """Whether a column of a DuckDB type stands at the right."""
    return duckdb_type.endswith(("INT", "INTEGER", "DOUBLE", "FLOAT")) or "DECIMAL" in duckdb_type


def _has_unit(column: str) -> bool:
    return column.endswith(("_s", "_seconds", "_usd")) or is_share(column)


def _number(column: str, value: float) -> str:
    if column.endswith("_usd"):
        return usd(value)
    if column.endswith(("_s", "_seconds")):
        return duration(round(value * 1e6))
    if is_difference(column):
        return f"{100 * value:+.0f} points"
    if is_share(column):
        return percent(value)
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
