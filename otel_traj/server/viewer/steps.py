"""The steps of a trajectory: as lines with rewards, as a transcript, each with all its texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from otel_traj.dialects.messages import from_json
from otel_traj.model import FileChange, Step, Trajectory
from otel_traj.server.viewer.answers import (
    Media,
    Piece,
    StepDetail,
    StepPage,
    StepRow,
    Text,
    ToolRequest,
    Transcript,
    TranscriptAgent,
    TranscriptStep,
    Verdict,
)
from otel_traj.server.viewer.listing import finite
from otel_traj.server.viewer.problems import NotThereError
from otel_traj.server.viewer.texts import PREVIEW, Texts, beginning
from otel_traj_exporters import agents

MOST: Final = 5_000
"""Steps of one answer, and its default; of a transcript the default is less."""

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


def page(run: Trajectory, begin: int, limit: int) -> StepPage:
    """Lines of steps.

    Args:
        run: The trajectory.
        begin: The first step.
        limit: At most so many.
    """
    lines = _Lines(run)
    shown = run.steps[begin : begin + limit]
    end = begin + len(shown)
    return {
        "rows": [lines.of(step) for step in shown],
        "next": end if end < len(run.steps) else None,
        "total": len(run.steps),
    }


class _Lines:
    """Makes lines of the steps of a run; what other steps tell of one is worked out before."""

    def __init__(self, run: Trajectory) -> None:
        self._run = run
        self._rewards = list(_cumulative(run.steps))
        self._changed: dict[int, list[FileChange]] = {}
        for change in run.file_changes:
            self._changed.setdefault(change.step, []).append(change)

    def of(self, step: Step) -> StepRow:
        """The line of a step."""
        changes = self._changed.get(step.step, [])
        return _line(self._run, step, self._rewards[step.step], changes)


def _cumulative(steps: Iterable[Step]) -> Iterator[float | None]:
    """As recorded, else the sum of what was given so far."""
    total: float | None = None
    for step in steps:
        if step.reward is not None:
            total = step.reward + (total or 0.0)
        if step.cumulative_reward is not None:
            total = step.cumulative_reward
        yield finite(total)


def _line(
    run: Trajectory, step: Step, cumulative: float | None, changes: Sequence[FileChange]
) -> StepRow:
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
        "cumulative_reward": cumulative,
        "done": step.done,
        "test_pass_rate": finite(step.test_pass_rate),
        "security_flags": list(step.security_flags or ()),
        "n_files": len(changes),
        "added": _sum(change.added for change in changes),
        "removed": _sum(change.removed for change in changes),
        "grade": step.grade,
        "preview": _preview(step),
    }


def _sum(numbers: Iterable[Any]) -> Any:
    """Of those that are known; None where none is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


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
        text = next((told for role, told in _said(step) if role == "user"), None)
    return text[:_LINE] if text else None


def _said(step: Step) -> Iterator[tuple[str, str]]:
    """Role and text of the messages that are new at a step."""
    for message in from_json(step.new_messages):
        if message.text:
            yield message.role, message.text


# --- transcript --------------------------------------------------------------------------------


def transcript(run: Trajectory, agent: str | None, begin: int, limit: int) -> Transcript:
    """The agent's loop in order; who works for it is folded.

    Args:
        run: The trajectory.
        agent: Path of the agent whose loop it is; None for the one at the top.
        begin: The first step.
        limit: At most so many steps and folded agents.

    Raises:
        NotThereError: There is no such agent.
    """
    level = _level(run, agent)
    if agent is not None and not level:
        raise NotThereError(f"No agent of this run has the path {agent!r}")
    items = [item for item in level if item.steps[0].step >= begin]
    read = _Loop(run)
    return {
        "items": [
            {"step": None, "agent": _folded(run, item)}
            if item.path is not None
            else {"step": read.step(item.steps[0]), "agent": None}
            for item in items[:limit]
        ],
        "next": items[limit].steps[0].step if len(items) > limit else None,
        "total": len(level),
    }


class _Item(NamedTuple):
    """A step of the agent whose loop it is, or all of an agent below it, with its path."""

    path: str | None
    steps: list[Step]


def _level(run: Trajectory, agent: str | None) -> list[_Item]:
    """What one agent did, and who worked for it, in order."""
    found: dict[str | int, _Item] = {}
    above = agents.parts(agent) if agent is not None else None
    for step in run.steps:
        path = agents.parts(step.agent_path)
        if above is not None and path[: len(above)] != above:
            continue
        own = len(above) if above is not None else 1
        item = _Item("/".join(path[: own + 1]) if len(path) > own else None, [])
        found.setdefault(item.path or step.step, item).steps.append(step)
    return list(found.values())


def _ran(run: Trajectory) -> dict[str | None, int]:
    """Id of a call -> the step that it became."""
    return {step.tool_call_id: step.step for step in run.steps if step.kind != "llm"}


class _Loop:
    """Reads the steps of a run, of which some tell what others do not repeat."""

    def __init__(self, run: Trajectory) -> None:
        self._lines = _Lines(run)
        self._ran = _ran(run)
        self._asked = {(step.agent_run, step.turn) for step in run.steps if step.kind == "user"}

    def step(self, step: Step) -> TranscriptStep:
        """A step with what it said and got."""
        texts = Texts(PREVIEW)
        return {
            **self._lines.of(step),
            "pieces": [*self._told(texts, step), *_pieces(texts, step)],
            "calls": _calls(texts, step, self._ran),
        }

    def _told(self, texts: Texts, step: Step) -> Iterator[Piece]:
        """New messages of user and system; a user's step has said what the model's repeats."""
        roles = {"user"} if step.kind == "user" else set()
        if step.kind == "llm":
            is_asked = (step.agent_run, step.turn) in self._asked
            roles = {"system"} if is_asked else {"system", "user"}
        for i, message in enumerate(from_json(step.new_messages) if roles else ()):
            for j, part in enumerate(message.parts if message.role in roles else ()):
                told = texts.part(f"new_messages.{i}.{j}", part)
                yield _piece(message.role, told["text"], told["is_json"], told["media"])


def _folded(run: Trajectory, item: _Item) -> TranscriptAgent:
    steps = item.steps
    ends = [step.end_time for step in steps]
    last = max((end for end in ends if end is not None), default=None)
    is_open = any(step.status == "open" for step in steps)
    return {
        "agent_path": str(item.path),
        "agent_name": next((step.agent_name for step in steps if step.agent_name), None),
        "parent_step": steps[0].parent_step,
        "first_step": steps[0].step,
        "last_step": steps[-1].step,
        "start_us": (steps[0].start_time - run.start_time) // _US,
        "duration_us": None if is_open or last is None else (last - steps[0].start_time) // _US,
        "n_steps": len(steps),
        "n_llm": sum(step.kind == "llm" for step in steps),
        "n_tools": sum(step.kind == "tool" for step in steps),
        "n_errors": sum(step.status == "error" for step in steps),
        "input_tokens": _sum(step.input_tokens for step in steps),
        "output_tokens": _sum(step.output_tokens for step in steps),
        "cost_usd": finite(_sum(step.cost_usd for step in steps)),
        "status": "open" if is_open else steps[-1].status,
        "first": beginning(_asked(steps)),
        "last": beginning(next(filter(None, map(_answered, reversed(steps))), None)),
    }


def _asked(steps: Iterable[Step]) -> str | None:
    """The first thing that anybody said to an agent."""
    said = (text for step in steps for role, text in _said(step) if role == "user")
    return next(said, None)


def _answered(step: Step) -> str | None:
    return step.output_text or step.result or step.error_message


_ASKED: Final = {"retrieval": "query"}


def _pieces(texts: Texts, step: Step) -> Iterator[Piece]:
    """What a step said and got, in the order of reading."""
    asked = _ASKED.get(step.kind, "arguments")
    for label, column in (
        ("reasoning", "reasoning"),
        ("answer", "output_text"),
        (asked, "arguments"),
        ("result", "result"),
        ("model_saw", "model_saw"),
        ("observation", "observation"),
        ("error", "error_message"),
    ):
        text: str | None = getattr(step, column)
        if text and not _is_repeated(step, column):
            yield _piece(label, texts.text(column, text), _is_json(text), None)


def _piece(label: Any, text: Text | None, is_json: bool, media: Media | None) -> Piece:
    return {"label": label, "text": text, "is_json": is_json, "media": media}


def _is_repeated(step: Step, column: str) -> bool:
    """Whether another column of the step has said the same."""
    text = getattr(step, column)
    match column:
        case "result":
            return bool(text == step.error_message)
        case "model_saw":
            return any(_says_the_same(text, told) for told in (step.result, step.error_message))
        case _:
            return False


def _says_the_same(left: str, right: str | None) -> bool:
    """Whether two texts are equal, or the same JSON laid out in two ways."""
    if right is None or left == right:
        return left == right
    try:
        return bool(json.loads(left) == json.loads(right))
    except (ValueError, RecursionError):
        return False


def _is_json(text: str) -> bool:
    return text[:1] in ("{", "[")


def _calls(texts: Texts, step: Step, ran: Mapping[str | None, int]) -> list[ToolRequest]:
    """The tools that a model asked for."""
    try:
        told = json.loads(step.tool_calls or "[]")
    except (ValueError, RecursionError):
        return []
    calls = [call for call in told if isinstance(call, dict)] if isinstance(told, list) else []
    return [
        {
            "id": call.get("id"),
            "name": call.get("name"),
            "arguments": texts.json(f"tool_calls.{i}", call.get("arguments")),
            "step": ran.get(call["id"]) if call.get("id") is not None else None,
        }
        for i, call in enumerate(calls)
    ]


# --- one step ----------------------------------------------------------------------------------


def step_of(run: Trajectory, number: int) -> Step:
    """A step by its number.

    Raises:
        NotThereError: There is none.
    """
    if not 0 <= number < len(run.steps):
        raise NotThereError(f"There is no step {number}: this run has {len(run.steps):,}")
    return run.steps[number]


def detail(run: Trajectory, number: int, texts: Texts, verdicts: Iterable[Verdict]) -> StepDetail:
    """A step with all that it said and got.

    Args:
        run: The trajectory.
        number: Which step.
        texts: Cuts what is long, and keeps it whole.
        verdicts: What is said of steps of the run.

    Raises:
        NotThereError: There is none.
    """
    step = step_of(run, number)
    shown = {column: texts.text(column, getattr(step, column)) for column in TEXTS}
    return {
        **_Lines(run).of(step),
        "texts": {column: text for column, text in shown.items() if text is not None},
        "new_messages": texts.messages("new_messages", step.new_messages),
        "output": texts.messages("output", step.output),
        "calls": _calls(texts, step, _ran(run)),
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
