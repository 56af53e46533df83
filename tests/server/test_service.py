"""`otel-traj serve` as an operator meets it: start, tokens, TLS, figures, crashes, the end."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from otel_traj import otlp
from otel_traj.cli.frame import main
from otel_traj.errors import ConfigurationError
from otel_traj.server import service
from otel_traj.server.listeners import Address, Tls
from otel_traj.server.service import Settings
from otel_traj.store import open_store
from tests.server.serving import PROTOBUF, Serving, serving, wait_for
from tests.store.runs import run

pytestmark = pytest.mark.slow

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
GOOD = otlp.traces_to_protobuf(run(1))


# --- the end -----------------------------------------------------------------------------------


def test_when_it_is_stopped_all_is_sealed(store: Path) -> None:
    with serving(store, "--seal-every", "1000") as served:
        assert served.post("/v1/traces", GOOD).status == 200
        assert served.stop() == 0

    assert list((store / "_wal").iterdir()) == []
    assert open_store(store).sql("select n_steps from trajectories").fetchall() == [(3,)]


def test_a_request_under_way_is_answered_when_it_is_interrupted(store: Path) -> None:
    with serving(store) as served:
        connection = http.client.HTTPConnection(served.addresses["OTLP/HTTP"], timeout=20)
        with contextlib.closing(connection):
            connection.putrequest("POST", "/v1/traces")
            connection.putheader("Content-Type", PROTOBUF)
            connection.putheader("Content-Length", str(len(GOOD)))
            connection.endheaders(GOOD[:100])
            wait_for(lambda: served.metrics()["otel_traj_receiver_in_flight_bytes"] > 0)
            served.process.send_signal(signal.SIGINT)
            connection.send(GOOD[100:])

            assert connection.getresponse().status == 200
        served.process.communicate(timeout=60)

    assert open_store(store).sql("select count(*) from spans").fetchall() == [(4,)]


def test_a_call_under_way_is_answered_when_it_is_stopped(store: Path) -> None:
    may_send = threading.Event()

    def message() -> Iterator[bytes]:
        may_send.wait(20)
        yield GOOD

    with serving(store) as served, grpc.insecure_channel(served.grpc) as channel:
        call = channel.stream_unary(EXPORT).future(message())
        wait_for(lambda: served.metrics()["otel_traj_receiver_in_flight_bytes"] > 0)
        served.process.send_signal(signal.SIGTERM)
        may_send.set()

        assert call.result(timeout=20) == b""
        served.process.communicate(timeout=60)

    assert open_store(store).sql("select count(*) from spans").fetchall() == [(4,)]


class Senders:
    """Four threads, two over each transport, that send runs until each one is acknowledged."""

    def __init__(self, receivers: list[Serving]) -> None:
        """Send to these, in turns; whoever takes the place of one stands in its place."""
        self.acknowledged: list[int] = []
        self.receivers = receivers
        self.to_send = threading.Semaphore(0)
        self._numbers = itertools.count(1)
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=[each])
            for each in (self._over_http, self._over_grpc) * 2
        ]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.to_send.release(len(self._threads))
        for thread in self._threads:
            thread.join()

    def _run(self, send: Callable[[Serving, bytes], bool]) -> None:
        for number in self._numbers:
            self.to_send.acquire()
            body = otlp.traces_to_protobuf(run(number))
            for attempt in itertools.count(number):
                if self._is_over.is_set():
                    return
                if send(self.receivers[attempt % len(self.receivers)], body):
                    self.acknowledged.append(number)
                    break

    def _over_http(self, receiver: Serving, body: bytes) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return receiver.post("/v1/traces", body).status == 200
        return False

    def _over_grpc(self, receiver: Serving, body: bytes) -> bool:
        with (
            contextlib.suppress(grpc.RpcError),
            grpc.insecure_channel(receiver.grpc) as channel,
        ):
            return bool(channel.unary_unary(EXPORT)(body, timeout=20) == b"")
        return False


def test_whatever_is_acknowledged_by_receivers_that_are_killed_is_stored_once(store: Path) -> None:
    """Two share the store; one or the other is killed, and another takes its place."""
    with contextlib.ExitStack() as running:
        receivers = [running.enter_context(serving(store)) for _ in range(2)]
        senders = running.enter_context(Senders(receivers))
        for number in range(3):
            senders.to_send.release(40)
            wait_for(lambda: len(senders.acknowledged) > 40 * number + 5)  # noqa: B023 - at once
            killed = receivers[number % 2]
            killed.kill()
            receivers[number % 2] = running.enter_context(serving(store, *killed.options))
            wait_for(lambda: len(senders.acknowledged) == 40 * (number + 1))  # noqa: B023

    found = open_store(store).sql("select task, n_spans from trajectories").fetchall()
    assert {f"order-{number}" for number in senders.acknowledged} <= {task for task, _ in found}
    assert len(found) == len(dict(found))
    assert {n_spans for _, n_spans in found} == {4}
    assert open_store(store).verify() == []


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="tells what is loaded")
def test_what_reads_a_store_is_loaded_when_somebody_asks(store: Path) -> None:
    def is_loaded(running: Serving) -> bool:
        return "duckdb" in Path(f"/proc/{running.process.pid}/maps").read_text()

    with serving(store) as running:
        urllib.request.urlopen(f"{running.api}/health", timeout=30).close()
        assert not is_loaded(running)

        with urllib.request.urlopen(f"{running.api}/api/services", timeout=30) as answer:
            assert json.load(answer)["data"] == []
        assert is_loaded(running)


def test_a_sealer_that_dies_is_replaced(store: Path) -> None:
    with serving(store, "--seal-every", "0.1") as served:
        [sealer] = children(served)
        os.kill(sealer, signal.SIGKILL)
        assert served.post("/v1/traces", GOOD).status == 200

        wait_for(lambda: sealed(served) == 4)

        assert served.metrics()["otel_traj_sealer_restarts_total"] == 1


def test_a_service_that_is_killed_leaves_no_process(store: Path) -> None:
    with serving(store) as served:
        wait_for(lambda: health(served)["sealer"] == "running")
        [sealer] = children(served)
        served.kill()

    wait_for(lambda: not Path(f"/proc/{sealer}").exists())


def children(served: Serving) -> list[int]:
    pid = served.process.pid
    wait_for(lambda: bool(Path(f"/proc/{pid}/task/{pid}/children").read_text()))
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sealed(served: Serving) -> float:
    return served.metrics().get('otel_traj_sealer_records_sealed_total{signal="traces"}', 0.0)


def health(served: Serving) -> dict[str, str]:
    with urllib.request.urlopen(f"{served.api}/health") as answer:
        told: dict[str, str] = json.load(answer)
    return told


def test_while_the_sealer_is_far_behind_requests_are_told_to_come_again(store: Path) -> None:
    with serving(store, "--seal-every", "3", "--max-backlog", "0.000001") as served:
        wait_for(lambda: health(served)["sealer"] == "running")
        statuses = [served.post("/v1/traces", GOOD).status for _ in range(4)]
        behind = served.post("/v1/traces", GOOD)
        wait_for(lambda: served.post("/v1/traces", GOOD).status == 200)

    assert statuses == [200, 200, 503, 503]  # 1,073 bytes may wait, a request has 901
    assert behind.headers["retry-after"] == "5"
    assert b"More than 1,073 bytes wait to be sealed" in behind.body


def test_json_that_takes_much_memory_is_read_one_at_a_time(store: Path) -> None:
    """Each of four takes thirty times its size while it is read."""
    size = 8 * 1024 * 1024
    dear = b'{"resourceSpans":[' + b"{}," * (size // 3 - 10) + b"{}]}"
    with serving(store, "--max-body", "8", "--max-memory", "64") as served:
        before = memory_bytes(served, "VmRSS")
        with ThreadPoolExecutor(4) as senders:
            asked = [
                senders.submit(served.post, "/v1/traces", dear, content_type="application/json")
                for _ in range(4)
            ]
        peak = memory_bytes(served, "VmHWM")

    assert [answer.result().status for answer in asked] == [200] * 4
    assert peak - before < 4 * size + 36 * size


def memory_bytes(served: Serving, key: str) -> int:
    """A figure of the process's memory, as /proc names it."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{key}:")]
    return int(line.split()[1]) * 1024


# --- who may ------------------------------------------------------------------------------------


def settings(store: Path, host: str, **options: Any) -> Settings:
    address = Address(host, 4318)
    return Settings(store=store, otlp_grpc=None, otlp_http=address, http=None, **options)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_this_machine_no_token_is_needed(store: Path, host: str) -> None:
    assert service.check(settings(store, host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_beyond_this_machine_a_token_is_asked_for(store: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match="Give a token"):
        service.check(settings(store, host))


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"is_open": True}, "whoever reaches 0.0.0.0:4318 can write"),
        ({"token": "secret"}, "the token crosses the network in clear"),
        ({"token": "secret", "tls": Tls(Path("cert"), Path("key"))}, None),
    ],
)
def test_what_is_hardly_safe_is_warned_of(
    store: Path, options: dict[str, Any], warning: str | None
) -> None:
    told = service.check(settings(store, "0.0.0.0", **options))

    assert told is None if warning is None else warning in str(told)


def test_with_nothing_to_take_it_does_not_start(store: Path) -> None:
    nothing = Settings(store=store, otlp_grpc=None, otlp_http=None, http=None)

    with pytest.raises(ConfigurationError, match="nothing to do"):
        service.check(nothing)


@pytest.mark.parametrize("text", ["4318", ":4318", "host:", "host:x", "host:70000", ""])
def test_an_address_is_host_and_port(text: str) -> None:
    with pytest.raises(ConfigurationError, match="give HOST:PORT, or off"):
        Address.parse(text)


def test_addresses_are_read_as_they_are_written() -> None:
    texts = ["127.0.0.1:4317", "[::1]:4318", "localhost:0"]

    assert [str(Address.parse(text)) for text in texts] == texts
    assert Address.parse("off") is None


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-nodes", "-days", "2", "-out", str(cert), "-keyout", str(key)]
    try:
        subprocess.run([*command, *names, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    return cert, key


def test_a_key_that_does_not_fit_is_told_before_anything_starts(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate

    for pair in ((key, cert), (cert, tmp_path / "none")):
        with pytest.raises(ConfigurationError, match="Cannot use the certificate"):
            Tls.of(*pair)


def test_all_ports_speak_tls(store: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    trusting = ssl.create_default_context(cafile=str(cert))
    with serving(store, "--tls-cert", str(cert), "--tls-key", str(key)) as served:
        for name, path in (("OTLP/HTTP", "/v1/traces"), ("HTTP", "/health")):
            request = urllib.request.Request(
                f"https://{served.addresses[name]}{path}",
                GOOD if path == "/v1/traces" else None,
                {"Content-Type": PROTOBUF},
            )
            with urllib.request.urlopen(request, context=trusting) as answer:
                assert answer.status == 200
        credentials = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(served.grpc, credentials) as channel:
            assert channel.unary_unary(EXPORT)(GOOD, timeout=20) == b""


# --- figures -----------------------------------------------------------------------------------


def frame(body: bytes) -> bytes:
    """A request as it stands in the log."""
    return b"#%08x %d otlp-traces\n" % (zlib.crc32(body), len(body)) + body


def test_figures_tell_what_became_of_everything(store: Path) -> None:
    flawed = otlp.parsed(otlp.traces_to_protobuf(run(2)), "traces")
    flawed.resource_spans[0].scope_spans[0].spans[0].trace_id = b""
    late = replace(run(1)[-1], span_id="ab" * 8)
    damaged = frame(GOOD).replace(b"order-1", b"order-0")
    with serving(store, "--seal-every", "0.1") as served:
        served.post("/v1/traces", GOOD)
        served.post("/v1/traces", GOOD)
        served.post("/v1/traces", flawed.SerializeToString())
        served.post("/v1/traces", b"\xff")
        wait_for(lambda: sealed(served) == 7)
        served.post("/v1/traces", otlp.traces_to_protobuf([late]))
        (store / "_wal" / "of-a-writer-that-died.wal").write_bytes(damaged + frame(GOOD))
        wait_for(lambda: sealed(served) == 8)
        wait_for(lambda: served.metrics()["otel_traj_sealer_records_duplicate_total"] == 8)
        told = served.metrics()

    def of(name: str, **labels: str) -> float:
        inner = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        return told[f"otel_traj_{name}{{{inner}}}" if labels else f"otel_traj_{name}"]

    sender = {"signal": "traces", "transport": "http"}
    assert of("receiver_records_received_total", **sender) == 13
    assert of("receiver_io_bytes_total", **sender) > 3 * len(GOOD)
    assert of("receiver_records_durable_total", **sender) == 12
    assert of("receiver_records_rejected_total", **sender) == 1
    assert of("receiver_requests_refused_total", transport="http", reason="malformed") == 1
    assert of("receiver_request_duration_seconds_count", **sender) == 4
    assert of("receiver_in_flight_bytes") == 0
    assert of("sealer_records_duplicate_total") == 8
    assert of("sealer_spans_late_total") == 1
    assert of("sealer_frames_unreadable_total") == 1
    assert of("sealer_restarts_total") == 0
    assert of("sealer_queue_bytes") == 0
    assert time.time() - of("sealer_last_seal_seconds") < 60


def test_a_port_that_is_taken_is_one_line(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(SystemExit) as ended:
            main(["serve", "--store", str(store), "--otlp-grpc", "off", "--otlp-http", taken])

    assert ended.value.code == 2
    assert f"Cannot listen on {taken}: Address already in use" in capsys.readouterr().err
