"""Where two runs went apart, and what is known of why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from otel_traj.comparison.messages import compare_messages
from otel_traj.comparison.steps import (
    DECISIVE,
    StepDifference,
    calls_of,
    key_of,
    model_of,
    told_calls,
)
from otel_traj.dialects.messages import from_json
from otel_traj.model import Step, Trajectory

Cause = Literal[
    "input",
    "prompt",
    "tools",
    "model",
    "parameters",
    "context",
    "messages",
    "tool_result",
    "model_error",
    "nondeterminism",
    "ordering",
    "code",
    "end",
    "unknown",
]
"""What a divergence comes from, as far as the records tell.

- input: something else was asked;
- prompt, tools, model, parameters: the model's request differs in its instructions, its tools, ...;
- context: the request lacks what the other one still holds; messages: it holds something else;
- tool_result: the same call came back otherwise; model_error: a model's call failed in one;
- nondeterminism: the requests are equal, the answers are not; or earlier answers were only worded
  otherwise;
- ordering: the same steps of a parallel group in another order;
- code: the model wanted the same, the agent did something else;
- end: one run ends here; unknown: the requests are not recorded.
"""


class Divergence(NamedTuple):
    """The first steps that differ in what was done or in what came of it.

    Attributes:
        left: Number of the step; None where this run had ended.
        right: Number of the step; None where this run had ended.
        cause: Class of the cause.
        why: The cause in a sentence; A is the left run, B the right one.
    """

    left: int | None
    right: int | None
    cause: Cause
    why: str


def divergence(
    left: Trajectory, right: Trajectory, rows: Sequence[StepDifference]
) -> Divergence | None:
    """Where two runs go apart; None where they never do.

    Args:
        left: One run.
        right: The other one.
        rows: Their steps side by side, in order.
    """
    for n, row in enumerate(rows):
        if is_decisive(row, left.steps, right.steps):
            return _divergence(left, right, rows[:n])
    return None


def is_decisive(row: StepDifference, left: Sequence[Step], right: Sequence[Step]) -> bool:
    """Whether steps differ in what was done or in what came of it, not only in words or price."""
    if row.left is None or row.right is None:
        return True
    if DECISIVE.intersection(row.aspects):
        return True
    asked_for = {calls_of(left[row.left]), calls_of(right[row.right])}
    return "answer" in row.aspects and asked_for == {"[]"}


def _divergence(
    left: Trajectory, right: Trajectory, before: Sequence[StepDifference]
) -> Divergence:
    """The divergence after some pairs of steps, which are all that either run has before it."""
    at = len(before)
    if at == len(left.steps):
        return Divergence(None, at, "end", "A ends here, B goes on")
    if at == len(right.steps):
        return Divergence(at, None, "end", "B ends here, A goes on")
    cause, why = _of_steps(left, right, left.steps[at], right.steps[at], before)
    return Divergence(at, at, cause, why)


def _of_steps(
    left: Trajectory, right: Trajectory, one: Step, other: Step, before: Sequence[StepDifference]
) -> tuple[Cause, str]:
    if one.kind == other.kind == "user":
        return "input", "The user said something else"
    if one.kind == other.kind == "llm":
        return _of_requests(left, right, one, other, before)
    if key_of(one) == key_of(other):
        return "tool_result", "The same call came back with something else"
    if _is_reordered(one, other, left.steps, right.steps):
        return "ordering", "The same steps of a parallel group came in another order"
    decided = next((n for n in reversed(range(len(before))) if left.steps[n].kind == "llm"), None)
    if decided is None or None in map(told_calls, (left.steps[decided], right.steps[decided])):
        return "unknown", "What the model had asked for before this step is not recorded"
    why = "The model had asked for the same; the agent did something else"
    return "code", why + _versions(left, right)


def _is_reordered(one: Step, other: Step, left: Sequence[Step], right: Sequence[Step]) -> bool:
    """Whether each step is found in the parallel group of the other one."""
    if one.group_id is None or other.group_id is None:
        return False
    in_left = {key_of(step) for step in left if step.group_id == one.group_id}
    in_right = {key_of(step) for step in right if step.group_id == other.group_id}
    return key_of(one) in in_right and key_of(other) in in_left


def _of_requests(
    left: Trajectory, right: Trajectory, one: Step, other: Step, before: Sequence[StepDifference]
) -> tuple[Cause, str]:
    """Why two calls of a model, which are the first to differ, do."""
    if (one.status == "error") != (other.status == "error"):
        failed = "A" if one.status == "error" else "B"
        return "model_error", f"The model's call failed in {failed}"
    if model_of(one) != model_of(other):
        return "model", f"A asked {model_of(one)}, B asked {model_of(other)}"
    is_known = None not in (one.request_hash, other.request_hash)
    if not is_known or one.canon_version != other.canon_version:
        return "unknown", "The requests are not recorded, so they cannot be compared"
    if one.request_hash == other.request_hash:
        return "nondeterminism", "The model was asked exactly the same and answered otherwise"
    if one.system_hash != other.system_hash:
        return "prompt", "The instructions to the model differ" + _versions(left, right)
    if one.tools_hash != other.tools_hash:
        return "tools", "The tools that the model was offered differ"
    if one.params_hash != other.params_hash:
        return (
            "parameters",
            "The parameters of the request differ: temperature, limits, format",
        )
    return _of_messages(left, right, one, other, before)


def _of_messages(
    left: Trajectory, right: Trajectory, one: Step, other: Step, before: Sequence[StepDifference]
) -> tuple[Cause, str]:
    """Why two requests, which differ in nothing but their messages, do."""
    new = compare_messages(from_json(one.new_messages), from_json(other.new_messages))
    told = [change for change in new if change.change != "SAME"]
    if told and all(change.change in ("DROPPED", "TRUNCATED") for change in told):
        return "context", "B's request lacks messages, or parts of them, that A's holds"
    if told and all(change.role == "user" for change in told):
        return "input", "Something else was asked"
    if told:
        return "messages", "The request holds other messages" + _versions(left, right)
    if any("answer" in row.aspects or "reasoning" in row.aspects for row in before):
        return "nondeterminism", "The model had worded earlier answers otherwise"
    return "context", "The new messages are the same: earlier ones were changed or left out"


def _versions(left: Trajectory, right: Trajectory) -> str:
    """What else is known to be another version."""
    told = [
        f"{name} {one} and {other}"
        for name, one, other in (
            ("prompt version", left.prompt_version, right.prompt_version),
            ("agent version", left.agent_version, right.agent_version),
            ("variant", left.variant_id, right.variant_id),
        )
        if one != other and one is not None and other is not None
    ]
    return f" ({', '.join(told)})" if told else ""
