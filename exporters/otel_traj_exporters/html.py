"""Trajectories as one HTML page that needs no server, no script and no network.

Everything recorded is text in the page, escaped by the template; characters that could mislead who
reads are made visible. Pictures are shown from the page itself; what lies elsewhere is named.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_traj.dialects.messages import as_text, from_json
from otel_traj.errors import MissingExtraError
from otel_traj.model import FileChange, Step, Trajectory
from otel_traj.safety import visible, visible_lines
from otel_traj.words import count, duration, usd
from otel_traj_exporters import agents
from otel_traj_exporters.files import replacing

if TYPE_CHECKING:
    import jinja2

SHOWN: Final = 1_200
"""Characters of a text that stand open; the whole of a longer one is behind a click."""

_US: Final = timedelta(microseconds=1)
_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Piece:
    """What a step said or got: a label with a text, or with a picture as a `data:` URL."""

    label: str
    text: str = ""
    picture: str | None = None

    @property
    def is_long(self) -> bool:
        """Whether it is folded."""
        return len(self.text) > SHOWN

    @property
    def beginning(self) -> str:
        """What stands open of a long text."""
        return self.text[:SHOWN]


@dataclass(frozen=True, slots=True)
class Line:
    """A step as the page shows it.

    Attributes:
        step: The row.
        title: What it is.
        facts: Duration, tokens, cost, reward.
        pieces: What it said and got.
        depth: How many agents are above the one that made it.
        left, width: Its place on the time line of the run, in per cent.
    """

    step: Step
    title: str
    facts: tuple[str, ...]
    pieces: tuple[Piece, ...]
    depth: int
    left: float
    width: float


class HtmlExporter:
    """Writes one page; of several trajectories one after the other."""

    def export(self, trajectories: Iterable[Trajectory], path: Path, /) -> int:
        """Write the page; one that is there is replaced.

        Raises:
            MissingExtraError: Jinja2 is not installed.
        """
        page = _template()
        n = 0
        with replacing(path) as write:
            for trajectory in trajectories:
                part = page.render(
                    run=trajectory,
                    lines=list(_lines(trajectory)),
                    facts=list(_facts(trajectory)),
                    gaps=list(_gaps(trajectory)),
                    changes=[_change(change) for change in trajectory.file_changes],
                    is_first=n == 0,
                )
                write(part.encode("utf-8", "replace"))
                n += 1
            if n:
                write(b"</body>\n</html>\n")
        return n


def _template() -> jinja2.Template:
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError("Export as HTML", "jinja2", "server") from error
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["visible"] = lambda text: visible(str(text))
    environment.filters["lines"] = lambda text: "\n".join(visible_lines(str(text)))
    environment.filters["duration"] = duration
    folder = resources.files("otel_traj_exporters")
    environment.globals["style"] = (folder / "html.css").read_text("utf-8")
    return environment.from_string((folder / "html.jinja").read_text("utf-8"))


# --- head --------------------------------------------------------------------------------------


def _facts(run: Trajectory) -> Iterator[tuple[str, str]]:
    """What is known of a run, by name."""
    known: Mapping[str, Any] = {
        "ended": run.status,
        "took": duration(run.duration_us),
        "steps": count(run.n_steps, "step"),
        "model calls": f"{run.n_llm:,}",
        "tool calls": f"{run.n_tools:,}",
        "errors": f"{run.n_errors:,}" if run.n_errors else None,
        "tokens": _tokens(run),
        "cost": None if run.cost_usd is None else usd(run.cost_usd),
        "models": ", ".join(run.models),
        "agents": ", ".join(run.agents),
        "task": run.task_id,
        "conversation": run.conversation_id,
        "replay grade": run.grade,
    }
    yield from ((name, str(value)) for name, value in known.items() if value)


def _tokens(row: Trajectory | Step) -> str | None:
    if row.input_tokens is None and row.output_tokens is None:
        return None
    asked, given = ("?" if n is None else f"{n:,}" for n in (row.input_tokens, row.output_tokens))
    return f"{asked} → {given} tokens"


def _gaps(run: Trajectory) -> Iterator[str]:
    """What is missing, in words."""
    gaps = (
        (run.n_missing_content, "call", "without content"),
        (run.n_truncated, "text", "cut"),
        (run.n_orphans, "span", "without parent"),
        (run.n_dropped_spans, "span", "dropped"),
        (run.n_dropped_attributes, "attribute", "dropped"),
    )
    yield from (f"{count(n, noun)} {what}" for n, noun, what in gaps if n)


# --- steps -------------------------------------------------------------------------------------


def _lines(run: Trajectory) -> Iterator[Line]:
    whole = max(
        [run.duration_us or 0]
        + [_at(run, step) + (step.duration_us or 0) for step in run.steps]
        + [1]
    )
    asked = {(step.agent_run, step.turn) for step in run.steps if step.kind == "user"}
    for step in run.steps:
        is_asked = step.kind != "user" and (step.agent_run, step.turn) in asked
        yield Line(
            step,
            _title(step),
            tuple(_facts_of(step)),
            (*_messages(step, is_asked=is_asked), *_pieces(step)),
            max(0, len(agents.parts(step.agent_path)) - 1),
            left=100 * min(1.0, max(0.0, _at(run, step) / whole)),
            width=100 * (step.duration_us or 0) / whole,
        )


def _at(run: Trajectory, step: Step) -> int:
    return (step.start_time - run.start_time) // _US


def _title(step: Step) -> str:
    match step.kind:
        case "llm":
            return f"model {step.response_model or step.model or ''}".rstrip()
        case "handoff":
            return f"{step.handoff_from or step.agent_name or '?'} → {step.handoff_to or '?'}"
        case _:
            return f"{step.kind} {step.tool_name or ''}".rstrip()


def _facts_of(step: Step) -> Iterator[str]:
    if step.duration_us is not None and step.kind != "user":
        yield duration(step.duration_us)
    if tokens := _tokens(step):
        yield tokens
    if step.cost_usd is not None:
        yield usd(step.cost_usd)
    if step.reward is not None:
        yield f"reward {step.reward:g}"
    if step.test_pass_rate is not None:
        yield f"{step.test_pass_rate:.0%} of the tests pass"


def _pieces(step: Step) -> Iterator[Piece]:
    for label, text in (
        ("reasoning", step.reasoning),
        ("answer", step.output_text),
        ("asks for", _calls(step)),
        ("query" if step.kind == "retrieval" else "arguments", step.arguments),
        ("result", step.result if step.result != step.error_message else None),
        ("observed", step.observation),
        ("error", step.error_message or step.error_type),
    ):
        if text:
            yield Piece(label, text)


def _messages(step: Step, *, is_asked: bool) -> Iterator[Piece]:
    """New messages of user and system; those of a user that has a step of its own, only there."""
    roles = {"user": {"user"}, "llm": {"system"} if is_asked else {"system", "user"}}
    shown = roles.get(step.kind, set())
    for message in from_json(step.new_messages) if shown else ():
        for part in message.parts if message.role in shown else ():
            picture = _picture(part.value) if part.kind == "media" else None
            text = part.text if part.text is not None else as_text(part.value) or ""
            yield Piece(message.role, "" if picture else text, picture)


def _calls(step: Step) -> str:
    try:
        calls = json.loads(step.tool_calls or "[]")
    except ValueError:
        return ""
    names = (call.get("name") for call in calls if isinstance(call, dict))
    return ", ".join(str(name) for name in names if name)


def _picture(block: Any) -> str | None:
    """A picture as a `data:` URL, where the message holds it and browsers know its kind."""
    for holder in (block, *block.values()) if isinstance(block, Mapping) else ():
        if not isinstance(holder, Mapping):
            continue
        kind = next((holder[k] for k in ("mime_type", "media_type", "mimeType") if k in holder), "")
        data = next((holder[k] for k in ("content", "data") if isinstance(holder.get(k), str)), "")
        url = next((holder[k] for k in ("url", "uri") if isinstance(holder.get(k), str)), "")
        if url.startswith("data:"):
            head, _, data = url.partition(",")
            kind = head[5:].split(";")[0]
        if kind in _PICTURES and data:
            try:
                content = base64.b64decode(data, validate=True)
            except (binascii.Error, ValueError):
                continue
            return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return None


def _change(change: FileChange) -> dict[str, Any]:
    is_new, is_gone = change.sha256_before is None, change.sha256_after is None
    sign = "added" if is_new else "deleted" if is_gone else "changed"
    size = "binary" if change.is_binary else f"+{change.added or 0} -{change.removed or 0}"
    return {"change": change, "sign": sign, "size": size}
