"""Every live file on its own: there, not a bit changed, and what the snapshot says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from otel_traj.store import files
from otel_traj.store.check.problem import Problem, Progress
from otel_traj.store.schema import COLUMNS, SCHEMA_ID, TABLES
from otel_traj.store.snapshot import DataFile, Snapshot


@dataclass(frozen=True, slots=True)
class Damage:
    """A live file of `table` that is not the one that was written; `what` says why not."""

    table: str
    file: DataFile
    what: str


@dataclass(slots=True)
class Examination:
    """What is wrong with files: those that are damaged, and what others contradict."""

    damage: list[Damage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def tables(self) -> set[str]:
        """Tables that are not whole."""
        return {damage.table for damage in self.damage}

    @property
    def paths(self) -> set[str]:
        """The damaged files, relative to the store."""
        return {damage.file.path for damage in self.damage}


def examine(store: Path, current: Snapshot, on_progress: Progress) -> Examination:
    """Read all live files, each in parts that fit in memory.

    Raises:
        PermissionError: This process may not read one of them.
    """
    found = Examination()
    live = [(table, file) for table in TABLES for file in current.live(table)]
    n_bytes, n_read = sum(file.bytes for _, file in live), 0
    for table, file in live:
        on_progress("reading files", n_read, n_bytes)
        what = _damage(store, current, table, file)
        if what is not None:
            found.damage.append(Damage(table, file, what))
        else:
            found.problems += _claims(store, table, file)
        n_read += file.bytes
    return found


def _damage(store: Path, current: Snapshot, table: str, file: DataFile) -> str | None:
    """Why a file is not the one that the snapshot names."""
    path = store / file.path
    try:
        n_bytes = path.stat().st_size
        if n_bytes != file.bytes:
            return f"has {n_bytes:,} bytes, not {file.bytes:,}"
        if file.sha256 is not None and _digest(path) != file.sha256:
            return "has other bytes than were written (SHA-256)"
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            if file.sha256 is None:
                for _ in parquet.iter_batches():  # all pages, for their checksums
                    pass
            n_rows = parquet.metadata.num_rows
            if n_rows != file.rows:
                return f"has {n_rows:,} rows, not {file.rows:,}"
            return _wrong_columns(parquet.schema_arrow, current, table, file)
    except FileNotFoundError:
        return "is missing"
    except PermissionError:
        raise
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read: {error}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wrong_columns(has: pa.Schema, current: Snapshot, table: str, file: DataFile) -> str | None:
    of_schema = COLUMNS if file.schema == SCHEMA_ID else current.schemas[file.schema]
    names = tuple(of_schema[table])
    if tuple(has.names) != names:
        other = sorted(set(names).symmetric_difference(has.names)) or ["their order"]
        return f"has other columns than schema {file.schema}: {', '.join(other)}"
    types = {column.name: column.arrow_type for column in TABLES[table].columns}
    wrong = [name for name in names if types.get(name) not in (None, has.field(name).type)]
    return f"has columns of other types: {', '.join(wrong)}" if wrong else None


# --- what the snapshot says of an intact file ----------------------------------------------------

_ORDER: Final[dict[str, tuple[str | None, tuple[str, ...]]]] = {
    "spans": ("trace_id", ("start_ns",)),
    "logs": (None, ("trace_id", "time_ns")),
    "trajectories": (None, ("start_time", "trajectory_id")),
    "steps": ("trajectory_id", ("step",)),
    "trajectory_spans": ("trajectory_id", ()),
    "file_changes": ("trajectory_id", ("step",)),
    "annotations": (None, ("created", "annotation_id")),
    "superseded": (None, ("trajectory_id", "rev")),
}
"""Table -> column whose equal values stand together, and columns that ascend (within those).

Groups are ordered by the start of their trajectory when the file was written, which no file tells.
"""


def _claims(store: Path, table: str, file: DataFile) -> Iterator[Problem]:
    """Times and order, by which readers leave parts of files out."""
    group, keys = _ORDER[table]
    order = _Order(group, keys)
    times: list[int] = []
    columns = [name for name in (group, *keys, files.TIME_COLUMN.get(table)) if name]
    with pq.ParquetFile(store / file.path) as parquet:
        for batch in parquet.iter_batches(columns=columns):
            rows = pa.Table.from_batches([batch])
            times += files.times(table, rows)
            order.add(rows)
    bounds = (min(times, default=None), max(times, default=None))
    if bounds != (file.t0, file.t1):
        yield Problem(
            "error",
            f"{file.path} has times from {bounds[0]} to {bounds[1]} (us since 1970), not"
            f" {file.t0} to {file.t1}: reads by time may miss rows",
            file.path,
        )
    if order.first_misplaced is not None:
        yield Problem(
            "note",
            f"{file.path} is not in the order of its table from row {order.first_misplaced:,} on;"
            " nothing is lost, but reads by id take longer",
            file.path,
        )


class _Order:
    """Where rows that come in parts leave their order; None where they do not."""

    def __init__(self, group: str | None, keys: tuple[str, ...]) -> None:
        self._group = group
        self._keys = keys
        self._seen: set[Any] = set()
        self._last: tuple[Any, tuple[Any, ...]] | None = None
        self._n_rows = 0
        self.first_misplaced: int | None = None

    def add(self, rows: pa.Table) -> None:
        """Look at the next rows."""
        groups = _cells(rows, self._group) if self._group else [None] * rows.num_rows
        keys = zip(*(_cells(rows, key) for key in self._keys), strict=True)
        for group, key in zip(groups, keys if self._keys else [()] * rows.num_rows, strict=True):
            if self.first_misplaced is None and self._is_misplaced(group, key):
                self.first_misplaced = self._n_rows
            self._last = (group, key)
            self._n_rows += 1

    def _is_misplaced(self, group: Any, key: tuple[Any, ...]) -> bool:
        if self._last is not None and self._last[0] == group:
            return key < self._last[1]
        if group in self._seen:
            return True
        self._seen.add(group)
        return False


def _cells(rows: pa.Table, column: str) -> list[Any]:
    """The cells of a column as values that compare; NULL is the least."""
    cells = rows[column]
    if pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.int64())
    least: Any = "" if pa.types.is_string(cells.type) else -(2**63)
    return [least if cell is None else cell for cell in cells.to_pylist()]
