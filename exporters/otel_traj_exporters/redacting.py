"""What is exported, redacted on the way out: what was recorded without may leave only so.

Raw spans, logs and annotations are redacted as the records they were; of derived rows every text,
under the attribute that it came from. A step that is changed so is not graded A any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Final, TypeVar, cast

import pyarrow as pa

from otel_traj.model import FileChange, Step, Trajectory, columns
from otel_traj.redaction import Redaction
from otel_traj.store import edits, schema
from otel_traj.store.redacting import ATTRIBUTES, NOT_TEXT, mapped_texts

REASON: Final = "redacted when it was exported"
"""Why a step is graded C that was graded A in the store."""

_Row = TypeVar("_Row", Step, Trajectory, FileChange)

_TEXTS: Final = (str, tuple)
"""Types of cells that may hold texts."""

_RAW: Final[Mapping[str, Any]] = {
    "spans": edits.spans,
    "logs": edits.logs,
    "annotations": edits.annotations,
    "annotations_latest": edits.annotations,
}
"""View of records -> how its rows are edited as records."""


def trajectory(redaction: Redaction, given: Trajectory) -> Trajectory:
    """A trajectory with its steps and file changes redacted; the same one if nothing is found."""
    steps = tuple(step(redaction, one) for one in given.steps)
    changes = tuple(file_change(redaction, change) for change in given.file_changes)
    header = _row(redaction, given)
    parts = zip((*steps, *changes), (*given.steps, *given.file_changes), strict=True)
    if header is given and all(new is old for new, old in parts):
        return given
    grade: Any = max((one.grade for one in steps if one.grade), default=given.grade)
    return dataclasses.replace(header, steps=steps, file_changes=changes, grade=grade)


def step(redaction: Redaction, given: Step) -> Step:
    """A step redacted; the same one if nothing is found."""
    redacted = _row(redaction, given)
    if redacted is given or given.grade != "A":
        return redacted
    # Another name of its run changes nothing of what it was told.
    if redacted == dataclasses.replace(given, trajectory_id=redacted.trajectory_id):
        return redacted
    return dataclasses.replace(redacted, grade="C", grade_reason=REASON)


def file_change(redaction: Redaction, given: FileChange) -> FileChange:
    """A file change redacted; the same one if nothing is found."""
    return _row(redaction, given)


def _row(redaction: Redaction, row: _Row) -> _Row:
    changed: dict[str, Any] = {}
    for name in _text_columns(cast(Any, type(row))):
        value = getattr(row, name)
        if isinstance(value, _TEXTS):
            new = cell(redaction, name, value)
            if new is not value:
                changed[name] = new
    return dataclasses.replace(row, **changed) if changed else row


@cache
def _text_columns(row_type: Any) -> tuple[str, ...]:
    """The columns that may hold texts of others."""
    return tuple(name for name in columns(row_type) if name not in NOT_TEXT)


def cell(redaction: Redaction, column: str, value: Any) -> Any:
    """A text, or several, of a derived row; None if it is to be dropped."""
    return redaction.value(ATTRIBUTES.get(column, column), value)


class RedactedViews:
    """Redacts rows of the public views; those of `steps` first, as others tell of their grades."""

    ORDER: Final = tuple(sorted(schema.VIEW_COLUMNS, key=lambda view: view != "steps"))

    def __init__(self, redaction: Redaction) -> None:
        """Begin a copy."""
        self._redaction = redaction
        self._lowered: set[str] = set()

    def __call__(self, view: str, rows: pa.Table) -> pa.Table:
        """Rows of a view, redacted; the same columns."""
        if not self._redaction or not rows.num_rows:
            return rows
        if view in _RAW:
            return self._records(view, rows)
        redacted = self._derived(rows)
        if view == "steps":
            changed = _changed(rows, redacted)
            self._lowered.update(
                i for i, is_so in zip(_ids(redacted), changed, strict=True) if is_so
            )
            return _lower(redacted, changed)
        if view == "trajectories":
            return _lower(redacted, [i in self._lowered for i in _ids(redacted)])
        return redacted

    def _records(self, view: str, rows: pa.Table) -> pa.Table:
        own = [column.name for column in schema.TABLES[view.removesuffix("_latest")].columns]
        redacted = _RAW[view](rows.select(own), self._redaction.record)
        others = self._derived(rows.drop_columns(own))
        for field in others.schema:
            redacted = redacted.append_column(field, others[field.name])
        return redacted.select(rows.column_names)

    def _derived(self, rows: pa.Table) -> pa.Table:
        for field in rows.schema:
            if field.type in (pa.string(), pa.list_(pa.string())) and field.name not in NOT_TEXT:
                rows = mapped_texts(rows, field.name, partial(cell, self._redaction, field.name))
        return rows


def _changed(before: pa.Table, after: pa.Table) -> list[bool]:
    """Which rows differ, but for the name of their run."""
    changed = [False] * before.num_rows
    for name in before.column_names:
        if name != "trajectory_id" and not before[name].equals(after[name]):
            pairs = zip(before[name].to_pylist(), after[name].to_pylist(), strict=True)
            changed = [was or new != old for was, (old, new) in zip(changed, pairs, strict=True)]
    return changed


def _lower(rows: pa.Table, changed: list[bool]) -> pa.Table:
    """The rows, of which none that is changed is graded A."""
    was = rows["grade"].to_pylist()
    for column, value in (("grade", "C"), ("grade_reason", REASON)):
        if column in rows.column_names:
            cells = [
                value if is_changed and grade == "A" else cell
                for cell, grade, is_changed in zip(
                    rows[column].to_pylist(), was, changed, strict=True
                )
            ]
            at = rows.schema.get_field_index(column)
            rows = rows.set_column(at, rows.schema.field(at), pa.array(cells, pa.string()))
    return rows


def _ids(rows: pa.Table) -> list[str]:
    ids: list[str] = rows["trajectory_id"].to_pylist()
    return ids
