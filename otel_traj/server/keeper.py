"""Keeps a sealer beside the receiver: a process of its own, replaced when it dies."""

from __future__ import annotations

import asyncio
import json
import logging
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Final

from otel_traj import processes
from otel_traj.server.metrics import Metrics

_log = logging.getLogger("otel_traj.server")

DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 60.0
"""How long to wait before a dead sealer is replaced: twice as long each time, up to the second."""


class SealerKeeper:
    """Runs `otel_traj.server.sealer` for a store."""

    def __init__(
        self, store: Path, metrics: Metrics, on_queue: Callable[[int], None], *, every_s: float
    ) -> None:
        """Prepare; `run` begins.

        Args:
            store: The store's folder.
            metrics: Told of every seal.
            on_queue: Called with how many bytes of the log are not sealed, each second or so.
            every_s: Seconds from the begin of one seal to the next.
        """
        self._store = store
        self._metrics = metrics
        self._on_queue = on_queue
        self._every_s = every_s
        self._process: Process | None = None
        self._n_seals = 0
        self._is_stopping = False
        self.is_running = False

    async def run(self) -> None:
        """Keep a sealer running, until `stop`."""
        delay_s = DELAY_S
        while not self._is_stopping:
            seals_before = self._n_seals
            end = await self._run_one()
            if self._is_stopping:
                return
            has_worked = self._n_seals > seals_before
            delay_s = DELAY_S if has_worked else min(2 * delay_s, LONGEST_DELAY_S)
            _log.warning("The sealer %s; the next one comes in %g s", end, delay_s)
            self._metrics.sealer_restarted()
            await asyncio.sleep(delay_s)

    async def stop(self, timeout_s: float) -> bool:
        """Let it seal what there is and end; whether it did in time (else it goes on alone)."""
        self._is_stopping = True
        if self._process is None or self._process.stdin is None:
            return True
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), timeout_s)
        except TimeoutError:
            return False
        return self._process.returncode == 0

    async def _run_one(self) -> str:
        """Follow one sealer to its end; how that was."""
        try:
            process = self._process = await self._start()
        except OSError as error:  # no process, descriptor or memory to be had
            return f"cannot be started: {error}"
        following = asyncio.create_task(self._follow(process))
        status = await process.wait()
        # Not until its output ends: a worker that it started may hold that longer.
        await asyncio.wait([following], timeout=1)
        following.cancel()
        self.is_running = False
        return f"ended with status {status}"

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *processes.command("otel_traj.server.sealer", str(self._store), str(self._every_s)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=processes.environment(),
            start_new_session=True,  # Ctrl-C is for the receiver, which then stops it
        )

    async def _follow(self, process: Process) -> None:
        """Pass its reports on."""
        assert process.stdout is not None
        async for line in process.stdout:
            if not line.endswith(b"\n"):
                return  # it died in the middle
            figures = json.loads(line)
            self._metrics.queue(figures["queue_bytes"])
            self._on_queue(figures["queue_bytes"])
            if "snapshot" in figures:
                self.is_running = True
                self._n_seals += 1
                self._metrics.sealed(figures)
