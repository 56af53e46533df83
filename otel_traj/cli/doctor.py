"""`otel-traj doctor`: what the telemetry does not tell, and what would make it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.cli.safety import visible
from otel_traj.cli.words import count, when

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

OVERVIEW: Final = """\
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

DIALECTS: Final = """\
with told as (select trajectory_id, n_spans, unnest(dialects) as dialect from trajectories)
select dialect, count(*) as runs, sum(n_spans) as spans
from told
where $id is null or trajectory_id = $id
group by dialect
order by runs desc, dialect"""

REPAIRS: Final = """\
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

GAPS: Final = """\
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

GRADES: Final = """\
select coalesce(grade_reason, 'not said') as reason, count(*) as steps,
  count(distinct trajectory_id) as runs
from steps
where ($id is null or trajectory_id = $id) and grade <> 'A'
group by grade_reason
order by steps desc, reason
limit 5"""

MEANINGS: Final = {
    "content": ("call", "of models and tools without recorded content"),
    "cut": ("value", "cut before it came"),
    "parent": ("span", "whose parent never came"),
    "dropped span": ("span", "lost in the recording process"),
    "dropped attribute": ("attribute", "dropped by limits of the SDK"),
    "tokens": ("model call", "without token counts"),
}
"""Gap -> what is counted, and what is wrong with it."""

FIXES: Final = {
    "cut": "raise or unset OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT and "
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "parent": "export every span of a trace (no sampling of single spans), and flush at exit",
    "dropped span": "raise OTEL_BSP_MAX_QUEUE_SIZE, or record with otel_traj.instrument()",
    "dropped attribute": "raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT and OTEL_ATTRIBUTE_COUNT_LIMIT",
    "tokens": "ask for usage when streaming: stream_options={'include_usage': True} at OpenAI",
}

CONTENT_SWITCHES: Final = {
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


@click.command(
    epilog=examples("otel-traj doctor", "otel-traj doctor 4bf92f35 --store /data/traces")
)
@click.argument("trajectory_id", metavar="[ID]", required=False)
@store_option
def command(trajectory_id: str | None, store: Path) -> int:
    """Say what telemetry is missing or was repaired.

    Over the whole store, or of the one trajectory ID: which dialects its spans speak, which repairs
    were made with which confidence, what is missing, and the setting that closes each gap. Exit
    status 1 means that something is missing; repairs are none of that.
    """
    from otel_traj.store import open_store

    opened = open_store(store)
    if trajectory_id is not None:
        trajectory_id = opened.trajectory(trajectory_id).trajectory_id
    answers = _Answers(opened, trajectory_id)
    _overview(answers.rows(OVERVIEW)[0])
    answers.table("Dialects", DIALECTS)
    answers.table("Repairs, with their lowest confidence", REPAIRS)
    answers.table("Why steps cannot be replayed exactly", GRADES)
    gaps = answers.rows(GAPS)
    _gaps(gaps)
    return FOUND_PROBLEMS if gaps else DONE


class _Answers:
    """Asks about all trajectories, or about one."""

    def __init__(self, store: TrajectoryStore, trajectory_id: str | None) -> None:
        self._store = store
        self._parameters = {"id": trajectory_id}

    def rows(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            self._store.sql(query, self._parameters).to_arrow_table().to_pylist()
        )
        return found

    def table(self, title: str, query: str) -> None:
        """Print the rows of a query under a title; nothing where there are none."""
        from otel_traj.cli.rows import rows
        from otel_traj.cli.table import write_table

        relation = self._store.sql(query, self._parameters)
        if relation.limit(1).fetchall():
            _title(title)
            write_table(rows(relation), sys.stdout)


def _title(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def _overview(row: dict[str, Any]) -> None:
    if not row["n_runs"]:
        click.echo("No trajectories.")
        return
    since, until = when(row["earliest"]), when(row["latest"])
    spans = count(row["n_spans"], "span")
    click.echo(f"{count(row['n_runs'], 'trajectory')} of {spans}, {since} to {until} UTC")
    if row["n_outside"]:
        click.echo(f"{count(row['n_outside'], 'span')} more belong to no trajectory")
    if row["n_open"]:
        click.echo(f"{row['n_open']:,} still open, or cut off")
    if row["n_unjudged"]:
        click.echo(
            f"{row['n_unjudged']:,} without an outcome: nobody judged them "
            "(run.outcome(...), otel-traj annotate, or rules.toml)"
        )


def _gaps(gaps: Sequence[dict[str, Any]]) -> None:
    _title("Missing")
    if not gaps:
        click.echo("nothing")
    for row in gaps:
        noun, what = MEANINGS[row["gap"]]
        click.echo(f"{count(row['times'], noun)} {what}, in {count(row['runs'], 'run')}")
        for fix in _fixes(row["gap"], row["dialects"] or ()):
            click.echo(f"  → {visible(fix)}")


def _fixes(gap: str, dialects: Sequence[str]) -> list[str]:
    if gap != "content":
        return [FIXES[gap]]
    known = [f"{name}: {CONTENT_SWITCHES[name]}" for name in dialects if name in CONTENT_SWITCHES]
    return known or ["switch content on in the instrumentation"]
