"""`otel-traj doctor`: what the telemetry does not tell, and what would make it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.cli.words import us_since, when
from otel_traj.safety import visible
from otel_traj.words import count, duration

if TYPE_CHECKING:
    from otel_traj.store.doctor import Diagnosis, Gap

_MAX_ROWS: Final = 8
"""Rows of one list in the text; JSON has all."""


@click.command(
    epilog=examples(
        "otel-traj doctor",
        "otel-traj doctor 4bf92f35 --store /data/traces",
        "otel-traj doctor --format json | jq '.gaps[].remedies[].setting'",
    )
)
@click.argument("trajectory_id", metavar="[ID]", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="text to read; json is one object with everything that was found.",
)
@store_option
def command(trajectory_id: str | None, format_: Literal["text", "json"], store: Path) -> int:
    """Say what telemetry is missing or was repaired.

    Over the whole store, or of the one trajectory ID: which runs have not ended, and since when
    nothing has been heard of them; what is missing and the setting of the instrumentation that
    closes each gap, how far runs can be replayed, which repairs were made with which confidence,
    and which dialects are spoken. Exit status 1 means that something is missing;
    repairs are none of that.
    """
    from otel_traj.store import open_store
    from otel_traj.store.doctor import Diagnosis

    opened = open_store(store)
    if trajectory_id is not None:
        trajectory_id = opened.trajectory(trajectory_id).trajectory_id
    diagnosis = Diagnosis(opened, trajectory_id)
    if format_ == "json":
        found = diagnosis.to_json()
        _write_json(found)
        return FOUND_PROBLEMS if found["gaps"] else DONE
    gaps = diagnosis.gaps()
    _overview(diagnosis.overview())
    _open_runs(diagnosis.open_runs())
    _gaps(gaps)
    _grades(diagnosis, is_one_run=trajectory_id is not None)
    _repairs(diagnosis.repairs())
    _dialects(diagnosis.dialects())
    return FOUND_PROBLEMS if gaps else DONE


def _write_json(found: dict[str, Any]) -> None:
    from otel_traj.store.results import json_text

    click.echo(json_text(found))


def _title(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def _table(names: tuple[str, ...], values: Sequence[Sequence[Any]]) -> None:
    from otel_traj.cli.table import write_table
    from otel_traj.store.results import Rows

    is_number = tuple(not isinstance(value, str) for value in values[0])
    write_table(Rows(names, is_number, values[:_MAX_ROWS]), sys.stdout)
    if len(values) > _MAX_ROWS:
        click.echo(f"and {len(values) - _MAX_ROWS} more: --format json")


def _overview(row: Mapping[str, Any]) -> None:
    if not row["n_runs"]:
        click.echo("No trajectories.")
        return
    since, until = when(row["earliest"]), when(row["latest"])
    spans = count(row["n_spans"], "span")
    click.echo(f"{count(row['n_runs'], 'trajectory')} of {spans}, {since} to {until} UTC")
    if row["n_outside"]:
        click.echo(f"{count(row['n_outside'], 'span')} more belong to no trajectory")
    if row["n_open"] or row["n_open_spans"]:
        click.echo(
            f"{count(row['n_open'], 'trajectory')} still open, or cut off;"
            f" {count(row['n_open_spans'], 'span')} never seen to end"
        )
    if row["n_late"]:
        click.echo(f"{count(row['n_late'], 'span')} came after their trajectory was closed")
    if row["n_unjudged"]:
        click.echo(
            f"{row['n_unjudged']:,} without an outcome: nobody judged them "
            "(run.outcome(...), otel-traj annotate, or rules.toml; otel-traj list --unjudged)"
        )


def _open_runs(found: Sequence[Mapping[str, Any]]) -> None:
    """Runs that go on, hang, or were cut off: how long nothing has been heard of each."""
    if found:
        _title("Open, silent for longest first")
        _table(
            ("trajectory", "agent", "silent for", "in"),
            [
                (
                    row["trajectory_id"],
                    row["agent_name"] or "",
                    duration(us_since(row["last_heard"])),
                    " ".join(filter(None, (row["waits_for"], row["waits_for_name"]))),
                )
                for row in found
            ],
        )


def _gaps(gaps: Sequence[Gap]) -> None:
    _title("Missing")
    if not gaps:
        click.echo("nothing")
    for gap in gaps:
        click.echo(f"{count(gap.times, gap.noun)} {gap.what}, in {count(gap.runs, 'run')}")
        for detail in gap.details[:_MAX_ROWS]:
            click.echo(f"  {visible(detail)}")
        for remedy in gap.remedies:
            part = ""
            if len(gap.remedies) > 1 or remedy.source:
                part = f"{remedy.source or 'others'}, {count(remedy.runs, 'run')}: "
            click.echo(f"  → {visible(part + remedy.setting)}")
        if not gap.remedies:
            click.echo("  no setting of the instrumentation closes it")


def _grades(diagnosis: Diagnosis, *, is_one_run: bool) -> None:
    """How far runs can be replayed; nothing to say where all of them can, exactly."""
    reasons = diagnosis.reasons()
    if not reasons:
        return
    grades = ", ".join(f"{count(row['runs'], 'run')} {row['grade']}" for row in diagnosis.grades())
    _title(f"Replay: {grades}")
    _table(
        ("grade", "why not A", "steps") if is_one_run else ("grade", "why not A", "steps", "runs"),
        [
            (
                row["grade"],
                f"{row['kind']}: {row['reason']}",
                *([_positions(row["positions"])] if is_one_run else [row["steps"], row["runs"]]),
            )
            for row in reasons
        ],
    )


def _positions(steps: Sequence[int]) -> str:
    shown = ", ".join(map(str, steps[:_MAX_ROWS]))
    return f"{shown} ..." if len(steps) > _MAX_ROWS else shown


def _repairs(found: Sequence[Mapping[str, Any]]) -> None:
    if found:
        _title("Repaired, the least sure first")
        _table(("repair", "times", "runs", "confidence"), [tuple(row.values()) for row in found])


def _dialects(found: Sequence[Mapping[str, Any]]) -> None:
    if found:
        _title("Dialects")
        click.echo(", ".join(f"{visible(row['dialect'])} {row['runs']:,}" for row in found))
