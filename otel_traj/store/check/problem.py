"""What `verify` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

DAMAGE: Final = "traj.damage"
"""Annotation on a trajectory of which spans or logs were lost with a damaged file; see `repair`."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told while a long check runs: what is being done, how much of it is, how much there is."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `verify` found.

    Attributes:
        severity: `error` when something is lost or contradicts itself, else `note`.
        what: What was found, and what to do if anything.
        path: The file concerned, relative to the store.
        ids: The trajectories, traces, spans or annotations concerned, at most ten.
    """

    severity: Literal["note", "error"]
    what: str
    path: str | None = None
    ids: tuple[str, ...] = ()


def named(n: int, ids: tuple[str, ...]) -> str:
    """A number of ids and the first of them: `12: a, b, c, ...`."""
    shown = ", ".join(ids[:3])
    return f"{n:,}: {shown}" + (", ..." if n > 3 else "")
