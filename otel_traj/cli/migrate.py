"""`otel-traj migrate`: files of older versions with the columns of this one."""

from __future__ import annotations

from pathlib import Path

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.words import count


@click.command(epilog=examples("otel-traj migrate --store /data/traces"))
@store_option
def command(store: Path) -> int:
    """Rewrite files of older versions.

    Nothing needs it: files that an older otel-traj wrote are read for ever, and what they lack is
    NULL. Written with the columns of today, they are a little quicker to read. What trajectories
    tell is not derived again; for that there is `otel-traj reassemble`. Exit status 1 means that
    somebody else is rewriting the store; nothing was done.
    """
    from otel_traj.store import open_store

    report = open_store(store).migrate()
    if report.is_busy:
        click.echo("Somebody else is rewriting this store; try again when it is done.", err=True)
        return FOUND_PROBLEMS
    click.echo(f"{count(len(report.days), 'day')} rewritten.", err=True)
    return DONE
