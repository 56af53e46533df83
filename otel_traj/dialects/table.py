"""The form of a dialect: one table of keys per concept, and how a key becomes a fact.

A dialect says which spans speak it, which values name the kind of a span, and under which keys each
fact stands. Reading needs no code per dialect; what a key's value looks like is decided by the
fact's type (`CONVERTERS`), never by who wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from otel_traj.dialects.facts import FACT_NAMES, Kind


@dataclass(frozen=True, slots=True)
class At:
    """A value inside the JSON of an attribute."""

    key: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flat:
    """A list flattened into index keys: `prefix.0.…`, `prefix.1.…`."""

    prefix: str


@dataclass(frozen=True, slots=True)
class InName:
    """The first group of a pattern that the whole span name matches."""

    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class InEvent:
    """An attribute of the last span event of that name."""

    event: str
    key: str


@dataclass(frozen=True, slots=True)
class InLog:
    """An attribute of the last log record of that event name."""

    event: str
    key: str


@dataclass(frozen=True, slots=True)
class Times:
    """A number in another unit: milliseconds where seconds are meant."""

    key: str
    factor: float


Source: TypeAlias = "str | At | Flat | InName | InEvent | InLog | Times"


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """An instrumentor's vocabulary. Compared and hashed by identity.

    Attributes:
        name: As it stands in column `dialects`.
        scopes: Prefixes of scope names that speak it.
        marks: Attribute keys, or prefixes ending in a dot, that only this dialect writes.
        overrides: Patterns of span names that say better than any key what the span is.
        kinds: Key -> its value -> what the span is; the first key that decides wins.
        names: Patterns of span names, asked only where no key decides.
        facts: Fact (a field of `Facts`) -> where it stands, best place first.
        request, response: Keys that hold a provider's own request and response body as JSON.
        events: Keys that hold a list of per-message events as JSON.
        stray_logs: Event name -> kind of the span that it tells of, though it carries the context
            of the span above: found by tool call id, or by the nearest end.
        excludes_cache: Its input tokens leave out what came from or went to the cache.
    """

    name: str
    scopes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    overrides: Sequence[tuple[re.Pattern[str], Kind]] = ()
    kinds: Mapping[str, Mapping[str, Kind]] = field(default_factory=dict)
    names: Sequence[tuple[re.Pattern[str], Kind]] = ()
    facts: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)
    request: tuple[str, ...] = ()
    response: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    stray_logs: Mapping[str, Kind] = field(default_factory=dict)
    excludes_cache: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.facts) - FACT_NAMES
        if unknown:
            raise ValueError(f"dialect {self.name!r} names unknown facts {sorted(unknown)}")

    def speaks(self, scope: str | None, keys: Collection[str]) -> bool:
        """Whether a span of this instrumentation scope with these attributes is written in it."""
        if self.scopes and scope and scope.startswith(self.scopes):
            return True
        return any(
            any(key.startswith(mark) for key in keys) if mark.endswith(".") else mark in keys
            for mark in self.marks
        )
