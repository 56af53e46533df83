"""Spans and logs in any order and any batches -> trajectories, with repairs and coverage counted.

`assemble` is a pure function: the same records, in whatever order, batches or multiplicity, give the
same rows. Processor, receiver, importer and sealer all call it; `tests/assembly` proves the property.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from otel_traj.assembly.lifecycle import IDLE_S, LINGER_S, OpenTrace
from otel_traj.model import Assembly, LogRecord, SpanRecord

__all__ = ["IDLE_S", "LINGER_S", "OpenTrace", "assemble"]


def assemble(
    spans: Iterable[SpanRecord],
    logs: Iterable[LogRecord] = (),
    *,
    known_ids: Mapping[str, str] | None = None,
    open_traces: Collection[str] = (),
) -> list[Assembly]:
    """Derive the trajectories that these spans and logs tell of.

    Args:
        spans: All spans of the traces in question; duplicates are dropped (first wins), open ones
            (`end_ns` None) count as pending.
        logs: Log records; those of other traces are ignored.
        known_ids: Trace id -> trajectory id of rows that exist already: they keep their id.
        open_traces: Traces that still run: their trajectories get status `open`, `complete=False`.

    Returns:
        One `Assembly` per trajectory, by start time; none for traces without steps.
    """
    raise NotImplementedError
