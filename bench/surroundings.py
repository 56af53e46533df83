"""Recording under load and sudden death: nothing mixed up, memory flat, loss only as stated.

    python bench/surroundings.py [--seconds 15] [--kills 100]

- mixing: 200 runs at once in asyncio tasks, and 64 threads; each span names its run, and must lie
  in that run's trace
- load: what an agent server records in an hour (`RUNS_PER_HOUR` with content) in one minute; the
  default plays a quarter of each. Resident memory once warm and at the end
- kills: a recording process is killed by SIGKILL at a random instant; of the spans that it told us
  to have ended, which are in the store? Lost may be what ended within `TICK_S` before, and nothing
  that had ended when a `flush()` returned
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import select
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import otel_traj  # noqa: E402
from bench.overhead import SPANS_PER_RUN, run_agent  # noqa: E402
from otel_traj import wal  # noqa: E402
from otel_traj.capture.processor import TICK_S  # noqa: E402
from otel_traj.model import SpanRecord  # noqa: E402

TASKS, THREADS, RUNS_PER_HOUR = 200, 64, 7_200


def record(folder: Path) -> otel_traj.Recording:
    """Begin to record into a folder."""
    return otel_traj.instrument(folder, instrumentors=(), seal=False)


def ended(store: Path) -> Iterator[SpanRecord]:
    """The ended spans in a store's log, read segment by segment."""
    for segment in wal.segments(store):
        for frame in wal.frames(segment):
            if isinstance(frame, wal.Frame):
                for told in wal.decode(frame.body):
                    if isinstance(told, SpanRecord) and not told.is_open:
                        yield told


# --- mixing ------------------------------------------------------------------------------------


async def in_tasks(rounds: int) -> None:
    """As many runs at once as `TASKS`; tools take turns, and some go to threads."""

    async def agent(n: int) -> None:
        with otel_traj.trajectory(f"run {n}"):
            for _ in range(rounds):
                with otel_traj.tool_call(f"tool {n}"):
                    await asyncio.sleep(random.random() / 500)
                await asyncio.gather(nested(n), asyncio.to_thread(use, n), nested(n))

    async def nested(n: int) -> None:
        with otel_traj.tool_call(f"tool {n}"):
            await asyncio.sleep(random.random() / 500)

    await asyncio.gather(*map(agent, range(TASKS)))


def use(n: int) -> None:
    """One call of a tool that names its run."""
    with otel_traj.tool_call(f"tool {n}"):
        pass


def in_threads(rounds: int) -> None:
    """A run per thread, again and again."""

    def work(thread: int) -> None:
        for turn in range(rounds):
            n = thread * rounds + turn
            with otel_traj.trajectory(f"run {n}"):
                for _ in range(5):
                    use(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def mixed(store: Path) -> tuple[int, int, int]:
    """Runs, spans, and spans that are not in the run that they name."""
    spans = list(ended(store))
    owner = {s.trace_id: s.attributes["traj.task.text"][4:] for s in spans if not s.parent_span_id}
    strays = sum(
        owner.get(span.trace_id) != span.name.rpartition(" ")[2]
        for span in spans
        if span.parent_span_id
    )
    return len(owner), len(spans), strays


def mixing() -> None:
    """Print both."""

    def tasks() -> None:
        asyncio.run(in_tasks(10))

    def threads() -> None:
        in_threads(20)

    for load, at_once, expected in (
        (tasks, TASKS, TASKS * (1 + 10 * 4)),
        (threads, THREADS, THREADS * 20 * 6),
    ):
        with tempfile.TemporaryDirectory() as folder:
            recording = record(Path(folder))
            load()
            recording.shutdown()
            runs, spans, strays = mixed(Path(folder))
            dropped = recording.stats().dropped_spans
            print(
                f"  {at_once} {load.__name__} at once: {runs} runs, {spans} of {expected} spans, "
                f"{dropped} dropped, {strays} in another run (goal 0)"
            )


# --- an hour -----------------------------------------------------------------------------------


def hour(seconds: float) -> None:
    """Print resident memory over time."""
    from opentelemetry import trace

    runs = round(RUNS_PER_HOUR * seconds / 60)
    with tempfile.TemporaryDirectory() as folder:
        recording = record(Path(folder))
        tracer = trace.get_tracer("bench")
        sizes: list[float] = []
        begin = time.monotonic()
        for n in range(runs):
            run_agent(tracer, content=True)
            ahead = begin + (n + 1) * seconds / runs - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            if n % max(1, runs // 20) == 0:
                sizes.append(resident_mb())
        took = time.monotonic() - begin
        recording.shutdown()
        stats = recording.stats()
    warm, late = statistics.mean(sizes[5:10]), statistics.mean(sizes[-5:])
    print(
        f"  {runs} runs, {stats.spans} of {runs * SPANS_PER_RUN} spans in {took:.0f} s "
        f"({runs / RUNS_PER_HOUR:.2f} h of load), {stats.dropped_spans} dropped, "
        f"{stats.bytes_written / 1e6:.0f} MB written"
    )
    print(f"  resident MB: {warm:.1f} warm, {late:.1f} at the end ({late - warm:+.1f}; goal 0)")


def resident_mb() -> float:
    """Of this process (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


# --- sudden death ------------------------------------------------------------------------------


def kills(n: int) -> None:
    """Print what was lost."""
    counts: Counter[str] = Counter()
    oldest: list[float] = []
    for _ in range(n):
        with tempfile.TemporaryDirectory() as folder:
            told, flushed, killed_at = killed(Path(folder), random.uniform(0.02, 0.6))
            there = {int(span.name.rpartition(" ")[2]) for span in ended(Path(folder))}
            lost = {number: at for number, at in told.items() if number not in there}
            counts["ended"] += len(told)
            counts["flushed"] += flushed + 1
            counts["lost"] += len(lost)
            counts["lost though flushed"] += sum(number <= flushed for number in lost)
            if lost:
                oldest.append((killed_at - min(lost.values())) * 1e3)
    print(
        f"  n={n} kills: {counts['ended']} spans had ended, {counts['flushed']} of them before a "
        f"flush() returned; {counts['lost']} lost, {counts['lost though flushed']} of the flushed "
        "(goal 0)"
    )
    if oldest:
        print(
            f"  the oldest span lost had ended {max(oldest):.0f} ms before the kill, median "
            f"{statistics.median(oldest):.0f} ms (stated: {TICK_S * 1e3:.0f} ms and the write)"
        )


def killed(store: Path, after_s: float) -> tuple[dict[int, float], int, float]:
    """Let a child record and kill it.

    Returns:
        When each span ended that the child told of, the last number that a flush covered (-1 for
        none), and when it was killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _record_until_killed(store, writing)
    os.close(writing)
    assert os.read(reading, 1) == b"!"
    time.sleep(after_s)
    killed_at = time.monotonic()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    told: dict[int, float] = {}
    flushed = -1
    for line in _rest(reading).decode().splitlines():
        kind, number, at = line.split()
        if kind == "flushed":
            flushed = int(number)
        else:
            told[int(number)] = float(at)
    return told, flushed, killed_at


def _record_until_killed(store: Path, pipe: int) -> None:
    recording = record(store)
    os.write(pipe, b"!")
    number = 0
    while True:
        with otel_traj.tool_call(f"tool {number}"):
            pass
        # What is written here was true before; a line of this size is written whole or not at all.
        os.write(pipe, f"ended {number} {time.monotonic():.6f}\n".encode())
        if random.random() < 0.01 and recording.flush():
            os.write(pipe, f"flushed {number} 0\n".encode())
        number += 1
        time.sleep(random.random() / 1000)


def _rest(pipe: int) -> bytes:
    parts: list[Any] = []
    while select.select([pipe], [], [], 5)[0] and (part := os.read(pipe, 1 << 16)):
        parts.append(part)
    os.close(pipe)
    return b"".join(parts)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15, help="of load; 60 are an hour's")
    parser.add_argument("--kills", type=int, default=100)
    arguments = parser.parse_args()
    print("kills")
    kills(arguments.kills)  # first: children are forked, and must find no thread of ours
    print("mixing")
    mixing()
    print("load")
    hour(arguments.seconds)


if __name__ == "__main__":
    main()
