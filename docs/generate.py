"""Write the pages of docs/, and what else is taken from the code; `--check` only compares."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from otel_traj import analysis
from otel_traj.cli import main as command_line
from otel_traj.server.viewer import app as viewer_api
from otel_traj.store import schema

DOCS = Path(__file__).parent


def schema_page() -> str:
    """Every public view with its columns."""
    return page(
        "Tables",
        "docs/generate.py from otel_traj/store/schema.py",
        "What `otel-traj sql` and `open_store().sql` may read. The Parquet files of a table hold"
        " the same columns, except those marked *view*, which are computed when read. Unknown is"
        " NULL, never 0 and never ''. Names are public and stay.",
        *(section for name in schema.VIEW_COLUMNS for section in view(name)),
    )


def view(name: str) -> Iterator[str]:
    """One public view: what a row is, and a table of its columns."""
    table = schema.TABLES.get(name)
    computed = {column.name for column in table.view_columns} if table else set()
    yield f"## {name}"
    yield f"{schema.VIEW_MEANINGS[name]}."
    yield markdown_table(
        ("column", "type", "unit", "meaning"),
        (
            (
                f"`{column.name}`" + (" *view*" if column.name in computed else ""),
                column.duckdb_type.replace('"', ""),
                column.unit,
                column.meaning,
            )
            for column in schema.VIEW_COLUMNS[name]
        ),
    )


def command_page() -> str:
    """Every command: what it does, its arguments and options, examples."""
    return page(
        "Command line",
        "docs/generate.py from the commands' own help",
        "Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 found problems,"
        " 2 wrong use. `--help` says the same in the terminal.",
        *(section for name, command in commands() for section in one_command(name, command)),
    )


def commands() -> Iterator[tuple[str, click.Command]]:
    """The program and its commands, by the words that call them."""
    assert isinstance(command_line, click.Group)
    yield "otel-traj", command_line
    context = click.Context(command_line, info_name="otel-traj")
    for name in command_line.list_commands(context):
        command = command_line.get_command(context, name)
        assert command is not None
        yield f"otel-traj {name}", command


def one_command(name: str, command: click.Command) -> Iterator[str]:
    """One command. Not click's own layout of it: that changes from version to version."""
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    yield f"## {name}"
    yield f"`{' '.join([name, '[OPTIONS]', *map(argument_words, arguments)])}`"
    yield from paragraphs(command.help)
    if options:
        yield markdown_table(("option", "meaning"), map(option_words, options))
    yield from paragraphs(command.epilog)


def paragraphs(help_text: str | None) -> Iterator[str]:
    """A help text; what click is told to leave as it stands, by a backspace, becomes a block."""
    for paragraph in inspect.cleandoc(help_text or "").split("\n\n"):
        head, mark, lines = paragraph.rpartition("\b\n")
        if head.strip() or not mark:
            yield (head or lines).strip()
        if mark:
            yield f"```text\n{lines}\n```"


def argument_words(argument: click.Argument) -> str:
    """An argument as it stands in a usage line."""
    word = argument.metavar or (argument.name or "").upper()
    repeated = f"{word}..." if argument.nargs == -1 and not word.endswith("...") else word
    return repeated if argument.required or word.startswith("[") else f"[{repeated}]"


def option_words(option: click.Option) -> tuple[str, str]:
    """An option's names with its value, and what it means."""
    if option.is_flag:
        value = ""
    elif isinstance(option.type, click.Choice):
        value = "=" + "|".join(map(str, option.type.choices))
    else:
        value = f"={option.metavar or option.type.name.upper()}"
    meaning = " ".join((option.help or "").split())
    if option.show_default and isinstance(option.default, str | int | float):
        meaning += f" Default: {option.default}."
    return f"`{', '.join(option.opts)}{value}`", meaning


def analysis_page() -> str:
    """Every shipped analysis: its grain, parameters and columns, from the header of its file."""
    return page(
        "Analyses",
        "docs/generate.py from the headers of analysis/otel_traj_analysis/sql/*.sql",
        "`otel-traj analyze NAME`, `otel_traj.analysis.run(store, NAME, **parameters)`, or the file"
        " itself in any DuckDB after `.read views.sql`.",
        *(section for name in analysis.names() for section in one_analysis(name)),
    )


def one_analysis(name: str) -> Iterator[str]:
    """One analysis as its header describes it."""
    described = analysis.describe(name)
    yield f"## {name}"
    yield described.sentence
    yield f"Grain: {described.grain}." + (
        f" Counted: {described.units}." if described.units else ""
    )
    if described.parameters:
        yield markdown_table(
            ("parameter", "type", "default", "meaning"),
            (
                (
                    f"`{p.name}`",
                    p.type,
                    "`null`" if p.default is None else f"`{p.default}`",
                    p.meaning,
                )
                for p in described.parameters
            ),
        )
    yield markdown_table(
        ("column", "type", "meaning"),
        ((f"`{c.name}`", c.type, c.meaning) for c in described.columns),
    )


def page(title: str, source: str, *paragraphs: str) -> str:
    """A page that says where it comes from."""
    notice = f"<!-- Written by {source}. Do not edit: `make docs`. -->"
    return "\n\n".join([f"# {title}", notice, *paragraphs]) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells may hold pipes."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


PAGES: dict[str, Callable[[], str]] = {
    "schema.md": schema_page,
    "cli.md": command_page,
    "analyses.md": analysis_page,
    "../ui/openapi.json": viewer_api.document,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the stale pages, or with `--check` name them and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 for a stale page"
    )
    check = parser.parse_args(arguments).check
    current = {DOCS / name: text() for name, text in PAGES.items()}
    stale = [p for p, text in current.items() if not p.exists() or p.read_text("utf-8") != text]
    for path in stale:
        if not check:
            path.write_text(current[path], "utf-8")
        print(f"{path.name} is stale: run `make docs`" if check else f"wrote {path.name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
