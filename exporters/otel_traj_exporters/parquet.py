"""A folder with one Parquet file per table: a copy of chosen trajectories that any tool opens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from otel_traj.errors import ConfigurationError
from otel_traj.model import FileChange, Step, Trajectory
from otel_traj.redaction import Redaction
from otel_traj.store import TrajectoryStore, rows, schema
from otel_traj_exporters import redacting

BATCH: Final = 256
"""Trajectories held in memory at once."""

_CHOSEN: Final = "trajectory_id in (select unnest($ids::varchar[]))"
_OF_CHOSEN_TRACE: Final = """trace_id in (
    select unnest(trace_ids) from trajectories
    where trajectory_id in (select unnest($ids::varchar[]))
)"""
_OF_CHOSEN_CALLS: Final = f"""(tool_name, signature) in (
    select (tool_name, signature) from failed_calls where {_CHOSEN}
)"""  # noqa: S608


class ParquetExporter:
    """Writes `<path>/<table>.parquet`, with the columns that docs/schema.md lists.

    Alone, the trajectories given are the tables `trajectories`, `steps` and `file_changes`. With
    the store they came from, the copy has every public view, spans and annotations included,
    restricted to these trajectories; then outcome and reward are columns too.
    """

    def export(
        self,
        trajectories: Iterable[Trajectory],
        path: Path,
        /,
        *,
        store: TrajectoryStore | None = None,
        redaction: Redaction,
    ) -> int:
        """Write the copy; `path` is a folder that does not exist yet.

        Raises:
            ConfigurationError: There is something at `path`.
        """
        if path.exists():
            raise ConfigurationError(
                f"{str(path)!r} exists already; a copy gets a folder of its own"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as staging:
            copy = Path(staging) / "copy"
            copy.mkdir()
            with _Files(copy) as files:
                n = (
                    _write_objects(
                        map(partial(redacting.trajectory, redaction), trajectories), files
                    )
                    if store is None
                    else _write_views(
                        trajectories, store, files, redacting.RedactedViews(redaction)
                    )
                )
            copy.rename(path)
        return n


def _write_objects(trajectories: Iterable[Trajectory], files: _Files) -> int:
    n = 0
    for batch in _batches(trajectories):
        n += len(batch)
        parts: dict[str, Sequence[Trajectory | Step | FileChange]] = {
            "trajectories": batch,
            "steps": [step for t in batch for step in t.steps],
            "file_changes": [change for t in batch for change in t.file_changes],
        }
        for table, part in parts.items():
            written = rows.derived_table(table, part)
            files.writer(table, written.schema).write_table(written)
    return n


def _write_views(
    trajectories: Iterable[Trajectory],
    store: TrajectoryStore,
    files: _Files,
    redacted: redacting.RedactedViews,
) -> int:
    # One connection, hence one snapshot: the tables of the copy agree.
    connection = store.connection()
    ids = [trajectory.trajectory_id for trajectory in trajectories]
    for view in redacted.ORDER:
        chosen = f"select * from {view} where {_condition(view)}"  # noqa: S608
        batches = connection.sql(chosen, params={"ids": ids}).to_arrow_reader(
            schema.SPANS.row_group
        )
        writer = files.writer(view, batches.schema)
        for batch in batches:
            writer.write_table(redacted(view, pa.Table.from_batches([batch])))
    return len(ids)


def _condition(view: str) -> str:
    """Which rows of a view belong to the chosen trajectories."""
    names = {column.name for column in schema.VIEW_COLUMNS[view]}
    if "trajectory_id" in names:
        return _CHOSEN
    return _OF_CHOSEN_TRACE if "trace_id" in names else _OF_CHOSEN_CALLS


def _batches(trajectories: Iterable[Trajectory]) -> Iterator[Sequence[Trajectory]]:
    remaining = iter(trajectories)
    # An empty batch at the start too: an empty choice still gives files with the right columns.
    yield tuple(islice(remaining, BATCH))
    while batch := tuple(islice(remaining, BATCH)):
        yield batch


class _Files:
    """One open Parquet file per table, made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> _Files:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            writer.close()

    def writer(self, table: str, columns: pa.Schema) -> pq.ParquetWriter:
        """The file of a table; all that is written to it has the same columns."""
        if table not in self._writers:
            path = self._folder / f"{table}.parquet"
            self._writers[table] = pq.ParquetWriter(path, columns, compression="zstd")
        return self._writers[table]
