"""Partitions by UTC day, and in which of them to look.

All rows of a trace lie in one partition: the day of the first of its spans that was seen. Who knows
when something happened looks at the days around it, not at years of files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final, Protocol

from otel_traj.store.snapshot import DataFile

_DAY_NS: Final = 86_400 * 10**9
_LAST_DAY: Final = 2_932_896  # of year 9999, the last that has a date


class Where(Protocol):
    """Which files of a table to look into."""

    def holds(self, file: DataFile) -> bool:
        """Whether what is looked for may be in a file."""
        ...


@dataclass(frozen=True, slots=True)
class Days:
    """Stretches of days (first, last), ascending and apart; days as in partitions, `YYYY-MM-DD`."""

    stretches: tuple[tuple[str, str], ...] = ()

    def holds(self, file: DataFile) -> bool:
        """Whether its partition is one of the days."""
        return any(first <= file.date <= last for first, last in self.stretches)

    def and_on(self, dates: Iterable[str]) -> Days:
        """These days and others."""
        return Days(_merged({*self.stretches, *((date, date) for date in dates)}))

    def onwards(self) -> Days:
        """The first of these days, all that follow it, and that of clocks that were never set."""
        following = [(first, _name(_LAST_DAY)) for first, _ in self.stretches[:1]]
        return Days(_merged([(_name(0), _name(0)), *following]))


@dataclass(frozen=True, slots=True)
class Between:
    """A stretch of time, microseconds since 1970, for tables whose files tell the times of rows."""

    t0: int
    t1: int

    def holds(self, file: DataFile) -> bool:
        """Whether a row of it may be of that time."""
        if file.t0 is None or file.t1 is None:
            return True
        return file.t0 <= self.t1 and self.t0 <= file.t1


def day(ns: int) -> str:
    """UTC day of a time; times that no calendar has count as the first or last day there is."""
    return _name(min(max(ns // _DAY_NS, 0), _LAST_DAY))


def around(times: Iterable[tuple[int, int]]) -> Days:
    """The days of some stretches of time, and the days before and after each.

    A trace is mostly shorter than a day, so that all of it lies around any part of it.

    Args:
        times: (start, end), Unix nanoseconds.
    """
    numbers = {
        (min(start, end) // _DAY_NS - 1, max(start, end) // _DAY_NS + 1) for start, end in times
    }
    return Days(_merged((day(first * _DAY_NS), day(last * _DAY_NS)) for first, last in numbers))


def _merged(stretches: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    merged: list[tuple[str, str]] = []
    for first, last in sorted(stretches):
        if merged and first <= merged[-1][1]:
            first, last = merged[-1][0], max(merged.pop()[1], last)
        merged.append((first, last))
    return tuple(merged)


@cache
def _name(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")
