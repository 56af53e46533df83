"""Reading is done on threads: an event loop that waits for the disk receives nothing."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

READERS: Final = 4
"""Questions that are answered at a time; the engine spreads each over all cores."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

_END: Final[Any] = object()


class Threads:
    """A few threads to read on.

    Attributes:
        ending: Set when the server begins to stop: answers without an end, end.
    """

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self._pool = ThreadPoolExecutor(READERS, "otel-traj-read")

    async def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function on one of them."""
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def each(self, items: Iterator[_T]) -> AsyncIterator[_T]:
        """The items of an iterator that reads, each fetched on one of them."""
        while (item := await self.call(next, items, _END)) is not _END:
            yield item

    def close(self) -> None:
        """Wait for what is being read, and take no more."""
        self._pool.shutdown(cancel_futures=True)
