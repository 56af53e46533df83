"""What agents do now: `activity` and `open_runs` of one moment, for who looks again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb

import otel_traj_analysis as analysis
from otel_traj.store import TrajectoryStore

WINDOW: Final = timedelta(hours=1)
"""How far back runs that ended count, where nobody says."""

HUNG_AFTER: Final = timedelta(minutes=10)
"""Silence after which an open run hangs, where nobody says."""


@dataclass(frozen=True, slots=True)
class Now:
    """One moment; rows have the columns of their analysis.

    Attributes:
        time: When.
        window: How far back runs that ended count.
        overall: All agents together; None where nothing runs and nothing ended.
        agents: One row each.
        open_runs: Runs that have not ended, those silent for longest first.
    """

    time: datetime
    window: timedelta
    overall: Mapping[str, Any] | None
    agents: Sequence[Mapping[str, Any]]
    open_runs: Sequence[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """The same for programs; `all` is null where nothing runs and nothing ended."""
        return {
            "time": self.time,
            "window_s": self.window.total_seconds(),
            "all": self.overall,
            "agents": self.agents,
            "open_runs": self.open_runs,
        }


def look(
    store: TrajectoryStore,
    *,
    agent: str | None = None,
    window: timedelta = WINDOW,
    hung_after: timedelta = HUNG_AFTER,
) -> Now:
    """What agents do at the time of the call.

    Args:
        store: Only read.
        agent: Only runs of this agent.
        window: How far back runs that ended count.
        hung_after: Silence after which an open run hangs.
    """
    chosen: dict[str, Any] = {"agent": agent, "hung_after_s": hung_after.total_seconds()}
    found = _rows(analysis.run(store, "activity", window_s=window.total_seconds(), **chosen))
    open_runs = analysis.run(store, "open_runs", **chosen).filter("state <> 'slow'")
    return Now(
        datetime.now(UTC),
        window,
        overall=next((row for row in found if row["is_all"]), None),
        agents=[row for row in found if not row["is_all"]],
        open_runs=_rows(open_runs),
    )


def _rows(relation: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = relation.to_arrow_table().to_pylist()
    return found
