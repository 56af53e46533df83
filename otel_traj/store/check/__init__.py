"""Is the store whole? From the files up: unchanged, readable, and telling one story.

    files        every live file against its hash, and what the snapshot says of it
    relations    rows against each other: references, duplicates, counts, days
    derivation   derived rows against a fresh derivation of their spans and logs, on a sample
    leftovers    what processes that were killed left behind, which is no damage

A damaged file is named with what is lost by it; all else is checked without it. Memory is bounded
whatever the size of the store: files are read in parts, and joins spill to disk.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import duckdb

from otel_traj.errors import StoreDamagedError
from otel_traj.store import collection, sealing, snapshot, views
from otel_traj.store.check import derivation, files, leftovers, relations
from otel_traj.store.check.derivation import unrepeatable
from otel_traj.store.check.problem import DAMAGE, Problem, Progress
from otel_traj.store.snapshot import Snapshot

__all__ = [
    "DAMAGE",
    "SAMPLE",
    "Problem",
    "Progress",
    "connected",
    "silently",
    "unrepeatable",
    "verify",
    "without",
]

SAMPLE: Final = 100
"""Trajectories that are derived again unless somebody asks for others."""

_MEMORY: Final = "1GB"
_ATTEMPTS: Final = 3


def silently(what: str, done: int, total: int) -> None:
    """Nobody watches."""


def verify(
    store: Path, *, sample: int | None = SAMPLE, on_progress: Progress = silently
) -> list[Problem]:
    """Everything that is wrong with a store, errors first; see `TrajectoryStore.verify`.

    Args:
        store: The store's folder.
        sample: How many trajectories to derive again; None for all.
        on_progress: Is told how far it is.
    """
    for attempt in range(_ATTEMPTS):
        try:
            current = snapshot.newest(store)
        except StoreDamagedError as error:
            return [Problem("error", str(error))]
        lease = collection.Lease(store, current.n)
        try:
            problems = _problems(store, current, sample, on_progress)
            return sorted(problems, key=lambda problem: problem.severity != "error")
        except (StoreDamagedError, FileNotFoundError):
            # Files that are erased go at once, also from under a reader.
            if snapshot.newest(store).n == current.n or attempt == _ATTEMPTS - 1:
                raise
        finally:
            lease.release()
    raise AssertionError("the last attempt returns or raises")


def _problems(
    store: Path, current: Snapshot, sample: int | None, on_progress: Progress
) -> list[Problem]:
    found = files.examine(store, current, on_progress)
    rest = without(current, found.paths)
    problems = [*leftovers.settings(store), *leftovers.log(store, current), *found.problems]
    with connected(store, rest) as connection, sealing.reading(store, rest) as stored:
        problems += relations.losses(connection, found.damage)
        problems += relations.contradictions(connection, found.tables, on_progress)
        days = {damage.file.date for damage in found.damage}
        problems += derivation.differences(connection, stored, rest, sample, days, on_progress)
    if not found.damage:
        problems += leftovers.unsealed(store)
    problems += leftovers.delta_tables(store)
    problems += leftovers.kept_aside(store)
    problems += leftovers.unnamed(store, current)
    return problems


def without(current: Snapshot, paths: set[str]) -> Snapshot:
    """The same snapshot as if it did not name some files."""
    return replace(
        current,
        files={
            table: tuple(file for file in own if file.path not in paths)
            for table, own in current.files.items()
        },
    )


@contextlib.contextmanager
def connected(store: Path, current: Snapshot) -> Iterator[duckdb.DuckDBPyConnection]:
    """Look-ups over whole tables; what spills goes elsewhere, the store may be read-only."""
    with (
        tempfile.TemporaryDirectory(prefix="otel-traj-verify-") as spill,
        views.connect_for_sealing(store, current) as connection,
    ):
        directory = spill.replace("'", "''")
        connection.execute(f"set temp_directory = '{directory}'")
        connection.execute(f"set memory_limit = '{_MEMORY}'")
        with views.reading_files(store):
            yield connection
