"""The viewer by itself, as `otel-traj view` runs it."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from otel_traj.errors import ConfigurationError
from otel_traj.redaction import Redaction
from otel_traj.server.hosts import OwnHost
from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.listeners import Address, HttpListener
from otel_traj.server.signals import signalled
from otel_traj.server.viewer import Viewer
from otel_traj.store import open_store

PORT: Final = 7788
CONNECTIONS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `view` is told.

    Attributes:
        store: The store's folder.
        host: Where to listen.
        port: On which port; 0 is any that is free, None is `PORT` or else any.
        token: What askers must show; None for nothing.
        is_open: To listen beyond loopback without a token is meant.
        shown: What must not be shown.
    """

    store: Path
    host: str = "127.0.0.1"
    port: int | None = None
    token: str | None = None
    is_open: bool = False
    shown: Redaction


async def view(settings: Settings, announce: Callable[[str], None]) -> None:
    """Show a store until SIGTERM or SIGINT.

    Args:
        settings: What to show, and where.
        announce: Called with the URL when the viewer is there.

    Raises:
        ConfigurationError: Everybody could read the store.
        StoreNotFoundError: There is no store.
        OSError: The port is taken.
    """
    address = Address(settings.host, PORT if settings.port is None else settings.port)
    if not (address.is_loopback or settings.token or settings.is_open):
        raise ConfigurationError(
            f"Whoever reaches {address} could read the store. Give a token (--token-file FILE or"
            " OTEL_TRAJ_TOKEN), or --no-token where the network keeps others out"
        )
    open_store(settings.store)
    threads = Threads()
    viewer = Viewer(settings.store, settings.shown, threads, _knows(settings.token), seals=True)
    try:
        listener = await _listen(OwnHost(viewer, address), address, settings.port is None)
        try:
            announce(_url(listener.address, settings.token))
            await signalled()
        finally:
            threads.ending.set()
            await listener.stop()
    finally:
        threads.close()


async def _listen(app: OwnHost, address: Address, is_any_good: bool) -> HttpListener:
    try:
        return await HttpListener.start(app, address, None, connections=CONNECTIONS)
    except OSError:
        if not is_any_good:
            raise
        free = Address(address.host, 0)
        return await HttpListener.start(app, free, None, connections=CONNECTIONS)


def _knows(token: str | None) -> Callable[[str | None], bool]:
    """Whether a header `Authorization` shows the token, if there is one."""
    expected = None if token is None else f"Bearer {token}".encode()

    def is_known(authorization: str | None) -> bool:
        given = (authorization or "").encode("utf-8", "surrogateescape")
        return expected is None or hmac.compare_digest(given, expected)

    return is_known


def _url(address: Address, token: str | None) -> str:
    """Where a browser of this machine finds it; what follows `#` is sent to no server."""
    host = address.host if address.is_loopback else "localhost"
    beyond = f"/#token={quote(token)}" if token else "/"
    return f"http://{Address(host, address.port)}{beyond}"
