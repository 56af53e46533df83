"""How long questions take on many spans: before and after compaction, after many commits.

    python bench/queries.py                         1,000,000 spans of 50,000 runs over 14 days
    python bench/queries.py --spans 10000000        ten times as many
    python bench/queries.py --spans 2000 --commits 5 --repeat 1

The rows are made in SQL, by the store's own writer, in the shape of real ones: a run has 20 spans,
7 of them model calls with texts of 2 KB, 11 of them tools. One run in ten was judged afterwards.
Goals: one run by id in 30 ms, the newest 100 with filters in 100 ms.
"""

# ruff: noqa: S608 - what is put into this SQL are constants of this file

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

from otel_traj.store import TrajectoryStore, collection, compaction, snapshot
from otel_traj.store.files import FileWriter
from otel_traj.store.rewrite import batches
from otel_traj.store.schema import TABLES
from otel_traj.store.snapshot import DataFile, Snapshot

DAYS: Final = 14
SPANS_OF_RUN: Final = 20
RUNS_ASKED: Final = 20
"""Runs that are asked for by id, of any day, in turn."""
PARTS_OF_DAY: Final = 8
"""Commits that a day's rows came in before they were merged."""

# One row per run of a day, then one per span; everything follows from their numbers by `hash`.
_RUNS: Final = """
create or replace temp table run as
select i, 'aa' || printf('%030x', i) as trace_id,
    substr(sha256(i::varchar), 1, 20) as trajectory_id,
    make_timestamptz(epoch_us(timestamptz '2026-11-01') + day * 86400000000::bigint
        + (hash(i) % 86000000000)::bigint) as start_time,
    (['planner', 'coder', 'reviewer', 'clerk'])[(1 + hash(i, 1) % 4)::bigint] as agent_name,
    case when hash(i, 2) % 5 = 0 then 'error' else 'completed' end as status,
    'task-' || hash(i, 3) % 500 as task, day, hash(i, 4) % $parts as part
from (select unnest(range($first::bigint, $last::bigint)) as i, $day::bigint as day)
"""

_SPANS: Final = """
create or replace temp table span as
select r.*, n, printf('%016x', i * 32 + n) as span_id,
    r.start_time + to_milliseconds(n * 700) as began,
    case when n = 0 then 'agent' when n % 3 = 1 then 'llm' when n = 19 then 'wrapper' else 'tool'
    end as kind,
    (['search', 'read_file', 'write_file', 'run_tests', 'lookup'])[(1 + hash(i, n) % 5)::bigint]
    as tool,
    text.words
from run r, (select unnest(range(20)) as n) join text on text.k = hash(i, n, 7) % 2000
"""

_TEXTS: Final = """
create temp table text as
select k, string_agg((['the', 'order', 'file', 'test', 'failed', 'because', 'value', 'missing',
    'retry', 'result'])[(1 + hash(k, w) % 10)::bigint] || hash(k, w, 1) % 1000, ' ') as words
from (select unnest(range(2000)) as k), (select unnest(range(220)) as w) group by k
"""

_COLUMNS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "trajectories": (
        "run r order by start_time, trajectory_id",
        {
            "trajectory_id": "trajectory_id",
            "rev": "1",
            "aliases": "[]",
            "trace_ids": "[trace_id]",
            "root_span_id": "printf('%016x', i * 32)",
            "task": "task",
            "user_input": "'Do ' || task",
            "final_answer": "'Done: ' || task",
            "agent_name": "agent_name",
            "start_time": "start_time",
            "end_time": "start_time + to_seconds(14)",
            "duration_us": "14000000",
            "status": "status",
            "n_spans": "20",
            "n_steps": "18",
            "n_llm": "7",
            "n_tools": "11",
            "n_late": "0",
            "n_dropped_spans": "0",
            "input_tokens": "7000",
            "output_tokens": "1400",
            "models": "['m-1']",
            "tools": "['search', (['lookup', 'run_tests'])[(1 + hash(i, 8) % 2)::bigint]]",
            "n_errors": "case when status = 'error' then 1 + hash(i, 9) % 4 else 0 end",
            "error_type": "case when status = 'error' then"
            " (['Timeout', 'ToolError', 'RateLimit'])[(1 + hash(i, 10) % 3)::bigint] end",
            "cost_usd": "(hash(i, 11) % 4000) / 1000.0",
            "complete": "true",
            "grade": "'B'",
        },
    ),
    "steps": (
        "(from span where kind in ('llm', 'tool')) order by start_time, trajectory_id, n",
        {
            "trajectory_id": "trajectory_id",
            "rev": "1",
            "step": "n - 1",
            "kind": "kind",
            "trace_id": "trace_id",
            "span_id": "span_id",
            "start_time": "began",
            "duration_us": "600000",
            "status": "case when hash(i, n, 9) % 20 = 0 then 'error' else 'ok' end",
            "agent_name": "agent_name",
            "model": "case when kind = 'llm' then 'm-1' end",
            "input_tokens": "case when kind = 'llm' then 1000 end",
            "tool_name": "case when kind = 'tool' then tool end",
            "tool_call_id": "case when kind = 'tool' then 'c-' || span_id end",
            "arguments": "case when kind = 'tool' then '{\"path\":\"' || task || '\"}' end",
            "output_text": "case when kind = 'llm' then left(words, 400) end",
            "new_messages": "case when kind = 'llm' then to_json(words) end",
        },
    ),
    "trajectory_spans": (
        "span order by start_time, trajectory_id, n",
        {
            "trajectory_id": "trajectory_id",
            "rev": "1",
            "trace_id": "trace_id",
            "span_id": "span_id",
            "step": "case when kind in ('llm', 'tool') then n - 1 end",
        },
    ),
    "spans": (
        "span order by start_time, trace_id, began",
        {
            "trace_id": "trace_id",
            "span_id": "span_id",
            "parent_span_id": "case when n > 0 then printf('%016x', i * 32) end",
            "name": "case when kind = 'tool' then 'execute_tool ' || tool else kind end",
            "kind": "case when kind = 'llm' then 'CLIENT' else 'INTERNAL' end",
            "status": "case when hash(i, n, 9) % 20 = 0 then 'ERROR' else 'UNSET' end",
            "start_time": "began",
            "end_time": "began + to_milliseconds(600)",
            "start_ns": "epoch_ns(began)",
            "end_ns": "epoch_ns(began) + 600000000",
            "service": "'shop'",
            "op": "case kind when 'llm' then 'chat' when 'tool' then 'execute_tool' end",
            "agent_name": "agent_name",
            "model": "case when kind = 'llm' then 'm-1' end",
            "tool_name": "case when kind = 'tool' then tool end",
            "scope_attributes": "'{}'",
            "events": "[]",
            "links": "[]",
            "resource": '\'{"service.name":"shop"}\'',
            "attributes": "'{\"app.tenant\":\"t' || hash(i, 5) % 40 || '\",\"n\":' || n || '}'",
            "input_messages": "case when kind = 'llm' then to_json(words) end",
            "output_messages": "case when kind = 'llm' then to_json(left(words, 400)) end",
        },
    ),
    "annotations": (
        "(from run where i % 10 = 0) order by start_time, trajectory_id",
        {
            "annotation_id": "'a-' || i",
            "target": "'trajectory'",
            "trajectory_id": "trajectory_id",
            "name": "'outcome'",
            "kind": "'outcome'",
            "value_text": "case when hash(i, 6) % 3 = 0 then 'failure' else 'success' end",
            "source": "'explicit'",
            "created": "start_time + to_hours(1)",
            "deleted": "false",
        },
    ),
}


def make(path: Path, n_spans: int) -> TrajectoryStore:
    """A store of so many spans; each day's rows in `PARTS_OF_DAY` files, as commits leave them."""
    store = TrajectoryStore.create(path)
    n_runs = max(n_spans // SPANS_OF_RUN, DAYS)
    files: dict[str, list[DataFile]] = {table: [] for table in _COLUMNS}
    with duckdb.connect(config={"temp_directory": str(path / "_tmp" / "spill")}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(_TEXTS)
        for day in range(DAYS):
            numbers = {"first": n_runs * day // DAYS, "last": n_runs * (day + 1) // DAYS}
            views = _RUNS
            for name, number in {**numbers, "day": day, "parts": PARTS_OF_DAY}.items():
                views = views.replace(f"${name}", str(number))
            connection.execute(views)
            connection.execute(_SPANS)
            for table in _COLUMNS:
                files[table] += _written(store.path, connection, table, f"2026-11-{day + 1:02}")
    snapshot.commit(
        path, Snapshot(1, time.time(), files={t: tuple(own) for t, own in files.items()})
    )
    return store


def _written(
    path: Path, connection: duckdb.DuckDBPyConnection, table: str, date: str
) -> Iterator[DataFile]:
    source, columns = _COLUMNS[table]
    told = ", ".join(
        f'({columns.get(c.name, "null")})::{c.duckdb_type} as "{c.name}"'
        for c in TABLES[table].columns
    )
    order = source.partition(" order by ")[2]
    for part in range(PARTS_OF_DAY):
        sql = f"select {told} from {source.partition(' order by ')[0]} where part = {part}"
        with FileWriter(path, table, date) as writer:
            for rows in batches(connection, f"{sql} order by {order}", table):
                writer.add(rows)
            file = writer.close()
        if file is not None:
            yield file


# --- questions ---------------------------------------------------------------------------------


def questions(store: TrajectoryStore) -> dict[str, Callable[[], object]]:
    """What people ask -> a call that asks it."""
    found = store.sql(
        "select trajectory_id, trace_ids[1], min(start_time) over (), max(start_time) over ()"
        f" from trajectories order by hash(trajectory_id) limit {RUNS_ASKED}"
    ).fetchall()
    trajectory_id, trace_id, first, last = found[0]
    another = itertools.cycle(row[0] for row in found)

    def sql(text: str, **parameters: Any) -> Callable[[], object]:
        return lambda: store.sql(text, parameters).fetchall()

    return {
        "one run with its steps, by id": lambda: store.trajectory(next(another)),
        "its header only": sql("from trajectories where trajectory_id = $id", id=trajectory_id),
        "spans of one trace": sql("from spans where trace_id = $id", id=trace_id),
        "newest 100": sql(
            "select trajectory_id, task, outcome, duration_s from trajectories"
            " order by start_time desc limit 100"
        ),
        "newest 100 of an agent that failed": sql(
            "select trajectory_id, task, outcome, duration_s from trajectories"
            " where agent_name = 'coder' and outcome = 'failure' order by start_time desc limit 100"
        ),
        "newest 100 objects": lambda: list(store.trajectories(agent="coder", limit=100)),
        "steps by tool": sql(
            "select tool_name, count(*), avg(duration_s), avg((status = 'error')::int) from steps"
            " where kind = 'tool' group by 1 order by 1"
        ),
        "runs by outcome": sql("select outcome, count(*) from trajectories group by 1 order by 1"),
        "text search in answers": sql(
            "select count(*) from steps where output_text like '%failed77 %'"
        ),
        "text search in answers of one day": sql(
            "select count(*) from steps where output_text like '%failed77 %'"
            " and start_time >= $from and start_time < $from + interval 1 day",
            **{"from": first + (last - first) / 2},
        ),
    }


def ask(store: TrajectoryStore, repeat: int) -> dict[str, float]:
    """Median of each question in milliseconds; the first time does not count."""
    medians = {}
    for what, question in questions(store).items():
        question()
        times = []
        for _ in range(repeat):
            began = time.perf_counter()
            question()
            times.append((time.perf_counter() - began) * 1e3)
        medians[what] = statistics.median(times)
    return medians


def shape(store: TrajectoryStore) -> str:
    """How many files and bytes the newest snapshot names."""
    files = [f for own in snapshot.newest(store.path).files.values() for f in own]
    return f"{len(files):,} files, {sum(f.bytes for f in files) / 1e6:,.0f} MB"


def commit_singly(store: TrajectoryStore, n: int) -> float:
    """Append so many runs of one commit each; seconds."""
    from tests.store.runs import run

    began = time.perf_counter()
    for number in range(n):
        store.append(run(number))
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--commits", type=int, default=1_000, help="single commits at the end")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="make the store here and leave it")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="queries-"))
    try:
        began = time.perf_counter()
        store = make(folder / "traces", options.spans)
        print(f"{options.spans:,} spans made in {time.perf_counter() - began:.0f} s", flush=True)
        results = {f"as committed ({shape(store)})": ask(store, options.repeat)}
        began = time.perf_counter()
        compaction.compact(store.path, scope="all")
        print(f"merged in {time.perf_counter() - began:.0f} s", flush=True)
        collection.collect(store.path, grace_s=0)
        results[f"merged ({shape(store)})"] = ask(store, options.repeat)
        seconds = commit_singly(store, options.commits)
        print(f"{options.commits:,} single commits in {seconds:.0f} s", flush=True)
        results[f"after {options.commits:,} more commits ({shape(store)})"] = ask(
            store, options.repeat
        )
        print(f"\nmedian of {options.repeat}, ms")
        for number, name in enumerate(results, 1):
            print(f"  [{number}] {name}")
        print("".join(f"{f'[{number}]':>9}" for number in range(1, len(results) + 1)))
        for what in next(iter(results.values())):
            print("".join(f"{result[what]:9.1f}" for result in results.values()), "", what)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
