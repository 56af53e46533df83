"""Immutable Parquet files: written aside, made durable, then renamed into their table's folder.

A file exists for readers only when a snapshot names it; one that none names is left over from a
sealer that died, and harms nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from otel_traj.errors import StoreError
from otel_traj.store import snapshot
from otel_traj.store.schema import TABLES, arrow_schema
from otel_traj.store.snapshot import DataFile, Files
from otel_traj.wal import sync_folder, ulid

TIME_COLUMN: Final = {
    "spans": "start_time",
    "trajectories": "start_time",
    "steps": "start_time",
    "logs": "time_ns",
    "annotations": "created",
}
"""Whose least and greatest value a snapshot keeps per file, so that readers can leave files out."""

_CODEC: Final = "zstd"
_SEALED: Final = 3  # 105 MB in 2.5 s for 200,000 spans; 1 is 114 MB, 9 takes 4.5 s for 95 MB
_MERGED: Final = 9  # what is merged is read for years

_FEW_ROWS: Final = 500
"""Up to so many, zstd alone packs tighter: a dictionary is one more page for each of 70 columns."""

GROUP_BYTES: Final = 64 * 1024 * 1024
"""A row group is written when its rows take this in memory, though the table's would have more."""


def write(store: Path, table: str, date: str, rows: pa.Table) -> DataFile:
    """`write_parts` of rows that are all there."""
    return write_parts(store, table, date, (rows,), n_rows=rows.num_rows)


def write_parts(
    store: Path, table: str, date: str, parts: Iterable[pa.Table], *, n_rows: int
) -> DataFile:
    """Write rows as one file of a table's partition; durable on return, visible to nobody yet.

    Args:
        store: The store's folder.
        table: Name of the table.
        date: UTC day, `YYYY-MM-DD`.
        parts: The rows, with exactly the table's columns, in its order.
        n_rows: How many they are.
    """
    with FileWriter(store, table, date, n_rows=n_rows) as writer:
        for rows in parts:
            writer.add(rows)
        return cast(DataFile, writer.close(is_empty_kept=True))


def discard(store: Path, files: Files) -> None:
    """Remove files that were to be published and were not.

    A commit may fail after it was made: at the sync that follows, or by Ctrl-C. So those stay that
    the newest snapshot names, and all where that is not known; collection removes the rest later.
    """
    with contextlib.suppress(OSError, StoreError):
        for path in snapshot.paths(files) - snapshot.paths(snapshot.newest(store).files):
            (store / path).unlink(missing_ok=True)


class FileWriter:
    """Writes one file of a table's partition from rows that come in parts.

    What is not closed is removed at the end of the `with`.
    """

    def __init__(
        self, store: Path, table: str, date: str, *, level: int = 0, n_rows: int | None = None
    ) -> None:
        """Prepare to write; nothing is written before the first rows.

        Args:
            store: The store's folder.
            table: Name of the table.
            date: UTC day, `YYYY-MM-DD`.
            level: How often the rows have been merged; more than 0 packs tighter, in twice the
                time.
            n_rows: How many rows will come at most, if that is known.
        """
        self._store = store
        self._table = table
        self._path = Path(table) / f"date={date}" / f"{ulid()}.parquet"
        self._draft = store / "_tmp" / self._path.name
        self._level = level
        self._group = TABLES[table].row_group
        self._schema = arrow_schema(table)
        self._distinct = self._group if n_rows is None else min(n_rows, self._group) or 1
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []  # less than a row group
        self._n_waiting = 0
        self.n_rows = 0
        self._times: list[int] = []

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    @property
    def n_bytes(self) -> int:
        """How long the file is so far; rows that wait for their row group are not counted."""
        return 0 if self._writer is None else self._draft.stat().st_size

    def add(self, rows: pa.Table) -> None:
        """Append rows, with exactly the table's columns, in its order."""
        if not rows.num_rows:
            return
        self.n_rows += rows.num_rows
        self._times += times(self._table, rows)
        self._waiting.append(rows.cast(self._schema))  # engines name the items of a list otherwise
        self._n_waiting += rows.num_rows
        while self._n_waiting >= self._group or _n_bytes(self._waiting) >= GROUP_BYTES:
            self._flush()

    def close(self, *, is_empty_kept: bool = False) -> DataFile | None:
        """Make the file durable under its name; None, and no file, without rows."""
        if not self.n_rows and not is_empty_kept:
            self.discard()
            return None
        self._flush()
        writer = self._open()
        writer.close()
        digest = self._sync()
        _make_folder(self._store, self._path.parent)
        size = self._draft.stat().st_size
        self._draft.rename(self._store / self._path)
        self._writer = None
        sync_folder((self._store / self._path).parent)
        return DataFile(
            self._path.as_posix(),
            self.n_rows,
            size,
            min(self._times, default=None),
            max(self._times, default=None),
            self._level,
            sha256=digest,
        )

    def discard(self) -> None:
        """Remove what was written, unless it was closed."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with contextlib.suppress(OSError):  # writes the end of the file, on a full disk too
                writer.close()
        self._draft.unlink(missing_ok=True)
        self._waiting.clear()

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._draft.parent.mkdir(exist_ok=True)
            self._writer = pq.ParquetWriter(
                self._draft,
                self._schema,
                compression=_CODEC,
                compression_level=_MERGED if self._level else _SEALED,
                use_dictionary=self._distinct > _FEW_ROWS,
                write_page_checksum=True,  # `verify` finds flipped bits by them
                # Least and greatest of a text column are two whole texts, several times over.
                write_statistics=cast(Any, list(TABLES[self._table].pruned_by)),
                store_schema=False,  # 5 kB that say in Arrow's words what Parquet's say
                bloom_filter_options={
                    column: {"ndv": self._distinct} for column in TABLES[self._table].bloom
                },
            )
        return self._writer

    def _flush(self) -> None:
        """Write one row group of what waits."""
        if not self._waiting:
            return
        rows = pa.concat_tables(self._waiting)
        group, rest = rows.slice(0, self._group), rows.slice(self._group)
        self._open().write_table(group, row_group_size=self._group)
        self._waiting = [rest] if rest.num_rows else []
        self._n_waiting = rest.num_rows

    def _sync(self) -> str:
        """Make the bytes durable; their hash."""
        with self._draft.open("rb+") as file:  # Windows syncs only what may be written
            os.fsync(file.fileno())
            return hashlib.file_digest(file, "sha256").hexdigest()


def _n_bytes(parts: list[pa.Table]) -> int:
    return sum(part.nbytes for part in parts)


def _make_folder(store: Path, relative: Path) -> None:
    """Create a partition; its name must be durable too, or power loss takes the files with it."""
    if not (store / relative).exists():
        (store / relative).mkdir(parents=True, exist_ok=True)
        sync_folder(store / relative.parent)
        sync_folder(store)


def times(table: str, rows: pa.Table) -> tuple[int, ...]:
    """Least and greatest time of rows; nothing where no row has one."""
    column = TIME_COLUMN.get(table)
    if column is None:
        return ()
    bounds: dict[str, Any] = pc.call_function("min_max", [rows[column].cast(pa.int64())]).as_py()
    if bounds["min"] is None:
        return ()
    per_us = 1000 if column.endswith("_ns") else 1
    return bounds["min"] // per_us, bounds["max"] // per_us
