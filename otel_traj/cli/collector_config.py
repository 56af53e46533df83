"""`otel-traj collector-config`: the configurations that are shipped for the Collector."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

import click

import otel_traj
from otel_traj.cli.frame import examples

RECEIVER: Final = "receiver"
VARIANTS: Final = (RECEIVER, "files", "kafka-in", "kafka-out")


@click.command(
    "collector-config",
    epilog=examples(
        "otel-traj collector-config > collector-config.yaml",
        "otel-traj collector-config --variant files > collector-config.yaml",
    ),
)
@click.option(
    "--variant",
    type=click.Choice(VARIANTS),
    default=RECEIVER,
    show_default=True,
    help="Where the Collector leaves what it takes.",
)
def command(variant: str) -> None:
    """Print a configuration of an OpenTelemetry Collector.

    It takes OTLP from agents in any language; the comments in it say how to run it. The variant
    `receiver` sends it to `otel-traj serve`, with a queue on disk, and to Jaeger; `files` writes
    files, which `otel-traj ingest` reads. `kafka-in` puts it into Kafka, and `kafka-out` takes it
    from there to one of several `otel-traj serve`.
    """
    click.echo(configuration(variant), nl=False)


def configuration(variant: str) -> str:
    """The text of a variant."""
    package = resources.files("otel_traj")
    if variant != RECEIVER:
        return (package / "collector" / f"{variant}.yaml").read_text(encoding="utf-8")
    shipped = package / "collector-config.yaml"  # in a checkout it stands at the root instead
    if shipped.is_file():
        return shipped.read_text(encoding="utf-8")
    root = Path(otel_traj.__file__).parents[1]
    return (root / "collector-config.yaml").read_text(encoding="utf-8")
