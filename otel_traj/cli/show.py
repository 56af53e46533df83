"""`otel-traj show`: one trajectory as a transcript and a waterfall."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from otel_traj.cli.frame import examples, store_option

if TYPE_CHECKING:
    from rich.text import Text

    from otel_traj.cli.transcript import Judgement
    from otel_traj.model import Trajectory
    from otel_traj.store import TrajectoryStore

MAX_LINES = 12
"""Lines of one text that are shown unless all is asked for."""


@click.command(
    epilog=examples(
        "otel-traj show 4bf92f35",
        "otel-traj show 4bf92f35 --full | less -R",
        "otel-traj show 4bf92f35 --format json | jq '.steps[] | select(.kind == \"tool\")'",
    )
)
@click.argument("trajectory_id", metavar="ID")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="text to read; json is one object, the header with its steps and file changes.",
)
@click.option(
    "--full", is_flag=True, help=f"Show long texts whole, not their first {MAX_LINES} lines."
)
@store_option
def command(trajectory_id: str, format_: Literal["text", "json"], full: bool, store: Path) -> None:
    """Show one trajectory as a transcript and a waterfall.

    ID is a trajectory's id or the beginning of it, at least 6 characters.
    """
    from otel_traj.store import open_store

    opened = open_store(store)
    run = opened.trajectory(trajectory_id)
    judgement = judgement_of(opened, run.trajectory_id)
    if format_ == "json":
        _write_json(run, judgement)
    else:
        write_text(run, judgement, max_lines=0 if full else MAX_LINES)


def judgement_of(store: TrajectoryStore, trajectory_id: str) -> Judgement | None:
    """What the view says of a trajectory's outcome; None when it is not in the view."""
    from otel_traj.cli.transcript import Judgement

    found = store.sql(
        "select outcome, outcome_source, reward, reward_source from trajectories"
        " where trajectory_id = $id",
        {"id": trajectory_id},
    ).fetchall()
    return Judgement(*found[0]) if found else None


def write_text(run: Trajectory, judgement: Judgement | None, *, max_lines: int) -> None:
    """Print the transcript and the waterfall to stdout, as wide as the terminal."""
    from rich.text import Text

    from otel_traj.cli.table import terminal_width
    from otel_traj.cli.transcript import Transcript
    from otel_traj.cli.waterfall import waterfall

    width = terminal_width()
    transcript = Transcript(run, width=width, max_lines=max_lines)
    print_lines(transcript.header(judgement))
    print_lines(transcript.steps())
    if bars := list(waterfall(run, width=width)):
        print_lines([Text(), *bars])
    if transcript.is_cut:
        click.echo("Long texts are cut; --full shows them whole.", err=True)


def print_lines(lines: Iterable[Text]) -> None:
    """Print lines to stdout as they are, coloured where it is a terminal."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line)


def _write_json(run: Trajectory, judgement: Judgement | None) -> None:
    from otel_traj.store.results import json_text

    row = dataclasses.asdict(run)
    steps, file_changes = row.pop("steps"), row.pop("file_changes")
    row["duration_s"] = run.duration_s
    if judgement is not None:
        row |= {
            "outcome": judgement.outcome,
            "outcome_source": judgement.source,
            "reward": judgement.reward,
            "reward_source": judgement.reward_source,
        }
    click.echo(json_text({**row, "steps": steps, "file_changes": file_changes}))
