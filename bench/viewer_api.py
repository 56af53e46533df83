"""How long the viewer's API takes for what a page asks: server time over real HTTP.

    python bench/viewer_api.py                          50,000 runs of 20 spans, a run of 20,000
    python bench/viewer_api.py --spans 10000000         500,000 runs
    python bench/viewer_api.py --spans 2000 --repeat 2 --long 200

The store is that of bench/queries.py; what is asked is what the pages ask. Beside the wall time
stands that of the processor, of both ends, which others on the machine do not lengthen as much.
Goals: a page of the list, and of facets, in 150 ms (p95); the spans of a run of 20,000 in 60 ms and
400 KB.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "analysis", ROOT / "exporters"):
    sys.path.insert(0, str(folder))

from bench import queries  # noqa: E402
from otel_traj.model import SpanRecord  # noqa: E402
from otel_traj.redaction import choose  # noqa: E402
from otel_traj.server.jaeger.threads import Threads  # noqa: E402
from otel_traj.server.listeners import Address, HttpListener  # noqa: E402
from otel_traj.server.viewer import Viewer  # noqa: E402
from otel_traj.store import TrajectoryStore  # noqa: E402

_FACETS = "facets?fields=outcome,agent,tool,model,error,task,service,start,dur,cost"

ASKED = {
    "newest 100": "trajectories?limit=100",
    "newest 100 of an agent that failed": "trajectories?agent=coder&outcome=failure",
    "the dearest 100": "trajectories?sort=-cost",
    "by outcome": "trajectories?sort=outcome",
    "by task": "trajectories?sort=task",
    "of a tool, longer than 1 s": f"trajectories?q={quote('tool:run* dur>1s')}",
    "with a text in messages": f"trajectories?q={quote('failed77')}",
    "facets": _FACETS,
    "facets of an agent": f"{_FACETS}&agent=coder",
}


def main() -> None:
    """Print p50 and p95 of each question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--long", type=int, default=20_000, help="spans of the long run")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--store", type=Path, help="made before by this program; kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        path = arguments.store or Path(made) / "traces"
        store = TrajectoryStore(path) if path.exists() else queries.make(path, arguments.spans)
        with viewing(path) as address:
            whole("the roster is whole", address, "trajectories?limit=100")
            for name, asked in ASKED.items():
                told(name, address, asked, arguments.repeat)
            store.append(long_run(arguments.long))
            found = get(address, "trajectories?agent=long&limit=1")
            [row] = json.loads(found)["rows"]
            for part in ("", "/spans", "/transcript", "/steps", f"/spans/{arguments.long - 1}"):
                asked = f"trajectories/{row['trajectory_id']}{part}"
                told(f"{arguments.long:,} spans{part}", address, asked, arguments.repeat)


def whole(name: str, address: str, asked: str) -> None:
    """Ask until all runs were looked at, and print how long the first answer and all of it took."""
    began = time.perf_counter()
    ended: list[float] = []
    is_partial = True
    while is_partial:
        is_partial = json.loads(get(address, asked))["seen"] is not None
        ended.append(time.perf_counter() - began)
    print(f"{name:40} first {ended[0] * 1e3:7.0f} ms   whole after {ended[-1] * 1e3:.0f} ms   n=1")


def told(name: str, address: str, asked: str, repeat: int) -> None:
    """Ask again and again, and print how long it took."""
    first = timed(address, asked)
    again = [timed(address, asked) for _ in range(repeat)]
    wall, cpu = (sorted(times) for times in zip(*((t.wall_s, t.cpu_s) for t in again), strict=True))
    print(
        f"{name:40} first {first.wall_s * 1e3:7.0f} ms   p50 {_share(wall, 0.5) * 1e3:6.1f}"
        f"   p95 {_share(wall, 0.95) * 1e3:6.1f}   cpu p50 {_share(cpu, 0.5) * 1e3:6.1f}"
        f"   {first.size / 1e3:8.1f} KB   n={repeat}",
        flush=True,
    )


def _share(ascending: list[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))]


class Timed(NamedTuple):
    """How long an answer took, here and on the processor, and its bytes."""

    wall_s: float
    cpu_s: float
    size: int


def timed(address: str, asked: str) -> Timed:
    """Ask once."""
    began, used = time.perf_counter(), time.process_time()
    body = get(address, asked, gzip=True)
    return Timed(time.perf_counter() - began, time.process_time() - used, len(body))


def get(address: str, asked: str, *, gzip: bool = False) -> bytes:
    """The body of an answer, which must be well."""
    connection = http.client.HTTPConnection(address, timeout=60)
    headers = {"Accept-Encoding": "gzip"} if gzip else {}
    connection.request("GET", f"/api/ot/v1/{asked}", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return body


def long_run(n: int) -> Iterator[SpanRecord]:
    """A run of so many spans, ten to a branch."""
    start = 1_799_000_000_000_000_000
    named = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "long"}
    for i in range(n):
        is_call = i % 10 != 0
        tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": f"tool{i % 7}"}
        yield SpanRecord(
            f"{2**100:032x}",
            f"{i + 1:016x}",
            None if i == 0 else f"{i // 10 * 10 + 1 if is_call else 1:016x}",
            "invoke_agent long" if i == 0 else f"step {i % 50}",
            start + i * 10**6,
            start + (i + 1) * 10**6 if i else start + n * 10**6,
            attributes=named if i == 0 else tool if is_call else {},
            resource={"service.name": "bench"},
        )


@contextmanager
def viewing(store: Path) -> Iterator[str]:
    """A viewer on a thread of its own, by its address."""
    threads = Threads()
    viewer = Viewer(store, choose("secrets"), threads, lambda _: True, seals=True)
    with asyncio.Runner() as runner:
        begin = HttpListener.start(viewer, Address("127.0.0.1", 0), None, connections=16)
        listener = runner.run(begin)
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield str(listener.address)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            runner.run(listener.stop())
            threads.close()


if __name__ == "__main__":
    main()
