"""Numbers as people read them."""

from __future__ import annotations

import re


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


def percent(share: float) -> str:
    """A share as whole per cent; only none is `0 %` and only all is `100 %`."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")


def usd(dollars: float) -> str:
    """US dollars: `$1,204.50`; below a cent two figures, `$0.00042`."""
    if dollars == 0 or abs(dollars) >= 0.01:
        return f"${dollars:,.2f}"
    return f"${dollars:.2g}" if abs(dollars) >= 1e-4 else f"${dollars:.1e}"
