"""The page itself: cells, bars and badges of what was read, put into the template."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any, Final

import jinja2

from otel_traj_analysis import values
from otel_traj_analysis.labels import BADGES, MEANINGS
from otel_traj_analysis.reporting import flow, tables
from otel_traj_analysis.reporting.reading import Answer, Place, Row, Told, places

_ID_CHARACTERS: Final = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar or point on a scale of 0 to 100. `zero` is where the scale's 0 stands."""

    start: float
    width: float
    zero: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table. `kind` is the CSS class: text, number, label, finding or calls.

    `calls` are those that follow one another; `text` says the same.
    """

    text: str
    kind: str
    bar: Bar | None = None
    calls: Sequence[str] = ()


def render(told: Told, now: datetime) -> str:
    """The document."""
    css = _asset("page.css")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(value_of=_value_of, short=_short)
    page = environment.from_string(_asset("page.html.jinja")).render(
        told=told,
        now=now,
        css=css,
        css_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        figures=list(tables.figures(told.runs, told.judged)),
        in_short=list(_in_short(told)),
        badges=BADGES,
        meanings=lambda answer: MEANINGS[answer.analysis.labels],
        heads=tables.heads,
        rows=_cells,
        draw=_drawn,
        command=lambda answer: _command(answer, told),
        verdict=Answer.verdict,
        cited=lambda trajectory_id: _cited(told, trajectory_id),
    )
    return page + "\n"


# --- the whole -----------------------------------------------------------------------------------


def _in_short(told: Told) -> Iterator[tuple[str, str, str]]:
    """Anchor and title of a view, and the first thing that it says."""
    for _, answers in told.chapters:
        for answer in answers:
            said = answer.verdict() or next((text for text, _ in answer.findings()), None)
            if said and answer.view.findings:
                yield answer.analysis.name, answer.view.title, said


def _command(answer: Answer, told: Told) -> str:
    """How to ask the same again."""
    where = "" if told.where is None else " --where '" + told.where.replace("'", "'\\''") + "'"
    return f"otel-traj analyze {answer.analysis.name}{where}"


def _drawn(answer: Answer) -> flow.Drawing | None:
    return flow.draw(answer.rows, answer.n) if answer.analysis.name == "process_map" else None


# --- tables --------------------------------------------------------------------------------------


def _cells(answer: Answer) -> Iterator[tuple[list[Cell], list[Place]]]:
    """Each row as cells, with the places that it cites."""
    scale = _Scale(answer)
    for row in answer.rows:
        yield (
            [
                Cell(
                    values.text(column, row[column]),
                    tables.kind(column, answer.types[column]),
                    scale.bar(row) if column == answer.view.measure else None,
                    [values.text("", call) for call in row[column] or ()]
                    if column in values.ORDERED
                    else (),
                )
                for column in answer.columns()
            ],
            places(row),
        )


class _Scale:
    """Where the values of the measured column stand, from 0 to 100."""

    def __init__(self, answer: Answer) -> None:
        self._view = answer.view
        self._column = column = answer.view.measure or ""
        if values.is_difference(column):
            self._low, self._high = -1.0, 1.0
        elif values.is_share(column):
            self._low, self._high = 0.0, 1.0
        else:
            told = [row[column] for row in answer.rows if row.get(column)]
            self._low, self._high = 0.0, float(max(told, default=1))

    def bar(self, row: Row) -> Bar | None:
        """The bar of a row; None where its value is unknown."""
        value = row[self._column]
        if value is None:
            return None
        zero, end = self._at(0.0), self._at(value)
        bounds = [row.get(name) if name else None for name in (self._view.low, self._view.high)]
        low, high = (None if bound is None else self._at(bound) for bound in bounds)
        return Bar(min(zero, end), round(abs(end - zero), 2), zero, low, high)

    def _at(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return round(100 * min(max(share, 0.0), 1.0), 2)


# --- runs ----------------------------------------------------------------------------------------


def _value_of(value: Any, column: str = "") -> str:
    return values.text(column, value)


def _short(identity: str) -> str:
    return identity if len(identity) <= _ID_CHARACTERS else identity[:_ID_CHARACTERS] + "…"


def _cited(told: Told, trajectory_id: str | None) -> int | None:
    """The number under which the page tells of a run; None where it does not."""
    ids: list[Any] = [row["trajectory_id"] for row in told.cited]
    return ids.index(trajectory_id) if trajectory_id in ids else None


def _asset(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")
