"""What all commands share: how they are found, where the store is, how failures end.

Start-up is quick because a command's module, and with it DuckDB, pyarrow or rich, is imported only
when that command runs; the overview shows the sentences below instead.
"""

from __future__ import annotations

import difflib
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from otel_traj.errors import OtelTrajError, advice_on
from otel_traj.safety import visible_lines

if TYPE_CHECKING:
    from otel_traj.redaction import Redaction

COMMANDS: Final[dict[str, str]] = {
    "demo": "Record real runs without key or network, and look at them.",
    "run": "Run a Python program with recording on, without a change to it.",
    "ingest": "Read telemetry files into the store.",
    "serve": "Receive OTLP into the store, and show it: viewer, API, Jaeger, Grafana.",
    "view": "Look at the store in the browser.",
    "list": "List trajectories, newest first.",
    "show": "Show one trajectory as a transcript and a waterfall.",
    "top": "Show what agents do now: running, hung, how many, how well.",
    "sql": "Ask the store with one SQL select.",
    "analyze": "Run a named analysis, or list them.",
    "report": "Write one HTML page of what works, what fails and what it costs.",
    "doctor": "Say what telemetry is missing or was repaired.",
    "annotate": "Add an outcome, reward, score, label or comment; or say what the harness broke.",
    "export": "Write trajectories for other tools, or send them.",
    "verify": "Check that the store is whole.",
    "compact": "Merge small files, and remove what nobody reads any more.",
    "retain": "Let trajectories go that are too old, too many or too large.",
    "delete": "Erase trajectories, and every copy of them.",
    "redact": "Replace what matches, wherever it is stored.",
    "publish": "Make Delta tables of the stored files, in place.",
    "reassemble": "Rebuild trajectories from stored spans and logs.",
    "pin": "Keep trajectories whatever `retain` says, or list those that are kept.",
    "migrate": "Rewrite files of older versions.",
    "instrumentors": "Print what can be recorded here, and by what.",
    "collector-config": "Print a configuration of an OpenTelemetry Collector.",
}
"""Command -> the first sentence of its help, in the order in which a new user meets them."""

DONE: Final = 0
FOUND_PROBLEMS: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it


class CommandLine(click.Group):
    """The group of all commands; its `main` ends every failure in one line and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command; None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"otel_traj.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        name = args[0]
        for argument in args[1:]:
            if name != "ingest" and not _is_text(argument):  # only a file may be called anything
                raise click.UsageError(f"Not valid UTF-8: {argument!r}.", ctx)
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"There is: {', '.join(COMMANDS)}."
            raise click.UsageError(f"No command named {name!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; in standalone mode, end the process with its exit status."""
        run: Callable[..., Any] = partial(
            super().main, args, prog_name or "otel-traj", complete_var, **extra
        )
        if not standalone_mode:
            return run(standalone_mode=False)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # Recorded text may hold what the terminal's encoding, or any encoding, cannot say.
                stream.reconfigure(errors="backslashreplace")
        try:
            status = run(standalone_mode=False)
        except click.Abort:
            status = INTERRUPTED
        except click.ClickException as error:
            status = _report(error)
        sys.exit(status if isinstance(status, int) else DONE)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what was raised on purpose, or by the system, becomes one line."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
            return status
        except BrokenPipeError:
            _forget_stdout()
            return DONE
        except (OtelTrajError, OSError) as error:
            raise _Failed(f"{error}{advice_on(error)}") from error
        except Exception as error:
            if str(error) == "Query interrupted":  # so DuckDB says that Ctrl-C was pressed
                raise KeyboardInterrupt from error
            if type(error).__module__ == "_duckdb":  # out of memory, a file gone meanwhile
                raise _Failed(f"{error}{_advice_on_files(error)}") from error
            raise


def _advice_on_files(error: Exception) -> str:
    """What helps when the engine fails at a file; it has no class of its own for damaged ones."""
    is_of_file = type(error).__name__ in ("Error", "IOException") or "arquet" in str(error)
    return ". If a file of the store is damaged: otel-traj verify" if is_of_file else ""


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:  # Python smuggles bytes that are no UTF-8 in as surrogates
        return False
    return True


class _Failed(click.ClickException):
    exit_code = WRONG_USE


def _report(error: click.ClickException) -> int:
    for line in visible_lines(f"error: {error.format_message()}"):
        click.echo(line, err=True)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"See '{error.ctx.command_path} --help'.", err=True)
    return WRONG_USE


def _forget_stdout() -> None:
    """The reader of our output has left, as `head` does; Python would complain when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def default_store() -> Path:
    """Where the store is when nobody says: the environment's choice, else `./traces`."""
    return Path(os.environ.get("OTEL_TRAJ_STORE") or "traces")


def _store(ctx: click.Context, _: click.Parameter, given: Path | None) -> Path:
    return given or ctx.find_root().params.get("store") or default_store()


def examples(*command_lines: str) -> str:
    """The epilog of a command's help: command lines to copy."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in command_lines)


store_option = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    callback=_store,
    help="Folder of the store.  [default: $OTEL_TRAJ_STORE, else ./traces]",
)
"""Gives a command its `store: Path`; the option of the group is the default of every command's."""


def _redaction(_: click.Context, __: click.Parameter, given: str | None) -> Redaction:
    from otel_traj.redaction import choose

    return choose(given)


redact_option = click.option(
    "--redact",
    "redaction",
    metavar="RULES",
    callback=_redaction,
    help="What is replaced: secrets, emails, cards (several with commas), on for all, off, or "
    "MODULE:NAME of a Redaction.  [default: $OTEL_TRAJ_REDACT, else secrets]",
)
"""Gives a command its `redaction: Redaction`."""


def _print_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        try:
            version = metadata.version("otel-traj")
        except metadata.PackageNotFoundError:
            version = "(a checkout, not installed)"
        click.echo(f"otel-traj {version}")
        ctx.exit()


@click.command(
    cls=CommandLine,
    invoke_without_command=True,
    epilog=examples(
        "otel-traj demo",
        "otel-traj ingest exports/ --store traces",
        "otel-traj list --outcome failure",
        "otel-traj show 4bf92f35",
        'otel-traj sql "select outcome, count(*) from trajectories group by all"',
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the store, for every command.  [default: $OTEL_TRAJ_STORE, else ./traces]",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def main(ctx: click.Context, store: Path | None) -> None:
    """Agent trajectories from OpenTelemetry spans: read, list, show, ask.

    Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 found problems, 2 wrong
    use or an error.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
