"""Rewrites live files: some go, others come, all in one commit.

Files are immutable, so whoever changes stored rows writes new files beside the old ones and then
publishes a snapshot that names the new ones instead. A reader sees the rows before or after, a
death in between leaves files that no snapshot names, and the old files stay until nobody can be
reading them (`otel_traj.store.collection`).
"""
# ruff: noqa: S608 - what is put into this SQL are names and conditions of our own

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from otel_traj.errors import StoreVersionError
from otel_traj.store import files as files_module
from otel_traj.store import sealing, snapshot, views
from otel_traj.store.files import FileWriter
from otel_traj.store.schema import SCHEMA_ID, TABLES, arrow_schema
from otel_traj.store.snapshot import DataFile, Files, Operation, Snapshot, SnapshotConflictError

BATCH_ROWS = 2_048
"""Rows read at once: with texts of 100 kB each that is 200 MB."""


@dataclass(frozen=True, slots=True)
class Change:
    """Live files that go, and files that come, which are durable and seen by nobody yet."""

    drop: Files = field(default_factory=dict)
    add: Files = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return any(self.drop.values()) or any(self.add.values())


def joined(*changes: Change) -> Change:
    """One change for several, of different files."""
    return Change(_concatenated(c.drop for c in changes), _concatenated(c.add for c in changes))


def _concatenated(parts: Iterable[Files]) -> Files:
    whole: dict[str, tuple[DataFile, ...]] = {}
    for part in parts:
        for table, own in part.items():
            whole[table] = (*whole.get(table, ()), *own)
    return whole


def publish(store: Path, change: Change, *, op: Operation) -> Snapshot:
    """Commit a change on top of the newest snapshot; the caller holds the lock `commit`.

    Raises:
        SnapshotConflictError: A file that should go is not live any more: somebody else rewrote
            it, and the work is void.
    """
    current = snapshot.newest(store)
    gone = snapshot.paths(change.drop) - snapshot.paths(current.files)
    if gone:
        raise SnapshotConflictError(f"{min(gone)} has been rewritten by somebody else")
    following = current.changed(change.drop, change.add, op)
    snapshot.commit(store, following)
    sealing.write_views(store, following)
    return following


def discard(store: Path, files: Files) -> None:
    """Remove files that were to be published and were not; see `otel_traj.store.files.discard`."""
    files_module.discard(store, files)


def without(
    store: Path,
    current: Snapshot,
    doomed: Mapping[str, str],
    keys: Mapping[str, pa.Table] | None = None,
) -> Change:
    """Leave rows out.

    Files without such rows are not touched; files of nothing else are only dropped.

    Args:
        store: The store's folder.
        current: The newest snapshot; the caller holds the lock `commit`.
        doomed: Table -> SQL condition of the rows that go. It may name the table's columns, `date`,
            the schemas `stored` and `live` of the snapshot, and `keys`.
        keys: Name -> rows that the conditions look up.

    Raises:
        StoreVersionError: A file that would have to be copied is of a newer version.
    """
    change = Change()
    with views.connect_for_rewriting(store, current) as connection:
        for name, rows in (keys or {}).items():
            connection.register(name, rows)
        try:
            for table, condition in doomed.items():
                change = joined(
                    change, _without_of_table(store, current, connection, table, condition)
                )
        except BaseException:
            discard(store, change.add)
            raise
    return change


def _without_of_table(
    store: Path,
    current: Snapshot,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    condition: str,
) -> Change:
    live = current.live(table)
    if not live:
        return Change()
    counts = dict(
        connection.execute(
            "select filename, count(*) from"
            f" ({views.rows_of(current, table, live, store, with_file=True)})"
            f" where {condition} group by filename"
        ).fetchall()
    )
    drop: list[DataFile] = []
    add: list[DataFile] = []
    try:
        for file in live:
            n_doomed = counts.get(str(store / file.path), 0)
            if n_doomed:
                drop.append(file)
            if 0 < n_doomed < file.rows:
                add.append(_filtered(store, current, connection, table, file, condition))
    except BaseException:
        discard(store, {table: tuple(add)})
        raise
    return Change({table: tuple(drop)}, {table: tuple(add)})


def _check_known(file: DataFile) -> None:
    """Refuse to copy a file of which this version does not know all columns."""
    if file.schema > SCHEMA_ID:
        raise StoreVersionError(
            f"{file.path} was written by a newer otel-traj, and rewriting it here would lose what"
            " that one added. Install a newer one: pip install -U otel-traj"
        )


def _filtered(
    store: Path,
    current: Snapshot,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    file: DataFile,
    condition: str,
) -> DataFile:
    """A copy of a file without the rows of a condition."""
    _check_known(file)
    columns = ", ".join(f'"{column.name}"' for column in TABLES[table].columns)
    kept = (
        f"select {columns} from ({views.rows_of(current, table, [file], store)})"
        f" where not coalesce(({condition}), false)"
    )
    connection.execute("set threads = 1")  # of several, each gives its rows when it has them
    with FileWriter(store, table, file.date, level=file.level) as writer:
        for rows in batches(connection, kept, table):
            writer.add(rows)
        written = writer.close()
    connection.execute("reset threads")
    assert written is not None  # fewer rows match than it has
    return written


def mapped(
    store: Path, current: Snapshot, table: str, change: Callable[[pa.Table], pa.Table]
) -> Change:
    """Change rows in place; files that come out equal are not touched.

    Args:
        store: The store's folder.
        current: The newest snapshot; the caller holds the lock `commit`.
        table: Name of the table.
        change: Rows -> as many rows of the same columns; called twice on rows that it changes.

    Raises:
        StoreVersionError: A file that would have to be copied is of a newer version.
    """
    if not current.live(table):
        return Change()
    drop: list[DataFile] = []
    add: list[DataFile] = []
    with views.connect_for_rewriting(store, Snapshot()) as connection:  # no view is asked
        try:
            for file in current.live(table):
                sql = _columns_of(current, table, file, store)
                if all(rows.equals(change(rows)) for rows in batches(connection, sql, table)):
                    continue
                _check_known(file)
                with FileWriter(store, table, file.date, level=file.level) as writer:
                    for rows in batches(connection, sql, table):
                        writer.add(change(rows))
                    written = writer.close()
                assert written is not None  # a file without rows comes out equal
                drop.append(file)
                add.append(written)
        except BaseException:
            discard(store, {table: tuple(add)})
            raise
    return Change({table: tuple(drop)}, {table: tuple(add)})


def _columns_of(current: Snapshot, table: str, file: DataFile, store: Path) -> str:
    columns = ", ".join(f'"{column.name}"' for column in TABLES[table].columns)
    return f"select {columns} from ({views.rows_of(current, table, [file], store)})"


def batches(connection: duckdb.DuckDBPyConnection, sql: str, table: str) -> Iterable[pa.Table]:
    """The result of a SELECT of a table's columns, in parts that fit in memory."""
    schema = arrow_schema(table)
    reader = connection.sql(sql).to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        yield pa.Table.from_batches([batch]).cast(schema)
