"""Retention: which trajectories stay, by age, number, bytes; what belongs to none ages with them.

A trajectory goes with all that is its own (`otel_traj.store.removal`), in one commit: days of which
nothing stays lose their files, other files are rewritten. What is pinned stays, and so does what a
living process still records. Traces without a trajectory (health checks), logs and annotations of
nothing that is stored go with the trajectories of their time, unless the limits are for some
outcome or agent only. Files go when no reader can be using them any more, as after a compaction.
"""
# ruff: noqa: S608 - what is put into this SQL are names of our own tables

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from otel_traj.store import (
    collection,
    erasure,
    intake,
    removal,
    rules,
    sealing,
    views,
)
from otel_traj.store.draft import Draft
from otel_traj.store.removal import Amount
from otel_traj.store.rules import RetentionRule
from otel_traj.store.schema import TABLES
from otel_traj.store.snapshot import Snapshot
from otel_traj.store.traces import LiveTrace

PIN: Final = "traj.pin"
"""Name of the annotation that keeps a trajectory whatever its age."""

PINNED_BY: Final = "pin"
"""Its source, so that nobody else's word takes it back."""

AUDIT: Final = "traj.retention"
"""Name of the annotation that tells of a retention."""

_SILENT_S: Final = 7 * 86_400.0
"""A run of which nothing came for so long does not go on: a receiver outlives those who sent."""

_ROUNDS: Final = 8
"""How often it is looked whether what is left has too many bytes, which is known afterwards."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A trajectory that goes.

    Attributes:
        trajectory_id: Its id.
        start_time: When it began.
        agent_name: Agent at the top.
        outcome: As the view `trajectories` tells it.
        limit: Which limit it is beyond: `older_than`, `keep` or `max_bytes`.
    """

    trajectory_id: str
    start_time: datetime
    agent_name: str | None
    outcome: str
    limit: str


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What a retention did, or would do.

    Attributes:
        expired: Trajectories that go, oldest first.
        n_pinned: Trajectories that are beyond a limit and stay because they are pinned.
        n_running: Trajectories that are beyond a limit and stay because they go on.
        amount: How many rows, and about how many bytes.
        is_dry_run: Nothing was changed.
    """

    expired: tuple[Expired, ...] = ()
    n_pinned: int = 0
    n_running: int = 0
    amount: Amount = field(default_factory=Amount)
    is_dry_run: bool = False


def retain(
    store: Path, limits: Sequence[RetentionRule], *, dry_run: bool, wait_s: float
) -> RetentionReport:
    """Let go what is beyond the limits; see `TrajectoryStore.retain`.

    Args:
        store: The store's folder.
        limits: Each for itself; what is beyond one of them goes.
        dry_run: Only tell what would go.
        wait_s: How long to wait for somebody else who is rewriting or sealing the store.

    Raises:
        StoreError: Somebody else was at it for all of `wait_s`; nothing is changed.
        OSError: The store cannot be written.
    """
    with sealing.alone(store, wait_s):
        now = datetime.now(UTC)
        with Draft(store, "retain") as draft:
            report = RetentionReport(is_dry_run=dry_run)
            is_estimated = any(rule.max_bytes is not None for rule in limits)
            for _ in range(_ROUNDS if is_estimated and not dry_run else 1):
                plan = _plan(store, draft.content, limits, now)
                report = RetentionReport(
                    report.expired + plan.expired,
                    max(report.n_pinned, plan.n_pinned),
                    max(report.n_running, plan.n_running),
                    report.amount + plan.amount,
                    dry_run,
                )
                if not (plan.amount.rows or plan.ended):
                    break
                if not dry_run:
                    removal.take_out(store, draft, plan.doomed)
            if draft.is_changed:
                draft.add(erasure.audit(store, AUDIT, _told(limits, report)))
                draft.publish()
    if not dry_run:
        collection.collect(store, wait_s=wait_s)
    return report


def _told(limits: Iterable[RetentionRule], report: RetentionReport) -> dict[str, Any]:
    """What the audit says: criteria and counts."""
    criteria = [
        {
            "older_than_s": None if rule.older_than is None else rule.older_than.total_seconds(),
            "keep": rule.keep,
            "max_bytes": rule.max_bytes,
            "outcome": rule.outcome,
            "agent": rule.agent,
        }
        for rule in limits
    ]
    return {
        "criteria": [{k: v for k, v in rule.items() if v is not None} for rule in criteria],
        "trajectories": len(report.expired),
        "pinned": report.n_pinned,
        "running": report.n_running,
        "rows": dict(report.amount.rows),
        "bytes": report.amount.bytes,
    }


# --- what goes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """What goes by all limits together; `ended` are open traces that nobody records any more."""

    expired: tuple[Expired, ...]
    n_pinned: int
    n_running: int
    doomed: removal.Doomed
    amount: Amount
    ended: frozenset[str]


def _plan(store: Path, current: Snapshot, limits: Sequence[RetentionRule], now: datetime) -> _Plan:
    traces = sealing.open_traces(current)
    running = _running(store, traces, now)
    with views.connect(store, current, rules.load(store)).connection as connection:
        connection.register("running", _texts("trace_id", running))
        connection.execute(_CANDIDATES)
        if any(rule.max_bytes is not None for rule in limits):
            _weigh(connection, store, current)
        beyond, horizon = _beyond(connection, current, limits, now)
        expired, n_pinned, n_running = _expired(connection, beyond)
        ended = _ended(connection, traces, running, horizon)
        doomed = removal.doomed(
            connection,
            _texts("trajectory_id", (e.trajectory_id for e in expired)),
            trace_ids=ended | _traces_of_nothing(connection, horizon, traces.keys() - ended),
            annotation_ids=_annotations_of_nothing(connection, horizon),
            loose_logs="false" if horizon is None else f"{_LOG_TIME} < {_us(horizon) * 1000}",
        )
        amount = removal.amount(connection, store, current, doomed)
    return _Plan(expired, n_pinned, n_running, doomed, amount, frozenset(ended))


def _running(store: Path, traces: Mapping[str, LiveTrace], now: datetime) -> set[str]:
    """Open traces that a living process records."""
    alive = intake.living_writers(store)
    silent_since = now.timestamp() - _SILENT_S
    return {
        trace_id
        for trace_id, trace in traces.items()
        if trace.writers & alive and trace.state.last_seen > silent_since
    }


def _ended(
    connection: duckdb.DuckDBPyConnection,
    traces: Mapping[str, LiveTrace],
    running: set[str],
    horizon: datetime | None,
) -> set[str]:
    """Open traces without a trajectory of which nothing came since the horizon."""
    if horizon is None:
        return set()
    of_trajectories = {row[0] for row in connection.execute(_OF_TRAJECTORIES).fetchall()}
    return {
        trace_id
        for trace_id, trace in traces.items()
        if trace.state.last_seen < horizon.timestamp()
    } - (running | of_trajectories)


_UNTIMED: Final = "end_time < timestamp '1971-01-01'"
"""Runs whose times nobody told begin with the epoch, only to keep their order: they have no age."""

_CANDIDATES: Final = f"""\
create temp table candidates as
select t.trajectory_id, t.start_time, coalesce(t.end_time, t.start_time) as end_time, t.agent_name,
    t.outcome, p.trajectory_id is not null as is_pinned,
    exists (select 1 from running r where list_contains(t.trace_ids, r.trace_id)) as is_running,
    0::double as bytes
from trajectories t left join (
    select distinct trajectory_id from annotations_latest
    where target = 'trajectory' and "name" = '{PIN}' and source = '{PINNED_BY}'
) p using (trajectory_id)"""

_OF_RULE: Final = (
    "($outcome is null or outcome = $outcome) and ($agent is null or agent_name = $agent)"
)


def _queries(
    rule: RetentionRule, now: datetime, others: float
) -> Iterator[tuple[str, str, dict[str, object]]]:
    """The limits of a rule: name, SQL for the ids beyond it, its parameters.

    Args:
        rule: The rule.
        now: The instant that ages are counted from.
        others: Bytes of what is no trajectory's, which count towards a limit for all.
    """
    concerned: dict[str, object] = {"outcome": rule.outcome, "agent": rule.agent}
    if rule.older_than is not None:
        yield (
            "older_than",
            f"select trajectory_id from candidates where {_OF_RULE} and not {_UNTIMED}"
            " and epoch_us(end_time) <= $latest",
            {**concerned, "latest": _us(now - rule.older_than)},
        )
    if rule.keep is not None:
        yield (
            "keep",
            f"select trajectory_id from candidates where {_OF_RULE}"
            " order by start_time desc, trajectory_id offset $keep",
            {**concerned, "keep": rule.keep},
        )
    if rule.max_bytes is not None:
        is_all = rule.outcome is None and rule.agent is None
        yield (
            "max_bytes",
            "with heaped as (select trajectory_id, is_pinned or is_running as stays,"
            "  sum(bytes) over (order by is_pinned or is_running desc, start_time desc,"
            "  trajectory_id) + $others as bytes_so_far"
            f" from candidates where {_OF_RULE})"
            " select trajectory_id from heaped where bytes_so_far > $max_bytes and not stays",
            {**concerned, "max_bytes": rule.max_bytes, "others": others if is_all else 0.0},
        )


def _beyond(
    connection: duckdb.DuckDBPyConnection,
    current: Snapshot,
    limits: Iterable[RetentionRule],
    now: datetime,
) -> tuple[dict[str, str], datetime | None]:
    """Trajectory -> the first limit that it is beyond; and before when nothing at all stays."""
    others = _others(connection, current)
    beyond: dict[str, str] = {}
    horizons: list[datetime] = []
    for rule in limits:
        for limit, sql, parameters in _queries(rule, now, others):
            ids = [row[0] for row in connection.execute(sql, parameters).fetchall()]
            beyond = {**dict.fromkeys(ids, limit), **beyond}
            if rule.outcome is not None or rule.agent is not None:
                continue
            if rule.older_than is not None and limit == "older_than":
                horizons.append(now - rule.older_than)
            elif ids:
                horizons.append(_start_of_rest(connection, ids) or now)
    return beyond, max(horizons, default=None)


def _start_of_rest(connection: duckdb.DuckDBPyConnection, beyond: Iterable[str]) -> datetime | None:
    """When the oldest of the trajectories began that no limit and no pin is about."""
    [(start,)] = connection.execute(
        "select min(epoch_us(start_time)) from candidates"
        " where trajectory_id not in (select unnest($ids)) and not is_pinned and not is_running",
        {"ids": list(beyond)},
    ).fetchall()
    return None if start is None else datetime.fromtimestamp(start / 1e6, UTC)


def _expired(
    connection: duckdb.DuckDBPyConnection, beyond: dict[str, str]
) -> tuple[tuple[Expired, ...], int, int]:
    """Of what is beyond a limit: what goes, how much is pinned, how much goes on."""
    connection.register("beyond", _texts("trajectory_id", beyond))
    found = connection.execute(
        "select trajectory_id, epoch_us(start_time), agent_name, outcome, is_pinned, is_running"
        " from candidates semi join beyond using (trajectory_id)"
        " order by start_time, trajectory_id"
    ).fetchall()
    expired = tuple(
        Expired(i, datetime.fromtimestamp(start / 1e6, UTC), agent, outcome, beyond[i])
        for i, start, agent, outcome, is_pinned, is_running in found
        if not (is_pinned or is_running)
    )
    n_pinned = sum(row[4] for row in found)
    return expired, n_pinned, sum(row[5] and not row[4] for row in found)


_LOG_TIME: Final = 'coalesce(time_ns, observed_ns, epoch_us("date"::timestamp) * 1000)'


_OF_TRAJECTORIES: Final = (
    "select unnest(trace_ids) as trace_id from live.trajectories"
    " union select trace_id from live.trajectory_spans"
)


def _traces_of_nothing(
    connection: duckdb.DuckDBPyConnection, horizon: datetime | None, open_traces: Iterable[str]
) -> set[str]:
    """Traces that make no trajectory, whose last span or log is before the horizon."""
    connection.register("going_on", _texts("trace_id", open_traces))
    if horizon is None:
        return set()
    found = connection.execute(
        "with told as ("
        "  select trace_id, max(coalesce(end_ns, start_ns)) as last_ns from stored.spans group by 1"
        f"  union all select trace_id, max({_LOG_TIME}) from stored.logs"
        "  where trace_id is not null group by 1"
        f") select trace_id from told anti join ({_OF_TRAJECTORIES}) using (trace_id)"
        " anti join going_on using (trace_id)"
        " group by trace_id having max(last_ns) < $horizon",
        {"horizon": _us(horizon) * 1000},
    ).fetchall()
    return {row[0] for row in found}


def _annotations_of_nothing(
    connection: duckdb.DuckDBPyConnection, horizon: datetime | None
) -> set[str]:
    """Annotations of trajectories and traces that are not stored, from before the horizon."""
    if horizon is None:
        return set()
    found = connection.execute(
        "select annotation_id from stored.annotations"
        " anti join (select trajectory_id from live.trajectories"
        "  union select unnest(aliases) from live.trajectories) using (trajectory_id)"
        " anti join (select trace_id from stored.spans union from going_on) using (trace_id)"
        " where epoch_us(created) < $horizon"
        " and (trajectory_id is not null or trace_id is not null)",  # audits are about neither
        {"horizon": _us(horizon)},
    ).fetchall()
    return {row[0] for row in found}


# --- bytes -------------------------------------------------------------------------------------


_TEXT_COLUMNS: Final = {
    table: " + ".join(
        f'coalesce(strlen("{column.name}"), 0)'
        for column in TABLES[table].columns
        if column.duckdb_type == "VARCHAR"
    )
    for table in ("spans", *views.REVISED)
}
_PER_ROW: Final = 50
"""Bytes that a row counts for beside its text; only their share in a file matters."""


def _weigh(connection: duckdb.DuckDBPyConnection, store: Path, current: Snapshot) -> None:
    """Fill in about how many bytes each candidate has: its share of the text in each file.

    How well a text packs is not looked at, so of equal shares the repetitive one has fewer bytes.
    """
    for table in _TEXT_COLUMNS:
        files = current.live(table)
        if not files:
            continue
        connection.register(
            "lengths",
            pa.table(
                {
                    "filename": [str(store / file.path) for file in files],
                    "length": [file.bytes for file in files],
                }
            ),
        )
        key = "trace_id, span_id" if table == "spans" else "trajectory_id"
        rows = views.rows_of(current, table, files, store, with_file=True)
        owned = "join live.trajectory_spans using (trace_id, span_id)" if table == "spans" else ""
        connection.execute(
            f"with weighed as (select filename, {key}, {_PER_ROW} + {_TEXT_COLUMNS[table]} as w"
            f"  from ({rows})),"
            f" shares as (select {key}, w / sum(w) over (partition by filename) * length as share"
            "  from weighed join lengths using (filename)),"
            f" own as (select trajectory_id, sum(share) as share from shares {owned} group by 1)"
            " update candidates c set bytes = c.bytes + own.share from own"
            " where own.trajectory_id = c.trajectory_id"
        )


def _others(connection: duckdb.DuckDBPyConnection, current: Snapshot) -> float:
    """Bytes of the live files that are no trajectory's."""
    [(owned,)] = connection.execute("select coalesce(sum(bytes), 0) from candidates").fetchall()
    whole = sum(file.bytes for own in current.files.values() for file in own)
    return max(0.0, whole - float(owned))


def _texts(name: str, values: Iterable[str]) -> pa.Table:
    return pa.table({name: pa.array(list(values), pa.string())})


def _us(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
