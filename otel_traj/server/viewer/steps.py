"""The steps of a trajectory: as lines with rewards, and each with all its texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from otel_traj.dialects.messages import from_json
from otel_traj.model import Step
from otel_traj.server.viewer.answers import (
    StepDetail,
    StepPage,
    StepRow,
    ToolRequest,
    Verdict,
)
from otel_traj.server.viewer.course import Changes, Course, requests
from otel_traj.server.viewer.listing import finite
from otel_traj.server.viewer.problems import NotThereError
from otel_traj.server.viewer.texts import Texts

MOST: Final = 5_000
"""Steps of one answer, and its default."""

LAST: Final = 2**31 - 1
"""No step has a larger number."""

_LINE: Final = 200
_US: Final = timedelta(microseconds=1)

TEXTS: Final = (
    "arguments",
    "result",
    "model_saw",
    "output_text",
    "reasoning",
    "observation",
    "error_message",
    "attributes",
)
"""Columns that are texts, beside those of messages."""


def page(course: Course, begin: int, limit: int) -> StepPage:
    """Lines of steps.

    Args:
        course: The run.
        begin: The first step.
        limit: At most so many.
    """
    n = len(course.outline)
    end = min(begin + limit, n)
    return {
        "rows": [line(course, step) for step in course.steps(range(begin, end))],
        "next": end if end < n else None,
        "total": n,
    }


def line(course: Course, step: Step) -> StepRow:
    """The line of one step; what others tell of it is in the course."""
    run, changes = course.run, course.changes.get(step.step, _NOTHING)
    return {
        "step": step.step,
        "turn": step.turn,
        "parent_step": step.parent_step,
        "group_id": step.group_id,
        "agent_run": step.agent_run,
        "agent_path": step.agent_path,
        "agent_name": step.agent_name,
        "kind": step.kind,
        "action": _action(step),
        "trace_id": step.trace_id,
        "span_id": step.span_id,
        "start_us": (step.start_time - run.start_time) // _US,
        "duration_us": step.duration_us,
        "ttft_us": step.ttft_us,
        "status": step.status,
        "error_type": step.error_type,
        "error_message": step.error_message[:_LINE] if step.error_message else step.error_message,
        "model": step.response_model or step.model,
        "tool_name": step.tool_name,
        "tool_call_id": step.tool_call_id,
        "handoff_from": step.handoff_from,
        "handoff_to": step.handoff_to,
        "handoff_mode": step.handoff_mode,
        "effect": step.effect,
        "finish_reason": step.finish_reason,
        "input_tokens": step.input_tokens,
        "output_tokens": step.output_tokens,
        "cache_read_tokens": step.cache_read_tokens,
        "reasoning_tokens": step.reasoning_tokens,
        "cost_usd": finite(step.cost_usd),
        "reward": finite(step.reward),
        "cumulative_reward": course.rewards[step.step],
        "done": step.done,
        "test_pass_rate": finite(step.test_pass_rate),
        "security_flags": list(step.security_flags or ()),
        "n_files": changes.n,
        "added": changes.added,
        "removed": changes.removed,
        "grade": step.grade,
        "preview": _preview(step),
    }


_NOTHING: Final = Changes(0, None, None)


def _action(step: Step) -> str | None:
    match step.kind:
        case "llm":
            return step.response_model or step.model
        case "handoff":
            return f"{step.handoff_from or step.agent_name or '?'} → {step.handoff_to or '?'}"
        case _:
            return step.tool_name


def _preview(step: Step) -> str | None:
    """What a line shows of a step: the error, else what came of it, else what it was asked."""
    texts = (step.error_message, step.output_text, step.result, step.model_saw, step.arguments)
    text = next((text for text in texts if text), None)
    if text is None and step.kind == "user":
        text = next((told for role, told in said(step.new_messages) if role == "user"), None)
    return text[:_LINE] if text else None


def said(messages: str | None) -> Iterator[tuple[str, str]]:
    """Role and text of messages, as a step has those that are new at it."""
    for message in from_json(messages):
        if message.text:
            yield message.role, message.text


# --- one step ----------------------------------------------------------------------------------


def step_of(course: Course, number: int) -> Step:
    """A step by its number.

    Raises:
        NotThereError: There is none.
    """
    if not 0 <= number < len(course.outline):
        raise NotThereError(f"There is no step {number}: this run has {len(course.outline):,}")
    return course.steps([number])[0]


def detail(course: Course, number: int, texts: Texts, verdicts: Iterable[Verdict]) -> StepDetail:
    """A step with all that it said and got.

    Args:
        course: The run.
        number: Which step.
        texts: Cuts what is long, and keeps it whole.
        verdicts: What is said of steps of the run.

    Raises:
        NotThereError: There is none.
    """
    step = step_of(course, number)
    shown = {column: texts.text(column, getattr(step, column)) for column in TEXTS}
    return {
        **line(course, step),
        "texts": {column: text for column, text in shown.items() if text is not None},
        "new_messages": texts.messages("new_messages", step.new_messages),
        "output": texts.messages("output", step.output),
        "calls": calls(texts, step, course.ran([step])),
        "provider": step.provider,
        "response_id": step.response_id,
        "cache_write_tokens": step.cache_write_tokens,
        "cost_source": step.cost_source,
        "grade_reason": step.grade_reason,
        "inferred": list(step.inferred),
        "merged_spans": [
            {
                "trace_id": span.trace_id,
                "span_id": span.span_id,
                "rule": span.rule,
                "confidence": span.confidence,
            }
            for span in step.merged_spans
        ],
        "verdicts": [told for told in verdicts if told["span_id"] == step.span_id],
    }


def calls(texts: Texts, step: Step, ran: Mapping[str | None, int]) -> list[ToolRequest]:
    """The tools that a model asked for."""
    return [
        {
            "id": call.get("id"),
            "name": call.get("name"),
            "arguments": texts.json(f"tool_calls.{i}", call.get("arguments")),
            "step": ran.get(call["id"]) if call.get("id") is not None else None,
        }
        for i, call in enumerate(requests(step.tool_calls))
    ]
