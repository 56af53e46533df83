"""Rebuilds trajectories from stored spans and logs, by the rules of today, in one commit.

Spans, logs and annotations stay as they are; ids stay where the same run comes out. Deriving, the
long part, holds no lock: agents record, sealers seal and readers read meanwhile, all of them on the
old rows. The new ones become visible together, by one snapshot; a death before it leaves files that
nobody reads (`tests/store/test_reassembly.py` kills it at random).
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from otel_traj import wal
from otel_traj.assembly import WINDOW_NS, Relations, related
from otel_traj.model import LogRecord, SpanRecord
from otel_traj.store import derive, files, locks, prices, sealing, snapshot, views
from otel_traj.store.derive import Batch
from otel_traj.store.parts import Groups, in_parts
from otel_traj.store.prices import Price
from otel_traj.store.schema import SUPERSEDED, TABLES
from otel_traj.store.snapshot import DataFile, Snapshot
from otel_traj.store.stored import LiveTrajectory, Stored

_Files: TypeAlias = dict[str, tuple[DataFile, ...]]


@dataclass(frozen=True, slots=True)
class ReassemblyReport:
    """What a reassembly did.

    Attributes:
        snapshot: Number of the snapshot that shows it.
        n_rebuilt: Trajectories that were derived.
        changed: Ids of those that tell something else than before.
        new: Ids that were not there before.
        gone: Ids that are there no more; what was joined into another is its alias.
        failed_traces: Traces that could not be derived; what was known of them is kept.
    """

    snapshot: int
    n_rebuilt: int = 0
    changed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    failed_traces: tuple[str, ...] = ()


def reassemble(
    store: Path, trajectory_ids: Collection[str] | None = None, *, wait_s: float
) -> ReassemblyReport:
    """Derive trajectories again; see `TrajectoryStore.reassemble`.

    Args:
        store: The store's folder; what its log holds is not looked at.
        trajectory_ids: Whole ids of live trajectories; None for all that the spans tell of.
        wait_s: How long to wait for another sealer to finish.

    Raises:
        StoreError: Another sealer did not finish in time; nothing is changed then.
        OSError: It cannot be written; nothing is changed then.
    """
    if trajectory_ids is None:
        return _reassemble(store, _parts, is_closed=True, wait_s=wait_s)
    named = functools.partial(_named, trajectory_ids)
    return _reassemble(store, named, is_closed=False, wait_s=wait_s)


def reassemble_traces(
    store: Path, trace_ids: Collection[str], *, wait_s: float
) -> ReassemblyReport:
    """Derive what some traces make, as `reassemble` does for all.

    Args:
        store: The store's folder.
        trace_ids: Traces with spans; all of those that any live trajectory of them is made of.
        wait_s: How long to wait for another sealer to finish.

    Raises:
        StoreError: Another sealer did not finish in time; nothing is changed then.
        OSError: It cannot be written; nothing is changed then.
    """
    some = functools.partial(_parts, trace_ids=frozenset(trace_ids))
    return _reassemble(store, some, is_closed=True, wait_s=wait_s)


_PartsOf: TypeAlias = Callable[[Snapshot, Stored], Iterator[set[str]]]
"""Traces of a snapshot to derive, in parts that fit in memory."""


def _reassemble(
    store: Path, parts_of: _PartsOf, *, is_closed: bool, wait_s: float
) -> ReassemblyReport:
    wal.check_format(store, "min_writer")
    with locks.held(store, "upkeep", wait_s):
        return _rebuild(store, parts_of, is_closed=is_closed, wait_s=wait_s)


def _rebuild(
    store: Path, parts_of: _PartsOf, *, is_closed: bool, wait_s: float
) -> ReassemblyReport:
    price = prices.OfStore(store)
    base = _reserve(store, wait_s)
    staged = _Staged()
    try:
        with sealing.reading(store, base) as stored:
            _stage(store, base, stored, parts_of(base, stored), is_closed, price, staged)
            report = _compare(store, stored, staged)
        with sealing.held(store, wait_s):
            published = _publish(store, base, staged, price)
    except BaseException:
        files.discard(store, staged.files)
        raise
    return replace(report, snapshot=published.n)


def _reserve(store: Path, wait_s: float) -> Snapshot:
    """Publish the current snapshot once more; its number is the revision of what we derive.

    No sealer gives that revision to a row, so ours stay apart from all that is sealed meanwhile.
    """
    with sealing.held(store, wait_s):
        return _commit(store, snapshot.newest(store))


# --- staging: everything is derived and written, nothing is seen --------------------------------


@dataclass(slots=True)
class _Staged:
    """Derived rows in files that no snapshot names yet.

    Attributes:
        files: Table -> files of new rows.
        replaced: Ids of the live rows of the base snapshot that they replace.
        superseded: Those rows, by date.
        annotations: What the runs say of themselves and the base snapshot does not have, by date.
        trajectory_ids: Whose rows they are.
        failed_traces: Traces that could not be derived.
        is_everything: No row of the base snapshot stays.
    """

    files: _Files = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    superseded: dict[str, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    annotations: dict[str, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    trajectory_ids: set[str] = field(default_factory=set)
    failed_traces: list[str] = field(default_factory=list)
    is_everything: bool = False


def _stage(
    store: Path,
    base: Snapshot,
    stored: Stored,
    parts: Iterator[set[str]],
    is_closed: bool,
    price: Price,
    staged: _Staged,
) -> None:
    for trace_ids in parts:
        batch = derive.rederive(
            stored,
            sealing.open_traces(base),
            trace_ids,
            n=base.n,
            now=time.time(),
            price=price,
            is_closed=is_closed,
        )
        for date, table in batch.tables.pop("annotations").items():
            staged.annotations[date].append(table)
        for date, table in batch.tables.pop(SUPERSEDED.name).items():
            staged.superseded[date].append(table)
            staged.replaced.update(table["trajectory_id"].to_pylist())
        staged.files = _joined(staged.files, sealing.write_batch(store, batch))
        staged.trajectory_ids.update(batch.trajectory_ids)
        staged.failed_traces += batch.failed_traces
    staged.is_everything = len(staged.replaced) == stored.n_trajectories()


def _named(trajectory_ids: Collection[str], base: Snapshot, stored: Stored) -> Iterator[set[str]]:
    """The traces of some trajectories; those that they may make runs with are looked for."""
    yield {t for row in stored.trajectories(trajectory_ids) for t in row.trace_ids}


def _parts(
    base: Snapshot, stored: Stored, trace_ids: frozenset[str] | None = None
) -> Iterator[set[str]]:
    """All traces, or some, in parts that are derived apart: no run or trajectory is in two."""
    sizes = dict(stored.sizes_of_traces())
    sizes.update((trace_id, 0) for trace_id in base.open.keys() - sizes.keys())
    if trace_ids is not None:
        sizes = {trace_id: size for trace_id, size in sizes.items() if trace_id in trace_ids}
    return in_parts(_groups(base, stored, sizes), sizes)


def _groups(base: Snapshot, stored: Stored, sizes: Mapping[str, int]) -> list[set[str]]:
    """Traces that may make one run by the rules of today, or are one trajectory now."""
    groups = Groups(sizes)
    for row in stored.trajectories():
        groups.join(row.trace_ids)
    responses: dict[str, list[str]] = defaultdict(list)
    calls: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
    for part in in_parts(({trace_id} for trace_id in sizes), sizes):
        for trace_id, relation in _relations(base, stored, part):
            groups.join([trace_id, *relation.trace_ids])
            for response_id in relation.response_ids:
                responses[response_id].append(trace_id)
            shared: tuple[str, ...] = (*relation.call_ids, *relation.prefixes)
            for told in shared:
                calls[relation.resource, told].append(
                    (relation.start_ns, relation.end_ns, trace_id)
                )
    for trace_ids in responses.values():
        groups.join(trace_ids)
    for tellers in calls.values():
        for (_, end_ns, earlier), (start_ns, _, later) in pairwise(sorted(tellers)):
            if start_ns - end_ns <= WINDOW_NS:
                groups.join([earlier, later])
    return groups.all()


def _relations(
    base: Snapshot, stored: Stored, trace_ids: set[str]
) -> Iterator[tuple[str, Relations]]:
    spans: dict[str, list[SpanRecord]] = defaultdict(list)
    logs: dict[str, list[LogRecord]] = defaultdict(list)
    for span in stored.spans(trace_ids):
        spans[span.trace_id].append(span)
    for log in stored.logs(trace_ids):
        logs[log.trace_id or ""].append(log)
    for trace_id, trace in sealing.open_traces(base).items():
        if trace_id in trace_ids:
            spans[trace_id] += trace.pending
    for trace_id, own in spans.items():
        try:
            relation = related(own, logs[trace_id])
        except Exception:  # what assembly cannot take is told when it is derived
            continue
        if relation is not None:
            yield trace_id, relation


def _compare(store: Path, before: Stored, staged: _Staged) -> ReassemblyReport:
    with sealing.reading(store, Snapshot(files=staged.files)) as after:
        now = after.fingerprints(staged.trajectory_ids)
    then = before.fingerprints(staged.replaced)
    return ReassemblyReport(
        snapshot=0,
        n_rebuilt=len(now),
        changed=tuple(sorted(i for i in now.keys() & then.keys() if now[i] != then[i])),
        new=tuple(sorted(now.keys() - then.keys())),
        gone=tuple(sorted(then.keys() - now.keys())),
        failed_traces=tuple(sorted(staged.failed_traces)),
    )


# --- publishing: under the lock, on top of what was sealed meanwhile -----------------------------


def _publish(store: Path, base: Snapshot, staged: _Staged, price: Price) -> Snapshot:
    current = snapshot.newest(store)
    if staged.is_everything:
        merged = _without_derived(current, base)
    else:
        merged = _plus(current, _written(store, SUPERSEDED.name, staged.superseded))
    merged = _plus(merged, staged.files)
    merged = _plus(merged, _new_annotations(store, current, staged))
    overtaken = _overtaken(store, base, current, staged)
    if overtaken:
        dead = derive.superseded_tables(overtaken)
        merged = _plus(merged, sealing.write_batch(store, Batch({SUPERSEDED.name: dead})))
        with sealing.reading(store, merged) as stored:
            batch = derive.rederive(
                stored,
                sealing.open_traces(current),
                {trace_id for row in overtaken for trace_id in row.trace_ids},
                n=current.n + 1,
                now=time.time(),
                price=price,
                is_closed=False,
            )
        merged = _plus(merged, sealing.write_batch(store, batch))
    return _commit(store, merged)


def _commit(store: Path, content: Snapshot) -> Snapshot:
    following = replace(content, n=content.n + 1, ts=time.time(), op="reassemble")
    snapshot.commit(store, following)
    sealing.write_views(store, following)
    return following


def _without_derived(current: Snapshot, base: Snapshot) -> Snapshot:
    """The current snapshot without the derived rows of the base."""
    derived = (*views.REVISED, SUPERSEDED.name)
    kept = {
        table: tuple(f for f in own if table not in derived or f not in base.live(table))
        for table, own in current.files.items()
    }
    return replace(current, files=kept)


def _new_annotations(store: Path, current: Snapshot, staged: _Staged) -> _Files:
    """Files of the staged annotations that no sealer has stored meanwhile."""
    tables = [table for parts in staged.annotations.values() for table in parts]
    ids = {i for table in tables for i in table["annotation_id"].to_pylist()}
    with sealing.reading(store, current) as stored:
        known = stored.annotation_ids(ids)
    unknown = {
        date: [t.filter([i not in known for i in t["annotation_id"].to_pylist()]) for t in parts]
        for date, parts in staged.annotations.items()
    }
    return _written(store, "annotations", unknown)


def _written(store: Path, table: str, parts: Mapping[str, list[pa.Table]]) -> _Files:
    """One file per date; none for a date without rows."""
    whole = {date: pa.concat_tables(own) for date, own in parts.items()}
    return sealing.write_batch(
        store, Batch({table: {date: rows for date, rows in whole.items() if rows.num_rows}})
    )


def _overtaken(
    store: Path, base: Snapshot, current: Snapshot, staged: _Staged
) -> set[LiveTrajectory]:
    """Staged rows of which something was sealed after the base snapshot."""
    since = {
        table: tuple(f for f in own if f not in base.live(table))
        for table, own in current.files.items()
    }
    with sealing.reading(store, Snapshot(files=since)) as stored:
        trace_ids, trajectory_ids = stored.traces_derived(), stored.superseded_ids()
    with sealing.reading(store, Snapshot(files=staged.files)) as stored:
        return {*stored.trajectories_of(trace_ids), *stored.trajectories(trajectory_ids)}


def _plus(content: Snapshot, more: Mapping[str, tuple[DataFile, ...]]) -> Snapshot:
    return replace(content, files=_joined(content.files, more))


def _joined(
    left: Mapping[str, tuple[DataFile, ...]], right: Mapping[str, tuple[DataFile, ...]]
) -> _Files:
    return {table: (*left.get(table, ()), *right.get(table, ())) for table in TABLES}
