"""Are the derived rows those that the stored spans and logs give? Derives some anew and compares.

What no derivation decides alone is left out (`stored.NOT_DERIVED`), and so are runs that cannot be
repeated from what is stored: those that go on, and those with spans that only started.
"""
# ruff: noqa: S608 - what is put into this SQL are names of our own tables

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import duckdb
import pyarrow as pa

from otel_traj.assembly import DERIVE_VERSION
from otel_traj.store import derive, sealing, views
from otel_traj.store.check import relations
from otel_traj.store.check.problem import Problem, Progress, named
from otel_traj.store.check.relations import KNOWN_DAMAGE
from otel_traj.store.derive import Batch
from otel_traj.store.parts import PART_SPANS
from otel_traj.store.schema import TABLES
from otel_traj.store.snapshot import Snapshot
from otel_traj.store.stored import NOT_DERIVED, Stored

_ALL: Final = 2**62
_FETCHED: Final = 2_048

_CANDIDATES: Final = f"""
select trajectory_id, trace_ids, n_spans from live.trajectories
anti join ({KNOWN_DAMAGE}) using (trajectory_id)
where coalesce(n_open, 0) = 0 and derive_version = $version
    and not list_has_any(trace_ids, $open) and not list_contains($damaged, "date")
    and ($days is null or list_contains($days, "date"))
order by hash(trajectory_id || $seed), trajectory_id limit $sample
"""
"""Runs that can be repeated; others in another snapshot, the same ones when asked again."""

_UNDERIVED: Final = """
select trace_id, count(*) from stored.spans anti join (
    select unnest(trace_ids) as trace_id from live.trajectories
) using (trace_id)
where not list_contains($open, trace_id) and not list_contains($damaged, "date")
group by trace_id order by hash(trace_id || $seed), trace_id limit $sample
"""
"""Traces that no run is made of: of other programs, or of agents and forgotten."""

_OTHER_RULES: Final = """
select trajectory_id from live.trajectories where derive_version is distinct from $version
"""


_WITHOUT_SPANS: Final = f"""
select distinct trajectory_id from live.trajectory_spans
anti join stored.spans using (trace_id, span_id) anti join ({KNOWN_DAMAGE}) using (trajectory_id)
where list_contains($days, "date")
"""


@dataclass(slots=True)
class _Part:
    """Traces that are derived at once; `runs` has those of each run that they make now."""

    trace_ids: set[str] = field(default_factory=set)
    runs: dict[str, set[str]] = field(default_factory=dict)
    n_spans: int = 0


def differences(
    connection: duckdb.DuckDBPyConnection,
    stored: Stored,
    current: Snapshot,
    sample: int | None,
    damaged_days: Collection[str],
    on_progress: Progress,
) -> Iterator[Problem]:
    """Runs that are told otherwise than a derivation of today's rules tells them.

    Args:
        connection: With the schemas `stored` and `live`.
        stored: The same snapshot.
        current: The same snapshot.
        sample: How many runs, and traces without one, to derive; None for all.
        damaged_days: Days that are left out.
        on_progress: Is told of each part.
    """
    chosen = {
        "open": list(current.open),
        "damaged": list(damaged_days),
        "seed": str(current.n),
        "sample": _ALL if sample is None else sample,
    }
    of_runs = chosen | {"version": DERIVE_VERSION, "days": None}
    runs = _rows(connection, _CANDIDATES, of_runs)
    traces = ((None, [trace_id], n) for trace_id, n in _rows(connection, _UNDERIVED, chosen))
    parts = itertools.chain(_parts(runs), _parts(traces))
    n_all = stored.n_trajectories()
    n_chosen = n_all if sample is None else min(n_all, sample)
    found = _derive_again(connection, stored, current, parts, n_chosen, on_progress)
    columns = ", ".join(sorted(set(found.told.values()))[:3])
    yield from _said(
        "error",
        f"trajectories are told otherwise than their spans tell them ({columns})",
        found.told,
        "Derive them again: otel-traj reassemble",
    )
    yield from _said(
        "error",
        "spans of runs are stored, but not the runs",
        found.missing,
        "Derive them: otel-traj reassemble",
    )
    yield from _said("note", "traces cannot be derived; their spans are kept", found.failed)
    n_older, ids = relations.found(connection, _OTHER_RULES, version=DERIVE_VERSION)
    if n_older:
        yield Problem(
            "note",
            "trajectories were derived by the rules of another version:"
            f" {named(n_older, ids)}. Newer rules on old spans: otel-traj reassemble",
            ids=ids,
        )


def unrepeatable(
    connection: duckdb.DuckDBPyConnection,
    stored: Stored,
    current: Snapshot,
    days: Collection[str],
) -> set[str]:
    """Trajectories of some days that tell more than their stored spans and logs do.

    Args:
        connection: With the schemas `stored` and `live`.
        stored: The same snapshot.
        current: The same snapshot.
        days: Days of which spans or logs are lost.
    """
    chosen = {"open": list(current.open), "damaged": [], "seed": "", "sample": _ALL}
    of_days = chosen | {"version": DERIVE_VERSION, "days": list(days)}
    runs = _rows(connection, _CANDIDATES, of_days)
    found = _derive_again(connection, stored, current, _parts(runs), 0, lambda *_: None)
    rows = connection.execute(_WITHOUT_SPANS, {"days": list(days)}).fetchall()
    return set(found.told).union(row[0] for row in rows)


@dataclass(slots=True)
class _Differences:
    """What a fresh derivation tells otherwise.

    Attributes:
        told: Runs of which any row differs -> `table.column` that differs first.
        missing: Runs that are not stored.
        failed: Traces that could not be derived.
    """

    told: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)


def _derive_again(
    connection: duckdb.DuckDBPyConnection,
    stored: Stored,
    current: Snapshot,
    parts: Iterable[_Part],
    n_runs: int,
    on_progress: Progress,
) -> _Differences:
    found = _Differences()
    n_done = 0
    on_progress("deriving again", n_done, n_runs)
    for part in parts:
        batch = derive.rederive(
            stored,
            sealing.open_traces(current),
            set(stored.dates(part.trace_ids)),  # of lost files nothing can be derived
            n=current.n,
            now=current.ts,
            price=lambda step: None,
            is_closed=False,
        )
        found.failed.update(batch.failed_traces)
        derived = [i for i, own in part.runs.items() if not own & found.failed]
        found.told |= _compare(connection, current, derived, batch)
        if not part.runs:
            found.missing.update(batch.trajectory_ids)
        n_done += len(part.runs)
        on_progress("deriving again", n_done, n_runs)
    return found


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object]
) -> Iterator[Any]:
    """The rows of a query, some at a time, while others are asked on the same connection."""
    with connection.cursor() as cursor:
        cursor.execute(sql, dict(parameters))
        while rows := cursor.fetchmany(_FETCHED):
            yield from rows


def _said(
    severity: Literal["note", "error"], what: str, found: Iterable[str], remedy: str = ""
) -> Iterator[Problem]:
    ids = tuple(sorted(found))
    if ids:
        after = f". {remedy}" if remedy else ""
        yield Problem(severity, f"{what}: {named(len(ids), ids)}{after}", ids=ids[:10])


def _parts(runs: Iterable[tuple[str | None, Iterable[str], int]]) -> Iterator[_Part]:
    part = _Part()
    for run_id, trace_ids, n_spans in runs:
        part.trace_ids.update(trace_ids)
        part.n_spans += n_spans
        if run_id is not None:
            part.runs[run_id] = set(trace_ids)
        if part.n_spans >= PART_SPANS:
            yield part
            part = _Part()
    if part.trace_ids:
        yield part


def _compare(
    connection: duckdb.DuckDBPyConnection,
    current: Snapshot,
    trajectory_ids: Collection[str],
    batch: Batch,
) -> dict[str, str]:
    """Runs of which any derived row differs -> `table.column` that differs first."""
    told: dict[str, str] = {}
    ids = pa.array(trajectory_ids, pa.string())
    connection.register("wanted", pa.table({"trajectory_id": ids}))
    for table in views.REVISED:
        columns = _columns(current, table)
        quoted = ", ".join(f'"{column}"' for column in columns)
        kept = connection.sql(
            f"select {quoted} from live.{table} semi join wanted using (trajectory_id)"
        ).to_arrow_table()
        fresh = [rows for name, _, _, parts in batch.files() if name == table for rows in parts]
        now = _by_trajectory([kept], columns)
        then = _by_trajectory([rows.select(columns) for rows in fresh], columns)
        for trajectory_id in trajectory_ids:
            column = _first_difference(
                now.get(trajectory_id, []), then.get(trajectory_id, []), columns
            )
            if column is not None:
                told.setdefault(trajectory_id, f"{table}.{column}")
    connection.unregister("wanted")
    return told


def _columns(current: Snapshot, table: str) -> list[str]:
    """Derived columns that all live files have; in files of older versions some are missing."""
    schemas = {file.schema for file in current.live(table)}
    held = [views.columns_of(current, table, schema) for schema in schemas]
    return [
        column.name
        for column in TABLES[table].columns
        if column.name not in NOT_DERIVED and all(column.name in has for has in held)
    ]


def _by_trajectory(
    tables: Collection[pa.Table], columns: Collection[str]
) -> Mapping[str, list[list[str]]]:
    """Trajectory -> its rows in any fixed order, each cell as text, so that NaN equals NaN."""
    found: dict[str, list[list[str]]] = {}
    for table in tables:
        for row in table.to_pylist():
            cells = [_text(row[column]) for column in columns]
            found.setdefault(row["trajectory_id"], []).append(cells)
    for rows in found.values():
        rows.sort()
    return found


def _text(cell: Any) -> str:
    return cell.isoformat() if hasattr(cell, "isoformat") else repr(cell)


def _first_difference(
    now: list[list[str]], then: list[list[str]], columns: list[str]
) -> str | None:
    if now == then:
        return None
    if len(now) != len(then):
        return "rows"
    return next(
        column
        for left, right in zip(now, then, strict=True)
        for column, a, b in zip(columns, left, right, strict=True)
        if a != b
    )
