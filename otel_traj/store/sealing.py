"""Seals a store: what is in the log becomes rows in Parquet files, and one snapshot publishes them.

Whoever gets the lock is the sealer: a process that a recording one started, a command before it
reads, a receiver. It may die at any point; nothing is acknowledged by it, nothing half-done seen:

    before the snapshot    files that no snapshot names; the log is read again, the same rows follow
    after the snapshot     a log segment that is covered already; it is removed next time

`python -m otel_traj.store.seal DIR` seals once. `tests/store/test_crashes.py` kills it at random.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from otel_traj import wal
from otel_traj.errors import ConfigurationError
from otel_traj.model import Record
from otel_traj.store import derive, files, intake, locks, prices, snapshot, views
from otel_traj.store.derive import Batch
from otel_traj.store.intake import Intake
from otel_traj.store.prices import Price
from otel_traj.store.snapshot import DataFile, Snapshot, SnapshotConflictError
from otel_traj.store.stored import Stored
from otel_traj.store.traces import LiveTrace
from otel_traj.store.workers import PIECE_BYTES, Workers, growing

_log = logging.getLogger("otel_traj.store")

ATTEMPTS: Final = 5
"""How often a seal starts over after a conflict, which a working lock rules out."""


@dataclass(frozen=True, slots=True)
class SealReport:
    """What a seal did.

    Attributes:
        snapshot: Number of the newest snapshot after it.
        spans, logs, annotations: New rows.
        duplicates: Records that were stored already, or came twice.
        conflicts: Those of them that are spans and told another thing than the one that counts.
        late: Spans that came after their trajectory was closed.
        trajectories: Ids of the trajectories that were derived, again or for the first time.
        failed_traces: Traces whose spans are stored but could not be derived.
        rejected: Frames and lines of the log that were no records; kept in `_tmp/quarantine-*`.
        is_busy: Somebody else holds the lock; nothing was done.
    """

    snapshot: int
    spans: int = 0
    logs: int = 0
    annotations: int = 0
    duplicates: int = 0
    conflicts: int = 0
    late: int = 0
    trajectories: frozenset[str] = frozenset()
    failed_traces: frozenset[str] = frozenset()
    rejected: int = 0
    is_busy: bool = False

    def and_then(self, later: SealReport) -> SealReport:
        """The report of two seals."""
        return SealReport(
            snapshot=later.snapshot,
            spans=self.spans + later.spans,
            logs=self.logs + later.logs,
            annotations=self.annotations + later.annotations,
            duplicates=self.duplicates + later.duplicates,
            conflicts=self.conflicts + later.conflicts,
            late=self.late + later.late,
            trajectories=self.trajectories | later.trajectories,
            failed_traces=self.failed_traces | later.failed_traces,
            rejected=self.rejected + later.rejected,
        )

    @classmethod
    def of(cls, number: int, batch: Batch, read: Intake) -> SealReport:
        """The report of one batch, committed as snapshot `number`."""
        return cls(
            snapshot=number,
            spans=batch.n_spans,
            logs=batch.n_logs,
            annotations=batch.n_annotations,
            duplicates=batch.n_duplicates,
            conflicts=batch.n_conflicts,
            late=batch.n_late,
            trajectories=frozenset(batch.trajectory_ids),
            failed_traces=frozenset(batch.failed_traces),
            rejected=read.rejected,
        )


def seal(
    store: Path, *, is_final: bool = False, wait_s: float = 0.0, workers: Workers | None = None
) -> SealReport:
    """Bring everything that the log holds into tables.

    Args:
        store: The store's folder.
        is_final: Nothing more comes for traces without a running span: the end of an import.
        wait_s: How long to wait for another sealer to finish.
        workers: Who derives beside this process and lives on afterwards; None is some for this
            seal alone.

    Raises:
        StoreError: The store is damaged or of a newer version.
        OSError: It cannot be written.
    """
    wal.check_format(store, "min_writer")
    with locks.attempt(store, "commit", wait_s) as is_held:
        if not is_held:
            return SealReport(snapshot.newest(store).n, is_busy=True)
        price = prices.OfStore(store)
        report = SealReport(snapshot.newest(store).n)
        is_all = False
        with contextlib.nullcontext(workers) if workers is not None else Workers() as hired:
            while not is_all:
                with growing():
                    done, is_all = _seal_once(store, price, hired, is_final=is_final)
                report = report.and_then(done)
        return report


def seal_records(
    store: Path, records: Iterable[Record], *, writer: str, is_last: bool, wait_s: float
) -> SealReport:
    """Bring a part of an import into tables without the log; durable on return.

    Args:
        store: The store's folder.
        records: A part that fits in memory.
        writer: Name of the import; a trace of it may go on in the next part.
        is_last: There is no next part: its traces are over, unless a span of them is running.
        wait_s: How long to wait for another sealer to finish.

    Raises:
        InputError: One of them is no record; none is stored then.
        StoreError: Another sealer did not finish in time; none is stored then.
    """
    wal.check_format(store, "min_writer")
    given = intake.of_records(records, writer)
    given.alive = intake.living_writers(store) | (set() if is_last else {writer})
    with held(store, wait_s):
        current = snapshot.newest(store)
        given.offsets = dict(current.wal)
        batch = _derive(store, current, given, prices.OfStore(store), is_final=False)
        if _changes(current, batch, given):
            current = _commit(store, current, batch, given)
        return SealReport.of(current.n, batch, given)


def is_covered(store: Path, lengths: dict[str, int], current: Snapshot) -> bool:
    """Whether a snapshot holds what segments held when they had these lengths.

    A segment that is gone was covered when it was removed.
    """
    there = {path.name for path in wal.segments(store)}
    return all(
        current.wal.get(name, 0) >= length for name, length in lengths.items() if name in there
    )


def lengths(store: Path) -> dict[str, int]:
    """Segment -> how long it is now."""
    found = {}
    for path in wal.segments(store):
        with contextlib.suppress(FileNotFoundError):  # sealed and removed since it was listed
            found[path.name] = path.stat().st_size
    return found


def unread_bytes(store: Path, current: Snapshot) -> int:
    """How much of the log a snapshot does not cover."""
    return sum(max(0, n - current.wal.get(name, 0)) for name, n in lengths(store).items())


def unsealed(store: Path) -> tuple[Snapshot, Intake, Batch]:
    """The newest snapshot, what the log holds beyond it, and what a seal would make of that.

    Writes nothing and takes no lock. Another process may seal meanwhile and remove what is being
    read; then it starts over with that one's snapshot.
    """
    while True:
        current = snapshot.newest(store)
        read = intake.read_log(store, current.wal, keep_damage=False)
        if snapshot.newest(store).n == current.n:
            price = prices.OfStore(store)
            return current, read, _derive(store, current, read, price, is_final=False)


def with_tail(store: Path) -> tuple[Snapshot, views.Tail]:
    """The newest snapshot and, in memory, the rows that a seal would add to it."""
    current, _, batch = unsealed(store)
    tail: dict[str, list[pa.Table]] = defaultdict(list)
    for table, date, _, parts in batch.files():
        for rows in parts:
            dates = pa.array([date] * rows.num_rows, pa.string())
            tail[table].append(rows.append_column("date", dates))
    return current, {table: pa.concat_tables(parts) for table, parts in tail.items()}


def held(store: Path, wait_s: float) -> contextlib.AbstractContextManager[None]:
    """Be the only one that commits.

    Raises:
        StoreError: Somebody else was it for all of `wait_s`.
    """
    return locks.held(store, "commit", wait_s)


@contextlib.contextmanager
def alone(store: Path, wait_s: float) -> Iterator[None]:
    """Be the only one that rewrites or commits, and begin with nothing left in the log.

    Raises:
        StoreVersionError: The store is of a newer version.
        StoreError: Somebody else was at it for all of `wait_s`.
        OSError: The store cannot be written.
    """
    wal.check_format(store, "min_writer")
    with locks.held(store, "upkeep", wait_s), held(store, wait_s):
        seal(store)
        yield


def _seal_once(
    store: Path, price: Price, workers: Workers, *, is_final: bool
) -> tuple[SealReport, bool]:
    """Seal one batch of the log; what was done, and whether nothing is left."""
    for _ in range(ATTEMPTS):
        current = snapshot.newest(store)
        workers.hire(
            unread_bytes(store, current) // PIECE_BYTES
        )  # they start while the log is read
        read = intake.read_log(store, current.wal)
        batch = _derive(store, current, read, price, workers, is_final=is_final and read.is_all)
        if not _changes(current, batch, read):
            write_views(store, current, only_if_stale=True)
            _remove(store, read.covered)
            return SealReport.of(current.n, batch, read), read.is_all
        try:
            following = _commit(store, current, batch, read)
        except SnapshotConflictError:
            continue
        _remove(store, read.covered)
        return SealReport.of(following.n, batch, read), read.is_all
    raise SnapshotConflictError(
        f"Other processes keep committing to {str(store)!r} although this one holds its lock;"
        " is it on a network file system without locks?"
    )


def _derive(
    store: Path,
    current: Snapshot,
    given: Intake,
    price: Price,
    workers: Workers | None = None,
    *,
    is_final: bool,
) -> Batch:
    with reading(store, current) as stored:
        return derive.derive(
            stored,
            open_traces(current),
            given,
            n=current.n + 1,
            now=time.time(),
            is_final=is_final,
            price=price,
            workers=workers,
        )


@contextlib.contextmanager
def reading(store: Path, current: Snapshot) -> Iterator[Stored]:
    """Look-ups in a snapshot.

    Raises:
        StoreDamagedError: A file that it names cannot be read.
    """
    with views.reading_files(store), Stored(store, current) as stored:
        yield stored


def open_traces(current: Snapshot) -> dict[str, LiveTrace]:
    """The traces of a snapshot that still run."""
    return {
        trace_id: LiveTrace.from_json(trace_id, content)
        for trace_id, content in current.open.items()
    }


def _changes(current: Snapshot, batch: Batch, read: Intake) -> bool:
    """Whether the batch is worth a snapshot: rows, open traces, log that need not be read again."""
    return (
        batch.has_rows
        or bool(read.starts or read.closes)
        or batch.open.keys() != current.open.keys()
        or any(read.offsets[name] > current.wal.get(name, 0) for name in read.offsets)
    )


def _commit(store: Path, current: Snapshot, batch: Batch, read: Intake) -> Snapshot:
    new_files = write_batch(store, batch)
    still_open = {trace_id: trace.to_json() for trace_id, trace in batch.open.items()}
    following = current.following(new_files, read.offsets, still_open)
    try:
        snapshot.commit(store, following)
    except BaseException:
        files.discard(store, new_files)
        raise
    write_views(store, following)
    return following


def write_batch(store: Path, batch: Batch) -> dict[str, tuple[DataFile, ...]]:
    """The files of a batch by table; durable, visible to nobody yet."""
    written: dict[str, tuple[DataFile, ...]] = {}
    try:
        for table, date, n_rows, parts in batch.files():
            file = files.write_parts(store, table, date, parts, n_rows=n_rows)
            written[table] = (*written.get(table, ()), file)
    except BaseException:
        files.discard(store, written)
        raise
    return written


def write_views(store: Path, current: Snapshot, *, only_if_stale: bool = False) -> None:
    """Keep `views.sql` at the newest snapshot; that it cannot be written must not stop a seal."""
    try:
        if not only_if_stale or not views.is_current(store, current):
            views.write_script(store, current)
    except (ConfigurationError, OSError) as error:
        _log.warning("views.sql is not rewritten: %s", error)


def _remove(store: Path, segments: Collection[Path]) -> None:
    """Let segments go; a sealer that died may not have synced the snapshot that covers them."""
    if segments and (store / "_snap").exists():
        wal.sync_folder(store / "_snap")
    for path in segments:
        path.unlink(missing_ok=True)
