"""What a row of an answer says, as a sentence.

A sentence names columns of its analysis in braces, `{n_runs run}` with what they count; `values`
writes them. Of several the first is said all of whose columns are told and, where they count, not
0; a row of which none can be said says nothing. Analyses that judge have a column `finding`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_traj.words import count
from otel_traj_analysis import values

FINDING: Final = "finding"
"""Column that holds the sentence of a row."""

SENTENCES: Final[Mapping[str, Sequence[str]]] = {
    "coverage": (
        "{agent_name}: {what} is told of {n_told} of {n} {of}s; to have more: {remedy}",
        "{agent_name}: {what} is told of none of {n} {of}s; to have it: {remedy}",
    ),
    "drift": (
        "{agent_name}, week of {week}: {n_success} of {n_judged} judged runs succeed, "
        "{success_change} against the week before",
        "{agent_name}, week of {week}: {n_success} of {n_judged} judged runs succeed",
        "{agent_name}, week of {week}: none of {n_judged} judged runs succeeds",
        "{agent_name}, week of {week}: {n_runs run}, nobody judged them",
    ),
    "latency": (
        "{critical_share} of the time of {agent_name} goes to steps of kind {kind}: "
        "{critical_s} for {n_steps step} in {n_runs run}",
        "{critical_share} of the time of {agent_name} goes to what no step tells: {critical_s} in "
        "{n_runs run}",
    ),
    "open_runs": (
        "{trajectory_id} ({agent_name}) is {state}: nothing heard for {silent_s}, in step {step}",
        "{trajectory_id} ({agent_name}) is {state}: nothing heard for {silent_s}",
        "{trajectory_id} ({agent_name}) took {elapsed_s}, where {usual_s} is usual; the longest "
        "was step {step}",
    ),
    "outcomes": (
        "{task}: {n_success} of {n_judged} judged attempts succeed",
        "{task}: none of {n_judged} judged attempts succeeds",
        "{task}: {n_unjudged attempt}, nobody judged them",
    ),
    "performance_patterns": (
        "{task}: its shortest success takes {least_tools} tool calls, the median {median_tools}",
    ),
    "process_map": (
        "{target} comes after {source} {n time} in {n_runs run}, {share} of what comes then",
        "{target} comes first in {n_runs run}, {share} of all",
        "{source} comes last in {n_runs run}, {share} of what comes after it",
    ),
    "thinking_patterns": (
        "{tool_name}: {error_rate_thought} of {n_thought call} with recorded reasoning fail, "
        "{error_rate_silent} of the others",
    ),
    "token_cost": (
        "{model} costs {agent_name} at least {cost_usd} in {n_calls call}; the cost of "
        "{n_cost_unknown} of them is unknown",
        "{model} costs {agent_name} {cost_usd} in {n_calls call}",
        "{model}: {n_calls call} by {agent_name} at unknown cost",
    ),
    "tool_effectiveness": (
        "{tool_name} fails in {n_errors} of {n_finished call} ({error_rate}); it is tried again "
        "{n_retries time}, {n_retries_ok} with success",
        "{tool_name} fails in {n_errors} of {n_finished call} ({error_rate})",
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

_COLUMN: Final = re.compile(r"\{(?P<column>\w+)(?: (?P<noun>\w+))?\}")


def columns(analysis: str) -> tuple[str, ...]:
    """The columns that the sentences of an analysis mention."""
    return tuple(dict.fromkeys(_named(" ".join(SENTENCES.get(analysis, ())))))


def say(analysis: str, row: Mapping[str, Any]) -> str | None:
    """The sentence of a row; None where there is nothing to say."""
    if FINDING in row:
        return values.text(FINDING, row[FINDING]) if row[FINDING] else None
    for sentence in SENTENCES.get(analysis, ()):
        if all(_is_told(column, row.get(column)) for column in _named(sentence)):
            return _COLUMN.sub(lambda found: _written(found, row), sentence)
    return None


def _named(sentence: str) -> list[str]:
    return [found["column"] for found in _COLUMN.finditer(sentence)]


def _written(found: re.Match[str], row: Mapping[str, Any]) -> str:
    value = row[found["column"]]
    return count(value, found["noun"]) if found["noun"] else values.text(found["column"], value)


def _is_told(column: str, value: Any) -> bool:
    if column in values.NAMELESS:
        return True
    return value is not None and not (column.startswith("n_") and value == 0)
