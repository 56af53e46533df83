"""A snapshot in the making: several changes, each on top of the one before, become one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from otel_traj.store import rewrite, sealing, snapshot
from otel_traj.store.rewrite import Change
from otel_traj.store.snapshot import DataFile, Files, Operation, Snapshot


class Draft:
    """What the next snapshot will be; used by one thread that holds the lock `commit`.

    At the end of the `with`, files that were written for it and are in no snapshot are removed: all
    of them where it was not published, those that a later change replaced where it was.

    Attributes:
        base: The newest snapshot, on which it builds.
        content: What it holds so far; its files are durable and seen by nobody.
    """

    def __init__(self, store: Path, op: Operation) -> None:
        """Begin with what the newest snapshot holds."""
        self._store = store
        self._op: Operation = op
        self._written: dict[str, list[DataFile]] = {}
        self.base = snapshot.newest(store)
        self.content = replace(self.base, n=self.base.n + 1, op=op)
        self._named = self.base

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *_: object) -> None:
        named = snapshot.paths(self._named.files)
        rewrite.discard(
            self._store,
            {
                table: tuple(file for file in own if file.path not in named)
                for table, own in self._written.items()
            },
        )

    @property
    def is_changed(self) -> bool:
        """Whether publishing it would change anything."""
        return self.content.files != self.base.files or self.content.open != self.base.open

    def apply(self, change: Change) -> None:
        """Let live files go, and others come."""
        for table, files in change.add.items():
            self._written.setdefault(table, []).extend(files)
        following = self.content.changed(change.drop, change.add, self._op)
        self.content = replace(following, n=self.content.n)

    def add(self, files: Files) -> None:
        """Let files come."""
        self.apply(Change(add=files))

    def open(self, traces: Mapping[str, dict[str, Any]]) -> None:
        """Say which traces still run."""
        self.content = replace(self.content, open=traces)

    def publish(self) -> Snapshot:
        """Commit it.

        Raises:
            SnapshotConflictError: Somebody else committed although this thread holds the lock.
        """
        snapshot.commit(self._store, self.content)
        self._named = self.content
        sealing.write_views(self._store, self.content)
        return self.content
