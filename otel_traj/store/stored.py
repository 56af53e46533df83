"""What the sealer asks the current snapshot: which spans it has, and what they belong to."""
# ruff: noqa: S608 - what is put into this SQL are names of our own tables

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from otel_traj.model import LogRecord, SpanRecord
from otel_traj.store import rows, views
from otel_traj.store.schema import TABLES
from otel_traj.store.snapshot import Snapshot


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


class Stored:
    """Look-ups in one snapshot; all of them by sets of ids, none of a whole table."""

    def __init__(self, store: Path, snapshot: Snapshot) -> None:
        self._store = store
        self._snapshot = snapshot
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> Stored:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def has(self, table: str) -> bool:
        """Whether the table has any rows."""
        return bool(self._snapshot.live(table))

    def span_ids(self, trace_ids: Collection[str]) -> dict[str, set[str]]:
        """Trace -> ids of its stored spans; traces without any are left out."""
        known: dict[str, set[str]] = {}
        for trace_id, span_id in self._tuples(
            "select trace_id, span_id from stored.spans semi join wanted using (trace_id)",
            "spans",
            trace_id=trace_ids,
        ):
            known.setdefault(trace_id, set()).add(span_id)
        return known

    def dates(self, trace_ids: Collection[str]) -> dict[str, str]:
        """Trace -> partition of its spans."""
        return dict(
            self._tuples(
                'select trace_id, min("date") from stored.spans'
                " semi join wanted using (trace_id) group by trace_id",
                "spans",
                trace_id=trace_ids,
            )
        )

    def spans(self, trace_ids: Collection[str]) -> list[SpanRecord]:
        """The stored spans of some traces."""
        table = self._arrow(
            "select * from stored.spans semi join wanted using (trace_id)",
            "spans",
            trace_id=trace_ids,
        )
        return rows.span_records(table) if table is not None else []

    def logs(self, trace_ids: Collection[str]) -> list[LogRecord]:
        """The stored logs of some traces."""
        table = self._log_table(trace_ids)
        return rows.log_records(table) if table is not None else []

    def log_rows(self, trace_ids: Collection[str]) -> list[dict[str, Any]]:
        """The rows of `logs` of some traces."""
        table = self._log_table(trace_ids)
        return [] if table is None else list(table.to_pylist())

    def _log_table(self, trace_ids: Collection[str]) -> pa.Table | None:
        sql = "select * from stored.logs semi join wanted using (trace_id)"
        return self._arrow(sql, "logs", trace_id=trace_ids)

    def traceless_log_rows(self, times_ns: Collection[int]) -> list[dict[str, Any]]:
        """The rows of `logs` without a trace, of certain times."""
        table = self._arrow(
            "select * from stored.logs semi join wanted using (time_ns) where trace_id is null",
            "logs",
            time_ns=times_ns,
        )
        return [] if table is None else list(table.to_pylist())

    def annotation_ids(self, annotation_ids: Collection[str]) -> set[str]:
        """Those of the ids that are stored."""
        return {
            row[0]
            for row in self._tuples(
                "select annotation_id from stored.annotations"
                " semi join wanted using (annotation_id)",
                "annotations",
                annotation_id=annotation_ids,
            )
        }

    def trajectories_of(self, trace_ids: Collection[str]) -> list[LiveTrajectory]:
        """The live trajectories that any of the traces is part of, oldest first."""
        return self._trajectories(
            "with concerned as ("
            "  select trajectory_id from ("
            "    select trajectory_id, unnest(trace_ids) as trace_id from live.trajectories"
            "  ) semi join wanted using (trace_id)"
            f") {_LIVE_TRAJECTORY} semi join concerned using (trajectory_id)",
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

    def _trajectories(self, sql: str, **wanted: Collection[str]) -> list[LiveTrajectory]:
        found = self._tuples(f"{sql} order by start_time, trajectory_id", "trajectories", **wanted)
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

    def dates_of_trajectories(self, trajectory_ids: Collection[str]) -> dict[str, str]:
        """Live trajectory -> its partition; ids that are none are left out."""
        return dict(
            self._tuples(
                'select trajectory_id, "date" from live.trajectories'
                " semi join wanted using (trajectory_id)",
                "trajectories",
                trajectory_id=trajectory_ids,
            )
        )

    def traces_linking_to(self, trace_ids: Collection[str]) -> set[str]:
        """Traces of stored spans that link to one of these."""
        return self._ids(
            "with linking as ("
            "  select trace_id, unnest(links) as link from stored.spans where len(links) > 0"
            ") select distinct l.trace_id from linking l"
            " semi join wanted w on w.trace_id = l.link.trace_id",
            "spans",
            trace_id=trace_ids,
        )

    def traces_with_responses(self, response_ids: Collection[str]) -> set[str]:
        """Traces in which one of these model responses is told."""
        return self._ids(
            "select distinct trace_id from live.steps semi join wanted using (response_id)",
            "steps",
            response_id=response_ids,
        )

    def traces_with_tool_calls(self, call_ids: Collection[str], *, are_first: bool) -> set[str]:
        """Traces in which one of these tool calls is told.

        Args:
            call_ids: Ids repeat between runs where models are scripted.
            are_first: Only those that begin with it, as a tool does that lost its context.
        """
        return self._ids(
            "select distinct trace_id from live.steps semi join wanted using (tool_call_id)"
            + (" where step = 0 and kind = 'tool'" if are_first else ""),
            "steps",
            tool_call_id=call_ids,
        )

    def calls_that_ask_or_answer(self, start_ns: int, end_ns: int) -> list[tuple[str, str, int]]:
        """Model calls of a time that may be half of a stitched run: trace, resource, start in ns.

        Only calls that asked for tools, or were given results, can be joined to another trace.
        """
        found: list[tuple[str, str, int]] = self._tuples(
            "select s.trace_id, r.resource, r.start_ns from live.steps s"
            " join stored.spans r using (trace_id, span_id)"
            f" where s.kind = 'llm' and s.start_time between make_timestamptz({start_ns // 1000})"
            f" and make_timestamptz({end_ns // 1000})"
            " and (s.tool_calls is not null or contains(s.new_messages, 'tool_call_response'))",
            "steps",
        )
        return found

    # --- how they ask --------------------------------------------------------------------------

    def _ids(self, sql: str, table: str, **wanted: Collection[str]) -> set[str]:
        return {row[0] for row in self._tuples(sql, table, **wanted)}

    def _tuples(self, sql: str, table: str, **wanted: Collection[Any]) -> list[Any]:
        connection = self._ready(table, wanted)
        return [] if connection is None else connection.execute(sql).fetchall()

    def _arrow(self, sql: str, table: str, **wanted: Collection[Any]) -> pa.Table | None:
        connection = self._ready(table, wanted)
        return None if connection is None else connection.sql(sql).to_arrow_table()

    def _ready(
        self, table: str, wanted: Mapping[str, Iterable[Any]]
    ) -> duckdb.DuckDBPyConnection | None:
        """The connection with the set to look for as `wanted`; None if nothing can be found."""
        if not self.has(table) or not all(wanted.values()):
            return None
        if self._connection is None:  # 20 ms that a seal without news does not pay
            self._connection = views.connect_for_sealing(self._store, self._snapshot)
        for column, values in wanted.items():
            self._connection.register("wanted", pa.table({column: list(values)}))
        return self._connection
