"""What the API answers of analyses, by name and type; see `answers` for what holds of all."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class AnalysisFigure(TypedDict):
    """A number that tells of all matching runs, and what it is made of."""

    name: str
    figure: str
    made_of: str


class AnalysisSummary(TypedDict):
    """What there is to analyse: forks and replays are no runs of their own here."""

    n_runs: int
    figures: list[AnalysisFigure]
    took_ms: float


class AnalysisColumn(TypedDict):
    """A column of an answer.

    `unit` is that of its numbers: n is a count, share is in [0, 1], difference is one of shares, in
    [-1, 1]; null where it holds none. The first columns to look at are `is_shown`.
    """

    name: str
    title: str
    meaning: str
    type: str
    kind: Literal["text", "number", "label", "finding", "calls"]
    unit: Literal["n", "share", "difference", "s", "usd"] | None
    is_shown: bool


class AnalysisOnly(TypedDict):
    """Filters of the list that find the runs a row speaks of, and perhaps some more.

    They are to be set beside those that are set. "" is the run without a value; all of `tool` must
    be there.
    """

    agent: NotRequired[str]
    model: NotRequired[str]
    task: NotRequired[str]
    tool: NotRequired[list[str]]
    since: NotRequired[str]
    until: NotRequired[str]


class AnalysisPlace(TypedDict):
    """A run, or a step of it, that a row speaks of."""

    trajectory_id: str
    step: int | None
    span_id: str | None


class AnalysisRow(TypedDict):
    """A row: its values as they are and as people read them, in the order of the columns.

    `said` is the row as a sentence; `needed` what is to be recorded until it can be judged.
    """

    values: list[Any]
    texts: list[str]
    said: str | None
    needed: str | None
    only: AnalysisOnly
    places: list[AnalysisPlace]


class AnalysisLabel(TypedDict):
    """A label, what it means, and how many rows have it; shown by a sign and by a colour."""

    label: str
    n: int
    meaning: str
    sign: str
    tone: Literal["good", "doubt", "bad", "none"]


class FlowBox(TypedDict):
    """A call, or start or end of runs, where `call` is null; x, y is its upper left corner."""

    call: str | None
    name: str
    label: str
    x: float
    y: float
    width: float
    height: float


class FlowArrow(TypedDict):
    """A way from one call to the next: `row` is its place among the answer's rows."""

    row: int
    title: str
    path: str
    width: float
    label: str
    x: float
    y: float


class FlowDrawing(TypedDict):
    """The most frequent ways as a drawing, in pixels; `n_left_out` ways are not drawn."""

    width: float
    height: float
    boxes: list[FlowBox]
    arrows: list[FlowArrow]
    n_left_out: int


class AnalysisAnswer(TypedDict):
    """The first rows of an analysis over the matching runs; `n` counts all rows.

    `grain` says what a row is, `units` what was counted, `sql` how: the query, without the filters.
    `verdict` is what all rows come to, `overall` the row that tells of all runs as a sentence.
    `measure` names the column to be drawn, `low` and `high` those of its bounds; `drawing` is the
    graph of `process_map`, null too where nothing follows anything.
    """

    name: str
    title: str
    sentence: str
    grain: str
    units: str | None
    sql: str
    columns: list[AnalysisColumn]
    rows: list[AnalysisRow]
    n: int
    labels: list[AnalysisLabel]
    verdict: str | None
    findings: int
    measure: str | None
    low: str | None
    high: str | None
    drawing: FlowDrawing | None
    snapshot: str
    took_ms: float
