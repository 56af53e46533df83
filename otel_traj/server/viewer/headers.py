"""One trajectory without its parts: what it was, how it ended, what is said of it and missing."""
# ruff: noqa: S608 - what is put into this SQL are our own texts

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import duckdb

from otel_traj import semconv
from otel_traj.model import Trajectory
from otel_traj.server.viewer.answers import (
    Coverage,
    Related,
    TrajectoryHeader,
    Verdict,
)
from otel_traj.server.viewer.listing import ROW, finite, row
from otel_traj.server.viewer.reading import Reader, iso, rows

LONGEST: Final = 64 * 1024
"""Characters of a text that are sent with its run or span; what is longer is asked for."""

_MOST_RELATED: Final = 50


def header(reader: Reader, trajectory_id: str) -> TrajectoryHeader:
    """One trajectory by its id, an alias, or the beginning of its id.

    Raises:
        TrajectoryNotFoundError: There is none; the message lists what is near.
    """
    return reader.kept(("told", trajectory_id), lambda: _read(reader, trajectory_id))


def _read(reader: Reader, trajectory_id: str) -> TrajectoryHeader:
    run = reader.header(trajectory_id)
    of = {"id": run.trajectory_id}

    def ask(cursor: duckdb.DuckDBPyConnection) -> _Told:
        [line] = rows(
            cursor,
            f"select {ROW}, reward_source from trajectories where trajectory_id = $id",
            of,
        )
        [files] = rows(cursor, _N_FILES, of)
        return _Told(line, files["n"], rows(cursor, _FLAGS, of), _related(cursor, run))

    return _header(reader, run, reader.read(ask))


class _Told(NamedTuple):
    """What other tables and views tell of a run: its line, files, flags, and related runs."""

    line: dict[str, Any]
    n_files: int
    flags: list[dict[str, Any]]
    related: list[dict[str, Any]]


_N_FILES: Final = (
    "select count(distinct path) as n from live.file_changes where trajectory_id = $id"
)

_FLAGS: Final = """\
select step, security_flags as flags from live.steps
where trajectory_id = $id and len(security_flags) > 0 order by step"""


def verdicts(reader: Reader, trajectory_id: str) -> list[Verdict]:
    """What is said of a run, its steps and spans: the last word of each source."""
    said = reader.read(
        lambda cursor: rows(
            cursor,
            "from annotations_latest where trajectory_id = $id order by created, annotation_id",
            {"id": trajectory_id},
        )
    )
    return [_verdict(reader, told) for told in said]


def _header(reader: Reader, run: Trajectory, told: _Told) -> TrajectoryHeader:
    return {
        **row(reader, told.line, preview=LONGEST),
        "aliases": list(run.aliases),
        "trace_ids": list(run.trace_ids),
        "agent_id": run.agent_id,
        "agent_version": run.agent_version,
        "generation": run.generation,
        "operator": run.operator,
        "variant_id": run.variant_id,
        "prompt_version": run.prompt_version,
        "guideline_ids": list(run.guideline_ids),
        "arm": run.arm,
        "session_id": run.session_id,
        "user_id": run.user_id,
        "error_category": run.error_category,
        "failure_rationale": run.failure_rationale,
        "fix_applied": run.fix_applied,
        "reward_source": told.line["reward_source"],
        "n_llm_errors": run.n_llm_errors,
        "cache_read_tokens": run.cache_read_tokens,
        "cache_write_tokens": run.cache_write_tokens,
        "reasoning_tokens": run.reasoning_tokens,
        "tools": list(dict.fromkeys(run.tools)),
        "metadata": plain(run.metadata),
        "initial_state": plain(run.initial_state),
        "attributes": plain(run.attributes),
        "n_files": told.n_files,
        "flags": [
            {"step": flagged["step"], "flags": reader.shown("security_flags", flagged["flags"])}
            for flagged in told.flags
        ],
        "coverage": coverage(run),
        "verdicts": verdicts(reader, run.trajectory_id),
        "related": [_relation(reader, other) for other in told.related],
    }


def plain(text: str | None) -> Any:
    """The value of a JSON text; what is too long, or no JSON, stays text and is cut."""
    if text is None:
        return None
    try:
        return json.loads(text) if len(text) <= LONGEST else text[:LONGEST]
    except (ValueError, RecursionError):
        return text[:LONGEST]


def coverage(run: Trajectory) -> Coverage:
    """What is missing of a run, and what was repaired."""
    return {
        "dialects": list(run.dialects),
        "n_duplicates": run.n_duplicates,
        "n_late": run.n_late,
        "n_orphans": run.n_orphans,
        "n_truncated": run.n_truncated,
        "n_missing_content": run.n_missing_content,
        "n_dropped_spans": run.n_dropped_spans,
        "n_dropped_attributes": run.n_dropped_attributes,
        "repairs": [
            {"rule": repair.rule, "count": repair.count, "confidence": repair.confidence}
            for repair in run.repairs
        ],
        "stitch_confidence": run.stitch_confidence,
        "grade": run.grade,
        "sampling_rate": run.sampling_rate,
        "is_complete": run.complete,
        "derive_version": run.derive_version,
    }


def _verdict(reader: Reader, told: Mapping[str, Any]) -> Verdict:
    number = finite(told["value_num"])
    text = reader.shown(semconv.EVALUATION_EXPLANATION, told["value_text"])
    value = next((v for v in (number, text) if v is not None), None)
    if value is None and told["value_json"] is not None:
        value = plain(reader.redaction.text(told["value_json"]))
    return {
        "annotation_id": told["annotation_id"],
        "target": told["target"],
        "span_id": told["span_id"],
        "name": told["name"],
        "kind": told["kind"],
        "value": value,
        "source": told["source"],
        "annotator": reader.shown("annotator", told["annotator"]),
        "created": iso(told["created"]),
    }


# A run of the same task is an attempt by the id of the task alone: a text may be anything.
_RELATED: Final = f"""\
with near as (
    select trajectory_id, 'parent' as how from live.trajectories where trajectory_id = $parent
    union all
    select trajectory_id, 'child' from live.trajectories where parent_trajectory_id = $id
    union all
    select trajectory_id, 'conversation' from live.trajectories
        where conversation_id = $conversation
    union all
    select trajectory_id, 'task' from live.trajectories where task_id = $task
), first as (
    select trajectory_id, arg_min(how, list_position(['parent', 'child', 'conversation', 'task'],
        how)) as how
    from near where trajectory_id <> $id group by trajectory_id
)
select t.trajectory_id, how, relation, agent_name, start_time, outcome, outcome_source
from trajectories t join first using (trajectory_id)
order by list_position(['parent', 'child', 'conversation', 'task'], how), start_time desc,
    trajectory_id
limit {_MOST_RELATED}"""


def _related(cursor: duckdb.DuckDBPyConnection, run: Trajectory) -> list[dict[str, Any]]:
    return rows(
        cursor,
        _RELATED,
        {
            "id": run.trajectory_id,
            "parent": run.parent_trajectory_id,
            "conversation": run.conversation_id,
            "task": run.task_id,
        },
    )


def _relation(reader: Reader, told: Mapping[str, Any]) -> Related:
    return cast(
        Related,
        {
            **told,
            "agent_name": reader.shown("agent_name", told["agent_name"]),
            "start_time": iso(told["start_time"]),
        },
    )
