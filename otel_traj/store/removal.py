"""Which rows go with a trajectory, and what becomes of those that stay.

A trajectory is more than its row: its revisions, also those that are dead, its steps, its spans
with their logs, what was said of it, and what the snapshot keeps of it while it runs. A trace may
hold several trajectories; then only the spans of those that go are taken out, and those that stay
are derived again in the same commit, so that they tell what their spans tell.
"""
# ruff: noqa: S608 - what is put into this SQL are names of our own tables

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from otel_traj.store import derive, prices, rewrite, sealing, views
from otel_traj.store.draft import Draft
from otel_traj.store.parts import Groups, in_parts
from otel_traj.store.schema import SUPERSEDED
from otel_traj.store.snapshot import DataFile, Snapshot
from otel_traj.store.stored import Stored
from otel_traj.store.traces import LiveTrace

_KEYS: Final = {
    "gone": ("trajectory_id", "rev"),
    "gone_ids": ("trajectory_id",),
    "gone_traces": ("trace_id",),
    "gone_spans": ("trace_id", "span_id"),
    "gone_annotations": ("annotation_id",),
}
_TYPES: Final = {"rev": pa.int64()}

_OF_SPANS: Final = (
    "(trace_id in (select trace_id from gone_traces)"
    " or (trace_id, span_id) in (select (trace_id, span_id) from gone_spans))"
)
_CONDITIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (*views.REVISED, SUPERSEDED.name),
        "(trajectory_id, rev) in (select (trajectory_id, rev) from gone)",
    ),
    "spans": _OF_SPANS,
    "logs": _OF_SPANS,
    "annotations": (
        f"(trajectory_id in (select trajectory_id from gone_ids) or {_OF_SPANS}"
        " or annotation_id in (select annotation_id from gone_annotations))"
    ),
}
"""Table -> which of its rows go, by the keys of `Doomed`."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """What goes: rows of keys, each a table of the columns in `_KEYS`.

    Attributes:
        gone: Revisions of trajectories, live and dead.
        gone_ids: Ids and aliases of the trajectories.
        gone_traces: Traces of which nothing stays.
        gone_spans: Single spans, of traces that others share.
        gone_annotations: Annotations of nothing that is stored.
        loose_logs: SQL condition on the logs without a trace that go.
        staying: Ids of trajectories that share a trace with one that goes.
    """

    gone: pa.Table
    gone_ids: pa.Table
    gone_traces: pa.Table
    gone_spans: pa.Table
    gone_annotations: pa.Table
    loose_logs: str = "false"
    staying: frozenset[str] = frozenset()

    @property
    def keys(self) -> dict[str, pa.Table]:
        """The tables that `conditions` look up."""
        return {name: getattr(self, name) for name in _KEYS}

    @property
    def conditions(self) -> dict[str, str]:
        """Table -> SQL condition of the rows that go."""
        logs = f"({_CONDITIONS['logs']} or (trace_id is null and ({self.loose_logs})))"
        return {**_CONDITIONS, "logs": logs}


@dataclass(frozen=True, slots=True)
class Amount:
    """How much goes, or went.

    Attributes:
        rows: Table -> rows, without dead revisions; tables of which none goes are left out.
        bytes: About how many bytes of the files are theirs, by share of rows.
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        tables = self.rows.keys() | other.rows.keys()
        return Amount(
            {table: self.rows.get(table, 0) + other.rows.get(table, 0) for table in sorted(tables)},
            self.bytes + other.bytes,
        )


# --- what goes ---------------------------------------------------------------------------------


def doomed(
    connection: duckdb.DuckDBPyConnection,
    trajectory_ids: pa.Table,
    *,
    trace_ids: Iterable[str] = (),
    spans: Iterable[tuple[str, str | None]] = (),
    annotation_ids: Iterable[str] = (),
    loose_logs: str = "false",
) -> Doomed:
    """All that goes with some trajectories.

    Args:
        connection: On the snapshot, with the schemas `stored` and `live`.
        trajectory_ids: The trajectories, in one column `trajectory_id`; live ones.
        trace_ids: Traces without a trajectory that go as well.
        spans: Traces and ids of spans that belong to no trajectory and go as well.
        annotation_ids: Annotations of nothing that is stored, which go as well.
        loose_logs: SQL condition on the logs without a trace that go as well.
    """
    connection.register("doomed", trajectory_ids)
    connection.register("more_traces", _keys("gone_traces", ((t,) for t in trace_ids)))
    connection.register("more_spans", _keys("gone_spans", spans))
    connection.register(
        "more_annotations", _keys("gone_annotations", ((a,) for a in annotation_ids))
    )
    for name, sql in _SELECTIONS.items():
        connection.execute(f"create or replace temp table {name} as {sql}")
    staying = connection.execute("select trajectory_id from staying").fetchall()
    return Doomed(
        **{name: _found(connection, name) for name in _KEYS},
        loose_logs=loose_logs,
        staying=frozenset(row[0] for row in staying),
    )


_SELECTIONS: Final = {
    "touched": (
        "select unnest(trace_ids) as trace_id from live.trajectories"
        " semi join doomed using (trajectory_id)"
        " union select trace_id from live.trajectory_spans semi join doomed using (trajectory_id)"
    ),
    "sharing": (
        "select trajectory_id, trace_id from ("
        "  select trajectory_id, unnest(trace_ids) as trace_id from live.trajectories"
        "  union select trajectory_id, trace_id from live.trajectory_spans"
        ") anti join doomed using (trajectory_id) semi join touched using (trace_id)"
    ),
    "staying": "select distinct trajectory_id from sharing",
    "gone_traces": (
        "select trace_id from touched anti join sharing using (trace_id)"
        " union select trace_id from more_traces"
    ),
    "gone_spans": (
        "select distinct trace_id, span_id from live.trajectory_spans"
        " semi join doomed using (trajectory_id) semi join sharing using (trace_id)"
        " anti join (select trace_id, span_id from live.trajectory_spans"
        "  semi join staying using (trajectory_id)) using (trace_id, span_id)"
        " union select trace_id, span_id from more_spans"
    ),
    "gone_ids": (
        "select trajectory_id from doomed union select unnest(aliases) from live.trajectories"
        " semi join doomed using (trajectory_id)"
    ),
    # A dead revision may have another id than the live one: that of a run which was joined to it.
    "gone": (
        "select trajectory_id, rev from live.trajectories semi join doomed using (trajectory_id)"
        " union select trajectory_id, rev from ("
        "  select trajectory_id, rev, unnest(trace_ids) as trace_id from stored.trajectories"
        "  semi join stored.superseded using (trajectory_id, rev)"
        ") where trace_id in (select trace_id from touched)"
        "  or trajectory_id in (select trajectory_id from gone_ids)"
        " union select trajectory_id, rev from stored.superseded semi join gone_ids"
        "  using (trajectory_id)"
    ),
    "gone_annotations": "from more_annotations",
}


def _keys(name: str, rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    columns = _KEYS[name]
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pa.table(
        {
            column: pa.array(own, type=_TYPES.get(column, pa.string()))
            for column, own in zip(columns, cells, strict=True)
        }
    )


def _found(connection: duckdb.DuckDBPyConnection, name: str) -> pa.Table:
    schema = pa.schema([(column, _TYPES.get(column, pa.string())) for column in _KEYS[name]])
    return connection.sql(f"from {name}").to_arrow_table().cast(schema)


def amount(
    connection: duckdb.DuckDBPyConnection, store: Path, current: Snapshot, going: Doomed
) -> Amount:
    """How much `take_out` would take out, asked on the connection that found it."""
    rows: dict[str, int] = {}
    n_bytes = 0.0
    for table, condition in going.conditions.items():
        files = {str(store / file.path): file for file in current.live(table)}
        for path, n in _counts(connection, store, current, table, condition):
            rows[table] = rows.get(table, 0) + n
            n_bytes += files[path].bytes * n / files[path].rows
    dead = _dead(connection)
    rows = {table: n - dead.get(table, 0) for table, n in rows.items() if table != SUPERSEDED.name}
    return Amount({table: n for table, n in rows.items() if n}, round(n_bytes))


def _counts(
    connection: duckdb.DuckDBPyConnection,
    store: Path,
    current: Snapshot,
    table: str,
    condition: str,
) -> list[tuple[str, int]]:
    files: tuple[DataFile, ...] = current.live(table)
    if not files:
        return []
    rows = views.rows_of(current, table, files, store, with_file=True)
    return connection.execute(
        f"select filename, count(*) from ({rows}) where {condition} group by filename"
    ).fetchall()


def _dead(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows of dead revisions among those that go; nobody sees them, so nobody counts them."""
    return {
        table: connection.execute(
            f"select count(*) from stored.{table} semi join gone using (trajectory_id, rev)"
            " semi join stored.superseded using (trajectory_id, rev)"
        ).fetchall()[0][0]
        for table in views.REVISED
    }


# --- taking it out -----------------------------------------------------------------------------


def take_out(store: Path, draft: Draft, going: Doomed) -> None:
    """Leave out of a draft all that goes, and derive again what shared a trace with it."""
    draft.apply(rewrite.without(store, draft.content, going.conditions, going.keys))
    draft.open(_still_open(draft.content.open, going))
    if going.staying:
        derive_again(store, draft, going.staying)


def _still_open(open_traces: Mapping[str, dict[str, Any]], going: Doomed) -> dict[str, Any]:
    """The traces that go on, without the spans of trajectories that go."""
    traces = set(going.gone_traces["trace_id"].to_pylist())
    gone: dict[str, set[str]] = {}
    for row in going.gone_spans.to_pylist():
        gone.setdefault(row["trace_id"], set()).add(row["span_id"])
    kept = {}
    for trace_id, content in open_traces.items():
        if trace_id in gone:
            content = _without_children(trace_id, content, gone[trace_id])
        if trace_id not in traces:
            kept[trace_id] = content
    return kept


def _without_children(trace_id: str, content: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    """An open trace without the running spans that began below spans that go."""
    trace = LiveTrace.from_json(trace_id, content)
    spans = trace.state.open_spans
    below = set(gone)
    n_before = -1
    while len(below) != n_before:
        n_before = len(below)
        below.update(i for i, span in spans.items() if span.parent_span_id in below)
    trace.state.open_spans = {i: span for i, span in spans.items() if i not in below}
    return trace.to_json()


def derive_again(store: Path, draft: Draft, trajectory_ids: Collection[str]) -> None:
    """Derive trajectories of a draft from its spans and logs; their old revisions are taken out.

    Args:
        store: The store's folder.
        draft: Its live trajectories are those of before.
        trajectory_ids: Live ones; those that share a trace with them are derived too.
    """
    content = draft.content
    replaced: list[pa.Table] = []
    for batch in _derivations(store, content, trajectory_ids):
        replaced += batch.tables.pop(SUPERSEDED.name).values()
        draft.add(sealing.write_batch(store, batch))
    if replaced:
        old = pa.concat_tables(replaced)
        same = "(trajectory_id, rev) in (select (trajectory_id, rev) from old)"
        conditions: dict[str, str] = dict.fromkeys(views.REVISED, same)
        draft.apply(rewrite.without(store, content, conditions, {"old": old}))


def said(store: Path, draft: Draft, trajectory_ids: Collection[str]) -> set[str]:
    """Ids of the annotations that trajectories of a draft make of themselves."""
    others = {name: own for name, own in draft.content.files.items() if name != "annotations"}
    unsaid = replace(draft.content, files=others)
    return {
        annotation_id
        for batch in _derivations(store, unsaid, trajectory_ids)
        for rows in batch.tables["annotations"].values()
        for annotation_id in rows["annotation_id"].to_pylist()
    }


def _derivations(
    store: Path, content: Snapshot, trajectory_ids: Collection[str]
) -> Iterator[derive.Batch]:
    """What trajectories of a snapshot in the making tell by its records, in parts."""
    price = prices.OfStore(store)
    with sealing.reading(store, content) as stored:
        for trace_ids in _parts(stored, trajectory_ids):
            yield derive.rederive(
                stored,
                sealing.open_traces(content),
                trace_ids,
                n=content.n,
                now=time.time(),
                price=price,
                is_closed=True,
            )


def _parts(stored: Stored, trajectory_ids: Collection[str]) -> Iterator[set[str]]:
    """The traces of trajectories, in parts that share no trajectory."""
    named = stored.trajectories(trajectory_ids)
    rows = stored.trajectories_of({trace_id for row in named for trace_id in row.trace_ids})
    sizes = dict.fromkeys((trace_id for row in rows for trace_id in row.trace_ids), 0)
    sizes.update((trace_id, len(ids)) for trace_id, ids in stored.span_ids(sizes).items())
    groups = Groups(sizes)
    for row in rows:
        groups.join(row.trace_ids)
    return in_parts(groups.all(), sizes)
