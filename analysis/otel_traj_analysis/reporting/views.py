"""What the report shows of which analysis, chapter by chapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_ROWS: Final = 12


@dataclass(frozen=True, slots=True)
class View:
    """Part of an answer.

    Columns that the analysis does not have are left out, and so is a view whose analysis is not
    shipped. `measure` is the column that is drawn, with the bounds of its interval where there are
    some. `findings` of the first rows are said as sentences.
    """

    analysis: str
    title: str
    columns: tuple[str, ...]
    measure: str | None = None
    low: str | None = None
    high: str | None = None
    rows: int = MOST_ROWS
    findings: int = 3


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the page; `anchor` is its address in it."""

    anchor: str
    title: str
    views: tuple[View, ...]


PATTERN: Final = ("label", "kind", "pattern", "finding", "n_runs", "difference", "q_value")

CHAPTERS: Final = (
    Chapter(
        "works",
        "What works",
        (
            View(
                "success_patterns",
                "What runs that succeed do",
                PATTERN,
                measure="difference",
                low="difference_low",
                high="difference_high",
            ),
            View(
                "performance_patterns",
                "Where successes differ in length",
                ("task", "agent_name", "n_success", "least_tools", "median_tools", "savable"),
                measure="savable",
                rows=8,
                findings=0,
            ),
        ),
    ),
    Chapter(
        "fails",
        "What fails",
        (
            View(
                "failure_patterns",
                "What runs that fail do",
                PATTERN,
                measure="difference",
                low="difference_low",
                high="difference_high",
            ),
            View(
                "attribution",
                "Where runs went wrong",
                ("rank", "at_fault", "agent_name", "rule", "mode", "mast", "score"),
                rows=8,
            ),
            View(
                "waste",
                "Calls that bring nothing new",
                ("kind", "tool_name", "n_calls", "n_wasted", "wasted_s", "agent_name"),
                measure="n_wasted",
                rows=8,
            ),
            View(
                "open_runs",
                "Runs that hang, still run, or took long",
                ("state", "agent_name", "task", "silent_s", "elapsed_s", "usual_s", "name"),
                measure="elapsed_s",
                rows=8,
            ),
        ),
    ),
    Chapter(
        "tools",
        "Tools",
        (
            View(
                "tool_effectiveness",
                "How tools do",
                (
                    "tool_name",
                    "label",
                    "finding",
                    "agent_name",
                    "agent_version",
                    "n_calls",
                    "error_rate",
                    "n_retries",
                    "p95_duration_s",
                ),
                measure="error_rate",
                low="error_low",
                high="error_high",
            ),
            View(
                "tool_errors",
                "What failed calls say",
                (
                    "tool_name",
                    "signature",
                    "harness",
                    "n_calls",
                    "share",
                    "n_runs",
                    "n_judged",
                    "n_failure",
                    "n_recovered",
                ),
                measure="share",
                findings=2,
            ),
            View(
                "tool_followups",
                "What becomes of what tools give",
                (
                    "tool_name",
                    "agent_name",
                    "ending",
                    "n_calls",
                    "n_quotable",
                    "used_rate",
                    "n_again",
                    "n_other",
                    "n_last",
                ),
                measure="used_rate",
                findings=0,
            ),
            View(
                "thinking_patterns",
                "Calls with and without reasoning",
                (
                    "tool_name",
                    "agent_name",
                    "n_calls",
                    "n_thought",
                    "error_rate_thought",
                    "error_rate_silent",
                ),
                measure="error_rate_thought",
                rows=8,
                findings=0,
            ),
        ),
    ),
    Chapter(
        "flow",
        "Flow",
        (
            View(
                "process_map",
                "Which call follows which",
                ("source", "target", "n", "n_runs", "share", "n_again", "n_judged", "success_rate"),
                measure="share",
                rows=36,
            ),
            View(
                "variants",
                "The ways that runs go",
                ("calls", "n_calls", "n_runs", "share", "n_judged", "n_success", "success_rate"),
                measure="share",
                rows=8,
                findings=1,
            ),
            View(
                "prefix_value",
                "What beginnings are worth",
                ("task", "calls", "n_runs", "n_success", "value", "change", "n_blamed"),
                measure="change",
                rows=8,
            ),
            View(
                "first_divergence",
                "Where runs that succeed part from runs that do not",
                (
                    "task",
                    "calls",
                    "next",
                    "n_baseline",
                    "n_baseline_here",
                    "n_cohort",
                    "n_cohort_here",
                    "share_parted",
                ),
                measure="share_parted",
                rows=8,
                findings=1,
            ),
        ),
    ),
    Chapter(
        "cost",
        "Cost and time",
        (
            View(
                "token_cost",
                "What models cost",
                (
                    "model",
                    "agent_name",
                    "n_calls",
                    "input_tokens",
                    "output_tokens",
                    "cost_usd",
                    "n_cost_unknown",
                ),
                measure="cost_usd",
            ),
            View(
                "latency",
                "Where time goes",
                (
                    "agent_name",
                    "kind",
                    "n_steps",
                    "median_s",
                    "p95_s",
                    "critical_s",
                    "critical_share",
                ),
                measure="critical_share",
            ),
        ),
    ),
    Chapter(
        "change",
        "Change",
        (
            View(
                "drift",
                "From week to week",
                (
                    "agent_name",
                    "week",
                    "n_runs",
                    "n_judged",
                    "success_rate",
                    "success_change",
                    "n_errors",
                    "median_duration_s",
                    "mean_cost_usd",
                ),
                measure="success_rate",
            ),
            View(
                "cohorts",
                "Versions of agents",
                (
                    "label",
                    "cohort",
                    "measure",
                    "baseline",
                    "finding",
                    "n_runs",
                    "n_tasks",
                    "value",
                    "q_value",
                ),
            ),
        ),
    ),
    Chapter(
        "tasks",
        "Tasks",
        (
            View(
                "outcomes",
                "How attempts ended",
                (
                    "task",
                    "n",
                    "n_judged",
                    "n_success",
                    "success_rate",
                    "n_error",
                    "n_unjudged",
                    "mean_reward",
                ),
                measure="success_rate",
                findings=0,
            ),
        ),
    ),
    Chapter(
        "record",
        "What to record to know more",
        (
            View(
                "coverage",
                "What recordings do not tell",
                ("agent_name", "what", "of", "n", "n_told", "share", "remedy"),
                measure="share",
                rows=24,
                findings=5,
            ),
        ),
    ),
)

LISTINGS: Final = frozenset({"history_summary", "step_timeline", "replay_inputs", "activity"})
"""Analyses that list runs or steps, and tell nothing of many."""

VIEWS: Final = {view.analysis: view for chapter in CHAPTERS for view in chapter.views}
"""Analysis -> what is shown of it."""
