"""All of `otel-traj serve`: listeners, receiver, sealer, and their orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp

from otel_traj import wal
from otel_traj.errors import ConfigurationError
from otel_traj.redaction import Redaction, choose
from otel_traj.server import app, otlp_grpc
from otel_traj.server.hosts import OwnHost
from otel_traj.server.jaeger.asked import ServiceFrom
from otel_traj.server.jaeger.threads import Threads
from otel_traj.server.keeper import SealerKeeper
from otel_traj.server.lazily import Lazily
from otel_traj.server.listeners import CROWD, Address, GrpcListener, HttpListener, Listener, Tls
from otel_traj.server.metrics import Metrics
from otel_traj.server.otlp_http import OtlpHttp
from otel_traj.server.receiver import Limits, Receiver
from otel_traj.server.signals import signalled
from otel_traj.server.viewer import Viewer

SEAL_S: Final = 60.0
"""How long the last seal may take before the service ends without waiting for it."""

_SPARE_FILES: Final = 256
"""Open files that are no connections, generously."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `serve` is told.

    Attributes:
        store: The store's folder; made if there is none.
        otlp_grpc, otlp_http: Where OTLP comes in; None for nowhere.
        http: Where the viewer, `/health`, `/metrics` and Jaeger's query API are; None for nowhere.
        jaeger_http: Where Jaeger's query API is as well, alone; None for nowhere.
        jaeger_storage: Where a Jaeger server reads the store over gRPC; None for nowhere.
        tls: All listeners speak it if given.
        service_from: What Jaeger's answers call a service.
        token: What clients must show; None for nothing.
        is_open: To listen beyond loopback without a token is meant.
        redaction: What must not reach the disk; None for nothing.
        shown: What must not be shown either, where it did.
        seal_every_s: Seconds from one seal to the next.
    """

    store: Path
    otlp_grpc: Address | None
    otlp_http: Address | None
    http: Address | None
    jaeger_http: Address | None = None
    jaeger_storage: Address | None = None
    service_from: ServiceFrom = "service"
    tls: Tls | None = None
    token: str | None = None
    is_open: bool = False
    redaction: Redaction | None = None
    shown: Redaction = field(default_factory=choose)
    seal_every_s: float = 1.0
    limits: Limits = field(default_factory=Limits)


def check(settings: Settings) -> str | None:
    """Refuse what is not safe; a warning where it hardly is.

    Raises:
        ConfigurationError: Anybody could use the store, or nobody.
    """
    writing = (settings.otlp_grpc, settings.otlp_http)
    reading = (settings.http, settings.jaeger_http, settings.jaeger_storage)
    if not any((*writing, *reading)):
        raise ConfigurationError("There is nothing to do: every listener is off")
    exposed = {
        what: [str(address) for address in listening if address and not address.is_loopback]
        for what, listening in (("write into", writing), ("read", reading))
    }
    if not any(exposed.values()):
        return None
    where = " and ".join(address for addresses in exposed.values() for address in addresses)
    harm = " and ".join(what for what, addresses in exposed.items() if addresses)
    if settings.token is None and not settings.is_open:
        raise ConfigurationError(
            f"Whoever reaches {where} could {harm} the store. Give a token (--token-file FILE"
            " or OTEL_TRAJ_TOKEN), or --no-token where the network keeps others out"
        )
    if settings.token is None:
        return f"whoever reaches {where} can {harm} the store"
    if settings.tls is None:
        return f"the token crosses the network in clear on {where}: give --tls-cert and --tls-key"
    return None


async def serve(settings: Settings, announce: Callable[[str], None]) -> bool:
    """Receive until SIGTERM or SIGINT.

    Args:
        settings: `check` has nothing against them.
        announce: Called with a line for each listener, and at the end.

    Returns:
        Whether all that was received is sealed.

    Raises:
        StoreError: The store cannot be written.
        OSError: A port is taken, or a file of TLS cannot be read.
    """
    wal.initialise(settings.store)
    metrics = Metrics()
    receiver = Receiver(
        settings.store,
        settings.limits,
        metrics,
        token=settings.token,
        redaction=settings.redaction,
    )
    keeper = SealerKeeper(
        settings.store, metrics, receiver.note_backlog, every_s=settings.seal_every_s
    )
    listeners: list[Listener] = []
    threads = Threads()
    try:
        await _listen(settings, receiver, keeper, threads, listeners)
        sealing = asyncio.create_task(keeper.run())
        for name, listener in zip(_names(settings), listeners, strict=True):
            announce(f"{name:9} {listener.address}")
        announce("ready")
        await signalled()
        announce("stopping: what has come is being written and sealed")
    finally:
        receiver.is_stopping = True
        threads.ending.set()
        await asyncio.gather(*(listener.stop() for listener in listeners))
        threads.close()
        receiver.close()
    is_sealed = await keeper.stop(SEAL_S)
    sealing.cancel()
    return is_sealed


def _names(settings: Settings) -> list[str]:
    given = {
        "OTLP/gRPC": settings.otlp_grpc,
        "OTLP/HTTP": settings.otlp_http,
        "HTTP": settings.http,
        "Jaeger": settings.jaeger_http,
        "storage": settings.jaeger_storage,
    }
    return [name for name, address in given.items() if address]


async def _listen(
    settings: Settings,
    receiver: Receiver,
    keeper: SealerKeeper,
    threads: Threads,
    listeners: list[Listener],
) -> None:
    """Begin to listen; what has begun is in `listeners`, also where the next one fails."""
    files = (_most_files() - _SPARE_FILES) // len(_names(settings))
    connections = min(settings.limits.connections, int(files / CROWD))
    tls = settings.tls
    if settings.otlp_grpc:
        server = otlp_grpc.server(receiver, connections=connections)
        listeners.append(await GrpcListener.start(server, settings.otlp_grpc, tls))
    jaeger = Lazily(lambda: _jaeger(settings, receiver, threads), threads)
    viewer = Viewer(settings.store, settings.shown, threads, receiver.is_known)
    for address, application in (
        (settings.otlp_http, OtlpHttp(receiver)),
        (settings.http, OwnHost(app.application(receiver, keeper, jaeger, viewer), settings.http)),
        (settings.jaeger_http, OwnHost(jaeger, settings.jaeger_http)),
    ):
        if address:
            listeners.append(
                await HttpListener.start(application, address, tls, connections=connections)
            )
    if settings.jaeger_storage:
        server = _jaeger_storage(settings, receiver, threads, connections=connections)
        listeners.append(await GrpcListener.start(server, settings.jaeger_storage, tls))


def _jaeger(settings: Settings, receiver: Receiver, threads: Threads) -> ASGIApp:
    from otel_traj.server.jaeger.http import JaegerApi
    from otel_traj.server.jaeger.reading import Reader

    reader = Reader(settings.store, settings.shown)
    api = JaegerApi(reader, threads, receiver.is_known, settings.service_from)
    return api.application()


def _jaeger_storage(
    settings: Settings, receiver: Receiver, threads: Threads, *, connections: int
) -> Any:
    from otel_traj.server.jaeger import storage
    from otel_traj.server.jaeger.reading import Reader

    return storage.server(
        Reader(settings.store, settings.shown),
        threads,
        receiver.is_known,
        settings.service_from,
        connections=connections,
    )


def _most_files() -> int:
    """Raise the number of files that this process may have open to what the system lets it."""
    if sys.platform == "win32":
        return 8192
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS tells a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
