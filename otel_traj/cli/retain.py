"""`otel-traj retain`: what is old, too much or too large goes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otel_traj.cli.frame import examples, store_option
from otel_traj.cli.output import Format, emit, format_option
from otel_traj.errors import ConfigurationError
from otel_traj.words import count

if TYPE_CHECKING:
    from otel_traj.model import Outcome
    from otel_traj.store.removal import Amount
    from otel_traj.store.retention import Expired


class Read(click.ParamType):  # type: ignore[type-arg]
    """What a function of `otel_traj.store.rules` reads."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta | int:
        """Read it, or refuse it in the words of that function."""
        from otel_traj.store import rules

        try:
            found: timedelta | int = getattr(rules, self.name)(str(value))
        except ConfigurationError as error:
            self.fail(f"{error}.", param, ctx)
        return found


@click.command(
    epilog=examples(
        "otel-traj retain --older-than 30d",
        "otel-traj retain --older-than 7d --outcome success --agent support --yes",
        "otel-traj retain --keep 10000 --max-bytes 5GB --yes",
        "otel-traj retain --yes",
    )
)
@click.option(
    "--older-than",
    type=Read("duration"),
    metavar="TIME",
    help="What ended so long ago goes: 30d, 12h, 0d.",
)
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="All but the newest N go.")
@click.option(
    "--max-bytes",
    type=Read("size"),
    metavar="SIZE",
    help="The oldest go until the rest has about so much: 5GB, 500MB.",
)
@click.option(
    "--outcome",
    type=click.Choice(("success", "failure", "partial", "error", "unknown")),
    help="The limits are for runs that were this good.",
)
@click.option("--agent", metavar="NAME", help="The limits are for runs of this agent.")
@click.option("--yes", is_flag=True, help="Do it, and do not only tell what would go.")
@format_option
@store_option
def command(
    older_than: timedelta | None,
    keep: int | None,
    max_bytes: int | None,
    outcome: Outcome | None,
    agent: str | None,
    yes: bool,
    format_: Format,
    store: Path,
) -> None:
    """Let trajectories go that are too old, too many or too large.

    Without --yes it only lists them. Pinned ones stay (`otel-traj pin`), and those that are still
    recorded. Without --outcome and --agent, health checks and whatever else belongs to no
    trajectory go with the trajectories of their time. Without any limit, those of [[retain]] in the
    store's rules.toml count. What must be gone from the disk at once is for `otel-traj delete`.
    """
    from otel_traj.store import open_store

    report = open_store(store).retain(
        older_than=older_than,
        keep=keep,
        max_bytes=max_bytes,
        outcome=outcome,
        agent=agent,
        dry_run=not yes,
    )
    if report.expired or format_ != "table":
        _print_expired(report.expired, format_)
    stays = {"pinned": report.n_pinned, "still recorded": report.n_running}
    click.echo(
        f"{count(len(report.expired), 'trajectory')} {'gone' if yes else 'would go'}"
        f" ({told(report.amount)})"
        + "".join(f"; {n:,} {why} stay" for why, n in stays.items() if n)
        + ("." if yes else "; --yes does it."),
        err=True,
    )


def told(amount: Amount) -> str:
    """How much, in words: `1,204 spans, 322 steps, about 1,200,000 bytes`."""
    rows = {"spans": "span", "logs": "log", "steps": "step", "annotations": "annotation"}
    parts = [
        count(amount.rows[table], noun) for table, noun in rows.items() if table in amount.rows
    ]
    return ", ".join([*parts, f"about {amount.bytes:,} bytes"])


def _print_expired(expired: Iterable[Expired], format_: Format) -> None:
    import duckdb
    import pyarrow as pa

    rows = list(expired)
    found = pa.table(
        {
            "id": pa.array([row.trajectory_id for row in rows], pa.string()),
            "started": pa.array([row.start_time for row in rows], pa.timestamp("us", tz="UTC")),
            "agent": pa.array([row.agent_name for row in rows], pa.string()),
            "outcome": pa.array([row.outcome for row in rows], pa.string()),
            "beyond": pa.array([row.limit for row in rows], pa.string()),
        }
    )
    with duckdb.connect() as connection:
        emit(connection.from_arrow(found), format_)
