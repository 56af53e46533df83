"""Analyses over the runs that the list's filters choose, worded as the report words them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar

import duckdb

from otel_traj.server.viewer.analysing_answers import (
    AnalysisAnswer,
    AnalysisColumn,
    AnalysisLabel,
    AnalysisOnly,
    AnalysisPlace,
    AnalysisRow,
    AnalysisSummary,
    FlowDrawing,
)
from otel_traj.server.viewer.analysing_jobs import Job
from otel_traj.server.viewer.filters import Filters
from otel_traj.server.viewer.listing import took_ms
from otel_traj.server.viewer.problems import NotThereError
from otel_traj.server.viewer.reading import Reader, TooSlowError, iso
from otel_traj_analysis import labels, runner, sentences, values
from otel_traj_analysis.reporting import flow, reading, tables
from otel_traj_analysis.reporting.reading import Answer, Hiding, Row
from otel_traj_analysis.reporting.views import VIEWS

_T = TypeVar("_T")

Steps: TypeAlias = Mapping[tuple[str, str | None], int]
"""Run and span -> number of the step."""

MOST_ROWS: Final = 500

_DEADLINE_S: Final = 60.0
"""A page waits for several of these, and says so meanwhile."""


def summary(reader: Reader, job: Job, filters: Filters) -> AnalysisSummary:
    """What there is to analyse.

    Raises:
        TooSlowError: It took too long.
        MissingExtraError: The extra `analysis` is not installed.
    """
    began = time.perf_counter()

    def ask(connection: duckdb.DuckDBPyConnection) -> tuple[Row, list[Row]]:
        [runs] = reading.asked(connection, reading.RUNS)
        return runs, reading.asked(connection, reading.JUDGED)

    runs, judged = _asked(reader, job, filters, ask)
    return {
        "n_runs": runs["n_runs"],
        "figures": [
            {"name": told.name, "figure": told.figure, "made_of": told.made_of}
            for told in tables.figures(runs, judged)
        ],
        "took_ms": took_ms(began),
    }


def check(name: str) -> None:
    """Let the name of an analysis pass that tells of many runs.

    Raises:
        NotThereError: It does not, or there is none of this name.
    """
    if name not in VIEWS:
        raise NotThereError(f"There is no analysis {name!r} here. There is: {', '.join(VIEWS)}")


def answer(reader: Reader, job: Job, name: str, filters: Filters, limit: int) -> AnalysisAnswer:
    """The first rows of an analysis.

    Args:
        reader: Reads the store.
        job: What this is done for.
        name: One that passes `check`.
        filters: Which runs are looked at.
        limit: Most rows.

    Raises:
        TooSlowError: It took too long, or more memory than there is.
        MissingExtraError: It labels its rows, and the extra `analysis` is not installed.
    """
    began = time.perf_counter()
    snapshot = reader.version()
    hide = Hiding(reader.redaction)
    view = replace(VIEWS[name], rows=limit)

    def ask(connection: duckdb.DuckDBPyConnection) -> tuple[Answer, Steps]:
        told = reading.answer(connection, view, hide)
        job.goes_on(connection)
        return told, _steps(connection, told, hide)

    told, steps = _asked(reader, job, filters, ask)
    return {
        "name": name,
        "title": view.title,
        "sentence": told.analysis.sentence,
        "grain": told.analysis.grain,
        "units": told.analysis.units,
        "sql": told.analysis.sql,
        "columns": _columns(told),
        "rows": [_row(told, row, hide, steps) for row in told.rows],
        "n": told.n,
        "labels": _labels(told),
        "verdict": told.verdict(),
        "findings": view.findings,
        "measure": view.measure,
        "low": view.low,
        "high": view.high,
        "drawing": _drawing(told) if name == "process_map" else None,
        "snapshot": snapshot,
        "took_ms": took_ms(began),
    }


def _asked(
    reader: Reader,
    job: Job,
    filters: Filters,
    ask: Callable[[duckdb.DuckDBPyConnection], _T],
) -> _T:
    """An answer over the matching runs."""
    filters = filters.checked(reader)

    def narrowed(cursor: duckdb.DuckDBPyConnection) -> _T:
        job.goes_on(cursor)
        if filters != Filters():
            runner.narrow_to(cursor, *_chosen(filters))
        try:
            return ask(cursor)
        except duckdb.OutOfMemoryException as error:
            raise TooSlowError(
                "This takes more memory than a question may have: narrow it, for instance to a"
                " time range"
            ) from error

    return reader.read(narrowed, deadline_s=_DEADLINE_S)


def _chosen(filters: Filters) -> tuple[str, Mapping[str, object]]:
    """Query for the runs that match, and its parameters."""
    source = "trajectories" if filters.needs_judgement else "live.trajectories"
    where = filters.condition()
    return (
        f"select t.trajectory_id from {source} t where {where.sql}",  # noqa: S608 - our own text
        where.parameters,
    )


# --- columns and rows --------------------------------------------------------------------------


def _columns(told: Answer) -> list[AnalysisColumn]:
    meanings = {column.name: column.meaning for column in told.analysis.columns}
    meanings |= {
        column.name: column.meaning
        for column in labels.STEP_COLUMNS.get(told.analysis.labels or "", ())
    }
    shown = told.columns()
    return [
        {
            "name": name,
            "title": tables.words(name),
            "meaning": meanings.get(name, ""),
            "type": duckdb_type,
            "kind": tables.kind(name, duckdb_type),
            "unit": _unit(name) if values.is_number(duckdb_type) else None,
            "is_shown": name in shown,
        }
        for name, duckdb_type in told.types.items()
    ]


def _unit(column: str) -> Any:
    if column.endswith("_usd"):
        return "usd"
    if column.endswith(("_s", "_seconds")):
        return "s"
    if values.is_difference(column):
        return "difference"
    return "share" if values.is_share(column) else "n"


def _row(told: Answer, row: Row, hide: Hiding, steps: Steps) -> AnalysisRow:
    step = told.analysis.labels
    return {
        "values": [_plain(row[name]) for name in told.types],
        "texts": ["" if _is_table(row[name]) else values.text(name, row[name]) for name in row],
        "said": sentences.say(told.analysis.name, row),
        "needed": labels.needed(step, row["missing"]) if step else None,
        "only": _only(row),
        "places": [
            _place(hide.original(place.trajectory_id), place, steps)
            for place in reading.places(row)
            if place.trajectory_id is not None
        ],
    }


def _is_table(value: Any) -> bool:
    """Whether a value has rows of its own."""
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _plain(value: Any) -> Any:
    """A value as JSON has it; a number that is none is unknown."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return iso(value)
        case date():
            return value.isoformat()
        case list() | tuple():
            return [_plain(each) for each in value]
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case bool() | int() | str() | None:
            return value
    return str(value)


def _place(run: str, place: reading.Place, steps: Steps) -> AnalysisPlace:
    step = steps.get((run, place.span_id)) if place.step is None else place.step
    return {"trajectory_id": run, "step": step, "span_id": place.span_id}


def _steps(connection: duckdb.DuckDBPyConnection, told: Answer, hide: Hiding) -> Steps:
    """Where places name a span and no step, the step that the span is of."""
    places = {
        (hide.original(place.trajectory_id), place.span_id)
        for row in told.rows
        for place in reading.places(row)
        if place.trajectory_id is not None and place.span_id is not None and place.step is None
    }
    if not places:
        return {}
    found = connection.execute(
        "select trajectory_id, span_id, step from steps"
        " where list_contains($runs, trajectory_id) and list_contains($spans, span_id)",
        {
            "runs": sorted({run for run, _ in places}),
            "spans": sorted({span for _, span in places}),
        },
    ).fetchall()
    return {(run, span): step for run, span, step in found}


def _labels(told: Answer) -> list[AnalysisLabel]:
    """The labels that rows have, in the order of what they allow to believe."""
    if told.analysis.labels is None:
        return []
    return [
        {
            "label": label,
            "n": told.labels[label],
            "meaning": meaning,
            "sign": labels.BADGES[label][0],
            "tone": labels.BADGES[label][1],
        }
        for label, meaning in labels.MEANINGS[told.analysis.labels].items()
        if label in told.labels
    ]


# --- which runs a row speaks of ----------------------------------------------------------------


def _only(row: Row) -> AnalysisOnly:
    """Filters for the runs of a row, as far as the list has such."""
    found: AnalysisOnly = {}
    if "agent_name" in row:
        found["agent"] = row["agent_name"] or ""
    if row.get("model") is not None:
        found["model"] = row["model"]
    if row.get("task") is not None:
        found["task"] = row["task"]
    if isinstance(row.get("week"), date):
        found["since"] = row["week"].isoformat()
        found["until"] = (row["week"] + timedelta(days=7)).isoformat()
    tools = dict.fromkeys(tool for tool in _tools(row) if tool is not None)
    if tools:
        found["tool"] = list(tools)
    return found


def _tools(row: Row) -> list[str | None]:
    if "pattern" in row:
        return [tool.removesuffix(" failed") for tool in _TOOLS_OF[row["kind"]](row["pattern"])]
    if "source" in row:
        return [row["source"], row["target"]]
    if "next" in row:
        return [*row["calls"], row["next"]]
    return row["calls"] if isinstance(row.get("calls"), list) else [row.get("tool_name")]


_Pattern = list[str]


def _first(pattern: _Pattern) -> _Pattern:
    return pattern[:1]


def _whole(pattern: _Pattern) -> _Pattern:
    return pattern


_TOOLS_OF: Final[Mapping[str, Callable[[_Pattern], _Pattern]]] = {
    "tool": _whole,
    "count": _first,
    "loop": _whole,
    "start": _whole,
    "sequence": _whole,
    "before": _whole,
    "gapped": _whole,
    "without": lambda pattern: pattern[1:],
    "error": _first,
    "failed": _whole,
    "given up": _whole,
    "again": _first,
    "next": _whole,
    "ends": _whole,
}
"""Kind of a pattern -> the calls in it that its runs make."""


# --- the graph ---------------------------------------------------------------------------------


def _drawing(told: Answer) -> FlowDrawing | None:
    drawn = flow.draw(told.rows, told.n)
    if drawn is None:
        return None
    return {
        "width": drawn.width,
        "height": drawn.height,
        "boxes": [
            {
                "call": box.call,
                "name": box.name,
                "label": box.label,
                "x": box.x,
                "y": box.y,
                "width": box.width,
                "height": box.height,
            }
            for box in drawn.boxes
        ],
        "arrows": [
            {
                "row": arrow.row,
                "title": arrow.title,
                "path": arrow.path,
                "width": arrow.width,
                "label": arrow.label,
                "x": arrow.x,
                "y": arrow.y,
            }
            for arrow in drawn.arrows
        ],
        "n_left_out": drawn.n_left_out,
    }
