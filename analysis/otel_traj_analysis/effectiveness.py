"""Labels tools: do their calls succeed, and do runs that use them?

Input are the counts of an analysis whose header says `-- labels: effectiveness`, one row per tool.
Two questions, as a tool that never fails may be of no use: `label` is about its calls, by the
bounds of their success rate, `effect` about the runs, by comparing tries at the same task as
`contrast` does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import pyarrow as pa

from otel_traj_analysis import contrast, statistics
from otel_traj_analysis.contrast import Ending, Pattern
from otel_traj_analysis.labels import TOOL_COLUMNS, TOOL_LABELS, ToolLabel

Row: TypeAlias = Mapping[str, Any]

EFFECTIVE: Final = 0.8
PROBLEMATIC: Final = 0.5
LEAST_CALLS: Final = 3
"""Fewer say nothing, whatever the bounds are."""

_MANY: Final = 1_000_000


def label(rows: pa.Table) -> pa.Table:
    """Say of every tool what its counts allow one to believe; those that fail come first.

    Args:
        rows: Columns `n_finished`, `n_errors`, `n_retries`, `n_retries_ok`, `n_judged`,
            `n_success`, `n_without`, `n_without_success` and `strata` as for `contrast`.

    Returns:
        The same rows with `labels.TOOL_COLUMNS` behind the second column.
    """
    told = rows.to_pylist()
    counted = [row for row in told if row["n_finished"]]
    prior = statistics.beta_prior(
        [row["n_errors"] for row in counted], [row["n_finished"] for row in counted]
    )
    effects = _effects(told)
    labelled = [
        row | _of_calls(row, prior) | effect for row, effect in zip(told, effects, strict=True)
    ]
    for row in labelled:
        row["finding"] = _finding(row)
    labelled.sort(key=lambda row: (list(TOOL_LABELS).index(row["label"]), -row["n_errors"]))
    return pa.Table.from_pylist(labelled, schema=contrast.schema(rows.schema, TOOL_COLUMNS))


# --- calls ---------------------------------------------------------------------------------------


def _of_calls(row: Row, prior: statistics.Beta) -> dict[str, Any]:
    n, errors = row["n_finished"], row["n_errors"]
    bounds = statistics.wilson(errors, n)
    given = _label(errors, n)
    return {
        "label": given,
        "missing": _calls_missing(errors, n) if given == "insufficient" else None,
        "error_low": _known(bounds.low),
        "error_high": _known(bounds.high),
        "error_rate_shrunk": (prior.a + errors) / (prior.a + prior.b + n) if n else None,
    }


def _label(errors: int, n: int) -> ToolLabel:
    if n < LEAST_CALLS:
        return "insufficient"
    bounds = statistics.wilson(n - errors, n)
    if bounds.low > EFFECTIVE:
        return "highly effective"
    if bounds.high < PROBLEMATIC:
        return "problematic"
    return "unreliable" if bounds.high < EFFECTIVE else "insufficient"


def _calls_missing(errors: int, n: int) -> int | None:
    """Finished calls until another label would be given, if they go on failing as often."""
    rate = errors / n if n else 0.0
    known, enough = n, max(2 * n, 1)
    while _label(round(rate * enough), enough) == "insufficient":
        known, enough = enough, 2 * enough
        if enough > _MANY:
            return None
    while enough - known > 1:
        middle = (known + enough) // 2
        if _label(round(rate * middle), middle) == "insufficient":
            known = middle
        else:
            enough = middle
    return enough - n


# --- runs ----------------------------------------------------------------------------------------


def _effects(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What is known of the runs, row by row; nothing of tools that no judged run calls."""
    compared = [n for n, row in enumerate(rows) if row["n_judged"] and row["n_without"]]
    judged = contrast.judged([_pattern(rows[n]) for n in compared])
    effects = dict(zip(compared, judged, strict=True))
    return [_effect(effects.get(n)) for n in range(len(rows))]


def _pattern(row: Row) -> Pattern:
    """Runs that call it, asked for the ending that they have more often."""
    counts = {
        "kind": "tool",
        "n_runs": row["n_judged"],
        "n_success": row["n_success"],
        "n_failure": row["n_judged"] - row["n_success"],
        "n_without": row["n_without"],
        "n_without_success": row["n_without_success"],
        "n_without_failure": row["n_without"] - row["n_without_success"],
        "strata": row["strata"],
    }
    helps = Pattern(counts, "success")
    difference = helps.difference.estimate
    if math.isnan(difference):
        difference = helps.overall_difference
    return helps if difference >= 0 else Pattern(counts, "failure")


def _effect(judged: Row | None) -> dict[str, Any]:
    if judged is None:
        return dict.fromkeys(_OF_RUNS)
    ending: Ending = judged["ending"]
    low, high = judged["difference_low"], judged["difference_high"]
    if ending == "failure":
        low, high = _negative(high), _negative(low)
    return {
        "effect": judged["label"],
        "finding_of_runs": judged["finding"],
        "runs_missing": judged.get("missing"),
        "difference": judged["difference"]
        if ending == "success"
        else _negative(judged["difference"]),
        "difference_low": low,
        "difference_high": high,
        **{name: judged[name] for name in ("p_value", "q_value", "n_strata", "n_mixed")},
    }


_OF_RUNS: Final = (
    "effect",
    "finding_of_runs",
    "runs_missing",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "q_value",
    "n_strata",
    "n_mixed",
)


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


# --- in words ------------------------------------------------------------------------------------


def _finding(row: Row) -> str:
    calls, runs = _calls_in_words(row), row["finding_of_runs"]
    if runs is None:
        return calls
    is_said = row["effect"] in ("insufficient", "task-confounded")
    return f"{calls}; {runs}" if is_said else f"{calls}; {runs} ({row['effect']})"


def _calls_in_words(row: Row) -> str:
    if not row["n_finished"]:
        return f"nothing is told of how its {row['n_calls']:,} calls ended"
    said = (
        f"{row['n_errors']:,} of {row['n_finished']:,} calls fail"
        f" (95 % {100 * row['error_low']:.0f} to {100 * row['error_high']:.0f} %)"
    )
    if row["n_retries"]:
        said += f", {row['n_retries_ok']:,} of {row['n_retries']:,} retries help"
    return said
