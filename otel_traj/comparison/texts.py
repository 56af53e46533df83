"""Two texts, line by line; JSON is laid out before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from otel_traj.comparison.alignment import Key, align
from otel_traj.comparison.rows import side_by_side
from otel_traj.dialects.messages import is_cut, loads

CONTEXT: Final = 3
"""Lines that are the same and are shown round those that differ."""


class Line(NamedTuple):
    """A line: of both texts, or of one (the other number is None). Numbers count from 1."""

    text: str
    left: int | None
    right: int | None


class TextDifference(NamedTuple):
    """How one text became another.

    Attributes:
        hunks: Lines that differ, each with lines round it; none where the texts are the same.
        added: How many lines are only on the right.
        removed: How many are only on the left.
        is_json: Whether both were laid out as JSON.
    """

    hunks: tuple[tuple[Line, ...], ...]
    added: int
    removed: int
    is_json: bool


def compare_texts(left: str | None, right: str | None) -> TextDifference:
    """Lay two texts side by side; None is no text at all."""
    is_json = all(text is None or _is_json(text) for text in (left, right))
    old, new = (_lines(text, is_json) for text in (left, right))
    pairs = align([Key(line, "") for line in old], [Key(line, "") for line in new]).pairs
    lines = [
        Line(
            old[i] if i is not None else new[j or 0],
            None if i is None else i + 1,
            None if j is None else j + 1,
        )
        for i, j in side_by_side(pairs, len(old), len(new))
    ]
    return TextDifference(
        tuple(_hunks(lines)),
        sum(line.left is None for line in lines),
        sum(line.right is None for line in lines),
        is_json,
    )


def _is_json(text: str) -> bool:
    return isinstance(loads(text), dict | list) and not is_cut(text)


def _lines(text: str | None, is_json: bool) -> list[str]:
    if not text:
        return []
    if is_json:
        text = json.dumps(loads(text), ensure_ascii=False, indent=2, sort_keys=True)
    return text.removesuffix("\n").split("\n")


def _hunks(lines: Sequence[Line]) -> list[tuple[Line, ...]]:
    """Lines that differ, with those round them; what is near enough is one hunk."""
    hunks: list[range] = []
    for at, line in enumerate(lines):
        if line.left is not None and line.right is not None:
            continue
        begin, end = max(0, at - CONTEXT), min(len(lines), at + CONTEXT + 1)
        if hunks and begin <= hunks[-1].stop:
            begin = hunks.pop().start
        hunks.append(range(begin, end))
    return [tuple(lines[hunk.start : hunk.stop]) for hunk in hunks]
