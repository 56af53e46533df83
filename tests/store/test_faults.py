"""Each call to the file system that a change of the store makes fails once: it is done or undone.

After any of them the store is whole, everything acknowledged is there, and doing it again works.
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from otel_traj import wal
from otel_traj.errors import StoreError
from otel_traj.store import TrajectoryStore, collection
from tests.store import load
from tests.store.runs import close, run, tool

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="there it makes other calls"),
]

CALLS: Final = ("fsync", "link", "rename", "unlink", "mkdir")


class Failure:
    """Makes the call of a number fail, of those that are made below a folder."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.n_calls = 0

    @contextmanager
    def within(self, folder: Path) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self._failing(getattr(os, name), folder))
            yield

    def _failing(self, call: Callable[..., Any], folder: Path) -> Callable[..., Any]:
        def maybe(*arguments: Any, **options: Any) -> Any:
            self.n_calls += 1
            if self.n_calls == self.at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(*arguments, **options)

        return maybe


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with sealed runs, revisions that a late span replaced, and runs in the log only."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("prepared") / "store")
    for number in range(1, 4):
        store.append(run(number))
    store.append([tool(1, load.LATE_AT)])
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([*run(4), close(4)]))
    writer.append(wal.encode([tool(2, load.LATE_AT), load.score(3, 9)]))
    writer.close()
    return store.path


ACKNOWLEDGED: Final = load.Acknowledged({1, 2, 3, 4}, {1, 2}, {load.score(3, 9).annotation_id})

OPERATIONS: Final[dict[str, Callable[[TrajectoryStore], object]]] = {
    "seal": lambda store: store.seal(),
    "append": lambda store: store.append(run(5)),
    "compact": lambda store: store.compact(full=True),
    "delete": lambda store: store.delete([id_of(store, "order-3")]),
    "reassemble": lambda store: store.reassemble(),
    "retain": lambda store: store.retain(agent="nobody", keep=1),
    "collect": lambda store: collection.collect(store.path, grace_s=0),
}


N_POINTS: Final = 2
"""Calls that fail, of each operation; with a great number all of them."""


def id_of(store: TrajectoryStore, task: str) -> str:
    """Its id; one that nobody has when it is gone already."""
    told = "select trajectory_id from trajectories where task = $task"
    found = store.sql(told, {"task": task}).fetchall()
    return str(found[0][0]) if found else "nobody's"


def is_gone(name: str, number: int) -> bool:
    """Whether an operation may take a run out."""
    return name == "delete" and number == 3


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_fails_at_any_call_is_done_or_undone_and_can_be_done_again(
    prepared: Path, tmp_path: Path, name: str
) -> None:
    act = OPERATIONS[name]
    whole = Failure(at=0)
    shutil.copytree(prepared, tmp_path / "0")
    with whole.within(tmp_path):
        act(TrajectoryStore(tmp_path / "0"))

    every = max(1, whole.n_calls // N_POINTS)
    for at in range(whole.n_calls, 0, -every):
        store = TrajectoryStore(shutil.copytree(prepared, tmp_path / str(at)))
        with Failure(at).within(tmp_path), suppress(OSError, StoreError):
            act(store)

        for again in (act, lambda store: None):
            shown, wrong = load.look(store.connection())
            lost = ACKNOWLEDGED.lost(shown, functools.partial(is_gone, name))
            assert (wrong, lost) == ([], []), at
            again(store)
        assert [p.what for p in store.verify() if p.severity == "error"] == [], at
