"""Every live file on its own: there, not a bit changed, and what the snapshot says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
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
    scan = _Scan(group, keys)
    times: list[int] = []
    columns = [name for name in (group, *keys, files.TIME_COLUMN.get(table)) if name]
    with pq.ParquetFile(store / file.path) as parquet:
        for batch in parquet.iter_batches(columns=columns):
            rows = pa.Table.from_batches([batch])
            times += files.times(table, rows)
            scan.add(rows)
    bounds = (min(times, default=None), max(times, default=None))
    if bounds != (file.t0, file.t1):
        yield Problem(
            "error",
            f"{file.path} has times from {bounds[0]} to {bounds[1]} (us since 1970), not"
            f" {file.t0} to {file.t1}: reads by time may miss rows",
            file.path,
        )
    if scan.first_out_of_order is not None:
        yield Problem(
            "note",
            f"{file.path} is not in the order of its table from row {scan.first_out_of_order:,}"
            " on; nothing is lost, but reads by id take longer",
            file.path,
        )


class _Scan:
    """Whether rows that come in parts are in order; keeps the groups seen, and the last row."""

    def __init__(self, group: str | None, keys: tuple[str, ...]) -> None:
        self._group = group
        self._keys = keys
        self._seen: set[Any] = set()
        self._last: pa.Table | None = None
        self._n_rows = 0
        self.first_out_of_order: int | None = None

    def add(self, rows: pa.Table) -> None:
        """Look at the next rows."""
        n_before = 0 if self._last is None else 1
        known = rows if self._last is None else pa.concat_tables([self._last, rows])
        known = known.combine_chunks()
        if self.first_out_of_order is None and known.num_rows:
            position = self._disorder(known, n_before)
            if position is not None:
                self.first_out_of_order = self._n_rows - n_before + position
        self._n_rows += rows.num_rows
        if rows.num_rows:
            self._last = rows.slice(rows.num_rows - 1)

    def _disorder(self, rows: pa.Table, n_before: int) -> int | None:
        """Position of the first row that should stand elsewhere."""
        before, after = rows.slice(0, rows.num_rows - 1), rows.slice(1)
        descends = _descends(before, after, self._keys)
        if self._group is not None:
            is_same = _equal(before, after, self._group)
            descends = pc.and_(descends, is_same)
            begins = pa.concat_arrays([pa.array([not n_before]), pc.invert(is_same)])
            for position, group in zip(
                pc.indices_nonzero(begins).to_pylist(),
                rows[self._group].filter(begins).to_pylist(),
                strict=True,
            ):
                if group in self._seen:
                    return int(position)
                self._seen.add(group)
        first = pc.index(descends, True).as_py()
        return None if first < 0 else int(first) + 1


def _descends(before: pa.Table, after: pa.Table, keys: tuple[str, ...]) -> pa.Array:
    """Where a row's keys, compared from the first on, are less than those of the row before."""
    descends = pa.array([False] * before.num_rows, pa.bool_())
    for key in reversed(keys):
        lesser = pc.less(_filled(after[key]), _filled(before[key]))
        descends = pc.or_(lesser, pc.and_(_equal(before, after, key), descends))
    return descends


def _equal(before: pa.Table, after: pa.Table, column: str) -> pa.Array:
    return pc.equal(_filled(before[column]), _filled(after[column]))


def _filled(values: pa.ChunkedArray) -> pa.Array:
    """NULL counts as the least value."""
    whole = values.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # without rows
        whole = pa.array([], values.type)
    least: Any = "" if pa.types.is_string(whole.type) else pa.scalar(0, pa.int64()).cast(whole.type)
    return pc.fill_null(whole, least)
