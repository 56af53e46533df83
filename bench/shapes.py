"""Stores of an unusual shape: very many days, and one very long run.

    python bench/shapes.py [--days 100] [--spans 10000] [--kb 3.3]

- days: a store of so many days with one run each. What opening, listing, asking and one more seal
  take, in seconds and in Parquet files opened; then the same after `compact`
- long run: one run of `--spans` spans of `--kb` KB recorded, sealed, shown and asked, each in a
  process of its own whose peak memory is told. 300,000 spans of 3.3 KB
  are a run of 1 GB
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from otel_traj import semconv  # noqa: E402 - the checkout's
from otel_traj.model import SpanRecord  # noqa: E402
from otel_traj.store import TrajectoryStore, sealing, snapshot  # noqa: E402
from tests.store.runs import run, tool  # noqa: E402

DAY_NS: Final = 86_400 * 10**9


# --- many days -----------------------------------------------------------------------------------


def of_day(number: int, spans: list[SpanRecord]) -> list[SpanRecord]:
    """The spans of a run as many days earlier as its number."""
    back = number * DAY_NS
    return [
        replace(span, start_ns=span.start_ns - back, end_ns=(span.end_ns or 0) - back)
        for span in spans
    ]


def days(n_days: int) -> None:
    """Print what a store of so many days costs."""
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore.create(Path(folder) / "store")
        told("import", lambda: store.append(s for n in range(n_days) for s in of_day(n, run(n))))
        print_files(store, f"{n_days} days")
        ask(store.path)
        told("one run more", lambda: store.append(of_day(n_days, run(n_days))))
        late = of_day(n_days // 2, [tool(n_days // 2, 4)])
        told("one late span", lambda: store.append(late))
        told("compact", store.compact)
        told("compact --full", lambda: store.compact(full=True))
        print_files(store, "compacted")
        ask(store.path)


def ask(path: Path) -> None:
    """Open a store and ask for what people ask."""
    store = told("open, count", lambda: counted(path))
    [(first,)] = store.sql(
        "select trajectory_id from trajectories order by start_time limit 1"
    ).fetchall()
    told("newest 20", lambda: list(store.trajectories(limit=20)))
    told("by id", lambda: store.trajectory(first))
    told("by tool", lambda: store.sql("select tool_name, count(*) from steps group by 1").df)


def counted(path: Path) -> TrajectoryStore:
    """A store that has answered once."""
    store = TrajectoryStore(path)
    store.sql("select count(*) from trajectories").fetchall()
    return store


def told(what: str, act: Callable[[], Any]) -> Any:
    """Do something and print how long it took."""
    begin = time.perf_counter()
    result = act()
    print(f"  {what:16} {time.perf_counter() - begin:8.2f} s")
    return result


def print_files(store: TrajectoryStore, when: str) -> None:
    """How many files are live, and how long the snapshot is."""
    current = snapshot.newest(store.path)
    n_files = sum(map(len, current.files.values()))
    n_bytes = (store.path / "_snap" / f"{current.n:020d}.json").stat().st_size
    print(f"  {when}: {n_files} live files, snapshot {n_bytes / 1e3:.0f} KB")


# --- one long run --------------------------------------------------------------------------------


def long_run(n_spans: int, kb: float) -> None:
    """Print what one run of so many spans costs."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        in_child("record", lambda: record(store, n_spans, int(kb * 1000)))
        n_bytes = sum(path.stat().st_size for path in (store / "_wal").iterdir())
        print(f"  {n_spans} spans, {n_bytes / 1e6:.0f} MB of log")
        in_child("seal", lambda: sealing.seal(store))
        stored = sum(f.bytes for own in snapshot.newest(store).files.values() for f in own)
        print(f"  {stored / 1e6:.0f} MB stored, {snapshot.newest(store).n} commits")
        in_child("sql", lambda: TrajectoryStore(store).sql(SLOWEST).fetchall())
        in_child("late span", lambda: TrajectoryStore(store).append(late_span(store)))
        in_child("show | head", lambda: show(store))
        in_child("trajectory()", lambda: next(TrajectoryStore(store).trajectories()))


SLOWEST: Final = "select tool_name, count(*), max(duration_s) from steps group by all order by 2"


def record(store: Path, n_spans: int, n_bytes: int) -> None:
    """An agent that works without an end."""
    import otel_traj

    recording = otel_traj.instrument(store, instrumentors=(), seal=False)
    texts = list(_texts(n_bytes))
    with otel_traj.trajectory("work for years", agent="worker"):
        for n in range(n_spans - 1):
            arguments = {"n": n, "text": texts[n % len(texts)]}
            with otel_traj.tool_call(f"tool {n % 7}", arguments=arguments) as call:
                call.result(texts[(n + 1) % len(texts)])
            if n % 4000 == 3999:
                recording.flush()
    recording.shutdown()
    stats = recording.stats()
    print(f"  {stats.spans} spans recorded, {stats.dropped_spans} dropped (goal 0)")


def _texts(n_bytes: int) -> Iterator[str]:
    """Texts that no codec can make much shorter; two of them are in each span."""
    for _ in range(97):
        yield os.urandom(n_bytes // 4).hex()


def late_span(store: Path) -> list[SpanRecord]:
    """A span that comes after the run was closed."""
    [(trace, start_ns)] = (
        TrajectoryStore(store)
        .sql("select trace_id, max(start_ns) from spans group by trace_id")
        .fetchall()
    )
    attributes = {semconv.OPERATION: semconv.OP_EXECUTE_TOOL, semconv.TOOL_NAME: "late"}
    return [
        SpanRecord(trace, "f" * 16, None, "late", start_ns, start_ns + 1, attributes=attributes)
    ]


def show(store: Path) -> None:
    """`otel-traj show`, of which somebody reads the first page."""
    [(trajectory_id,)] = (
        TrajectoryStore(store).sql("select trajectory_id from trajectories limit 1").fetchall()
    )
    command = [sys.executable, "-m", "otel_traj.cli", "--store", str(store), "show", trajectory_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as shown:
        assert shown.stdout is not None
        for _ in range(100):
            shown.stdout.readline()
        shown.stdout.close()


def in_child(what: str, act: Callable[[], Any]) -> None:
    """Act in a forked process; print how long it took and its peak memory."""
    sys.stdout.flush()
    begin = time.perf_counter()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act()
            sys.stdout.flush()
            status = 0
        finally:
            os._exit(status)
    _, status, used = os.wait4(child, 0)
    if status:
        sys.exit(f"{what} failed")
    took = time.perf_counter() - begin
    # Of the process, or of one that it started and waited for.
    print(f"  {what:16} {took:8.2f} s, peak {used.ru_maxrss / 1024:6.0f} MB")


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--spans", type=int, default=10_000)
    parser.add_argument("--kb", type=float, default=3.3)
    given = parser.parse_args()
    print("one long run")
    long_run(given.spans, given.kb)  # first: it forks
    print("many days")
    days(given.days)


if __name__ == "__main__":
    main()
