"""Ports that are listened on: HTTP by uvicorn, gRPC by grpcio; both with the same two verbs."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import grpc  # type: ignore[import-untyped]
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from otel_traj.errors import ConfigurationError

GRACE_S: Final = 10.0
"""How long requests under way may take to end when a listener is stopped."""

IDLE_S: Final = 75
"""How long a connection stays open between two requests: longer than exporters are silent."""

GRPC_IDLE_S: Final = 600
"""The same over gRPC, where clients connect again unnoticed."""

PING_S: Final = 60
PONG_S: Final = 20
"""How often a connection over gRPC is asked whether somebody is there, and how long it may take."""

HEAD_S: Final = 10.0
HEAD_BYTES: Final = 64 * 1024
"""How long, and how large, the head of a request may be."""

LINGER_S: Final = 1.0
REST_S: Final = 10.0
"""How long who was refused in the middle of a head, or of a body, may go on sending, unheard."""

CROWD: Final = 1.25
"""Connections beyond the limit are told so, up to so many times the limit; then they are cut."""

BACKLOG: Final = 128
"""Connections that wait to be taken. asyncio takes so many before it looks at one, hence more would
be far beyond the limit; and when it may open no more files, it logs each one that waits."""

UNREAD_S: Final = 10.0
"""How long who has an answer to read may take none of it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        """As `HOST:PORT`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """Read `HOST:PORT`, or `off` as None.

        Raises:
            ConfigurationError: It is neither.
        """
        if text == "off":
            return None
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ConfigurationError(f"Cannot listen on {text!r}: give HOST:PORT, or off")
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class Tls:
    """Two files in PEM."""

    certificate: Path
    key: Path

    @classmethod
    def of(cls, certificate: Path, key: Path) -> Tls:
        """The files, when they have been tried.

        Raises:
            ConfigurationError: One cannot be read, or they do not belong together.
        """
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
        except OSError as error:  # of which SSLError is one
            pair = f"certificate {str(certificate)!r} with the key {str(key)!r}"
            raise ConfigurationError(f"Cannot use the {pair}: {error}") from error
        return cls(certificate, key)


class Listener(Protocol):
    """A port that is listened on."""

    address: Address

    async def stop(self) -> None:
        """Take no more requests; returns when those under way have ended, or `GRACE_S` is over."""


class HttpListener:
    """An ASGI application on a port."""

    def __init__(self, address: Address, server: uvicorn.Server, task: asyncio.Task[None]) -> None:
        self.address = address
        self._server = server
        self._task = task

    @classmethod
    async def start(
        cls, app: ASGIApp, address: Address, tls: Tls | None, *, connections: int
    ) -> HttpListener:
        """Listen; connections beyond `connections` are answered with 503.

        Raises:
            OSError: The port is taken, or a file of `tls` cannot be read.
        """
        config = uvicorn.Config(
            app,
            http=_HttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=connections,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=int(GRACE_S),
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
        )
        config.load()
        bound = _bind(address)
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        if task.done():
            task.result()
        return cls(Address(address.host, bound.getsockname()[1]), server, task)

    async def stop(self) -> None:
        """See `Listener`."""
        self._server.should_exit = True
        await self._task


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named: 40 ms per answer.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address.host, address.port))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"Cannot listen on {address}: {error.strerror}") from error
    return bound


class _Server(uvicorn.Server):
    """Leaves signals to us: there are several servers in this process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


_BAD: Final = "400 Bad Request"


class _HttpProtocol(HttpToolsProtocol):
    """Gives every state of a connection a limit in time, and heads one in size.

    uvicorn limits the time between two requests alone, and any byte ends that. Here a deadline runs
    at all times but while the application has the request, which then limits the time of the body.
    And uvicorn refuses requests of every connection when there are too many; here the newest ones
    are refused, and the others served.
    """

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self._most = self.limit_concurrency or sys.maxsize
        self.limit_concurrency = None
        self._is_refused = self._is_in_body = False
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()
        if len(self.connections) > self._most:
            self._refuse("503 Service Unavailable", "There are too many connections.")
        if len(self.connections) > CROWD * self._most:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(_BAD, f"The head of a request may have {HEAD_BYTES:,} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._deadline.cancel()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._is_in_head, self._is_in_body = False, True
        self._deadline.cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_body = False
        if self.cycle.response_complete:
            self._close_after(IDLE_S)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self._is_in_head:
            # Closed at once, with bytes unread, the connection would be reset and the answer lost.
            self._close_after(REST_S if self._is_in_body else IDLE_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def _expect_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()

        def look_again() -> None:
            if self.transport.get_write_buffer_size() < unread:
                self._expect_reading()
            else:
                self.transport.abort()

        self._unread = self.loop.call_later(UNREAD_S, look_again)

    def _expect_head(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        self._deadline = self.loop.call_later(
            HEAD_S, self._refuse, _BAD, f"The head of a request must come within {HEAD_S:g} s."
        )

    def _refuse(self, status: str, reason: str) -> None:
        if self.transport.is_closing():
            return
        self._is_refused = True
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
        answer = f"{head}Content-Length: {len(reason)}\r\n\r\n{reason}"
        self.transport.write(answer.encode())
        self._close_after(LINGER_S)

    def _close_after(self, seconds: float) -> None:
        """Unless a request begins before; without waiting for who does not read."""
        self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


def grpc_options(connections: int) -> list[tuple[str, int]]:
    """Limits of a gRPC server's connections: so many, and what becomes of silent ones."""
    return [
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", int(HEAD_S * 1000)),
        ("grpc.max_connection_idle_ms", GRPC_IDLE_S * 1000),
        ("grpc.keepalive_time_ms", PING_S * 1000),
        ("grpc.keepalive_timeout_ms", PONG_S * 1000),
        # Agents keep a channel for hours, and some ping it more often than gRPC likes.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", 0),
    ]


class GrpcListener:
    """A `grpc.aio` server on a port."""

    def __init__(self, address: Address, server: Any) -> None:
        self.address = address
        self._server = server

    @classmethod
    async def start(cls, server: Any, address: Address, tls: Tls | None) -> GrpcListener:
        """Listen.

        Raises:
            OSError: The port is taken, or a file of `tls` cannot be read.
        """
        try:
            if tls is None:
                port = server.add_insecure_port(str(address))
            else:
                pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
                port = server.add_secure_port(str(address), grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise OSError(f"Cannot listen on {address}: {error}") from error
        await server.start()
        return cls(Address(address.host, port), server)

    async def stop(self) -> None:
        """See `Listener`."""
        await self._server.stop(GRACE_S)
