"""Where rows go: standard output or a file, in the format that the user asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, TextIO

import click

if TYPE_CHECKING:
    import duckdb

    from otel_traj.store.results import Rows

Format = Literal["table", "json", "csv", "markdown", "parquet"]
FORMATS: Final = ("table", "json", "csv", "markdown", "parquet")

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How rows come out.",
)
limit_option = click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help="At most so many rows.  [default: all]"
)
output_option = click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to this file instead of standard output.",
)


def emit(
    relation: duckdb.DuckDBPyRelation,
    format_: Format,
    output: Path | None = None,
    *,
    limit: int | None = None,
    on_row: Callable[[Mapping[str, Any]], None] | None = None,
) -> int:
    """Write the rows of a query; a table is followed by their number on stderr.

    Args:
        relation: Not yet run.
        format_: As `otel_traj.store.results` describes them.
        output: A file that appears, or is replaced, only when all is written; None is stdout.
        limit: At most so many rows; None means all.
        on_row: Called with each row that is written as text.

    Raises:
        QueryError: The query fails while it runs.
    """
    from otel_traj.cli.progress import waiting
    from otel_traj.cli.table import write_table
    from otel_traj.store import results

    if limit is not None:
        relation = relation.limit(limit)
    if format_ == "parquet":
        if output is None and sys.stdout.isatty():
            raise click.UsageError("Parquet is no text: give --output FILE, or pipe it on.")
        with _binary(output) as out:
            return results.write_parquet(relation, out)
    write = {
        "table": write_table,
        "json": results.write_json,
        "csv": results.write_csv,
        "markdown": results.write_markdown,
    }[format_]
    with waiting("asking"):
        found = results.rows(relation)
    if on_row is not None:
        found = replace(found, values=_heard(found, on_row))
    with _text(output) as text:
        n = write(found, text)
    if format_ == "table":
        click.echo("1 row" if n == 1 else f"{n:,} rows", err=True)
    return n


def _heard(found: Rows, on_row: Callable[[Mapping[str, Any]], None]) -> Iterator[Sequence[Any]]:
    for row in found.values:
        on_row(dict(zip(found.names, row, strict=True)))
        yield row


@contextmanager
def _text(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    with replacing(output) as path, open(path, "w", encoding="utf-8", newline="\n") as out:
        yield out


@contextmanager
def _binary(output: Path | None) -> Iterator[IO[bytes]]:
    if output is None:
        yield sys.stdout.buffer
        return
    with replacing(output) as path, open(path, "wb") as out:
        yield out


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """A path to write to that takes the place of `output` when nothing went wrong."""
    if output.exists() and not output.is_file():  # a pipe or a device
        yield output
        return
    staged = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        yield staged
        staged.replace(output)
    finally:
        staged.unlink(missing_ok=True)
