"""The spans of a trajectory as columns of numbers: what a waterfall of 100,000 rows is drawn from.

Rows stand in order of arrival, so those that come later do not renumber the others; what has only
started comes last. A run of more than `MOST` spans is sent from the top down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import duckdb
import pyarrow as pa

from otel_traj import semconv
from otel_traj.errors import InputError
from otel_traj.model import SpanRecord, Trajectory
from otel_traj.server.viewer.answers import Spans, Sparse
from otel_traj.server.viewer.reading import Reader
from otel_traj.store import snapshot
from otel_traj.store.traces import LiveTrace
from otel_traj.store.views import quoted

MOST: Final = 200_000
"""Rows of one answer."""

_NAMED: Final = ("name", "svc", "kind", "tool", "model", "agent")
"""Columns that are sent as positions in a list of texts."""

_NUMBERS: Final = ("tin", "tout", "cost", "flag")

_REDACTED_AS: Final = {"svc": "service", "tool": "tool_name", "agent": "agent_name"}

# A span may own several steps: tools that only a model call's messages tell of have its span.
_SPANS: Final = """\
with own as (
    select trace_id, span_id, arg_min(kind, step) as kind, arg_min(tool_name, step) as tool,
        arg_min(coalesce(response_model, model), step) as model,
        arg_min(agent_name, step) as agent, arg_min(error_type, step) as error_type,
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
    ) s join (
        from live.trajectory_spans where trajectory_id = $id
    ) m using (trace_id, span_id)
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


@dataclass(slots=True)
class Rows:
    """All spans of a run; positions are the numbers of rows.

    Attributes:
        ids: Trace and span id of each row.
        n_closed: How many have ended; the others follow.
        parent: Number of the row above; -1 for none. Nothing is above itself.
        start_ns, end_ns: When it was; an end of -1 is open.
        step: -1 for none.
        texts: Column -> text of each row, None for none.
        numbers: Column -> number of each row, None for none.
    """

    ids: list[tuple[str, str]]
    n_closed: int
    parent: list[int]
    start_ns: list[int]
    end_ns: list[int]
    step: list[int]
    texts: dict[str, list[str | None]]
    numbers: dict[str, list[float | None]]

    def number_of(self, named: str) -> int | None:
        """The row of a span, by its id or by the number itself; None where the run has none.

        Numbers have fewer digits than ids.
        """
        if named.isdecimal() and len(named) < _LONG:
            return int(named) if int(named) < len(self.ids) else None
        return next((i for i, (_, own) in enumerate(self.ids) if own == named), None)


_LONG: Final = 10

_COLUMNS: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "start_ns",
    "end_ns",
    "step",
    *_NAMED,
    "err",
    *_NUMBERS,
)


def read(reader: Reader, trajectory_id: str) -> Rows:
    """All spans of a trajectory.

    Raises:
        TrajectoryNotFoundError: There is none.
    """
    return reader.kept(("spans", trajectory_id), lambda: _read(reader, trajectory_id))


def _read(reader: Reader, trajectory_id: str) -> Rows:
    run = reader.trajectory(trajectory_id)

    def ask(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
        sql = _SPANS.format(trace_ids=", ".join(map(quoted, run.trace_ids)) or "null")
        return cursor.sql(sql, params={"id": run.trajectory_id}).to_arrow_table()

    table = reader.read(ask)
    told: dict[str, list[Any]] = {name: table[name].to_pylist() for name in _COLUMNS}
    for row in _open_rows(reader, run):
        for name in _COLUMNS:
            told[name].append(row.get(name))
    ids = list(zip(told["trace_id"], told["span_id"], strict=True))
    return Rows(
        ids=ids,
        n_closed=table.num_rows,
        parent=_parents(ids, told["parent_span_id"]),
        start_ns=told["start_ns"],
        end_ns=told["end_ns"],
        step=told["step"],
        texts={name: told[name] for name in (*_NAMED, "err")},
        numbers={name: told[name] for name in _NUMBERS},
    )


def _parents(ids: Sequence[tuple[str, str]], above: Sequence[str | None]) -> list[int]:
    """The row above each row, -1 for none; who sends circles gets them cut."""
    number = {key: i for i, key in enumerate(ids)}
    parent = [
        -1 if span_id is None else number.get((trace_id, span_id), -1)
        for (trace_id, _), span_id in zip(ids, above, strict=True)
    ]
    seen = bytearray(len(parent))  # 1: on the way up from the row of now, 2: has an end
    for row in range(len(parent)):
        way = []
        at = row
        while at >= 0 and not seen[at]:
            seen[at] = 1
            way.append(at)
            at = parent[at]
        if at >= 0 and seen[at] == 1:
            parent[way[-1]] = -1
        for passed in way:
            seen[passed] = 2
    return parent


def _open_rows(reader: Reader, run: Trajectory) -> Iterator[dict[str, Any]]:
    """What has only started; of a trace of several runs, where this one is open."""
    steps = {(step.trace_id, step.span_id): step for step in reversed(run.steps)}
    for span in open_spans(reader, run.trace_ids):
        step = steps.get((span.trace_id, span.span_id))
        if step or run.status == "open":
            yield {
                "trace_id": span.trace_id,
                "span_id": span.span_id,
                "parent_span_id": span.parent_span_id,
                "start_ns": span.start_ns,
                "end_ns": -1,
                "step": step.step if step else -1,
                "name": span.name,
                "svc": span.resource.get(semconv.SERVICE_NAME),
                "kind": step.kind if step else _kind(span),
                "tool": step.tool_name if step else None,
                "model": step.model if step else None,
                "agent": step.agent_name if step else span.attributes.get(semconv.AGENT_NAME),
            }


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
        under: Only what is below this row.

    Raises:
        InputError: There is no such row.
    """
    n = len(found.ids)
    if under is not None and not 0 <= under < n:
        raise InputError(f"There is no row {under}: this trajectory has {n:,} spans")
    shown, more = _chosen(found.parent, range(min(since, found.n_closed), n), under)
    t0 = min(found.start_ns, default=0) // 1000
    words: dict[str, list[str]] = {}
    named: dict[str, list[int]] = {}
    for name in _NAMED:
        words[name], named[name] = _worded(reader, name, _of(found.texts[name], shown))
    words["err"], errors = _worded(reader, "err", _of(found.texts["err"], shown))
    start = [found.start_ns[row] // 1000 - t0 for row in shown]
    return cast(
        Spans,
        {
            "n": len(shown),
            "total": n,
            "next": found.n_closed,
            "t0": t0,
            "dict": words,
            "row": None if _is_all(shown, n) else list(shown),
            "parent": _of(found.parent, shown),
            "start": start,
            "dur": [
                -1 if found.end_ns[row] < 0 else max(0, found.end_ns[row] // 1000 - t0 - at)
                for row, at in zip(shown, start, strict=True)
            ],
            "step": _of(found.step, shown),
            **named,
            "err": _sparse([None if at < 0 else at for at in errors]),
            **{name: _sparse(_of(found.numbers[name], shown)) for name in _NUMBERS},
            "more": _sparse([more.get(row) for row in shown] if more else []),
        },
    )


def _of(values: Sequence[Any], shown: Sequence[int]) -> list[Any]:
    return list(values) if _is_all(shown, len(values)) else [values[row] for row in shown]


def _is_all(shown: Sequence[int], n: int) -> bool:
    return isinstance(shown, range) and len(shown) == n


def _worded(reader: Reader, name: str, texts: Sequence[str | None]) -> tuple[list[str], list[int]]:
    """The texts that there are, as they may be shown, and which of them each row has."""
    number: dict[str | None, int] = {None: -1}
    places = [number.setdefault(text, len(number) - 1) for text in texts]
    key = _REDACTED_AS.get(name, name)
    return [str(reader.shown(key, text)) for text in number if text is not None], places


def _sparse(values: Sequence[float | None]) -> Sparse:
    at = [i for i, value in enumerate(values) if value is not None]
    return {"i": at, "v": [cast(float, values[i]) for i in at]}


def _chosen(
    parent: Sequence[int], wanted: range, under: int | None
) -> tuple[Sequence[int], dict[int, int]]:
    """Which rows are sent, and how many are left out below each of them.

    All if they are few; else from the top down, so that with a row comes the one above.
    """
    if under is None and len(wanted) <= MOST:
        return wanted, {}
    depth = _depths(parent, under)
    inside = [row for row in wanted if depth[row] > 0] if under is not None else list(wanted)
    if len(inside) <= MOST:
        return inside, {}
    shown = sorted(sorted(inside, key=lambda row: (depth[row], row))[:MOST])
    hidden = _sizes(parent, sorted(set(inside) - set(shown), key=lambda row: -depth[row]))
    return shown, {row: hidden[row] for row in shown if hidden.get(row)}


def _depths(parent: Sequence[int], under: int | None) -> list[int]:
    """How far below a row, or the top, each row is; 0 for that row, -1 beside it."""
    unknown = -2
    depth = [unknown] * len(parent)
    if under is not None:
        depth[under] = 0
    for row in range(len(parent)):
        way = []
        at = row
        while at >= 0 and depth[at] == unknown:
            way.append(at)
            at = parent[at]
        top = depth[at] if at >= 0 else -1
        for passed in reversed(way):
            top = top + 1 if under is None or top >= 0 else -1
            depth[passed] = top
    return depth


def _sizes(parent: Sequence[int], hidden: Iterable[int]) -> dict[int, int]:
    """How many hidden rows are below each row; the hidden ones are given from the bottom up."""
    below: dict[int, int] = {}
    for row in hidden:
        if parent[row] >= 0:
            below[parent[row]] = below.get(parent[row], 0) + 1 + below.get(row, 0)
    return below
