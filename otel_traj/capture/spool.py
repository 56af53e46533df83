"""Lines on their way to the log: in order, and kept while the disk cannot be written.

A full, vanished or read-only disk is nothing that an agent should notice. Lines wait here, up to
`SPOOL_BYTES`, and are written when it can be again; beyond that the oldest are given up. Whoever
records is told once, by the logger, of the first failure, and of the first loss by the caller.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from otel_traj import wal
from otel_traj.capture.guard import logger

SPOOL_BYTES: Final = 64 * 1024 * 1024

_FRAME_BYTES: Final = 4 * 1024 * 1024


class Spool:
    """What waits to be written; used by one thread at a time."""

    def __init__(self, writer: wal.WalWriter, give_up: Callable[[bytes], object]) -> None:
        """Wait for lines.

        Args:
            writer: Where they go.
            give_up: Called with each line that is lost.
        """
        self._writer = writer
        self._give_up = give_up
        self._lines: deque[bytes] = deque()
        self.n_bytes = 0
        """How much waits."""
        self.bytes_written = 0
        self.failures = 0

    def add(self, lines: Iterable[bytes]) -> None:
        """Queue lines behind those that wait."""
        for line in lines:
            self._lines.append(line)
            self.n_bytes += len(line)

    def write(self) -> bool:
        """Append what waits, in frames; whether nothing waits any more."""
        while self._lines:
            try:
                n_lines = self._write_frame()
            # Memory that is short is another thing that may be there again a moment later.
            except (OSError, MemoryError) as error:
                self._failed(error)
                break
            for _ in range(n_lines):
                self._pop()
        while self.n_bytes > SPOOL_BYTES:
            self._give_up(self._pop())
        return not self._lines

    def give_up(self) -> int:
        """Lose what still waits; how many lines those were."""
        n_lines = len(self._lines)
        while self._lines:
            self._give_up(self._pop())
        return n_lines

    def close(self) -> None:
        """Let go of the log's segment."""
        self._writer.close()

    def _write_frame(self) -> int:
        """Append the oldest lines as one frame; how many."""
        n_lines = n_bytes = 0
        for line in self._lines:
            n_lines += 1
            n_bytes += len(line)
            if n_bytes >= _FRAME_BYTES:
                break
        self._writer.append(b"".join(itertools.islice(self._lines, n_lines)))
        self.bytes_written += n_bytes
        return n_lines

    def _pop(self) -> bytes:
        line = self._lines.popleft()
        self.n_bytes -= len(line)
        return line

    def _failed(self, error: OSError | MemoryError) -> None:
        self.failures += 1
        if self.failures == 1:
            logger.warning(
                "Cannot write to the store: %s. Your program goes on; up to %d MB of records wait"
                " in memory and are written as soon as they can be, without a further word"
                " (Recording.stats().write_failures). Make room, or bring the disk back",
                str(error) or type(error).__name__,
                SPOOL_BYTES >> 20,
            )
