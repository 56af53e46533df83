"""The list: a page of trajectories in any order, and what there is to choose from.

A page is found by key: the value that it is sorted by, and the id. What a cursor holds are both of
the last line, so a page costs the same wherever it is, and none repeats when runs come in.
"""
# ruff: noqa: S608 - what is put into this SQL are our own texts

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import duckdb

from otel_traj.errors import InputError
from otel_traj.server.jaeger.searching import Condition
from otel_traj.server.viewer.answers import (
    Facet,
    Facets,
    Histogram,
    TrajectoryPage,
    TrajectoryRow,
)
from otel_traj.server.viewer.filters import FACETS, Filters
from otel_traj.server.viewer.reading import Reader, iso, rows

MOST_ROWS: Final = 500
PREVIEW: Final = 200
"""Characters of a text in the list."""

_TOP: Final = 50
_BUCKETS: Final = 48

_LIVE: Final = "live.trajectories"
_JUDGED: Final = "trajectories"


class _Sort(NamedTuple):
    sql: str
    needs_judgement: bool = False
    is_text: bool = False


SORTS: Final[Mapping[str, _Sort]] = {
    "start": _Sort("epoch_us(t.start_time)"),
    "dur": _Sort("t.duration_us"),
    "cost": _Sort("t.cost_usd"),
    "tokens": _Sort("coalesce(t.input_tokens + t.output_tokens, t.input_tokens, t.output_tokens)"),
    "steps": _Sort("t.n_steps"),
    "tools": _Sort("t.n_tools"),
    "errors": _Sort("t.n_errors"),
    "agent": _Sort("t.agent_name", is_text=True),
    "task": _Sort("coalesce(t.task_id, t.task, t.user_input)", is_text=True),
    "outcome": _Sort("t.outcome", needs_judgement=True),
    "reward": _Sort("t.reward", needs_judgement=True),
}
"""Word -> what it sorts by; `-` before it begins with the greatest. Unknown values come last."""


class Order(NamedTuple):
    """How a list is sorted, and after which line it begins."""

    sort: str
    is_descending: bool
    after: tuple[Any, str] | None = None


def order(sort: str, cursor: str | None) -> Order:
    """How a request wants its list.

    Raises:
        InputError: There is no such order, or the cursor is not of it.
    """
    name = sort.removeprefix("-")
    if name not in SORTS:
        raise InputError(f"Cannot sort by '{name}'. There is: {', '.join(SORTS)}")
    after = _decoded(sort, cursor) if cursor else None
    return Order(name, sort.startswith("-"), after)


def _decoded(sort: str, cursor: str) -> tuple[Any, str]:
    try:
        told = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        given, value, trajectory_id = told
        if (
            given == sort
            and isinstance(value, str | int | float | None)
            and type(trajectory_id) is str
        ):
            return value, trajectory_id
    except (ValueError, TypeError):
        pass
    raise InputError("This cursor is not of this list: begin without one")


def _encoded(by: Order, row: Mapping[str, Any]) -> str:
    sort = f"-{by.sort}" if by.is_descending else by.sort
    key = None if SORTS[by.sort].is_text else row["sort_key"]
    told = json.dumps([sort, key, row["trajectory_id"]])
    return base64.urlsafe_b64encode(told.encode()).decode("ascii")


# --- a page ------------------------------------------------------------------------------------


def page(reader: Reader, filters: Filters, by: Order, limit: int) -> TrajectoryPage:
    """Some lines of the list.

    Raises:
        TooSlowError: It took too long.
    """
    began = time.perf_counter()
    filters = filters.checked(reader)

    def ask(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
        return _whole(cursor, rows(cursor, *_keys(filters, by, limit + 1)))

    total, found = _total(reader, filters), reader.read(ask)
    shown = found[:limit]
    return {
        "rows": [row(reader, told) for told in shown],
        "next": _encoded(by, shown[-1]) if len(found) > limit else None,
        "total": total,
        "took_ms": took_ms(began),
    }


def _keys(filters: Filters, by: Order, limit: int) -> tuple[str, dict[str, Any]]:
    """SQL for ids and keys of a page: from the runs' own rows where those decide."""
    sort = SORTS[by.sort]
    source = _JUDGED if filters.needs_judgement or sort.needs_judgement else _LIVE
    where = filters.condition()
    if by.after is not None:
        _begin_behind(where, by, sort, source)
    direction = "desc" if by.is_descending else "asc"
    sql = (
        f"select t.trajectory_id, t.start_time, {sort.sql} as sort_key"
        f" from {source} t where {where.sql}"
        f" order by sort_key {direction} nulls last, t.trajectory_id limit {limit:d}"
    )
    return sql, where.parameters


def _begin_behind(where: Condition, by: Order, sort: _Sort, source: str) -> None:
    """Only what comes after a line. What it is sorted by, if a text, is not in the cursor."""
    assert by.after is not None
    value, trajectory_id = by.after
    behind = "<" if by.is_descending else ">"
    key = "{value}"
    if sort.is_text:
        key = f"(select {sort.sql} from {source} t where t.trajectory_id = {{id}})"
    among_unknown = f"{sort.sql} is null and t.trajectory_id > {{id}}"
    among_known = (
        f"{sort.sql} {behind} {key} or {sort.sql} is null or"
        f" ({sort.sql} = {key} and t.trajectory_id > {{id}})"
    )
    if sort.is_text:
        among = f"case when {key} is null then {among_unknown} else {among_known} end"
        where.add(among, id=trajectory_id)
    elif value is None:
        where.add(among_unknown, id=trajectory_id)
    else:
        where.add(among_known, value=value, id=trajectory_id)


def _total(reader: Reader, filters: Filters) -> int:
    """How many match; counted once for all pages and orders."""
    where = filters.condition()
    source = _JUDGED if filters.needs_judgement else _LIVE
    sql = f"select count(*) from {source} t where {where.sql}"

    def ask(cursor: duckdb.DuckDBPyConnection) -> int:
        [(total,)] = cursor.execute(sql, where.parameters).fetchall()
        return int(total)

    return reader.kept((sql, repr(where.parameters)), lambda: reader.read(ask))


def _whole(
    cursor: duckdb.DuckDBPyConnection, keys: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The lines of these ids, in their order."""
    if not keys:
        return []
    ids = [key["trajectory_id"] for key in keys]
    named = ", ".join(f"$i{n}" for n in range(len(ids)))
    times = [key["start_time"] for key in keys]
    given: dict[str, Any] = {f"i{n}": i for n, i in enumerate(ids)}
    # Files tell their times: the newest runs are in few of them.
    found = rows(
        cursor,
        f"select {ROW} from trajectories where trajectory_id in ({named})"
        " and start_time between $first and $last",
        {**given, "first": min(times), "last": max(times)},
    )
    by_id = {told["trajectory_id"]: told for told in found}
    return [
        {**by_id[key["trajectory_id"]], "sort_key": key["sort_key"]}
        for key in keys
        if key["trajectory_id"] in by_id
    ]


_TEXTS: Final = ("task", "user_input", "final_answer", "error_message")

ROW: Final = """\
trajectory_id, start_time, end_time, duration_s, agent_name, agents, service, task, task_id,
user_input, final_answer, error_type, error_message, status, outcome, outcome_source, reward,
n_spans, n_steps, n_turns, n_llm, n_tools, n_handoffs, n_errors, n_open, input_tokens,
output_tokens, cost_usd, models, conversation_id, parent_trajectory_id, relation, grade,
complete as is_complete"""
"""Columns of the view `trajectories` of which a line is made."""


def row(reader: Reader, told: Mapping[str, Any], *, preview: int | None = PREVIEW) -> TrajectoryRow:
    """A line as it is shown.

    Args:
        reader: Redacts its texts.
        told: Columns `ROW`.
        preview: Characters of a text; None is all.
    """
    shown = reader.shown

    def text(name: str) -> Any:
        value = shown(name, told[name])
        return value[:preview] if name in _TEXTS and isinstance(value, str) else value

    return {
        "trajectory_id": told["trajectory_id"],
        "start_time": iso(told["start_time"]),
        "end_time": iso(told["end_time"]),
        "duration_s": told["duration_s"],
        "agent_name": text("agent_name"),
        "agents": shown("agents", told["agents"]) or [],
        "service": text("service"),
        "task": text("task"),
        "task_id": text("task_id"),
        "user_input": text("user_input"),
        "final_answer": text("final_answer"),
        "error_type": text("error_type"),
        "error_message": text("error_message"),
        "status": told["status"],
        "outcome": told["outcome"],
        "outcome_source": told["outcome_source"],
        "reward": finite(told["reward"]),
        "n_spans": told["n_spans"],
        "n_steps": told["n_steps"],
        "n_turns": told["n_turns"],
        "n_llm": told["n_llm"],
        "n_tools": told["n_tools"],
        "n_handoffs": told["n_handoffs"],
        "n_errors": told["n_errors"],
        "n_open": told["n_open"],
        "input_tokens": told["input_tokens"],
        "output_tokens": told["output_tokens"],
        "cost_usd": finite(told["cost_usd"]),
        "models": shown("models", told["models"]) or [],
        "conversation_id": text("conversation_id"),
        "parent_trajectory_id": told["parent_trajectory_id"],
        "relation": told["relation"],
        "grade": told["grade"],
        "is_complete": told["is_complete"],
    }


def finite(number: float | None) -> float | None:
    """A number that JSON can tell; NaN and infinities are unknown."""
    return number if number is not None and math.isfinite(number) else None


def took_ms(began: float) -> float:
    """Milliseconds since a reading of `perf_counter`."""
    return round((time.perf_counter() - began) * 1000, 2)


# --- facets ------------------------------------------------------------------------------------

_VALUE: Final[Mapping[str, str]] = {
    "agent": "t.agent_name",
    "outcome": "t.outcome",
    "status": "t.status",
    "tool": "unnest(case when len(t.tools) > 0 then list_distinct(t.tools) else [null] end)",
    "model": "unnest(case when len(t.models) > 0 then list_distinct(t.models) else [null] end)",
    "error": "t.error_type",
    "task": "coalesce(t.task_id, t.task, t.user_input)",
    "service": "t.service",
}
"""Field -> its value, or values, of a run."""

_COLUMN: Final = {"agent": "agent_name", "tool": "tool_name"}
"""Field -> column of its values, where that is called otherwise."""

HISTOGRAMS: Final = ("start", "dur", "cost")


def facets(reader: Reader, filters: Filters, fields: Iterable[str]) -> Facets:
    """What there is to choose from.

    Args:
        reader: Reads the store.
        filters: What is chosen.
        fields: Some of `FACETS` and `HISTOGRAMS`.

    Raises:
        InputError: There is no such field.
        TooSlowError: It took too long.
    """
    began = time.perf_counter()
    filters = filters.checked(reader)
    wanted = tuple(dict.fromkeys(fields))
    unknown = [name for name in wanted if name not in (*FACETS, *HISTOGRAMS)]
    if unknown:
        raise InputError(f"No field '{unknown[0]}'. There is: {', '.join((*FACETS, *HISTOGRAMS))}")

    total = _total(reader, filters)

    def ask(cursor: duckdb.DuckDBPyConnection) -> Facets:
        return {
            "facets": {
                name: _facet(reader, cursor, filters, name) for name in wanted if name in FACETS
            },
            "histograms": {
                name: _HISTOGRAM[name](cursor, filters) for name in wanted if name in HISTOGRAMS
            },
            "total": total,
            "took_ms": took_ms(began),
        }

    return reader.read(ask)


def _facet(reader: Reader, cursor: duckdb.DuckDBPyConnection, filters: Filters, name: str) -> Facet:
    others = filters.without(name)
    where = others.condition()
    source = _JUDGED if name == "outcome" or others.needs_judgement else _LIVE
    counted = cursor.execute(
        f"with told as (select {_VALUE[name]} as value from {source} t where {where.sql})"
        " select value, count(*) as n, count(*) over () as n_values from told"
        f" group by value order by n desc, value limit {_TOP}",
        where.parameters,
    ).fetchall()
    column = _COLUMN.get(name, name)
    return {
        "values": [{"value": reader.shown(column, value), "count": n} for value, n, _ in counted],
        "n_values": counted[0][2] if counted else 0,
    }


def _values(
    cursor: duckdb.DuckDBPyConnection, filters: Filters, bucket: str, group: str = ""
) -> list[tuple[Any, ...]]:
    where = filters.condition()
    return cursor.execute(
        f"select {bucket} as bucket, count(*),"
        " count(*) filter (where t.outcome in ('failure', 'error'))"
        f" from {_JUDGED} t where {where.sql} {group} group by bucket having bucket is not null"
        " order by bucket",
        where.parameters,
    ).fetchall()


def _histogram(edges: Sequence[float], counted: Iterable[tuple[Any, ...]], low: int) -> Histogram:
    """Counted buckets in their places; `low` is the bucket of the first edge."""
    counts, failed = [0] * (len(edges) - 1), [0] * (len(edges) - 1)
    for bucket, n, n_failed in counted:
        counts[bucket - low], failed[bucket - low] = n, n_failed
    return {"edges": list(edges), "counts": counts, "failed": failed}


_MS: Final = 1_000
_NICE_US: Final = tuple(
    [step * 10**power for power in range(6) for step in (_MS, 2 * _MS, 5 * _MS)]
    + [second * 10**6 for second in (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600)]
    + [day * 86_400 * 10**6 for day in (0.5, 1, 2, 7, 14, 28, 91, 182, 364, 3640, 36_400)]
)
"""Widths of buckets of time, microseconds."""


def _by_start(cursor: duckdb.DuckDBPyConnection, filters: Filters) -> Histogram:
    where = filters.condition()
    source = _JUDGED if filters.needs_judgement else _LIVE
    [(least, greatest)] = cursor.execute(
        f"select epoch_us(min(t.start_time)), epoch_us(max(t.start_time)) from {source} t"
        f" where {where.sql}",
        where.parameters,
    ).fetchall()
    if least is None:
        return {"edges": [], "counts": [], "failed": []}
    span = greatest - least
    width = next((int(w) for w in _NICE_US if span / w < _BUCKETS - 1), span // _BUCKETS + 1)
    low, high = least // width, greatest // width
    counted = _values(cursor, filters, f"epoch_us(t.start_time) // {width}")
    edges = [float(bucket * width) for bucket in range(low, high + 2)]
    return _histogram(edges, counted, low)


_PER_DECADE: Final = 4


def _by_size(sql: str, smallest: float) -> Callable[..., Histogram]:
    """Buckets that grow, the first one from 0 to `smallest`."""
    bucket = (
        f"case when {sql} >= 0 then"
        f" greatest(0, 1 + floor(log10(nullif({sql}, 0) / {smallest}) * {_PER_DECADE}))::int end"
    )
    # log10 of 0 is none: what is 0 is in the first bucket.
    bucket = f"case when {sql} = 0 then 0 else {bucket} end"

    def histogram(cursor: duckdb.DuckDBPyConnection, filters: Filters) -> Histogram:
        counted = _values(cursor, filters, bucket)
        if not counted:
            return {"edges": [], "counts": [], "failed": []}
        low, high = counted[0][0], counted[-1][0]
        edges = [
            0.0 if k == 0 else smallest * 10 ** ((k - 1) / _PER_DECADE) for k in range(high + 2)
        ]
        return _histogram(edges[low:], counted, low)

    return histogram


_HISTOGRAM: Final[Mapping[str, Callable[..., Histogram]]] = {
    "start": _by_start,
    "dur": _by_size("t.duration_us / 1e6", 0.001),
    "cost": _by_size("t.cost_usd", 0.0001),
}
