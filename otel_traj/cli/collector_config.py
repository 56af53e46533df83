"""`otel-traj collector-config`: the configuration that is shipped for the Collector."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

import otel_traj
from otel_traj.cli.frame import examples


@click.command(
    "collector-config",
    epilog=examples(
        "otel-traj collector-config > collector-config.yaml",
    ),
)
def command() -> None:
    """Print the configuration of an OpenTelemetry Collector.

    It takes OTLP from agents in any language and leaves it where this program reads it; the
    comments in it say how.
    """
    click.echo(configuration(), nl=False)


def configuration() -> str:
    """The text of the file; in a checkout it stands at the root, in a wheel inside the package."""
    shipped = resources.files("otel_traj") / "collector-config.yaml"
    if shipped.is_file():
        return shipped.read_text(encoding="utf-8")
    root = Path(otel_traj.__file__).parents[1]
    return (root / "collector-config.yaml").read_text(encoding="utf-8")
