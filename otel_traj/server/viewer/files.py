"""The files that a trajectory changed: which, and how, step by step or from first to last."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from otel_traj.model import FileChange
from otel_traj.server.viewer.answers import Diff, FileOfStep, Files, Hunk
from otel_traj.server.viewer.course import Course
from otel_traj.server.viewer.problems import NotThereError

MOST_LINES: Final = 20_000
"""Lines of hunks in one answer."""

_MOST_COMPARED: Final = 10_000
"""Lines of a text that is compared here: the comparison is quadratic at worst."""


def files(course: Course, step: int | None = None) -> Files:
    """What was changed, in all or in one step."""
    return {"rows": [_row(change) for change in course.file_changes(step)]}


def _row(change: FileChange) -> FileOfStep:
    return {
        "step": change.step,
        "path": change.path,
        "old_path": change.old_path,
        "change": _change(change),
        "added": change.added,
        "removed": change.removed,
        "is_binary": change.is_binary,
        "has_diff": bool(change.diff) or _has_contents(change),
    }


def _change(change: FileChange) -> Literal["added", "changed", "deleted"]:
    if change.sha256_before is None:
        return "added"
    return "deleted" if change.sha256_after is None else "changed"


def _has_contents(change: FileChange) -> bool:
    return change.content_before is not None or change.content_after is not None


def diff(course: Course, path: str, step: int | None) -> Diff:
    """How a file changed.

    Args:
        course: The run.
        path: The file, as the step named it.
        step: In which step; None is from the first to the last.

    Raises:
        NotThereError: The run, or the step, did not change it.
    """
    changes = [change for change in course.file_changes(step) if change.path == path]
    if not changes:
        where = "This run" if step is None else f"Step {step}"
        raise NotThereError(f"{where} changed no file {path!r}")
    found = _between(changes[0], changes[-1]) if len(changes) > 1 else _of(changes[0])
    shown, is_cut = _few(found if isinstance(found, list) else [])
    return {
        "path": path,
        "old_path": changes[0].old_path,
        "step": step,
        "hunks": shown,
        "is_cut": is_cut,
        "why": found if isinstance(found, str) else None,
    }


def _of(change: FileChange) -> list[Hunk] | str:
    """Hunks of one change, or why there are none."""
    if change.is_binary:
        return "It is no text"
    return list(_parsed(change.diff)) if change.diff else _between(change, change)


def _between(first: FileChange, last: FileChange) -> list[Hunk] | str:
    """Hunks from before one change until after another, or why there are none."""
    if first.is_binary or last.is_binary:
        return "It is no text"
    before, after = first.content_before, last.content_after
    if before is None and first.sha256_before is not None:
        return "What it was before was not recorded"
    if after is None and last.sha256_after is not None:
        return "What became of it was not recorded"
    old, new = _lines(before), _lines(after)
    if max(len(old), len(new)) > _MOST_COMPARED:
        return f"It has more than {_MOST_COMPARED:,} lines: look at the single steps"
    return list(_parsed("\n".join(difflib.unified_diff(old, new, lineterm=""))))


_HEAD: Final = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def _parsed(text: str) -> Iterator[Hunk]:
    """The hunks of a unified diff; what is round them is left out."""
    hunk: Hunk | None = None
    for line in _lines(text):
        if head := _HEAD.match(line):
            if hunk:
                yield hunk
            old_start, old_lines, new_start, new_lines = head.groups()
            hunk = {
                "old_start": int(old_start),
                "old_lines": 1 if old_lines is None else int(old_lines),
                "new_start": int(new_start),
                "new_lines": 1 if new_lines is None else int(new_lines),
                "lines": [],
            }
        elif hunk is not None and line[:1] in ("", " ", "-", "+"):
            hunk["lines"].append(line or " ")
    if hunk:
        yield hunk


def _few(hunks: Iterable[Hunk]) -> tuple[list[Hunk], bool]:
    """As many as one answer may have, and whether some are left out."""
    shown: list[Hunk] = []
    left = MOST_LINES
    for hunk in hunks:
        if len(hunk["lines"]) > left:
            return [*shown, {**hunk, "lines": hunk["lines"][:left]}], True
        left -= len(hunk["lines"])
        shown.append(hunk)
    return shown, False


def _lines(text: str | None) -> list[str]:
    """The lines of a text; the end of the last one is no line."""
    return (text or "").removesuffix("\n").split("\n") if text else []
