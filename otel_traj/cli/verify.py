"""`otel-traj verify`: is the store whole, and what to do when it is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, store_option
from otel_traj.cli.progress import counting
from otel_traj.safety import visible
from otel_traj.words import count

if TYPE_CHECKING:
    from otel_traj.store import AbsenceReport, Problem, RepairReport

_SAMPLE = 100


@click.command(
    epilog=examples(
        "otel-traj verify --store /data/traces",
        "otel-traj verify --all",
        "otel-traj verify --absent ann@example.com --absent 4bf92f3577b34da6",
        "otel-traj verify --repair",
    )
)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=_SAMPLE,
    show_default=True,
    metavar="N",
    help="Derive so many trajectories again and compare.",
)
@click.option("--all", "is_all", is_flag=True, help="Derive all of them again and compare.")
@click.option(
    "--absent",
    "texts",
    metavar="TEXT",
    multiple=True,
    help="Prove instead that this text is nowhere in the folder.",
)
@click.option(
    "--absent-regex", "patterns", metavar="REGEX", multiple=True, help="The same for a pattern."
)
@click.option(
    "--repair",
    "is_repair",
    is_flag=True,
    help="First set damaged files aside, and derive again what can be.",
)
@store_option
def command(
    store: Path,
    sample: int,
    is_all: bool,
    texts: tuple[str, ...],
    patterns: tuple[str, ...],
    is_repair: bool,
) -> int:
    """Check that the store is whole.

    Every file that the newest snapshot names must be there with not a bit changed, its rows must
    agree with those of the other tables, and derived rows with a fresh derivation of their spans,
    on a sample. What a killed writer left behind (a half-written last record, a run that never
    ended) is no damage: it is a note, and the exit status is 0. Damage gives 1, and is named with
    what is lost by it.

    A damaged file keeps all readers out. With --repair it is moved to _tmp/damaged-*, nothing is
    deleted, and all else can be read again; derived rows are derived again from their spans. A
    damaged snapshot is restored from the files that are there.

    With --absent it proves something else: that a text is in no file of the folder, whatever form
    it may have there; every byte is read. Where it is found is printed, and the exit status is 1.
    """
    from otel_traj.store import open_store

    if texts or patterns:
        return _report_absence(open_store(store).search(*texts, patterns=patterns))
    opened = open_store(store)
    with counting() as on_progress:
        if is_repair:
            _tell(opened.repair(on_progress=on_progress))
        problems = opened.verify(sample=None if is_all else sample, on_progress=on_progress)
    return report(problems)


def _tell(done: RepairReport) -> None:
    for path, aside in done.set_aside.items():
        click.echo(f"{path} is now {aside}", err=True)
    if done.rebuilt:
        click.echo(f"{count(done.rebuilt, 'trajectory')} derived again.", err=True)
    if done.recovered:
        click.echo(f"{count(done.recovered, 'row')} of the lost snapshot stored again.", err=True)
    if not done.set_aside:
        click.echo("Nothing is damaged.", err=True)


def _report_absence(report: AbsenceReport) -> int:
    for finding in report.findings:
        click.echo(visible(f"{finding.path}: {finding.where}"))
    read = f"{count(report.n_files, 'file')} of {report.n_bytes:,} bytes read"
    found = f"found in {count(len(report.findings), 'place')}" if report.findings else "absent"
    click.echo(f"{read}: {found}.", err=True)
    return FOUND_PROBLEMS if report.findings else DONE


def report(problems: Sequence[Problem]) -> int:
    """Print problems, and what they mean for the store; the exit status."""
    for problem in problems:
        click.echo(visible(f"{problem.severity}: {problem.what}"))
    n_errors = sum(problem.severity == "error" for problem in problems)
    click.echo(
        f"{count(n_errors, 'error')}, {count(len(problems) - n_errors, 'note')}: "
        + ("the store is damaged." if n_errors else "the store is whole."),
        err=True,
    )
    return FOUND_PROBLEMS if n_errors else DONE
