"""Is the store whole? From the files up: present, readable, and telling one story."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from otel_traj import wal
from otel_traj.errors import ConfigurationError, StoreDamagedError
from otel_traj.store import rules, sealing, snapshot, views
from otel_traj.store.schema import TABLES
from otel_traj.store.snapshot import DataFile, Snapshot


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `verify` found.

    Attributes:
        severity: `error` when something is lost or contradicts itself, else `note`.
        what: What was found, and what to do if anything.
        path: The file concerned, relative to the store.
        ids: The trajectories or traces concerned, at most ten.
    """

    severity: Literal["note", "error"]
    what: str
    path: str | None = None
    ids: tuple[str, ...] = ()


_CONTRADICTIONS: Final = {
    "spans are stored twice": (
        "select trace_id || '/' || span_id from stored.spans group by trace_id, span_id"
        " having count(*) > 1"
    ),
    "trajectories have several live revisions": (
        "select trajectory_id from live.trajectories group by trajectory_id having count(*) > 1"
    ),
    "annotations are stored twice": (
        "select annotation_id from stored.annotations group by annotation_id having count(*) > 1"
    ),
    "trajectories do not have the steps that their header counts": (
        "select trajectory_id from live.trajectories t"
        " left join (select trajectory_id, rev, count(*) as n from live.steps group by all) s"
        " using (trajectory_id, rev) where t.n_steps <> coalesce(s.n, 0)"
    ),
    "trajectories have steps, spans or file changes, but no header": (
        "with parts as (select trajectory_id, rev from live.steps"
        " union select trajectory_id, rev from live.trajectory_spans"
        " union select trajectory_id, rev from live.file_changes)"
        " select trajectory_id from parts anti join live.trajectories using (trajectory_id, rev)"
    ),
    "spans belong to several trajectories": (
        "select trace_id || '/' || span_id from live.trajectory_spans"
        " group by trace_id, span_id having count(distinct trajectory_id) > 1"
    ),
}
"""What must not be -> SQL that finds it; one column of ids, no row when all is well."""


def verify(store: Path) -> list[Problem]:
    """Everything that is wrong with a store, errors first; see `TrajectoryStore.verify`."""
    try:
        current = snapshot.newest(store)
    except StoreDamagedError as error:
        return [Problem("error", str(error))]
    problems = [p for file in _files(current) if (p := _check_file(store, *file)) is not None]
    if not problems:
        problems += _contradictions(store, current)
    problems += _notes(store)
    return sorted(problems, key=lambda problem: problem.severity != "error")


def _files(current: Snapshot) -> Iterator[tuple[str, DataFile]]:
    for table in TABLES:
        for file in current.live(table):
            yield table, file


def _check_file(store: Path, table: str, file: DataFile) -> Problem | None:
    """Read a file whole, checksums included."""
    path = store / file.path
    if not path.exists():
        return Problem("error", f"{file.path} is missing: {file.rows} rows are lost", file.path)
    if path.stat().st_size != file.bytes:
        return Problem(
            "error", f"{file.path} has {path.stat().st_size} bytes, not {file.bytes}", file.path
        )
    try:
        n_rows = 0
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches():
                n_rows += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        return Problem("error", f"{file.path} cannot be read: {error}", file.path)
    if n_rows != file.rows:
        return Problem("error", f"{file.path} has {n_rows} rows, not {file.rows}", file.path)
    return None


def _contradictions(store: Path, current: Snapshot) -> Iterator[Problem]:
    try:
        rules.load(store)
    except ConfigurationError as error:
        yield Problem("error", str(error), "rules.toml")
    with views.connect(store, current) as connection:
        for what, sql in _CONTRADICTIONS.items():
            found = [row[0] for row in _rows(connection, sql)]
            if found:
                shown = ", ".join(found[:3])
                yield Problem("error", f"{what}: {len(found)}, {shown}", ids=tuple(found[:10]))


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[str]]:
    return connection.execute(f"select * from ({sql}) order by 1").fetchall()  # noqa: S608 (ours)


def _notes(store: Path) -> Iterator[Problem]:
    """What killed processes left behind."""
    current, read, batch = sealing.unsealed(store)
    for path in read.torn:
        yield Problem(
            "note",
            f"_wal/{path.name} ends in half a record of a killed process; it was not acknowledged",
            f"_wal/{path.name}",
        )
    for path in sorted((store / "_tmp").glob("quarantine-*")):
        size = path.stat().st_size
        yield Problem(
            "note", f"{size} bytes of the log were no record; kept in _tmp/{path.name}", path.name
        )
    killed = {
        trace_id: trace
        for trace_id, trace in batch.open.items()
        if trace.pending and not trace.writers & read.alive
    }
    if killed:
        yield Problem(
            "note",
            f"open runs of killed processes: {len(killed)}, {', '.join(list(killed)[:3])}",
            ids=tuple(killed)[:10],
        )
    unnamed = _unnamed(store, current)
    if unnamed:
        yield Problem(
            "note", f"files that no snapshot names, left by a killed sealer: {len(unnamed)}"
        )
    if wal.segments(store) and read.has_records:
        n = len(read.spans) + len(read.logs) + len(read.annotations)
        yield Problem(
            "note", f"records that are in the log only, until the next reader seals them: {n}"
        )


def _unnamed(store: Path, current: Snapshot) -> set[str]:
    """Files that neither the current snapshot names nor one before it."""
    unnamed = {
        path.relative_to(store).as_posix()
        for table in TABLES
        for path in (store / table).glob("date=*/*.parquet")
    } - {file.path for _, file in _files(current)}
    for n in reversed(snapshot.numbers(store)):
        if not unnamed:
            break
        unnamed -= {file.path for _, file in _files(snapshot.read(store, n))}
    return unnamed
