"""`otel-traj view`: the store in the browser."""

from __future__ import annotations

import logging
import os
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_traj.cli.frame import examples, redact_option, store_option
from otel_traj.cli.tokens import read_token, token_options
from otel_traj.errors import MissingExtraError

if TYPE_CHECKING:
    from otel_traj.redaction import Redaction


@click.command(
    epilog=examples(
        "otel-traj view",
        "otel-traj view /data/traces --no-open --port 0",
        "otel-traj view --host 0.0.0.0 --token-file token",
    )
)
@click.argument(
    "path",
    metavar="[STORE]",
    required=False,
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option(
    "--host", metavar="HOST", default="127.0.0.1", show_default=True, help="Where to listen."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="On which port; 0 is any that is free.  [default: 7788, or any if that is taken]",
)
@click.option("--no-open", is_flag=True, help="Print the URL only, and open no browser.")
@token_options
@redact_option
@store_option
def command(
    path: Path | None,
    host: str,
    port: int | None,
    no_open: bool,
    token_file: Path | None,
    is_open: bool,
    redaction: Redaction,
    store: Path,
) -> None:
    """Look at the store in the browser.

    Shows what is recorded as it comes, until Ctrl-C. Nobody else needs to run: `serve` has the
    same viewer beside its receiver. Secrets are replaced, if --redact does not say otherwise.
    Needs the extra 'server'.
    """
    try:
        import asyncio

        from otel_traj.server.viewer import standalone
    except ImportError as error:
        raise MissingExtraError("otel-traj view", str(error.name), "server") from error
    settings = standalone.Settings(
        store=path or store,
        host=host,
        port=port,
        token=read_token(token_file),
        is_open=is_open,
        shown=redaction,
    )
    logging.basicConfig(format="otel-traj: %(message)s", level=logging.WARNING)

    def announce(url: str) -> None:
        click.echo(url)
        sys.stdout.flush()
        if not no_open and _has_display():
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    asyncio.run(standalone.view(settings, announce))


def _has_display() -> bool:
    """Whether a browser has a screen; without one, a browser of texts would take the terminal."""
    is_unix = os.name == "posix" and sys.platform != "darwin"
    return not is_unix or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
