"""What may be said of a run: sorts of statements, and which values fit them.

One set of rules for what is said in the run (`capture`) and after it (`TrajectoryStore.annotate`,
`otel-traj annotate`). Light, as recording imports it.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, Final, NamedTuple

from otel_traj.errors import ConfigurationError

KINDS: Final = ("reward", "outcome", "score", "label", "feedback", "comment")
OUTCOMES: Final = ("success", "failure", "partial", "error", "unknown")

_KIND_OF_NAME: Final = {"outcome": "outcome", "reward": "reward"}
"""Names that views give a meaning, hence statements of one sort only."""


class Statement(NamedTuple):
    """A checked statement; of `number`, `text` and `other` (for JSON) at most one is not None."""

    kind: str
    number: float | None = None
    text: str | None = None
    other: Any = None


def check(name: str, value: Any, kind: str | None = None) -> Statement:
    """Check a statement, and sort its value.

    Args:
        name: What it says: `outcome`, `reward`, or a name of one's own.
        value: Number, text, or anything that JSON can hold.
        kind: Its sort; None for `outcome` and `reward` under these names, else `score` for a number
            and `label` for anything else.

    Raises:
        ConfigurationError: The name is blank, there is no such kind, or the value does not fit.
    """
    if not name.strip():
        raise ConfigurationError(f"What is said needs a name, not {name!r}")
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    implied = _KIND_OF_NAME.get(name)
    kind = kind or implied or ("score" if is_number else "label")
    if kind not in KINDS:
        raise ConfigurationError(f"kind {kind!r} is none of {', '.join(KINDS)}")
    if implied not in (None, kind):
        raise ConfigurationError(f"{name!r} is a statement of kind {implied!r}, not {kind!r}")
    if kind == "outcome" and not (isinstance(value, str) and value in OUTCOMES):
        raise ConfigurationError(f"outcome {value!r} is none of {', '.join(OUTCOMES)}")
    if kind in ("reward", "score") and not is_number:
        raise ConfigurationError(f"A {kind} is a number, not {value!r}")
    if value is None:
        raise ConfigurationError(f"{name!r} needs a value; to take one back there is `retract`")
    if is_number:
        return Statement(kind, number=_finite(kind, value))
    if isinstance(value, str):
        return Statement(kind, text=value)
    return Statement(kind, other=value)


def _finite(kind: str, value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigurationError(f"A {kind} is a finite number, not {value!r:.40}")
    return number
