"""The store's two locks: who may commit, and who may rewrite what was committed.

Both are `flock`s, which the kernel frees when their holder dies, however it dies. A thread may take
one that it holds already. Who needs both takes `upkeep` first.

    upkeep    one at a time compacts, retains, erases, reassembles, publishes: the long work,
              beside which agents record, sealers seal and readers read
    commit    one at a time publishes a snapshot: milliseconds; the sealer holds it while it seals.
              Who has `upkeep` is next to get it (`_turn`)

Readers and recording processes take neither.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Final, Literal, TypeAlias

from otel_traj import wal
from otel_traj.errors import StoreError

Lock: TypeAlias = Literal["commit", "upkeep"]

_FILE: Final = {"commit": "_lock", "upkeep": "_upkeep"}
_WORK: Final = {"commit": "sealing", "upkeep": "rewriting"}
_POLL_S: Final = 0.01

_TURN: Final = "_turn"
"""Held by a rewriter that waits to commit. Nobody else begins to commit then: sealers follow each
other closely, and whoever rewrites would find the lock free by luck only."""

_mine = threading.local()  # which locks this thread holds


@contextlib.contextmanager
def attempt(store: Path, lock: Lock, wait_s: float = 0.0) -> Iterator[bool]:
    """Take a lock if it gets free in time; whether it did."""
    taken: set[tuple[int, Path, Lock]] = _mine.__dict__.setdefault("locks", set())
    key = (os.getpid(), store.absolute(), lock)
    if key in taken:
        yield True
        return
    fd = _opened(store / _FILE[lock])
    is_rewriter = (key[0], key[1], "upkeep") in taken
    try:
        deadline = time.monotonic() + wait_s
        is_next = _turn(store, deadline) if lock == "commit" and is_rewriter else nullcontext()
        with is_next:
            while not (is_held := _take(store, lock, fd, is_rewriter)) and (
                time.monotonic() < deadline
            ):
                time.sleep(_POLL_S)
        if is_held:
            taken.add(key)
        yield is_held
    finally:
        taken.discard(key)
        os.close(fd)


@contextlib.contextmanager
def _turn(store: Path, deadline: float) -> Iterator[None]:
    """Be next to commit; there is one rewriter, and who only asks holds this for a moment."""
    fd = _opened(store / _TURN)
    try:
        while not wal.try_lock(fd) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(fd)


def _take(store: Path, lock: Lock, fd: int, is_rewriter: bool) -> bool:
    if lock == "commit" and not is_rewriter:
        turn = _opened(store / _TURN)
        try:
            if not wal.try_lock(turn):
                return False
        finally:
            os.close(turn)
    return wal.try_lock(fd)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


@contextlib.contextmanager
def held(store: Path, lock: Lock, wait_s: float) -> Iterator[None]:
    """Take a lock.

    Raises:
        StoreError: Somebody else held it for all of `wait_s` seconds.
    """
    with attempt(store, lock, wait_s) as is_held:
        if not is_held:
            raise StoreError(
                f"Another process has been {_WORK[lock]} {str(store)!r} for {wait_s:g} s;"
                " try again when it is done"
            )
        yield
