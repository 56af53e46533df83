"""Repair: what is damaged is set aside so that the rest can be read, and derived rows come again.

A damaged file keeps every reader out, because an answer without its rows would be a wrong one that
looks right. So it is for somebody to decide, and to know what is lost: `verify` names that, and
`repair` commits a snapshot without the file and moves it to `_tmp/damaged-*`; nothing is deleted.
Rows of derived tables are derived again from their spans; a trajectory whose spans are lost keeps
what was derived of them.

A damaged snapshot is followed by the one before it, to which everything is added that was sealed
since: the files are there, and what is stored already is known by its keys.
"""
# ruff: noqa: S608 - what is put into this SQL are names of our own tables

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from otel_traj import wal
from otel_traj.errors import StoreDamagedError
from otel_traj.model import Annotation, Record
from otel_traj.store import check, locks, reassembly, rewrite, rows, sealing, snapshot, views
from otel_traj.store.check import files
from otel_traj.store.check.problem import Progress
from otel_traj.store.files import write
from otel_traj.store.rewrite import Change
from otel_traj.store.schema import SUPERSEDED
from otel_traj.store.snapshot import Snapshot

_DERIVABLE: Final = (*views.REVISED, SUPERSEDED.name, "annotations")
"""Tables whose rows, or some of them, can come again from spans and logs."""

_RECEIVED: Final = ("spans", "logs")
_PARTS: Final = ("steps", "trajectory_spans", "file_changes")
_PART: Final = 20_000
"""Records that one commit takes; bounds memory."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did.

    Attributes:
        set_aside: Damaged file -> where it is now, relative to the store.
        rebuilt: How many trajectories were derived again.
        failed_traces: Traces that could not be derived.
        recovered: Rows that only a damaged snapshot named, and that are stored again.
    """

    set_aside: dict[str, str]
    rebuilt: int = 0
    failed_traces: tuple[str, ...] = ()
    recovered: int = 0


def repair(store: Path, *, on_progress: Progress, wait_s: float) -> RepairReport:
    """Set damaged files aside and derive again what can be; see `TrajectoryStore.repair`.

    Args:
        store: The store's folder.
        on_progress: Is told how far it is.
        wait_s: How long to wait for somebody else who is rewriting or sealing the store.

    Raises:
        StoreError: Somebody else was at it for all of `wait_s`; nothing is changed then.
        OSError: The store cannot be written.
    """
    wal.check_format(store, "min_writer")
    with locks.held(store, "upkeep", wait_s):
        report = _restore_snapshot(store, wait_s)
        damage = files.examine(store, snapshot.newest(store), on_progress).damage
        if not damage:
            return report
        days = {one.file.date for one in damage if one.table in _DERIVABLE}
        with locks.held(store, "commit", wait_s):
            current = snapshot.newest(store)
            change = _isolation(store, current, damage, days)
            rewrite.publish(store, change, op="repair")
        moved = {one.file.path: aside for one in damage if (aside := _set_aside(store, one))}
        traces = _to_derive(store, days)
        derived = reassembly.reassemble_traces(store, traces, wait_s=wait_s)
        with locks.held(store, "commit", wait_s):
            _say_what_is_lost(store, {one.file.date for one in damage if one.table in _RECEIVED})
        return replace(
            report,
            set_aside=report.set_aside | moved,
            rebuilt=derived.n_rebuilt,
            failed_traces=derived.failed_traces,
        )


# --- damaged files -------------------------------------------------------------------------------


def _isolation(
    store: Path, current: Snapshot, damage: Collection[files.Damage], days: Collection[str]
) -> Change:
    """The snapshot without damaged files, and without rows that they leave alone."""
    drop = {
        table: tuple(one.file for one in damage if one.table == table)
        for table in {one.table for one in damage}
    }
    rest = check.without(current, snapshot.paths(drop))
    with views.connect_for_rewriting(store, rest) as connection:
        dead = _left_alone(connection, days)
    added = tuple(write(store, SUPERSEDED.name, day, own) for day, own in sorted(dead.items()))
    return Change(drop, {SUPERSEDED.name: added})


def _left_alone(
    connection: duckdb.DuckDBPyConnection, days: Collection[str]
) -> dict[str, pa.Table]:
    """Revisions that were dead, or have lost their header: day -> rows of `superseded`."""
    parts = " union ".join(f'select trajectory_id, rev, "date" from live.{p}' for p in _PARTS)
    found = connection.execute(
        "with traces as ("
        ' select trajectory_id, rev, "date", unnest(trace_ids) as trace_id from live.trajectories'
        "), newest as (select trace_id, max(rev) as rev from traces group by trace_id),"
        ' dead as (select trajectory_id, rev, "date" from traces t'
        "  semi join newest n on n.trace_id = t.trace_id and n.rev > t.rev"
        f"  union from ({parts}) anti join live.trajectories using (trajectory_id, rev))"
        ' select distinct "date", trajectory_id, rev from dead'
        ' where list_contains($days, "date") order by all',
        {"days": list(days)},
    ).fetchall()
    by_day: dict[str, list[dict[str, Any]]] = {}
    for day, trajectory_id, rev in found:
        by_day.setdefault(day, []).append({"trajectory_id": trajectory_id, "rev": rev})
    return {day: rows.table(SUPERSEDED.name, own) for day, own in by_day.items()}


def _set_aside(store: Path, damage: files.Damage) -> str | None:
    """Where a damaged file is now; None where there was none."""
    file = damage.file
    name = f"damaged-{damage.table}-{file.date}-{Path(file.path).name}"
    aside = store / "_tmp" / name
    try:
        (store / file.path).rename(aside)
    except FileNotFoundError:
        return None
    wal.sync_folder(aside.parent)
    return aside.relative_to(store).as_posix()


def _to_derive(store: Path, days: Collection[str]) -> set[str]:
    """Traces whose derived rows, of some days, may be missing and can come from stored spans."""
    current = snapshot.newest(store)
    with views.connect_for_rewriting(store, current) as connection:
        told = connection.execute(
            "with wanted as ("
            ' select unnest(trace_ids) as trace_id from live.trajectories where "date" in $days'
            " union"
            ' select trace_id from stored.spans where "date" in $days'
            ") select distinct trace_id from wanted semi join stored.spans using (trace_id)",
            {"days": tuple(days)},
        ).fetchall()
        lost = connection.execute(
            "select distinct unnest(trace_ids) from live.trajectories semi join ("
            " select trajectory_id, rev from live.trajectory_spans"
            " anti join stored.spans using (trace_id, span_id)"
            ") using (trajectory_id, rev)"
        ).fetchall()
        wanted = {row[0] for row in told}
        keep = {row[0] for row in lost}
        members = connection.execute("select trace_ids from live.trajectories").fetchall()
    joined = [set(row[0]) for row in members if len(row[0]) > 1]
    wanted = _closed(wanted, joined)
    return wanted - _closed(keep, joined)


def _say_what_is_lost(store: Path, days: Collection[str]) -> None:
    """Annotate trajectories whose rows tell more than what is stored of some days' spans and logs.

    So that everybody knows, and `verify` does not tell it for ever.
    """
    current = snapshot.newest(store)
    with check.connected(store, current) as connection, sealing.reading(store, current) as stored:
        lost = check.unrepeatable(connection, stored, current, days)
        dates = stored.dates_of_trajectories(lost)
    now = datetime.now(UTC)
    by_day: dict[str, list[Annotation]] = {}
    for trajectory_id in lost:
        by_day.setdefault(dates[trajectory_id], []).append(
            Annotation(
                annotation_id=wal.ulid(),
                target="trajectory",
                trajectory_id=trajectory_id,
                trace_id=None,
                span_id=None,
                tool_call_id=None,
                name=check.DAMAGE,
                kind="comment",
                value_num=None,
                value_text="spans or logs of it were lost with a damaged file",
                value_json=None,
                source="otel-traj",
                annotator=None,
                created=now,
            )
        )
    told = tuple(
        write(store, "annotations", day, rows.annotations_table(own))
        for day, own in sorted(by_day.items())
    )
    if told:
        rewrite.publish(store, Change({}, {"annotations": told}), op="repair")


def _closed(trace_ids: set[str], joined: Collection[set[str]]) -> set[str]:
    """The traces and all that a trajectory joins with them."""
    while more := set().union(*(own for own in joined if own & trace_ids)) - trace_ids:
        trace_ids = trace_ids | more
    return trace_ids


# --- a damaged snapshot --------------------------------------------------------------------------


def _restore_snapshot(store: Path, wait_s: float) -> RepairReport:
    """Where the newest snapshot cannot be read: the one before, and what was sealed since.

    Damaged ones go when all is stored again; until then a death in between is known by them.
    """
    with locks.held(store, "commit", wait_s):
        readable, damaged = _snapshots(store)
        if not damaged:
            return RepairReport({})
        top = max([*readable, *damaged])
        before = _followed_by_repair(readable, damaged)
        if top in damaged:
            before = readable.get(max(readable, default=0), Snapshot())
            snapshot.commit(store, replace(before, n=top + 1, ts=time.time(), op="repair"))
        recovered = 0
        if before is not None:
            recovered = -_n_rows(snapshot.newest(store))
            _store_again(store, _since(store, before), wait_s)
            recovered += _n_rows(snapshot.newest(store))
        moved = {}
        for n in damaged:
            path = snapshot.path_of(store, n)
            aside = store / "_tmp" / f"damaged-snapshot-{path.name}"
            path.rename(aside)
            moved[path.relative_to(store).as_posix()] = aside.relative_to(store).as_posix()
        wal.sync_folder(store / "_snap")
        return RepairReport(moved, recovered=recovered)


def _snapshots(store: Path) -> tuple[dict[int, Snapshot], list[int]]:
    """Those that can be read, by number, and the numbers of those that cannot."""
    readable: dict[int, Snapshot] = {}
    damaged = []
    for n in snapshot.numbers(store):
        try:
            readable[n] = snapshot.read(store, n)
        except StoreDamagedError:
            damaged.append(n)
    return readable, damaged


def _followed_by_repair(readable: dict[int, Snapshot], damaged: Collection[int]) -> Snapshot | None:
    """What came before a damaged snapshot that a repair followed which was not finished."""
    begun = [n for n in damaged if n + 1 in readable and readable[n + 1].op == "repair"]
    if not begun:
        return None
    earlier = [n for n in readable if n < begun[-1]]
    return readable[max(earlier)] if earlier else Snapshot()


def _n_rows(current: Snapshot) -> int:
    return sum(file.rows for table in _RAW for file in current.live(table))


_RAW: Final = ("spans", "logs", "annotations")


def _since(store: Path, base: Snapshot) -> Iterator[Record]:
    """The records in files that a snapshot does not name and that were written after it.

    What the lost snapshot had from older files, it had by merging rows that `base` names.
    """
    named = snapshot.paths(base.files)
    for table in _RAW:
        for path in sorted((store / table).glob("date=*/*.parquet")):
            is_newer = wal.ulid_s(path.name) >= base.ts - _CLOCK_S
            if is_newer and path.relative_to(store).as_posix() not in named:
                yield from _records(table, path)


_CLOCK_S: Final = 1.0
"""How much the clock of a file's name may be behind that of a snapshot."""


def _records(table: str, path: Path) -> Iterator[Record]:
    """The records of a file; none when it is damaged, as nobody knows what it was."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(rewrite.BATCH_ROWS):
                content = pa.Table.from_batches([batch])
                if table == "spans":
                    yield from rows.span_records(content)
                elif table == "logs":
                    yield from rows.log_records(content)
                else:
                    yield from (Annotation(**row) for row in content.to_pylist())
    except (OSError, pa.ArrowException):
        return


def _store_again(store: Path, records: Iterator[Record], wait_s: float) -> None:
    writer = f"repair-{wal.ulid()}"
    part = list(islice(records, _PART))
    while part:
        following = list(islice(records, _PART))
        sealing.seal_records(store, part, writer=writer, is_last=not following, wait_s=wait_s)
        part = following
