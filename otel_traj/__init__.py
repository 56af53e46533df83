"""Trajectories of AI agents from OpenTelemetry spans: record, query, replay, learn.

    import otel_traj

    otel_traj.instrument("traces/")

    with otel_traj.trajectory(task="order-42", agent="support") as run:
        ...
        run.outcome("success")

    otel_traj.open_store("traces/").sql("select task, outcome from trajectories").show()

Names load on first use, so that recording does not import what queries need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_traj.capture import (
        Recording,
        TrajectorySpan,
        current,
        inference,
        instrument,
        tool,
        tool_call,
        trajectory,
        uninstrument,
    )
    from otel_traj.errors import OtelTrajError
    from otel_traj.model import Step, Trajectory
    from otel_traj.redaction import Redaction
    from otel_traj.store import TrajectoryStore, open_store

__all__ = [
    "OtelTrajError",
    "Recording",
    "Redaction",
    "Step",
    "Trajectory",
    "TrajectorySpan",
    "TrajectoryStore",
    "current",
    "inference",
    "instrument",
    "open_store",
    "tool",
    "tool_call",
    "trajectory",
    "uninstrument",
]

_HOMES = {
    "OtelTrajError": "errors",
    "Redaction": "redaction",
    "Step": "model",
    "Trajectory": "model",
    "TrajectoryStore": "store",
    "open_store": "store",
}
"""Where a name comes from, if not from `capture`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'capture')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
