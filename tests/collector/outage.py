"""Agents go on while the receiver is away and the Collector dies; how long it takes to catch up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from otel_traj import exporters
from otel_traj.store import TrajectoryStore, open_store
from tests.collector.fleet import derived, sailing
from tests.collector.running import HASTE, NO_JAEGER, collecting
from tests.server.serving import serving, wait_for

Rows: TypeAlias = dict[str, list[dict[str, Any]]]

PACE_S: Final = 0.2
"""Between two runs of an agent while it goes on."""

DUPLICATES: Final = "otel_traj_sealer_records_duplicate_total"


@dataclass(frozen=True)
class Outage:
    """What came of it.

    Attributes:
        services: The agents.
        n_runs: Runs that they made in all.
        n_spans: Spans of these.
        n_while_away: Runs of these that were made while the receiver was away.
        away_s: How long it was.
        catch_up_s: From its return until all of these can be queried.
        recorded: What the agents' own stores derive, by table.
        received: What the receiver's store derives.
        received_again: The same after every span has been sent once more.
        n_duplicates: Spans and logs that were dropped then, for being there already.
    """

    services: tuple[str, ...]
    n_runs: int
    n_spans: int
    n_while_away: int
    away_s: float
    catch_up_s: float
    recorded: Rows
    received: Rows
    received_again: Rows
    n_duplicates: int


def live_through(folder: Path, *, runs: int, away_s: float) -> Outage:
    """Let agents make `runs` runs, then kill receiver and Collector under them.

    Args:
        folder: Where everything is kept.
        runs: Of each agent between two events.
        away_s: How long the receiver is away at least; agents make a run every `PACE_S` meanwhile.
    """
    store = folder / "traces"
    with (
        serving(store) as first,
        collecting(folder, *HASTE, NO_JAEGER, OTEL_TRAJ_RECEIVER=first.http) as collector,
        sailing(folder, collector) as fleet,
    ):
        fleet.record(runs)
        wait_for(lambda: _count(store) == runs * len(fleet.agents))

        first.kill()
        began = time.monotonic()
        fleet.record(runs)

        collector.kill()
        fleet.begin(runs)  # agents wait for the Collector as it does for the receiver
        with collecting(
            folder, *HASTE, NO_JAEGER, listen=collector, OTEL_TRAJ_RECEIVER=first.http
        ) as second_collector:
            fleet.finish()
            rounds = 3 * runs
            while time.monotonic() - began < away_s:
                fleet.record(1)
                rounds += 1
                time.sleep(PACE_S)
            away = time.monotonic() - began

            with serving(store, *first.options) as second:
                back = time.monotonic()
                wait_for(lambda: _count(store) == rounds * len(fleet.agents), timeout_s=120)
                catch_up = time.monotonic() - back
                fleet.stop()

                recorded_by = [agent.store() for agent in fleet.agents]
                n_spans = sum(_count(agent, "spans") for agent in recorded_by)
                recorded, received = derived(*recorded_by), derived(open_store(store))

                dropped = second.metrics()[DUPLICATES]
                for agent in recorded_by:
                    exporters.export(
                        agent.trajectories(),
                        "otlp",
                        second_collector.endpoint,
                        store=agent,
                        verbatim=True,
                    )
                wait_for(lambda: second.metrics()[DUPLICATES] - dropped >= n_spans)
                return Outage(
                    services=tuple(agent.service for agent in fleet.agents),
                    n_runs=rounds * len(fleet.agents),
                    n_spans=n_spans,
                    n_while_away=(rounds - runs) * len(fleet.agents),
                    away_s=away,
                    catch_up_s=catch_up,
                    recorded=recorded,
                    received=received,
                    received_again=derived(open_store(store)),
                    n_duplicates=int(second.metrics()[DUPLICATES] - dropped),
                )


def _count(store: Path | TrajectoryStore, table: str = "trajectories") -> int:
    opened = open_store(store) if isinstance(store, Path) else store
    [(n,)] = opened.sql(f"select count(*) from {table}").fetchall()
    return int(n)
