"""Compaction: fewer files, the same rows, whoever writes, reads or dies meanwhile."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from otel_traj import wal
from otel_traj.errors import StoreDamagedError
from otel_traj.store import TrajectoryStore, collection, compaction, locks, snapshot
from otel_traj.store.snapshot import SnapshotConflictError
from tests.store.runs import close, root, run, started, tool

VIEWS = ("trajectories", "steps", "spans", "logs", "trajectory_spans", "file_changes")


def rows_of(store: TrajectoryStore) -> dict[str, list[Any]]:
    return {view: store.sql(f"from {view} order by all").fetchall() for view in VIEWS}


def files_of(store: TrajectoryStore, table: str) -> list[tuple[int, int]]:
    """Rows and level of each live file."""
    return [(file.rows, file.level) for file in snapshot.newest(store.path).live(table)]


@pytest.fixture
def scattered(store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch) -> TrajectoryStore:
    """Seven commits, two of them with late spans, and nothing merged yet."""
    for number in range(5):
        store.append(run(number))
    store.append([tool(1, 4), tool(2, 4)])
    store.append([tool(1, 5)])
    monkeypatch.setattr(compaction, "FAN_IN", 4)
    return store


def test_many_small_files_become_one_with_the_same_rows(scattered: TrajectoryStore) -> None:
    before = rows_of(scattered)

    report = scattered.compact()

    assert rows_of(scattered) == before
    assert files_of(scattered, "spans") == [(23, 1)]
    assert files_of(scattered, "trajectories") == [(5, 1)]
    assert (report.days, report.files_after) == (("2026-11-18",), 4)
    assert report.files_before > 20
    assert scattered.verify() == []


def test_dead_revisions_go_and_are_forgotten(scattered: TrajectoryStore) -> None:
    assert sum(rows for rows, _ in files_of(scattered, "superseded")) == 3

    scattered.compact()

    assert files_of(scattered, "superseded") == []
    [(n,)] = scattered.connection().sql("select count(*) from stored.trajectories").fetchall()
    assert n == 5


def test_a_pair_is_kept_while_its_dead_row_is_in_a_file_that_is_not_merged(
    scattered: TrajectoryStore,
) -> None:
    scattered.compact()
    for number in range(10, 13):
        scattered.append(run(number))
    scattered.append([tool(3, 4)])
    before = rows_of(scattered)

    scattered.compact()  # the four new files; the dead revision is in the merged one

    assert files_of(scattered, "trajectories") == [(5, 1), (4, 1)]
    assert files_of(scattered, "superseded") == [(1, 1)]
    assert rows_of(scattered) == before
    assert scattered.verify() == []
    scattered.compact(full=True)
    assert files_of(scattered, "superseded") == []
    assert rows_of(scattered) == before


def test_rows_stand_in_the_order_of_their_table(scattered: TrajectoryStore) -> None:
    scattered.append(run(7)[::-1])

    scattered.compact(full=True)

    check_order(scattered)
    [file] = snapshot.newest(scattered.path).live("spans")
    assert (file.t0, file.t1) == tuple(
        scattered.sql(
            "select epoch_us(min(start_time)), epoch_us(max(start_time)) from spans"
        ).fetchall()[0]
    )


def check_order(store: TrajectoryStore) -> None:
    """Spans and steps stand as their tables say: run by run, in the order in which these began."""
    spans = stored(store, "spans", "trace_id", "start_ns", "span_id")
    began = {trace_id: min(s[1] for s in spans if s[0] == trace_id) for trace_id, *_ in spans}
    assert spans == sorted(spans, key=lambda span: (began[span[0]], *span))
    starts = dict(store.sql("select trajectory_id, start_time from trajectories").fetchall())
    steps = stored(store, "steps", "trajectory_id", "step")
    assert len(steps) > 10
    assert steps == sorted(steps, key=lambda step: (starts[step[0]], *step))


def stored(store: TrajectoryStore, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """The rows of the one file of a table, as they stand there."""
    [file] = snapshot.newest(store.path).live(table)
    content = pq.read_table(store.path / file.path, columns=list(columns))
    return list(zip(*(content[column].to_pylist() for column in columns), strict=True))


@pytest.mark.parametrize("length", [1, 5])
def test_a_day_too_long_to_be_sorted_at_once_comes_out_the_same(
    scattered: TrajectoryStore, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    before = rows_of(scattered)
    monkeypatch.setattr(compaction, "_FIRST_ROWS", length)
    monkeypatch.setattr(compaction, "SORTED_BYTES", 1)

    report = scattered.compact(full=True)

    assert report.files_before > report.files_after
    assert rows_of(scattered) == before
    check_order(scattered)
    assert scattered.verify() == []


def test_merging_rewrites_a_row_once_a_level(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FAN_IN", 3)

    for number in range(9):
        store.append(run(number))

    assert files_of(store, "trajectories") == [(9, 2)]


def test_a_store_that_is_added_to_keeps_few_files_by_itself(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FAN_IN", 4)

    with_log = wal.WalWriter(store.path)
    for number in range(24):
        with_log.append(wal.encode([*run(number), close(number)]))
        assert store.sql("select count(*) from trajectories").fetchall() == [(number + 1,)]

    live = snapshot.newest(store.path).files
    assert max(len(files) for files in live.values()) <= 2 * 3  # fewer than four a level
    assert store.verify() == []


def test_files_end_at_a_size(scattered: TrajectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FILE_BYTES", 1)
    monkeypatch.setattr("otel_traj.store.files.GROUP_BYTES", 1)
    monkeypatch.setattr("otel_traj.store.rewrite.BATCH_ROWS", 8)
    before = rows_of(scattered)

    compaction.compact(scattered.path, scope="all")

    assert files_of(scattered, "spans") == [(8, 1), (8, 1), (7, 1)]
    assert rows_of(scattered) == before


def test_a_day_that_is_over_is_merged_whole(
    scattered: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FAN_IN", 1_000)
    assert scattered.compact().days == ()

    monkeypatch.setattr(compaction, "QUIET_S", 0.0)

    assert scattered.compact().days == ("2026-11-18",)
    assert scattered.compact().days == ()  # and not again


def test_rows_sealed_during_a_merge_stay(
    scattered: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = compaction._merge

    def merge_slowly(*arguments: object) -> object:
        change = merge(*arguments)  # type: ignore[arg-type]
        scattered.append([tool(4, 4)])  # a new revision of a row that was just merged
        return change

    monkeypatch.setattr(compaction, "_merge", merge_slowly)
    monkeypatch.setattr(compaction, "keep_up", lambda store: None)

    scattered.compact(full=True)

    assert scattered.sql("select count(*) from spans").fetchall() == [(24,)]
    assert scattered.verify() == []


def test_a_merge_of_files_that_went_is_void(
    scattered: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise SnapshotConflictError("gone")

    before = snapshot.newest(scattered.path)
    monkeypatch.setattr("otel_traj.store.rewrite.publish", gone)

    report = scattered.compact(full=True)

    assert report.days == ()
    assert snapshot.newest(scattered.path) == before
    assert [p.severity for p in scattered.verify()] == []  # nothing left over


def test_only_one_rewrites_at_a_time(scattered: TrajectoryStore) -> None:
    import threading

    seen = []
    with locks.held(scattered.path, "upkeep", 0.0):
        thread = threading.Thread(
            target=lambda: seen.append(compaction.compact(scattered.path, wait_s=0.0))
        )
        thread.start()
        thread.join()

    assert [report.is_busy for report in seen] == [True]


def test_a_damaged_file_stops_the_merge_and_nothing_changes(scattered: TrajectoryStore) -> None:
    file = snapshot.newest(scattered.path).live("spans")[0]
    path = scattered.path / file.path
    path.write_bytes(path.read_bytes()[:-20])
    before = snapshot.newest(scattered.path).files

    with pytest.raises(StoreDamagedError, match="otel-traj verify"):
        compaction.compact(scattered.path, scope="all")

    assert snapshot.newest(scattered.path).files == before


# --- collection --------------------------------------------------------------------------------


def parquet(store: TrajectoryStore) -> set[str]:
    return {p.relative_to(store.path).as_posix() for p in store.path.glob("*/date=*/*.parquet")}


def test_what_was_replaced_stays_for_an_hour(scattered: TrajectoryStore) -> None:
    old = snapshot.newest(scattered.path)

    scattered.compact(full=True)

    assert snapshot.paths(old.files) <= parquet(scattered)
    assert snapshot.read(scattered.path, old.n) == old


def test_what_is_old_and_unnamed_goes(scattered: TrajectoryStore) -> None:
    scattered.compact(full=True)
    leftover = scattered.path / "spans/date=2026-11-18/LEFTOVER.parquet"
    leftover.write_bytes(b"killed")
    draft = scattered.path / "_tmp" / "draft.json"
    draft.write_bytes(b"killed")
    evidence = scattered.path / "_tmp" / "quarantine-x-0"
    evidence.write_bytes(b"for a person to look at")
    long_ago = time.time() - 2 * collection.GRACE_S
    for path in [*scattered.path.rglob("*.parquet"), *scattered.path.glob("_*/*")]:
        os.utime(path, (long_ago, long_ago))
    before = rows_of(scattered)

    report = collection.collect(scattered.path)

    assert report.snapshots > 0
    # The last three snapshots stay readable, whatever their age.
    kept = [snapshot.read(scattered.path, n) for n in snapshot.numbers(scattered.path)]
    assert len(kept) == 3
    assert parquet(scattered) == set().union(*(snapshot.paths(s.files) for s in kept))
    assert not draft.exists()
    assert evidence.exists()
    assert rows_of(scattered) == before


def test_without_grace_only_the_newest_snapshot_stays(scattered: TrajectoryStore) -> None:
    scattered.compact(full=True)

    collection.collect(scattered.path, grace_s=0.0)

    current = snapshot.newest(scattered.path)
    assert snapshot.numbers(scattered.path) == [current.n]
    assert parquet(scattered) == snapshot.paths(current.files)
    assert scattered.verify() == []


def test_what_somebody_iterates_over_is_not_collected(
    scattered: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_traj.store._PAGE", 1)
    monkeypatch.setattr(collection, "_LAST", 1)
    reading = scattered.trajectories()
    first = next(reading)

    scattered.compact(full=True)
    collection.collect(scattered.path, grace_s=1e-9)

    assert len({first.trajectory_id, *(t.trajectory_id for t in reading)}) == 5
    assert collection.leased(scattered.path) == set()


@pytest.mark.slow
def test_the_lease_of_a_killed_reader_ends(scattered: TrajectoryStore) -> None:
    reader = """
import sys, time
from pathlib import Path
from typing import Any
from otel_traj.store import collection
lease = collection.Lease(Path(sys.argv[1]), 3)
print("reading", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", reader, str(scattered.path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert collection.leased(scattered.path) == {3}
        process.kill()

    assert collection.leased(scattered.path) == set()


def test_started_runs_are_kept_through_a_merge(scattered: TrajectoryStore) -> None:
    writer = wal.WalWriter(scattered.path)
    writer.append(wal.encode([started(root(9))]))
    assert scattered.sql("select count(*) from trajectories where status = 'open'").fetchall() == [
        (1,)
    ]

    scattered.compact(full=True)

    assert Path(scattered.path, "views.sql").exists()
    writer.append(wal.encode([*run(9), close(9)]))
    assert scattered.sql("select count(*) from trajectories").fetchall() == [(6,)]
