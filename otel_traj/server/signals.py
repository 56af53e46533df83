"""How a service ends: on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal


async def signalled() -> None:
    """Wait for SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    stopping = (signal.SIGTERM, signal.SIGINT)
    for number in stopping:  # not the loop's own handlers, which Windows lacks
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    await stop.wait()
    for number in stopping:
        signal.signal(number, signal.SIG_DFL)
