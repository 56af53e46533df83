"""`otel-traj demo`: real runs, recorded here and now, and a first look at them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_traj.cli.frame import default_store, examples, store_option

if TYPE_CHECKING:
    from otel_traj.demo import DemoResult
    from otel_traj.store import TrajectoryStore


@click.command(
    epilog=examples(
        "otel-traj demo --store /tmp/traces",
    )
)
@store_option
def command(store: Path) -> None:
    """Record real runs without key or network, and look at them.

    A coding agent, the official OpenAI SDK under OpenTelemetry instrumentation, repairs a small
    repository, against a model server of our own on loopback that answers from a script. Then the
    runs are listed, one is shown on a time axis, and three questions are asked in SQL.
    """
    from otel_traj import demo
    from otel_traj.store import open_store

    click.echo(f"Recording a coding agent into {store}", err=True)
    result = demo.run(store, on_progress=lambda line: click.echo(f"  {line}", err=True))
    opened = open_store(store)
    _runs(opened, result)
    _one_run(opened, result)
    for question in demo.QUESTIONS:
        _question(opened, question.title, question.sql)
    _next_steps(result)


def _heading(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)
    sys.stdout.flush()


def _runs(store: TrajectoryStore, result: DemoResult) -> None:
    from otel_traj.cli.list import print_table

    _heading(f"The runs, assembled from their spans ({_command('list', result.store)})")
    print_table(store, limit=len(result.trajectory_ids))


def _one_run(store: TrajectoryStore, result: DemoResult) -> None:
    from otel_traj.cli.show import print_lines
    from otel_traj.cli.table import terminal_width
    from otel_traj.cli.waterfall import waterfall

    _heading(f"One of them ({_command('show', result.store, result.shown_id[:8])})")
    print_lines(waterfall(store.trajectory(result.shown_id), width=terminal_width()))


def _question(store: TrajectoryStore, title: str, query: str) -> None:
    from otel_traj.cli.table import write_table
    from otel_traj.store.results import rows

    _heading(title)
    click.secho(query, dim=True)
    click.echo()
    write_table(rows(store.sql(query)), sys.stdout)


def _next_steps(result: DemoResult) -> None:
    _heading("Look further")
    claims = "select task_id, reward, final_answer from trajectories where reward < 1"
    for meaning, command_line in (
        ("The whole transcript of that run", _command("show", result.store, result.shown_id[:8])),
        ("What the agent claimed where tests fail", _command("sql", result.store, claims)),
        ("Questions that are ready to be asked", _command("analyze", result.store)),
        ("What the telemetry does not tell", _command("doctor", result.store)),
        ("All of it in the browser (needs the extra 'server')", _command("view", result.store)),
    ):
        click.echo(f"  {meaning}:\n    {command_line}")


def _command(name: str, store: Path, *arguments: str) -> str:
    """A command line to copy; the store is named only where it is not the default."""
    where = [] if store == default_store() else ["--store", str(store)]
    return shlex.join(["otel-traj", name, *arguments, *where])
