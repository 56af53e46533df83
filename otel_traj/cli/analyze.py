"""`otel-traj analyze`: the named analyses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.cli.output import Format, emit, format_option, limit_option, output_option
from otel_traj.cli.progress import waiting
from otel_traj.errors import UnknownNameError

if TYPE_CHECKING:
    import duckdb

    from otel_traj.analysis import Analysis

SAID: Final = 3
"""Rows that are said in words under a table."""


@click.command(
    epilog=examples(
        "otel-traj analyze",
        "otel-traj analyze tool_effectiveness --describe",
        "otel-traj analyze tool_effectiveness --param min_calls=20 --format csv",
        "otel-traj analyze success_patterns --where \"agent_name = 'coder'\"",
    )
)
@click.argument("name", required=False)
@click.option(
    "--param",
    "-p",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the analysis; can be given several times.",
)
@click.option(
    "--where",
    metavar="SQL",
    help="Look only at trajectories for which this condition on their columns holds.",
)
@click.option("--describe", is_flag=True, help="Say what NAME answers, its parameters and columns.")
@click.option("--explain", is_flag=True, help="Print the SQL of NAME.")
@format_option
@output_option
@limit_option
@store_option
def command(
    name: str | None,
    settings: tuple[str, ...],
    where: str | None,
    describe: bool,
    explain: bool,
    format_: Format,
    output: Path | None,
    limit: int | None,
    store: Path,
) -> None:
    """Run a named analysis, or list them.

    NAME is one of the shipped analyses, or the path of an .sql file of your own under the same
    header. Without NAME all are listed, which needs no store. Of patterns a table shows what may be
    believed and why, and markdown too; the other formats have all columns. Under a table the first
    rows are said in words.
    """
    from otel_traj import analysis

    if name is None:
        if settings or describe or explain or where:
            raise click.UsageError("Say which analysis: otel-traj analyze NAME.")
        _list()
    elif (describe or explain) and (settings or where):
        raise click.UsageError("--param and --where are for a run; --explain prints the file.")
    elif describe:
        _describe(analysis.describe(name))
    elif explain:
        click.echo(analysis.sql(name), nl=False)
    else:
        from otel_traj.store import open_store

        described = analysis.describe(name)
        parameters = dict(_setting(described, text) for text in settings)
        with waiting(described.name):
            relation = analysis.run(open_store(store), name, where=where, **parameters)
        if format_ == "table" and output is None:
            click.echo(_in_one_line(described.sentence), err=True)
        said = _Said(described)
        emit(
            _shown(described, relation, format_),
            format_,
            output,
            limit=limit,
            on_row=said if format_ == "table" else None,
        )
        for sentence in said.sentences:
            click.echo(f"- {sentence}", err=True)


class _Said:
    """Hears rows as they are written, and keeps what the first ones say."""

    def __init__(self, described: Analysis) -> None:
        self.sentences: list[str] = []
        self._described = described

    def __call__(self, row: Mapping[str, Any]) -> None:
        from otel_traj_analysis import sentences

        if len(self.sentences) < SAID and "finding" not in row:  # those that have it show it
            sentence = sentences.say(self._described.name, row)
            self.sentences += [sentence] if sentence else []


def _shown(
    described: Analysis, relation: duckdb.DuckDBPyRelation, format_: Format
) -> duckdb.DuckDBPyRelation:
    """What fits on a screen of the rows of a statistical step; else all of them."""
    if described.labels is None or format_ not in ("table", "markdown"):
        return relation
    from otel_traj_analysis import labels

    return relation.project(", ".join(labels.SHOWN[described.labels]))


def _list() -> None:
    from otel_traj import analysis

    _definitions([(name, analysis.describe(name).sentence) for name in analysis.names()])
    click.echo("Run one: otel-traj analyze NAME; what is in it: --describe.", err=True)


def _describe(described: Analysis) -> None:
    click.echo(f"{described.name}: {_in_one_line(described.sentence)}")
    click.echo(f"Grain: {_in_one_line(described.grain)}.")
    if described.units:
        click.echo(f"Units: {_in_one_line(described.units)}.")
    if described.parameters:
        click.echo("\nParameters:")
        _definitions(
            [(f"{p.name}={p.default}", f"{p.type}: {p.meaning}") for p in described.parameters]
        )
    click.echo("\nColumns:")
    _definitions([(column.name, column.meaning) for column in described.columns])


def _definitions(pairs: Sequence[tuple[str, str]]) -> None:
    """Terms and their meanings in two columns."""
    from otel_traj.cli.table import terminal_width

    formatter = click.HelpFormatter(width=terminal_width())
    formatter.write_dl([(term, _in_one_line(meaning)) for term, meaning in pairs])
    click.echo(formatter.getvalue(), nl=False)


def _setting(described: Analysis, text: str) -> tuple[str, object]:
    """A parameter and its value, read as the header says its type is.

    Raises:
        UnknownNameError: The analysis has no such parameter.
        ConfigurationError: The text is no value of its type.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--param takes NAME=VALUE, not {text!r}.")
    known = {parameter.name: parameter for parameter in described.parameters}
    if name not in known:
        raise UnknownNameError(f"parameter of {described.name!r}", name, known)
    return name, known[name].read(value)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
