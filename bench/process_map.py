"""The directly-follows graph and the variants of runs, held against pm4py's on the same events.

    python bench/process_map.py                          every data set here, then 1,000,000 events
    python bench/process_map.py --events 2000 --data taubench-airline-gpt4o

pm4py gets an environment of its own below `.frameworks/`, made once; needs the package index then.
Ours is read out of a store on disk (data sets) or out of tables in memory (events made in SQL);
pm4py gets the same events as a sorted table in memory. Times are wall and CPU of all threads,
ours medians of `--repeat`, pm4py's of one go.
Goals: nothing differs; the graph of a million events within a second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.labelled import DATA, ROOT
from otel_traj import importers
from otel_traj.errors import OtelTrajError
from otel_traj.store import TrajectoryStore
from otel_traj_analysis import load, runner
from tests.environments import InstallError, made

CALLS_OF_RUN = 20
EVENTS = """
    select trajectory_id as run, tool_name as call,
        timestamp '2026-11-01' + to_seconds(row_number() over (
            partition by trajectory_id order by step)) as time
    from steps
    where kind in ('tool', 'handoff') and tool_name is not null
    order by run, time
"""
"""In order, which pm4py takes for granted: ours sorts within the time it takes."""

MADE = """
    create table trajectories as
    select substr(sha256(i::varchar), 1, 20) as trajectory_id, null::varchar as relation
    from range($runs) as numbers(i);
    create table steps as
    select trajectory_id, n::integer as step, 'tool' as kind, 'ok' as status,
        null::varchar as agent_name,
        -- The root skews: few tools are called often, many seldom.
        'tool_' || floor(sqrt(hash(trajectory_id, n * 7919 + 13) % 400))::integer as tool_name,
        '1' as trace_id, printf('%016x', n::bigint) as span_id
    from trajectories, range($calls) as places(n);
"""


def peer(python: Path, events: Path) -> dict[str, Any]:
    """What pm4py finds in an event log."""
    script = Path(__file__).with_name("pm4py_graph.py")
    done = subprocess.run(
        [str(python), "-W", "ignore", str(script), str(events)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def differences(ask: Callable[[str], duckdb.DuckDBPyRelation], theirs: dict[str, Any]) -> list[str]:
    """Arcs and variants that ours and theirs do not have alike; empty: they are the same."""
    arcs = {(row[0], row[1]): row[2] for row in ask("process_map").fetchall()}
    variants = {tuple(row[0]): row[2] for row in ask("variants").fetchall()}
    return [
        *_unlike("arc", arcs, {(s, t): n for s, t, n in theirs["arcs"]}),
        *_unlike("variant", variants, {tuple(calls): n for calls, n in theirs["variants"]}),
    ]


def _unlike(what: str, ours: dict[Any, int], theirs: dict[Any, int]) -> list[str]:
    keys = sorted(ours.keys() | theirs.keys(), key=repr)
    return [
        f"{what} {key}: ours {ours.get(key)}, theirs {theirs.get(key)}"
        for key in keys
        if ours.get(key) != theirs.get(key)
    ]


def compare(connection: duckdb.DuckDBPyConnection, python: Path, folder: Path) -> dict[str, Any]:
    """Hand the events of a database to pm4py; its findings, with what differs from ours."""
    events = folder / "events.parquet"
    parquet.write_table(connection.sql(EVENTS).to_arrow_table(), events)
    theirs = peer(python, events)
    unlike = differences(lambda name: runner.answer(connection, load(name), {}), theirs)
    return {**theirs, "unlike": unlike}


def data_set(name: str, python: Path, folder: Path) -> bool:
    """Import a data set and compare; True where nothing differs. Says what it finds."""
    store = TrajectoryStore.create(folder / "traces")
    store.append(importers.read(DATA / name))
    connection = store.connection()
    events, runs = told(connection)
    if not events:
        print(f"{name}: no calls in it", flush=True)
        return True
    found = compare(connection, python, folder)
    print(
        f"{name}: {events:,} events of {runs:,} runs: {len(found['arcs'])} arcs,"
        f" {len(found['variants'])} variants, {len(found['unlike'])} differ from pm4py's",
        flush=True,
    )
    for line in found["unlike"][:5]:
        print(f"    {line}")
    return not found["unlike"]


def told(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Events and the runs they are of."""
    [(events, runs)] = connection.execute(
        f"select count(*), count(distinct run) from ({EVENTS})"  # noqa: S608 - our own SQL
    ).fetchall()
    return events, runs


def made_up(n_events: int, repeat: int, python: Path, folder: Path) -> bool:
    """Time and compare both on events made in SQL; True where nothing differs."""
    connection = duckdb.connect()
    runs = max(1, n_events // CALLS_OF_RUN)
    connection.execute(MADE.replace("$runs", str(runs)).replace("$calls", str(CALLS_OF_RUN)))
    connection.execute(
        "create view attempts as select trajectory_id, null as left_out,"
        " null::boolean as is_success from trajectories"
    )
    ours = {name: timed(connection, name, repeat) for name in ("process_map", "variants")}
    found = compare(connection, python, folder)
    print(f"\n{runs * CALLS_OF_RUN:,} events of {runs:,} runs made in SQL, median of {repeat}:")
    for name, (seconds, cpu_seconds) in ours.items():
        theirs, theirs_cpu = found["seconds"][name], found["cpu_seconds"][name]
        print(
            f"    {name}: {seconds:.2f} s, CPU {cpu_seconds:.2f} s;"
            f" pm4py {found['version']} {theirs:.2f} s, CPU {theirs_cpu:.2f} s;"
            f" ratio {seconds / theirs:.2f}, of CPU {cpu_seconds / theirs_cpu:.2f}"
        )
    print(
        f"    {len(found['arcs']):,} arcs, {len(found['variants']):,} variants,"
        f" {len(found['unlike'])} differ from pm4py's"
    )
    return not found["unlike"]


def timed(connection: duckdb.DuckDBPyConnection, name: str, repeat: int) -> tuple[float, float]:
    """Median seconds of an analysis, wall and CPU; the first time does not count."""
    walls, cpus = [], []
    for _ in range(repeat + 1):
        began, began_cpu = time.perf_counter(), time.process_time()
        runner.answer(connection, load(name), {}).to_arrow_table()
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - began_cpu)
    return statistics.median(walls[1:]), statistics.median(cpus[1:])


def main() -> int:
    """Print what is found; 1 where something differs from pm4py's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--data", nargs="*", metavar="NAME", help="data sets; all when left out")
    options = parser.parse_args()
    try:
        python = made(ROOT / ".frameworks" / "pm4py", ["pm4py", "pyarrow"])
    except InstallError as error:
        print(f"skipped: no pm4py: {error}")
        return 0
    found = sorted(path.name for path in DATA.iterdir() if path.is_dir()) if DATA.exists() else []
    is_same = True
    for name in found if options.data is None else options.data:
        with tempfile.TemporaryDirectory() as folder:
            try:
                is_same &= data_set(name, python, Path(folder))
            except OtelTrajError as error:
                print(f"{name}: not imported: {str(error).splitlines()[0]}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        is_same &= made_up(options.events, options.repeat, python, Path(folder))
    return int(not is_same)


if __name__ == "__main__":
    sys.exit(main())
