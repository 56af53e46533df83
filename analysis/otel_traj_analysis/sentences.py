"""What a row of an answer says, as a sentence.

A sentence names columns of its analysis in braces, `{n_runs run}` with what they count; `values`
writes them. Of several the first is said all of whose columns are told and, where they count, not
0; a row of which none can be said says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_traj.words import count
from otel_traj_analysis import values

SENTENCES: Final[Mapping[str, Sequence[str]]] = {
    "attribution": (
        "{trajectory_id}: step {step} of agent {agent_name} is suspected by the rule {rule} "
        "({mode}); likeliest at fault is agent {at_fault}",
        "{trajectory_id}: step {step} of agent {agent_name} is suspected by the rule {rule} "
        "({mode})",
    ),
    "cohorts": ("{cohort} against {baseline}, {measure}: {finding} ({label})",),
    "coverage": (
        "agent {agent_name}: {what} is told of {n_told} of {n} {of}s; to have more: {remedy}",
        "agent {agent_name}: {what} is told of none of {n} {of}s; to have it: {remedy}",
    ),
    "drift": (
        "agent {agent_name}, week of {week}: {n_success} of {n_judged} judged runs succeed, "
        "{success_change} against the week before",
        "agent {agent_name}, week of {week}: {n_success} of {n_judged} judged runs succeed",
        "agent {agent_name}, week of {week}: none of {n_judged} judged runs succeeds",
        "agent {agent_name}, week of {week}: {n_runs run}, nobody judged them",
    ),
    "failure_patterns": ("{pattern}: {finding} ({label})",),
    "first_divergence": (
        "task {task}, after {calls}: {next} comes in {n_baseline} of {n_baseline_here} runs of the "
        "first group and {n_cohort} of {n_cohort_here} of the second",
        "task {task}, after {calls}: {next} comes in {n_baseline} of {n_baseline_here} runs of the "
        "first group and in none of {n_cohort_here} of the second",
        "task {task}, after {calls}: {next} comes in none of {n_baseline_here} runs of the first "
        "group and {n_cohort} of {n_cohort_here} of the second",
    ),
    "latency": (
        "{critical_share} of the time of agent {agent_name} goes to steps of kind {kind}: "
        "{critical_s} for {n_steps step} in {n_runs run}",
        "{critical_share} of the time of agent {agent_name} goes to what no step tells: "
        "{critical_s} in {n_runs run}",
    ),
    "open_runs": (
        "{trajectory_id}, agent {agent_name}, is {state}: nothing heard for {silent_s}, in step "
        "{step}",
        "{trajectory_id}, agent {agent_name}, is {state}: nothing heard for {silent_s}",
        "{trajectory_id}, agent {agent_name}, took {elapsed_s}, where {usual_s} is usual; the "
        "longest was step {step}",
    ),
    "outcomes": (
        "task {task}: {n_success} of {n_judged} judged attempts succeed",
        "task {task}: none of {n_judged} judged attempts succeeds",
        "task {task}: {n_unjudged attempt}, nobody judged them",
    ),
    "performance_patterns": (
        "task {task}: its shortest success takes {least_tools} tool calls, the median "
        "{median_tools}",
    ),
    "prefix_value": (
        "task {task}: {n_success} of {n_runs run} that begin with {calls} succeed; the last of "
        "these calls changes the chance by {change}",
        "task {task}: none of {n_runs run} that begin with {calls} succeeds; the last of these "
        "calls changes the chance by {change}",
    ),
    "process_map": (
        "{target} comes after {source} {n time} in {n_runs run}, {share} of what comes then",
        "{target} comes first in {n_runs run}, {share} of all",
        "{source} comes last in {n_runs run}, {share} of what comes after it",
    ),
    "success_patterns": ("{pattern}: {finding} ({label})",),
    "thinking_patterns": (
        "{tool_name}: {error_rate_thought} of {n_thought call} with recorded reasoning fail, "
        "{error_rate_silent} of the others",
    ),
    "token_cost": (
        "model {model} costs agent {agent_name} at least {cost_usd} in {n_calls call}; the cost "
        "of {n_cost_unknown} of them is unknown",
        "model {model} costs agent {agent_name} {cost_usd} in {n_calls call}",
        "model {model}: {n_calls call} by agent {agent_name} at unknown cost",
    ),
    "tool_effectiveness": ("{tool_name}: {finding} ({label})",),
    "tool_errors": (
        "{tool_name} fails {n_calls time} in {n_runs run} with: {signature}; it worked again later "
        "in the run after {n_recovered} of them",
        "{tool_name} fails {n_calls time} in {n_runs run} with: {signature}; it never worked again "
        "in the run",
    ),
    "tool_followups": (
        "{tool_name}, calls that end in {ending}: of {n_quotable} that give a word of their own "
        "{n_used} are quoted later ({used_rate})",
    ),
    "variants": (
        "{n_runs run} of the same calls, {share} of all: {calls}; {n_success} of {n_judged} "
        "judged succeed",
        "{n_runs run} of the same calls, {share} of all: {calls}",
    ),
    "waste": (
        "{trajectory_id}: {n_wasted} of {n_calls call} of {tool_name} bring nothing new "
        "({kind}, steps {first_step} to {last_step})",
        "{trajectory_id}: {n_calls call} without progress, steps {first_step} to {last_step}",
    ),
}
"""Analysis -> its sentences, the most telling first."""

_LONGEST: Final = 80
"""Characters of a value; names are written by strangers."""
_WHOLE: Final = frozenset({"finding", "remedy"})
"""Columns whose texts are ours."""

_COLUMN: Final = re.compile(r"\{(?P<column>\w+)(?: (?P<noun>\w+))?\}")


def columns(analysis: str) -> tuple[str, ...]:
    """The columns that the sentences of an analysis mention."""
    return tuple(dict.fromkeys(_named(" ".join(SENTENCES.get(analysis, ())))))


def counted(analysis: str) -> tuple[str, ...]:
    """Those of them that a noun follows."""
    told = _COLUMN.finditer(" ".join(SENTENCES.get(analysis, ())))
    return tuple(dict.fromkeys(found["column"] for found in told if found["noun"]))


def say(analysis: str, row: Mapping[str, Any]) -> str | None:
    """The sentence of a row; None where there is nothing to say."""
    for sentence in SENTENCES.get(analysis, ()):
        if all(_is_told(column, row.get(column)) for column in _named(sentence)):
            return _COLUMN.sub(lambda found: _written(found, row), sentence)
    return None


def _named(sentence: str) -> list[str]:
    return [found["column"] for found in _COLUMN.finditer(sentence)]


def _written(found: re.Match[str], row: Mapping[str, Any]) -> str:
    column, noun = found["column"], found["noun"]
    if noun:
        return count(row[column], noun)
    text = values.text(column, row[column])
    is_whole = column in _WHOLE or len(text) <= _LONGEST
    return text if is_whole else text[: _LONGEST - 1] + "…"


def _is_told(column: str, value: Any) -> bool:
    if column in values.NAMELESS:
        return True
    return value is not None and not (column.startswith("n_") and value == 0)
