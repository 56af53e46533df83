"""Two runs side by side: which steps belong together, and, step by step, what differs."""
# ruff: noqa: S608 - what is put into this SQL are our own texts

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from otel_traj.comparison import (
    Change,
    Divergence,
    StepDifference,
    TextDifference,
    compare,
    compare_messages,
    compare_texts,
    content_of,
    is_decisive,
    told_calls,
)
from otel_traj.dialects.messages import from_json
from otel_traj.errors import TrajectoryNotFoundError
from otel_traj.model import FileChange, Step, Trajectory
from otel_traj.server.viewer import course, steps
from otel_traj.server.viewer.answers import (
    ComparedText,
    Comparison,
    Deltas,
    FinalFile,
    Hunk,
    Named,
    Opcode,
    StepComparison,
    StepRow,
    ToldDivergence,
    TrajectoryRow,
)
from otel_traj.server.viewer.listing import ROW, finite, row
from otel_traj.server.viewer.reading import Reader, rows

MOST_TEXT: Final = 256 * 1024
"""Characters of a text that are compared; the rest is left out and told."""

_MOST_LINES: Final = 1_000
_MOST_LINE: Final = 4_000
"""Lines of one text, and characters of a line, that are sent."""

_MOST_FILES: Final = 500


def comparison(reader: Reader, a: str, b: str) -> Comparison:
    """Two runs by their ids, aliases, or the beginnings of their ids.

    Raises:
        TrajectoryNotFoundError: There is no such run; the message lists what is near.
    """
    left, right = reader.trajectory(a), reader.trajectory(b)
    key = ("comparison", left.trajectory_id, right.trajectory_id)
    return reader.kept(key, lambda: _comparison(reader, left, right))


def _comparison(reader: Reader, left: Trajectory, right: Trajectory) -> Comparison:
    found = compare(left, right)
    a, b = (_line(reader, run.trajectory_id) for run in (left, right))
    return {
        "a": a,
        "b": b,
        "deltas": _deltas(a, b),
        "named": list(_named(left, right)),
        "opcodes": _opcodes(found.rows, left.steps, right.steps),
        "divergence": _told(found.divergence),
        "similarity": found.similarity,
        "is_cheapest": found.is_cheapest,
        "files": _final_files(left, right)[:_MOST_FILES],
    }


def _line(reader: Reader, trajectory_id: str) -> TrajectoryRow:
    sql = f"select {ROW} from trajectories where trajectory_id = $id"
    told = reader.read(lambda cursor: rows(cursor, sql, {"id": trajectory_id}))
    if not told:
        raise TrajectoryNotFoundError(f"No trajectory {trajectory_id!r} any more")
    return row(reader, told[0])


def _deltas(a: TrajectoryRow, b: TrajectoryRow) -> Deltas:
    return {
        "duration_s": finite(_more(a["duration_s"], b["duration_s"])),
        "cost_usd": finite(_more(a["cost_usd"], b["cost_usd"])),
        "input_tokens": _more(a["input_tokens"], b["input_tokens"]),
        "output_tokens": _more(a["output_tokens"], b["output_tokens"]),
        "n_steps": _more(a["n_steps"], b["n_steps"]),
        "n_turns": _more(a["n_turns"], b["n_turns"]),
        "n_tools": _more(a["n_tools"], b["n_tools"]),
        "n_errors": _more(a["n_errors"], b["n_errors"]),
        "reward": finite(_more(a["reward"], b["reward"])),
    }


def _more(a: Any, b: Any) -> Any:
    return None if a is None or b is None else b - a


def _named(left: Trajectory, right: Trajectory) -> Iterator[Named]:
    """What a reader wants to know before all steps: other versions, models, tasks."""
    for name, one, other in (
        ("task", left.task_id or left.task, right.task_id or right.task),
        ("agent", left.agent_name, right.agent_name),
        ("agent version", left.agent_version, right.agent_version),
        ("prompt version", left.prompt_version, right.prompt_version),
        ("variant", left.variant_id, right.variant_id),
        ("guidelines", _listed(left.guideline_ids), _listed(right.guideline_ids)),
        ("models", _listed(left.models), _listed(right.models)),
    ):
        if one != other:
            yield {"name": name, "a": one, "b": other}


def _listed(names: Sequence[str]) -> str | None:
    return ", ".join(names) or None


def _opcodes(
    found: Iterable[StepDifference], left: Sequence[Step], right: Sequence[Step]
) -> list[Opcode]:
    """Rows, those that go on like the one before joined to it."""
    opcodes: list[Opcode] = []
    i = j = 0
    for difference in found:
        op = _op(difference, left, right)
        if not opcodes or opcodes[-1]["op"] != op or difference.aspects:
            what = list(difference.aspects)
            opcodes.append({"op": op, "a0": i, "a1": i, "b0": j, "b1": j, "what": what})
        i += difference.left is not None
        j += difference.right is not None
        opcodes[-1]["a1"], opcodes[-1]["b1"] = i, j
    return opcodes


def _op(
    difference: StepDifference, left: Sequence[Step], right: Sequence[Step]
) -> Literal["same", "minor", "changed", "only_a", "only_b"]:
    if difference.right is None:
        return "only_a"
    if difference.left is None:
        return "only_b"
    if difference.is_same:
        return "same"
    return "changed" if is_decisive(difference, left, right) else "minor"


def _told(found: Divergence | None) -> ToldDivergence | None:
    if found is None:
        return None
    return {"a": found.left, "b": found.right, "cause": found.cause, "why": found.why}


def _final_files(left: Trajectory, right: Trajectory) -> list[FinalFile]:
    """Files that either run changed, those that differ in the end first."""
    ends = [
        {change.path: change.sha256_after for change in run.file_changes} for run in (left, right)
    ]
    a, b = ends
    found: list[FinalFile] = [
        {
            "path": path,
            "a": a.get(path),
            "b": b.get(path),
            "is_in_a": path in a,
            "is_in_b": path in b,
            "is_same": path in a and path in b and a[path] == b[path],
        }
        for path in sorted({*a, *b})
    ]
    return sorted(found, key=lambda file: file["is_same"])


# --- one pair of steps -------------------------------------------------------------------------


def pair(reader: Reader, a: str, b: str, step_a: int | None, step_b: int | None) -> StepComparison:
    """Two steps with what differs in them.

    Args:
        reader: Reads and redacts the runs.
        a: One run.
        b: The other one.
        step_a: Its step; None where that of B stands alone.
        step_b: The other's step; None where that of A stands alone.

    Raises:
        TrajectoryNotFoundError: There is no such run.
        NotThereError: It has no such step.
    """
    left, right = _side(reader, a, step_a), _side(reader, b, step_b)
    one, other = left.step, right.step
    found = [
        *_texts(one, other),
        *_messages(one, other),
        *_files(left.changes, right.changes),
    ]
    differing = [text for text in found if text["change"] != "SAME"]
    return {
        "a": left.line,
        "b": right.line,
        "texts": differing or found,
        "n_same": len(found) - len(differing),
    }


class _Side(NamedTuple):
    """A step of one of the runs, its line and its file changes by path; or nothing."""

    step: Step | None
    line: StepRow | None
    changes: Mapping[str, FileChange]


def _side(reader: Reader, run: str, number: int | None) -> _Side:
    def ask(it: course.Course) -> _Side:
        if number is None:
            return _Side(None, None, {})
        step = steps.step_of(it, number)
        changes = it.file_changes(number)
        return _Side(step, steps.line(it, step), {change.path: change for change in changes})

    return course.read(reader, run, ask)


_COLUMNS: Final = (
    "arguments",
    "result",
    "model_saw",
    "reasoning",
    "output_text",
    "observation",
    "error_message",
)


def _texts(one: Step | None, other: Step | None) -> Iterator[ComparedText]:
    for column in _COLUMNS:
        left, right = getattr(one, column, None), getattr(other, column, None)
        if left is not None or right is not None:
            yield _compared("text", column, left, right)
    left, right = (None if step is None else told_calls(step) for step in (one, other))
    if {left, right} - {None, "[]"}:
        yield _compared("text", "tool_calls", left, right)


def _messages(one: Step | None, other: Step | None) -> Iterator[ComparedText]:
    left, right = (
        () if step is None else from_json(step.new_messages)[:_MOST_MESSAGES]
        for step in (one, other)
    )
    for found in compare_messages(left, right):
        before = None if found.left is None else content_of(left[found.left])
        after = None if found.right is None else content_of(right[found.right])
        yield {**_compared("message", found.role, before, after), "change": found.change}


_MOST_MESSAGES: Final = 500


def _files(
    left: Mapping[str, FileChange], right: Mapping[str, FileChange]
) -> Iterator[ComparedText]:
    for path in sorted({*left, *right}):
        one, other = left.get(path), right.get(path)
        if one and other and one.sha256_after == other.sha256_after is not None:
            yield _compared("file", path, "", "")
        elif _has_content(one) and _has_content(other):
            yield _compared("file", path, _content(one), _content(other))
        else:
            yield _compared("file", path, one.diff if one else None, other.diff if other else None)


def _has_content(change: FileChange | None) -> bool:
    return change is None or change.content_after is not None


def _content(change: FileChange | None) -> str | None:
    return None if change is None else change.content_after


def _compared(
    kind: Literal["text", "message", "file"], name: str, left: str | None, right: str | None
) -> ComparedText:
    is_long = any(text is not None and len(text) > MOST_TEXT for text in (left, right))
    if is_long:
        left, right = (None if text is None else text[:MOST_TEXT] for text in (left, right))
    found = compare_texts(left, right)
    hunks, is_cut = _hunks(found)
    return {
        "kind": kind,
        "name": name,
        "change": _change(left, right, found),
        "hunks": hunks,
        "added": found.added,
        "removed": found.removed,
        "is_json": found.is_json,
        "is_cut": is_cut or is_long,
    }


def _change(left: str | None, right: str | None, found: TextDifference) -> Change:
    if left is None:
        return "INJECTED"
    if right is None:
        return "DROPPED"
    if not found.hunks:
        return "SAME"
    return "TRUNCATED" if right and left.startswith(right) else "CHANGED"


def _hunks(found: TextDifference) -> tuple[list[Hunk], bool]:
    """Hunks as a unified diff has them, as many as are sent; whether something is left out."""
    hunks: list[Hunk] = []
    left, is_cut = _MOST_LINES, False
    for lines in found.hunks:
        shown = lines[:left]
        left -= len(shown)
        is_cut = is_cut or len(shown) < len(lines) or any(len(it.text) > _MOST_LINE for it in shown)
        if not shown:
            continue
        of_a = [line.left for line in lines if line.left is not None]
        of_b = [line.right for line in lines if line.right is not None]
        hunks.append(
            {
                "old_start": of_a[0] if of_a else 0,
                "old_lines": len(of_a),
                "new_start": of_b[0] if of_b else 0,
                "new_lines": len(of_b),
                "lines": [
                    (" " if line.left and line.right else "-" if line.left else "+")
                    + line.text[:_MOST_LINE]
                    for line in shown
                ],
            }
        )
    return hunks, is_cut
