"""Whether those who ask over the network must show a token: the options of what listens."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from otel_traj.errors import ConfigurationError

_Command = TypeVar("_Command", bound=Callable[..., Any])

_token_file = click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Holds the token that clients must show.  [default: $OTEL_TRAJ_TOKEN, else none]",
)

_no_token = click.option(
    "--no-token", "is_open", is_flag=True, help="Listen beyond this machine without a token."
)


def token_options(command: _Command) -> _Command:
    """Give a command its `token_file: Path | None`, for `read_token`, and `is_open: bool`."""
    for option in (_no_token, _token_file):
        command = option(command)
    return command


def read_token(file: Path | None) -> str | None:
    """What a file holds, or the environment; None for none.

    Raises:
        ConfigurationError: The file cannot be read, or there is nothing in it.
    """
    if file is None:
        return os.environ.get("OTEL_TRAJ_TOKEN") or None
    try:
        token = file.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"The token cannot be read: {error}") from error
    if not token:
        raise ConfigurationError(f"There is no token in {str(file)!r}")
    return token
