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
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal

import duckdb
import pyarrow as pa

from otel_traj import dialects, semconv, wal
from otel_traj.model import Annotation, SpanRecord
from otel_traj.store import (
    collection,
    edits,
    files,
    locks,
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

Fact = Literal["conversation_id", "user_id"]


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
    wal.check_format(store, "min_writer")
    with locks.held(store, "upkeep", wait_s), locks.held(store, "commit", wait_s):
        sealing.seal(store)
        with Draft(store, "erase") as draft:
            with views.connect(store, draft.base) as connection:
                found = _Found(connection, trajectory_ids, named)
            amount = removal.amount(store, draft.base, found.doomed)
            report = ErasureReport(
                found.trajectory_ids,
                tuple(sorted(found.unknown)),
                len(found.open_ids),
                amount,
                dry_run,
            )
            if dry_run:
                return report
            if amount.rows or found.trajectory_ids:
                _take_out(store, draft, found)
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


class _Found:
    """The trajectories that go, and what else names the conversation or user."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        wanted: Collection[str],
        named: Mapping[Fact, str],
    ) -> None:
        known = self._known(connection, wanted)
        self.unknown = set(wanted) - known.keys()
        traces = {
            t for fact, value in named.items() for t in _traces_naming(connection, fact, value)
        }
        going = {*known.values(), *_of_traces(connection, traces)}
        for fact, value in named.items():
            going |= _ids(
                connection,
                f"select trajectory_id from live.trajectories where {fact} = $value",
                value=value,
            )
        header = connection.execute(
            "select trajectory_id, status = 'open' from live.trajectories"
            " where trajectory_id in (select unnest($ids)) order by start_time, trajectory_id",
            {"ids": sorted(going)},
        ).fetchall()
        self.trajectory_ids = tuple(row[0] for row in header)
        self.open_ids = {row[0] for row in header if row[1]}
        self.doomed = removal.doomed(
            connection,
            pa.table({"trajectory_id": pa.array(self.trajectory_ids, pa.string())}),
            trace_ids=traces - _traces_with_trajectory(connection, traces),
            loose_logs=" or ".join(_naming_log(fact, value) for fact, value in named.items())
            or "false",
        )
        self.children = _ids(
            connection,
            "select trajectory_id from live.trajectories"
            " where parent_trajectory_id in (select unnest($ids))"
            " and trajectory_id not in (select unnest($own))",
            ids=self.doomed.gone_ids["trajectory_id"].to_pylist(),
            own=list(self.trajectory_ids),
        )

    @staticmethod
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


def _of_traces(connection: duckdb.DuckDBPyConnection, trace_ids: Iterable[str]) -> set[str]:
    return _ids(
        connection,
        "select distinct trajectory_id from live.trajectory_spans"
        " where trace_id in (select unnest($ids))",
        ids=list(trace_ids),
    )


def _traces_with_trajectory(
    connection: duckdb.DuckDBPyConnection, trace_ids: Iterable[str]
) -> set[str]:
    return _ids(
        connection,
        "select distinct trace_id from live.trajectory_spans"
        " where trace_id in (select unnest($ids))",
        ids=list(trace_ids),
    )


def _traces_naming(connection: duckdb.DuckDBPyConnection, fact: Fact, value: str) -> set[str]:
    """Traces of which a span names the conversation or user, in whatever words."""
    [longest] = sorted(re.findall(r"[\w@. :-]+", value, re.ASCII), key=len)[-1:] or [""]
    candidates = connection.sql(
        "select * exclude (date) from stored.spans"
        " where conversation_id = $value or contains(attributes, $part)",
        params={"value": value, "part": longest},
    ).to_arrow_reader(rewrite.BATCH_ROWS)
    return {
        span.trace_id
        for batch in candidates
        for span in rows.span_records(pa.Table.from_batches([batch]))
        if getattr(dialects.read(span), fact) == value
    }


def _naming_log(fact: Fact, value: str) -> str:
    """SQL condition on a log that names the conversation or user."""
    keys = {
        source
        for dialect in dialects.DIALECTS
        for source in dialect.facts.get(fact, ())
        if isinstance(source, str)
    }
    texts = " or ".join(
        f"json_extract_string(attributes, '$.\"{key}\"') = {_quoted(value)}" for key in sorted(keys)
    )
    return f"({texts})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


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

_LEASE: Final = "lease-"
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
        elif not path.name.startswith(_LEASE):
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
