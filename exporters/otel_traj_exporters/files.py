"""Files that are at their place when all of them is written, and not before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Write a file that is at `path` when all of it is written, and not there if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file.write
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
