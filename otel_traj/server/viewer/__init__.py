"""The viewer and the HTTP API under it: `/api/ot/v1/*`, and the files that the wheel brings.

    request -> `guard` (who may ask, how often)  -> `routes` (what is asked, by name and type)
            -> `asking` (on a thread, as JSON, cached) -> `listing`, `spans`, `transcript` ...
               (what a store says, as `answers` declares it)

Everything is read through `reading.Reader`, from one snapshot each; every text is redacted on its
way out. Names and types are public: docs/viewer-api.md, ui/openapi.json.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp

from otel_traj.redaction import Redaction
from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.lazily import Lazily


class Viewer(Lazily):
    """An ASGI application that is loaded when the first request comes: half a second of imports."""

    def __init__(
        self,
        store: Path,
        redaction: Redaction,
        threads: Threads,
        is_known: Callable[[str | None], bool],
        *,
        seals: bool = False,
    ) -> None:
        """Show a store.

        Args:
            store: Its folder.
            redaction: What is replaced on the way out.
            threads: What it is read on.
            is_known: Whether a header `Authorization` shows what is asked for.
            seals: Whether what was recorded is sealed before it is read; else another process does.
        """
        super().__init__(self._loaded, threads)
        self._store = store
        self._redaction = redaction
        self._is_known = is_known
        self._seals = seals

    def _loaded(self) -> ASGIApp:
        from otel_traj.server.viewer.app import viewer
        from otel_traj.server.viewer.reading import Reader
        from otel_traj.store import TrajectoryStore

        store = TrajectoryStore(self._store, seals=self._seals)
        return viewer(Reader(store, self._redaction), self._threads, self._is_known)
