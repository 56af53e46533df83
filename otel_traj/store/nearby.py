"""One trajectory by its id, from the few files that hold it.

A question over a store is planned over all of its files, and each is opened, whatever their Bloom
filters then leave out. Who asks by id several times is answered from an engine whose views read
only the files of that trajectory; where those are is kept as hashes of the ids in each file, 8
bytes each. Files never change, so what is known of one stays true in later snapshots.
"""
# ruff: noqa: S608 - what is put into this SQL are names of schema.py and quoted paths

from __future__ import annotations

import bisect
import contextlib
import threading
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from otel_traj.store import views
from otel_traj.store.rules import Rules
from otel_traj.store.schema import SUPERSEDED, TABLES
from otel_traj.store.snapshot import DataFile, Snapshot, paths

_FIRST: Final = 1
"""So many times by id are answered from all files: once is quicker so than to learn all ids."""


class Near(NamedTuple):
    """Where to read one trajectory.

    Attributes:
        connection: Its views hold all that is told of it.
        is_annotated: Something may have been said of it.
        has_changes: It may have changed files.
    """

    connection: duckdb.DuckDBPyConnection
    is_annotated: bool
    has_changes: bool


class Nearby:
    """An engine and known ids of one store. Safe to share between threads."""

    def __init__(self, store: Path) -> None:
        """Know nothing yet."""
        self._store = store
        self._mutex = threading.Lock()
        self._n_asked = 0
        self._ids: dict[str, array[int]] = {}
        self._n = -1  # of the snapshot that was read last
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._engine_is_of: tuple[Rules, views.Said] | None = None
        self._shown: dict[str, tuple[DataFile, ...]] = {}

    @contextlib.contextmanager
    def of(
        self, snapshot: Snapshot, rules: Rules, said: views.Said, trajectory_id: str
    ) -> Iterator[Near | None]:
        """Where to read one trajectory.

        None where no file holds it under this id, where it is not worth while, and while another
        thread reads one.

        Args:
            snapshot: Whose files are read.
            rules: What else decides on an outcome.
            said: What sorts of annotations there may be.
            trajectory_id: Its id; no alias, no beginning.

        Raises:
            StoreDamagedError: A file that the snapshot names cannot be read.
        """
        if not self._mutex.acquire(blocking=False):
            yield None
            return
        try:
            with views.reading_files(self._store):
                yield self._showing(snapshot, rules, said, trajectory_id)
        finally:
            self._mutex.release()

    def _showing(
        self, snapshot: Snapshot, rules: Rules, said: views.Said, trajectory_id: str
    ) -> Near | None:
        self._n_asked += 1
        if self._n_asked <= _FIRST:
            return None
        engine = self._connected(rules, said)
        [(hashed,)] = engine.execute("select hash($1::varchar)", [trajectory_id]).fetchall()
        if snapshot.n != self._n:
            self._forget(snapshot)
        headers = self._with_id(snapshot.live("trajectories"), hashed)
        if not headers:
            return None
        dates = {file.date for file in headers}
        for table in (*views.REVISED, SUPERSEDED.name):
            of_dates = tuple(file for file in snapshot.live(table) if file.date in dates)
            self._show(snapshot, table, self._with_id(of_dates, hashed))
        annotations = snapshot.live("annotations")
        if not (said.any_former or said.any_nameless):
            annotations = self._with_id(annotations, hashed)
        self._show(snapshot, "annotations", annotations)
        return Near(engine, bool(annotations), bool(self._shown["file_changes"]))

    def _connected(self, rules: Rules, said: views.Said) -> duckdb.DuckDBPyConnection:
        if self._engine is None or self._engine_is_of != (rules, said):
            self._engine = views.connect_to_none(self._store, rules, said)
            self._engine_is_of = (rules, said)
            self._shown = dict.fromkeys(TABLES, ())
        return self._engine

    def _show(self, snapshot: Snapshot, table: str, files: tuple[DataFile, ...]) -> None:
        if self._shown[table] == files:
            return
        assert self._engine is not None  # `_connected` made it
        rows = views.rows_of(snapshot, table, files, self._store) if files else views.no_rows(table)
        self._engine.execute(f"create or replace view stored.{table} as {rows}")
        self._shown[table] = files

    # --- which file has which id ----------------------------------------------------------------

    def _with_id(self, files: tuple[DataFile, ...], hashed: int) -> tuple[DataFile, ...]:
        self._learn(file for file in files if file.path not in self._ids)
        return tuple(file for file in files if _holds(self._ids[file.path], hashed))

    def _learn(self, unknown: Iterable[DataFile]) -> None:
        known_as = {str(self._store / file.path): file.path for file in unknown}
        if not known_as:
            return
        assert self._engine is not None  # `_connected` made it
        listed = ", ".join(map(views.quoted, known_as))
        found = self._engine.execute(
            "select filename, list(distinct hash(trajectory_id)) from"
            f" read_parquet([{listed}], filename = true) group by 1"
        ).fetchall()
        self._ids.update((own, array("Q")) for own in known_as.values())
        self._ids.update((known_as[path], array("Q", sorted(ids))) for path, ids in found)

    def _forget(self, snapshot: Snapshot) -> None:
        """Let go what is known of files that are no longer live."""
        for path in self._ids.keys() - paths(snapshot.files):
            del self._ids[path]
        self._n = snapshot.n


def _holds(ids: array[int], hashed: int) -> bool:
    place = bisect.bisect_left(ids, hashed)
    return place < len(ids) and ids[place] == hashed
