"""The page itself: cells, bars and badges of what was read, put into the template."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any, Final

import jinja2

from otel_traj.words import count
from otel_traj_analysis import statistics, values
from otel_traj_analysis.labels import COMPARED_LABELS, LABELS, TOOL_LABELS
from otel_traj_analysis.reporting import flow
from otel_traj_analysis.reporting.reading import Answer, Place, Row, Told, places

BADGES: Final = {
    "interventional": ("✓", "good"),
    "established": ("✓", "good"),
    "highly effective": ("✓", "good"),
    "suggestive": ("~", "doubt"),
    "task-confounded": ("≠", "doubt"),
    "time-confounded": ("≠", "doubt"),
    "length-artefact": ("≠", "doubt"),
    "unreliable": ("!", "doubt"),
    "problematic": ("✗", "bad"),
    "infrastructure": ("✗", "bad"),
    "insufficient": ("?", "none"),
    "no-effect": ("=", "none"),
}
"""Label -> sign that stands before it, so that colour is never alone, and the colour's class."""

MEANINGS: Final[Mapping[str, Mapping[Any, str]]] = {
    "contrast": LABELS,
    "cohorts": COMPARED_LABELS,
    "effectiveness": TOOL_LABELS,
}
"""Statistical step -> its labels and what they mean."""

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


@dataclass(frozen=True, slots=True)
class Head:
    """A column's name as words, what it means, and the CSS class of its cells."""

    text: str
    meaning: str
    kind: str


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
        figures=list(_figures(told)),
        in_short=list(_in_short(told)),
        badges=BADGES,
        meanings=lambda answer: MEANINGS[answer.analysis.labels],
        heads=_heads,
        rows=_cells,
        draw=_drawn,
        command=lambda answer: _command(answer, told),
        verdict=_verdict,
        cited=lambda trajectory_id: _cited(told, trajectory_id),
    )
    return page + "\n"


# --- the whole -----------------------------------------------------------------------------------


def _figures(told: Told) -> Iterator[tuple[str, str, str]]:
    """Name, figure, and what it is made of."""
    runs, counted = told.runs, _counted(told.judged)
    yield "runs", f"{runs['n_runs']:,}", f"{runs['n_open']:,} still open"
    judged, won = counted.get("", (0, 0))
    rate = statistics.wilson(won, judged)
    yield (
        "succeed",
        values.text("rate", rate.estimate) if judged else values.UNKNOWN,
        f"{won:,} of {judged:,} judged; {100 * rate.low:.0f} to {100 * rate.high:.0f} %"
        if judged
        else "no attempt was judged",
    )
    left_out = {reason: n for reason, (n, _) in counted.items() if reason}
    yield (
        "not counted",
        f"{sum(left_out.values()):,}",
        ", ".join(f"{n:,} {reason}" for reason, n in left_out.items()) or "every run counts",
    )
    yield (
        "cost",
        values.text("cost_usd", runs["cost_usd"]),
        f"known of {runs['n_cost']:,} of {runs['n_runs']:,} runs",
    )
    yield "median time", values.text("duration_s", runs["median_duration_s"]), "of runs that ended"


def _counted(judged: Sequence[Row]) -> dict[str, tuple[int, int]]:
    """Why attempts do not count, "" for those that do -> how many, and how many succeeded."""
    return {row["left_out"]: (row["n"], row["n_success"]) for row in judged}


def _in_short(told: Told) -> Iterator[tuple[str, str, str]]:
    """Anchor and title of a view, and the first thing that it says."""
    for _, answers in told.chapters:
        for answer in answers:
            said = _verdict(answer) or next((text for text, _ in answer.findings()), None)
            if said and answer.view.findings:
                yield answer.analysis.name, answer.view.title, said


def _verdict(answer: Answer) -> str | None:
    """What an answer that judges patterns comes to; None of other answers."""
    if answer.overall is None or "finding" not in answer.overall:
        return None
    found = [row for row in answer.rows if row["label"] == "established"]
    if found:
        name = values.text("pattern", found[0]["pattern"])
        others = answer.labels["established"] - 1
        more = f" (and {others:,} more hold within tasks)" if others else ""
        return f"{name}{more}: {found[0]['finding']}"
    missing = [row["missing"] for row in answer.rows if row.get("missing")]
    more = (
        f", the nearest needs {count(min(missing), 'more run')} of mixed tasks" if missing else ""
    )
    return f"No pattern is known to hold within tasks{more}; {answer.overall['finding']}"


def _command(answer: Answer, told: Told) -> str:
    """How to ask the same again."""
    where = "" if told.where is None else " --where '" + told.where.replace("'", "'\\''") + "'"
    return f"otel-traj analyze {answer.analysis.name}{where}"


def _drawn(answer: Answer) -> flow.Drawing | None:
    return flow.draw(answer.rows, answer.n) if answer.analysis.name == "process_map" else None


# --- tables --------------------------------------------------------------------------------------


def _heads(answer: Answer) -> list[Head]:
    meanings = {column.name: column.meaning for column in answer.analysis.columns}
    return [
        Head(_words(column), meanings.get(column, ""), _kind(column, answer.types[column]))
        for column in answer.columns()
    ]


def _cells(answer: Answer) -> Iterator[tuple[list[Cell], list[Place]]]:
    """Each row as cells, with the places that it cites."""
    scale = _Scale(answer)
    for row in answer.rows:
        yield (
            [
                Cell(
                    values.text(column, row[column]),
                    _kind(column, answer.types[column]),
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


def _kind(column: str, duckdb_type: str) -> str:
    if column in ("label", "finding"):
        return column
    if column in values.ORDERED:
        return "calls"
    return "number" if values.is_number(duckdb_type) else "text"


_UNSAID: Final = frozenset({"usd", "s", "seconds", "name"})
"""Words of column names that their cells say, or that go without saying."""

_TITLES: Final = {"wasted_s": "time wasted", "task": "task", "name": "name"}


def _words(column: str) -> str:
    """The name of a column as words: `n_calls` is calls, `cost_usd` cost."""
    if column in _TITLES:
        return _TITLES[column]
    words = column.removeprefix("n_").split("_")
    return " ".join(word for word in words if word not in _UNSAID) or column


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
