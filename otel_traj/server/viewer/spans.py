"""The spans of a trajectory as columns of numbers: what a waterfall of 100,000 rows is drawn from.

Rows stand in order of arrival, so those that come later do not renumber the others; what has only
started comes last. A run of more than `MOST` spans is sent from the top down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

import duckdb
import pyarrow as pa

from otel_traj import semconv
from otel_traj.errors import InputError
from otel_traj.model import SpanRecord, Trajectory
from otel_traj.server.viewer import forest
from otel_traj.server.viewer.answers import Spans, Sparse
from otel_traj.server.viewer.reading import Reader, rows
from otel_traj.store import snapshot
from otel_traj.store.arrow import functions as pc
from otel_traj.store.traces import LiveTrace
from otel_traj.store.views import quoted

MOST: Final = 200_000
"""Rows of one answer."""

_NAMED: Final = ("name", "svc", "kind", "tool", "model", "agent")
"""Columns that are sent as positions in a list of texts."""

_NUMBERS: Final = ("tin", "tout", "cost", "flag")

_REDACTED_AS: Final = {"svc": "service", "tool": "tool_name", "agent": "agent_name"}

# A span may own several steps: tools that only a model call's messages tell of have its span.
# A long run is derived now and then while it goes on: spans that came since are taken for its own.
_SPANS: Final = """\
with own as (
    select trace_id, span_id, unnest(arg_min({{'kind': kind, 'tool': tool_name,
            'model': coalesce(response_model, model), 'agent': agent_name}}, step)),
        arg_min(error_type, step) as error_type,
        arg_min(status, step) as status, sum(input_tokens)::bigint as tin,
        sum(output_tokens)::bigint as tout, sum(cost_usd) as cost,
        sum(len(security_flags))::bigint as flag
    from live.steps where trajectory_id = $id and kind <> 'user' group by trace_id, span_id
), found as (
    select s.*, m.step
    from (
        select trace_id, span_id, parent_span_id, "name", service, op, kind, status, error_type,
            start_ns, end_ns, scope_name, tool_name, model, agent_name, ingest_seq
        from stored.spans where trace_id in ({trace_ids})
    ) s left join (
        from live.trajectory_spans where trajectory_id = $id
    ) m using (trace_id, span_id)
    where m.trajectory_id is not null or s.ingest_seq > $placed
)
select f.trace_id, f.span_id, f.parent_span_id, f.start_ns,
    coalesce(f.end_ns, -1)::bigint as end_ns, coalesce(f.step, -1)::bigint as step,
    f.name, f.service as svc,
    case
        when own.kind is not null and own.kind <> 'other' then own.kind
        when f.op in ('invoke_agent', 'create_agent') then 'agent'
        when f.op in ('chat', 'text_completion', 'generate_content') then 'llm'
        when f.op = 'execute_tool' then 'tool'
        when f.op = 'embeddings' then 'retrieval'
        when regexp_matches(f.name, '^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)( |$)')
            or regexp_matches(f.scope_name, 'http|requests|urllib') then 'http'
        when regexp_matches(f.scope_name, 'sql|psycopg|redis|mongo|cassandra') then 'db'
        when f.agent_name is not null then 'agent'
        when coalesce(f.kind, 'UNSPECIFIED') in ('UNSPECIFIED', 'INTERNAL') then 'internal'
        else lower(f.kind)
    end as kind,
    coalesce(own.tool, f.tool_name) as tool, coalesce(own.model, f.model) as model,
    coalesce(own.agent, f.agent_name) as agent,
    case when f.status = 'ERROR' or own.status = 'error'
        then coalesce(own.error_type, f.error_type, 'error') end as err,
    own.tin, own.tout, own.cost, nullif(own.flag, 0) as flag
from found f left join own using (trace_id, span_id)
order by f.ingest_seq, f.start_ns, f.trace_id, f.span_id"""


@dataclass(frozen=True)
class Rows:
    """All spans of a run; positions are the numbers of rows.

    Attributes:
        table: What is known of each row; `start_ns`, and `end_ns` of -1 for one that is open.
        parent: Number of the row above; null for none. No way up is endless.
        n_closed: How many have ended; the others follow.
    """

    table: pa.Table
    parent: forest.Rows
    n_closed: int

    def __len__(self) -> int:
        n: int = self.table.num_rows
        return n

    @cached_property
    def ids(self) -> list[tuple[str, str]]:
        """Trace and span id of each row."""
        ids = (self.table[name].to_pylist() for name in ("trace_id", "span_id"))
        return list(zip(*ids, strict=True))

    @cached_property
    def names(self) -> list[str | None]:
        """What each row is called."""
        names: list[str | None] = self.table["name"].to_pylist()
        return names

    def above(self, row: int) -> int | None:
        """The row above a row."""
        number: int | None = self.parent[row].as_py()
        return number

    def step(self, row: int) -> int | None:
        """The step that a row is."""
        step: int = self.table["step"][row].as_py()
        return None if step < 0 else step

    def number_of(self, named: str) -> int | None:
        """The row of a span, by its id or by the number itself; None where the run has none.

        Numbers have fewer digits than ids.
        """
        if named.isdecimal() and len(named) < _LONG:
            return int(named) if int(named) < len(self) else None
        row: int = pc.index(self.table["span_id"], named).as_py()
        return row if row >= 0 else None


_LONG: Final = 10
_NEVER: Final = 2**62


def read(reader: Reader, trajectory_id: str) -> Rows:
    """All spans of a trajectory.

    Raises:
        TrajectoryNotFoundError: There is none.
    """
    return reader.kept(("spans", trajectory_id), lambda: _read(reader, trajectory_id))


def _read(reader: Reader, trajectory_id: str) -> Rows:
    run = reader.header(trajectory_id)

    def ask(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
        sql = _SPANS.format(trace_ids=", ".join(map(quoted, run.trace_ids)) or "null")
        placed = run.rev if run.status == "open" else _NEVER
        return cursor.sql(sql, params={"id": run.trajectory_id, "placed": placed}).to_arrow_table()

    closed = reader.read(ask)
    opened = pa.Table.from_pylist(list(_open_rows(reader, run)), closed.schema)
    table = pa.concat_tables([closed, opened]).combine_chunks()
    return Rows(table, forest.cut(_parents(table)), closed.num_rows)


def _parents(table: pa.Table) -> forest.Rows:
    """The row above each row, null where it is none of these."""
    key, above = (
        pc.binary_join_element_wise(
            table["trace_id"].combine_chunks(), table[span].combine_chunks(), "/"
        )
        for span in ("span_id", "parent_span_id")
    )
    return pc.cast(pc.index_in(above, value_set=key, skip_nulls=True), pa.int64())


def _open_rows(reader: Reader, run: Trajectory) -> Iterator[dict[str, Any]]:
    """What has only started; of a trace of several runs, where this one is open."""
    started = list(open_spans(reader, run.trace_ids))
    if not started:
        return
    ids = {"id": run.trajectory_id, "spans": [span.span_id for span in started]}
    found = reader.read(lambda cursor: rows(cursor, _STEPS_OF_OPEN, ids))
    steps = {(step["trace_id"], step["span_id"]): step for step in found}
    for span in started:
        step = steps.get((span.trace_id, span.span_id), {})
        if step or run.status == "open":
            yield {
                "trace_id": span.trace_id,
                "span_id": span.span_id,
                "parent_span_id": span.parent_span_id,
                "start_ns": span.start_ns,
                "end_ns": -1,
                "step": step.get("step", -1),
                "name": span.name,
                "svc": span.resource.get(semconv.SERVICE_NAME),
                "kind": step.get("kind", _kind(span)),
                "tool": step.get("tool"),
                "model": step.get("model"),
                "agent": step.get("agent", span.attributes.get(semconv.AGENT_NAME)),
            }


_STEPS_OF_OPEN: Final = """\
select trace_id, span_id, min(step) as step, arg_min(kind, step) as kind,
    arg_min(tool_name, step) as tool, arg_min(model, step) as model,
    arg_min(agent_name, step) as agent
from live.steps where trajectory_id = $id and span_id in (select unnest($spans))
group by trace_id, span_id"""


def _kind(span: SpanRecord) -> str:
    is_agent = span.attributes.get(semconv.OPERATION) in (semconv.OP_INVOKE_AGENT, "create_agent")
    return "agent" if is_agent else "internal"


def open_spans(reader: Reader, trace_ids: Iterable[str]) -> Iterator[SpanRecord]:
    """Spans that have only started, of traces that still run or were cut off."""
    running = snapshot.newest(reader.store.path).open
    for trace_id in trace_ids:
        if trace_id in running:
            spans = LiveTrace.from_json(trace_id, running[trace_id]).pending
            yield from sorted(spans, key=lambda span: (span.start_ns, span.span_id))


# --- what is sent ------------------------------------------------------------------------------


def columns(reader: Reader, found: Rows, *, since: int = 0, under: int | None = None) -> Spans:
    """The spans as the API sends them.

    Args:
        reader: Redacts the texts.
        found: All of them.
        since: Only rows of this number or a greater one; those that are open come in any case.
            With `under`, only these of the rows right below that one, and all that is below them.
        under: Only what is below this row; -1 is the run itself.

    Raises:
        InputError: There is no such row.
    """
    shown = _chosen(found, since, under)
    is_all = pc.all(shown).as_py() is not False
    table = found.table if is_all else found.table.filter(shown)
    parent = found.parent if is_all else found.parent.filter(shown)
    more = None if is_all else forest.hidden_under(found.parent, shown).filter(shown)
    t0 = (pc.min(found.table["start_ns"]).as_py() or 0) // 1000
    begin, end = (_micros(table[name]) for name in ("start_ns", "end_ns"))
    took = pc.max_element_wise(pc.subtract(end, begin), 0)
    words: dict[str, list[str]] = {}
    named: dict[str, list[int]] = {}
    for name in _NAMED:
        words[name], codes = _worded(reader, name, table[name])
        named[name] = pc.fill_null(codes, -1).to_pylist()
    words["err"], errors = _worded(reader, "err", table["err"])
    return cast(
        Spans,
        {
            "n": table.num_rows,
            "total": len(found),
            "next": found.n_closed,
            "t0": t0,
            "dict": words,
            "row": None if is_all else pc.indices_nonzero(shown).to_pylist(),
            "parent": pc.fill_null(parent, -1).to_pylist(),
            "start": pc.subtract(begin, t0).to_pylist(),
            "dur": pc.if_else(pc.less(table["end_ns"], 0), -1, took).to_pylist(),
            "step": table["step"].to_pylist(),
            **named,
            "err": _sparse(errors),
            **{name: _sparse(table[name]) for name in _NUMBERS},
            "more": _sparse(pc.if_else(pc.greater(more, 0), more, None) if more else None),
        },
    )


def _micros(ns: Any) -> Any:
    """Whole microseconds."""
    return pc.divide(ns, 1000)


def _worded(reader: Reader, name: str, texts: Any) -> tuple[list[str], Any]:
    """The texts that there are, as they may be shown, and which of them each row has or null."""
    encoded = texts.combine_chunks().dictionary_encode()
    key = _REDACTED_AS.get(name, name)
    return [
        str(reader.shown(key, text)) for text in encoded.dictionary.to_pylist()
    ], encoded.indices


def _sparse(values: Any) -> Sparse:
    if values is None:
        return {"i": [], "v": []}
    known = pc.is_valid(values)
    at: list[int] = pc.indices_nonzero(known).to_pylist()
    return {"i": at, "v": values.filter(known).to_pylist()}


def _chosen(found: Rows, since: int, under: int | None) -> Any:
    """Which rows are sent: all that are wanted if they are few, else from the top down.

    So with a row comes the one above it.
    """
    n = len(found)
    numbers = pa.array(range(n), pa.int64())
    if under is None:
        wanted = pc.greater_equal(numbers, min(since, found.n_closed))
    elif not -1 <= under < n:
        raise InputError(f"There is no row {under}: this trajectory has {n:,} spans")
    else:
        children = pc.equal(pc.fill_null(found.parent, -1), under)
        wanted = forest.below(found.parent, pc.and_(children, pc.greater_equal(numbers, since)))
    return forest.top(found.parent, wanted, MOST)
