"""OTLP over gRPC: codes, reasons, and when to come again."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_traj import otlp, wal
from otel_traj.server import otlp_grpc, receiver
from otel_traj.server.listeners import Address, GrpcListener
from otel_traj.server.metrics import Metrics
from otel_traj.server.receiver import Limits, Receiver
from otel_traj.store import open_store
from tests.server.mutations import mutated
from tests.server.serving import Serving, ask, listening, serving, wait_for
from tests.store.runs import run

pytestmark = pytest.mark.slow

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
GOOD = otlp.traces_to_protobuf(run(1))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    store = tmp_path_factory.mktemp("served") / "traces"
    with serving(store, "--max-body", "1", OTEL_TRAJ_TOKEN="secret") as running:
        yield running


@pytest.fixture(scope="module")
def channel(service: Serving) -> Iterator[Any]:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(service.grpc, options) as channel:
        yield channel


def export(
    channel: Any, body: bytes, method: str = EXPORT, token: str | None = "secret", **options: Any
) -> bytes:
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    call = channel.unary_unary(method)
    return bytes(call(body, timeout=20, metadata=metadata, **options))


def refused(channel: Any, body: bytes, **options: Any) -> tuple[str, str]:
    """Code and reason."""
    with pytest.raises(grpc.RpcError) as caught:
        export(channel, body, **options)
    error: Any = caught.value
    return error.code().name, error.details()


def test_an_answer_without_content_says_that_all_is_stored(channel: Any) -> None:
    assert export(channel, GOOD) == b""
    assert export(channel, GOOD, compression=grpc.Compression.Gzip) == b""
    assert export(channel, b"") == b""


def test_a_part_that_is_rejected_is_counted_in_the_answer(channel: Any) -> None:
    flawed = otlp.parsed(GOOD, "traces")
    flawed.resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano = 0

    answer = ExportTraceServiceResponse.FromString(export(channel, flawed.SerializeToString()))

    partial = answer.partial_success
    assert (partial.rejected_spans, partial.error_message) == (1, "1 with an invalid time")


@pytest.mark.parametrize(
    ("request_", "code", "why"),
    [
        ({"body": b"\xff\xff"}, "INVALID_ARGUMENT", "Not an OTLP traces message"),
        ({"token": None}, "UNAUTHENTICATED", "Authorization: Bearer"),
        ({"token": "wrong"}, "UNAUTHENTICATED", "Authorization: Bearer"),
        ({"method": EXPORT.replace("Trace", "Metrics")}, "UNIMPLEMENTED", "Method not found"),
        ({"body": bytes(1_100_000)}, "RESOURCE_EXHAUSTED", "larger than max"),
        (
            {"body": bytes(200_000_000), "compression": grpc.Compression.Gzip},
            "RESOURCE_EXHAUSTED",
            "larger than max",
        ),
    ],
)
def test_a_refusal_says_why_and_the_next_request_is_taken(
    channel: Any, request_: dict[str, Any], code: str, why: str
) -> None:
    told = refused(channel, **{"body": GOOD, **request_})

    assert told[0] == code
    assert why in told[1]
    assert export(channel, GOOD) == b""


def test_a_call_without_a_message_is_refused(channel: Any) -> None:
    call = channel.stream_unary(EXPORT)
    with pytest.raises(grpc.RpcError) as caught:
        call(iter(()), timeout=20, metadata=(("authorization", "Bearer secret"),))

    assert (caught.value.code().name, caught.value.details()) == (
        "INVALID_ARGUMENT",
        "The call has no message",
    )


def test_other_protocols_on_the_port_are_in_nobodys_way(channel: Any, service: Serving) -> None:
    host, port = service.grpc.split(":")
    for sent in (b"GET / HTTP/1.1\r\n\r\n", random.Random(3).randbytes(5000), b""):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(sent)

    assert export(channel, GOOD) == b""


def test_mutated_requests_are_taken_or_refused_and_none_is_lost(
    channel: Any, service: Serving
) -> None:
    chance = random.Random(5)
    taken = 0
    for _ in range(200):
        body = mutated(GOOD, "protobuf", chance)
        if is_taken(channel, body):
            taken += 1
        else:
            assert refused(channel, body)[0] == "INVALID_ARGUMENT"

    assert 0 < taken < 200
    assert open_store(service.store).seal().rejected == 0
    metrics = service.metrics(token="secret")
    assert metrics["otel_traj_sealer_frames_unreadable_total"] == 0


def is_taken(channel: Any, body: bytes) -> bool:
    try:
        export(channel, body)
    except grpc.RpcError:
        return False
    return True


def test_figures_are_for_who_has_the_token_and_health_for_all(service: Serving) -> None:
    address = service.addresses["HTTP"]

    assert ask(address, "GET", "/metrics", b"").status == 401
    assert ask(address, "GET", "/metrics", b"", authorization="Bearer secret").status == 200
    assert ask(address, "GET", "/health", b"").status == 200


# --- calls that say nothing --------------------------------------------------------------------


@contextlib.contextmanager
def receiving(store: Path, **limits: Any) -> Iterator[tuple[Any, Metrics]]:
    """A channel to a receiver in this process, and the receiver's figures."""
    wal.initialise(store)
    metrics = Metrics()

    async def start() -> GrpcListener:
        taking = Receiver(store, Limits(**limits), metrics)
        closed.callback(taking.close)
        server = otlp_grpc.server(taking, connections=100)
        return await GrpcListener.start(server, Address("127.0.0.1", 0), None)

    with (
        contextlib.ExitStack() as closed,
        listening(start) as address,
        grpc.insecure_channel(address) as channel,
    ):
        yield channel, metrics


@contextlib.contextmanager
def silent_calls(channel: Any, count: int) -> Iterator[list[Any]]:
    """Calls that have begun, and send no message while the block lasts."""
    is_over = threading.Event()

    def messages(begun: threading.Event) -> Iterator[bytes]:
        begun.set()
        is_over.wait(30)
        yield from ()

    calls = []
    for _ in range(count):
        begun = threading.Event()
        calls.append(channel.stream_unary(EXPORT).future(messages(begun)))
        assert begun.wait(20)
    try:
        yield calls
    finally:
        is_over.set()


def told_when(error: Any) -> tuple[int, int]:
    """When to come again, in seconds: where the specification has it, and where Python looks."""
    trailers = dict(error.trailing_metadata())
    told = RetryInfo()
    [packed] = Status.FromString(trailers["grpc-status-details-bin"]).details
    assert packed.Unpack(told)
    also = RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"])
    return told.retry_delay.seconds, also.retry_delay.seconds


@contextlib.contextmanager
def no_room(store: Path) -> Iterator[tuple[Any, list[Any]]]:
    """A channel to a receiver whose room silent calls hold; and the calls."""
    n, body = 8, 1_000_000
    with (
        receiving(store, body=body, memory=n * body) as (channel, metrics),
        silent_calls(channel, n) as silent,
    ):
        wait_for(lambda: b"in_flight_bytes 8e+06" in metrics.text())
        yield channel, silent


def test_without_room_a_call_is_told_when_to_come_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "WAIT_S", 0.3)
    monkeypatch.setattr(receiver, "PATIENCE_S", 30)
    with no_room(store) as (channel, _), pytest.raises(grpc.RpcError) as caught:
        export(channel, GOOD)

    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert told_when(error) == (1, 1)


def test_calls_that_say_nothing_make_way_for_others(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "PATIENCE_S", 0.1)
    with no_room(store) as (channel, silent):
        assert export(channel, GOOD) == b""
        wait_for(lambda: any(call.done() for call in silent))
        [sent_off] = [call for call in silent if call.done()]  # no more than had to
        error = sent_off.exception()

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "came slowly while others waited" in error.details()
    assert told_when(error) == (1, 1)


def test_a_call_whose_message_does_not_come_is_refused(store: Path) -> None:
    with receiving(store, slow_s=0.2) as (channel, _):
        with silent_calls(channel, 1) as [silent]:
            error = silent.exception()

        assert export(channel, GOOD) == b""

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error.details() == "The request did not come within 0.2 s"


def test_thousands_of_silent_connections_and_calls_are_in_nobodys_way(store: Path) -> None:
    with serving(store, "--max-body", "1", "--max-memory", "8") as service:
        host, port = service.grpc.split(":")
        with contextlib.ExitStack() as all_:
            for _ in range(2_000):
                all_.enter_context(socket.create_connection((host, int(port)), timeout=20))
            channel = all_.enter_context(grpc.insecure_channel(service.grpc))
            all_.enter_context(silent_calls(channel, 16))

            assert export(channel, GOOD, token=None) == b""
