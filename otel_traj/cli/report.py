"""`otel-traj report`: what the runs of a store teach, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_traj.cli.frame import examples, redact_option, store_option
from otel_traj.cli.output import replacing
from otel_traj.cli.progress import counting
from otel_traj.safety import visible

if TYPE_CHECKING:
    from otel_traj.redaction import Redaction


@click.command(
    epilog=examples(
        "otel-traj report",
        "otel-traj report traces --output support.html --where \"agent_name = 'support'\"",
        "otel-traj report --output - | gzip > report.html.gz",
    )
)
@click.argument(
    "folder",
    metavar="[STORE]",
    required=False,
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    metavar="FILE",
    default="report.html",
    show_default=True,
    help="File to write; - is standard output.",
)
@click.option(
    "--where",
    metavar="SQL",
    help="Look only at trajectories for which this condition on their columns holds.",
)
@redact_option
@store_option
def command(
    folder: Path | None,
    output: Path,
    where: str | None,
    redaction: Redaction,
    store: Path,
) -> None:
    """Write one HTML page of what works, what fails and what it costs.

    It shows the answers of the analyses: what runs that succeed or fail do, and how sure that is;
    tools, the flow of calls, cost, time, and what to record to know more. Every finding names its
    counts, the analysis to ask again, and runs and spans. The page loads nothing and runs no
    script; give it to whoever asks.
    """
    from otel_traj import analysis
    from otel_traj.store import open_store

    with counting() as progress:
        page = analysis.report(
            open_store(folder or store), where=where, redact=redaction, progress=progress
        )
    if str(output) == "-":
        click.echo(page, nl=False)
        return
    with replacing(output) as path:
        path.write_text(page, encoding="utf-8")
    click.echo(visible(f"report -> {output}"), err=True)
