"""How fast `otel-traj serve` takes spans over the network, and how soon SQL sees them.

    python bench/receiver.py [--spans 100000] [--transport http grpc] [--soak SECONDS]

GenAI spans of about 2 KB, runs of 20, requests of 500 spans that differ in their ids, sent over two
connections, each by a process of its own that sends the next request when the last is answered.

- acknowledged: until the last request is answered, hence durable; the sealer runs beside it
- queryable: until the last span is in a snapshot
- request: from its first byte sent to the answer
- memory, CPU: peak resident size and CPU time of the receiver and of its sealer
- soak: for so long, requests at 80 % of the queryable rate; memory at its quarters
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, TypeAlias

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.assembly_speed import run_of  # noqa: E402
from otel_traj import otlp  # noqa: E402
from otel_traj.store import snapshot  # noqa: E402
from tests.server.serving import Serving, serving  # noqa: E402

CONNECTIONS: Final = 2
SPANS_PER_RUN, RUNS_PER_REQUEST = 20, 25
SPANS_PER_REQUEST: Final = SPANS_PER_RUN * RUNS_PER_REQUEST
START_NS: Final = 1_795_000_000_000_000_000
SHARE: Final = 0.8

Send: TypeAlias = Callable[[bytes], None]


# --- the load ----------------------------------------------------------------------------------


class Requests:
    """Requests of equal length and content, but for the ids of their runs."""

    def __init__(self, seed: int) -> None:
        """Two seeds make two sequences."""
        self._random = random.Random(seed)
        numbers = self._random.sample(range(2**28, 2**32), RUNS_PER_REQUEST)
        self._body = bytearray(
            otlp.traces_to_protobuf(
                span
                for index, number in enumerate(numbers)
                for span in run_of(SPANS_PER_RUN, number, START_NS + index * 10**9)
            )
        )
        self._as_bytes = [self._places(number.to_bytes(4, "big")) for number in numbers]
        self._as_text = [self._places(b"%08x" % number) for number in numbers]

    def next(self) -> bytes:
        """A request with ids of its own."""
        for as_bytes, as_text in zip(self._as_bytes, self._as_text, strict=True):
            number = self._random.randrange(2**28, 2**32)
            for place in as_bytes:
                self._body[place : place + 4] = number.to_bytes(4, "big")
            for place in as_text:
                self._body[place : place + 8] = b"%08x" % number
        return bytes(self._body)

    def _places(self, token: bytes) -> list[int]:
        places, place = [], self._body.find(token)
        while place >= 0:
            places.append(place)
            place = self._body.find(token, place + len(token))
        return places


def sender(transport: str, address: str) -> Send:
    """What sends a request over one connection and returns when it is acknowledged."""
    return _over_grpc(address) if transport == "grpc" else _over_http(address)


def _over_http(address: str) -> Send:
    connection = http.client.HTTPConnection(address)

    def send(body: bytes) -> None:
        headers = {"Content-Type": "application/x-protobuf"}
        connection.request("POST", "/v1/traces", body, headers)
        answer = connection.getresponse()
        told = answer.read()
        assert (answer.status, told) == (200, b""), told

    return send


def _over_grpc(address: str) -> Send:
    import grpc  # type: ignore[import-untyped]

    call = grpc.insecure_channel(address).unary_unary(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    )

    def send(body: bytes) -> None:
        told = call(body)
        assert told == b"", told

    return send


def _send_all(
    transport: str,
    address: str,
    seed: int,
    count: int,
    per_second: float | None,
    parent: Connection,
) -> None:
    """One connection: `count` requests, as fast as they are answered or at a rate."""
    load = Requests(seed)
    bodies = [load.next() for _ in range(count)] if per_second is None else []
    send = sender(transport, address)
    parent.send("ready")
    parent.recv()
    began = time.perf_counter()
    seconds = []
    for number in range(count):
        if per_second is not None:
            time.sleep(max(0.0, began + number / per_second - time.perf_counter()))
        body = bodies[number] if bodies else load.next()
        sent = time.perf_counter()
        send(body)
        seconds.append(time.perf_counter() - sent)
    parent.send(seconds)


class Senders:
    """The connections, each in a process."""

    def __init__(
        self, transport: str, service: Serving, count: int, per_second: float | None = None
    ) -> None:
        """Prepare `count` requests; `begin` sends them."""
        address = service.addresses["OTLP/gRPC" if transport == "grpc" else "OTLP/HTTP"]
        context = multiprocessing.get_context("spawn")
        each = None if per_second is None else per_second / CONNECTIONS
        self._pipes, self._processes = [], []
        for number in range(CONNECTIONS):
            ours, theirs = context.Pipe()
            seed = random.SystemRandom().randrange(2**32)
            arguments = (transport, address, seed, _share(count, number), each, theirs)
            process = context.Process(target=_send_all, args=arguments)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            assert pipe.recv() == "ready"

    def begin(self) -> None:
        """Send."""
        for pipe in self._pipes:
            pipe.send("go")

    def is_done(self) -> bool:
        """Whether all have been answered."""
        return all(pipe.poll() for pipe in self._pipes)

    def latencies(self) -> list[float]:
        """Seconds of each request, sorted; waits for the last."""
        seconds = sorted(second for pipe in self._pipes for second in pipe.recv())
        for process in self._processes:
            process.join()
        return seconds


def _share(count: int, number: int) -> int:
    return count // CONNECTIONS + (number < count % CONNECTIONS)


# --- the measures ------------------------------------------------------------------------------


def measure(transport: str, folder: Path, n_requests: int) -> float:
    """Print one transport's figures; spans per second until SQL sees them."""
    wanted = n_requests * SPANS_PER_REQUEST
    with serving(folder) as service:
        senders = Senders(transport, service, n_requests)
        pids = (service.process.pid, sealer_of(service))
        started = [cpu_s(pid) for pid in pids]
        began = time.perf_counter()
        senders.begin()
        latencies = senders.latencies()
        acknowledged = wanted / (time.perf_counter() - began)
        while queryable_spans(folder) < wanted:
            assert service.process.poll() is None
            time.sleep(0.02)
        queryable = wanted / (time.perf_counter() - began)
        peaks = [peak_mb(pid) for pid in pids]
        cpu_us = [(cpu_s(pid) - at) / wanted * 1e6 for pid, at in zip(pids, started, strict=True)]
    print(f"{transport}: acknowledged  {acknowledged:9,.0f} spans/s  (n={wanted:,})")
    print(f"{transport}: queryable     {queryable:9,.0f} spans/s  (n={wanted:,})")
    p50, p99 = statistics.median(latencies), latencies[int(len(latencies) * 0.99)]
    print(
        f"{transport}: request       p50 {p50 * 1e3:.1f} ms  p99 {p99 * 1e3:.1f} ms"
        f"  (n={len(latencies)})"
    )
    print(f"{transport}: peak memory   receiver {peaks[0]:,.0f} MB, sealer {peaks[1]:,.0f} MB")
    print(
        f"{transport}: CPU           receiver {cpu_us[0]:.1f} us a span, sealer {cpu_us[1]:.1f} us"
    )
    return queryable


def soak(transport: str, folder: Path, seconds: float, spans_per_s: float) -> None:
    """Print memory at the quarters of a long run."""
    per_second = spans_per_s / SPANS_PER_REQUEST
    with serving(folder) as service:
        senders = Senders(transport, service, int(seconds * per_second) or CONNECTIONS, per_second)
        pids = (service.process.pid, sealer_of(service))
        senders.begin()
        seen: list[list[float]] = []
        while len(seen) < 4 or not senders.is_done():
            seen.append([resident_mb(pid) for pid in pids])
            time.sleep(min(0.25, seconds / 8))
        latencies = senders.latencies()
        queue_mb = service.metrics()["otel_traj_sealer_queue_bytes"] / 1e6
    print(f"{transport}: soak          {seconds:.0f} s at {spans_per_s:,.0f} spans/s")
    for quarter in range(4):
        of_quarter = seen[quarter * len(seen) // 4 : (quarter + 1) * len(seen) // 4]
        receiver, sealer = (max(column) for column in zip(*of_quarter, strict=True))
        print(
            f"  quarter {quarter + 1}: at most {receiver:,.0f} MB receiver, {sealer:,.0f} MB sealer"
        )
    p99 = latencies[int(len(latencies) * 0.99)]
    print(f"  request p99 {p99 * 1e3:.1f} ms  (n={len(latencies)}), not sealed {queue_mb:.0f} MB")


def queryable_spans(folder: Path) -> int:
    """Spans of the newest snapshot."""
    return sum(file.rows for file in snapshot.newest(folder).live("spans"))


def sealer_of(service: Serving) -> int:
    """The process that seals for a service: its only child, once there is one."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.02)
    return int(found[0])


def peak_mb(pid: int) -> float:
    """Peak resident size of a process."""
    return _memory(pid, "VmHWM")


def resident_mb(pid: int) -> float:
    """Resident size of a process now."""
    return _memory(pid, "VmRSS")


def cpu_s(pid: int) -> float:
    """CPU time of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int, key: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1000
    raise ValueError(f"no {key}")


def main() -> None:
    """Print each figure with its n."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spans", type=int, default=100_000, help="to send")
    parser.add_argument(
        "--transport", nargs="+", choices=("http", "grpc"), default=["http", "grpc"]
    )
    parser.add_argument("--soak", type=float, default=0, help="seconds")
    args = parser.parse_args()
    n_requests = max(CONNECTIONS, args.spans // SPANS_PER_REQUEST)
    with tempfile.TemporaryDirectory() as temporary:
        for transport in args.transport:
            rate = measure(transport, Path(temporary) / transport, n_requests)
            if args.soak:
                soak(transport, Path(temporary) / f"{transport}-soak", args.soak, SHARE * rate)


if __name__ == "__main__":
    main()
