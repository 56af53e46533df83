"""Graph, variants and gapped patterns of runs, held against pm4py's and prefixspan's.

    python bench/process_map.py                          every data set here, then 1,000,000 events
    python bench/process_map.py --events 2000 --data taubench-airline-gpt4o

Both get an environment of their own below `.frameworks/`, made once; needs the package index then.
Patterns with gaps are those of `success_patterns` over all runs, with any gap, as prefixspan knows
no bound: of two and three calls all of them, of one and two calls those that are closed, that is no
longer one is in as many runs. Of a run the first 40 calls count there.
Ours is read out of a store on disk (data sets) or out of tables in memory (events made in SQL);
pm4py gets the same events as a sorted table in memory. Times are wall and CPU of all threads,
ours medians of `--repeat`, pm4py's of one go.
Goals: nothing differs; the graph of a million events within a second.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.labelled import DATA, ROOT
from otel_traj import importers
from otel_traj.errors import OtelTrajError
from otel_traj.store import TrajectoryStore
from otel_traj_analysis import cases, load, runner
from tests import corpus
from tests.environments import InstallError, made

CALLS_OF_RUN = 20
CALLS_MINED = 40
MIN_RUNS_MINED = 2
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


def peer(python: Path, script: str, given: Path) -> dict[str, Any]:
    """What another library finds in a file, told by a script beside this one."""
    path = Path(__file__).with_name(script)
    done = subprocess.run(
        [str(python), "-W", "ignore", str(path), str(given)],
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
    theirs = peer(python, "pm4py_graph.py", events)
    unlike = differences(lambda name: runner.answer(connection, load(name), {}), theirs)
    return {**theirs, "unlike": unlike}


# --- patterns with gaps --------------------------------------------------------------------------


def compare_gapped(
    connection: duckdb.DuckDBPyConnection, python: Path, folder: Path
) -> dict[str, Any]:
    """Hand the runs of a database to prefixspan; its findings, with what differs from ours."""
    runs = connection.execute(
        f"select list(call order by time)[:{CALLS_MINED}] from ({EVENTS}) group by run"  # noqa: S608
    ).fetchall()
    sequences = [calls for (calls,) in runs]
    given = folder / "sequences.json"
    given.write_text(json.dumps({"sequences": sequences, "min_runs": MIN_RUNS_MINED}), "utf-8")
    theirs = peer(python, "prefixspan_patterns.py", given)
    began = time.perf_counter()
    ours = gapped(sequences)
    seconds = time.perf_counter() - began
    frequent = {pattern: n for pattern, n in ours.items() if len(pattern) > 1}
    unlike = [
        *_unlike("pattern", frequent, {tuple(p): n for p, n in theirs["frequent"]}),
        *_unlike("closed", closed(ours), {tuple(p): n for p, n in theirs["closed"]}),
    ]
    return {**theirs, "unlike": unlike, "seconds_ours": seconds}


def gapped(sequences: list[list[str]]) -> dict[tuple[str, ...], int]:
    """Patterns of one to three calls, as the SQL of `success_patterns` finds them -> their runs."""
    calls = [
        (str(n), step, call) for n, run in enumerate(sequences) for step, call in enumerate(run)
    ]
    connection = duckdb.connect()
    ids, steps, names = zip(*calls, strict=True)
    columns = {"trajectory_id": ids, "step": steps, "tool_name": names}
    connection.from_arrow(pa.table({k: list(v) for k, v in columns.items()})).create("called")
    connection.execute("""
        create table steps as
        select *, 'tool' as kind, 'ok' as status, null as trace_id, null as span_id from called;
        create table attempts as
        select distinct trajectory_id, null::varchar as task, null::varchar as agent_name,
            null::varchar as agent_version, true as is_success, null::varchar as left_out
        from called
    """)
    whole = load("success_patterns")
    found: dict[tuple[str, ...], int] = {}
    for cte in ("in_a_row", "with_gaps"):
        part = dataclasses.replace(whole, sql=cases.cte_sql(connection, whole, cte))
        rows = runner.answer(connection, part, {"max_gap": CALLS_MINED, "max_length": 1})
        told = rows.aggregate("pattern, count(*) as n").fetchall()
        found |= {tuple(pattern): n for pattern, n in told if n >= MIN_RUNS_MINED}
    return found


def closed(found: dict[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    """Those of one and two calls of which no pattern with one call more is in as many runs."""
    covered = {
        (longer[:place] + longer[place + 1 :], n)
        for longer, n in found.items()
        for place in range(len(longer))
    }
    return {p: n for p, n in found.items() if len(p) < 3 and (p, n) not in covered}


# --- data sets -----------------------------------------------------------------------------------


class Peers(NamedTuple):
    """Interpreters of the environments with the other libraries."""

    pm4py: Path
    prefixspan: Path


def data_set(name: str, source: Path, peers: Peers, folder: Path) -> bool:
    """Import a data set and compare; True where nothing differs. Says what it finds."""
    store = TrajectoryStore.create(folder / "traces")
    store.append(importers.read(source))
    connection = store.connection()
    events, runs = told(connection)
    if not events:
        print(f"{name}: no calls in it", flush=True)
        return True
    found = compare(connection, peers.pm4py, folder)
    mined = compare_gapped(connection, peers.prefixspan, folder)
    print(
        f"{name}: {events:,} events of {runs:,} runs: {len(found['arcs'])} arcs,"
        f" {len(found['variants'])} variants, {len(found['unlike'])} differ from pm4py's;"
        f" {len(mined['frequent'])} gapped patterns in at least {MIN_RUNS_MINED} runs,"
        f" {len(mined['closed'])} closed, {len(mined['unlike'])} differ from prefixspan's"
        f" ({mined['seconds_ours']:.2f} s, prefixspan {mined['seconds']:.2f} s)",
        flush=True,
    )
    unlike = [*found["unlike"], *mined["unlike"]]
    for line in unlike[:5]:
        print(f"    {line}")
    return not unlike


def told(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Events and the runs they are of."""
    [(events, runs)] = connection.execute(
        f"select count(*), count(distinct run) from ({EVENTS})"  # noqa: S608 - our own SQL
    ).fetchall()
    return events, runs


def made_up(n_events: int, repeat: int, peers: Peers, folder: Path) -> bool:
    """Time and compare both on events made in SQL; True where nothing differs."""
    connection = duckdb.connect()
    runs = max(1, n_events // CALLS_OF_RUN)
    connection.execute(MADE.replace("$runs", str(runs)).replace("$calls", str(CALLS_OF_RUN)))
    connection.execute(
        "create view attempts as select trajectory_id, null as left_out,"
        " null::boolean as is_success from trajectories"
    )
    ours = {name: timed(connection, name, repeat) for name in ("process_map", "variants")}
    found = compare(connection, peers.pm4py, folder)
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
    """Print what is found; 1 where something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--data",
        nargs="*",
        metavar="NAME",
        help="data sets, or folders; all that are here when left out",
    )
    options = parser.parse_args()
    try:
        peers = Peers(
            made(ROOT / ".frameworks" / "pm4py", ["pm4py", "pyarrow"]),
            made(ROOT / ".frameworks" / "prefixspan", ["prefixspan"]),
        )
    except InstallError as error:
        print(f"skipped: no pm4py or prefixspan: {error}")
        return 0
    sources = {path.name: path for path in sorted(DATA.glob("*/"))}
    if corpus.WHOLE.exists():
        sources["corpus"] = corpus.WHOLE
    is_same = True
    for name in sources if options.data is None else options.data:
        with tempfile.TemporaryDirectory() as folder:
            try:
                is_same &= data_set(name, sources.get(name, Path(name)), peers, Path(folder))
            except OtelTrajError as error:
                print(f"{name}: not imported: {str(error).splitlines()[0]}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        is_same &= made_up(options.events, options.repeat, peers, Path(folder))
    return int(not is_same)


if __name__ == "__main__":
    sys.exit(main())
