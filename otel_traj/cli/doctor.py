"""`otel-traj doctor`: what the telemetry does not tell, and what would make it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.cli.safety import visible
from otel_traj.cli.words import count, when

if TYPE_CHECKING:
    import duckdb

    from otel_traj.store.doctor import Gap


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
    from otel_traj.store.doctor import Diagnosis

    opened = open_store(store)
    if trajectory_id is not None:
        trajectory_id = opened.trajectory(trajectory_id).trajectory_id
    diagnosis = Diagnosis(opened, trajectory_id)
    _overview(diagnosis.overview())
    _table("Dialects", diagnosis.dialects())
    _table("Repairs, with their lowest confidence", diagnosis.repairs())
    _table("Why steps cannot be replayed exactly", diagnosis.grades())
    gaps = diagnosis.gaps()
    _gaps(gaps)
    return FOUND_PROBLEMS if gaps else DONE


def _table(title: str, relation: duckdb.DuckDBPyRelation) -> None:
    """Print rows under a title; nothing where there are none."""
    from otel_traj.cli.rows import rows
    from otel_traj.cli.table import write_table

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


def _gaps(gaps: Sequence[Gap]) -> None:
    _title("Missing")
    if not gaps:
        click.echo("nothing")
    for gap in gaps:
        click.echo(f"{count(gap.times, gap.noun)} {gap.what}, in {count(gap.runs, 'run')}")
        for fix in gap.fixes:
            click.echo(f"  → {visible(fix)}")
