"""Labels patterns by whether runs that show them end otherwise than runs of the same task do not.

Input are the counts of an analysis whose header says `-- labels: contrast`: one row per pattern
with its 2x2 tables by stratum, and one of kind `all`. SQL counted; here it is only tested. A label
says what the counts allow one to believe, see `labels.LABELS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from otel_traj import words
from otel_traj.store import infrastructure
from otel_traj_analysis import statistics
from otel_traj_analysis.header import Column
from otel_traj_analysis.labels import COLUMNS, LABELS, Label
from otel_traj_analysis.statistics import Exact, Interval, Strata

Row: TypeAlias = Mapping[str, Any]
Ending: TypeAlias = Literal["success", "failure"]

_OTHER: Final[Mapping[Ending, Ending]] = {"success": "failure", "failure": "success"}
_ENDS: Final[Mapping[Ending, str]] = {"success": "succeed", "failure": "fail"}

MAX_Q: Final = 0.10
SUGGESTIVE_P: Final = 0.05
CONFOUNDED_Q: Final = 0.10
CONFOUNDED_P: Final = 0.01
NOTHING_WITHIN_P: Final = 0.2
CONFIRMING_P: Final = 0.1
MIN_RUNS: Final = 5
MIN_STRATA: Final = 3
DETECTABLE: Final = 0.25


def label(rows: pa.Table) -> pa.Table:
    """Test every pattern and say what may be believed of it; those that help come first.

    Args:
        rows: Columns `kind`, `pattern`, `n_runs`, `n_success`, `n_without`, `n_without_success`
            and `strata`, a list of 2x2 tables with `landmark`, `stratum` and `half`. With
            `n_failure` and `n_without_failure` instead, it is failures that are explained.

    Returns:
        The rows of kind `all` and of every pattern whose runs end so more often than others, be it
        only over all tasks, or of which that cannot be told, with `labels.COLUMNS` added.
    """
    # Of the tables there are many: as Python objects they would take longer than all tests.
    told = rows.drop_columns(["strata"]).to_pylist()
    for row, tables in zip(told, _tables(rows["strata"]), strict=True):
        row["strata"] = tables
    ending: Ending = "failure" if "n_failure" in rows.column_names else "success"
    patterns = {n: Pattern(row, ending) for n, row in enumerate(told) if row["kind"] != "all"}
    q_values = zip(*_corrected([*patterns.values()]), strict=True)
    labelled = {
        n: _judged(pattern, q, q_overall)
        for (n, pattern), (q, q_overall) in zip(patterns.items(), q_values, strict=True)
        if pattern.may_help
    }
    base = {
        n: row | {"finding": _base(row, ending)}
        for n, row in enumerate(told)
        if row["kind"] == "all"
    }
    ranked = base | dict(sorted(labelled.items(), key=lambda item: _rank(item[1])))
    return _with_labels(rows.take(pa.array([*ranked], pa.int64())), [*ranked.values()])


def judged(patterns: Sequence[Pattern]) -> list[dict[str, Any]]:
    """Every pattern's counts with its label and `labels.COLUMNS`, and the `ending` looked at."""
    within, overall = _corrected(patterns)
    return [
        _judged(pattern, q, q_overall) | {"ending": pattern.ending}
        for pattern, q, q_overall in zip(patterns, within, overall, strict=True)
    ]


class Tables(NamedTuple):
    """2x2 tables of one pattern, by stratum and landmark.

    Attributes:
        counts: Runs with the pattern that succeeded, that failed, the same without; shape (k, 4).
        landmarks: Calls after which runs are compared, 0 for whole ones; shape (k,).
        is_first_half: Whether the task is of half `a`; shape (k,).
    """

    counts: Strata
    landmarks: npt.NDArray[np.int64]
    is_first_half: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, strata: Tables | Sequence[Row]) -> Tables:
        """Those of rows of the column `strata`; the same tables if they are no rows any more."""
        if isinstance(strata, Tables):
            return strata
        counts = [[table[name] for name in _COUNTS] for table in strata]
        return cls(
            np.array(counts, dtype=np.int64).reshape(-1, len(_COUNTS)),
            np.array([table["landmark"] for table in strata], dtype=np.int64),
            np.array([table["half"] == "a" for table in strata], dtype=np.bool_),
        )


_COUNTS: Final = ("with_success", "with_failure", "without_success", "without_failure")

_ENDED_FIRST: Final[Mapping[Ending, Sequence[int]]] = {
    "success": (0, 1, 2, 3),
    "failure": (1, 0, 3, 2),
}
"""Places of `_COUNTS`, those that ended as is to be explained before the others."""


def _tables(strata: pa.ChunkedArray) -> Iterator[Tables]:
    """The tables of each row of the column `strata`."""
    for chunk in strata.chunks:
        told = chunk.values
        counts = np.stack([np.asarray(told.field(name), np.int64) for name in _COUNTS], axis=1)
        landmarks = np.asarray(told.field("landmark"), np.int64)
        is_first_half = np.asarray(told.field("half"), object) == "a"
        for begin, end in pairwise(chunk.offsets.to_pylist()):
            yield Tables(counts[begin:end], landmarks[begin:end], is_first_half[begin:end])


@dataclass(frozen=True)
class Pattern:
    """One pattern's counts, and the tests of them that are worth doing once."""

    row: Row
    ending: Ending

    @property
    def n_ended(self) -> int:
        """Runs that show it and ended as is to be explained."""
        return int(self.row[f"n_{self.ending}"])

    def strata(self, *, landmark: int = 0, half: str | None = None) -> Strata:
        """Its 2x2 tables, shape (k, 4), k >= 0."""
        chosen = self.tables.landmarks == landmark
        if half is not None:
            chosen &= self.tables.is_first_half == (half == "a")
        found: Strata = self.tables.counts[chosen][:, _ENDED_FIRST[self.ending]]
        return found

    @cached_property
    def tables(self) -> Tables:
        """Its tables of all landmarks."""
        return Tables.of(self.row["strata"])

    @cached_property
    def whole(self) -> Strata:
        """The tables of whole runs."""
        return self.strata()

    @cached_property
    def within(self) -> Exact:
        """The test within strata."""
        return statistics.exact(self.whole)

    @cached_property
    def difference(self) -> Interval:
        """The difference of success rates within strata."""
        return statistics.risk_difference(self.whole)

    @cached_property
    def detectable(self) -> float:
        """The difference that its strata would show."""
        return statistics.detectable_difference(self.whole)

    @cached_property
    def overall(self) -> Strata:
        """All runs as one table, shape (1, 4)."""
        row = self.row
        n_ended_without = row[f"n_without_{self.ending}"]
        with_pattern = [self.n_ended, row["n_runs"] - self.n_ended]
        without = [n_ended_without, row["n_without"] - n_ended_without]
        return np.array([with_pattern + without], dtype=np.int64)

    @cached_property
    def overall_difference(self) -> float:
        """The difference over all runs as if they were of one task."""
        return statistics.risk_difference(self.overall).estimate

    @property
    def may_help(self) -> bool:
        """Whether its runs end so more often, within strata or over all; or that is unknown."""
        is_worse = self.difference.estimate <= 0 and self.overall_difference <= 0
        return not is_worse or self.is_harness

    @property
    def is_harness(self) -> bool:
        """Whether SQL found an error of the harness in it."""
        return bool(self.row.get("is_harness"))

    @cached_property
    def of_all(self) -> Exact:
        """The test over all runs as if they were of one task."""
        return statistics.exact(self.overall)

    @cached_property
    def confirming(self) -> float | None:
        """One-sided p-value in the second half of the tasks, 1.0 where the first half disagrees.

        None where one of the halves can tell nothing.
        """
        discovered = statistics.risk_difference(self.strata(half="a")).estimate
        found = statistics.exact(self.strata(half="b"))
        if math.isnan(discovered) or found.least >= CONFIRMING_P:
            return None
        return found.greater if discovered > 0 else 1.0

    @cached_property
    def same_length(self) -> float | None:
        """Least one-sided p-value among runs that got equally far; None where none can tell."""
        landmarks = set(self.tables.landmarks.tolist()) - {0}
        tests = [statistics.exact(self.strata(landmark=landmark)) for landmark in sorted(landmarks)]
        return min((test.greater for test in tests if test.least < CONFIRMING_P), default=None)


def _corrected(patterns: Sequence[Pattern]) -> tuple[list[float], list[float]]:
    """Rates of false discoveries within strata and over all runs, each kind a family."""
    within, overall = [1.0] * len(patterns), [1.0] * len(patterns)
    kinds = dict.fromkeys(pattern.row["kind"] for pattern in patterns)
    for kind in kinds:
        places = [n for n, pattern in enumerate(patterns) if pattern.row["kind"] == kind]
        for q_values, tests in (
            (within, [patterns[n].within for n in places]),
            (overall, [patterns[n].of_all for n in places]),
        ):
            p_values = [test.two_sided for test in tests]
            corrected = statistics.q_values(p_values, [test.least for test in tests])
            for n, q in zip(places, corrected, strict=True):
                q_values[n] = q
    return within, overall


def _label(pattern: Pattern, q: float, q_overall: float) -> Label:
    if pattern.is_harness:
        return "infrastructure"
    p = pattern.within.two_sided
    if p < SUGGESTIVE_P and pattern.difference.estimate > 0:
        if pattern.same_length is not None and pattern.same_length > NOTHING_WITHIN_P:
            return "length-artefact"
        return "established" if q <= MAX_Q and _holds(pattern) else "suggestive"
    seen_overall = q_overall <= CONFOUNDED_Q or pattern.of_all.two_sided <= CONFOUNDED_P
    if seen_overall and _is_compared(pattern) and (p > NOTHING_WITHIN_P or _flips(pattern)):
        return "task-confounded"
    if pattern.detectable > DETECTABLE:
        return "insufficient"
    return "no-effect"


def _holds(pattern: Pattern) -> bool:
    """Whether a difference that chance does not explain also holds wherever it is looked at."""
    return (
        pattern.difference.low > 0
        and pattern.row["n_runs"] >= MIN_RUNS
        and _n_strata(pattern) >= MIN_STRATA
        and _is_small(pattern.same_length)
        and _is_small(pattern.confirming)
    )


def _is_small(p: float | None) -> bool:
    return p is not None and p < CONFIRMING_P


def _is_compared(pattern: Pattern) -> bool:
    """Whether some task has runs with the pattern and runs without; they may all end alike."""
    with_success, with_failure, without_success, without_failure = pattern.whole.T
    return bool(((with_success + with_failure) * (without_success + without_failure)).any())


def _flips(pattern: Pattern) -> bool:
    """Whether the difference within strata has another sign than the one over all runs."""
    return pattern.difference.estimate * pattern.overall_difference < 0


def _n_strata(pattern: Pattern) -> int:
    return int((pattern.whole[:, :2].sum(axis=1) > 0).sum())


def _judged(pattern: Pattern, q: float, q_overall: float) -> dict[str, Any]:
    row = pattern.row
    given = _label(pattern, q, q_overall)
    useful = len(statistics.informative(pattern.whole))
    rate = statistics.wilson(pattern.n_ended, row["n_runs"])
    added: dict[str, Any] = {
        "label": given,
        "difference": pattern.difference.estimate,
        "difference_low": pattern.difference.low,
        "difference_high": pattern.difference.high,
        "p_value": pattern.within.two_sided if useful else None,
        "q_value": q if useful else None,
        "p_overall": pattern.of_all.two_sided,
        "rate_low": rate.low,
        "rate_high": rate.high,
        "n_strata": _n_strata(pattern),
        "n_mixed": useful,
        "detectable": pattern.detectable,
        "confidence": 0.0,
    }
    if given == "insufficient":
        added["missing"] = statistics.units_missing(pattern.whole, DETECTABLE)
    elif given not in ("no-effect", "infrastructure"):
        added["odds_ratio"] = statistics.common_odds_ratio(pattern.whole)
        added["p_same_everywhere"] = statistics.breslow_day(pattern.whole)
    if given in ("established", "suggestive", "length-artefact"):
        added["p_confirming"] = pattern.confirming
        added["p_same_length"] = pattern.same_length
    if given == "established":
        added["confidence"] = _confidence(pattern)
    judged = {**row, **{name: _known(value) for name, value in added.items()}}
    return judged | {"finding": _finding(judged, pattern.ending)}


def _confidence(pattern: Pattern) -> float:
    """Lower bound of the success rate with the pattern, drawn towards that of its strata."""
    a, b, c, d = pattern.whole.T
    expected = ((a + b) * (a + c) / (a + b + c + d)).sum() / (a + b).sum()
    return statistics.shrunk_low(pattern.n_ended, pattern.row["n_runs"], float(expected))


def _rank(row: Row) -> tuple[Any, ...]:
    q = row["q_value"]
    return (list(LABELS).index(row["label"]), 1.0 if q is None else q, -row["n_runs"])


# --- in words ------------------------------------------------------------------------------------


def _finding(row: Row, ending: Ending) -> str:
    if row["label"] == "infrastructure":
        return (
            f"an error of the harness in {row['n_runs']} runs, and no call of it ever succeeds:"
            " repair it, the agent is not to blame; to leave these runs out:"
            f" {infrastructure.command(*row['pattern'])}"
        )
    counts = (
        f"{row[f'n_{ending}']} of {row['n_runs']} runs with it {_ENDS[ending]},"
        f" {row[f'n_without_{ending}']} of {row['n_without']} without"
    )
    if row["label"] == "insufficient":
        return f"cannot be told: {counts}; {row['missing']:,} more runs of mixed tasks are needed"
    telling = words.count(row["n_mixed"], "task")
    if row["label"] == "task-confounded":
        told = f"{telling} can tell" if row["n_mixed"] else "its runs all end alike"
        return f"{counts}; not so within the same task ({told})"
    within = (
        f"{_points(row['difference'])} points within tasks"
        f" (95 % {_points(row['difference_low'])} to {_points(row['difference_high'])},"
        f" {telling} that can tell)"
    )
    if row["label"] == "length-artefact":
        return f"{within}, but none among runs that got equally far"
    return f"{counts}: {within}"


def _base(row: Row, ending: Ending) -> str:
    left_out = dict(row["left_out"] or ())
    said = f"{row[f'n_{ending}']} of {row['n_runs']} judged runs {_ENDS[ending]}"
    if left_out:
        listed = ", ".join(f"{n:,} {reason}" for reason, n in left_out.items())
        said += f"; left out: {listed}"
    if row["n_not_compared"]:
        said += f"; {row['n_not_compared']:,} patterns are not compared (max_patterns)"
    if "unjudged" in left_out:
        said += " (say how they ended: otel-traj annotate)"
    return said


def _points(difference: float | None) -> str:
    return "?" if difference is None else f"{100 * difference:+.0f}"


# --- tables --------------------------------------------------------------------------------------


def _known(value: Any) -> Any:
    """NaN is what statistics say where the data say nothing; in a table that is NULL."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def schema(counts: pa.Schema, columns: Sequence[Column]) -> pa.Schema:
    """The columns of counts, with those of a step behind the second one."""
    types = {"VARCHAR": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64()}
    added = [pa.field(column.name, types[column.type]) for column in columns]
    first, second, *others = counts
    return pa.schema([first, second, *added, *others])


def _with_labels(rows: pa.Table, labelled: Sequence[Row]) -> pa.Table:
    """The counts, with what is judged of them behind the second column."""
    told = schema(rows.schema, COLUMNS)
    for place, column in enumerate(COLUMNS, start=2):
        values = [row.get(column.name) for row in labelled]
        rows = rows.add_column(place, told.field(place), pa.array(values, told.field(place).type))
    return rows
