"""How much memory deriving one run may take, so that a sealer is never killed for it."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import Final

_SHARE: Final = 0.5
"""Of the memory that there is; agents, their models and readers need the rest."""

_UNKNOWN: Final = 8 * 1024**3
"""What there is where the system does not tell."""

_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where a container's limit stands; `max` in words, or a number beyond all memory, is none."""


@functools.cache
def for_one_run() -> int:
    """Bytes that deriving one run may take: half of the machine's memory, or of the container's."""
    there = [_of_machine()]
    for limit in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            there.append(int(limit.read_text()))
    return int(min(there) * _SHARE)


def _of_machine() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, and systems without the second name
        return _UNKNOWN
