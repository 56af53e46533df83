"""The success that a run is best compared with: the same task, and the steps most alike."""

# ruff: noqa: S608 - what is put into this SQL are our own texts

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import duckdb

from otel_traj.comparison import Key, align, keys_of, similarity
from otel_traj.model import Step, Trajectory
from otel_traj.server.viewer.answers import Nearest
from otel_traj.server.viewer.reading import Reader, rows

MOST_LOOKED_AT: Final = 500
"""Successes whose lists of tools are looked at, the newest ones."""

MOST_COMPARED: Final = 8
"""Those of them, with the tools most alike, that are laid side by side with the run."""


def nearest(reader: Reader, trajectory_id: str) -> Nearest:
    """The nearest success of the task of a run; a run that merely ended is none.

    A task is its id, or where there is none its text, as in the analyses.

    Raises:
        TrajectoryNotFoundError: There is no such run.
    """
    run = reader.header(trajectory_id)
    if run.task_id is None and run.task is None:
        return _none("This run does not name its task, by which others of it could be found")
    found = reader.read(lambda cursor: _successes(cursor, run))
    if not found:
        return _none("No other run of this task is judged a success yet")
    chosen = reader.read(lambda cursor: _most_alike(cursor, run.trajectory_id, found))
    ids = [run.trajectory_id, *chosen]
    keys = reader.read(lambda cursor: _keys(cursor, ids))
    own = keys[run.trajectory_id]
    best, other = max(
        ((_similarity(own, keys[one]), one) for one in chosen), key=lambda found: found[0]
    )
    return {
        "trajectory_id": other,
        "similarity": best,
        "n_successes": found[0]["n"],
        "n_compared": len(chosen),
        "why": None,
    }


def _none(why: str) -> Nearest:
    return {
        "trajectory_id": None,
        "similarity": None,
        "n_successes": 0,
        "n_compared": 0,
        "why": why,
    }


_SUCCESSES: Final = f"""\
select trajectory_id, tools, count(*) over () as n
from trajectories
where outcome = 'success' and outcome_source <> 'builtin' and trajectory_id <> $id
    and coalesce(task_id, task) = $task
order by start_time desc, trajectory_id
limit {MOST_LOOKED_AT}"""


def _successes(cursor: duckdb.DuckDBPyConnection, run: Trajectory) -> list[dict[str, Any]]:
    """Other runs of the task that were judged successes."""
    task = run.task if run.task_id is None else run.task_id
    return rows(cursor, _SUCCESSES, {"id": run.trajectory_id, "task": task})


def _most_alike(
    cursor: duckdb.DuckDBPyConnection, trajectory_id: str, runs: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Ids of the runs that called the tools of one most alike, in whatever order."""
    sql = "select tools from live.trajectories where trajectory_id = $id"
    [told] = rows(cursor, sql, {"id": trajectory_id})
    own = Counter(told["tools"] or ())

    def apart(other: Mapping[str, Any]) -> int:
        called = Counter(other["tools"] or ())
        return (own - called).total() + (called - own).total()

    return [run["trajectory_id"] for run in sorted(runs, key=apart)[:MOST_COMPARED]]


_STEPS: Final = """\
select trajectory_id, step, kind, trace_id, span_id, start_time, tool_name, handoff_to,
    case when kind <> 'llm' then arguments end as arguments, tool_calls, output_text,
    case when kind = 'user' then new_messages end as new_messages
from live.steps
where list_contains($ids, trajectory_id)
order by trajectory_id, step"""


def _keys(cursor: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, list[Key]]:
    """What the steps of runs do; all that is needed of them, unredacted."""
    found: dict[str, list[Step]] = {one: [] for one in ids}
    for told in rows(cursor, _STEPS, {"ids": list(ids)}):
        found[told["trajectory_id"]].append(Step(**told))
    return {one: keys_of(steps) for one, steps in found.items()}


def _similarity(left: Sequence[Key], right: Sequence[Key]) -> float:
    return similarity(align(left, right).cost, len(left), len(right))
