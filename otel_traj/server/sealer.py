"""`python -m otel_traj.server.sealer DIR EVERY_S`: seals a store again and again; `keeper` runs it.

Standard output has one JSON object for each seal, and one a second that says how much of the log is
not sealed. It ends, after a last seal, when its standard input ends: so it outlives nobody who
started it. Another thread merges small files meanwhile, which may take longer than from one seal to
the next.
"""
# ruff: noqa: T201 - standard output is how it reports

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from otel_traj.errors import OtelTrajError
from otel_traj.store import compaction, sealing, snapshot
from otel_traj.store.workers import Workers, without_pandas

_log = logging.getLogger("otel_traj.server.sealer")

IDLE_S: Final = 5.0
"""How often to seal where nothing has come: what ends runs is also that nothing comes."""

NICENESS: Final = 5
"""Acknowledging comes before sealing, where there are not enough processors for both."""

QUEUE_S: Final = 1.0
"""How often to tell what is not sealed: a seal that has much to do may take minutes."""

COMPACT_S: Final = 20.0
"""How often to see whether files are to be merged."""


def main(arguments: list[str]) -> int:
    """Seal until standard input ends."""
    if len(arguments) != 2:
        print("usage: python -m otel_traj.server.sealer DIR EVERY_S", file=sys.stderr)
        return 2
    logging.basicConfig(format="otel-traj: sealer: %(message)s", level=logging.WARNING)
    store, every_s = Path(arguments[0]), float(arguments[1])
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    stop = threading.Event()
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    threading.Thread(target=_tell_queue_until, args=(stop, store), daemon=True).start()
    compactor = threading.Thread(target=_compact_until, args=(stop, store))
    compactor.start()
    try:
        with Workers() as workers:
            _seal_until(stop, store, every_s, workers)
    except (OtelTrajError, OSError) as error:
        _log.warning("%s", error)
        return 1
    finally:
        stop.set()
        compactor.join()
    return 0


def _watch(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


def _seal_until(stop: threading.Event, store: Path, every_s: float, workers: Workers) -> None:
    known: dict[str, int] | None = None
    sealed_at = 0.0
    while not stop.is_set():
        began = time.monotonic()
        lengths = sealing.lengths(store)
        if lengths != known or began - sealed_at >= IDLE_S:
            _seal(store, workers)
            known, sealed_at = lengths, began
        workers.end_idle()
        stop.wait(max(0.0, began + every_s - time.monotonic()))
    _seal(store, workers)


def _compact_until(stop: threading.Event, store: Path) -> None:
    while not stop.wait(COMPACT_S):
        try:
            compaction.compact(store, wait_s=1.0)
        except (OtelTrajError, OSError) as error:
            _log.warning("Files are not merged: %s", error)


def _tell_queue_until(stop: threading.Event, store: Path) -> None:
    while not stop.wait(QUEUE_S):
        with contextlib.suppress(OtelTrajError, OSError):
            _tell(queue_bytes=queue_bytes(store))


def _seal(store: Path, workers: Workers) -> None:
    report = sealing.seal(store, workers=workers)
    _tell(
        snapshot=report.snapshot,
        spans=report.spans,
        logs=report.logs,
        duplicates=report.duplicates,
        late=report.late,
        rejected=report.rejected,
        queue_bytes=queue_bytes(store),
    )


def _tell(**figures: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # who started us is dead; what it took is sealed
        os.write(sys.stdout.fileno(), json.dumps(figures).encode() + b"\n")  # whole: it is short


def queue_bytes(store: Path) -> int:
    """How much of the log no snapshot covers."""
    covered = snapshot.newest(store).wal
    return sum(
        max(0, length - covered.get(name, 0)) for name, length in sealing.lengths(store).items()
    )


if __name__ == "__main__":
    without_pandas()
    sys.exit(main(sys.argv[1:]))
