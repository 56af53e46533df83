"""Ports that are listened on: HTTP by uvicorn, gRPC by grpcio; both with the same two verbs."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
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

HEAD_S: Final = 10.0
HEAD_BYTES: Final = 64 * 1024
"""How long, and how large, the head of a request may be."""

LINGER_S: Final = 1.0
"""How long who was refused in the middle of a request may go on sending, unheard."""


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


class _HttpProtocol(HttpToolsProtocol):
    """Gives the head of a request limits in time and size, which uvicorn does not."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._is_refused = False
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(f"The head of a request may have {HEAD_BYTES:,} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._deadline.cancel()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._deadline.cancel()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        self._deadline = self.loop.call_later(
            HEAD_S, self._refuse, f"The head of a request must come within {HEAD_S:g} s."
        )

    def _refuse(self, reason: str) -> None:
        if self.transport.is_closing():
            return
        self._is_refused = True
        self._deadline.cancel()
        head = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
        answer = f"{head}Content-Length: {len(reason)}\r\n\r\n{reason}"
        self.transport.write(answer.encode())
        # Closed at once, with bytes unread, the connection would be reset and the answer lost.
        self.loop.call_later(LINGER_S, self.transport.close)


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
