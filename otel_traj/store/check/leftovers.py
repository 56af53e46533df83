"""What killed processes left behind, and the log: nothing of it is damage, unless it says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from otel_traj import wal
from otel_traj.errors import ConfigurationError, StoreDamagedError
from otel_traj.store import published, rules, sealing, snapshot
from otel_traj.store.check.problem import Problem, named
from otel_traj.store.schema import TABLES
from otel_traj.store.snapshot import Snapshot


def log(store: Path, current: Snapshot) -> Iterator[Problem]:
    """The log against the snapshot: no segment ends before what was sealed from it."""
    for path in wal.segments(store):
        sealed = current.wal.get(path.name, 0)
        try:
            size = path.stat().st_size
        except FileNotFoundError:  # sealed and removed since it was listed
            continue
        if size < sealed:
            yield Problem(
                "error",
                f"_wal/{path.name} has {size:,} bytes, but {sealed:,} of it are sealed: it was cut;"
                " what was sealed is in the tables",
                f"_wal/{path.name}",
            )


def unsealed(store: Path) -> Iterator[Problem]:
    """What the log holds that no snapshot has."""
    _, read, batch = sealing.unsealed(store)
    for path in read.torn:
        yield Problem(
            "note",
            f"_wal/{path.name} ends in half a record of a killed process; it was not acknowledged",
            f"_wal/{path.name}",
        )
    killed = tuple(
        trace_id
        for trace_id, trace in batch.open.items()
        if trace.pending and not trace.writers & read.alive
    )
    if killed:
        yield Problem(
            "note", f"open runs of killed processes: {named(len(killed), killed)}", ids=killed[:10]
        )
    if wal.segments(store) and read.has_records:
        n = len(read.spans) + len(read.logs) + len(read.annotations)
        yield Problem(
            "note", f"records that are in the log only, until the next reader seals them: {n:,}"
        )


def kept_aside(store: Path) -> Iterator[Problem]:
    """Bytes that were no record, and files that were damaged."""
    for path in sorted((store / "_tmp").glob("quarantine-*")):
        size = path.stat().st_size
        yield Problem(
            "note", f"{size:,} bytes of the log were no record; kept in _tmp/{path.name}", path.name
        )
    for path in sorted((store / "_tmp").glob("damaged-*")):
        yield Problem(
            "note",
            f"a damaged file was set aside; delete _tmp/{path.name} when it is of no more use",
            f"_tmp/{path.name}",
        )


def unnamed(store: Path, current: Snapshot) -> Iterator[Problem]:
    """Files that no snapshot names, neither the current one nor one before it."""
    there = {
        path.relative_to(store).as_posix()
        for table in TABLES
        for path in (store / table).glob("date=*/*.parquet")
    }
    there -= snapshot.paths(current.files) | published.paths(store)
    for n in reversed(snapshot.numbers(store)):
        if not there or n == current.n:
            continue
        try:
            there -= snapshot.paths(snapshot.read(store, n).files)
        except FileNotFoundError:
            continue
        except StoreDamagedError as error:
            yield Problem("note", f"{error}; nobody needs it, the newest one is whole")
    if there:
        yield Problem(
            "note", f"files that no snapshot names, left by a killed sealer: {len(there):,}"
        )


def delta_tables(store: Path) -> Iterator[Problem]:
    """Files that readers of the published tables would open in vain."""
    try:
        gone = tuple(sorted(p for p in published.paths(store) if not (store / p).exists()))
    except StoreDamagedError as error:
        yield Problem("error", str(error), "_published.json")
        return
    if gone:
        yield Problem(
            "error",
            f"the published Delta tables name files that are gone: {named(len(gone), gone)}."
            " Bring them up to date: otel-traj publish",
            gone[0],
        )


def settings(store: Path) -> Iterator[Problem]:
    """The rules, without which outcomes are other ones."""
    try:
        rules.load(store)
    except ConfigurationError as error:
        yield Problem("error", str(error), "rules.toml")
