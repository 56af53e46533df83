"""OTLP over HTTP, word for word: what is answered to whom, and that the next one is served."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.client
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_traj import otlp, wal
from otel_traj.redaction import Redaction
from otel_traj.server import listeners, receiver
from otel_traj.server.listeners import Address, HttpListener
from otel_traj.server.metrics import Metrics
from otel_traj.server.otlp_http import OtlpHttp
from otel_traj.server.receiver import Limits, Receiver
from otel_traj.store import TrajectoryStore, sealing
from tests.server.mutations import mutated
from tests.server.serving import PROTOBUF, Answer, ask, listening
from tests.store.runs import run

GOOD = otlp.traces_to_protobuf(run(1))
JSON = "application/json"

Listen = Callable[..., AbstractContextManager[str]]


@contextlib.contextmanager
def receiving(
    store: Path,
    *,
    token: str | None = None,
    redaction: Redaction | None = None,
    connections: int = 100,
    **limits: Any,
) -> Iterator[str]:
    """A receiver in this process, by its address."""
    wal.initialise(store)

    async def start() -> HttpListener:
        taking = Receiver(store, Limits(**limits), Metrics(), token=token, redaction=redaction)
        closed.callback(taking.close)
        address = Address("127.0.0.1", 0)
        return await HttpListener.start(OtlpHttp(taking), address, None, connections=connections)

    with contextlib.ExitStack() as closed, listening(start) as address:
        yield address


@pytest.fixture
def listen(store: Path) -> Listen:
    return functools.partial(receiving, store)


@pytest.fixture
def address(listen: Listen) -> Iterator[str]:
    """A receiver that stores into `store`."""
    with listen() as address:
        yield address


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A receiver of which only the answers matter."""
    with receiving(tmp_path_factory.mktemp("store"), body=1_000_000) as address:
        yield address


def post(address: str, body: bytes, path: str = "/v1/traces", **headers: str) -> Answer:
    return ask(address, "POST", path, body, **headers)


def reason(answer: Answer) -> str:
    """What a refusal says, in the encoding that OTLP prescribes."""
    if answer.headers["content-type"] == PROTOBUF:
        return str(Status.FromString(answer.body).message)
    return str(json.loads(answer.body)["message"])


def raw(address: str, *parts: bytes, ends: bool = False) -> bytes:
    """What comes back over a socket until the other side closes it."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


# --- what is taken -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [(bytes, "identity"), (gzip.compress, "gzip"), (zstandard.compress, "zstd")],
)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (GOOD, PROTOBUF),
        (json.dumps(otlp.traces_to_json(run(1))).encode(), JSON),
        (json.dumps(otlp.traces_to_json(run(1))).encode(), "application/json; charset=utf-8"),
    ],
)
def test_every_encoding_is_taken(
    address: str,
    store: Path,
    body: bytes,
    content_type: str,
    pack: Callable[[bytes], bytes],
    encoding: str,
) -> None:
    answer = post(address, pack(body), content_type=content_type, content_encoding=encoding)

    assert answer.status == 200
    assert answer.body == (b"" if content_type == PROTOBUF else b"{}")
    assert answer.headers["content-type"] == content_type.partition(";")[0]
    assert sealing.seal(store).spans == 4


def test_a_part_that_is_rejected_is_counted_in_the_answer(anywhere: str) -> None:
    message = otlp.traces_to_json(run(1))
    message["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = "00"
    flawed = otlp.parsed(GOOD, "traces")
    flawed.resource_spans[0].scope_spans[0].spans[0].trace_id = b"\0"

    as_json = post(anywhere, json.dumps(message).encode(), content_type=JSON)
    as_protobuf = post(anywhere, flawed.SerializeToString())

    assert (as_json.status, json.loads(as_json.body)) == (
        200,
        {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "1 with an invalid trace id"}},
    )
    partial = ExportTraceServiceResponse.FromString(as_protobuf.body).partial_success
    assert (partial.rejected_spans, partial.error_message) == (1, "1 with an invalid trace id")


def test_a_body_in_chunks_is_taken(address: str, store: Path) -> None:
    connection = http.client.HTTPConnection(address, timeout=20)
    with contextlib.closing(connection):
        parts = (GOOD[i : i + 100] for i in range(0, len(GOOD), 100))
        connection.request("POST", "/v1/traces", parts, {"Content-Type": PROTOBUF})

        assert connection.getresponse().status == 200
    assert sealing.seal(store).spans == 4


# --- what is refused ---------------------------------------------------------------------------


BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("request_", "status", "why"),
    [
        ({"path": "/v1/metrics"}, 404, "Nothing is taken at /v1/metrics"),
        ({"path": "/"}, 404, "Nothing is taken at /"),
        ({"content_type": "text/plain"}, 415, "Send it as Content-Type"),
        ({"content_type": ""}, 415, "Send it as Content-Type"),
        ({"content_encoding": "br"}, 415, "Unknown Content-Encoding 'br'"),
        ({"body": b"\xff\xff"}, 400, "Not an OTLP traces message"),
        ({"body": b"{}", "content_type": PROTOBUF}, 400, "Not an OTLP traces message"),
        ({"body": b"{", "content_type": JSON}, 400, "Not JSON"),
        ({"body": b"[]", "content_type": JSON}, 400, "Not OTLP JSON"),
        ({"content_encoding": "gzip"}, 400, "Not gzip"),
        ({"body": gzip.compress(GOOD)[:-9], "content_encoding": "gzip"}, 400, "cut off"),
        ({"body": b"zstd", "content_encoding": "zstd"}, 400, "Not zstd"),
        ({"body": BOMB, "content_encoding": "gzip"}, 413, "larger than 1,000,000 bytes"),
        ({"body": bytes(1_000_001)}, 413, "larger than 1,000,000 bytes"),
        ({"body": bytes(100_000_000)}, 413, "larger than 1,000,000 bytes"),
    ],
)
def test_a_refusal_says_why_and_the_next_request_is_taken(
    anywhere: str, request_: dict[str, Any], status: int, why: str
) -> None:
    answer = post(anywhere, **{"body": GOOD, **request_})

    assert answer.status == status
    assert why in reason(answer)
    assert post(anywhere, GOOD).status == 200


def test_a_refusal_comes_in_the_encoding_of_the_request(anywhere: str) -> None:
    as_json = post(anywhere, b"{", content_type=JSON)
    as_protobuf = post(anywhere, b"\xff", content_type=PROTOBUF)
    of_neither = post(anywhere, b"<xml/>", content_type="text/xml")

    types = [answer.headers["content-type"] for answer in (as_json, as_protobuf, of_neither)]
    assert types == [JSON, PROTOBUF, JSON]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_post_is_taken(anywhere: str, method: str) -> None:
    answer = ask(anywhere, method, "/v1/traces", b"")

    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_a_body_in_chunks_is_refused_when_it_has_grown_too_large(anywhere: str) -> None:
    connection = http.client.HTTPConnection(anywhere, timeout=20)
    with contextlib.closing(connection):
        parts = (bytes(100_000) for _ in range(30))
        connection.request("POST", "/v1/traces", parts, {"Content-Type": PROTOBUF})

        assert connection.getresponse().status == 413
    assert post(anywhere, GOOD).status == 200


HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the first bytes of TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"hello\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: a\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"X: " + b"y" * 200_000,
        HEAD + b"X: y\r\n" * 20_000,
    ],
)
def test_what_is_no_http_is_refused(anywhere: str, sent: bytes) -> None:
    assert raw(anywhere, sent, ends=True).startswith(b"HTTP/1.1 400 ")
    assert post(anywhere, GOOD).status == 200


def test_a_sender_that_leaves_in_between_stores_nothing(address: str, store: Path) -> None:
    for length in (0, 10, len(GOOD) - 1):
        raw(address, HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD), GOOD[:length], ends=True)

    assert post(address, GOOD).status == 200
    assert sealing.seal(store).spans == 4


def test_a_body_that_does_not_come_is_refused(listen: Listen) -> None:
    with listen(slow_s=0.2) as address:
        answer = raw(address, HEAD + b"Content-Length: 1000\r\n\r\n", b"x")

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert post(address, GOOD).status == 200


def test_who_was_refused_may_end_the_request_and_send_another(anywhere: str) -> None:
    connection = http.client.HTTPConnection(anywhere, timeout=20)
    with contextlib.closing(connection):
        statuses = []
        for path, body in (("/v1/traces", bytes(3_000_000)), ("/v1/traces", GOOD)):
            connection.request("POST", path, body, {"Content-Type": PROTOBUF})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)

    assert statuses == [413, 200]


def test_a_head_that_does_not_come_is_refused(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "HEAD_S", 0.2)
    monkeypatch.setattr(listeners, "LINGER_S", 0.1)
    with listen() as address:
        assert raw(address, HEAD).startswith(b"HTTP/1.1 400 ")
        assert raw(address).startswith(b"HTTP/1.1 400 ")
        assert post(address, GOOD).status == 200


def test_the_token_is_asked_for(listen: Listen, store: Path) -> None:
    with listen(token="secret") as address:
        refused = [
            post(address, GOOD),
            post(address, GOOD, authorization="Bearer secret2"),
            post(address, GOOD, authorization="Bearer ünknown"),
            post(address, GOOD, authorization="secret"),
        ]
        taken = post(address, GOOD, authorization="Bearer secret")

    assert [answer.status for answer in refused] == [401] * 4
    assert {answer.headers["www-authenticate"] for answer in refused} == {"Bearer"}
    assert taken.status == 200
    assert sealing.seal(store).spans == 4


def test_what_is_redacted_never_reaches_the_disk(listen: Listen, store: Path) -> None:
    key = "sk-ant-api03-" + "x" * 20
    with listen(redaction=Redaction()) as address:
        post(address, otlp.traces_to_protobuf(run(1, note=f"use {key}")))
    logged = b"".join(path.read_bytes() for path in (store / "_wal").iterdir())

    assert sealing.seal(store).spans == 4
    assert b"redacted" in logged
    assert key.encode() not in logged


# --- many at once ------------------------------------------------------------------------------


def test_without_room_requests_are_told_when_to_come_again(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "WAIT_S", 0.2)
    with listen(body=10_000, memory=10_000) as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=20) as holding:
            holding.sendall(HEAD + b"Content-Length: 9900\r\n\r\n" + bytes(10))
            answers = [post(address, GOOD) for _ in range(3)]

        assert [answer.status for answer in answers] == [503] * 3
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}
        assert post(address, GOOD).status == 200


@contextlib.contextmanager
def half_sent(address: str, sent: int = 10) -> Iterator[socket.socket]:
    """A connection whose request has announced 9,900 bytes, and sent some."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(HEAD + b"Content-Length: 9900\r\n\r\n" + bytes(sent))
        yield connection


def test_a_body_that_does_not_come_makes_way_for_others(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "PATIENCE_S", 0.1)
    with listen(body=10_000, memory=10_000) as address, half_sent(address) as silent:
        taken = post(address, GOOD)
        told = silent.recv(65536)

    assert taken.status == 200
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in told
    assert b"came slowly while others waited" in told


def test_a_body_that_comes_keeps_its_room(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "PATIENCE_S", 0.1)
    monkeypatch.setattr(receiver, "SLOW_BYTES_S", 1)
    monkeypatch.setattr(receiver, "WAIT_S", 0.5)
    with listen(body=10_000, memory=10_000) as address, half_sent(address, 5_000) as coming:
        waited = post(address, GOOD)
        coming.sendall(bytes(4_900))
        told = coming.recv(65536)

    assert waited.status == 503
    assert told.startswith(b"HTTP/1.1 400 ")  # not OTLP, and read to its end


def test_who_waits_for_room_gets_it_when_it_is_free(listen: Listen) -> None:
    n = 40
    with listen(body=10_000, memory=len(GOOD) + 1) as address:
        answers: list[int] = []
        senders = [
            threading.Thread(target=lambda: answers.append(post(address, GOOD).status))
            for _ in range(n)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    assert answers == [200] * n


def test_thousands_of_idle_connections_are_in_nobodys_way(listen: Listen) -> None:
    with listen(connections=3_000) as address, contextlib.ExitStack() as idle:
        host, port = address.split(":")
        for _ in range(2_000):
            idle.enter_context(socket.create_connection((host, int(port)), timeout=20))

        assert post(address, GOOD).status == 200


def test_one_connection_too_many_is_told_so(listen: Listen) -> None:
    with listen(connections=10) as address:
        with contextlib.ExitStack() as idle:
            host, port = address.split(":")
            for _ in range(20):
                idle.enter_context(socket.create_connection((host, int(port)), timeout=20))
            crowded = post(address, GOOD).status
        while post(address, GOOD).status != 200:  # the connections are being closed
            pass

    assert crowded == 503


def test_mutated_requests_are_taken_or_refused_and_none_is_lost(address: str, store: Path) -> None:
    chance = random.Random(11)
    as_json = json.dumps(otlp.traces_to_json(run(1))).encode()
    statuses = []
    connection = http.client.HTTPConnection(address, timeout=20)
    with contextlib.closing(connection):
        for number in range(300):
            body = (
                mutated(as_json, "json", chance)
                if number % 2
                else mutated(GOOD, "protobuf", chance)
            )
            headers = {"Content-Type": JSON if number % 2 else PROTOBUF}
            connection.request("POST", "/v1/traces", body, headers)
            answer = connection.getresponse()
            told = answer.read()
            statuses.append(answer.status)
            assert answer.status == 200 or reason(
                Answer(answer.status, {"content-type": answer.headers["content-type"]}, told)
            )

    assert set(statuses) == {200, 400}
    assert post(address, GOOD).status == 200
    assert sealing.seal(store).rejected == 0
    assert TrajectoryStore(store).verify() == []
