"""What the sealer asks the current snapshot: which spans it has, and what they belong to."""
# ruff: noqa: S608 - what is put into this SQL are names of our own tables

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from otel_traj.model import LogRecord, SpanRecord
from otel_traj.store import rows, views
from otel_traj.store.days import Where
from otel_traj.store.schema import SUPERSEDED, TABLES
from otel_traj.store.snapshot import DataFile, Snapshot


@dataclass(frozen=True, slots=True)
class LiveTrajectory:
    """What a live row hands on to the one that replaces it."""

    trajectory_id: str
    rev: int
    trace_ids: tuple[str, ...]
    aliases: tuple[str, ...]
    n_late: int
    n_dropped_spans: int
    start_us: int
    date: str


_LIVE_TRAJECTORY: Final = (
    "select trajectory_id, rev, trace_ids, aliases, n_late, n_dropped_spans,"
    ' epoch_us(start_time), "date" from live.trajectories'
)
"""`LiveTrajectory` in SQL."""

NOT_DERIVED: Final = frozenset(
    (
        "rev",
        "derive_version",
        "start_seq",
        "n_late",
        "n_dropped_spans",
        "n_dropped_attributes",
        "cost_usd",
        "cost_source",
    )
)
"""Columns that depend on more than the records: on when they came, on versions, on price lists."""


_FETCHED: Final = 2_048
"""Rows that are brought from columns into records at once."""


def _memory_of(spans: pa.RecordBatch) -> float:
    """Bytes of memory that spans take until they are steps, rather too many than too few.

    Measured are 7 kB a span and twice its texts: 3.5 GB for 300,000 tool calls of 3.3 kB.
    """
    return float(7_000 * spans.num_rows + 2 * spans.nbytes)


_NOT_TOLD: Final = frozenset(("ingest_seq", "ingest_time", "start_seq", "resource"))
"""Columns of `spans` that say how a span came, not what it tells."""


class Stored:
    """Look-ups in one snapshot, by sets of ids.

    Most take `where`, which files to look into; None is all of them. A store of years has thousands
    of files, and opening one takes a third of a millisecond.
    """

    def __init__(self, store: Path, snapshot: Snapshot) -> None:
        self._store = store
        self._snapshot = snapshot
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._shown: dict[str, tuple[DataFile, ...]] = {}
        """Table -> the files that its view in schema `stored` reads now."""
        self._has_dead: dict[str, bool] = {}
        """Table -> whether its view in schema `live` leaves dead rows out now."""

    def __enter__(self) -> Stored:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def has(self, table: str) -> bool:
        """Whether the table has any rows."""
        return bool(self._snapshot.live(table))

    def is_all(self, table: str, where: Where | None) -> bool:
        """Whether a look-up there leaves out no file of a table."""
        return where is None or all(map(where.holds, self._snapshot.live(table)))

    def span_ids(
        self, trace_ids: Collection[str], where: Where | None = None
    ) -> dict[str, set[str]]:
        """Trace -> ids of its stored spans; traces without any are left out."""
        known: dict[str, set[str]] = {}
        for trace_id, span_id in self._tuples(
            "select trace_id, span_id from stored.spans semi join wanted using (trace_id)",
            "spans",
            where,
            trace_id=trace_ids,
        ):
            known.setdefault(trace_id, set()).add(span_id)
        return known

    def dates(self, trace_ids: Collection[str], where: Where | None = None) -> dict[str, str]:
        """Trace -> partition of its spans."""
        return dict(
            self._tuples(
                'select trace_id, min("date") from stored.spans'
                " semi join wanted using (trace_id) group by trace_id",
                "spans",
                where,
                trace_id=trace_ids,
            )
        )

    def spans(self, trace_ids: Collection[str], where: Where | None = None) -> list[SpanRecord]:
        """The stored spans of some traces."""
        return self.spans_that_fit(trace_ids, where, most_bytes=math.inf)[0]

    def spans_that_fit(
        self, trace_ids: Collection[str], where: Where | None = None, *, most_bytes: float
    ) -> tuple[list[SpanRecord], set[str]]:
        """The stored spans of some traces, and which traces were left out.

        Args:
            trace_ids: The traces.
            where: Which files to look into.
            most_bytes: Memory that deriving one trace may take; see `_memory_of`.
        """
        if not trace_ids or not self._is_ready("spans", where):
            return [], set()
        found = self._with({"trace_id": trace_ids}).sql(
            "select * from stored.spans semi join wanted using (trace_id)"
        )
        reader = rows.SpanReader()
        spans: dict[str, list[SpanRecord]] = defaultdict(list)
        memory: dict[str, float] = defaultdict(float)
        for batch in found.to_arrow_reader(_FETCHED):
            for span in reader.records(batch):
                memory[span.trace_id] += _memory_of(batch) / batch.num_rows
                if memory[span.trace_id] <= most_bytes:
                    spans[span.trace_id].append(span)
                else:
                    spans[span.trace_id].clear()
        too_large = {trace_id for trace_id, n_bytes in memory.items() if n_bytes > most_bytes}
        return [span for own in spans.values() for span in own], too_large

    def told_otherwise(self, spans: pa.Table, where: Where | None = None) -> list[SpanRecord]:
        """The stored spans with the keys of some rows of `spans`, where what they tell differs."""
        if not self._is_ready("spans", where):
            return []
        differs = " or ".join(
            f'g."{c.name}" is distinct from s."{c.name}"'
            for c in TABLES["spans"].columns
            if c.name not in _NOT_TOLD
        )
        connection = self._connected()
        connection.register("given", spans)
        found = connection.sql(
            f"select s.* from stored.spans s join given g using (trace_id, span_id) where {differs}"
        ).to_arrow_table()
        return rows.span_records(found)

    def logs(self, trace_ids: Collection[str], where: Where | None = None) -> list[LogRecord]:
        """The stored logs of some traces."""
        table = self._log_table(trace_ids, where)
        return rows.log_records(table) if table is not None else []

    def log_rows(
        self, trace_ids: Collection[str], where: Where | None = None
    ) -> list[dict[str, Any]]:
        """The rows of `logs` of some traces."""
        table = self._log_table(trace_ids, where)
        return [] if table is None else list(table.to_pylist())

    def _log_table(self, trace_ids: Collection[str], where: Where | None) -> pa.Table | None:
        sql = "select * from stored.logs semi join wanted using (trace_id)"
        return self._arrow(sql, "logs", where, trace_id=trace_ids)

    def traceless_log_rows(
        self, times_ns: Collection[int], where: Where | None = None
    ) -> list[dict[str, Any]]:
        """The rows of `logs` without a trace, of certain times."""
        table = self._arrow(
            "select * from stored.logs semi join wanted using (time_ns) where trace_id is null",
            "logs",
            where,
            time_ns=times_ns,
        )
        return [] if table is None else list(table.to_pylist())

    def annotation_ids(
        self, annotation_ids: Collection[str], where: Where | None = None
    ) -> set[str]:
        """Those of the ids that are stored."""
        return {
            row[0]
            for row in self._tuples(
                "select annotation_id from stored.annotations"
                " semi join wanted using (annotation_id)",
                "annotations",
                where,
                annotation_id=annotation_ids,
            )
        }

    def trajectories_of(
        self, trace_ids: Collection[str], where: Where | None = None
    ) -> list[LiveTrajectory]:
        """The live trajectories that any of the traces is part of, oldest first."""
        return self._trajectories(
            "with concerned as ("
            "  select trajectory_id from ("
            "    select trajectory_id, unnest(trace_ids) as trace_id from live.trajectories"
            "  ) semi join wanted using (trace_id)"
            f") {_LIVE_TRAJECTORY} semi join concerned using (trajectory_id)",
            where,
            trace_id=trace_ids,
        )

    def trajectories(self, trajectory_ids: Collection[str] | None = None) -> list[LiveTrajectory]:
        """The live trajectories of these ids, or all, oldest first."""
        if trajectory_ids is None:
            return self._trajectories(_LIVE_TRAJECTORY)
        return self._trajectories(
            f"{_LIVE_TRAJECTORY} semi join wanted using (trajectory_id)",
            trajectory_id=trajectory_ids,
        )

    def _trajectories(
        self, sql: str, where: Where | None = None, **wanted: Collection[str]
    ) -> list[LiveTrajectory]:
        ordered = f"{sql} order by start_time, trajectory_id"
        found = self._tuples(ordered, "trajectories", where, **wanted)
        return [
            LiveTrajectory(i, rev, tuple(traces), tuple(aliases), late, dropped, start, date)
            for i, rev, traces, aliases, late, dropped, start, date in found
        ]

    def sizes_of_traces(self) -> list[tuple[str, int]]:
        """Every trace that has spans, and how many; by first start."""
        return self._tuples(
            "select trace_id, count(*) from stored.spans"
            " group by trace_id order by min(start_ns), trace_id",
            "spans",
        )

    def n_trajectories(self) -> int:
        """How many trajectories live."""
        [(count,)] = self._tuples("select count(*) from live.trajectories", "trajectories") or [
            (0,)
        ]
        return int(count)

    def traces_derived(self) -> set[str]:
        """Traces that any trajectory, live or dead, is made of."""
        sql = "select distinct unnest(trace_ids) from stored.trajectories"
        return self._ids(sql, "trajectories")

    def superseded_ids(self) -> set[str]:
        """Trajectories of which some revision is dead."""
        return self._ids("select distinct trajectory_id from stored.superseded", "superseded")

    def costs(self, trace_ids: Collection[str]) -> dict[tuple[Any, ...], tuple[float, str]]:
        """Costs that a price list gave: (trace, span, input, output tokens) -> USD and the list."""
        found = self._tuples(
            "select trace_id, span_id, input_tokens, output_tokens, cost_usd, cost_source"
            " from live.steps semi join wanted using (trace_id)"
            " where cost_usd is not null and cost_source <> 'recorded'",
            "steps",
            trace_id=trace_ids,
        )
        return {tuple(key): (cost, source) for *key, cost, source in found}

    def fingerprints(self, trajectory_ids: Collection[str]) -> dict[str, int]:
        """Live trajectory -> a number that is another one when any of its rows tells other things.

        Columns that no derivation decides alone are left out.
        """
        told: dict[str, int] = {}
        for table in views.REVISED:
            columns = ", ".join(
                f'"{c.name}"' for c in TABLES[table].columns if c.name not in NOT_DERIVED
            )
            for trajectory_id, number in self._tuples(
                f"select trajectory_id, sum(hash({columns})) % {2**62} from live.{table}"
                " semi join wanted using (trajectory_id) group by trajectory_id",
                table,
                trajectory_id=trajectory_ids,
            ):
                told[trajectory_id] = hash((told.get(trajectory_id), table, number))
        return told

    def dates_of_trajectories(
        self, trajectory_ids: Collection[str], where: Where | None = None
    ) -> dict[str, str]:
        """Live trajectory -> its partition; ids that are none are left out."""
        return dict(
            self._tuples(
                'select trajectory_id, "date" from live.trajectories'
                " semi join wanted using (trajectory_id)",
                "trajectories",
                where,
                trajectory_id=trajectory_ids,
            )
        )

    def traces_linking_to(self, trace_ids: Collection[str], where: Where | None = None) -> set[str]:
        """Traces of stored spans that link to one of these."""
        return self._ids(
            "with linking as ("
            "  select trace_id, unnest(links) as link from stored.spans where len(links) > 0"
            ") select distinct l.trace_id from linking l"
            " semi join wanted w on w.trace_id = l.link.trace_id",
            "spans",
            where,
            trace_id=trace_ids,
        )

    def traces_with_responses(
        self, response_ids: Collection[str], where: Where | None = None
    ) -> set[str]:
        """Traces in which one of these model responses is told."""
        return self._ids(
            "select distinct trace_id from live.steps semi join wanted using (response_id)",
            "steps",
            where,
            response_id=response_ids,
        )

    def traces_with_tool_calls(
        self, call_ids: Collection[str], where: Where | None = None, *, are_first: bool
    ) -> set[str]:
        """Traces in which one of these tool calls is told.

        Args:
            call_ids: Ids repeat between runs where models are scripted.
            where: Which files to look into.
            are_first: Only those that begin with it, as a tool does that lost its context.
        """
        return self._ids(
            "select distinct trace_id from live.steps semi join wanted using (tool_call_id)"
            + (" where step = 0 and kind = 'tool'" if are_first else ""),
            "steps",
            where,
            tool_call_id=call_ids,
        )

    def calls_that_ask_or_answer(
        self, start_ns: int, end_ns: int, where: Where | None = None
    ) -> list[tuple[str, str, int]]:
        """Model calls of a time that may be half of a stitched run: trace, resource, start in ns.

        Only calls that asked for tools, or were given results, can be joined to another trace.
        """
        if not self._is_ready("spans", where):
            return []
        found: list[tuple[str, str, int]] = self._tuples(
            "select s.trace_id, r.resource, r.start_ns from live.steps s"
            " join stored.spans r using (trace_id, span_id)"
            f" where s.kind = 'llm' and s.start_time between make_timestamptz({start_ns // 1000})"
            f" and make_timestamptz({end_ns // 1000})"
            " and (s.tool_calls is not null or contains(s.new_messages, 'tool_call_response'))",
            "steps",
            where,
        )
        return found

    # --- how they ask --------------------------------------------------------------------------

    def _ids(
        self, sql: str, table: str, where: Where | None = None, **wanted: Collection[str]
    ) -> set[str]:
        return {row[0] for row in self._tuples(sql, table, where, **wanted)}

    def _tuples(
        self, sql: str, table: str, where: Where | None = None, **wanted: Collection[Any]
    ) -> list[Any]:
        if not all(wanted.values()) or not self._is_ready(table, where):
            return []
        return self._with(wanted).execute(sql).fetchall()

    def _arrow(
        self, sql: str, table: str, where: Where | None = None, **wanted: Collection[Any]
    ) -> pa.Table | None:
        if not all(wanted.values()) or not self._is_ready(table, where):
            return None
        return self._with(wanted).sql(sql).to_arrow_table()

    def _with(self, wanted: Mapping[str, Iterable[Any]]) -> duckdb.DuckDBPyConnection:
        """The connection, the set to look for registered as `wanted`."""
        connection = self._connected()
        for column, values in wanted.items():
            connection.register("wanted", pa.table({column: list(values)}))
        return connection

    def _connected(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:  # 10 ms that a seal without news does not pay
            self._connection = views.connect_without_views()
        return self._connection

    def _is_ready(self, table: str, where: Where | None) -> bool:
        """Point the views of a table at the files to look into; whether there are any."""
        if not self._show(table, where):
            return False
        if table in views.REVISED:
            has_dead = self._show(SUPERSEDED.name, where)  # a date's rows make rows of it dead
            if self._has_dead.get(table) is not has_dead:
                dead = " anti join stored.superseded using (trajectory_id, rev)" if has_dead else ""
                self._connected().execute(
                    f"create or replace view live.{table} as from stored.{table}{dead}"
                )
                self._has_dead[table] = has_dead
        return True

    def _show(self, table: str, where: Where | None) -> bool:
        live = self._snapshot.live(table)
        files = live if where is None else tuple(filter(where.holds, live))
        if files and self._shown.get(table) != files:
            rows_of_files = views.rows_of(self._snapshot, table, files, self._store)
            with views.reading_files(self._store):
                self._connected().execute(
                    f"create or replace view stored.{table} as {rows_of_files}"
                )
            self._shown[table] = files
        return bool(files)
