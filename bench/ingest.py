"""How fast spans come in: acknowledged after fsync, and sustained until SQL sees them.

    python bench/ingest.py [--seconds 5] [--spans 60000] [--commits 300] [--profile 10000]
        [--days 1000] [--spans-per-day 1000]

GenAI spans of about 2 KB, runs of 20, OTLP requests of 500 spans, all made beforehand.

- acknowledged: what a receiver does before it answers: check a request, append its own bytes to
  the log as one frame, fdatasync
- commit: one run of 20 spans as records, appended as one frame
- sustained: a process that receives as fast as the log is allowed to run ahead (`AHEAD_BYTES`), and
  a sealer in a process of its own; from the first request until the last span is in a snapshot
- where the time goes: CPU per span of one seal in this process, without workers
- years: seal of one run into a store that has spans of many days: one that begins, and a
  late span of it

Memory is the peak resident size of a process; the sealer's workers are counted apart.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.assembly_speed import run_of  # noqa: E402
from otel_traj import otlp, wal  # noqa: E402
from otel_traj.assembly import rows as assembly_rows  # noqa: E402
from otel_traj.assembly import tree  # noqa: E402
from otel_traj.store import (  # noqa: E402
    columns,
    derive,
    files,
    intake,
    rows,
    sealing,
    snapshot,
    stored,
    workers,
)

SPANS_PER_RUN, RUNS_PER_REQUEST = 20, 25
SPANS_PER_REQUEST = SPANS_PER_RUN * RUNS_PER_REQUEST
START_NS = 1_795_000_000_000_000_000

AHEAD_BYTES = 128 * 1024 * 1024
"""How far the log may be ahead of the sealer, or this would measure how much memory it takes."""


# --- the load ----------------------------------------------------------------------------------


def write_requests(path: Path, count: int) -> int:
    """Write OTLP requests of equal length, each of runs of its own, one after the other.

    Returns:
        The length of each in bytes.
    """
    numbers = random.Random(0).sample(range(2**28, 2**32), (count + 1) * RUNS_PER_REQUEST)
    model, fresh = numbers[:RUNS_PER_REQUEST], iter(numbers[RUNS_PER_REQUEST:])
    first = otlp.traces_to_protobuf(
        span
        for index, number in enumerate(model)
        for span in run_of(SPANS_PER_RUN, number, START_NS + index * 10**9)
    )
    with path.open("wb") as file:
        for number in range(count):
            request = first
            for old in model:
                request = _renumbered(request, old, next(fresh))
            file.write(_later(request, number * RUNS_PER_REQUEST * 10**9))
    return len(first)


def _renumbered(request: bytes, old: int, new: int) -> bytes:
    """The request with other ids for one run; they stand there as bytes and as hex digits."""
    return request.replace(old.to_bytes(4), new.to_bytes(4)).replace(b"%08x" % old, b"%08x" % new)


def _later(request: bytes, by_ns: int) -> bytes:
    """The request with all spans at another time: no two runs of many begin at one moment."""
    message = otlp.parsed(request, "traces")
    for group in message.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                span.start_time_unix_nano += by_ns
                span.end_time_unix_nano += by_ns
    return bytes(message.SerializeToString())


def requests(path: Path, length: int) -> Iterator[bytes]:
    """What `write_requests` wrote, one by one."""
    with path.open("rb") as file:
        while request := file.read(length):
            yield request


def receive(writer: wal.WalWriter, request: bytes) -> None:
    """What a receiver does before it acknowledges."""
    otlp.check_protobuf(request, "traces")
    writer.append(request, "otlp-traces")


# --- acknowledged ------------------------------------------------------------------------------


def acknowledged(folder: Path, load: Path, length: int, seconds: float) -> tuple[int, float]:
    """Spans received in about `seconds`, and the seconds that it took."""
    wal.initialise(folder)
    writer = wal.WalWriter(folder)
    received, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for request in requests(load, length):
            receive(writer, request)
            received += SPANS_PER_REQUEST
            if time.perf_counter() - began >= seconds:
                break
        _remove_full_segments(folder)
    return received, time.perf_counter() - began


def _remove_full_segments(folder: Path) -> None:
    for segment in wal.segments(folder):
        if wal.is_abandoned(segment):
            segment.unlink()


def commits(folder: Path, count: int) -> tuple[list[float], list[float]]:
    """Seconds to encode, and to append, a run of 20 spans; `count` times."""
    wal.initialise(folder)
    writer = wal.WalWriter(folder)
    encoding, appending = [], []
    for number in range(count):
        run = run_of(SPANS_PER_RUN, number, START_NS)
        began = time.perf_counter()
        frame = wal.encode(run)
        encoded = time.perf_counter()
        writer.append(frame)
        encoding.append(encoded - began)
        appending.append(time.perf_counter() - encoded)
    return encoding, appending


# --- sustained ---------------------------------------------------------------------------------


def sustained(folder: Path, load: Path, length: int, count: int) -> tuple[float, int, int, int]:
    """Seconds from the first request to the last span in SQL, and peak memory in bytes.

    Returns:
        Seconds; memory of the receiving process, of the sealer, of the sealer's largest worker.
    """
    wal.initialise(folder)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    sealer = context.Process(target=_seal_until_told, args=(folder, theirs))
    receiver = context.Process(target=_receive_all, args=(folder, load, length, theirs))
    sealer.start()
    assert ours.recv() == "ready"
    began = time.perf_counter()
    receiver.start()
    assert ours.recv() == "began"
    began = time.perf_counter()
    receiver_bytes = ours.recv()
    receiver.join()
    wanted = count * SPANS_PER_REQUEST
    while sum(file.rows for file in snapshot.newest(folder).live("spans")) < wanted:
        assert sealer.is_alive()
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    ours.send("stop")
    sealer_bytes, worker_bytes = ours.recv()
    sealer.join()
    return seconds, receiver_bytes, sealer_bytes, worker_bytes


def _receive_all(folder: Path, load: Path, length: int, parent: Connection) -> None:
    writer = wal.WalWriter(folder)
    parent.send("began")
    for request in requests(load, length):
        while sum(path.stat().st_size for path in _there(folder)) > AHEAD_BYTES:
            time.sleep(0.01)
        receive(writer, request)
    writer.close()
    parent.send(_peak_bytes(resource.RUSAGE_SELF))


def _there(folder: Path) -> Iterator[Path]:
    """The segments that the sealer has not removed while we look."""
    for path in wal.segments(folder):
        with contextlib.suppress(FileNotFoundError):
            path.stat()
            yield path


def _seal_until_told(folder: Path, parent: Connection) -> None:
    workers.without_pandas()  # as the receiver's sealer does
    parent.send("ready")
    with workers.Workers() as hired:
        while not parent.poll():
            sealing.seal(folder, workers=hired)
            time.sleep(0.02)
    parent.send((_peak_bytes(resource.RUSAGE_SELF), _peak_bytes(resource.RUSAGE_CHILDREN)))


def _peak_bytes(who: int) -> int:
    per_unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * per_unit


# --- where the time goes -----------------------------------------------------------------------


class Stopwatches:
    """CPU time of named parts, each without the parts that run inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    def watch(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added to that of a part."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._switch()
            self._running.append(name)
            try:
                return function(*args, **kwargs)
            finally:
                self._switch()
                self._running.pop()

        return watched

    def _switch(self) -> None:
        now = time.process_time()
        if self._running:
            part = self._running[-1]
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now


PARTS: Sequence[tuple[str, Any, str]] = (
    ("parse", intake, "read_log"),
    ("dedupe", derive, "News"),
    ("DuckDB", stored.Stored, "_tuples"),
    ("DuckDB", stored.Stored, "_arrow"),
    ("dialects", tree, "read"),
    ("hashing", assembly_rows, "read_requests"),
    ("assembly", workers, "assemble_alone"),
    ("assembly", derive, "placed"),
    ("rows to Arrow", rows, "spans_table"),
    ("rows to Arrow", rows, "derived_table"),
    ("rows to Arrow", columns, "joined"),
    ("Parquet", files, "write_parts"),
)
"""Name of a part, and the functions of which it consists."""


def where_time_goes(folder: Path, load: Path, length: int, count: int) -> dict[str, float]:
    """Part -> microseconds of CPU per span, of sealing `count` requests in this process."""
    wal.initialise(folder)
    writer = wal.WalWriter(folder)
    source = requests(load, length)
    for _ in range(2):  # the first goes in before: look-ups in an empty store cost nothing
        for request in _first(source, 1 if _ == 0 else count):
            writer.append(request, "otlp-traces")
        if _ == 0:
            sealing.seal(folder)
    watches = Stopwatches()
    with contextlib.ExitStack() as stack:
        for name, owner, attribute in PARTS:
            watched = watches.watch(name, getattr(owner, attribute))
            stack.enter_context(mock.patch.object(owner, attribute, watched))
        stack.enter_context(mock.patch.object(workers, "_cores", return_value=1))
        watches.watch("the rest", sealing.seal)(folder)
    return {
        name: seconds / (count * SPANS_PER_REQUEST) * 1e6
        for name, seconds in watches.seconds.items()
    }


# --- a store of years --------------------------------------------------------------------------

DAY_NS = 86_400 * 10**9


def make_years(folder: Path, days: int, spans_per_day: int) -> None:
    """A store with runs of many days up to that of `START_NS`, as compaction leaves it.

    One day is sealed; the others are copies of it with other trace and response ids and times.
    """
    wal.initialise(folder)
    writer = wal.WalWriter(folder)
    for number in range(max(1, spans_per_day // SPANS_PER_RUN)):
        writer.append(wal.encode(run_of(SPANS_PER_RUN, number, START_NS + number * 10**9)))
    writer.close()
    sealing.seal(folder)
    today = snapshot.newest(folder)
    added: dict[str, list[snapshot.DataFile]] = {name: [] for name in today.files}
    for table, own in today.files.items():
        parts = [pq.ParquetFile(folder / file.path).read() for file in own]
        for day in range(1, days if parts else 0):
            date = (datetime.fromtimestamp(START_NS / 1e9, UTC) - timedelta(days=day)).date()
            moved = _days_before(pa.concat_tables(parts), day)
            with files.FileWriter(folder, table, str(date), level=1) as file_writer:
                file_writer.add(moved)
                written = file_writer.close()
            added[table] += [written] if written else []
    snapshot.commit(
        folder, today.changed({}, {name: tuple(own) for name, own in added.items()}, "compact")
    )


def _days_before(table: pa.Table, day: int) -> pa.Table:
    """The rows as of some days before, of runs of their own."""
    mark = f"{day:04x}"
    for index, field in enumerate(table.schema):
        cells = table[index]
        if field.name in ("trace_id", "trajectory_id", "response_id"):
            cells = pa.array([id_ and mark + id_[4:] for id_ in cells.to_pylist()])
        elif field.name == "trace_ids":
            cells = pa.array([[mark + id_[4:] for id_ in own] for own in cells.to_pylist()])
        elif pa.types.is_timestamp(field.type):
            cells = _less(cells.cast(pa.int64()), day * DAY_NS // 1000).cast(field.type)
        elif field.name in ("start_ns", "end_ns"):
            cells = _less(cells, day * DAY_NS)
        table = table.set_column(index, field, cells.cast(field.type))
    return table


def _less(numbers: pa.ChunkedArray, amount: int) -> pa.ChunkedArray:
    return pc.call_function("subtract", [numbers, pa.scalar(amount)])


def seals_in_years(folder: Path, repeats: int) -> dict[str, list[float]]:
    """What is sealed -> seconds of each seal; a late span makes a revision."""
    found: dict[str, list[float]] = {"a run that begins": [], "its late span": []}
    writer = wal.WalWriter(folder)
    for repeat in range(repeats):
        run = run_of(SPANS_PER_RUN, 2**31 + repeat, START_NS + repeat * 10**9)
        for name, part in zip(found, (run[:-1], run[-1:]), strict=True):
            writer.append(wal.encode(part))
            began = time.perf_counter()
            sealing.seal(folder, is_final=True)
            found[name].append(time.perf_counter() - began)
    return found


def _first(source: Iterator[bytes], count: int) -> Iterator[bytes]:
    return (request for request, _ in zip(source, range(count), strict=False))


def main() -> None:
    """Print each figure with its n."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="of receiving")
    parser.add_argument("--spans", type=int, default=60_000, help="to sustain")
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--profile", type=int, default=10_000, help="spans to say where time goes")
    parser.add_argument("--days", type=int, default=1000, help="of the store of years")
    parser.add_argument("--spans-per-day", type=int, default=1000)
    args = parser.parse_args()
    n_requests = max(2, args.spans // SPANS_PER_REQUEST)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        load = base / "requests"
        length = write_requests(load, n_requests)
        print(f"{length / SPANS_PER_REQUEST:,.0f} bytes a span")
        n, seconds = acknowledged(base / "acknowledged", load, length, args.seconds)
        print(f"acknowledged after fsync  {n / seconds:9,.0f} spans/s  (n={n:,})")
        encoding, appending = (sorted(part) for part in commits(base / "commits", args.commits))
        for name, part in (("append", appending), ("encode", encoding)):
            p50, p99 = statistics.median(part), part[int(len(part) * 0.99)]
            print(
                f"commit of 20 spans, {name}  p50 {p50 * 1e3:.2f} ms  p99 {p99 * 1e3:.2f} ms"
                f"  (n={len(part)})"
            )
        seconds, *peaks = sustained(base / "sustained", load, length, n_requests)
        n = n_requests * SPANS_PER_REQUEST
        print(f"sustained to SQL          {n / seconds:9,.0f} spans/s  (n={n:,})")
        for name, peak in zip(("receiver", "sealer", "a worker of it"), peaks, strict=True):
            print(f"  peak memory of the {name}: {peak / 1e6:,.0f} MB")
        count = min(n_requests - 1, max(1, args.profile // SPANS_PER_REQUEST))
        parts = where_time_goes(base / "profile", load, length, count)
        print(f"where the time goes, CPU per span (n={count * SPANS_PER_REQUEST:,}):")
        for name, us in sorted(parts.items(), key=lambda item: -item[1]):
            print(f"  {name:14} {us:7.1f} us")
        print(f"  {'all':14} {sum(parts.values()):7.1f} us")
        make_years(base / "years", args.days, args.spans_per_day)
        total = args.days * args.spans_per_day
        print(f"seal into {args.days:,} days with {total:,} spans:")
        for name, times in seals_in_years(base / "years", 5).items():
            print(f"  {name:18} p50 {statistics.median(times) * 1e3:,.0f} ms  (n={len(times)})")


if __name__ == "__main__":
    main()
