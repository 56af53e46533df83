"""Applications that are loaded when somebody first asks them something.

What reads a store needs its engine and Arrow: half a second, and as much memory again as a receiver
takes that nobody asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from otel_traj.server.jaeger.threads import Threads


class Lazily:
    """An ASGI application in the place of one that is not loaded yet."""

    def __init__(self, load: Callable[[], ASGIApp], threads: Threads) -> None:
        """Load nothing yet.

        Args:
            load: Makes the application; called once.
            threads: What it is loaded on: those who send do not wait for it.
        """
        self._load = load
        self._threads = threads
        self._loading = asyncio.Lock()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        async with self._loading:
            if self._app is None:
                self._app = await self._threads.call(self._load)
        await self._app(scope, receive, send)
