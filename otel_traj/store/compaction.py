"""Compaction: many small files of a day become few large ones, without dead revisions.

Each commit adds a file per table and day, and every file costs a query 0.07 ms. So files are merged
by level: when a day has `FAN_IN` files of one level, they become one of the next, which rewrites a
row log(n) times in its life. A day to which nothing was added for a day is merged whole, once.
Merging drops the revisions that a newer one replaced, and then forgets that they were dead.

Merging reads one snapshot and holds no lock that a recording process, a sealer or a reader waits
for; the swap is one commit, and void when one of the merged files is not live any more. A death
leaves files that no snapshot names; `otel_traj.store.collection` removes them.
"""
# ruff: noqa: S608 - what is put into this SQL are names of our own tables

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import duckdb
import pyarrow as pa

from otel_traj.errors import StoreError
from otel_traj.store import collection, locks, rewrite, snapshot, views
from otel_traj.store.files import FileWriter
from otel_traj.store.rewrite import Change
from otel_traj.store.schema import COLUMNS, SCHEMA_ID, SUPERSEDED
from otel_traj.store.snapshot import (
    DataFile,
    Files,
    Operation,
    Snapshot,
    SnapshotConflictError,
)
from otel_traj.wal import ulid_s

Scope: TypeAlias = Literal["due", "all", "older"]

FAN_IN: Final = 32
"""Files of one level and day that are merged into one of the next level."""

FILE_BYTES: Final = 128 * 1024 * 1024
"""Merged files end about here; longer ones are merged again only with their whole day."""

INLINE_BYTES: Final = 16 * 1024 * 1024
"""What a process that only came to read merges at most; takes about a second."""

INLINE_MERGES: Final = 8
"""And how many merges it does at most; who comes next goes on."""

SMALL_BYTES: Final = 1024 * 1024
"""A file of a day that is alone and no longer than this is not worth being packed tighter."""

SORTED_BYTES: Final = 128 * 1024 * 1024
"""How much is put in order at a time, about; an engine takes several times as much for it."""

_FIRST_ROWS: Final = 4096
"""How many rows the first time, when nobody knows yet how long they are."""

QUIET_S: Final = 86_400.0
"""A day to which nothing was added for so long is merged whole."""

_DERIVED: Final = (*views.REVISED, SUPERSEDED.name)
_UNITS: Final = (("spans",), ("logs",), ("annotations",), _DERIVED)
"""Tables that are merged together: what kills a revision must not go before its rows."""

_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction did.

    Attributes:
        days: Days of which files were merged.
        files_before: Live files when it began.
        files_after: Live files when it was done.
        bytes_before: How long those were.
        bytes_after: How long these are.
        is_busy: Somebody else is rewriting the store; nothing was done.
    """

    days: tuple[str, ...] = ()
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    is_busy: bool = False


def compact(
    store: Path,
    *,
    scope: Scope = "due",
    wait_s: float = 60.0,
    max_bytes: float = math.inf,
    max_merges: int | None = None,
) -> CompactionReport:
    """Merge files; then collect what nobody can be reading any more.

    Args:
        store: The store's folder.
        scope: `due`: days with too many files, or to which nothing is added any more. `all`: every
            day into as few files as can be, without dead revisions. `older`: days with files of an
            older schema. Files of a newer version are left alone: this one does not know all that
            they hold.
        wait_s: How long to wait for somebody else who is rewriting or sealing the store.
        max_bytes: Leave merges of more than this to somebody else.
        max_merges: Do no more than about so many; None for all.

    Raises:
        StoreDamagedError: A live file cannot be read.
        StoreError: Somebody else was sealing for all of `wait_s`.
        OSError: The store cannot be written; nothing is changed then.
    """
    with locks.attempt(store, "upkeep", wait_s) as is_held:
        if not is_held:
            return CompactionReport(is_busy=True)
        op: Operation = "migrate" if scope == "older" else "compact"
        before = snapshot.newest(store)
        days: set[str] = set()
        for _ in range(_ATTEMPTS):
            # A merge may fill the level above; after the last one everything is where it belongs.
            base = snapshot.newest(store)
            merges = itertools.islice(_merges(base, scope, max_bytes), max_merges)
            done = _round(store, base, merges, wait_s=wait_s, op=op)
            days |= done
            if not done:
                break
        after = snapshot.newest(store)
        if scope != "due" or collection.is_due(store):
            collection.collect(store, wait_s=wait_s)
        n_before, bytes_before = _size(before)
        n_after, bytes_after = _size(after)
        return CompactionReport(tuple(sorted(days)), n_before, n_after, bytes_before, bytes_after)


def keep_up(store: Path) -> None:
    """Merge what is due and small, unless somebody else is at it; for who has just sealed.

    So that a store which many short commits are added to stays quick although nobody looks after
    it. A store that cannot be written, or read, says so when it is used.
    """
    with contextlib.suppress(StoreError, OSError):
        if next(_merges(snapshot.newest(store), "due", INLINE_BYTES), None) is not None:
            compact(store, wait_s=0.1, max_bytes=INLINE_BYTES, max_merges=INLINE_MERGES)


def _size(content: Snapshot) -> tuple[int, int]:
    files = _all(content.files)
    return len(files), sum(file.bytes for file in files)


def _round(
    store: Path,
    base: Snapshot,
    merges: Iterable[tuple[str, Files]],
    *,
    wait_s: float,
    op: Operation,
) -> set[str]:
    """Do merges of a snapshot's files, a commit for each day; the days concerned."""
    days: set[str] = set()
    for date, of_day in itertools.groupby(merges, key=lambda merge: merge[0]):
        done = Change()
        try:
            for _, inputs in of_day:
                done = rewrite.joined(done, _merge(store, _only(base, date), date, inputs))
            with locks.held(store, "commit", wait_s):
                rewrite.publish(store, done, op=op)
        except SnapshotConflictError:
            rewrite.discard(store, done.add)
        except BaseException:
            rewrite.discard(store, done.add)
            raise
        else:
            days.add(date)
    return days


# --- what is due -------------------------------------------------------------------------------


def _merges(current: Snapshot, scope: Scope, max_bytes: float) -> Iterator[tuple[str, Files]]:
    """Days, ascending, and the files to merge of each: those of one unit of tables at a time."""
    units = [_by_day(current, unit) for unit in _UNITS]
    for date in sorted({date for by_day in units for date in by_day}):
        for by_day in units:
            inputs = _inputs(by_day[date], scope) if date in by_day else {}
            if inputs and sum(file.bytes for file in _all(inputs)) <= max_bytes:
                yield date, inputs


def _inputs(files: Files, scope: Scope) -> Files:
    """Which files of a day to merge."""
    if any(file.schema > SCHEMA_ID for file in _all(files)):
        return {}
    if any(file.schema < SCHEMA_ID for file in _all(files)):
        return files if scope != "due" else _tier(files)
    is_over = time.time() - max(ulid_s(Path(f.path).name) for f in _all(files)) >= QUIET_S
    if scope == "all" or (scope == "due" and is_over):
        return {} if _is_packed(files) else files
    return _tier(files) if scope == "due" else {}


def _by_day(current: Snapshot, tables: Iterable[str]) -> dict[str, Files]:
    days: dict[str, dict[str, tuple[DataFile, ...]]] = {}
    for table in tables:
        for file in current.live(table):
            day = days.setdefault(file.date, {})
            day[table] = (*day.get(table, ()), file)
    return dict(days)


def _all(files: Files) -> list[DataFile]:
    return [file for own in files.values() for file in own]


def _is_packed(files: Files) -> bool:
    """Whether a day cannot be merged any further."""
    if files.get(SUPERSEDED.name):
        return False
    return all(
        len(own) <= 1 + sum(file.bytes for file in own) // FILE_BYTES
        and all(file.level > 0 or ((file,) == own and file.bytes <= SMALL_BYTES) for file in own)
        for own in files.values()
    )


def _tier(files: Files) -> Files:
    """Files of the lowest level that is full, and of those below; nothing where none is."""
    small = {
        table: tuple(file for file in own if file.bytes < FILE_BYTES)
        for table, own in files.items()
    }
    for level in sorted({file.level for file in _all(small)}):
        if any(sum(f.level == level for f in own) >= FAN_IN for own in small.values()):
            return {
                table: tuple(file for file in own if file.level <= level)
                for table, own in small.items()
            }
    return {}


# --- merging -----------------------------------------------------------------------------------


def _only(base: Snapshot, date: str) -> Snapshot:
    """What a snapshot holds of a day; a merge looks at no other, and there may be thousands."""
    files = {table: tuple(f for f in own if f.date == date) for table, own in base.files.items()}
    return replace(base, files=files)


def _merge(store: Path, base: Snapshot, date: str, inputs: Files) -> Change:
    """The same rows in few files, in order, without dead revisions."""
    level = 1 + max(file.level for file in _all(inputs))
    add: dict[str, tuple[DataFile, ...]] = {}
    try:
        with views.connect_for_rewriting(store, base) as connection:
            for table, own in inputs.items():
                if own:
                    _create_view(connection, f"merged.{table}", base, table, own, store)
            for table, own in inputs.items():
                if own:
                    sql = _sql(store, base, date, table, inputs)
                    rows = _in_order(connection, table, sql)
                    n_rows = sum(file.rows for file in own)
                    add[table] = _written_files(
                        store, rows, table, date, level=level, n_rows=n_rows
                    )
    except BaseException:
        rewrite.discard(store, add)
        raise
    return Change(inputs, add)


def _create_view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    base: Snapshot,
    table: str,
    files: Iterable[DataFile],
    store: Path,
) -> None:
    connection.execute("create schema if not exists merged")
    connection.execute(f"create view {name} as {views.rows_of(base, table, files, store)}")


def _sql(store: Path, base: Snapshot, date: str, table: str, inputs: Files) -> str:
    """The rows `r` of a table's inputs that live."""
    columns = ", ".join(f'r."{column}"' for column in COLUMNS[table])
    rows = f"select {columns} from merged.{table} r"
    if table == SUPERSEDED.name:
        return f"{rows} {_still_needed(store, base, date, inputs)}"
    if table in views.REVISED and base.live(SUPERSEDED.name):
        return f"{rows} anti join stored.superseded d using (trajectory_id, rev)"
    return rows


_START_OF: Final = {
    "spans": (
        "select trace_id, min(start_time) as began from merged.spans group by 1",
        "trace_id",
    ),
    **dict.fromkeys(
        ("steps", "trajectory_spans", "file_changes"),
        (
            "select trajectory_id, min(start_time) as began from merged.trajectories group by 1",
            "trajectory_id",
        ),
    ),
}
"""Table whose rows are ordered by the start of what they belong to -> that start, and by what."""

_ORDER: Final = {
    "spans": "r.start_ns, r.span_id",
    "logs": "r.trace_id nulls first, r.time_ns",
    "annotations": "r.created, r.annotation_id",
    "trajectories": "r.start_time, r.trajectory_id",
    "steps": "r.step",
    "trajectory_spans": "r.trace_id, r.span_id",
    "file_changes": "r.step, r.path",
}
"""Table -> order of its rows, or of those that belong together."""


def _in_order(connection: duckdb.DuckDBPyConnection, table: str, sql: str) -> Iterator[pa.Table]:
    """The rows of a SELECT in the table's order, in parts that fit in memory."""
    if table in _START_OF:
        yield from _group_by_group(connection, table, sql)
    elif table in _ORDER:
        yield from rewrite.batches(connection, f"{sql} order by {_ORDER[table]}", table)
    else:
        yield from rewrite.batches(connection, sql, table)


def _group_by_group(
    connection: duckdb.DuckDBPyConnection, table: str, sql: str
) -> Iterator[pa.Table]:
    """Rows of traces or trajectories, by the start of these: as many at a time as sort quickly.

    A sort of a whole day takes as much memory as the day is long; what is sorted here has about
    `SORTED_BYTES`, or is one trace.
    """
    start, key = _START_OF[table]
    time = "start_time" if "start_time" in COLUMNS[table] else "null::timestamptz"
    connection.execute(
        "create or replace temp table places as"
        f" with starts as ({start}), counted as (select {key}, count(*) as n_rows,"
        f" min({time}) as earliest, max({time}) as latest, count({time}) as n_timed"
        f" from merged.{table} group by 1)"
        f" select {key}, earliest, latest, n_timed = n_rows as is_timed, n_rows,"
        f" sum(n_rows) over (order by s.began nulls last, {key}) - n_rows as place"
        f" from counted left join starts s using ({key})"
    )
    n_rows = _one(connection, "select coalesce(sum(n_rows), 0) from places")[0]
    begin, length = 0, _FIRST_ROWS
    while begin < n_rows:
        chosen = f"place >= {begin} and place < {begin + length}"
        part = (
            f"{sql} join places p using ({key}) where {chosen}{_between(connection, chosen)}"
            f" order by p.place, {_ORDER[table]}"
        )
        n_read = n_bytes = 0
        for rows in rewrite.batches(connection, part, table):
            n_read, n_bytes = n_read + len(rows), n_bytes + rows.nbytes
            yield rows
        begin += length
        if n_bytes:
            length = max(1, min(4 * length, SORTED_BYTES * n_read // n_bytes))


def _between(connection: duckdb.DuckDBPyConnection, chosen: str) -> str:
    """A condition on the times of chosen rows: what else is in the files is not read then."""
    earliest, latest, is_timed = _one(
        connection,
        "select min(earliest)::varchar, max(latest)::varchar, bool_and(is_timed)"
        f" from places where {chosen}",
    )
    if not is_timed:
        return ""
    return f" and r.start_time between timestamptz '{earliest}' and timestamptz '{latest}'"


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    (row,) = connection.execute(sql).fetchall()
    return tuple(row)


def _still_needed(store: Path, base: Snapshot, date: str, inputs: Files) -> str:
    """Only pairs that kill a row in a file of the day which is not merged now."""
    others = [
        f"select trajectory_id, rev from ({views.rows_of(base, table, files, store)})"
        for table in views.REVISED
        if (files := _others(base, table, date, inputs.get(table, ())))
    ]
    if not others:
        return "where false"
    return f"semi join ({' union '.join(others)}) o using (trajectory_id, rev)"


def _others(base: Snapshot, table: str, date: str, inputs: Collection[DataFile]) -> list[DataFile]:
    return [f for f in base.live(table) if f.date == date and f not in inputs]


def _written_files(
    store: Path,
    parts: Iterable[pa.Table],
    table: str,
    date: str,
    *,
    level: int,
    n_rows: int,
) -> tuple[DataFile, ...]:
    """Rows, `n_rows` at most, in files of about `FILE_BYTES`; none for no rows."""
    done: list[DataFile] = []
    writer = FileWriter(store, table, date, level=level, n_rows=n_rows)
    try:
        for rows in parts:
            if writer.n_bytes >= FILE_BYTES:
                done += filter(None, [writer.close()])
                writer = FileWriter(store, table, date, level=level, n_rows=n_rows)
            writer.add(rows)
        done += filter(None, [writer.close()])
    except BaseException:
        writer.discard()
        rewrite.discard(store, {table: tuple(done)})
        raise
    return tuple(done)
