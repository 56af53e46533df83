"""What the statistical step of an analysis adds to its counts; listing it needs no statistics.

A header that says `-- labels: contrast` names the step, and the module whose `label` judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from otel_traj.words import count
from otel_traj_analysis.header import Column

Label: TypeAlias = Literal[
    "infrastructure",
    "established",
    "suggestive",
    "task-confounded",
    "length-artefact",
    "no-effect",
    "insufficient",
]

LABELS: Final[Mapping[Label, str]] = {
    "infrastructure": "an error of the harness that no call of a tool survives",
    "established": "holds within tasks: q <= 0.10, the interval excludes 0, at least 5 runs in 3"
    " strata, also when compared at the same length, and again in the other half of the tasks",
    "suggestive": "p < 0.05 within tasks, but not sure among so many, or not confirmed",
    "task-confounded": "seen over all runs and not within tasks: easy tasks show it",
    "length-artefact": "seen over whole runs and not among runs compared at the same length",
    "no-effect": "a difference of 25 points would have been seen, and none was",
    "insufficient": "too few runs in tasks of mixed outcome; `missing` says how many more",
}

COLUMNS: Final = (
    Column("label", "VARCHAR", "what the counts allow one to believe; NULL: of kind `all`"),
    Column("finding", "VARCHAR", "the same as a sentence"),
    Column("missing", "BIGINT", "runs of mixed tasks that are still needed; NULL: enough"),
    Column("difference", "DOUBLE", "rate with it minus rate without, within strata; NULL: unknown"),
    Column("difference_low", "DOUBLE", "lower 95 % bound of the difference"),
    Column("difference_high", "DOUBLE", "upper 95 % bound of the difference"),
    Column("p_value", "DOUBLE", "exact, two-sided, within strata; NULL: no stratum can tell"),
    Column("q_value", "DOUBLE", "rate of false discoveries among patterns of the kind"),
    Column("p_overall", "DOUBLE", "Fisher's, over all runs as if they were of one task"),
    Column(
        "odds_ratio",
        "DOUBLE",
        "Mantel-Haenszel's, within strata; NULL: unknown, or no sign of an effect",
    ),
    Column(
        "p_same_everywhere", "DOUBLE", "that strata agree (Breslow-Day, Tarone); NULL: as above"
    ),
    Column("rate_low", "DOUBLE", "lower 95 % bound of the rate with it (Wilson)"),
    Column("rate_high", "DOUBLE", "upper 95 % bound of the rate with it (Wilson)"),
    Column("n_strata", "BIGINT", "strata in which some runs show it"),
    Column("n_mixed", "BIGINT", "strata that can tell: both the pattern and the outcome vary"),
    Column(
        "p_confirming",
        "DOUBLE",
        "one-sided, in the other half of the tasks; NULL: too few, or nothing to confirm",
    ),
    Column("p_same_length", "DOUBLE", "one-sided, least over landmarks; NULL: as above"),
    Column("detectable", "DOUBLE", "difference that would be seen with a power of 80 %"),
    Column("confidence", "DOUBLE", "lower bound of the rate with it, shrunk; 0 if not established"),
)
"""What `contrast` adds to the columns of the analysis, behind `kind` and `pattern`."""

ComparedLabel: TypeAlias = Literal[
    "interventional",
    "established",
    "time-confounded",
    "suggestive",
    "task-confounded",
    "no-effect",
    "insufficient",
]

COMPARED_LABELS: Final[Mapping[ComparedLabel, str]] = {
    "interventional": "as established, between arms of an experiment that ran at the same time",
    "established": "holds within tasks: p < 0.05, q <= 0.10 among cohorts, the interval excludes 0,"
    " at least 3 tasks that can tell",
    "time-confounded": "holds within tasks, but one cohort had ended before the other began:"
    " whatever else changed in between may be why",
    "suggestive": "p < 0.05 within tasks, but not sure among so many, from fewer tasks, or with"
    " runs left out unequally",
    "task-confounded": "seen over all runs and not within tasks: the cohorts tried other tasks",
    "no-effect": "a difference of 25 points, or of 25 % of a measure, would have been seen",
    "insufficient": "too few to tell; `missing` says how many more",
}

COMPARED_COLUMNS: Final = (
    Column("label", "VARCHAR", "what may be believed of the difference; NULL: of the baseline"),
    Column("finding", "VARCHAR", "the same as a sentence"),
    Column("warnings", "VARCHAR[]", "why the difference may be of something else; empty: none"),
    Column(
        "missing",
        "BIGINT",
        "runs of mixed tasks, or of a measure shared tasks, still needed; NULL: enough",
    ),
    Column(
        "difference",
        "DOUBLE",
        "from the baseline within tasks: of rates, or the median of medians' differences;"
        " NULL: unknown",
    ),
    Column("difference_low", "DOUBLE", "lower 95 % bound of the difference; NULL: unknown"),
    Column("difference_high", "DOUBLE", "upper 95 % bound of the difference; NULL: unknown"),
    Column("p_value", "DOUBLE", "exact, two-sided, within tasks; NULL: no task can tell"),
    Column("q_value", "DOUBLE", "rate of false discoveries among the cohorts; NULL: as above"),
    Column(
        "p_overall", "DOUBLE", "Fisher's, over all runs as if of one task; NULL: another measure"
    ),
    Column("value_low", "DOUBLE", "lower 95 % bound of the rate (Wilson); NULL: another measure"),
    Column("value_high", "DOUBLE", "upper 95 % bound of the rate (Wilson); NULL: as above"),
    Column("n_shared", "BIGINT", "tasks that both tried; NULL: of the baseline"),
    Column(
        "n_telling", "BIGINT", "of these, tasks that can tell: of mixed outcome, or that differ"
    ),
    Column("detectable", "DOUBLE", "difference seen with a power of 80 %; NULL: another measure"),
)
"""What `cohorts` adds to the columns of the analysis, behind `cohort` and `measure`."""

ToolLabel: TypeAlias = Literal["problematic", "unreliable", "insufficient", "highly effective"]

TOOL_LABELS: Final[Mapping[ToolLabel, str]] = {
    "problematic": "less than half of its calls succeed: the upper 95 % bound is below 0.5",
    "unreliable": "less than 80 % of its calls succeed: the upper 95 % bound is below 0.8",
    "insufficient": "too few calls to tell; `missing` says how many more",
    "highly effective": "more than 80 % of its calls succeed: the lower 95 % bound is above 0.8",
}

TOOL_COLUMNS: Final = (
    Column("label", "VARCHAR", "what may be believed of its calls"),
    Column("finding", "VARCHAR", "calls and runs as a sentence"),
    Column(
        "missing",
        "BIGINT",
        "finished calls until that can be told, if they go on failing as often; NULL: it can be,"
        " or no number would do",
    ),
    Column("error_low", "DOUBLE", "lower 95 % bound of error_rate (Wilson); NULL: none finished"),
    Column("error_high", "DOUBLE", "upper 95 % bound of error_rate (Wilson); NULL: none finished"),
    Column(
        "error_rate_shrunk",
        "DOUBLE",
        "error_rate drawn towards those of the other tools, the more the fewer its calls"
        " (empirical Bayes); NULL: none finished",
    ),
    Column(
        "effect",
        "VARCHAR",
        "what may be believed of the runs that use it, a label of `contrast`; NULL: nobody judged"
        " runs with it, or without",
    ),
    Column("runs_missing", "BIGINT", "runs of mixed tasks that `effect` still needs; NULL: enough"),
    Column(
        "difference",
        "DOUBLE",
        "success rate of runs with it minus that of runs without, within tasks; NULL: unknown",
    ),
    Column("difference_low", "DOUBLE", "lower 95 % bound of the difference"),
    Column("difference_high", "DOUBLE", "upper 95 % bound of the difference"),
    Column("p_value", "DOUBLE", "exact, two-sided, within tasks; NULL: no task can tell"),
    Column("q_value", "DOUBLE", "rate of false discoveries among the tools; NULL: as above"),
    Column("n_strata", "BIGINT", "tasks (by agent, version, week) in which some runs use it"),
    Column("n_mixed", "BIGINT", "of these, tasks that can tell: both its use and the outcome vary"),
)
"""What `effectiveness` adds to the columns of the analysis, behind the tool and its agent."""

STEP_COLUMNS: Final = {
    "contrast": COLUMNS,
    "cohorts": COMPARED_COLUMNS,
    "effectiveness": TOOL_COLUMNS,
}
"""Step -> the columns it adds."""

SHOWN: Final = {
    "contrast": ("label", "kind", "pattern", "finding"),
    "cohorts": ("label", "cohort", "measure", "finding"),
    "effectiveness": ("label", "tool_name", "agent_name", "finding"),
}
"""Step -> columns that fit on a screen: what may be believed, of what, and why."""

MEANINGS: Final[Mapping[str, Mapping[Any, str]]] = {
    "contrast": LABELS,
    "cohorts": COMPARED_LABELS,
    "effectiveness": TOOL_LABELS,
}
"""Step -> its labels and what they mean."""

Tone: TypeAlias = Literal["good", "doubt", "bad", "none"]

BADGES: Final[Mapping[str, tuple[str, Tone]]] = {
    "interventional": ("✓", "good"),
    "established": ("✓", "good"),
    "highly effective": ("✓", "good"),
    "suggestive": ("~", "doubt"),
    "task-confounded": ("≠", "doubt"),
    "time-confounded": ("≠", "doubt"),
    "length-artefact": ("≠", "doubt"),
    "unreliable": ("!", "doubt"),
    "problematic": ("✗", "bad"),
    "infrastructure": ("✗", "bad"),
    "insufficient": ("?", "none"),
    "no-effect": ("=", "none"),
}
"""Label -> sign that stands before it, so that colour is never alone, and what its colour says."""

_NEEDED: Final = {
    "contrast": ("run", "in tasks of mixed outcome"),
    "cohorts": ("run", "of tasks that both groups try"),
    "effectiveness": ("finished call", ""),
}


def needed(step: str, missing: int | None) -> str | None:
    """What is to be recorded until a row can be judged: `14 more runs in tasks of mixed outcome`.

    Args:
        step: The statistical step.
        missing: How many, as the step tells; None is enough, or no number would do.
    """
    if not missing:
        return None
    noun, of = _NEEDED[step]
    return f"{count(missing, f'more {noun}')} {of}".rstrip()
