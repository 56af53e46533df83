"""When each step ran, as bars on one time axis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.text import Text

from otel_traj.cli.transcript import STYLES, depth, title
from otel_traj.cli.words import is_told
from otel_traj.model import Step, Trajectory
from otel_traj.words import duration

_LABEL_SHARE: Final = 0.38
"""Part of the width that the names of steps may take."""

_DURATION: Final = 10
"""Cells of a duration, with its gap."""


def waterfall(run: Trajectory, *, width: int) -> Iterator[Text]:
    """One line per step that took time, and one above with the length of the axis.

    None where nobody told any times. A bar covers the cells that its step touches, so that even the
    shortest one shows.
    """
    steps = [step for step in run.steps if step.kind != "user"]
    if not steps or not is_told(run.start_time):
        return
    start = min(step.start_time for step in steps)
    end = max([run.end_time or start, *(step.end_time or step.start_time for step in steps)])
    labels = [_label(step) for step in steps]
    label = min(max(text.cell_len for text in labels), int(width * _LABEL_SHARE))
    room = max(10, width - label - _DURATION - 2)
    axis = _Axis(start, end, room)

    yield Text.assemble(" " * (label + 2), ("0", "dim"), (axis.length.rjust(room - 1), "dim"))
    for step, text in zip(steps, labels, strict=True):
        text.truncate(label, overflow="ellipsis", pad=True)
        first, last = axis.cells(step)
        style = "red" if step.status == "error" else STYLES[step.kind].removeprefix("bold ")
        yield Text.assemble(
            text,
            "  ",
            " " * first,
            (_bar(step) * (last - first), style),
            " " * (room - last),
            (f"{_length(step):>{_DURATION}}", style if step.status == "error" else "dim"),
        )


class _Axis:
    """The run's time on `room` cells."""

    def __init__(self, start: datetime, end: datetime, room: int) -> None:
        self._start = start
        self._seconds = (end - start).total_seconds()
        self._room = room
        self.length = duration(round(self._seconds * 1e6))

    def cells(self, step: Step) -> tuple[int, int]:
        """The first cell of a step and the one behind its last; at least one, within the axis."""
        first = min(self._cell(step.start_time), self._room - 1)
        ends = step.end_time or step.start_time
        if step.status == "open":
            return first, self._room
        return first, min(max(self._cell(ends, up=True), first + 1), self._room)

    def _cell(self, moment: datetime, *, up: bool = False) -> int:
        share = (moment - self._start).total_seconds() / self._seconds if self._seconds else 0.0
        cells = max(share, 0.0) * self._room
        return -int(-cells // 1) if up else int(cells)


def _label(step: Step) -> Text:
    return Text.assemble((f"{step.step:>3}  ", "dim"), "  " * depth(step), title(step))


def _bar(step: Step) -> str:
    """Told apart without colour: errors are hatched, what has not ended is light."""
    return {"error": "▒", "open": "░", "aborted": "▒"}.get(step.status, "█")


def _length(step: Step) -> str:
    return step.status if step.status == "open" else duration(step.duration_us)
