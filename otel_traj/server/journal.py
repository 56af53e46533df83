"""Group commit: requests that arrive together become durable together.

A disk takes one sync at a time, and a sync costs the same for one request as for fifty. One thread
takes all that waits, writes it with one sync, and only then are the requests answered; meanwhile
the next ones gather.
"""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from otel_traj import wal

GROUP_BYTES: Final = wal.SEGMENT_BYTES
"""About how much is written with one sync at most; a larger request is a group of its own."""

SPARE_SHARE: Final = 0.05
SPARE_BYTES: Final = 64 * 1024 * 1024
"""What is left free on a disk, the less of the two: without room to write rows, the sealer could
not make any by removing what it has sealed."""


@dataclass(frozen=True, slots=True)
class _Entry:
    body: bytes
    kind: wal.FrameKind
    written: Future[None] = field(default_factory=Future)


class Journal:
    """Appends the frames of many requests to this process's segment of a store's log."""

    def __init__(self, store: Path) -> None:
        """Begin to take frames; `close` ends it."""
        self._store = store
        self._writer = wal.WalWriter(store)
        self._waiting: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="otel-traj-journal", daemon=True)
        self._thread.start()

    async def append(self, body: bytes, kind: wal.FrameKind) -> None:
        """Write one frame; it is durable when this returns.

        Raises:
            OSError: The disk does not take it.
        """
        entry = _Entry(body, kind)
        self._waiting.put(entry)
        await asyncio.wrap_future(entry.written)

    def close(self) -> None:
        """Write what waits, and let go of the segment."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            if group:
                self._write(group)
        self._writer.close()

    def _next_group(self) -> tuple[list[_Entry], bool]:
        """Wait for one entry and take what else there is; and whether more may come."""
        group: list[_Entry] = []
        size = 0
        while size < GROUP_BYTES:
            try:
                entry = self._waiting.get(block=not group)
            except queue.Empty:
                break
            if entry is None:
                return group, False
            group.append(entry)
            size += len(entry.body)
        return group, True

    def _write(self, group: Sequence[_Entry]) -> None:
        try:
            self._check_disk()
            self._writer.append_all([(entry.body, entry.kind) for entry in group])
        except OSError as error:
            for entry in group:
                _set(entry.written, error)
        else:
            for entry in group:
                _set(entry.written, None)

    def _check_disk(self) -> None:
        try:
            disk = shutil.disk_usage(self._store)
        except FileNotFoundError:
            return  # somebody removed the store: the writer knows what to do
        if disk.free < min(SPARE_BYTES, SPARE_SHARE * disk.total):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _set(future: Future[None], error: OSError | None) -> None:
    """Finish a future, unless whoever waited has gone."""
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
