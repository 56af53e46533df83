"""`otel-traj publish`: the store's Parquet files as Delta tables, in place."""

from __future__ import annotations

from pathlib import Path

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.words import count


@click.command(
    epilog=examples(
        "otel-traj publish --store /data/traces",
        "python -c 'import polars; print(polars.scan_delta(\"/data/traces/steps\").collect())'",
    )
)
@store_option
def command(store: Path) -> None:
    """Make Delta tables of the stored files, in place.

    Run again, it brings them up to date. Spark, Polars, DataFusion, Trino and other engines read
    each table as the folder that it is in. Nothing is copied: a log beside the files, _delta_log,
    says which of them count. Prints the folder of each table, and the version that the newest
    snapshot is. From then on `otel-traj compact` keeps them current. Needs the extra: pip install
    'otel-traj[delta]'.
    """
    from otel_traj.store import open_store

    opened = open_store(store)
    report = opened.publish()
    for table, version in report.versions.items():
        click.echo(f"{store / table}  version {version}")
    click.echo(
        f"Snapshot {report.snapshot} is published: {count(report.added, 'file')} added,"
        f" {report.removed:,} removed.",
        err=True,
    )
