"""Writers, readers, a sealer and compaction on one store at once: every read is consistent.

    python bench/concurrency.py [--seconds 30] [--writers 4] [--readers 4] [--rate 20]

All are processes. A reader asks again and again and checks each answer, which comes from one
snapshot: one live revision per trajectory, as many steps as its header counts, no step without a
header, no span twice, no trajectory fewer than before, closed runs whole, and all that writers had
been told to be durable before it asked. Exit status 1 if any answer was wrong or anything failed.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from otel_traj.store import TrajectoryStore, collection, snapshot  # noqa: E402 - the checkout's
from tests.store import load  # noqa: E402
from tests.store.load import Acknowledged, Journal, Seen, lines_of, look, repeat  # noqa: E402

NEWEST: Final = (
    "select trajectory_id, outcome, n_steps from trajectories order by start_time desc limit 9"
)
READ_S: Final = 20.0
"""How long what was replaced can still be read; longer than any question takes."""

_SHOWN: Final = 5


# --- processes -----------------------------------------------------------------------------------


def read(store: Path, journal: Journal, writers: str) -> None:
    """Ask and check for ever; `writers` are paths of their journals, joined by commas."""
    warnings = _Warnings()
    logging.getLogger("otel_traj.store").addHandler(warnings)
    opened = TrajectoryStore(store)
    paths = [Path(path) for path in writers.split(",")]
    before = Seen({}, frozenset())

    def once() -> None:
        nonlocal before
        acknowledged = Acknowledged.of(path for path in paths if path.exists())
        warnings.said.clear()
        begin = time.perf_counter()
        cursor = opened.connection()
        cursor.execute(NEWEST).fetchall()
        took_ms = (time.perf_counter() - begin) * 1e3
        seen, wrong = look(cursor)
        wrong += [f"gone: {n}" for n in before.spans.keys() - seen.spans.keys()]
        lost = acknowledged.lost(seen)
        # Who waited in vain for a sealer says so, and may show less.
        wrong += [] if warnings.said else lost
        journal.note("read", f"{took_ms:.2f}", "late" if warnings.said and lost else "in-time")
        if wrong:
            journal.note("wrong", *wrong[:_SHOWN])
        before = seen

    repeat(journal, 0.05, once)


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def compact(store: Path, journal: Journal) -> None:
    """Compact for ever, now and then all of it, and remove what was replaced `READ_S` ago."""
    opened, turns = TrajectoryStore(store), itertools.count(1)

    def once() -> None:
        begin = time.perf_counter()
        done = opened.compact(full=next(turns) % 3 == 0)
        took_ms = (time.perf_counter() - begin) * 1e3
        journal.note("compacted", f"{took_ms:.1f}", len(done.days))
        collected = collection.collect(store, grace_s=READ_S)
        journal.note("collected", collected.files)

    repeat(journal, 0.5, once)


ROLES: Final[Mapping[str, Callable[..., None]]] = {"read": read, "compact": compact}


# --- the run -------------------------------------------------------------------------------------


def run(folder: Path, *, n_writers: int, n_readers: int, seconds: float, rate: float) -> bool:
    """Let them work and print what came of it; whether all went well."""
    store = folder / "store"
    TrajectoryStore.create(store)
    journals = {
        role: [folder / f"{role}-{k}" for k in range(n)]
        for role, n in {"write": n_writers, "seal": 1, "read": n_readers, "compact": 1}.items()
    }
    for path in itertools.chain(*journals.values()):
        path.touch()
    writers = ",".join(map(str, journals["write"]))
    processes = [
        *(
            load.begin("write", store, path, k * load.RUNS_PER_WRITER, rate)
            for k, path in enumerate(journals["write"])
        ),
        *(load.begin("seal", store, path, 0.2) for path in journals["seal"]),
        *(load.begin("bench.concurrency:read", store, path, writers) for path in journals["read"]),
        *(load.begin("bench.concurrency:compact", store, path) for path in journals["compact"]),
    ]
    time.sleep(seconds)
    dead = [process for process in processes if process.poll() is not None]
    for process in processes:
        process.kill()
        process.wait()
    return report(
        store,
        {role: lines_of(paths) for role, paths in journals.items()},
        Acknowledged.of(journals["write"]),
        len(dead),
    )


def report(
    store: Path,
    told: dict[str, dict[str, list[list[str]]]],
    acknowledged: Acknowledged,
    n_dead: int,
) -> bool:
    """Print the figures; whether they are what they should be."""
    opened = TrajectoryStore(store)
    seen, wrong = look(opened.connection())
    lost = acknowledged.lost(seen)
    errors = [problem.what for problem in opened.verify() if problem.severity == "error"]
    reads, inconsistent = told["read"]["read"], told["read"]["wrong"]
    failed = [f"{role}: {line}" for role in told for line in told[role]["failed"]]
    n_spans = opened.sql("select count(*) from spans").fetchall()[0][0]
    runs = told["write"]["run"]
    print(f"reads        {spread([float(ms) for ms, _ in reads], 'ms')}")
    print(f"inconsistent {len(inconsistent)} (goal 0)")
    print(
        f"stale        {sum(how == 'late' for _, how in reads)}: waited 10 s for a sealer, said so"
    )
    print(f"commits      {spread([int(us) / 1e3 for _, us in runs], 'ms')}, 5 appends each")
    print(f"seals        n={len(told['seal']['sealed'])}")
    turns = told["compact"]["compacted"]
    merges = [float(ms) for ms, n_days in turns if int(n_days)]
    print(f"compactions  {spread(merges, 'ms')} that merged, of {len(turns)}")
    n_collected = sum(int(n) for (n,) in told["compact"]["collected"])
    print(f"collected    {n_collected} files")
    print(f"failed       {len(failed)} (goal 0); {n_dead} processes died (goal 0)")
    print(f"acknowledged n={acknowledged.n}, lost {len(lost)} (goal 0); {n_spans} spans stored")
    live = snapshot.newest(store)
    print(f"live files   {sum(map(len, live.files.values()))} after {live.n} commits")
    print(f"verify       {len(errors)} errors (goal 0)")
    for line in [*inconsistent, *failed, *lost, *wrong, *errors][: 4 * _SHOWN]:
        print(f"  {line}")
    return not (inconsistent or failed or lost or wrong or errors or n_dead)


def spread(values: Sequence[float], unit: str) -> str:
    """Median and 99th percentile, and of how many."""
    if len(values) < 2:
        return f"n={len(values)}"
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.1f} {unit}, p99 {cuts[98]:.1f} {unit}, n={len(values)}"


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=20, help="runs per second of each writer")
    given = parser.parse_args()
    print(
        f"{given.writers} writers x {given.readers} readers x sealer x compaction, "
        f"{given.seconds:g} s"
    )
    with tempfile.TemporaryDirectory() as folder:
        is_good = run(
            Path(folder),
            n_writers=given.writers,
            n_readers=given.readers,
            seconds=given.seconds,
            rate=given.rate,
        )
    return 0 if is_good else 1


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ROLES:
        load.main(ROLES)
    else:
        sys.exit(main())
