"""Recording: `instrument()` once, and verbs for what no instrumentor sees.

Set-up errors raise, being calls that somebody has just written. Recording never does: nothing here
raises into the agent, blocks it, or grows without bound. Without `instrument()` every verb runs the
user's code and does nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel_traj import semconv
from otel_traj.capture.handles import (
    Effect,
    FileDiff,
    InferenceSpan,
    Outcome,
    ToolCallSpan,
    TrajectorySpan,
)
from otel_traj.capture.handles import current as _current
from otel_traj.capture.recording import Recording, instrument, uninstrument
from otel_traj.capture.tools import tool

__all__ = [
    "Effect",
    "FileDiff",
    "InferenceSpan",
    "Outcome",
    "Recording",
    "ToolCallSpan",
    "TrajectorySpan",
    "current",
    "inference",
    "instrument",
    "tool",
    "tool_call",
    "trajectory",
    "uninstrument",
]


def trajectory(
    task: str,
    *,
    task_id: str | None = None,
    agent: str | None = None,
    trajectory_id: str | None = None,
    conversation_id: str | None = None,
    user_id: str | None = None,
    variant_id: str | None = None,
    prompt_version: str | None = None,
    guideline_ids: Sequence[str] = (),
    arm: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> TrajectorySpan:
    """One attempt at a task: a block, or a decorator that makes each call of a function one.

    Model calls and tools within it become its steps. Inside another one it is a sub-agent.

    Args:
        task: What was asked. Attempts at the same task are compared.
        task_id: Names the task where its text varies.
        agent: Who acts.
        trajectory_id: An id of your own; it must be new for each attempt.
        conversation_id: The conversation that this attempt is a part of.
        user_id: For whom.
        variant_id: Which variant of the agent acts.
        prompt_version: Which version of its prompt.
        guideline_ids: Which learned guidelines it was given.
        arm: The arm of an experiment.
        attributes: More attributes for the span.
    """
    return TrajectorySpan(
        task,
        agent=agent,
        trajectory_id=trajectory_id,
        attributes=attributes,
        **{
            semconv.TASK_ID: task_id,
            semconv.CONVERSATION_ID: conversation_id,
            semconv.USER_ID: user_id,
            semconv.VARIANT_ID: variant_id,
            semconv.PROMPT_VERSION: prompt_version,
            semconv.GUIDELINE_IDS: list(guideline_ids or ()) or None,
            semconv.ARM: arm,
        },
    )


def inference(model: str, *, provider: str, input: Any = None) -> InferenceSpan:
    """A block round one call of a model; only where no instrumentor records it.

    Args:
        model: The model asked for.
        provider: Who runs it, as the GenAI conventions name them: `openai`, `anthropic` ...
        input: A text, or a list of messages.
    """
    return InferenceSpan(model, provider=provider, input=input)


def tool_call(
    name: str,
    *,
    arguments: Any = None,
    call_id: str | None = None,
    reasoning: str | None = None,
    effect: Effect = "unknown",
) -> ToolCallSpan:
    """A block round one execution of a tool, for tools that are not functions.

    Args:
        name: What the model calls the tool.
        arguments: What it was given; any value.
        call_id: The id of the model's request for it.
        reasoning: Why the agent did it.
        effect: What running it again would do, as for `tool`.
    """
    return ToolCallSpan(
        name, arguments=arguments, call_id=call_id, reasoning=reasoning, effect=effect
    )


def current() -> TrajectorySpan | None:
    """The innermost run that this code is part of; None outside of any.

    It follows `await` and `asyncio` tasks by itself. A thread begins without it, as with anything
    kept in context variables: start the work with `contextvars.copy_context().run`.
    """
    return _current()
