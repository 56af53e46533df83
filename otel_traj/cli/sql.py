"""`otel-traj sql`: one select over the public views."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.cli.output import Format, emit, format_option, limit_option, output_option


@click.command(
    epilog=examples(
        'otel-traj sql "select task, outcome, reward from trajectories order by reward" --limit 5',
        "otel-traj sql \"from steps where kind = 'tool' and status = 'error'\" --format json",
        "otel-traj sql - --format parquet -o slow.parquet < slow.sql",
    )
)
@click.argument("query")
@format_option
@output_option
@limit_option
@store_option
def command(
    query: str, format_: Format, output: Path | None, limit: int | None, store: Path
) -> None:
    """Ask the store with one SQL select.

    QUERY is one select of DuckDB's SQL; "-" reads it from standard input. It may read the views
    trajectories, steps, spans, logs, trajectory_spans, file_changes, annotations,
    annotations_latest and trajectory_aliases, and nothing else: no file, no setting, no network.

    json is one array of objects; nested values are JSON, times are ISO 8601 in UTC, and NaN and
    infinities are null.
    """
    from otel_traj.store import open_store

    text = _standard_input() if query == "-" else query
    emit(open_store(store).sql(text), format_, output, limit=limit)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"The query on standard input is not UTF-8 ({error}).") from error
