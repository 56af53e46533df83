"""`otel-traj compact`: few large files instead of many small ones."""

from __future__ import annotations

from pathlib import Path

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.words import count


@click.command(
    epilog=examples(
        "otel-traj compact --store /data/traces",
        "otel-traj compact --full --store /data/traces",
    )
)
@store_option
@click.option("--full", is_flag=True, help="Merge every day, not only what is due.")
def command(store: Path, full: bool) -> int:
    """Merge small files, and remove what nobody reads any more.

    A store does this by itself while it grows; the command is for a store that many processes wrote
    to at once, or, with --full, for one that is to be copied or read by other tools: every day in
    as few files as can be, without revisions that a newer one replaced. Agents may record and
    others read meanwhile. What was replaced stays readable for an hour. Exit status 1 means that
    somebody else is rewriting the store; nothing was done.
    """
    from otel_traj.store import open_store

    report = open_store(store).compact(full=full)
    if report.is_busy:
        click.echo("Somebody else is rewriting this store; try again when it is done.", err=True)
        return FOUND_PROBLEMS
    click.echo(
        f"{count(len(report.days), 'day')} merged:"
        f" {count(report.files_before, 'file')} of {report.bytes_before:,} bytes are now"
        f" {count(report.files_after, 'file')} of {report.bytes_after:,} bytes.",
        err=True,
    )
    return DONE
