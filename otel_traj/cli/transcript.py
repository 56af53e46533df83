"""A trajectory as text to read: who it was, what happened step by step, when each step ran.

Everything recorded goes through `visible_lines`; nothing of it is read as markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from otel_traj.cli.words import is_told, us_since, when
from otel_traj.model import FileChange, Step, Trajectory
from otel_traj.safety import visible, visible_lines
from otel_traj.words import count, duration

STYLES: Final = {
    "user": "bold green",
    "llm": "bold cyan",
    "tool": "bold yellow",
    "handoff": "bold magenta",
    "retrieval": "bold blue",
    "memory": "bold blue",
    "thought": "bold cyan",
    "other": "bold",
}
_LABEL: Final = 11
"""Cells of a label and the gap behind it; "reasoning" and "arguments" are the longest."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the view `trajectories` adds: how good the run was, and who says so."""

    outcome: str
    source: str
    reward: float | None = None
    reward_source: str | None = None


class Transcript:
    """One trajectory on `width` cells; texts longer than `max_lines` are cut (0: never)."""

    def __init__(self, trajectory: Trajectory, *, width: int, max_lines: int = 0) -> None:
        self.trajectory = trajectory
        self.width = width
        self.max_lines = max_lines
        self._is_cut = False
        # Only measures and wraps; whoever prints decides about colour.
        self._console = Console(width=width, color_system=None)
        self._executed = {step.tool_call_id for step in trajectory.steps if step.kind != "llm"}

    @property
    def is_cut(self) -> bool:
        """A text that was rendered so far was longer than `max_lines`."""
        return self._is_cut

    # --- head -------------------------------------------------------------------------------------

    def header(self, judgement: Judgement | None = None) -> Iterator[Text]:
        """Identity, end, size and cost of the run."""
        run = self.trajectory
        title = Text(visible(run.agent_name or run.service or "trajectory"), "bold")
        asked = run.task or run.user_input
        yield self._fitted(Text.assemble(title, f" · {visible(asked)}" if asked else ""))
        is_timed = is_told(run.start_time)
        started = f"{when(run.start_time)} UTC" if is_timed else "times are not told"
        yield from self._facts([visible(run.trajectory_id), started, _took(run)])
        yield from self._facts([*_end(run), *_judged(judgement)])
        yield from self._facts(_sizes(run))
        yield from self._facts(_usage(run))
        if run.parent_trajectory_id:
            yield from self._facts([f"{run.relation} of {visible(run.parent_trajectory_id)}"])
        gaps = _gaps(run)
        if gaps:
            see = f"see: otel-traj doctor {visible(run.trajectory_id)[:8]}"
            yield from self._facts([Text(fact, "yellow") for fact in [*gaps, see]])

    def _facts(self, facts: Iterable[str | Text]) -> Iterator[Text]:
        """Facts side by side, as many per line as fit; empty ones are left out."""
        line = Text()
        for fact in facts:
            if not fact:
                continue
            longer = Text.assemble(line, " · ", fact) if line else Text.assemble(fact)
            if line and longer.cell_len > self.width:
                yield self._fitted(line)
                longer = Text.assemble(fact)
            line = longer
        if line:
            yield self._fitted(line)

    # --- steps ------------------------------------------------------------------------------------

    def steps(self) -> Iterator[Text]:
        """Every step with its texts, under a rule for each turn; then the answer and the files."""
        run = self.trajectory
        turn: object = ()
        for step in run.steps:
            now = (step.turn, step.agent_run)
            if now != turn:
                yield Text()
                yield self._rule(step)
                turn = now
            yield from self._step(step)
        said = run.steps[-1].output_text if run.steps else None
        if run.final_answer and run.final_answer != said:
            yield Text()
            yield Text("final answer", "bold")
            yield from self._wrapped(run.final_answer, Text("  "))
        if run.error_message:
            yield Text()
            yield Text("the run failed", "bold red")
            yield from self._wrapped(_error(run.error_type, run.error_message), Text("  "))
        if run.file_changes:
            yield Text()
            yield Text("files", "bold")
            yield from (self._fitted(_file_change(change)) for change in run.file_changes)

    def _rule(self, step: Step) -> Text:
        words = [] if step.turn is None else [f"turn {step.turn}"]
        agent = step.agent_name or step.agent_path
        words += [visible(agent)] if agent else []
        line = Text(f"{'──' * (1 + 2 * depth(step))} {' · '.join(words)} ", "dim")
        return self._fitted(line.append("─" * max(0, self.width - line.cell_len)))

    def _step(self, step: Step) -> Iterator[Text]:
        line = Text.assemble((f"{step.step:>3}  ", "dim"), title(step))
        for fact, style in _step_facts(step):
            line.append("  ").append(visible(fact), style)
        yield self._fitted(line)
        for label, text, style in self._texts(step):
            margin = Text.assemble(" " * 7, (f"{label:<{_LABEL}}", "dim"))
            yield from self._wrapped(text, margin, style)

    def _texts(self, step: Step) -> Iterator[tuple[str, str, str]]:
        """Label, text and style of what a step said and got."""
        if step.kind in ("user", "llm"):
            shown = ("user",) if step.kind == "user" else ("system",)
            for role, text in messages(step.new_messages):
                if role in shown:
                    yield role if role != "user" else "says", text, ""
        if step.reasoning:
            yield "reasoning", step.reasoning, "italic"
        if step.output_text:
            yield "says", step.output_text, ""
        if asked := self._asked(step.tool_calls):
            yield "asks for", asked, ""
        if step.arguments:
            yield "query" if step.kind == "retrieval" else "arguments", step.arguments, ""
        if step.result and step.result != step.error_message:
            yield "result", step.result, ""
        if step.model_saw and not any(
            _says_the_same(step.model_saw, told) for told in (step.result, step.error_message)
        ):
            yield "model saw", step.model_saw, ""
        if step.observation:
            yield "observed", step.observation, ""
        if step.error_message or step.error_type:
            yield "error", _error(step.error_type, step.error_message), "red"

    def _asked(self, tool_calls: str | None) -> str:
        """The tools that a model asked for, with arguments where no step of their own has them."""
        calls = _json_list(tool_calls)
        return ", ".join(
            str(call.get("name"))
            + ("" if call.get("id") in self._executed else f"({_compact(call.get('arguments'))})")
            for call in calls
        )

    # --- lines ------------------------------------------------------------------------------------

    def _fitted(self, line: Text) -> Text:
        line.truncate(self.width, overflow="ellipsis")
        return line

    def _wrapped(self, text: str, margin: Text, style: str = "") -> Iterator[Text]:
        """A text in lines of the width left beside the margin; only the first shows the margin."""
        room = max(20, self.width - margin.cell_len)
        lines = [
            piece
            for line in visible_lines(text)
            for piece in Text(line, style).wrap(self._console, room, overflow="fold") or [Text()]
        ]
        shown = lines
        if self.max_lines and len(lines) > self.max_lines + 1:
            self._is_cut = True
            shown = [
                *lines[: self.max_lines],
                Text(f"… {len(lines) - self.max_lines} more lines", "dim"),
            ]
        for n, line in enumerate(shown):
            line = Text.assemble(margin if n == 0 else " " * margin.cell_len, line)
            line.rstrip()
            yield line


# --- words ---------------------------------------------------------------------------------------


def depth(step: Step) -> int:
    """How many agents are above the one that made the step."""
    return (step.agent_path or "").count("/")


def title(step: Step) -> Text:
    """What a step is, in its colour: `model gpt-4o-mini`, `tool read_file`, `handoff a → b`."""
    match step.kind:
        case "handoff":
            name = f"{step.handoff_from or step.agent_name or '?'} → {step.handoff_to or '?'}"
        case "llm":
            name = step.response_model or step.model or ""
        case _:
            name = step.tool_name or ""
    noun = Text("model" if step.kind == "llm" else step.kind, STYLES[step.kind])
    return Text.assemble(noun, f" {visible(name)}" if name else "")


def _step_facts(step: Step) -> Iterator[tuple[str, str]]:
    """Facts of a step with their style."""
    if step.status != "ok":
        yield step.status, "bold red" if step.status == "error" else "bold yellow"
    if step.handoff_mode:
        yield step.handoff_mode, ""
    if step.duration_us is not None and step.kind != "user":
        yield duration(step.duration_us), "dim"
    if step.input_tokens is not None or step.output_tokens is not None:
        yield f"{_number(step.input_tokens)} → {_number(step.output_tokens)} tokens", "dim"
    if step.cost_usd is not None:
        yield f"${step.cost_usd:.4f}", "dim"
    if step.finish_reason in ("length", "max_tokens", "content_filter", "refusal"):
        yield step.finish_reason, "yellow"
    if step.reward is not None:
        yield f"reward {step.reward:g}", "green"


def messages(new_messages: str | None) -> Iterator[tuple[str, str]]:
    """Role and text of each message that is new at a step; what is no text is named by its type."""
    for message in _json_list(new_messages):
        parts = [part for part in message.get("parts") or () if isinstance(part, dict)]
        texts = [
            str(part["content"]) if part.get("type") == "text" else f"[{part.get('type')}]"
            for part in parts
            if part.get("type") != "text" or part.get("content")
        ]
        if texts:
            yield str(message.get("role")), "\n".join(texts)


def _says_the_same(left: str, right: str | None) -> bool:
    """Whether two texts are equal, or the same JSON laid out in two ways."""
    if right is None or left == right:
        return left == right
    try:
        return bool(json.loads(left) == json.loads(right))
    except ValueError:
        return False


def _json_list(text: str | None) -> list[dict[str, Any]]:
    try:
        values = json.loads(text or "[]")
    except ValueError:
        return []
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )


def _compact(arguments: object) -> str:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return "" if text in ("{}", "null") else text


def _error(kind: str | None, message: str | None) -> str:
    if kind and message and not message.startswith(kind):
        return f"{kind}: {message}"
    return message or kind or ""


def _took(run: Trajectory) -> str:
    if run.status == "open" and run.duration_us is None:
        return f"{duration(us_since(run.start_time))} so far"
    return duration(run.duration_us)


def _end(run: Trajectory) -> Iterator[str | Text]:
    style = {"completed": "green", "open": "yellow"}.get(run.status, "red")
    yield Text(run.status, style)
    if run.status == "open" and run.n_open:
        yield f"{count(run.n_open, 'span')} not ended"


def _judged(judgement: Judgement | None) -> Iterator[str]:
    if judgement is None:
        return
    if judgement.source == "builtin":
        yield "nobody judged it"
    else:
        yield f"outcome {judgement.outcome} ({visible(judgement.source)})"
    if judgement.reward is not None:
        yield f"reward {judgement.reward:g}"


def _sizes(run: Trajectory) -> Iterator[str | Text]:
    yield count(run.n_steps, "step")
    yield count(run.n_turns, "turn")
    yield count(run.n_llm, "model call")
    yield count(run.n_tools, "tool call")
    if run.n_handoffs:
        yield count(run.n_handoffs, "hand-over")
    if run.n_errors:
        yield Text(count(run.n_errors, "error"), "red")
    yield count(run.n_spans, "span")


def _usage(run: Trajectory) -> Iterator[str]:
    if run.input_tokens is not None or run.output_tokens is not None:
        cached = f", {run.cache_read_tokens:,} cached" if run.cache_read_tokens else ""
        yield f"tokens {_number(run.input_tokens)} in{cached}, {_number(run.output_tokens)} out"
    if run.cost_usd is not None:
        yield f"${run.cost_usd:.4f}"
    yield from map(visible, run.models)
    if len(run.agents) > 1:
        yield "agents " + visible(", ".join(run.agents))


def _gaps(run: Trajectory) -> list[str]:
    """What is missing, in words; repairs are no gaps."""
    gaps = (
        (run.n_missing_content, "call", "without content"),
        (run.n_truncated, "text", "cut"),
        (run.n_orphans, "span", "without parent"),
        (run.n_dropped_spans, "span", "dropped"),
        (run.n_dropped_attributes, "attribute", "dropped"),
    )
    return [f"{count(n, noun)} {what}" for n, noun, what in gaps if n]


def _file_change(change: FileChange) -> Text:
    sign = "+" if change.sha256_before is None else "-" if change.sha256_after is None else "~"
    size = "binary" if change.is_binary else f"+{change.added or 0} -{change.removed or 0}"
    old = f" (was {visible(change.old_path)})" if change.old_path else ""
    return Text(f"  {sign} {visible(change.path)}{old}  {size}  step {change.step}")


def _number(n: int | None) -> str:
    return "?" if n is None else f"{n:,}"
