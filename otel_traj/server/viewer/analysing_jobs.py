"""Long questions: each is asked once at a time, and given up when nobody waits for it any more.

They have threads of their own, so that a page of analyses leaves those of the list alone. What was
answered is kept for a while. All of it belongs to one event loop; only `Job` is shared with the
threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import duckdb

from otel_traj.errors import OtelTrajError

AT_ONCE: Final = 2
"""Questions that are worked at; the engine spreads each over all cores."""

_KEPT: Final = 128
"""Answers: some 50 KB each."""

_LOOKS_S: Final = 0.5
"""How long somebody who went away is taken to be waiting."""


class NobodyWaitsError(OtelTrajError):
    """A question was given up because nobody waits for its answer."""


class Job:
    """A question that is worked at on another thread, and how to stop that."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self.n_waiting = 0
        self._mutex = threading.Lock()  # protects what follows
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._is_stopped = False

    def goes_on(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Say what the thread now waits for.

        Raises:
            NobodyWaitsError: It should not.
        """
        with self._mutex:
            if self._is_stopped:
                raise NobodyWaitsError("Nobody waits for this any more")
            self._cursor = cursor

    def stop(self) -> None:
        """Let the thread have done soon."""
        with self._mutex:
            self._is_stopped = True
            if self._cursor is not None:
                self._cursor.interrupt()


class Jobs:
    """The questions that are worked at, and the answers of the last ones."""

    def __init__(self) -> None:
        """Begin with none."""
        self._pool = ThreadPoolExecutor(AT_ONCE, "otel-traj-analyse")
        self._working: dict[Hashable, tuple[Job, asyncio.Future[Any]]] = {}
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    async def answer(
        self,
        key: Hashable,
        make: Callable[[Job], Any],
        has_gone: Callable[[], Awaitable[bool]],
    ) -> Any:
        """What a question is answered with.

        Args:
            key: Equal for equal questions.
            make: Answers it, on a thread; raises what this raises.
            has_gone: Whether the asker does not wait any more.

        Raises:
            NobodyWaitsError: So it was; nobody reads this.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._working:
            self._begin(key, make)
        job, answered = self._working[key]
        job.n_waiting += 1
        try:
            while not (await asyncio.wait((answered,), timeout=_LOOKS_S))[0]:
                if await has_gone():
                    raise NobodyWaitsError("Nobody waits for this any more")
            return answered.result()
        finally:
            job.n_waiting -= 1
            if not job.n_waiting and not answered.done():
                del self._working[key]  # who asks now begins anew
                job.stop()

    def _begin(self, key: Hashable, make: Callable[[Job], Any]) -> None:
        job = Job()
        answered = asyncio.get_running_loop().run_in_executor(self._pool, make, job)
        self._working[key] = job, answered
        answered.add_done_callback(lambda done: self._keep(key, job, done))

    def _keep(self, key: Hashable, job: Job, done: asyncio.Future[Any]) -> None:
        if self._working.get(key, (None,))[0] is job:
            del self._working[key]
        if not done.cancelled() and done.exception() is None:
            self._kept[key] = done.result()
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
