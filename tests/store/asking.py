"""What tests of a store do again and again: record into it, and ask it."""

import contextlib
from typing import Any

from otel_traj import wal
from otel_traj.model import Record
from otel_traj.store import TrajectoryStore


def record(store: TrajectoryStore, *records: Record) -> None:
    """Let a process record, end, and be sealed."""
    with contextlib.closing(wal.WalWriter(store.path)) as writer:
        writer.append(wal.encode(records))
    store.seal()


def asked(store: TrajectoryStore, sql: str, **parameters: object) -> list[Any]:
    """The rows of an answer."""
    return store.sql(sql, parameters).fetchall()


def ids_by_task(store: TrajectoryStore) -> dict[str, str]:
    """Task -> id of its trajectory."""
    return dict(asked(store, "select task, trajectory_id from trajectories"))


def is_absent(store: TrajectoryStore, *texts: str) -> bool:
    """Whether no byte of the store tells of any of the texts."""
    return store.search(*texts).findings == ()
