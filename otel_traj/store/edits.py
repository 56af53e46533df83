"""Stored rows edited as the records that they came from; rows that an edit leaves alone stay."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import pyarrow as pa

from otel_traj.model import Annotation, LogRecord, SpanRecord
from otel_traj.store import rows

_Record = TypeVar("_Record", SpanRecord, LogRecord, Annotation)
Edit: TypeAlias = Callable[[_Record], _Record]
"""A record -> the same object, or another one to store in its place."""

_OF_THE_STORE: Final = ("ingest_seq", "ingest_time")
"""Columns of `spans` that no record tells."""


def spans(table: pa.Table, edit: Edit[SpanRecord]) -> pa.Table:
    """Rows of `spans`, edited."""
    return _edited(table, rows.span_records(table), edit, rows.spans_table)


def logs(table: pa.Table, edit: Edit[LogRecord]) -> pa.Table:
    """Rows of `logs`, edited."""
    return _edited(table, rows.log_records(table), edit, rows.logs_table)


def annotations(table: pa.Table, edit: Edit[Annotation]) -> pa.Table:
    """Rows of `annotations`, edited."""
    records = [Annotation(**row) for row in table.to_pylist()]
    return _edited(table, records, edit, rows.annotations_table)


def _edited(
    table: pa.Table,
    records: Sequence[_Record],
    edit: Edit[_Record],
    to_rows: Callable[[list[_Record]], pa.Table],
) -> pa.Table:
    changed = {
        position: new
        for position, record in enumerate(records)
        if (new := edit(record)) is not record
    }
    return _with_rows(table, list(changed), to_rows(list(changed.values()))) if changed else table


def _with_rows(table: pa.Table, positions: list[int], changed: pa.Table) -> pa.Table:
    """A table with other rows at some positions."""
    for name in _OF_THE_STORE:
        if name in table.column_names:
            field = table.schema.get_field_index(name)
            changed = changed.set_column(field, name, table[name].take(pa.array(positions)))
    order = list(range(table.num_rows))
    for at, position in enumerate(positions):
        order[position] = table.num_rows + at
    both: Any = pa.concat_tables([table, changed.cast(table.schema)])
    return both.take(pa.array(order))
