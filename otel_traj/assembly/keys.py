"""What the names of a span's attributes tell by themselves, found once for each set of names.

An instrumentor writes the same few sets of names again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from otel_traj import semconv
from otel_traj.dialects.evaluations import PREFIXES
from otel_traj.model import SpanRecord


@dataclass(frozen=True, slots=True)
class Keys:
    """Which names are there.

    Attributes:
        n_truncated: How many say that a value was cut.
        tell_of_step: Our own API says something of the step.
        tell_evaluations: A flattened list of evaluations is among them.
    """

    n_truncated: int
    tell_of_step: bool
    tell_evaluations: bool


def keys_of(span: SpanRecord) -> Keys:
    """The names of a span's attributes."""
    make = _known if len(span.attributes) <= _MOST else _known.__wrapped__
    return make(tuple(span.attributes))


_MOST: Final = 256
"""Names of a set that is remembered: those of flattened lists have no end."""


@lru_cache(maxsize=1024)
def _known(names: tuple[str, ...]) -> Keys:
    return Keys(
        n_truncated=sum(name.startswith(semconv.TRUNCATED_PREFIX) for name in names),
        tell_of_step=any(name.startswith("traj.step.") for name in names),
        tell_evaluations=any(name.startswith(PREFIXES) for name in names),
    )
