"""`otel-traj verify`: is the store whole."""

from __future__ import annotations

from pathlib import Path

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.cli.safety import visible
from otel_traj.cli.words import count


@click.command(
    epilog=examples(
        'otel-traj verify --store /data/traces || echo "restore from a copy"',
    )
)
@store_option
def command(store: Path) -> int:
    """Check that the store is whole.

    What the newest snapshot names must be there and readable. What a killed writer left behind (a
    half-written last record, a run that never ended) is no damage: it is a note, and the exit
    status is 0. Damage gives 1.
    """
    from otel_traj.store import open_store

    problems = open_store(store).verify()
    for problem in problems:
        click.echo(visible(f"{problem.severity}: {problem.what}"))
    n_errors = sum(problem.severity == "error" for problem in problems)
    click.echo(
        f"{count(n_errors, 'error')}, {count(len(problems) - n_errors, 'note')}: "
        + ("the store is damaged." if n_errors else "the store is whole."),
        err=True,
    )
    return FOUND_PROBLEMS if n_errors else DONE
