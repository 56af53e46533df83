"""How long every analysis takes over many runs.

    python bench/analyses.py                        1,000,000 spans of 50,000 runs, merged
    python bench/analyses.py --spans 2000 --repeat 1 process_map waste
    python bench/analyses.py --store traces/        a store that exists

The store is that of bench/queries.py. An analysis is asked `--repeat` times after one time that
does not count, and its whole answer is read. Told are the medians: seconds, seconds of CPU in all
threads, and rows. Goal: what only counts takes at most 2 s; `labelled` ones test each pattern too.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import duckdb

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "analysis", ROOT / "exporters"):
    sys.path.insert(0, str(folder))

import otel_traj_analysis as analysis  # noqa: E402 - the checkout's, not an installed one
from bench import queries  # noqa: E402
from otel_traj.store import TrajectoryStore, collection, compaction, open_store  # noqa: E402


class Measured(NamedTuple):
    """Medians of one analysis."""

    seconds: float
    cpu_seconds: float
    rows: int


def measure(store: TrajectoryStore, name: str, repeat: int) -> Measured:
    """Ask an analysis so many times, and once before."""
    walls, cpus, rows = [], [], 0
    for _ in range(repeat + 1):
        began, began_cpu = time.perf_counter(), time.process_time()
        rows = analysis.run(store, name).to_arrow_table().num_rows
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - began_cpu)
    return Measured(statistics.median(walls[1:]), statistics.median(cpus[1:]), rows)


def made(folder: Path, n_spans: int) -> TrajectoryStore:
    """The store of bench/queries.py, its days merged."""
    store = queries.make(folder / "traces", n_spans)
    compaction.compact(store.path, scope="all")
    collection.collect(store.path, grace_s=0)
    return store


def main() -> None:
    """Print a line for each analysis."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="analyses; all when left out")
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--store", type=Path, help="an existing store instead")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="analyses-"))
    try:
        store = open_store(options.store) if options.store else made(folder, options.spans)
        [(runs, spans)] = store.sql("select count(*), sum(n_spans) from trajectories").fetchall()
        print(f"{runs:,} runs, {spans:,} spans; median of {options.repeat}, warm", flush=True)
        print(f"{'seconds':>9}{'CPU':>9}{'rows':>12}")
        for name in options.names or analysis.names():
            try:
                found = measure(store, name, options.repeat)
            except duckdb.OutOfMemoryException:
                print(f"{'':30}  {name}: the answer does not fit into memory", flush=True)
                continue
            mark = " (labelled)" if analysis.describe(name).labels else ""
            print(
                f"{found.seconds:9.2f}{found.cpu_seconds:9.2f}{found.rows:12,}  {name}{mark}",
                flush=True,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
