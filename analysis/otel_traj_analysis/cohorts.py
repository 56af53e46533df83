"""Says what may be believed of the differences between cohorts and the one they are compared with.

Input are the counts of an analysis whose header says `-- labels: cohorts`: one row per cohort and
measure, with the tasks that both tried. SQL counted; here it is only tested. Runs of one task are
alike but for the cohort, so each task is compared for itself; see `labels.COMPARED_LABELS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from otel_traj import words
from otel_traj.errors import ConfigurationError
from otel_traj_analysis import statistics
from otel_traj_analysis.labels import COMPARED_COLUMNS, ComparedLabel
from otel_traj_analysis.statistics import Interval, Strata

Row: TypeAlias = Mapping[str, Any]

MAX_P: Final = 0.05
MAX_Q: Final = 0.10
MIN_TASKS: Final = 3
CONFOUNDED_P: Final = 0.01
NOTHING_WITHIN_P: Final = 0.2
UNEQUAL_P: Final = 0.01
DETECTABLE: Final = 0.25
"""Of success rates a difference of 25 points, of other measures one of 25 % of the baseline."""

LOST: Final = ("error", "unknown", "unjudged", "open", "not recorded")
"""Reasons to leave a run out that may come more often with one cohort than with another."""

_TYPES: Final = {
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
}


def label(rows: pa.Table) -> pa.Table:
    """Test every difference from the baseline and say what may be believed of it.

    Args:
        rows: The answer of `cohorts.sql`; in the same order they come back.

    Raises:
        ConfigurationError: No run is in the cohort to compare with; the message lists what is.
    """
    told = rows.to_pylist()
    bases = {row["measure"]: row for row in told if row["cohort"] == row["baseline"]}
    if told and not bases:
        there_is = ", ".join(sorted({repr(row["cohort"]) for row in told}))
        raise ConfigurationError(
            f"No run is in the baseline {told[0]['baseline']!r}; there is: {there_is}"
        )
    compared = [_compared(row, bases[row["measure"]]) for row in told if row not in bases.values()]
    judged = [_judged(c, q) for c, q in zip(compared, _corrected(compared), strict=True)]
    base = [row | {"finding": _base(row), "warnings": []} for row in bases.values()]
    place = {(row["cohort"], row["measure"]): n for n, row in enumerate(told)}
    answer = sorted(base + judged, key=lambda row: place[row["cohort"], row["measure"]])
    return pa.Table.from_pylist(answer, schema=_schema(rows.schema))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One measure of a cohort against the baseline's, tested within tasks.

    `least` is the smallest p-value that so many tasks could give, `n_telling` how many of the tasks
    say anything, `missing` how much more would have to be run to see `DETECTABLE`: runs of tasks of
    mixed outcome for success, shared tasks for other measures; 0: enough.
    """

    row: Row
    base: Row
    difference: Interval
    p_value: float
    least: float
    n_telling: int
    missing: int
    overall: Interval = statistics.NOTHING
    p_overall: float = math.nan
    detectable: float = math.nan

    @property
    def tasks(self) -> Sequence[Row]:
        """The tasks that both tried."""
        return self.row["tasks"] or ()

    @property
    def is_after(self) -> bool | None:
        """Whether one of the two had ended before the other began; None: times are not told."""
        if None in (self.row["began_first"], self.base["began_first"]):
            return None
        first, second = sorted((self.row, self.base), key=lambda row: row["began_first"])
        return bool(first["began_last"] < second["began_first"])

    @property
    def is_lost_unequally(self) -> bool:
        """Whether more runs of one of the two are left out than chance explains."""
        lost = [
            sum(n for reason, n in row["left_out"] or () if reason in LOST)
            for row in (self.row, self.base)
        ]
        counts = (lost[0], self.row["n_runs"], lost[1], self.base["n_runs"])
        return statistics.fisher(counts) < UNEQUAL_P


def _compared(row: Row, base: Row) -> Comparison:
    return _of_rates(row, base) if row["measure"] == "success" else _of_amounts(row, base)


def _of_rates(row: Row, base: Row) -> Comparison:
    tables: list[list[int]] = [
        [
            task["n_success"],
            task["n"] - task["n_success"],
            task["n_baseline_success"],
            task["n_baseline"] - task["n_baseline_success"],
        ]
        for task in row["tasks"] or ()
    ]
    strata: Strata = np.array(tables, dtype=np.int64).reshape(-1, 4)
    within = statistics.exact(strata)
    detectable = statistics.detectable_difference(strata)
    counts = (row["n_success"] or 0, row["n_runs"], base["n_success"] or 0, base["n_runs"])
    success, n, base_success, base_n = counts
    return Comparison(
        row=row,
        base=base,
        difference=statistics.risk_difference(strata),
        p_value=within.two_sided,
        least=within.least,
        n_telling=len(statistics.informative(strata)),
        missing=statistics.units_missing(strata, DETECTABLE) if detectable > DETECTABLE else 0,
        overall=statistics.newcombe(*counts),
        p_overall=statistics.fisher((success, n - success, base_success, base_n - base_success)),
        detectable=detectable,
    )


def _of_amounts(row: Row, base: Row) -> Comparison:
    tasks = row["tasks"] or ()
    differences = [task["value"] - task["baseline_value"] for task in tasks]
    paired = statistics.median_difference(differences)
    return Comparison(
        row=row,
        base=base,
        difference=paired.difference,
        p_value=paired.p_value,
        least=2 * 0.5 ** len(tasks),
        n_telling=sum(difference != 0 for difference in differences),
        missing=_tasks_missing(paired.difference, tasks),
    )


def _tasks_missing(difference: Interval, tasks: Sequence[Row]) -> int:
    """Shared tasks still needed to rule out a difference of `DETECTABLE` times the baseline.

    From how an interval shrinks, by the square root of the tasks.
    """
    reach = max(abs(difference.low), abs(difference.high))
    if not math.isfinite(reach):
        return max(1, statistics.LEAST_PAIRS - len(tasks))
    usual = [float(np.median([t["baseline_value"] for t in tasks]))]
    usual += [float(np.mean([t[name] for t in tasks])) for name in ("baseline_value", "value")]
    allowed = DETECTABLE * next((amount for amount in usual if amount), 0.0)
    return math.ceil(len(tasks) * ((reach / allowed) ** 2 - 1)) if reach > allowed else 0


def _corrected(compared: Sequence[Comparison]) -> list[float]:
    """Rates of false discoveries; the cohorts are a family, for each measure."""
    q_values = [1.0] * len(compared)
    for measure in dict.fromkeys(c.row["measure"] for c in compared):
        places = [n for n, c in enumerate(compared) if c.row["measure"] == measure]
        family = [compared[n] for n in places]
        corrected = statistics.q_values([c.p_value for c in family], [c.least for c in family])
        for n, q in zip(places, corrected, strict=True):
            q_values[n] = q
    return q_values


def _label(comparison: Comparison, q: float) -> ComparedLabel:
    if comparison.p_value < MAX_P:
        if q > MAX_Q or not _holds(comparison):
            return "suggestive"
        if comparison.is_after:
            return "time-confounded"
        is_experiment = comparison.row["is_assigned"] and comparison.is_after is False
        return "interventional" if is_experiment else "established"
    if comparison.tasks and comparison.p_overall <= CONFOUNDED_P and _is_not_within(comparison):
        return "task-confounded"
    return "insufficient" if comparison.missing else "no-effect"


def _holds(comparison: Comparison) -> bool:
    _, low, high = comparison.difference
    excludes_zero = low > 0 or high < 0
    is_enough = comparison.n_telling >= MIN_TASKS
    return excludes_zero and is_enough and not comparison.is_lost_unequally


def _is_not_within(comparison: Comparison) -> bool:
    flips = comparison.difference.estimate * comparison.overall.estimate < 0
    return flips or comparison.p_value > NOTHING_WITHIN_P


def _judged(comparison: Comparison, q: float) -> dict[str, Any]:
    row, difference = comparison.row, comparison.difference
    is_rate = row["measure"] == "success"
    rate = statistics.wilson(row["n_success"] or 0, row["n_runs"]) if is_rate else None
    given = _label(comparison, q)
    added: dict[str, Any] = {
        "label": given,
        "warnings": _warnings(comparison),
        "missing": comparison.missing if given == "insufficient" else None,
        "difference": difference.estimate,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "p_value": comparison.p_value if comparison.n_telling else None,
        "q_value": q if comparison.n_telling else None,
        "p_overall": comparison.p_overall,
        "value_low": rate.low if rate else None,
        "value_high": rate.high if rate else None,
        "n_shared": len(comparison.tasks),
        "n_telling": comparison.n_telling,
        "detectable": comparison.detectable,
    }
    known = {name: _known(value) for name, value in added.items()}
    return {**row, **known, "finding": _finding(comparison, given)}


def _warnings(comparison: Comparison) -> list[str]:
    row, base = comparison.row, comparison.base
    warnings = []
    if comparison.is_after:
        earlier, later = sorted((row, base), key=lambda cohort: cohort["began_first"])
        warnings.append(
            f"{later['cohort']} ran after {earlier['cohort']} had ended: whatever else changed then"
            " may be why"
        )
    if row["also_differ"]:
        warnings.append(f"they also differ in {', '.join(row['also_differ'])}")
    if comparison.is_lost_unequally:
        warnings.append("runs are left out unequally")
    alone = row["n_tasks"] + base["n_tasks"] - 2 * len(comparison.tasks)
    if alone and comparison.tasks:
        warnings.append(f"{words.count(alone, 'task')} of only one of them are left aside")
    return warnings


# --- sentences -----------------------------------------------------------------------------------


def _finding(comparison: Comparison, given: ComparedLabel) -> str:
    if not comparison.tasks:
        return "cannot be told: it is known of no task that both tried"
    is_rate = comparison.row["measure"] == "success"
    said = _rates(comparison, given) if is_rate else _amounts(comparison, given)
    warnings = _warnings(comparison) if is_rate else ()
    return "; ".join([said, *warnings])


def _rates(comparison: Comparison, given: ComparedLabel) -> str:
    tasks, baseline = comparison.tasks, comparison.base["cohort"]
    success, n, base_success, base_n = (
        sum(task[name] for task in tasks)
        for name in ("n_success", "n", "n_baseline_success", "n_baseline")
    )
    counts = f"{success} of {n} runs succeed, {base_success} of {base_n} with {baseline}"
    if given == "insufficient":
        return (
            f"cannot be told: {counts}; {comparison.missing:,} more runs of mixed tasks are needed"
        )
    difference, low, high = (f"{100 * share:+.0f}" for share in comparison.difference)
    telling = words.count(comparison.n_telling, "task")
    if given == "task-confounded":
        row, base = comparison.row, comparison.base
        return (
            f"{row['n_success']} of all {row['n_runs']} runs succeed, {base['n_success']} of all"
            f" {base['n_runs']} with {baseline}; not so within the same task"
            f" ({telling} can tell)"
        )
    return f"{counts}: {difference} points within tasks (95 % {low} to {high}, {telling} can tell)"


def _amounts(comparison: Comparison, given: ComparedLabel) -> str:
    tasks, measure = comparison.tasks, comparison.row["measure"]
    of_cohort, of_base = (
        _amount(measure, float(np.median([task[name] for task in tasks])))
        for name in ("value", "baseline_value")
    )
    medians = f"median {of_cohort}, {of_base} with {comparison.base['cohort']}"
    if given == "insufficient":
        missing = words.count(comparison.missing, "more shared task")
        return f"cannot be told: {medians}; {missing} needed"
    difference, low, high = (_signed(measure, amount) for amount in comparison.difference)
    n_more = sum(task["value"] > task["baseline_value"] for task in tasks)
    return (
        f"{medians}: {difference} within tasks (95 % {low} to {high}), more in {n_more} of"
        f" {words.count(len(tasks), 'task')}"
    )


def _base(row: Row) -> str:
    left_out = dict(row["left_out"] or ())
    listed = ", ".join(f"{n:,} {reason}" for reason, n in left_out.items())
    left = f"; left out: {listed}" if left_out else ""
    if row["measure"] == "success":
        ask = " (say how they ended: otel-traj annotate)" if "unjudged" in left_out else ""
        return f"{row['n_success'] or 0} of {row['n_runs']} judged runs succeed{left}{ask}"
    if row["value"] is None:
        return f"not recorded{left}"
    median = _amount(row["measure"], row["value"])
    return f"median {median} of {words.count(row['n_runs'], 'run')}{left}"


def _amount(measure: str, value: float) -> str:
    if measure == "cost_usd":
        return words.usd(value)
    if measure == "duration_s":
        return words.duration(round(value * 1_000_000))
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _signed(measure: str, value: float) -> str:
    return ("-" if value < 0 else "+") + _amount(measure, abs(value))


# --- tables --------------------------------------------------------------------------------------


def _known(value: Any) -> Any:
    """NaN is what statistics say where the data say nothing; in a table that is NULL."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _schema(counts: pa.Schema) -> pa.Schema:
    added = [pa.field(column.name, _TYPES[column.type]) for column in COMPARED_COLUMNS]
    cohort, measure, *others = counts
    return pa.schema([cohort, measure, *added, *others])
