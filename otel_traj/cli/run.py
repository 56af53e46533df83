"""`otel-traj run`: a program recorded without a change to it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.redaction import ENVIRONMENT, choose

_AUTOSTART = Path(__file__).parent / "autostart"


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "otel-traj run -- python agent.py",
        "otel-traj run --store traces --redact secrets,emails -- uvicorn agent:app",
    ),
)
@click.argument("program", nargs=-1, required=True, metavar="-- COMMAND...", type=click.UNPROCESSED)
@store_option
@click.option(
    "--redact",
    metavar="RULES",
    help="What is replaced before it is written: secrets, emails, cards (several with commas), on "
    "for all, off, or MODULE:NAME of a Redaction.  [default: $OTEL_TRAJ_REDACT, else secrets]",
)
def command(program: tuple[str, ...], store: Path, redact: str | None) -> None:
    """Run a Python program with recording on, without a change to it.

    The first Python process that COMMAND starts calls instrument() before anything else. It must
    have otel-traj installed; what it starts in turn is not recorded. The exit status is COMMAND's.
    """
    paths = [str(_AUTOSTART), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["OTEL_TRAJ_STORE"] = str(store.absolute())
    if redact is not None:
        _check(redact)
        os.environ[ENVIRONMENT] = redact
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execvp(program[0], program)


def _check(redact: str) -> None:
    """Refuse what nobody would understand; a module is COMMAND's, and imported there."""
    if ":" not in redact:
        choose(redact)
