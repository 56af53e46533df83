"""Which files the Delta tables of a store name: `_published.json`, for whoever removes files.

It is written before the logs of the tables are, with the old and the new files, and after them with
the new ones; so it is never less than what a reader of a table may open.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from otel_traj.errors import StoreDamagedError
from otel_traj.wal import sync_folder, ulid

_FILE: Final = "_published.json"


def is_published(store: Path) -> bool:
    """Whether the store has Delta tables."""
    return (store / _FILE).exists()


def paths(store: Path) -> set[str]:
    """The files that the Delta tables name, relative to the store; none without tables.

    Raises:
        StoreDamagedError: It cannot be told.
    """
    path = store / _FILE
    try:
        return set(json.loads(path.read_bytes())["files"])
    except FileNotFoundError:
        return set()
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(
            f"Cannot read {str(path)!r}: {error!r}. Remove it, then: otel-traj publish"
        ) from error


def record(store: Path, n: int, named: Collection[str]) -> None:
    """Say, durably, which files the tables may name from now on, and of which snapshot they are."""
    draft = store / "_tmp" / f"{ulid()}.json"
    draft.parent.mkdir(exist_ok=True)
    with draft.open("w") as file:
        json.dump({"snapshot": n, "files": sorted(named)}, file, indent=0)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(store / _FILE)
    sync_folder(store)
