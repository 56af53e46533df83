"""`otel-traj list`: trajectories, newest first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.cli.output import Format, emit, format_option, output_option
from otel_traj.cli.words import us_since, when
from otel_traj.words import duration

if TYPE_CHECKING:
    from otel_traj.store import TrajectoryStore

SHOWN: Final = 50
"""Trajectories in a table unless a limit is given; the other formats have no limit of their own."""

OUTCOMES: Final = ("success", "failure", "partial", "error", "unknown")
STATUSES: Final = ("open", "completed", "error", "aborted", "timeout")

QUERY: Final = """\
select
  trajectory_id, start_time, agent_name, coalesce(task, user_input) as task, task_id,
  status, outcome, outcome_source, reward, duration_s, n_steps, n_turns, n_llm, n_tools,
  n_handoffs, n_errors, input_tokens, output_tokens, cost_usd, conversation_id, trace_ids
from trajectories
where ($agent is null or agent_name = $agent or list_contains(agents, $agent))
  and ($task is null or task_id = $task
    or contains(lower(coalesce(task, user_input)), lower($task)))
  and ($outcome is null or outcome = $outcome)
  and ($status is null or status = $status)
  and (not $unjudged or outcome_source = 'builtin')
order by start_time desc, trajectory_id"""

COLUMNS: Final = (
    ("id", False),
    ("started (UTC)", False),
    ("agent", False),
    ("task", False),
    ("ended", False),
    ("took", True),
    ("steps", True),
    ("errors", True),
    ("tokens", True),
)
"""Columns of the table, and whether they hold numbers; a narrow terminal shows the first six."""

ID_CELLS: Final = 10
"""Characters of an id on a terminal: with 100,000 runs, two share them once in 200 stores."""

_WIDE: Final = 100
_NARROW_COLUMNS: Final = 6


@click.command(
    epilog=examples(
        "otel-traj list",
        "otel-traj list --agent support --outcome failure --limit 5",
        "otel-traj list --format json | jq -r '.[].trajectory_id'",
    )
)
@click.option("--agent", metavar="NAME", help="Only runs in which this agent acted.")
@click.option("--task", metavar="TEXT", help="Only runs with this task id, or this in their task.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only runs that were this good.")
@click.option("--status", type=click.Choice(STATUSES), help="Only runs that ended like this.")
@click.option("--unjudged", is_flag=True, help="Only runs whose outcome nobody, and no rule, told.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"At most so many.  [default: {SHOWN} in a table, else all]",
)
@format_option
@output_option
@store_option
def command(
    agent: str | None,
    task: str | None,
    outcome: str | None,
    status: str | None,
    unjudged: bool,
    limit: int | None,
    format_: Format,
    output: Path | None,
    store: Path,
) -> None:
    """List trajectories, newest first.

    In the table, "ended" is the outcome where somebody judged the run, else its status, and a run
    that is still open shows for how long. The other formats have more columns, and both apart.
    """
    from otel_traj.store import open_store

    opened = open_store(store)
    filters = {"agent": agent, "task": task, "outcome": outcome, "status": status}
    if format_ == "table" and output is None:
        print_table(opened, limit=SHOWN if limit is None else limit, unjudged=unjudged, **filters)
    else:
        emit(opened.sql(QUERY, {**filters, "unjudged": unjudged}), format_, output, limit=limit)


def print_table(
    store: TrajectoryStore,
    *,
    limit: int,
    agent: str | None = None,
    task: str | None = None,
    outcome: str | None = None,
    status: str | None = None,
    unjudged: bool = False,
) -> None:
    """Print trajectories for eyes; stderr says where there are more than the limit, or none."""
    from otel_traj.cli.table import terminal_width, write_table
    from otel_traj.store.results import Rows

    filters = {
        "agent": agent,
        "task": task,
        "outcome": outcome,
        "status": status,
        "unjudged": unjudged,
    }
    found = store.sql(QUERY, filters).limit(limit + 1).to_arrow_table().to_pylist()
    is_narrow = sys.stdout.isatty() and terminal_width() < _WIDE
    columns = COLUMNS[: _NARROW_COLUMNS if is_narrow else None]
    names, is_number = zip(*columns, strict=True)
    rows = [_cells(row)[: len(columns)] for row in found[:limit]]
    write_table(Rows(names, is_number, rows), sys.stdout, flexible={"agent", "task"})
    if len(found) > limit:
        click.echo(f"These are the newest {limit}; --limit shows more.", err=True)
    elif not found:
        click.echo("No trajectories.", err=True)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    ended = row["status"] if row["outcome_source"] == "builtin" else row["outcome"]
    took = None if row["duration_s"] is None else round(row["duration_s"] * 1e6)
    if row["status"] == "open":
        ended, took = "open", us_since(row["start_time"])
    tokens = [n for n in (row["input_tokens"], row["output_tokens"]) if n is not None]
    return (
        row["trajectory_id"][:ID_CELLS] if sys.stdout.isatty() else row["trajectory_id"],
        when(row["start_time"])[:-3],
        row["agent_name"] or "",
        row["task"] or "",
        ended,
        duration(took),
        f"{row['n_steps']:,}",
        f"{row['n_errors']:,}" if row["n_errors"] else "",
        f"{sum(tokens):,}" if tokens else "",
    )
