"""Collection: files that no reader can be using any more are removed.

A snapshot is kept while it is young, one of the last few, or on lease; a Parquet file while a kept
snapshot names it, or the published tables do. What else is there was left by a process that died,
and goes when it is old enough not to be somebody's work in progress.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_traj import wal
from otel_traj.store import locks, published, snapshot
from otel_traj.store.schema import TABLES

GRACE_S: Final = 3_600.0
"""How long a snapshot that is not the newest one stays readable, and a nameless file untouched."""

_LAST: Final = 3
_KEPT_ASIDE: Final = ("quarantine-", "damaged-")
"""What a person may want to look at; nobody but the person removes it."""


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What was removed."""

    snapshots: int = 0
    files: int = 0
    bytes: int = 0


def collect(store: Path, *, grace_s: float = GRACE_S, wait_s: float = 60.0) -> CollectionReport:
    """Remove old snapshots, files that no kept one names, and what dead processes left.

    Args:
        store: The store's folder.
        grace_s: Younger ones stay. With 0 only what the newest snapshot names stays, on lease or
            published or not: a reader of an older one gets an error.
        wait_s: How long to wait for somebody else who is rewriting or sealing.

    Raises:
        StoreError: Somebody else was at it for all of `wait_s`.
        StoreDamagedError: A snapshot that is kept cannot be read; nothing is removed then.
    """
    with locks.held(store, "upkeep", wait_s):
        oldest = time.time() - grace_s
        with locks.held(store, "commit", wait_s):
            found = snapshot.numbers(store)
            kept = _kept(store, found, grace_s, oldest)
            named = _named(store, kept)
            if grace_s > 0:
                named |= published.paths(store)
            dead = [store / "_snap" / f"{n:020d}.json" for n in found if n not in kept]
            # Snapshots first: while one is there, all that it names is.
            _remove(dead)
            if dead:
                wal.sync_folder(store / "_snap")
            nameless = [path for path in _data(store) if _relative(store, path) not in named]
            # Whoever writes files that are not named yet holds one of the two locks until they are.
            garbage = [path for path in nameless if grace_s == 0 or _changed(path) < oldest]
            garbage += [path for path in _scraps(store) if _changed(path) < oldest]
            report = CollectionReport(len(dead), len(garbage), sum(map(_size, garbage)))
            _remove(garbage)
        return report


def is_due(store: Path) -> bool:
    """Whether enough has become old since the last collection to be worth the next one."""
    found = snapshot.numbers(store)
    if len(found) <= _LAST:
        return False
    first = _changed(store / "_snap" / f"{found[0]:020d}.json")
    return time.time() - first > 1.25 * GRACE_S


def _kept(store: Path, found: list[int], grace_s: float, oldest: float) -> set[int]:
    if grace_s == 0:
        return set(found[-1:])
    young = {n for n in found if _changed(store / "_snap" / f"{n:020d}.json") >= oldest}
    return {*found[-_LAST:], *young, *(leased(store) & set(found))}


def _named(store: Path, kept: set[int]) -> set[str]:
    """Files that kept snapshots name; what a seal followed, the seal names as well."""
    named: set[str] = set()
    for n in kept:
        if n + 1 not in kept or not snapshot.is_seal(store, n + 1):
            named |= snapshot.paths(snapshot.read(store, n).files)
    return named


def _data(store: Path) -> Iterator[Path]:
    for table in TABLES:
        yield from (store / table).glob("date=*/*.parquet")


def _scraps(store: Path) -> Iterator[Path]:
    """Drafts of processes that died, and segments that never got their name."""
    for path in (store / "_tmp").glob("*"):
        if path.is_file() and not path.name.startswith((*_KEPT_ASIDE, LEASE)):
            yield path
    for path in (store / "_wal").glob(".*"):
        with contextlib.suppress(OSError):
            if path.is_file() and wal.is_abandoned(path):
                yield path


def _relative(store: Path, path: Path) -> str:
    return path.relative_to(store).as_posix()


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


# --- leases ------------------------------------------------------------------------------------

LEASE: Final = "lease-"
"""How the names of leases begin, in `_tmp`."""


class Lease:
    """Keeps a snapshot and its files from being collected while somebody reads it.

    The kernel ends the lease of a process that dies. A folder that this process cannot write is
    read without one.
    """

    def __init__(self, store: Path, n: int) -> None:
        """Take it.

        Args:
            store: The store's folder.
            n: Number of the snapshot.
        """
        path = store / "_tmp" / f"{LEASE}{n}-{wal.ulid()}"
        fd: int | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            wal.try_lock(fd)
        self.release = weakref.finalize(self, _release, path, fd, os.getpid())

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _release(path: Path, fd: int | None, pid: int) -> None:
    if fd is None:
        return
    os.close(fd)
    if os.getpid() == pid:  # a forked child closes its copy, the lease is the parent's
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def leased(store: Path) -> set[int]:
    """Numbers of the snapshots that living processes read; leases of dead ones are removed."""
    numbers = set()
    for path in (store / "_tmp").glob(f"{LEASE}*"):
        with contextlib.suppress(OSError, ValueError):
            if wal.is_abandoned(path):
                path.unlink(missing_ok=True)
            else:
                numbers.add(int(path.name.removeprefix(LEASE).partition("-")[0]))
    return numbers
