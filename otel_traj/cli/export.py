"""`otel-traj export`: trajectories in the form of another tool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_traj.cli.frame import examples, redact_option, store_option
from otel_traj.cli.list import OUTCOMES, QUERY, STATUSES
from otel_traj.safety import visible
from otel_traj.words import count

if TYPE_CHECKING:
    from otel_traj.model import Trajectory
    from otel_traj.redaction import Redaction
    from otel_traj.store import TrajectoryStore


@click.command(
    epilog=examples(
        "otel-traj export --format parquet --outcome success good-runs",
        "otel-traj export --format otlp 4bf92f35 run.jsonl",
        "otel-traj export --format atif 4bf92f35 run.json",
        "otel-traj export --format otlp --agent support --endpoint http://localhost:4318",
        "otel-traj export --format parquet --redact on all-runs",
    )
)
@click.argument("arguments", metavar="[ID]... [PATH]", nargs=-1)
@click.option(
    "--format",
    "format_",
    required=True,
    metavar="NAME",
    help="An exporter: atif, chrome, html, otlp, parquet, or one that another package brings.",
)
@click.option("--endpoint", metavar="URL", help="Send to this receiver; there is no PATH then.")
@click.option("--agent", metavar="NAME", help="Only runs in which this agent acted.")
@click.option("--task", metavar="TEXT", help="Only runs with this task id, or this in their task.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only runs that were this good.")
@click.option("--status", type=click.Choice(STATUSES), help="Only runs that ended like this.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="At most so many, the newest."
)
@click.option("--verbatim", is_flag=True, help="otlp: spans as they came, in their own dialect.")
@redact_option
@store_option
def command(
    arguments: tuple[str, ...],
    format_: str,
    endpoint: str | None,
    agent: str | None,
    task: str | None,
    outcome: str | None,
    status: str | None,
    limit: int | None,
    verbatim: bool,
    redaction: Redaction,
    store: Path,
) -> None:
    """Write trajectories for other tools, or send them.

    Those of the given IDs (or beginnings of ids), else all that the filters leave, as `list` shows
    them. PATH is what the exporter writes: a new folder for parquet; for otlp a file, *.pb for
    protobuf and otherwise JSON lines; for atif a file with a document per line. The endpoint of a
    receiver is http(s)://HOST:4318 or grpc://HOST:4317; what is sent twice is there once.

    Credentials that were recorded all the same are replaced on the way out, see --redact; what is
    stored stays as it is (`otel-traj redact` changes that).
    """
    from otel_traj import exporters
    from otel_traj.store import open_store

    ids, target = _targeted(arguments, endpoint)
    filters = {"agent": agent, "task": task, "outcome": outcome, "status": status}
    if ids and any((*filters.values(), limit)):
        raise click.UsageError("Give ids or filters, not both.")
    opened = open_store(store)
    chosen = ids or _found(opened, filters, limit)
    n = exporters.export(
        _trajectories(opened, chosen),
        format_,
        target,
        store=opened,
        redact=redaction,
        **({"verbatim": True} if verbatim else {}),
    )
    click.echo(visible(f"{count(n, 'trajectory')} -> {target}"), err=True)


def _targeted(arguments: tuple[str, ...], endpoint: str | None) -> tuple[tuple[str, ...], str]:
    """Ids, and where their runs go."""
    if endpoint is not None:
        if "://" not in endpoint:
            raise click.UsageError(f"--endpoint is a URL as http://HOST:4318, not {endpoint!r}.")
        return arguments, endpoint
    if not arguments:
        raise click.UsageError("Give the PATH to write, or --endpoint.")
    return arguments[:-1], arguments[-1]


def _found(
    store: TrajectoryStore, filters: dict[str, str | None], limit: int | None
) -> tuple[str, ...]:
    """Ids of the trajectories that `list` would show, newest first."""
    found = store.sql(QUERY, {**filters, "unjudged": False})
    rows = found if limit is None else found.limit(limit)
    return tuple(trajectory_id for (trajectory_id,) in rows.project("trajectory_id").fetchall())


def _trajectories(store: TrajectoryStore, ids: tuple[str, ...]) -> Iterator[Trajectory]:
    for trajectory_id in ids:
        yield store.trajectory(trajectory_id)
