"""A finished trajectory as records of a store, and back.

It is written as what a recorded run leaves behind: a root span, and a span per step below it, with
OpenTelemetry's names, so that every query and every tool reads it like any other run. Where that
form does not give back an equal value (JSON has no tuples, a column no time zone), the exact value
stands beside it under `EXACT`.

Ids are made of content: the trace of the trajectory's id, the spans of all it says. So the same
content twice is the same spans once. Which content is the present one is told by an event
`traj.revision` of its root span; `otel_traj.assembly.revisions` reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_traj import semconv
from otel_traj.capture.values import as_json, as_scalar, as_text
from otel_traj.compat import python_values
from otel_traj.compat.trajectories import ActionStep, OutcomeTag, Trajectory, instant_of
from otel_traj.model import Close, LogRecord, Record, SpanRecord
from otel_traj.redaction import Redaction

if TYPE_CHECKING:
    from otel_traj.model import Step
    from otel_traj.store import TrajectoryStore

EXACT: Final = "traj.compat.exact"
"""Attribute with fields of a value, as `python_values`, that the span does not tell exactly."""

SCOPE: Final = "otel_traj.compat"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


_REASONS: Final = ("failure_rationale", "error_category", "fix_applied")


# --- to records --------------------------------------------------------------------------------


def trace_of(trajectory_id: str) -> str:
    """The trace that a trajectory of this id is stored as."""
    return _digest("trajectory", trajectory_id)[:32]


def records_of(
    trajectory: Trajectory, trace_id: str, *, stored_ns: int, redaction: Redaction
) -> list[Record]:
    """The records of a trajectory.

    Args:
        trajectory: What to store.
        trace_id: Its trace: `trace_of` its id, unless a run of this id was recorded before.
        stored_ns: Unix time in ns from which on this is what the trajectory says.
        redaction: What is replaced in them.
    """
    told = {f.name: getattr(trajectory, f.name) for f in fields(trajectory)}
    root_id = _digest("root", trace_id, python_values.dumps(_plain(told)))[:16]
    start_ns, end_ns = _bounds(trajectory)
    root = SpanRecord(
        trace_id,
        root_id,
        None,
        f"{semconv.OP_INVOKE_AGENT} {trajectory.agent_id}",
        start_ns,
        end_ns,
        attributes=_root_attributes(trajectory),
        scope_name=SCOPE,
    )
    steps = [_step_span(step, n, root) for n, step in enumerate(trajectory.steps)]
    revision = LogRecord(
        trace_id,
        root_id,
        stored_ns,
        None,
        semconv.EVENT_REVISION,
        None,
        None,
        scope_name=SCOPE,
    )
    close = Close(trajectory.trajectory_id, (trace_id,), root_id)
    return [*map(redaction.record, (*steps, root)), revision, redaction.record(close)]


def _root_attributes(trajectory: Trajectory) -> dict[str, Any]:
    state, metadata = trajectory.initial_state, trajectory.metadata
    plain = {
        semconv.OPERATION: semconv.OP_INVOKE_AGENT,
        semconv.AGENT_NAME: trajectory.agent_id,
        semconv.TRAJECTORY_ID: trajectory.trajectory_id,
        semconv.TASK: trajectory.task_description,
        semconv.INITIAL_STATE: as_json(state),
        semconv.OUTCOME: trajectory.final_outcome.value,
        semconv.REWARD: float(trajectory.reward),
        semconv.FAILURE_RATIONALE: trajectory.failure_rationale,
        semconv.ERROR_CATEGORY: trajectory.error_category,
        semconv.FIX_APPLIED: trajectory.fix_applied,
        **{f"{semconv.METADATA_PREFIX}{key}": as_scalar(v) for key, v in dict(metadata).items()},
    }
    exact = {
        "initial_state": state,
        "metadata": metadata,
        "created_at": trajectory.created_at,
        "duration_seconds": trajectory.duration_seconds,
    }
    if python_values.is_same(json.loads(as_json(state)), state):
        del exact["initial_state"]
    reasons = {name: getattr(trajectory, name) for name in _REASONS}
    # To a store a blank text tells nothing.
    exact |= {name: why for name, why in reasons.items() if why is not None and not why.strip()}
    plain[EXACT] = python_values.dumps(exact)
    return {key: value for key, value in plain.items() if value is not None}


def _step_span(step: ActionStep, n: int, root: SpanRecord) -> SpanRecord:
    told = {
        "tool_args": step.tool_args,
        "tool_result": step.tool_result,
        "agent_reasoning": step.agent_reasoning,
    }
    plain = {
        semconv.OPERATION: semconv.OP_EXECUTE_TOOL,
        semconv.TOOL_NAME: step.tool_name,
        semconv.TOOL_CALL_ARGUMENTS: _text(told["tool_args"], as_json),
        semconv.TOOL_CALL_RESULT: _text(told["tool_result"], as_text),
        semconv.STEP_REASONING: _text(told["agent_reasoning"], as_text),
    }
    told["timestamp"] = step.timestamp
    read = _step_fields(plain, when := _ns(instant_of("timestamp", step.timestamp)))
    exact = {name: v for name, v in told.items() if not python_values.is_same(read[name], v)}
    plain[EXACT] = python_values.dumps({"n": n, **exact})
    return SpanRecord(
        root.trace_id,
        _digest("step", root.span_id, str(n))[:16],
        root.span_id,
        f"{semconv.OP_EXECUTE_TOOL} {step.tool_name}",
        when,
        when,
        attributes={key: value for key, value in plain.items() if value is not None},
        scope_name=SCOPE,
        start_seq=n,
    )


def _text(value: Any, form: Any) -> str | None:
    return None if value is None else str(form(value))


def _plain(value: Any) -> Any:
    """Fields of a trajectory as values that `python_values` knows."""
    if isinstance(value, ActionStep):
        return [getattr(value, f.name) for f in fields(value)]
    if isinstance(value, dict):
        return {key: _plain(item) if key == "steps" else item for key, item in value.items()}
    return [_plain(item) for item in value]


def _bounds(trajectory: Trajectory) -> tuple[int, int]:
    """Start and end in Unix ns; `created_at` is one of both, the earliest known time the start."""
    created = _ns(instant_of("created_at", trajectory.created_at))
    times = [_ns(instant_of("timestamp", step.timestamp)) for step in trajectory.steps]
    start = min([created, *times])
    return start, max([start + round(trajectory.duration_seconds * 1e9), *times])


def _ns(moment: datetime) -> int:
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 10**9 + delta.microseconds * 1000


def _digest(*parts: str) -> str:
    told = json.dumps(["otel_traj.compat", *parts])
    return hashlib.sha256(told.encode()).hexdigest()


# --- and back ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A trajectory of a store and the trace that tells its present content."""

    trajectory: Trajectory
    trace_id: str


_HEADERS: Final = """
select trajectory_id, trace_ids, root_span_id, agent_name, task, outcome, outcome_source, reward,
    failure_rationale, error_category, fix_applied, initial_state, metadata, start_time, duration_s
from trajectories where trajectory_id in (select unnest($ids))"""

_NAMED: Final = """
select trajectory_id from trajectories where trajectory_id = $id
union all
select trajectory_id from trajectory_aliases where alias = $id
order by trajectory_id = $id desc limit 1"""


def read_trajectory(store: TrajectoryStore, trajectory_id: str) -> Found | None:
    """The trajectory of exactly this id, stored or recorded; None if there is none."""
    named = store.sql(_NAMED, {"id": trajectory_id}).fetchall()
    if not named:
        return None
    [found] = read_trajectories(store, [named[0][0]])
    known_as = replace(found.trajectory, trajectory_id=trajectory_id)
    return replace(found, trajectory=known_as)


def read_trajectories(store: TrajectoryStore, trajectory_ids: Sequence[str]) -> list[Found]:
    """The trajectories of these ids, in their order, without those that there are not."""
    ids = list(trajectory_ids)
    headers = {row["trajectory_id"]: row for row in _rows(store, _HEADERS, ids)}
    spans = _spans(store, ids)
    return [_found(store, headers[id_], spans.get(id_, [])) for id_ in ids if id_ in headers]


def _found(store: TrajectoryStore, header: Mapping[str, Any], spans: Sequence[SpanRecord]) -> Found:
    root = next((span for span in spans if span.span_id == header["root_span_id"]), None)
    judged = {
        "trajectory_id": header["trajectory_id"],
        "final_outcome": _outcome(header),
        "reward": _reward(header["reward"]),
        **{name: header[name] for name in _REASONS if header[name] is not None},
    }
    if root is not None and EXACT in root.attributes:
        trajectory = _stored(root, spans, judged)
    else:
        steps = store.trajectory(header["trajectory_id"]).steps
        trajectory = _recorded(header, steps, judged)
    return Found(trajectory, root.trace_id if root is not None else header["trace_ids"][0])


def _rows(store: TrajectoryStore, query: str, ids: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.sql(query, {"ids": ids}).to_arrow_table().to_pylist()
    return found


def _spans(store: TrajectoryStore, ids: list[str]) -> dict[str, list[SpanRecord]]:
    from otel_traj.store.rows import span_records

    query = "from spans where trajectory_id in (select unnest($ids))"
    told = store.sql(query, {"ids": ids}).to_arrow_table()
    grouped: dict[str, list[SpanRecord]] = {}
    for id_, span in zip(told["trajectory_id"].to_pylist(), span_records(told), strict=True):
        grouped.setdefault(id_, []).append(span)
    return grouped


def _outcome(header: Mapping[str, Any]) -> OutcomeTag:
    """What somebody judged; not to crash is no judgement, and `error` says nothing of a run."""
    if header["outcome_source"] == "builtin" or header["outcome"] == "error":
        return OutcomeTag.UNKNOWN
    return OutcomeTag(header["outcome"])


def _reward(reward: float | None) -> float:
    """Within the bounds of the class; rewards of a store have none."""
    return min(max(reward or 0.0, 0.0), 1.0)


def _stored(root: SpanRecord, spans: Iterable[SpanRecord], judged: Mapping[str, Any]) -> Trajectory:
    own = root.attributes
    exact = python_values.loads(own[EXACT])
    steps = [
        (python_values.loads(span.attributes[EXACT]), span)
        for span in spans
        if span.parent_span_id == root.span_id and EXACT in span.attributes
    ]
    return Trajectory(
        agent_id=own[semconv.AGENT_NAME],
        task_description=own[semconv.TASK],
        initial_state=exact.pop("initial_state", _json(own.get(semconv.INITIAL_STATE))),
        steps=tuple(
            _stored_step(told, span) for told, span in sorted(steps, key=lambda s: s[0]["n"])
        ),
        **{**exact, **judged},
    )


def _stored_step(told: dict[str, Any], span: SpanRecord) -> ActionStep:
    exact = {name: value for name, value in told.items() if name != "n"}
    own = span.attributes
    return ActionStep(
        tool_name=own[semconv.TOOL_NAME], **{**_step_fields(own, span.start_ns), **exact}
    )


def _step_fields(own: Mapping[str, Any], start_ns: int) -> dict[str, Any]:
    """What a step's span tells without its exact fields."""
    return {
        "timestamp": _EPOCH + timedelta(microseconds=start_ns // 1000),
        "tool_args": _json(own.get(semconv.TOOL_CALL_ARGUMENTS)),
        "tool_result": _json(own.get(semconv.TOOL_CALL_RESULT)),
        "agent_reasoning": own.get(semconv.STEP_REASONING),
    }


def _recorded(
    header: Mapping[str, Any], steps: Sequence[Step], judged: Mapping[str, Any]
) -> Trajectory:
    return Trajectory(
        agent_id=header["agent_name"] or "(unknown)",
        task_description=header["task"] or "(unknown)",
        initial_state=_json(header["initial_state"]) or {},
        steps=tuple(_recorded_step(step) for step in steps if step.tool_name),
        metadata=_json(header["metadata"]) or {},
        created_at=header["start_time"],
        duration_seconds=header["duration_s"] or 0.0,
        **judged,
    )


def _recorded_step(step: Step) -> ActionStep:
    failed = {"error": step.error_message or step.error_type} if step.status == "error" else None
    return ActionStep(
        timestamp=step.start_time,
        tool_name=step.tool_name or "",
        tool_args=_json(step.arguments),
        tool_result=_json(step.result) if step.result is not None else failed,
        agent_reasoning=step.reasoning,
    )


def _json(text: str | None) -> Any:
    """The value of a JSON text; any other text is itself."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
