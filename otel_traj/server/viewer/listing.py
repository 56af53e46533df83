"""The list: a page of trajectories in any order, and what there is to choose from.

A page is found by key: the value that it is sorted by, and the id. What a cursor holds are both of
the last line, so a page costs the same wherever it is, and none repeats when runs come in.

Runs are found, counted and sorted in the roster (`otel_traj.store.roster`); the lines of a page are
then read from the few files that hold them. While the roster is not whole, an answer says of how
much of the store it is: `seen`.
"""
# ruff: noqa: S608 - what is put into this SQL are our own texts

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import duckdb

from otel_traj.errors import InputError
from otel_traj.server.jaeger.searching import Condition
from otel_traj.server.viewer.answers import (
    Facet,
    Facets,
    Histogram,
    Seen,
    TrajectoryPage,
    TrajectoryRow,
)
from otel_traj.server.viewer.filters import FACETS, ROSTER, Filters
from otel_traj.server.viewer.language import Term
from otel_traj.server.viewer.reading import Reader, iso, rows
from otel_traj.server.viewer.searching import Hit
from otel_traj.store.roster import Roll

MOST_ROWS: Final = 500
PREVIEW: Final = 200
"""Characters of a text in the list."""

_TOP: Final = 50
_BUCKETS: Final = 48


class _Sort(NamedTuple):
    sql: str
    is_text: bool = False


SORTS: Final[Mapping[str, _Sort]] = {
    "start": _Sort("epoch_us(t.start_time)"),
    "dur": _Sort("t.duration_us"),
    "cost": _Sort("t.cost_usd"),
    "tokens": _Sort("coalesce(t.input_tokens + t.output_tokens, t.input_tokens, t.output_tokens)"),
    "steps": _Sort("t.n_steps"),
    "tools": _Sort("t.n_tools"),
    "errors": _Sort("t.n_errors"),
    "agent": _Sort("(select text from words where hash = t.agent_name)", is_text=True),
    "task": _Sort("(select text from labels where hash = t.task)", is_text=True),
    "outcome": _Sort("t.outcome"),
    "reward": _Sort("t.reward"),
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

    def ask(roll: Roll) -> TrajectoryPage:
        looked = _looked(reader, roll, filters)
        where = looked.condition(filters)
        [(total,)] = roll.cursor.execute(
            f"select count(*) from runs t where {where.sql}", where.parameters
        ).fetchall()
        keys = rows(roll.cursor, *_keys(where, by, limit + 1))
        shown = keys[:limit]
        return {
            "rows": [row(reader, told) for told in _lines(roll, shown)],
            "next": _encoded(by, shown[-1]) if len(keys) > limit else None,
            "total": total,
            "seen": looked.seen,
            "took_ms": took_ms(began),
        }

    return reader.listed(ask)


class _Looked(NamedTuple):
    """How far texts have been looked for.

    Attributes:
        found: Term -> the runs that hold its text.
        days: Where that was; None is everywhere.
        seen: How much of the store that is.
    """

    found: Mapping[Term, set[Hit]]
    days: Sequence[str] | None
    seen: Seen | None

    def condition(self, filters: Filters) -> Condition:
        """What holds for a row `t` of the roster that matches."""
        where = filters.with_found(self.found).condition(ROSTER)
        if self.days is not None:
            where.add('t."date" in (select unnest({days}))', days=list(self.days))
        return where


def _looked(reader: Reader, roll: Roll, filters: Filters) -> _Looked:
    """Look for the texts of a query, on days with runs that all else chooses."""
    seen: Seen | None = None
    if roll.seen is not None:
        seen = {"runs": roll.seen.runs, "of": roll.seen.of, "since": roll.seen.since}
    if not filters.texts:
        return _Looked({}, None, seen)
    where = filters.without_texts().condition(ROSTER)
    by_day = dict(
        roll.cursor.execute(
            f'select t."date", count(*) from runs t where {where.sql} group by 1 order by 1 desc',
            where.parameters,
        ).fetchall()
    )
    found, days = reader.searches.look(roll, filters.texts, list(by_day))
    if len(days) == len(by_day):
        return _Looked(found, None, seen)
    n = sum(by_day[day] for day in days)
    of = sum(by_day.values()) if seen is None else seen["of"]
    return _Looked(found, days, {"runs": n, "of": of, "since": days[-1]})


def _keys(where: Condition, by: Order, limit: int) -> tuple[str, dict[str, Any]]:
    """SQL for the keys of a page, and what the roster alone knows of its lines."""
    sort = SORTS[by.sort].sql
    direction = "desc" if by.is_descending else "asc"
    behind = Condition(parameters=where.parameters)
    if by.after is not None:
        _begin_behind(behind, by)
    sql = (
        'with matching as (select t.trajectory_id, t.rev, t."date", t.outcome, t.outcome_source,'
        f" t.reward, {sort} as sort_key from runs t where {where.sql})"
        f" select * from matching where {behind.sql}"
        f" order by sort_key {direction} nulls last, trajectory_id limit {limit:d}"
    )
    return sql, behind.parameters


def _begin_behind(behind: Condition, by: Order) -> None:
    """Only what comes after a line. What it is sorted by, if a text, is not in the cursor."""
    assert by.after is not None
    value, trajectory_id = by.after
    beyond = "<" if by.is_descending else ">"
    sort = SORTS[by.sort]
    key = "{value}"
    if sort.is_text:
        key = f"(select {sort.sql} from runs t where t.trajectory_id = {{id}})"
    among_unknown = "sort_key is null and trajectory_id > {id}"
    among_known = (
        f"sort_key {beyond} {key} or sort_key is null"
        f" or (sort_key = {key} and trajectory_id > {{id}})"
    )
    if sort.is_text:
        among = f"case when {key} is null then {among_unknown} else {among_known} end"
        behind.add(among, id=trajectory_id)
    elif value is None:
        behind.add(among_unknown, id=trajectory_id)
    else:
        behind.add(among_known, value=value, id=trajectory_id)


def _lines(roll: Roll, keys: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lines of these keys, in their order."""
    if not keys:
        return []
    cursor, stored = roll.stored({key["date"] for key in keys})
    found = rows(
        cursor,
        f"select rev, {_STORED} from {stored} where trajectory_id in (select unnest($ids))",
        {"ids": [key["trajectory_id"] for key in keys]},
    )
    of = {(told["trajectory_id"], told["rev"]): told for told in found}
    return [{**of[key["trajectory_id"], key["rev"]], **key} for key in keys]


_TEXTS: Final = ("task", "user_input", "final_answer", "error_message")

_STORED: Final = """\
trajectory_id, start_time, end_time, duration_us / 1e6 as duration_s, agent_name, agents, service,
task, task_id, user_input, final_answer, error_type, error_message, status, n_spans, n_steps,
n_turns, n_llm, n_tools, n_handoffs, n_errors, n_open, input_tokens, output_tokens, cost_usd,
models, conversation_id, parent_trajectory_id, relation, grade, complete as is_complete"""

ROW: Final = f"{_STORED}, outcome, outcome_source, reward"
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

_IN_WORDS: Final = {"agent": "agent_name", "error": "error_type", "service": "service"}
_IN_SETS: Final = {"tool": "tools", "model": "models"}
"""Field -> column of the roster with the hash of its value, or of its values."""

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
    wanted = tuple(dict.fromkeys(fields))
    unknown = [name for name in wanted if name not in (*FACETS, *HISTOGRAMS)]
    if unknown:
        raise InputError(f"No field '{unknown[0]}'. There is: {', '.join((*FACETS, *HISTOGRAMS))}")

    def ask(roll: Roll) -> Facets:
        # What else could be chosen is counted too: texts are looked for whatever is chosen.
        looked = _looked(reader, roll, replace(filters, facets={}))
        where = looked.condition(filters)
        [(total,)] = roll.cursor.execute(
            f"select count(*) from runs t where {where.sql}", where.parameters
        ).fetchall()
        return {
            "facets": {
                name: _facet(reader, roll, looked.condition(filters.without(name)), name)
                for name in wanted
                if name in FACETS
            },
            "histograms": {
                name: _HISTOGRAM[name](roll.cursor, where) for name in wanted if name in HISTOGRAMS
            },
            "total": total,
            "seen": looked.seen,
            "took_ms": took_ms(began),
        }

    return reader.listed(ask)


def _facet(reader: Reader, roll: Roll, where: Condition, name: str) -> Facet:
    if name == "task":
        counted = _tasks(roll, where)
    else:
        counted = roll.cursor.execute(_counted(name, where.sql), where.parameters).fetchall()
    column = _COLUMN.get(name, name)
    return {
        "values": [{"value": reader.shown(column, value), "count": n} for value, n, _ in counted],
        "n_values": counted[0][2] if counted else 0,
    }


_MOST: Final = f"order by n desc, value limit {_TOP}"


def _counted(name: str, condition: str) -> str:
    """SQL for the most frequent values of a field, how often, and how many there are."""
    if name in _IN_SETS:
        return (
            f"with counted as (select t.{_IN_SETS[name]} as hash, count(*) as n from runs t"
            f" where {condition} group by all)"
            " select value, sum(n)::bigint as n, count(*) over () from ("
            "  select unnest(coalesce(members, [null])) as value, n"
            f"  from counted left join sets using (hash)) group by value {_MOST}"
        )
    value = f"t.{_IN_WORDS.get(name, name)}"
    counted = (
        f"select {value} as value, count(*) as n, count(*) over () as n_values from runs t"
        f" where {condition} group by all"
    )
    if name not in _IN_WORDS:
        return f"{counted} {_MOST}"
    return (
        f"with counted as ({counted} order by n desc limit {_TOP})"
        " select text as value, n, n_values from counted left join words on hash = value"
        f" {_MOST}"
    )


def _tasks(roll: Roll, where: Condition) -> list[tuple[str | None, int, int]]:
    """The same for tasks, of which the roster has the beginnings."""
    counted = roll.cursor.execute(
        "with counted as ("
        " select t.task as task, count(*) as n, count(*) over () as n_values from runs t"
        f" where {where.sql} group by all order by n desc limit {_TOP})"
        " select task, text, is_whole, n, n_values from counted left join labels on hash = task"
        " order by n desc, text",
        where.parameters,
    ).fetchall()
    whole = _whole_tasks(roll, [task for task, _, is_whole, *_ in counted if is_whole is False])
    return [(whole.get(task, text), n, n_values) for task, text, _, n, n_values in counted]


def _whole_tasks(roll: Roll, tasks: Sequence[int]) -> dict[int, str]:
    """Texts by their hash, from a run of each: what is secret in one is known by the whole only."""
    if not tasks:
        return {}
    runs = roll.cursor.execute(
        'select any_value(trajectory_id), any_value("date") from runs'
        " where task in (select unnest($tasks)) group by task",
        {"tasks": tasks},
    ).fetchall()
    cursor, stored = roll.stored({day for _, day in runs})
    found = cursor.execute(
        f"select distinct hash(task), task from (select coalesce(task_id, task, user_input) as task"
        f" from {stored} where trajectory_id in (select unnest($ids)))",
        {"ids": [trajectory_id for trajectory_id, _ in runs]},
    ).fetchall()
    return dict(found)


def _values(
    cursor: duckdb.DuckDBPyConnection, where: Condition, bucket: str
) -> list[tuple[Any, ...]]:
    return cursor.execute(
        f"select {bucket} as bucket, count(*),"
        " count(*) filter (where t.outcome in ('failure', 'error'))"
        f" from runs t where {where.sql} group by bucket having bucket is not null"
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


_IS_TOLD: Final = "year(t.start_time) > 1970"
"""Times that nobody told keep an order, from the epoch on: they have no place among the others."""


def _by_start(cursor: duckdb.DuckDBPyConnection, where: Condition) -> Histogram:
    where = Condition([*where.parts, _IS_TOLD], where.parameters)
    [(least, greatest)] = cursor.execute(
        "select epoch_us(min(t.start_time)), epoch_us(max(t.start_time)) from runs t"
        f" where {where.sql}",
        where.parameters,
    ).fetchall()
    if least is None:
        return {"edges": [], "counts": [], "failed": []}
    span = greatest - least
    width = next((int(w) for w in _NICE_US if span / w < _BUCKETS - 1), span // _BUCKETS + 1)
    low, high = least // width, greatest // width
    counted = _values(cursor, where, f"epoch_us(t.start_time) // {width}")
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

    def histogram(cursor: duckdb.DuckDBPyConnection, where: Condition) -> Histogram:
        counted = _values(cursor, where, bucket)
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
