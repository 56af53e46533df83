"""Labelled runs in memory and the patterns found in them: what the pattern benches share."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "analysis", ROOT / "exporters"):
    sys.path.insert(0, str(folder))

from otel_traj import importers  # noqa: E402 - the checkout's, not an installed one
from otel_traj.store import TrajectoryStore  # noqa: E402
from otel_traj_analysis import contrast, load, runner  # noqa: E402

DATA = Path(os.environ.get("OTEL_TRAJ_DATA", ROOT.parent / "shared" / "data"))
DATA_SETS = ("taubench-airline-gpt4o", "reflexion-hotpotqa", "sregym-stratus", "tau2-gpt41mini")
COLUMNS = {
    "attempts": "trajectory_id, task, agent_name, agent_version, is_success, left_out",
    "steps": "trajectory_id, step, trace_id, span_id, kind, status, tool_name, arguments",
    "failed_calls": "trajectory_id, step, signature",
    "error_classes": "tool_name, signature, is_proposed",
}
"""What patterns are made of: view -> columns."""


@contextmanager
def imported(data_set: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """The attempts and calls of a data set, read by its importer into a store, then in memory."""
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore.create(Path(folder) / "traces")
        store.append(importers.read(DATA / data_set))
        connection = duckdb.connect()
        for table, columns in COLUMNS.items():
            chosen = f"select {columns} from {table}"  # noqa: S608 - the names above
            rows = store.sql(chosen).to_arrow_table()
            connection.from_arrow(rows).create(table)
        yield connection


def in_memory(tables: Mapping[str, Mapping[str, Any]]) -> duckdb.DuckDBPyConnection:
    """Made-up attempts and steps, as column -> values."""
    connection = duckdb.connect()
    for name, columns in tables.items():
        connection.from_arrow(pa.table(dict(columns))).create(name)
    return connection


def patterns(connection: duckdb.DuckDBPyConnection, analysis: str) -> list[dict[str, Any]]:
    """Labelled rows of a pattern analysis, without those of kind `all`."""
    counts = runner.answer(connection, load(analysis), {})
    rows = contrast.label(counts.to_arrow_table()).to_pylist()
    return [row for row in rows if row["kind"] != "all"]


def shuffle(connection: duckdb.DuckDBPyConnection, random: np.random.Generator) -> None:
    """Hand out the outcomes of each task's attempts anew: whatever is found then is invented."""
    told = connection.execute(
        "select trajectory_id, task, is_success from judged order by task, trajectory_id"
    ).fetchnumpy()
    order = np.lexsort((random.random(len(told["task"])), told["task"].astype(str)))
    outcomes = pa.table(
        {"trajectory_id": told["trajectory_id"], "is_success": told["is_success"][order]}
    )
    connection.register("outcomes", outcomes)
    connection.execute(
        "create or replace table attempts as"
        " select a.* exclude (is_success), o.is_success"
        " from judged a join outcomes o using (trajectory_id)"
    )
    connection.unregister("outcomes")


def keep_judged(connection: duckdb.DuckDBPyConnection) -> int:
    """Keep the attempts that count in a table `judged`; their number."""
    connection.execute(
        "create table judged as from attempts where left_out is null and is_success is not null"
    )
    [[n]] = connection.execute("select count(*) from judged").fetchall()
    return int(n)
