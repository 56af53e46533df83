"""Checkpoints that runs recorded, and the runs that replay others."""
# ruff: noqa: S608 - what is put into this SQL are our own texts

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb

from otel_traj import semconv
from otel_traj.errors import TrajectoryNotFoundError
from otel_traj.model import LogRecord
from otel_traj.server.viewer.answers import Checkpoint, Checkpoints, Replays, TrajectoryRow
from otel_traj.server.viewer.headers import plain
from otel_traj.server.viewer.listing import ROW, row
from otel_traj.server.viewer.problems import NotThereError
from otel_traj.server.viewer.reading import Reader, iso, rows
from otel_traj.store import rows as stored_rows

_MOST: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_OF_SPANS: Final = """\
select s.trace_id, s.span_id, s.name, coalesce(t.agent_name, s.agent_name) as agent_name,
    m.trajectory_id
from stored.spans s left join live.trajectory_spans m using (trace_id, span_id)
left join (
    select trajectory_id, step, agent_name from live.steps
) t using (trajectory_id, step)
where s.trace_id in (select unnest($traces))"""


def of_trace(reader: Reader, named: str) -> Checkpoints:
    """The checkpoints of a trace, or of a trajectory.

    Raises:
        NotThereError: There is neither.
    """
    traces = _traces(reader, named)
    return _told(_found(reader, "trace_id in (select unnest($traces))", {"traces": traces}), reader)


def one(reader: Reader, checkpoint_id: str) -> Checkpoint:
    """A checkpoint by its whole id.

    Raises:
        NotThereError: There is none.
    """
    logs = _found(reader, "contains(attributes, $id)", {"id": json.dumps(checkpoint_id)})
    own = [log for log in logs if log.attributes.get(semconv.CHECKPOINT_ID) == checkpoint_id]
    if not own:
        raise NotThereError(f"There is no checkpoint {checkpoint_id!r}")
    return _told(own[:1], reader)["checkpoints"][0]


def replays(reader: Reader, named: str) -> Replays:
    """The runs that replay one, by its trace or its own id.

    Raises:
        NotThereError: There is no such run.
    """
    traces = _traces(reader, named)
    found = _rows(
        reader,
        "relation = 'replay' and parent_trajectory_id in (select trajectory_id from"
        " live.trajectories where list_has_any(trace_ids, $traces)) order by start_time desc,"
        f" trajectory_id limit {_MOST}",
        {"traces": traces},
    )
    return {"replays": found, "count": len(found)}


def replay(reader: Reader, trajectory_id: str) -> TrajectoryRow:
    """A run that replays another one.

    Raises:
        NotThereError: There is none of this id.
    """
    found = _rows(reader, "relation = 'replay' and trajectory_id = $id", {"id": trajectory_id})
    if not found:
        raise NotThereError(f"There is no replay {trajectory_id!r}")
    return found[0]


def _rows(reader: Reader, where: str, parameters: dict[str, Any]) -> list[TrajectoryRow]:
    found = reader.read(
        lambda cursor: rows(cursor, f"select {ROW} from trajectories where {where}", parameters)
    )
    return [row(reader, told) for told in found]


def _traces(reader: Reader, named: str) -> list[str]:
    """Ids of traces that a request names, by one of them or by a trajectory."""

    def ask(cursor: duckdb.DuckDBPyConnection) -> bool:
        sql = "select 1 from stored.spans where trace_id = $id limit 1"
        return bool(cursor.execute(sql, {"id": named.lower()}).fetchall())

    if reader.read(ask):
        return [named.lower()]
    try:
        return list(reader.header(named).trace_ids)
    except TrajectoryNotFoundError as error:
        raise NotThereError(f"There is no trace or trajectory {named!r}") from error


def _found(reader: Reader, where: str, parameters: dict[str, Any]) -> list[LogRecord]:
    def ask(cursor: duckdb.DuckDBPyConnection) -> list[LogRecord]:
        told = cursor.sql(
            'select * exclude ("date") from stored.logs where event_name = $event'
            f" and {where} order by time_ns limit {_MOST}",
            params={"event": semconv.EVENT_CHECKPOINT, **parameters},
        )
        return stored_rows.log_records(told.to_arrow_table())

    return reader.read(ask)


def _told(logs: list[LogRecord], reader: Reader) -> Checkpoints:
    traces = sorted({log.trace_id for log in logs if log.trace_id})
    named = reader.read(lambda cursor: rows(cursor, _OF_SPANS, {"traces": traces}))
    spans = {(span["trace_id"], span["span_id"]): span for span in named}
    found = [_checkpoint(reader, log, spans.get((log.trace_id, log.span_id), {})) for log in logs]
    return {"checkpoints": found, "count": len(found)}


def _checkpoint(reader: Reader, log: LogRecord, span: dict[str, Any]) -> Checkpoint:
    told = reader.redaction.record(log).attributes
    state = told.get(semconv.CHECKPOINT_STATE)
    at_ns = log.time_ns or log.observed_ns
    return {
        "checkpoint_id": str(log.attributes.get(semconv.CHECKPOINT_ID)),
        "trajectory_id": span.get("trajectory_id"),
        "trace_id": log.trace_id,
        "span_id": log.span_id,
        "span_name": reader.shown("name", span.get("name")),
        "agent_name": reader.shown("agent_name", span.get("agent_name")),
        "name": told.get(semconv.CHECKPOINT_NAME),
        "state": plain(state) if isinstance(state, str) else state,
        "state_hash": hashlib.sha256(state.encode()).hexdigest() if state else None,
        "timestamp": iso(_EPOCH + timedelta(microseconds=at_ns // 1000)) if at_ns else None,
    }
