"""What the telemetry of a store does not tell, what was repaired, and what would close each gap.

Every question is one SELECT over the public views, of the whole store or of one trajectory. A gap
comes with the settings that close it, each of the instrumentation that left it
(`otel_traj.dialects.settings`). The counts of one trajectory are columns of `trajectories`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_traj import semconv
from otel_traj.dialects import settings

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

_OVERVIEW: Final = """\
select
  count(*) as n_runs,
  coalesce(sum(n_spans), 0)::bigint as n_spans,
  min(start_time) as earliest,
  max(start_time) as latest,
  (select count(*) from spans where $id is null and trajectory_id is null) as n_outside,
  count(*) filter (where status = 'open') as n_open,
  coalesce(sum(n_open), 0)::bigint as n_open_spans,
  count(*) filter (where outcome_source = 'builtin') as n_unjudged,
  coalesce(sum(n_late), 0)::bigint as n_late,
  coalesce(sum(n_duplicates), 0)::bigint as n_duplicates
from trajectories
where $id is null or trajectory_id = $id"""

# What was heard of a run last: the end of a span, or the start of one that has not ended.
_OPEN: Final = """\
with running as (
  select trajectory_id, agent_name, start_time from trajectories
  where status = 'open' and ($id is null or trajectory_id = $id)
), heard as (
  select trajectory_id, start_time as moment from running
  union all
  select trajectory_id, coalesce(end_time, start_time) from spans semi join running
    using (trajectory_id)
  union all
  select trajectory_id, start_time from steps semi join running using (trajectory_id)
    where status = 'open'
), waiting as (
  select trajectory_id,
    arg_max({'kind': kind, 'name': coalesce(tool_name, model, handoff_to)}, step) as step
  from steps semi join running using (trajectory_id)
  where status = 'open'
  group by trajectory_id
)
select trajectory_id, agent_name, max(moment) as last_heard,
  step.kind as waits_for, step.name as waits_for_name
from running join heard using (trajectory_id) left join waiting using (trajectory_id)
group by all
order by last_heard, trajectory_id"""

_DIALECTS: Final = """\
with told as (select trajectory_id, n_spans, unnest(dialects) as dialect from trajectories)
select dialect, count(*) as runs, sum(n_spans)::bigint as spans
from told
where $id is null or trajectory_id = $id
group by dialect
order by runs desc, dialect"""

_REPAIRS: Final = """\
with applied as (select trajectory_id, unnest(repairs) as repair from trajectories)
select
  repair.rule as repair,
  sum(repair.count)::bigint as times,
  count(*) as runs,
  min(repair.confidence) as confidence
from applied
where $id is null or trajectory_id = $id
group by repair.rule
order by confidence, times desc, repair"""

_GRADES: Final = """\
select grade, count(*) as runs
from trajectories
where ($id is null or trajectory_id = $id) and grade is not null
group by grade
order by grade"""

_REASONS: Final = """\
select grade, kind,
  case when $id is null then split_part(grade_reason, ':', 1) else grade_reason end as reason,
  count(*) as steps,
  count(distinct trajectory_id) as runs,
  case when $id is not null then list(step order by step) end as positions
from steps
where ($id is null or trajectory_id = $id) and grade <> 'A'
group by all
order by grade desc, steps desc, reason, kind"""

# A scope whose model calls tell no content in a whole run was not allowed to; one that tells some
# could not tell the rest. A failed call proves nothing, and where values were cut, that was it.
_BY_SCOPE: Final = """\
with judged as (
  select s.trajectory_id, s.kind, scope_name, scope_version,
    coalesce(scope_name, '') as scope,
    s.grade < 'D' and not starts_with(coalesce(s.grade_reason, ''), 'messages without') as is_told,
    s.grade = 'D' and s.status = 'ok' and t.n_truncated = 0 as is_untold,
    s.status = 'ok' and s.input_tokens is null and s.output_tokens is null as has_no_tokens,
    t.dialects
  from steps s join trajectories t using (trajectory_id)
  left join spans on spans.trace_id = s.trace_id and spans.span_id = s.span_id
  where ($id is null or s.trajectory_id = $id) and s.kind in ('llm', 'tool')
), scopes as (
  select trajectory_id, scope, not bool_or(is_told) filter (
      kind = 'llm' or scope not in (select scope from judged where kind = 'llm')
    ) as is_silent
  from judged group by trajectory_id, scope
), found as (
  select *, case
      when is_told then null
      when is_silent then 'content'
      when is_untold then kind
    end as gap
  from judged join scopes using (trajectory_id, scope)
  union all
  select *, 'tokens' from judged join scopes using (trajectory_id, scope)
  where kind = 'llm' and has_no_tokens
)
select gap, trajectory_id, count(*) as times, scope_name, scope_version, dialects
from found where gap is not null
group by all
order by all"""

_BY_RUN: Final = """\
with counts as (
  select trajectory_id, dialects, unnest(map_entries(map {
    'cut': n_truncated, 'parent': n_orphans, 'dropped span': n_dropped_spans
  })) as gap
  from trajectories
  where $id is null or trajectory_id = $id
)
select gap.key as gap, trajectory_id, gap.value as times, dialects
from counts where gap.value > 0
order by all"""

_BY_SPAN: Final = """\
with counts as (
  select trajectory_id, unnest(map_entries(map {
    'dropped attribute': dropped_attributes,
    'dropped event': dropped_events,
    'dropped link': dropped_links
  })) as gap
  from spans
  where ($id is null and trajectory_id is not null) or trajectory_id = $id
)
select gap.key as gap, trajectory_id, sum(gap.value)::bigint as times, max(gap.value) as most
from counts where gap.value > 0
group by all
order by all"""

_LENGTHS: Final = """\
with cut as (
  select unnest(map_entries(attributes::json::map(varchar, json))) as attribute
  from spans
  where (($id is null and trajectory_id is not null) or trajectory_id = $id)
    and contains(attributes, $prefix)
)
select substr(attribute.key, length($prefix) + 1) as key, count(*) as times,
  max(try_cast(attribute.value as bigint)) as longest
from cut where starts_with(attribute.key, $prefix)
group by key
order by times desc, key"""

_MEANINGS: Final = {
    "content": ("step", "whose content is not recorded"),
    "llm": ("model call", "whose messages are not told, though others are"),
    "tool": ("tool call", "whose arguments or result are not told, though model calls are"),
    "cut": ("value", "cut before it came"),
    "tokens": ("model call", "without token counts"),
    "parent": ("span", "whose parent never came"),
    "dropped span": ("span", "lost in the recording process"),
    "dropped attribute": ("attribute", "dropped by limits of the SDK"),
    "dropped event": ("span event", "dropped by limits of the SDK"),
    "dropped link": ("span link", "dropped by limits of the SDK"),
}
"""Gap -> what is counted, and what is wrong with it; those that cost most first."""

_GENERAL: Final = {
    "content": "switch on the recording of content in this instrumentation",
    "tool": "decorate the tools with otel_traj.tool, which records both",
    "tokens": "ask for usage when streaming: stream_options={'include_usage': True} at OpenAI",
    "cut": "raise or unset OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
    " and OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "parent": "export every span of a trace (no sampling of single spans), and flush at exit",
    "dropped span": "record to a faster disk: the queue of the recording process was full",
    "dropped attribute": "raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT by {most} or more (128 if unset)",
    "dropped event": "raise OTEL_SPAN_EVENT_COUNT_LIMIT by {most} or more (128 if unset)",
    "dropped link": "raise OTEL_SPAN_LINK_COUNT_LIMIT by {most} or more (128 if unset)",
}
"""Gap -> what closes it where the instrumentation has no setting of its own for it."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What closes a gap, or a part of it.

    Attributes:
        source: Whose setting it is; None where it is nobody's in particular.
        setting: What to set or do.
        times: How much of the gap it closes.
        runs: In how many trajectories.
    """

    source: str | None
    setting: str
    times: int
    runs: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is missing.

    Attributes:
        name: Its name, for programs.
        noun: What `times` counts.
        what: What is wrong with it.
        times: How often.
        runs: In how many trajectories.
        remedies: What closes it, most first.
        details: More of it, in words.
    """

    name: str
    noun: str
    what: str
    times: int
    runs: int
    remedies: tuple[Remedy, ...]
    details: tuple[str, ...] = ()


class Diagnosis:
    """The findings on a store, or on one of its trajectories; each is asked for when read."""

    def __init__(self, store: TrajectoryStore, trajectory_id: str | None = None) -> None:
        """Prepare to ask.

        Args:
            store: Only read.
            trajectory_id: The whole id of one trajectory; None for all of them.
        """
        self._store = store
        self._trajectory_id = trajectory_id

    def overview(self) -> dict[str, Any]:
        """One row.

        n_runs, n_spans, earliest, latest, n_outside, n_open, n_open_spans, n_unjudged, n_late,
        n_duplicates.
        """
        return self._rows(_OVERVIEW)[0]

    def open_runs(self) -> list[dict[str, Any]]:
        """Per trajectory that has not ended, those first of which nothing was heard for longest.

        trajectory_id, agent_name, last_heard, waits_for and waits_for_name: kind and name of the
        step that runs, None between steps and where only ended spans are told.
        """
        return self._rows(_OPEN)

    def dialects(self) -> list[dict[str, Any]]:
        """Per dialect: the runs that speak it, and their spans."""
        return self._rows(_DIALECTS)

    def repairs(self) -> list[dict[str, Any]]:
        """Per repair rule: times, runs, lowest confidence; the least sure first."""
        return self._rows(_REPAIRS)

    def grades(self) -> list[dict[str, Any]]:
        """Per grade: runs."""
        return self._rows(_GRADES)

    def reasons(self) -> list[dict[str, Any]]:
        """Why steps cannot be replayed exactly, worst grade first.

        Per grade, kind of step and reason: steps, runs; of one trajectory, which steps.
        """
        return self._rows(_REASONS)

    def gaps(self) -> list[Gap]:
        """What is missing, what costs most first; repairs are none of that."""
        found = [row for query in (_BY_SCOPE, _BY_RUN, _BY_SPAN) for row in self._rows(query)]
        gaps = []
        for name, (noun, what) in _MEANINGS.items():
            rows = [row for row in found if row["gap"] == name]
            if rows:
                gaps.append(
                    Gap(
                        name,
                        noun,
                        what,
                        times=sum(row["times"] for row in rows),
                        runs=_runs(rows),
                        remedies=_remedies(name, rows),
                        details=self._lengths() if name == "cut" else (),
                    )
                )
        return gaps

    def to_json(self) -> dict[str, Any]:
        """All of it, as values that JSON has words for, times excepted."""
        return {
            "trajectory_id": self._trajectory_id,
            "overview": self.overview(),
            "open_runs": self.open_runs(),
            "gaps": [dataclasses.asdict(gap) for gap in self.gaps()],
            "grades": self.grades(),
            "reasons": self.reasons(),
            "repairs": self.repairs(),
            "dialects": self.dialects(),
        }

    def _lengths(self) -> tuple[str, ...]:
        """How long cut values were, where it was recorded."""
        rows = self._rows(_LENGTHS, prefix=semconv.TRUNCATED_PREFIX)
        return tuple(
            f"{row['key']}: {row['times']:,}, the longest had {row['longest']:,} bytes"
            for row in rows
            if row["longest"] is not None
        )

    def _rows(self, query: str, **parameters: str) -> list[dict[str, Any]]:
        relation = self._store.sql(query, {"id": self._trajectory_id, **parameters})
        found: list[dict[str, Any]] = relation.to_arrow_table().to_pylist()
        return found


def _runs(rows: Iterable[dict[str, Any]]) -> int:
    return len({row["trajectory_id"] for row in rows})


def _remedies(gap: str, rows: list[dict[str, Any]]) -> tuple[Remedy, ...]:
    """What closes a gap, most first; rows that nothing closes are in none."""
    parts: dict[tuple[str | None, str], list[dict[str, Any]]] = {}
    most = max(row.get("most") or 0 for row in rows)
    for row in rows:
        source, setting = _setting(gap, row)
        if setting is not None:
            parts.setdefault((source, setting.replace("{most}", f"{most:,}")), []).append(row)
    remedies = [
        Remedy(*key, times=sum(row["times"] for row in own), runs=_runs(own))
        for key, own in parts.items()
    ]
    return tuple(sorted(remedies, key=lambda r: (-r.times, r.source or "", r.setting)))


def _setting(gap: str, row: dict[str, Any]) -> tuple[str | None, str | None]:
    """Whose setting closes this part of a gap, and which; None for none."""
    scope = row.get("scope_name")
    who = settings.instrumentation_of(scope, row.get("scope_version"), row.get("dialects") or ())
    own = who.settings.get(gap) if who is not None else None
    if own is not None and who is not None:
        return who.name, own
    by_scope = gap in ("content", "tokens")
    return (who.name if who is not None else scope) if by_scope else None, _GENERAL.get(gap)
