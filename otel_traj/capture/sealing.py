"""Turns what was recorded into Parquet without this process importing what that takes.

A helper process seals the store once and ends. It is started at the end of the program and when the
log has grown; whoever reads the store seals what is left, so a helper that fails loses nothing.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from otel_traj import processes, wal

EVERY_S: Final = 60.0
GROWTH_BYTES: Final = 8 * 1024 * 1024
_NICENESS: Final = 10


class SealStarter:
    """Decides when to seal, and starts the helper; used by one thread at a time."""

    def __init__(self, store: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Look after one store."""
        self._store = store
        self._clock = clock
        self._last = clock()
        self._sealed_bytes = 0
        self._helper: subprocess.Popen[bytes] | None = None

    def after_tick(self, bytes_written: int) -> None:
        """Seal if it is time and worth it."""
        grown = bytes_written - self._sealed_bytes
        if grown >= GROWTH_BYTES and self._clock() - self._last >= EVERY_S:
            self._last, self._sealed_bytes = self._clock(), bytes_written
            self.start()

    def start(self) -> None:
        """Start a helper, unless ours still runs or another process is sealing."""
        if self._helper is not None and self._helper.poll() is None:
            return
        if wal.is_sealing(self._store):
            return
        self._helper = subprocess.Popen(
            processes.command("otel_traj.store.seal", str(self._store)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=processes.environment(),
            start_new_session=True,
        )
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, self._helper.pid, _NICENESS)

    def leave(self) -> None:
        """Let the helper outlive this process without a word about it."""
        if self._helper is not None and self._helper.poll() is None:
            self._helper.returncode = 0  # or its destructor warns of a child that still runs
