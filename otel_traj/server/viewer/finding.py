"""A text within one trajectory: in what its steps said and got, in names and attributes of spans.

It is looked for in what may be shown, so nobody finds out a secret letter by letter.
"""
# ruff: noqa: S608 - what is put into this SQL are our own texts and quoted ids

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from otel_traj.errors import InputError
from otel_traj.model import Trajectory
from otel_traj.server.viewer import spans
from otel_traj.server.viewer.answers import Found, Match
from otel_traj.server.viewer.listing import took_ms
from otel_traj.server.viewer.reading import Reader
from otel_traj.store import rows as stored_rows
from otel_traj.store.views import quoted

MOST: Final = 500
_LONGEST: Final = 500
_AROUND: Final = 60

_COLUMNS: Final = (
    "reasoning",
    "output_text",
    "tool_name",
    "arguments",
    "result",
    "model_saw",
    "observation",
    "error_type",
    "error_message",
    "new_messages",
)


def find(reader: Reader, trajectory_id: str, text: str) -> Found:
    """Where a text is, whatever its case.

    Raises:
        TrajectoryNotFoundError: There is no such trajectory.
        InputError: The text is too short or too long.
    """
    began = time.perf_counter()
    if not 1 <= len(text) <= _LONGEST:
        raise InputError(f"Look for 1 to {_LONGEST} characters")
    run = reader.trajectory(trajectory_id)
    found = spans.read(reader, trajectory_id)
    matches: list[Match] = []
    for match in _matches(reader, run, found, text):
        if len(matches) == MOST:
            return {"matches": matches, "is_cut": True, "took_ms": took_ms(began)}
        matches.append(match)
    return {"matches": matches, "is_cut": False, "took_ms": took_ms(began)}


def _matches(reader: Reader, run: Trajectory, found: spans.Rows, text: str) -> Iterator[Match]:
    number = {key: row for row, key in enumerate(found.ids)}
    looked_for, shown = _pattern(text), reader.shown
    for step in run.steps:
        row = number.get((step.trace_id, step.span_id))
        for column in _COLUMNS:
            if place := _place(getattr(step, column), looked_for):
                yield _match(row, step.span_id, step.step, column, place)
    for row, name in enumerate(found.names):
        if name and looked_for.search(name) and (place := _place(shown("name", name), looked_for)):
            yield _match(row, found.ids[row][1], found.step(row), "name", place)
    yield from _in_attributes(reader, run, found, number, text)


def _in_attributes(
    reader: Reader,
    run: Trajectory,
    found: spans.Rows,
    number: dict[tuple[str, str], int],
    text: str,
) -> Iterator[Match]:
    """In attributes that no step tells of; where they hold it is decided on what is shown."""
    plain, looked_for = text.lower(), _pattern(text)
    own = {"plain": plain, "quoted": json.dumps(plain, ensure_ascii=False)[1:-1]}

    def ask(cursor: duckdb.DuckDBPyConnection) -> Any:
        traces = ", ".join(map(quoted, run.trace_ids)) or "null"
        return cursor.sql(
            f'select * exclude ("date") from stored.spans where trace_id in ({traces}) and ('
            " contains(lower(attributes), $plain) or contains(lower(attributes), $quoted)"
            " or contains(lower(status_message), $plain)"
            f") order by start_ns, span_id limit {MOST:d}",
            params=own,
        ).to_arrow_table()

    for record in stored_rows.span_records(reader.read(ask)):
        row = number.get((record.trace_id, record.span_id))
        if row is None:
            continue
        shown = reader.redaction.record(record)
        told = {**shown.attributes, "status_message": shown.status_message}
        for key, value in told.items():
            whole = value if isinstance(value, str) else json.dumps(value, default=str)
            if value is not None and (place := _place(whole, looked_for)):
                yield _match(row, record.span_id, found.step(row), key, place)


def _pattern(text: str) -> re.Pattern[str]:
    """A text whatever its case, also as JSON spells it."""
    spelt = dict.fromkeys((text, json.dumps(text, ensure_ascii=False)[1:-1]))
    return re.compile("|".join(map(re.escape, spelt)), re.IGNORECASE)


def _place(told: str | None, looked_for: re.Pattern[str]) -> tuple[str, int, int] | None:
    """What is round a match, where it is in that, and how long; None where there is none."""
    match = looked_for.search(told) if told else None
    if told is None or match is None:
        return None
    begin = max(0, match.start() - _AROUND)
    snippet = told[begin : match.end() + _AROUND]
    return snippet, match.start() - begin, match.end() - match.start()


def _match(
    row: int | None, span_id: str, step: int | None, where: str, place: tuple[str, int, int]
) -> Match:
    snippet, at, length = place
    return {
        "row": row,
        "span_id": span_id,
        "step": step,
        "where": where,
        "snippet": snippet,
        "at": at,
        "length": length,
    }
