"""`otel-traj reassemble`: stored runs, read by the rules of this version."""

from __future__ import annotations

from pathlib import Path

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.safety import visible
from otel_traj.words import count


@click.command(
    epilog=examples(
        "otel-traj reassemble --store /data/traces",
        "otel-traj reassemble 4bf92f35 5c10a9d2",
    )
)
@click.argument("trajectory_ids", metavar="[ID]...", nargs=-1)
@store_option
def command(trajectory_ids: tuple[str, ...], store: Path) -> int:
    """Rebuild trajectories from stored spans and logs.

    All of them, or those given, by the rules of this version of otel-traj; prints the ids that are
    new, gone, or tell something else now. What was received, annotations and given outcomes stay.
    Agents may record and others read meanwhile; they see the old rows until all new ones are there.
    Exit status 1 means that some traces could not be read; what was known of them is kept.
    """
    from otel_traj.store import open_store

    report = open_store(store).reassemble(trajectory_ids or None)
    changes = {"changed": report.changed, "new": report.new, "gone": report.gone}
    for what, ids in changes.items():
        for trajectory_id in ids:
            click.echo(visible(f"{what:<7}  {trajectory_id}"))
    told = ", ".join(f"{len(ids):,} {what}" for what, ids in changes.items())
    click.echo(f"{count(report.n_rebuilt, 'trajectory')} rebuilt: {told}.", err=True)
    if report.failed_traces:
        failed = visible(", ".join(report.failed_traces[:3]))
        click.echo(
            f"{count(len(report.failed_traces), 'trace')} could not be read: {failed}", err=True
        )
    return FOUND_PROBLEMS if report.failed_traces else DONE
