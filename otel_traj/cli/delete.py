"""`otel-traj delete`: gone from every file."""

from __future__ import annotations

from pathlib import Path

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.cli.retain import told
from otel_traj.safety import visible
from otel_traj.words import count


@click.command(
    epilog=examples(
        "otel-traj delete 4bf92f35",
        "otel-traj delete 4bf92f35 5c10a9d2 --yes",
        "otel-traj delete --user 8812 --yes",
    )
)
@click.argument("trajectory_ids", metavar="[ID]...", nargs=-1)
@click.option("--conversation", metavar="ID", help="All trajectories of this conversation.")
@click.option("--user", metavar="ID", help="All trajectories of this user.")
@click.option("--yes", is_flag=True, help="Do it, and do not only tell what would go.")
@store_option
def command(
    trajectory_ids: tuple[str, ...],
    conversation: str | None,
    user: str | None,
    yes: bool,
    store: Path,
) -> int:
    """Erase trajectories, and every copy of them.

    Without --yes it only lists their ids. Their rows, spans, logs and annotations go from all
    tables, the log, older snapshots and the published tables; quarantined damage goes whole, as
    nobody can tell whose it is. Spans of a trace that other trajectories share stay with those.
    Agents may record meanwhile; a query that is running may fail and can be asked again. After a
    crash the same command finishes the work. Exit status 1 means that an id was unknown.
    """
    from otel_traj.store import open_store

    report = open_store(store).delete(
        trajectory_ids, conversation=conversation, user=user, dry_run=not yes
    )
    for trajectory_id in report.trajectory_ids:
        click.echo(visible(trajectory_id))
    for trajectory_id in report.unknown:
        click.echo(visible(f"No trajectory {trajectory_id!r} (any more)."), err=True)
    still = f"; {report.n_open:,} still open" if report.n_open else ""
    click.echo(
        f"{count(len(report.trajectory_ids), 'trajectory')} {'erased' if yes else 'would go'}"
        f" ({told(report.amount)}){still}{'.' if yes else '; --yes does it.'}",
        err=True,
    )
    return FOUND_PROBLEMS if report.unknown else DONE
