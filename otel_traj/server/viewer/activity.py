"""What agents do now, as `otel-traj top` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, cast

from otel_traj.server.viewer.answers import Activity
from otel_traj.server.viewer.listing import PREVIEW, finite
from otel_traj.server.viewer.reading import Reader, iso
from otel_traj_analysis import now

MOST_RUNS: Final = 200
"""Open runs that are told, those silent for longest first."""

_TEXTS: Final = ("agent_name", "task", "name")


def activity(
    reader: Reader, *, agent: str | None, window: timedelta, hung_after: timedelta
) -> Activity:
    """The figures of one moment.

    Args:
        reader: Reads the store.
        agent: Only runs of this agent.
        window: How far back runs that ended count.
        hung_after: Silence after which an open run hangs.
    """
    found = now.look(reader.store, agent=agent, window=window, hung_after=hung_after)
    return cast(
        Activity,
        {
            "time": iso(found.time),
            "window_s": window.total_seconds(),
            "hung_after_s": hung_after.total_seconds(),
            "all": None if found.overall is None else _shown(reader, found.overall),
            "agents": [_shown(reader, row) for row in found.agents],
            "open_runs": [
                {**_shown(reader, row), "start_time": iso(row["start_time"])}
                for row in found.open_runs[:MOST_RUNS]
            ],
            "n_open_runs": len(found.open_runs),
        },
    )


def _shown(reader: Reader, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its texts as they may be shown, and its numbers as JSON has them."""
    return {name: _cell(reader, name, value) for name, value in row.items()}


def _cell(reader: Reader, name: str, value: Any) -> Any:
    if isinstance(value, float):
        return finite(value)
    if name not in _TEXTS or value is None:
        return value
    return reader.shown("tool_name" if name == "name" else name, value)[:PREVIEW]
