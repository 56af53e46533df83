"""Spans and logs in any order and any batches -> trajectories, with repairs and coverage counted.

`assemble` is a pure function: the same records, in whatever order, batches or multiplicity, give
the same rows. Processor, receiver, importer and sealer all call it; `tests/assembly` proves the
property.

The way of a run through this package: `tree` links spans, `revisions` leaves out accounts that were
replaced, `runs` says which spans are one run,
`calls` finds what happened, each once, `actors` who did it, `told` adds what only messages tell,
`handoffs` who handed over to whom, `rows` writes it down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from otel_traj import semconv
from otel_traj.assembly.actors import assign_actors
from otel_traj.assembly.calls import Call, find_calls, in_order
from otel_traj.assembly.handoffs import find_handoffs, invocations, rename_after_transfers
from otel_traj.assembly.lifecycle import IDLE_S, LINGER_S, OpenTrace
from otel_traj.assembly.revisions import without_former
from otel_traj.assembly.rows import DERIVE_VERSION, Ids, to_rows
from otel_traj.assembly.runs import (
    WINDOW_NS,
    Relations,
    Run,
    connected,
    relations,
    split_runs,
)
from otel_traj.assembly.told import complete_tools
from otel_traj.assembly.tree import Node, build, resource_key, take_apart
from otel_traj.assembly.users import user_messages
from otel_traj.model import Assembly, LogRecord, SpanRecord

__all__ = [
    "DERIVE_VERSION",
    "IDLE_S",
    "LINGER_S",
    "WINDOW_NS",
    "Alone",
    "OpenTrace",
    "Placed",
    "Relations",
    "assemble",
    "assemble_alone",
    "connected",
    "placed",
    "related",
    "resource_key",
]


def assemble(
    spans: Iterable[SpanRecord],
    logs: Iterable[LogRecord] = (),
    *,
    known_ids: Mapping[str, str] | None = None,
    open_traces: Collection[str] = (),
) -> list[Assembly]:
    """Derive the trajectories that these spans and logs tell of.

    Args:
        spans: All spans of the traces in question; duplicates are dropped, open ones (`end_ns`
            None) count as pending.
        logs: Log records; those of other traces are ignored.
        known_ids: Trace id -> trajectory id of rows that exist already: they keep their id.
        open_traces: Traces that still run: their trajectories get status `open` and
            `complete=False`.

    Returns:
        One `Assembly` per trajectory, by start time; none for runs without steps, unless
        `trajectory()` recorded them.
    """
    found = placed(spans, logs, known_ids=known_ids or {}, open_traces=open_traces)
    return [assembly for _, assembly in found]


Placed: TypeAlias = "tuple[tuple[int, str, str], Assembly]"
"""A trajectory, and its place among others: start of its first span, and that span's ids."""


@dataclass(frozen=True, slots=True)
class Alone:
    """One trace derived as if there were no other, and which others it may have to do with.

    What `assemble` makes of many traces is what it makes of each set of `connected` ones; nearly
    all are connected with no other.
    """

    relations: Relations
    found: list[Placed]


def assemble_alone(
    spans: Sequence[SpanRecord],
    logs: Iterable[LogRecord],
    *,
    known_ids: Mapping[str, str],
    open_traces: Collection[str],
) -> Alone:
    """Derive one trace by itself; spans are read once for both answers.

    Args:
        spans: All spans of the trace; there are some.
        logs: Its log records.
        known_ids: As for `assemble`.
        open_traces: As for `assemble`.
    """
    nodes = build(spans, logs)
    told = relations(nodes)
    assert told is not None  # there are spans
    found = _placed(nodes, known_ids, open_traces)
    take_apart(nodes)
    return Alone(told, found)


def placed(
    spans: Iterable[SpanRecord],
    logs: Iterable[LogRecord],
    *,
    known_ids: Mapping[str, str],
    open_traces: Collection[str],
) -> list[Placed]:
    """What `assemble` gives, each with its place."""
    return _placed(build(spans, logs), known_ids, open_traces)


def _placed(
    nodes: Sequence[Node], known_ids: Mapping[str, str], open_traces: Collection[str]
) -> list[Placed]:
    runs = split_runs(without_former(nodes))
    shares = Counter(trace_id for run in runs for trace_id in run.trace_ids)
    found = []
    for run in runs:
        calls = _derive(run)
        if not calls and not _is_declared(run):
            continue
        is_open = any(trace_id in open_traces for trace_id in run.trace_ids)
        ids = Ids(run, known_ids, is_part_of_trace=shares[run.trace_ids[0]] > 1)
        first = run.nodes[0]
        place = (first.start_ns, *first.key)
        found.append((place, to_rows(run, calls, ids=ids, is_open=is_open)))
    return found


def related(spans: Iterable[SpanRecord], logs: Iterable[LogRecord] = ()) -> Relations | None:
    """What else must be read from a store before these spans are assembled; None for no spans."""
    return relations(build(spans, logs))


def _derive(run: Run) -> list[Call]:
    """The calls of a run, complete and in order."""
    calls = find_calls(run.nodes)
    if not calls:
        return invocations(run.nodes)
    assign_actors(calls)
    calls = in_order([*calls, *complete_tools(calls)])
    find_handoffs(calls)
    rename_after_transfers(calls)
    return in_order([*calls, *user_messages(calls)])


def _is_declared(run: Run) -> bool:
    """Whether somebody says that this is a run, steps or not: our own API, or an agent's span."""
    return any(
        semconv.TASK in node.span.attributes or node.facts.kind == "agent" for node in run.nodes
    )
