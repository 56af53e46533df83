"""What the rows of a store say of each other, across files and tables."""
# ruff: noqa: S608 - what is put into this SQL are texts of this module

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import duckdb

from otel_traj.store.check.files import Damage
from otel_traj.store.check.problem import DAMAGE, Problem, Progress, named


@dataclass(frozen=True, slots=True)
class Relation:
    """What must not be.

    Attributes:
        what: The finding, in words.
        tables: Tables it is about; where one of them is damaged it says nothing.
        sql: Finds it: one column of ids, no row when all is well.
        severity: What it means.
    """

    what: str
    tables: tuple[str, ...]
    sql: str
    severity: Literal["note", "error"] = "error"


_PARTS: Final = ("steps", "trajectory_spans", "file_changes")
_DERIVED: Final = ("trajectories", *_PARTS, "superseded")

_TRACES: Final = (
    "select trajectory_id, rev, unnest(trace_ids) as trace_id from live.trajectories"
    " where coalesce(n_open, 0) = 0"
)
"""Trajectory and trace, where all spans are stored: what only started is in no table."""

KNOWN_DAMAGE: Final = (
    f"select trajectory_id from stored.annotations where \"name\" = '{DAMAGE}' and not deleted"
)
"""Trajectories of which a repair said that spans or logs are lost."""

_RELATIONS: Final = (
    Relation(
        "spans are stored twice",
        ("spans",),
        "select trace_id || '/' || span_id from stored.spans group by trace_id, span_id"
        " having count(*) > 1",
    ),
    Relation(
        "logs are stored twice",
        ("logs",),
        "select coalesce(trace_id, '-') || '/' || coalesce(span_id, '-') from stored.logs"
        " where trace_id is not null or time_ns is not null"
        " group by trace_id, span_id, time_ns,"
        " hash(event_name, severity, body, attributes, scope_name) having count(*) > 1",
        severity="note",  # redaction may have made two of them equal
    ),
    Relation(
        "annotations are stored twice",
        ("annotations",),
        "select annotation_id from stored.annotations group by annotation_id having count(*) > 1",
    ),
    Relation(
        "trajectories have several live revisions",
        ("trajectories", "superseded"),
        "select trajectory_id from live.trajectories group by trajectory_id having count(*) > 1",
    ),
    Relation(
        "trajectories have steps, spans or file changes, but no header",
        _DERIVED,
        "with parts as ("
        + " union ".join(f"select trajectory_id, rev from live.{part}" for part in _PARTS)
        + ") select distinct trajectory_id from parts"
        " anti join live.trajectories using (trajectory_id, rev)",
    ),
    Relation(
        "trajectories do not have the steps that their header counts",
        ("trajectories", "steps", "superseded"),
        "select trajectory_id from live.trajectories t left join ("
        " select trajectory_id, rev, count(*) as n, count(distinct step) as n_distinct,"
        " min(step) as least, max(step) as greatest from live.steps group by all"
        ") s using (trajectory_id, rev)"
        " where t.n_steps <> coalesce(s.n, 0)"
        " or s.n <> s.n_distinct or s.least <> 0 or s.greatest <> s.n - 1",
    ),
    Relation(
        "trajectories do not have the spans that their header counts",
        ("trajectories", "trajectory_spans", "superseded"),
        "select trajectory_id from live.trajectories t left join ("
        " select trajectory_id, rev, count(*) as n from live.trajectory_spans group by all"
        ") s using (trajectory_id, rev) where t.n_spans <> coalesce(s.n, 0)",
    ),
    Relation(
        "trajectories have spans of other traces than their header names",
        ("trajectories", "trajectory_spans", "superseded"),
        f"with told as ({_TRACES}), has as ("
        " select distinct trajectory_id, rev, trace_id from live.trajectory_spans"
        " semi join told using (trajectory_id, rev)"
        ") select distinct trajectory_id from told full join has"
        " using (trajectory_id, rev, trace_id) where told.rev is null or has.rev is null",
    ),
    Relation(
        "spans of trajectories are not stored",
        ("spans", "trajectory_spans", "superseded"),
        f"with known as ({KNOWN_DAMAGE})"
        " select trace_id || '/' || span_id from live.trajectory_spans"
        " anti join stored.spans using (trace_id, span_id) anti join known using (trajectory_id)",
    ),
    Relation(
        "spans belong to several trajectories",
        ("trajectory_spans", "superseded"),
        "select trace_id || '/' || span_id from live.trajectory_spans"
        " group by trace_id, span_id having count(distinct trajectory_id) > 1",
    ),
    Relation(
        "trajectories have steps of spans that are not theirs",
        ("trajectories", "steps", "trajectory_spans", "superseded"),
        "select distinct trajectory_id from live.steps semi join ("
        " select trajectory_id, rev from live.trajectories where coalesce(n_open, 0) = 0"
        ") using (trajectory_id, rev)"
        " anti join live.trajectory_spans using (trajectory_id, rev, trace_id, span_id)"
        " where span_id is not null",
    ),
    Relation(
        "traces are in the partitions of several days",
        ("spans",),
        'select trace_id from stored.spans group by trace_id having count(distinct "date") > 1',
    ),
    Relation(
        "trajectories are in another day's partition than the first of their traces",
        ("trajectories", "spans", "superseded"),
        f'with days as (select trace_id, min("date") as day from stored.spans group by all),'
        f" told as ({_TRACES}), should as ("
        " select trajectory_id, rev, min(day) as day from told join days using (trace_id)"
        " group by all) select trajectory_id from live.trajectories"
        ' join should using (trajectory_id, rev) where "date" <> day',
    ),
    Relation(
        "steps, spans or file changes are in another day's partition than their trajectory",
        _DERIVED,
        "with parts as ("
        + " union ".join(f'select trajectory_id, rev, "date" as day from live.{p}' for p in _PARTS)
        + ") select distinct trajectory_id from parts"
        ' join live.trajectories using (trajectory_id, rev) where "date" <> day',
    ),
    Relation(
        "revisions are called dead in another day's partition than theirs",
        ("trajectories", "superseded"),
        "select distinct trajectory_id from stored.superseded d join stored.trajectories t"
        ' using (trajectory_id, rev) where d."date" <> t."date"',
    ),
    Relation(
        "annotations are about trajectories that are not stored",
        ("annotations", "trajectories", "superseded"),
        "select annotation_id from stored.annotations"
        " anti join ("
        "  select trajectory_id from live.trajectories"
        "  union select unnest(aliases) from live.trajectories"
        ") using (trajectory_id) where trajectory_id is not null",
        severity="note",  # the run may be in another store, or come yet
    ),
    Relation(
        "annotations are about spans that are not stored",
        ("annotations", "spans"),
        "select annotation_id from stored.annotations anti join stored.spans"
        " using (trace_id, span_id) where span_id is not null",
        severity="note",
    ),
)


def contradictions(
    connection: duckdb.DuckDBPyConnection, damaged: Collection[str], on_progress: Progress
) -> Iterator[Problem]:
    """What rows say against each other.

    Args:
        connection: With the schemas `stored` and `live`.
        damaged: Tables of which files are missing.
        on_progress: Is told of each relation.
    """
    for position, relation in enumerate(_RELATIONS):
        on_progress("comparing tables", position, len(_RELATIONS))
        if not set(relation.tables) & set(damaged):
            n, ids = found(connection, relation.sql)
            if n:
                yield Problem(relation.severity, f"{relation.what}: {named(n, ids)}", ids=ids)


def found(
    connection: duckdb.DuckDBPyConnection, sql: str, **parameters: object
) -> tuple[int, tuple[str, ...]]:
    """How many ids a query finds, and the first ten of them."""
    [(n, ids)] = connection.execute(
        f"with found(id) as materialized ({sql}) select count(*),"
        " (select coalesce(list(id), []) from (select id from found order by id limit 10))"
        " from found",
        parameters or None,
    ).fetchall()
    return int(n), tuple(ids)


# --- what is lost by damaged files ---------------------------------------------------------------

_CONCERNED: Final = {
    "trajectories": (
        "select distinct trajectory_id from ("
        + " union ".join(
            f'select trajectory_id, rev from live.{part} where "date" = $date' for part in _PARTS
        )
        + ") anti join live.trajectories using (trajectory_id, rev)"
    ),
    "steps": (
        "select trajectory_id from live.trajectories t left join ("
        " select trajectory_id, rev, count(*) as n from live.steps group by all"
        ') s using (trajectory_id, rev) where "date" = $date and t.n_steps <> coalesce(s.n, 0)'
    ),
    "trajectory_spans": (
        "select trajectory_id from live.trajectories t left join ("
        " select trajectory_id, rev, count(*) as n from live.trajectory_spans group by all"
        ') s using (trajectory_id, rev) where "date" = $date and t.n_spans <> coalesce(s.n, 0)'
    ),
    "spans": (
        "select distinct trajectory_id from live.trajectory_spans"
        ' anti join stored.spans using (trace_id, span_id) where "date" = $date'
    ),
    "superseded": (
        'select trajectory_id from live.trajectories where "date" = $date'
        " group by trajectory_id having count(*) > 1"
    ),
}
"""Table -> SQL for the trajectories of a day that miss something of it; others do not tell."""

_REMEDY: Final = {
    "spans": "what was derived from them stays",
    "logs": "what was derived from them stays",
    "annotations": "what runs said of themselves can be derived again",
    **dict.fromkeys(_DERIVED, "the rows can be derived again from their spans"),
}


def losses(connection: duckdb.DuckDBPyConnection, damage: Collection[Damage]) -> Iterator[Problem]:
    """What is lost by damaged files.

    Args:
        connection: With the schemas `stored` and `live` of all other files.
        damage: The damaged files.
    """
    for one in damage:
        file = one.file
        sql = _CONCERNED.get(one.table)
        n, ids = found(connection, sql, date=file.date) if sql else (0, ())
        of = f", of trajectories {named(n, ids)}" if n else ""
        rows = "row" if file.rows == 1 else "rows"
        yield Problem(
            "error",
            f"{file.path} {one.what}. Lost: {file.rows:,} {rows} of {one.table} of"
            f" {file.date}{of}; {_REMEDY[one.table]}. To go on without it:"
            " otel-traj verify --repair",
            file.path,
            ids,
        )
