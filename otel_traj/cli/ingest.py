"""`otel-traj ingest`: telemetry files into the store."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from otel_traj.cli.frame import DONE, FOUND_PROBLEMS, examples, redact_option, store_option
from otel_traj.safety import visible
from otel_traj.words import count

if TYPE_CHECKING:
    from otel_traj.importers import Reading
    from otel_traj.model import LogRecord, SpanRecord
    from otel_traj.redaction import Redaction
    from otel_traj.store import AppendReport

NAMED_APART: Final = 3
"""Skipped files of one name and reason that are named one by one; more are counted together."""


@click.command(
    epilog=examples(
        "otel-traj ingest exports/ more/traces.jsonl.zst",
        "zcat old.jsonl.gz | otel-traj ingest - --store /data/traces",
    )
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@store_option
@redact_option
def command(paths: tuple[str, ...], store: Path, redaction: Redaction) -> int:
    """Read telemetry files into the store.

    PATH is a file, a folder (read with all that is in it) or "-" for standard input. What a file
    holds is told by its content: OTLP as JSON, one request per line or pretty-printed, OTLP as
    protobuf, and the framed files of the Collector's file exporter; spans and logs; plain, gzip or
    zstd. Reading the same telemetry twice changes nothing. Files without spans or logs are skipped
    and named.

    Exports of other tools are read too, all as JSON: traces of Jaeger (query API and UI) and of
    Grafana Tempo, traces of Langfuse with their observations and scores, and spans as the
    OpenTelemetry SDKs of Python (to_json, console exporter, one object per line) and JavaScript
    (ReadableSpan) write them. So are the runs of benchmarks and evaluations, with their verdicts:
    tau-bench, tau2-bench, SWE-agent, mini-swe-agent, ATIF, Inspect (.json and .eval), Stratus,
    Reflexion, Who&When. One such document is held in memory whole. An id that is longer than
    OpenTelemetry's, or no hex, becomes a digest of itself.

    Credentials of well-known forms are replaced on the way, see --redact.

    Exit status 1 means that some telemetry could not be read; everything else was.
    """
    from otel_traj import importers
    from otel_traj.store import TrajectoryStore

    readings = [importers.Reading(source) for source in importers.find(*paths)]
    opened = TrajectoryStore.create(store)
    with _progress(readings) as follow:
        records = itertools.chain.from_iterable(map(follow, readings))
        report = opened.append(map(redaction.record, records))
    _name_skipped([reading for reading in readings if reading.skipped])
    _name_flaws(readings)
    _summarise(readings, report, redaction)
    return FOUND_PROBLEMS if any(reading.is_damaged for reading in readings) else DONE


Follow = Callable[["Reading"], Iterable["SpanRecord | LogRecord"]]


@contextmanager
def _progress(readings: Sequence[Reading]) -> Iterator[Follow]:
    """Show on a terminal how far the reading is, by bytes; gives what hands the records through."""
    if not sys.stderr.isatty():
        yield iter
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    total = sum(reading.source.size or 0 for reading in readings)
    # How much standard input still holds cannot be known.
    of_total = (DownloadColumn(), TimeRemainingColumn(compact=True)) if total else ()
    bar = Progress(
        TextColumn("reading"),
        BarColumn(),
        *of_total,
        TextColumn("{task.fields[records]:,} records"),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("reading", total=total or None, records=0)
    finished = records = 0

    def follow(reading: Reading) -> Iterator[SpanRecord | LogRecord]:
        nonlocal finished, records
        for record in reading:
            records += 1
            if records % 100 == 0:
                bar.update(task, completed=finished + reading.position, records=records)
            yield record
        finished += reading.source.size or 0
        bar.update(task, completed=finished, records=records)

    with bar:
        yield follow


def _name_skipped(skipped: Sequence[Reading]) -> None:
    """Name the skipped files on stderr; many of one name and reason in one line."""
    alike = Counter(_kind(reading) for reading in skipped)
    named: set[tuple[str, str]] = set()
    for reading in skipped:
        kind = _kind(reading)
        if alike[kind] <= NAMED_APART:
            _say(f"skipped {reading.source.name}: {reading.skipped}")
        elif kind not in named:
            named.add(kind)
            _say(f"skipped {alike[kind]} files named {kind[0]}: {reading.skipped}")


def _kind(reading: Reading) -> tuple[str, str]:
    return Path(reading.source.name).name, reading.skipped or ""


def _name_flaws(readings: Iterable[Reading]) -> None:
    for reading in readings:
        for flaw in reading.flaws:
            _say(f"{flaw.kind} {reading.source.name}, {flaw}")
        if more := reading.n_flaws - len(reading.flaws):
            _say(f"... and {count(more, 'more place')} in {reading.source.name}")


def _say(line: str) -> None:
    click.echo(visible(line), err=True)


def _summarise(readings: Sequence[Reading], report: AppendReport, redaction: Redaction) -> None:
    n_skipped = sum(reading.skipped is not None for reading in readings)
    n_damaged = sum(reading.is_damaged for reading in readings)
    n_read = len(readings) - n_skipped
    n_spans = sum(reading.n_spans for reading in readings)
    n_logs = sum(reading.n_logs for reading in readings)
    files = [f"{n_read:,} read", f"{n_skipped:,} skipped"]
    if n_damaged:
        files.append(f"{n_damaged:,} damaged")
    click.echo(f"files         {', '.join(files)}")
    click.echo(f"spans         {n_spans:,} read, {report.spans:,} new")
    click.echo(f"logs          {n_logs:,} read, {report.logs:,} new")
    click.echo(f"duplicates    {report.duplicates:,} known already, left out")
    if report.conflicts:
        told = f"{count(report.conflicts, 'span')} of these told otherwise; the first one counts"
        click.echo(f"conflicts     {told}")
    click.echo(f"trajectories  {report.trajectories:,}")
    if redacted := redaction.counts():
        kinds = ", ".join(f"{visible(kind)} {n:,}" for kind, n in sorted(redacted.items()))
        click.echo(f"redacted      {kinds}")
