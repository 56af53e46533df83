"""`otel-traj top`: what agents do now, again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.cli.retain import Read
from otel_traj.words import count, duration
from otel_traj_analysis import values

if TYPE_CHECKING:
    from rich.console import RenderableType

    from otel_traj_analysis.now import Now

MOST_RUNS: Final = 15
"""Open runs that are shown, those silent for longest first."""

WIDEST: Final = 160
"""Cells per line where no terminal says how many."""

AGENT_COLUMNS: Final = {
    "agent_name": "agent",
    "n_running": "running",
    "n_hung": "hung",
    "n_open_steps": "open steps",
    "n_ended": "ended",
    "ended_per_min": "/min",
    "success_rate": "succeed",
    "n_judged": "of judged",
    "broken_rate": "broken",
    "tool_error_rate": "tool errors",
    "median_run_s": "median",
    "p95_run_s": "95 %",
    "p95_model_call_s": "model 95 %",
    "cost_usd": "cost",
}
RUN_COLUMNS: Final = {
    "state": "state",
    "trajectory_id": "run",
    "agent_name": "agent",
    "elapsed_s": "runs for",
    "silent_s": "silent for",
    "step": "in step",
    "name": "of",
    "task": "task",
}
"""Column -> its title."""

TEXTS: Final = frozenset({"agent_name", "state", "trajectory_id", "name", "task"})


@click.command(
    epilog=examples(
        "otel-traj top",
        "otel-traj top --agent support --window 15m --every 5s",
        "otel-traj top --once --format json | jq .all.n_hung",
    )
)
@click.argument(
    "folder",
    metavar="[STORE]",
    required=False,
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option("--agent", metavar="NAME", help="Only runs of this agent.")
@click.option(
    "--window",
    type=Read("duration"),
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How far back runs that ended count: 15m, 1h, 7d.",
)
@click.option(
    "--hung-after",
    type=Read("duration"),
    default="10m",
    show_default=True,
    metavar="TIME",
    help="Silence after which an open run hangs.",
)
@click.option(
    "--every",
    type=Read("duration"),
    default="2s",
    show_default=True,
    metavar="TIME",
    help="How often to look.",
)
@click.option("--once", is_flag=True, help="Look once; so it is where stdout is no terminal.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="json: one object per look, in a line.",
)
@store_option
def command(
    folder: Path | None,
    agent: str | None,
    window: timedelta,
    hung_after: timedelta,
    every: timedelta,
    once: bool,
    format_: Literal["table", "json"],
    store: Path,
) -> None:
    """Show what agents do now: running, hung, how many, how well.

    Rates and times are those of the runs that ended lately, see --window; success is of those that
    somebody judged. Ctrl-C ends it. Others may write to the store meanwhile.
    """
    from otel_traj.store import open_store
    from otel_traj_analysis import now

    opened = open_store(folder or store)

    def look() -> Now:
        return now.look(opened, agent=agent, window=window, hung_after=hung_after)

    if format_ == "json":
        _print_json(look, None if once else every)
    elif once or not sys.stdout.isatty():
        _print_once(look())
    else:
        _show(look, every)


# --- for programs --------------------------------------------------------------------------------


def _print_json(look: Callable[[], Now], every: timedelta | None) -> None:
    from otel_traj.store.results import json_text

    while True:
        click.echo(json_text(look().as_json()))
        if every is None:
            return
        time.sleep(every.total_seconds())


# --- for eyes ------------------------------------------------------------------------------------


def _print_once(now: Now) -> None:
    from rich.console import Console

    from otel_traj.cli.table import terminal_width

    Console(width=max(terminal_width(), WIDEST) if not sys.stdout.isatty() else None).print(
        _screen(now)
    )


def _show(look: Callable[[], Now], every: timedelta) -> None:
    from rich.live import Live

    with Live(_screen(look()), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every.total_seconds())
            live.update(_screen(look()), refresh=True)


def _screen(now: Now) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines: list[RenderableType] = [Text(line) for line in _headline(now)]
    if now.agents:
        lines += [Text(), _table(AGENT_COLUMNS, now.agents)]
    if now.open_runs:
        lines += [Text(), _table(RUN_COLUMNS, now.open_runs[:MOST_RUNS])]
    if more := len(now.open_runs) - MOST_RUNS:
        lines += [Text(f"and {more:,} more")] if more > 0 else []
    return Group(*lines)


def _headline(now: Now) -> Iterator[str]:
    """The figures of all agents together, in two lines."""
    ago = duration(round(now.window.total_seconds() * 1e6))
    at = f"{now.time:%Y-%m-%d %H:%M:%S} UTC"
    if now.overall is None:
        yield f"{at}: nothing runs, and nothing ended in the last {ago}."
        return
    of = {column: values.text(column, value) for column, value in now.overall.items()}
    yield (
        f"{at}: {of['n_running']} running, {of['n_hung']} hung,"
        f" {count(now.overall['n_open_steps'], 'open step')}"
    )
    yield (
        f"last {ago}: {of['n_ended']} ended ({of['ended_per_min']}/min), {of['n_broken']} of them"
        f" broken; {of['n_success']} of {of['n_judged']} judged succeed ({of['success_rate']});"
        f" median {of['median_run_s']}, 95 % below {of['p95_run_s']}"
    )
    yield f"cost: {of['cost_usd']}, unknown of {count(now.overall['n_cost_unknown'], 'run')}"


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, title in columns.items():
        is_text = column in TEXTS
        table.add_column(
            title,
            justify="left" if is_text else "right",
            no_wrap=True,
            overflow="ellipsis" if is_text else "fold",
        )
    for row in rows:
        style = "red" if row.get("n_hung") or row.get("state") == "hung" else None
        cells = (Text(values.text(column, row[column])) for column in columns)
        table.add_row(*cells, style=style)
    return table
