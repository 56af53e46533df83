"""Connections that are silent, slow or too many are ended, in whatever state they are."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import grpc  # type: ignore[import-untyped]
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from otel_traj.server import listeners
from otel_traj.server.listeners import Address, GrpcListener, HttpListener, grpc_options
from tests.server.serving import listening

LARGE = 30_000_000
"""More bytes than the buffers of two ends of a connection hold."""


class Application:
    """Answers at once, whatever the body; at `/large` with much, and tells when that is over."""

    def __init__(self) -> None:
        self.is_over = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/large":
            await Response("ok")(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for size in (LARGE, 0):  # the second one waits until the first one is read
            await send({"type": "http.response.body", "body": bytes(size), "more_body": size > 0})
        self.is_over.set()


@contextlib.contextmanager
def http(application: Application, connections: int = 100) -> Iterator[str]:
    start, address = HttpListener.start, Address("127.0.0.1", 0)
    with listening(lambda: start(application, address, None, connections=connections)) as told:
        yield told


@contextlib.contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    """A connection that does not hang for ever."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """What comes until the other side closes or cuts the connection; raises if it does not."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while chunk := connection.recv(1 << 20):
            received += chunk
    return bytes(received)


def drip(connection: socket.socket, byte: bytes) -> None:
    """Send a byte now and then until the other side closes the connection."""
    connection.settimeout(0.05)
    try:
        for _ in range(200):
            with contextlib.suppress(TimeoutError):
                if not connection.recv(65536):
                    return
            connection.sendall(byte)
    except ConnectionError:  # closed with a byte unread
        return
    raise AssertionError("it was never closed")


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


def test_a_body_that_nobody_waits_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "REST_S", 0.3)
    with http(Application()) as address, connected(address) as connection:
        connection.sendall(GET + b"Content-Length: 1000000000\r\n\r\n")

        drip(connection, b"x")


def test_bytes_between_requests_do_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "IDLE_S", 0.3)
    with http(Application()) as address, connected(address) as connection:
        connection.sendall(GET + b"\r\n")

        drip(connection, b"\n")


def test_who_does_not_read_the_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "UNREAD_S", 0.2)
    application = Application()
    with http(application) as address, connected(address) as connection:
        connection.sendall(GET.replace(b"/", b"/large", 1) + b"\r\n")
        assert application.is_over.wait(20)

        assert len(until_closed(connection)) < LARGE


def test_who_reads_the_answer_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "UNREAD_S", 0.6)
    with http(Application()) as address, connected(address) as connection:
        connection.sendall(GET.replace(b"/", b"/large", 1) + b"Connection: close\r\n\r\n")
        received = 0
        for _ in range(8):
            time.sleep(0.2)
            received += len(connection.recv(LARGE // 10, socket.MSG_WAITALL))

        assert received + len(until_closed(connection)) > LARGE


def test_connections_beyond_the_limit_are_told_so_and_the_others_served() -> None:
    with http(Application(), connections=8) as address, contextlib.ExitStack() as all_:
        crowd = [all_.enter_context(connected(address)) for _ in range(10)]
        told = [until_closed(connection) for connection in crowd[8:]]
        crowd[0].sendall(GET + b"Connection: close\r\n\r\n")

        assert until_closed(crowd[0]).startswith(b"HTTP/1.1 200 ")
    for answer in told:
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"There are too many connections.")


def test_far_beyond_the_limit_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "LINGER_S", 1000)
    with http(Application(), connections=8) as address, contextlib.ExitStack() as all_:
        crowd = [all_.enter_context(connected(address)) for _ in range(30)]

        for connection in crowd[10:]:
            until_closed(connection)


def test_over_grpc_connections_beyond_the_limit_are_cut() -> None:
    async def start() -> GrpcListener:
        server = grpc.aio.server(options=grpc_options(5))
        return await GrpcListener.start(server, Address("127.0.0.1", 0), None)

    with listening(start) as address, contextlib.ExitStack() as all_:
        crowd = [all_.enter_context(connected(address)) for _ in range(20)]

        assert [until_closed(connection) for connection in crowd[5:]] == [b""] * 15


def test_over_grpc_a_connection_that_says_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "HEAD_S", 0.2)

    async def start() -> GrpcListener:
        server = grpc.aio.server(options=grpc_options(5))
        return await GrpcListener.start(server, Address("127.0.0.1", 0), None)

    with listening(start) as address, connected(address) as connection:
        until_closed(connection)
