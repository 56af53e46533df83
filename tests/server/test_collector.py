"""Agents, a real Collector, the receiver: whichever of the two is away, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from otel_traj import otlp
from otel_traj.store import open_store
from tests.collector.running import HASTE, NO_JAEGER, collecting, free_address, needs_collector
from tests.server.serving import ask, serving, wait_for
from tests.store.runs import run

pytestmark = [pytest.mark.slow, needs_collector]

KEY = "sk-ant-api03-" + "x" * 20


def send_runs(endpoint: str, numbers: Iterable[int]) -> None:
    for number in numbers:
        body = otlp.traces_to_protobuf(run(number, note=f"use {KEY}"))
        assert ask(endpoint, "POST", "/v1/traces", body).status == 200


def stored_runs(store: Path) -> list[tuple[int, int, int]]:
    """How many there are, and the least and most spans of one."""
    counts = "select count(*), min(n_spans), max(n_spans) from trajectories"
    return open_store(store).sql(counts).fetchall()


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_what_agents_send_while_the_receiver_is_away_arrives_afterwards(
    store: Path, tmp_path: Path, compression: str
) -> None:
    settings = (*HASTE, NO_JAEGER, f"exporters::otlp_http/trajectories::compression={compression}")
    with (
        serving(store) as first,
        collecting(tmp_path, *settings, OTEL_TRAJ_RECEIVER=first.http) as collector,
    ):
        send_runs(collector.http, range(1, 21))
        first.kill()
        send_runs(collector.http, range(21, 41))
        with serving(store, *first.options) as second:
            send_runs(collector.http, range(41, 61))
            wait_for(lambda: stored_runs(store)[0][0] == 60)
            assert second.stop() == 0

    assert stored_runs(store) == [(60, 4, 4)]
    noted = "select count(*), count(*) filter (attributes like '%sk-ant%') from spans"
    with_note = f"{noted} where attributes like '%note%'"
    assert open_store(store).sql(with_note).fetchall() == [(60, 0)]


def test_what_a_collector_has_taken_survives_its_death(store: Path, tmp_path: Path) -> None:
    nobody = f"http://{free_address()}"
    with collecting(tmp_path, *HASTE, NO_JAEGER, OTEL_TRAJ_RECEIVER=nobody) as first:
        send_runs(first.http, range(1, 21))
        first.kill()

    with (
        serving(store) as service,
        collecting(tmp_path, *HASTE, NO_JAEGER, OTEL_TRAJ_RECEIVER=service.http),
    ):
        wait_for(lambda: stored_runs(store)[0][0] == 20)

    assert stored_runs(store) == [(20, 4, 4)]
