"""The same Parquet files as Delta tables, for engines that know nothing of our snapshots.

A Delta table is a folder with a log of which of its files count. `publish` writes that log beside
our files, `<table>/_delta_log`, and copies nothing; Spark, Polars, DataFusion, ClickHouse, Trino
and others read it as it is. The kept library deltalake writes it (`docs/decisions/`).

A snapshot is one commit for all tables, Delta has one log per table: the raw tables are published
first and `trajectories` last, so that what a header speaks of is there. Readers of Delta know
nothing of dead revisions, so files that have some are rewritten without them before. A death at any
point leaves tables of two snapshots, each of them whole; the next `publish` compares every log with
the snapshot and commits what differs. What the logs name is kept for their readers
(`otel_traj.store.published`).
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from otel_traj import wal
from otel_traj.errors import MissingExtraError, StoreError
from otel_traj.store import files, locks, published, rewrite, snapshot, views
from otel_traj.store.schema import SUPERSEDED, TABLES
from otel_traj.store.snapshot import DataFile, Snapshot

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

_log = logging.getLogger("otel_traj.store")

ORDER: Final = (
    "spans",
    "logs",
    "file_changes",
    "trajectory_spans",
    "steps",
    "annotations",
    "trajectories",
)
"""The tables that are published, in the order in which they are."""

_APPLICATION: Final = "otel-traj"
_PARTITION: Final = "date"

_SETTINGS: Final = {
    "delta.dataSkippingNumIndexedCols": "0",  # what else may write shall log no ids and no text
    "delta.logRetentionDuration": "interval 30 days",
    "delta.checkpointInterval": "100",
}


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What a publication did.

    Attributes:
        snapshot: Number of the snapshot that the tables show.
        versions: Table -> version of its Delta log.
        added: Files that the logs name now and did not before.
        removed: Files that they named before.
    """

    snapshot: int
    versions: Mapping[str, int] = field(default_factory=dict)
    added: int = 0
    removed: int = 0


def publish(store: Path, *, wait_s: float = 60.0) -> PublishReport:
    """Bring the Delta tables of a store to its newest snapshot; make them where there are none.

    Args:
        store: The store's folder.
        wait_s: How long to wait for somebody else who is rewriting the store.

    Raises:
        MissingExtraError: The package deltalake is not installed.
        StoreError: Somebody else is at it, or a table was made one that we cannot write.
        OSError: The store cannot be written.
    """
    require()
    wal.check_format(store, "min_writer")
    with locks.held(store, "upkeep", wait_s):
        current = _without_dead_revisions(store, wait_s)
        live = {file.path for table in ORDER for file in current.live(table)}
        published.record(store, current.n, live | published.paths(store))
        report = PublishReport(current.n)
        for table in ORDER:
            report = _publish_table(store, current, table, report)
        published.record(store, current.n, live)
        return report


def refresh(store: Path) -> PublishReport | None:
    """Bring the Delta tables to the newest snapshot, if the store has any.

    Returns:
        None where nothing was published, or the package to do it is missing, which is said once.
    """
    if not published.is_published(store):
        return None
    try:
        return publish(store)
    except MissingExtraError as error:
        _log.warning("The Delta tables of %s stay behind: %s", store, error)
        return None


def require() -> None:
    """See that the library is there.

    Raises:
        MissingExtraError: It is not, or too old.
    """
    try:
        importlib.import_module("deltalake.transaction").RemoveAction  # noqa: B018 - since 1.6.6
    except (ImportError, AttributeError) as error:
        raise MissingExtraError("otel-traj publish", "deltalake 1.6.6 or later", "delta") from error


def _without_dead_revisions(store: Path, wait_s: float) -> Snapshot:
    """The newest snapshot, once every stored row lives; the caller holds the lock `upkeep`.

    Most of the work is done while sealers seal. A run that goes on is derived at every seal, so
    what has died meanwhile is left out while they wait.
    """
    _leave_dead_out(store, wait_s)
    with locks.held(store, "commit", wait_s):
        return _leave_dead_out(store, wait_s)


def _leave_dead_out(store: Path, wait_s: float) -> Snapshot:
    current = snapshot.newest(store)
    if not current.live(SUPERSEDED.name):
        return current
    dead = "(trajectory_id, rev) in (select (trajectory_id, rev) from stored.superseded)"
    doomed = {**dict.fromkeys(views.REVISED, dead), SUPERSEDED.name: "true"}
    change = rewrite.without(store, current, doomed)
    try:
        with locks.held(store, "commit", wait_s):
            return rewrite.publish(store, change, op="compact")
    except BaseException:
        rewrite.discard(store, change.add)
        raise


# --- one table ---------------------------------------------------------------------------------


def _publish_table(
    store: Path, current: Snapshot, table: str, report: PublishReport
) -> PublishReport:
    from deltalake.exceptions import DeltaError
    from deltalake.transaction import CommitProperties, Transaction

    folder = store / table
    live = {file.path.removeprefix(f"{table}/"): file for file in current.live(table)}
    try:
        log = _opened(store, table)
        first = log.version()
        _add_columns(log, table)
        named = {path: (size, day) for path, size, day in _named(log)}
        adds = [_add(store, table, file) for path, file in live.items() if path not in named]
        removes = [_remove(path, *known) for path, known in named.items() if path not in live]
        if adds or removes:
            log.create_write_transaction(
                [*adds, *removes],
                "append",
                _schema(table),
                partition_by=[_PARTITION],
                commit_properties=CommitProperties(
                    custom_metadata={"snapshot": current.n},
                    app_transactions=[Transaction(_APPLICATION, current.n)],
                ),
            )
        log.update_incremental()
        _sync(folder / "_delta_log", first)
    except DeltaError as error:
        raise StoreError(
            f"Cannot publish {str(folder)!r} as a Delta table: {error}. If something else wrote to"
            f" it, remove {str(folder / '_delta_log')!r} and publish again"
        ) from error
    return PublishReport(
        report.snapshot,
        {**report.versions, table: log.version()},
        report.added + len(adds),
        report.removed + len(removes),
    )


def _opened(store: Path, table: str) -> DeltaTable:
    """The table; a new one where there is none, or none that can be read."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaProtocolError, TableNotFoundError

    folder = store / table
    try:
        return DeltaTable(folder)
    except TableNotFoundError:
        pass
    except DeltaProtocolError:  # somebody gave the table features that we do not know
        raise
    except Exception as error:
        # A log can be written again at any time; torn by a power cut it keeps everybody out.
        aside = store / "_tmp" / f"damaged-{wal.ulid()}-{table}-delta-log"
        aside.parent.mkdir(exist_ok=True)
        shutil.move(folder / "_delta_log", aside)
        _log.warning("The Delta log of %s is started anew, kept in %s: %s", folder, aside, error)
    folder.mkdir(exist_ok=True)
    return DeltaTable.create(
        folder,
        _schema(table),
        mode="error",
        partition_by=[_PARTITION],
        name=table,
        description=TABLES[table].meaning,
        configuration=_SETTINGS,
    )


def _schema(table: str) -> pa.Schema:
    columns = [
        pa.field(column.name, column.arrow_type, metadata={"comment": column.meaning})
        for column in TABLES[table].columns
    ]
    day = pa.field(_PARTITION, pa.date32(), metadata={"comment": "UTC day of the first span"})
    return pa.schema([*columns, day])


def _add_columns(log: DeltaTable, table: str) -> None:
    """Columns of newer versions; files without them read as NULL."""
    from deltalake import Schema

    known = {column.name for column in log.schema().fields}
    columns = Schema.from_arrow(_schema(table)).fields
    new = [column for column in columns if column.name not in known]
    if new:
        log.alter.add_columns(new)


def _named(log: DeltaTable) -> Iterable[tuple[str, int, str]]:
    """Path, size and day of each file that the log names."""
    actions = pa.table(log.get_add_actions(flatten=True))
    days = actions[f"partition.{_PARTITION}"].cast(pa.string())
    columns = (actions["path"], actions["size_bytes"], days)
    return zip(*(column.to_pylist() for column in columns), strict=True)


def _add(store: Path, table: str, file: DataFile) -> AddAction:
    from deltalake.transaction import AddAction

    return AddAction(
        path=file.path.removeprefix(f"{table}/"),
        size=file.bytes,
        partition_values={_PARTITION: file.date},
        modification_time=_ms((store / file.path).stat().st_mtime),
        data_change=True,
        stats=json.dumps(_statistics(table, file)),
    )


def _remove(path: str, size: int, day: str) -> RemoveAction:
    from deltalake.transaction import RemoveAction

    return RemoveAction(
        path=path,
        data_change=True,
        deletion_timestamp=_ms(datetime.now(UTC).timestamp()),
        size=size,
        partition_values={_PARTITION: day},
    )


def _statistics(table: str, file: DataFile) -> dict[str, Any]:
    """How many rows, and from when to when; nothing of whom or what they tell."""
    column = files.TIME_COLUMN.get(table)
    bounds = {}
    if column is not None and not column.endswith("_ns") and file.t0 is not None:
        bounds = {
            "minValues": {column: _iso(file.t0)},
            "maxValues": {column: _iso(file.t1 or file.t0)},
        }
    return {"numRecords": file.rows, **bounds}


def _iso(us: int) -> str:
    moment = datetime(1970, 1, 1) + timedelta(microseconds=us)  # noqa: DTZ001 - UTC by the Z
    return f"{moment.isoformat(timespec='microseconds')}Z"


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _sync(folder: Path, first: int) -> None:
    """Make commits durable, which the library leaves to the operating system."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name[:20].isdigit() and int(path.name[:20]) >= first:
            fd = os.open(path, os.O_RDWR)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
    wal.sync_folder(folder)
    wal.sync_folder(folder.parent)
