"""`otel-traj redact`: what matches is replaced in all that is stored."""

from __future__ import annotations

from pathlib import Path

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.words import count


@click.command(
    epilog=examples(
        "otel-traj redact --rule secrets",
        "otel-traj redact 'acme-[0-9]{6}' --yes",
        "otel-traj redact --rule emails --rule cards --yes",
    )
)
@click.argument("pattern", metavar="[REGEX]", required=False)
@click.option(
    "--rule",
    "rules",
    type=click.Choice(("secrets", "emails", "cards")),
    multiple=True,
    help="What a built-in rule finds.",
)
@click.option("--yes", is_flag=True, help="Do it, and do not only tell how much would change.")
@store_option
def command(pattern: str | None, rules: tuple[str, ...], yes: bool, store: Path) -> None:
    """Replace what matches, wherever it is stored.

    In spans, logs, annotations and all that is derived from them, and in every copy; what was
    replaced cannot be brought back. REGEX has Python's syntax and sees each text by itself, also
    those within JSON. Without --yes it only counts. It is for what is stored: what is recorded from
    now on is redacted by `instrument(redact=...)`.
    """
    from otel_traj.store import open_store

    report = open_store(store).redact(pattern, rules=rules, dry_run=not yes)
    parts = {"span": report.spans, "log": report.logs, "annotation": report.annotations}
    told = ", ".join(count(n, noun) for noun, n in parts.items())
    runs = count(report.trajectories, "trajectory")
    click.echo(
        f"Replaced in {told}; {runs} derived again."
        if yes
        else f"Found in {told} of {runs}; --yes replaces it.",
        err=True,
    )
