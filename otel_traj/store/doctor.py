"""What the telemetry of a store does not tell, what was repaired, and what would close each gap.

Every question is one SELECT over the public views, of the whole store or of one trajectory; a gap
comes with the very setting of the instrumentations at work that closes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import duckdb

    from otel_traj.store import TrajectoryStore

_OVERVIEW: Final = """\
select
  count(*) as n_runs,
  count(*) filter (where status = 'open') as n_open,
  count(*) filter (where outcome_source = 'builtin') as n_unjudged,
  coalesce(sum(n_spans), 0)::bigint as n_spans,
  min(start_time) as earliest,
  max(start_time) as latest,
  (select count(*) from spans where $id is null and trajectory_id is null) as n_outside
from trajectories
where $id is null or trajectory_id = $id"""

_DIALECTS: Final = """\
with told as (select trajectory_id, n_spans, unnest(dialects) as dialect from trajectories)
select dialect, count(*) as runs, sum(n_spans) as spans
from told
where $id is null or trajectory_id = $id
group by dialect
order by runs desc, dialect"""

_REPAIRS: Final = """\
with applied as (select trajectory_id, unnest(repairs) as repair from trajectories)
select
  repair.rule as repair,
  sum(repair.count) as times,
  count(*) as runs,
  min(repair.confidence) as confidence
from applied
where $id is null or trajectory_id = $id
group by repair.rule
order by times desc, repair"""

_GAPS: Final = """\
with lacking as (
  from trajectories
  select
    trajectory_id,
    dialects,
    unnest(map_entries(map {
      'content': n_missing_content,
      'cut': n_truncated,
      'parent': n_orphans,
      'dropped span': n_dropped_spans,
      'dropped attribute': n_dropped_attributes
    })) as gap
  union all
  select steps.trajectory_id, dialects, {'key': 'tokens', 'value': count(*)}
  from steps join trajectories using (trajectory_id)
  where kind = 'llm' and steps.status = 'ok'
    and steps.input_tokens is null and steps.output_tokens is null
  group by all
)
select
  gap.key as gap,
  sum(gap.value)::bigint as times,
  count(*) as runs,
  list_sort(list_distinct(flatten(list(dialects)))) as dialects
from lacking
where ($id is null or trajectory_id = $id) and gap.value > 0
group by gap.key
order by times desc, gap"""

_GRADES: Final = """\
select coalesce(grade_reason, 'not said') as reason, count(*) as steps,
  count(distinct trajectory_id) as runs
from steps
where ($id is null or trajectory_id = $id) and grade <> 'A'
group by grade_reason
order by steps desc, reason
limit 5"""

_MEANINGS: Final = {
    "content": ("call", "of models and tools without recorded content"),
    "cut": ("value", "cut before it came"),
    "parent": ("span", "whose parent never came"),
    "dropped span": ("span", "lost in the recording process"),
    "dropped attribute": ("attribute", "dropped by limits of the SDK"),
    "tokens": ("model call", "without token counts"),
}
"""Gap -> what is counted, and what is wrong with it."""

_FIXES: Final = {
    "cut": "raise or unset OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT and "
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "parent": "export every span of a trace (no sampling of single spans), and flush at exit",
    "dropped span": "raise OTEL_BSP_MAX_QUEUE_SIZE, or record with otel_traj.instrument()",
    "dropped attribute": "raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT and OTEL_ATTRIBUTE_COUNT_LIMIT",
    "tokens": "ask for usage when streaming: stream_options={'include_usage': True} at OpenAI",
}

_CONTENT_SWITCHES: Final = {
    "otel": "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY",
    "otel-1.36": "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true, and export logs",
    "openinference": "unset OPENINFERENCE_HIDE_INPUTS and OPENINFERENCE_HIDE_OUTPUTS",
    "traceloop": "unset TRACELOOP_TRACE_CONTENT, or set it to true",
    "agent-framework": "ENABLE_SENSITIVE_DATA=true",
    "claude-code": "OTEL_LOG_USER_PROMPTS=1 OTEL_LOG_TOOL_DETAILS=1 OTEL_LOG_TOOL_CONTENT=1 "
    "OTEL_LOG_ASSISTANT_RESPONSES=1",
    "pydantic-ai": "InstrumentationSettings(include_content=True)",
}
"""Dialect -> the switch of its instrumentors that lets them record what was said."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is missing.

    `noun` is what `times` counts, `what` what is wrong with it, `runs` in how many trajectories;
    `fixes` are settings, one of which each instrumentation concerned needs.
    """

    noun: str
    what: str
    times: int
    runs: int
    fixes: tuple[str, ...]


class Diagnosis:
    """The findings on a store, or on one of its trajectories; each is asked for when read."""

    def __init__(self, store: TrajectoryStore, trajectory_id: str | None = None) -> None:
        """Prepare to ask.

        Args:
            store: Only read.
            trajectory_id: The whole id of one trajectory; None for all of them.
        """
        self._store = store
        self._parameters = {"id": trajectory_id}

    def overview(self) -> dict[str, Any]:
        """One row: n_runs, n_open, n_unjudged, n_spans, earliest, latest, n_outside."""
        return self._rows(_OVERVIEW)[0]

    def dialects(self) -> duckdb.DuckDBPyRelation:
        """One row per dialect: runs and spans that speak it."""
        return self._ask(_DIALECTS)

    def repairs(self) -> duckdb.DuckDBPyRelation:
        """One row per repair rule: times, runs, lowest confidence."""
        return self._ask(_REPAIRS)

    def grades(self) -> duckdb.DuckDBPyRelation:
        """The commonest reasons why steps cannot be replayed exactly: steps and runs."""
        return self._ask(_GRADES)

    def gaps(self) -> list[Gap]:
        """What is missing, most first; repairs are none of that."""
        return [
            Gap(
                *_MEANINGS[row["gap"]],
                times=row["times"],
                runs=row["runs"],
                fixes=_fixes(row["gap"], row["dialects"] or ()),
            )
            for row in self._rows(_GAPS)
        ]

    def _ask(self, query: str) -> duckdb.DuckDBPyRelation:
        return self._store.sql(query, self._parameters)

    def _rows(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask(query).to_arrow_table().to_pylist()
        return found


def _fixes(gap: str, dialects: Sequence[str]) -> tuple[str, ...]:
    if gap != "content":
        return (_FIXES[gap],)
    known = tuple(
        f"{name}: {_CONTENT_SWITCHES[name]}" for name in dialects if name in _CONTENT_SWITCHES
    )
    return known or ("switch content on in the instrumentation",)
