"""`otel-traj pin`: what retention never lets go."""

from __future__ import annotations

from pathlib import Path

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.cli.output import Format, emit, format_option
from otel_traj.safety import visible

_PINNED = """\
select trajectory_id, created as pinned, t.start_time as started, t.agent_name as agent, t.task
from annotations_latest join trajectories t using (trajectory_id)
where name = 'traj.pin' and source = 'pin'
order by created, trajectory_id"""


@click.command(
    epilog=examples(
        "otel-traj pin 4bf92f35 5c10a9d2",
        "otel-traj pin 4bf92f35 --remove",
        "otel-traj pin",
        "otel-traj sql \"from annotations_latest where name = 'traj.pin'\"",
    )
)
@click.argument("trajectory_ids", metavar="[ID]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Let retention take them again.")
@format_option
@store_option
def command(trajectory_ids: tuple[str, ...], remove: bool, format_: Format, store: Path) -> None:
    """Keep trajectories whatever `retain` says, or list those that are kept.

    A pin is an annotation: table `annotations` tells when it was set and taken back.
    """
    from otel_traj.store import open_store

    opened = open_store(store)
    if remove and not trajectory_ids:
        raise click.UsageError("Name the trajectories that are not to be kept.")
    if not trajectory_ids:
        emit(opened.sql(_PINNED), format_)
    for trajectory_id in [opened.trajectory(i).trajectory_id for i in trajectory_ids]:
        if remove:
            opened.unpin(trajectory_id)
        else:
            opened.pin(trajectory_id)
        click.echo(
            visible(f"{trajectory_id}: {'not pinned any more' if remove else 'pinned'}"), err=True
        )
