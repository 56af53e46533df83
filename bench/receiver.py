"""How fast `otel-traj serve` takes spans over the network, and how soon SQL sees them.

    python bench/receiver.py [--spans 100000] [--transport http grpc] [--runs 1]
                             [--peers phoenix mlflow jaeger jaeger-durable | all]
                             [--minutes M] [--rate 0.8]

GenAI spans of about 2 KB, runs of 20, requests of 500 spans that differ in their ids, sent over two
connections, each by a process of its own that sends the next request when the last is answered. The
peers of `bench/peers.py` get the same in the same run, slow ones a share of it.

- acknowledged: until the last request is answered; ours are durable then
- sustained: until the last span can be queried, counted in the snapshot, or the peer's own store
- request: from its first byte sent to the answer, refusals and waiting for them included
- peak: resident memory of all processes of a kind; CPU: of all of them, per span
- minutes: so long, requests at a share (`--rate`) of the sustained rate; memory at each minute
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, TypeAlias

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import peers  # noqa: E402
from bench.assembly_speed import run_of  # noqa: E402
from bench.peers import AbsentError, Target  # noqa: E402
from otel_traj import otlp  # noqa: E402
from otel_traj.store import snapshot  # noqa: E402
from tests.server.serving import serving  # noqa: E402

CONNECTIONS: Final = 2
SPANS_PER_RUN, RUNS_PER_REQUEST = 20, 25
SPANS_PER_REQUEST: Final = SPANS_PER_RUN * RUNS_PER_REQUEST
START_NS: Final = 1_795_000_000_000_000_000

SHARES: Final = {"phoenix": 0.02, "mlflow": 0.02, "jaeger": 0.2, "jaeger-durable": 0.2}
"""Of the load, for peers that are slower: a small store is the quicker one, so this is for them."""

MINUTE_S: Final = 60.0
PATIENCE_S: Final = 120.0
"""How long a store may get no spans before the rest counts as lost."""
SAMPLE_S: Final = 0.2

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


def sender(transport: str, address: str, headers: Mapping[str, str]) -> Send:
    """What sends a request over one connection and returns when it is acknowledged."""
    return _over_grpc(address) if transport == "grpc" else _over_http(address, headers)


def _over_http(address: str, headers: Mapping[str, str]) -> Send:
    connection = http.client.HTTPConnection(address, timeout=600)
    headers = {"Content-Type": "application/x-protobuf", **headers}

    def send(body: bytes) -> None:
        while True:
            connection.request("POST", "/v1/traces", body, headers)
            answer = connection.getresponse()
            told = answer.read()
            if answer.status == 200:
                return
            if answer.status not in (429, 502, 503, 504):
                raise RuntimeError(f"{address} answered {answer.status}: {told[:200]!r}")
            time.sleep(float(answer.headers.get("Retry-After", 1)))

    return send


def _over_grpc(address: str) -> Send:
    import grpc  # type: ignore[import-untyped]

    call = grpc.insecure_channel(address).unary_unary(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    )

    def send(body: bytes) -> None:
        while True:
            try:
                call(body, timeout=600)
            except grpc.RpcError as error:
                told: Any = error
                if told.code() not in (
                    grpc.StatusCode.UNAVAILABLE,
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                ):
                    raise
                time.sleep(1)
            else:
                return

    return send


@dataclass(frozen=True, slots=True)
class Order:
    """What one connection is to send, as fast as it is answered or at a rate."""

    transport: str
    address: str
    headers: Mapping[str, str]
    seed: int
    count: int
    per_second: float | None


def _send_all(order: Order, parent: Connection) -> None:
    """One connection's work, in a process; it answers with the seconds of each request."""
    load = Requests(order.seed)
    bodies = [load.next() for _ in range(order.count)] if order.per_second is None else []
    send = sender(order.transport, order.address, order.headers)
    parent.send("ready")
    parent.recv()
    began = time.perf_counter()
    seconds = []
    for number in range(order.count):
        if order.per_second is not None:
            time.sleep(max(0.0, began + number / order.per_second - time.perf_counter()))
        body = bodies[number] if bodies else load.next()
        sent = time.perf_counter()
        send(body)
        seconds.append(time.perf_counter() - sent)
    parent.send(seconds)


class Senders:
    """The connections, each in a process."""

    def __init__(
        self, transport: str, target: Target, count: int, per_second: float | None = None
    ) -> None:
        """Prepare `count` requests; `begin` sends them."""
        context = multiprocessing.get_context("spawn")
        each = None if per_second is None else per_second / CONNECTIONS
        self._pipes, self._processes = [], []
        for number in range(CONNECTIONS):
            ours, theirs = context.Pipe()
            seed = random.SystemRandom().randrange(2**32)
            address, share = target.addresses[transport], _share(count, number)
            order = Order(transport, address, target.headers, seed, share, each)
            process = context.Process(target=_send_all, args=(order, theirs))
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


# --- who is measured ---------------------------------------------------------------------------


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[Target]:
    """`otel-traj serve`."""
    store = folder / "traces"
    with serving(store) as service:
        yield Target(
            name="otel-traj",
            addresses={"http": service.addresses["OTLP/HTTP"], "grpc": service.grpc},
            pid=service.process.pid,
            kinds=("receiver", "sealer", "workers"),
            stored=lambda: sum(file.rows for file in snapshot.newest(store).live("spans")),
        )


class Watch:
    """Memory and CPU of a target's processes, by their kind, while the block lasts."""

    def __init__(self, target: Target, step_s: float = MINUTE_S) -> None:
        """Keep the most memory of each `step_s`."""
        self._target = target
        self._step_s = step_s
        self._peaks_mb: dict[tuple[str, int], float] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.steps: list[dict[str, float]] = []

    def __enter__(self) -> Watch:
        self._cpu_s = self._cpu_now_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.cpu_s = self._cpu_now_s() - self._cpu_s

    @property
    def peaks_mb(self) -> dict[str, float]:
        """Kind -> the peaks of its processes, summed."""
        sums = dict.fromkeys(self._target.kinds, 0.0)
        for (kind, _), peak in self._peaks_mb.items():
            sums[kind] += peak
        return {kind: peak for kind, peak in sums.items() if peak}

    def _run(self) -> None:
        began = time.perf_counter()
        while True:
            is_last = self._is_over.wait(SAMPLE_S)
            self._sample(int((time.perf_counter() - began) / self._step_s))
            if is_last:
                return

    def _sample(self, step: int) -> None:
        resident = dict.fromkeys(self._target.kinds, 0.0)
        for kind, pid in self._processes():
            with contextlib.suppress(OSError, KeyError):  # it has ended
                told = _status(pid)
                self._peaks_mb[kind, pid] = told["VmHWM"] / 1000
                resident[kind] += told["VmRSS"] / 1000
        while len(self.steps) <= step:
            self.steps.append(dict.fromkeys(self._target.kinds, 0.0))
        most = self.steps[step]
        most.update({kind: max(most[kind], now) for kind, now in resident.items()})

    def _cpu_now_s(self) -> float:
        return sum(cpu_s(pid) for _, pid in self._processes())

    def _processes(self) -> list[tuple[str, int]]:
        """The target's processes and their kinds: by how far they are from the first."""
        kinds = self._target.kinds
        found = []
        generation, depth = [self._target.pid], 0
        while generation:
            found += [(kinds[min(depth, len(kinds) - 1)], pid) for pid in generation]
            generation, depth = [child for pid in generation for child in _children(pid)], depth + 1
        return found


def _children(pid: int) -> list[int]:
    """Of all of its threads."""
    with contextlib.suppress(OSError):
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(each) for task in tasks for each in (task / "children").read_text().split()]
    return []


def _status(pid: int) -> dict[str, int]:
    """Sizes in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line.endswith(" kB"))
    return {key: int(value.removesuffix(" kB")) for key, value in pairs}


def cpu_s(pid: int) -> float:
    """CPU time of a process and of its children that have ended; 0 if it has."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


# --- the measures ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one target over one transport; rates in spans per second."""

    n_spans: int
    acknowledged: float
    sustained: float
    latencies: Sequence[float]
    peaks_mb: Mapping[str, float]
    cpu_us: float


def measure(transport: str, target: Target, n_requests: int) -> Figures:
    """Send `n_requests` as fast as they are answered, and wait until all spans are stored."""
    wanted = target.stored() + n_requests * SPANS_PER_REQUEST
    senders = Senders(transport, target, n_requests)
    n_spans = n_requests * SPANS_PER_REQUEST
    with Watch(target) as watch:
        began = time.perf_counter()
        senders.begin()
        latencies = senders.latencies()
        acknowledged = n_spans / (time.perf_counter() - began)
        sustained = n_spans / (_stored_at(target, wanted) - began)
    cpu_us = watch.cpu_s / n_spans * 1e6
    return Figures(n_spans, acknowledged, sustained, latencies, watch.peaks_mb, cpu_us)


def _stored_at(target: Target, wanted: int) -> float:
    """When so many spans were stored; counting takes a fifth of the time at most."""
    stored, last = -1, time.perf_counter()
    while stored < wanted:
        asked = time.perf_counter()
        found = target.stored()
        took = time.perf_counter() - asked
        if found > stored:
            stored, last = found, asked
        elif asked - last > PATIENCE_S:
            raise RuntimeError(f"{target.name} has {stored:,} of {wanted:,} spans and stores none")
        time.sleep(0.02 + 4 * took)
    return last


def report(name: str, transport: str, figures: Figures) -> None:
    """Print one target's figures."""

    def line(what: str, told: str) -> None:
        print(f"{name} {transport}: {what:13} {told}")

    n = f"(n={figures.n_spans:,})"
    line("acknowledged", f"{figures.acknowledged:9,.0f} spans/s  {n}")
    line("sustained", f"{figures.sustained:9,.0f} spans/s  {n}")
    p50, p99 = (_quantile(figures.latencies, share) * 1e3 for share in (0.5, 0.99))
    line("request", f"p50 {p50:.1f} ms  p99 {p99:.1f} ms  (n={len(figures.latencies)})")
    peaks = ", ".join(f"{kind} {peak:,.0f} MB" for kind, peak in figures.peaks_mb.items())
    line("peak memory", peaks)
    line("CPU", f"{figures.cpu_us:.1f} us a span")
    sys.stdout.flush()


def report_ratios(
    name: str, transport: str, ours: Sequence[Figures], theirs: Sequence[Figures]
) -> None:
    """Print how many times as fast as a peer we are, and as sparing; of several runs, the medians.

    CPU is what others on the machine disturb least.
    """

    def ratio(figure: str) -> float:
        our, their = (
            statistics.median(getattr(each, figure) for each in figures)
            for figures in (ours, theirs)
        )
        return float(our / their)

    rates = ", ".join(f"{rate} {ratio(rate):.1f} x" for rate in ("acknowledged", "sustained"))
    cpu = f"CPU of a span 1/{1 / ratio('cpu_us'):.1f}"
    print(f"otel-traj / {name} {transport}: {rates}, {cpu}  (runs={len(theirs)})")


def soak(transport: str, target: Target, seconds: float, spans_per_s: float) -> None:
    """Print memory at each minute of a long run at a rate."""
    per_second = spans_per_s / SPANS_PER_REQUEST
    count = max(CONNECTIONS, int(seconds * per_second))
    step_s = min(MINUTE_S, seconds / 4)
    senders = Senders(transport, target, count, per_second)
    with Watch(target, step_s) as watch:
        end = time.perf_counter() + seconds
        senders.begin()
        latencies = senders.latencies()
        time.sleep(max(0.0, end - time.perf_counter()))
        n_behind = count * SPANS_PER_REQUEST - target.stored()
        behind_s = max(0.0, _stored_at(target, count * SPANS_PER_REQUEST) - end)
    print(f"{target.name} {transport}: {seconds / 60:g} minutes at {spans_per_s:,.0f} spans/s")
    for number, most in enumerate(watch.steps[: round(seconds / step_s)], 1):
        told = ", ".join(f"{kind} {mb:,.0f} MB" for kind, mb in most.items())
        print(f"  {number * step_s / 60:5.2f} min: at most {told}")
    print(f"  request p99 {_quantile(latencies, 0.99) * 1e3:.1f} ms  (n={len(latencies)})")
    print(f"  not yet stored {n_behind:,} spans; they were {behind_s:.1f} s later", flush=True)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    """Print each figure with its n."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spans", type=int, default=100_000, help="to send")
    parser.add_argument(
        "--transport", nargs="+", choices=("http", "grpc"), default=["http", "grpc"]
    )
    parser.add_argument("--runs", type=int, default=1, help="ratios are of their medians")
    parser.add_argument("--peers", nargs="+", choices=[*peers.PEERS, "all"], default=[])
    parser.add_argument("--minutes", type=float, default=0, help="of a long run afterwards")
    parser.add_argument("--rate", type=float, default=0.8, help="of the sustained rate, then")
    args = parser.parse_args()
    asked = list(peers.PEERS) if "all" in args.peers else args.peers
    found: dict[tuple[str, str], list[Figures]] = {}
    for _ in range(args.runs):
        for name in ("otel-traj", *asked):
            for transport in args.transport:
                if figures := _measured(name, transport, args.spans):
                    report(name, transport, figures)
                    found.setdefault((name, transport), []).append(figures)
    for (name, transport), theirs in found.items():
        if name != "otel-traj":
            report_ratios(name, transport, found["otel-traj", transport], theirs)
    if args.minutes:
        for transport in args.transport:
            rate = statistics.median(each.sustained for each in found["otel-traj", transport])
            with tempfile.TemporaryDirectory() as folder, ours(Path(folder)) as target:
                soak(transport, target, args.minutes * 60, args.rate * rate)


def _measured(name: str, transport: str, n_spans: int) -> Figures | None:
    """Measure one of `otel-traj` and the peers with a new store; None where it cannot be had."""
    start = ours if name == "otel-traj" else peers.PEERS[name]
    n_requests = max(CONNECTIONS, int(n_spans * SHARES.get(name, 1)) // SPANS_PER_REQUEST)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with start(Path(folder)) as target:
                if transport in target.addresses:
                    return measure(transport, target, n_requests)
        except AbsentError as error:
            print(f"{name} skipped: {error}", flush=True)
    return None


if __name__ == "__main__":
    main()
