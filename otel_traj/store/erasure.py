"""Erasure: trajectories that are gone from every file of the store's folder, not only from view.

One commit takes their rows out of all tables, and of what the snapshot keeps of runs that go on.
Copies of them are left in files that are no longer named, in older snapshots, in the log, and in
what was put aside as damaged; `wipe` removes those. A death before the commit changes nothing, one
after it leaves copies, which the next erasure wipes: doing it again finishes it. That nothing is
left is proved by `otel_traj.store.absence`.

Agents may record and readers read meanwhile. A reader that holds an older snapshot loses its files.
"""
# ruff: noqa: S608 - what is put into this SQL are names of our own, and quoted texts

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

import duckdb
import pyarrow as pa

from otel_traj import dialects, semconv, wal
from otel_traj.model import Annotation, SpanRecord
from otel_traj.store import (
    collection,
    edits,
    files,
    publish,
    removal,
    rewrite,
    rows,
    sealing,
    snapshot,
    values,
    views,
)
from otel_traj.store.draft import Draft
from otel_traj.store.removal import Amount
from otel_traj.store.snapshot import Snapshot

AUDIT: Final = "traj.erasure"
"""Name of the annotation that tells of an erasure."""

Fact: TypeAlias = Literal["conversation_id", "user_id"]


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What an erasure did, or would do.

    Attributes:
        trajectory_ids: Those that go, oldest first.
        unknown: Ids that no trajectory has.
        n_open: How many of those that go are still recorded; what comes later is stored again.
        amount: How many rows, and about how many bytes.
        is_dry_run: Nothing was changed.
    """

    trajectory_ids: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    n_open: int = 0
    amount: Amount = field(default_factory=Amount)
    is_dry_run: bool = False


def erase(
    store: Path,
    trajectory_ids: Collection[str] = (),
    *,
    named: Mapping[Fact, str],
    dry_run: bool,
    wait_s: float,
) -> ErasureReport:
    """Erase trajectories; see `TrajectoryStore.delete`.

    Args:
        store: The store's folder.
        trajectory_ids: Ids or aliases.
        named: A conversation or a user whose trajectories go as well, with what else names it.
        dry_run: Only tell what would go.
        wait_s: How long to wait for somebody else who is rewriting or sealing the store.

    Raises:
        StoreError: Somebody else was at it for all of `wait_s`; nothing is changed.
        OSError: The store cannot be written.
    """
    with sealing.alone(store, wait_s):
        with Draft(store, "erase") as draft:
            with views.connect(store, draft.base).connection as connection:
                found = _find(connection, draft.base, trajectory_ids, named)
                amount = removal.amount(connection, store, draft.base, found.doomed)
            report = ErasureReport(
                found.trajectory_ids, found.unknown, found.n_open, amount, dry_run
            )
            if dry_run:
                return report
            _take_out(store, draft, found)
            if draft.is_changed:
                counts = {"trajectories": len(report.trajectory_ids), "rows": dict(amount.rows)}
                by = [fact.removesuffix("_id") for fact in named] or ["trajectory"]
                draft.add(audit(store, AUDIT, {"by": by, **counts}))
                draft.publish()
        wipe(store)
        return report


def audit(store: Path, name: str, told: Mapping[str, object]) -> snapshot.Files:
    """A file with one annotation on the store itself: what was done, without ids of what went."""
    now = datetime.now(UTC)
    row = Annotation(
        annotation_id=wal.ulid(),
        target="trajectory",
        trajectory_id=None,
        trace_id=None,
        span_id=None,
        tool_call_id=None,
        name=name,
        kind="comment",
        value_num=None,
        value_text=None,
        value_json=values.dumps(told),
        source="otel-traj",
        annotator=None,
        created=now,
    )
    day = now.strftime("%Y-%m-%d")
    return {"annotations": (files.write(store, "annotations", day, rows.annotations_table([row])),)}


# --- what goes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """What goes.

    Attributes:
        trajectory_ids: The trajectories, oldest first.
        n_open: How many of them are still recorded.
        unknown: Ids that no trajectory has.
        doomed: All that goes with them.
        children: Trajectories that stay and were made from one that goes.
    """

    trajectory_ids: tuple[str, ...]
    n_open: int
    unknown: tuple[str, ...]
    doomed: removal.Doomed
    children: frozenset[str]


def _find(
    connection: duckdb.DuckDBPyConnection,
    base: Snapshot,
    wanted: Collection[str],
    named: Mapping[Fact, str],
) -> _Found:
    """The trajectories that go, and what else names the conversation or user."""
    known = _known(connection, wanted)
    going = set(known.values())
    spans: set[_Key] = set()
    for fact, value in named.items():
        told = f"select trajectory_id from live.trajectories where {fact} = $value"
        going |= _ids(connection, told, value=value)
        spans |= _naming(connection, base, fact, value)
    owners, traces, loose_spans = _owners(connection, spans)
    headers = connection.execute(
        "select trajectory_id, status = 'open' from live.trajectories"
        " where trajectory_id in (select unnest($ids)) order by start_time, trajectory_id",
        {"ids": sorted(going | owners)},
    ).fetchall()
    ids = [row[0] for row in headers]
    doomed = removal.doomed(
        connection,
        pa.table({"trajectory_id": pa.array(ids, pa.string())}),
        trace_ids=traces,
        spans=loose_spans,
        loose_logs=" or ".join(_naming_log(*pair) for pair in named.items()) or "false",
    )
    children = _ids(
        connection,
        "select trajectory_id from live.trajectories"
        " where parent_trajectory_id in (select unnest($gone))"
        " and trajectory_id not in (select unnest($ids))",
        gone=doomed.gone_ids["trajectory_id"].to_pylist(),
        ids=ids,
    )
    unknown = tuple(sorted(set(wanted) - known.keys()))
    return _Found(tuple(ids), sum(row[1] for row in headers), unknown, doomed, frozenset(children))


def _known(connection: duckdb.DuckDBPyConnection, wanted: Collection[str]) -> dict[str, str]:
    """Each of the ids or aliases that there is -> the trajectory."""
    return dict(
        connection.execute(
            "select alias, trajectory_id from trajectory_aliases"
            " where alias in (select unnest($ids))"
            " union all select trajectory_id, trajectory_id from live.trajectories"
            " where trajectory_id in (select unnest($ids))",
            {"ids": list(wanted)},
        ).fetchall()
    )


def _ids(connection: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> set[str]:
    return {row[0] for row in connection.execute(sql, parameters).fetchall()}


_Key: TypeAlias = tuple[str, "str | None"]
"""Trace and span; a log may have no span."""


def _naming(
    connection: duckdb.DuckDBPyConnection, base: Snapshot, fact: Fact, value: str
) -> set[_Key]:
    """Spans that name the conversation or user in whatever words, themselves or in a log."""
    logs = connection.execute(
        "select distinct trace_id, span_id from stored.logs"
        f" where trace_id is not null and {_naming_log(fact, value)}"
    ).fetchall()
    [longest] = sorted(re.findall(r"[\w@. :-]+", value, re.ASCII), key=len)[-1:] or [""]
    candidates = connection.sql(
        "select * exclude (date) from stored.spans"
        " where conversation_id = $value or contains(attributes, $part)",
        params={"value": value, "part": longest},
    ).to_arrow_reader(rewrite.BATCH_ROWS)
    ended = (
        span for batch in candidates for span in rows.span_records(pa.Table.from_batches([batch]))
    )
    running = (s for trace in sealing.open_traces(base).values() for s in trace.pending)
    return {
        *logs,
        *(
            (span.trace_id, span.span_id)
            for span in itertools.chain(ended, running)
            if getattr(dialects.read(span), fact) == value
        ),
    }


def _owners(
    connection: duckdb.DuckDBPyConnection, spans: Collection[_Key]
) -> tuple[set[str], set[str], set[_Key]]:
    """Whose spans these are: trajectories, traces without one, spans that several may own."""
    connection.register(
        "naming",
        pa.table(
            {
                "trace_id": pa.array([trace_id for trace_id, _ in spans], pa.string()),
                "span_id": pa.array([span_id for _, span_id in spans], pa.string()),
            }
        ),
    )
    owners: set[str] = set()
    traces: set[str] = set()
    loose: set[_Key] = set()
    for trace_id, span_id, owner, others in connection.execute(
        "with others as (select trace_id, list(distinct trajectory_id) as ids from ("
        "  select unnest(trace_ids) as trace_id, trajectory_id from live.trajectories"
        "  union select trace_id, trajectory_id from live.trajectory_spans) group by 1"
        ") select n.trace_id, n.span_id, m.trajectory_id, coalesce(o.ids, []) from naming n"
        " left join live.trajectory_spans m using (trace_id, span_id)"
        " left join others o using (trace_id)"
    ).fetchall():
        if owner is not None or len(others) == 1:
            owners.add(owner or others[0])
        elif not others:
            traces.add(trace_id)
        else:
            loose.add((trace_id, span_id))
    return owners, traces, loose


def _naming_log(fact: Fact, value: str) -> str:
    """SQL condition on a log that names the conversation or user."""
    keys = {
        source
        for dialect in dialects.DIALECTS
        for source in dialect.facts.get(fact, ())
        if isinstance(source, str)
    }
    texts = " or ".join(
        f"json_extract_string(attributes, '$.\"{key}\"') = {views.quoted(value)}"
        for key in sorted(keys)
    )
    return f"({texts})"


# --- taking it out -----------------------------------------------------------------------------


def _take_out(store: Path, draft: Draft, found: _Found) -> None:
    removal.take_out(store, draft, found.doomed)
    if found.children:
        gone = frozenset(found.doomed.gone_ids["trajectory_id"].to_pylist())
        forget = partial(edits.spans, edit=partial(_without_parent, gone))
        draft.apply(rewrite.mapped(store, draft.content, "spans", forget))
        removal.derive_again(store, draft, found.children)


def _without_parent(gone: Collection[str], span: SpanRecord) -> SpanRecord:
    """A span without the id of a parent that is gone."""
    if span.attributes.get(semconv.PARENT_TRAJECTORY_ID) not in gone:
        return span
    kept = {k: v for k, v in span.attributes.items() if k != semconv.PARENT_TRAJECTORY_ID}
    return replace(span, attributes=kept)


# --- copies ------------------------------------------------------------------------------------

_ZEROS: Final = 1 << 20


def wipe(store: Path) -> None:
    """Remove every copy of what the newest snapshot does not hold; the caller holds both locks.

    Published tables are brought up to date first. Where the package for that is missing they go on
    naming files that are gone, which is said.
    """
    publish.refresh(store)
    collection.collect(store, grace_s=0.0)
    _overwrite_log(store, snapshot.newest(store))
    for path in (store / "_tmp").glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not path.name.startswith(collection.LEASE):
            path.unlink(missing_ok=True)


def _overwrite_log(store: Path, current: Snapshot) -> None:
    """Fill what is sealed of the segments of living writers with zeros.

    They append at the end and never look back; who reads a segment begins where it is not sealed.
    """
    for path in wal.segments(store):
        with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
            left = min(current.wal.get(path.name, 0), os.fstat(file.fileno()).st_size)
            while left > 0:
                left -= file.write(bytes(min(left, _ZEROS)))
            file.flush()
            os.fsync(file.fileno())
