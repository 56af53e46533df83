"""Agents, a real Collector, the receiver: whichever of the two is away, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from otel_traj import otlp
from otel_traj.store import open_store
from tests.collector import build
from tests.server.serving import ask, serving, wait_for
from tests.store.runs import run

COLLECTOR = build.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COLLECTOR is None, reason="no collector: python tests/collector/build.py"),
]


@pytest.fixture
def configuration(root: Path, tmp_path: Path) -> Path:
    """The one of docs/receiving.md, which sends what it has every second: here more often."""
    documents = (root / "docs" / "receiving.md").read_text()
    [shown] = re.findall(r"```yaml\n(.*?)```", documents, re.DOTALL)
    path = tmp_path / "collector.yaml"
    path.write_text(shown.replace("flush_timeout: 1s", "flush_timeout: 50ms"))
    return path


@contextlib.contextmanager
def collecting(
    configuration: Path, receiver: str, *settings: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A Collector that sends to `receiver`: where it listens over HTTP, and its process."""
    grpc, http = (f"127.0.0.1:{_free_port()}" for _ in range(2))
    protocols = "receivers::otlp::protocols"
    exporter = "exporters::otlp_http/trajectories"
    process = subprocess.Popen(
        [
            str(COLLECTOR),
            f"--config={configuration}",
            "--set=service::telemetry::metrics::level=none",
            f"--set={protocols}::grpc::endpoint={grpc}",
            f"--set={protocols}::http::endpoint={http}",
            f"--set={exporter}::retry_on_failure::initial_interval=100ms",
            f"--set={exporter}::retry_on_failure::max_interval=500ms",
            *(f"--set={exporter}::{setting}" for setting in settings),
        ],
        env={
            **os.environ,
            "OTEL_TRAJ_QUEUE": str(configuration.parent / "queue"),
            "OTEL_TRAJ_RECEIVER": receiver,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Everything is ready" in line:
            break
    try:
        yield http, process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


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
    store: Path, configuration: Path, compression: str
) -> None:
    setting = f"compression={compression}"
    with serving(store) as first, collecting(configuration, first.http, setting) as (endpoint, _):
        send_runs(endpoint, range(1, 21))
        first.kill()
        send_runs(endpoint, range(21, 41))
        with serving(store, *first.options) as second:
            send_runs(endpoint, range(41, 61))
            wait_for(lambda: stored_runs(store)[0][0] == 60)
            assert second.stop() == 0

    assert stored_runs(store) == [(60, 4, 4)]
    noted = "select count(*), count(*) filter (attributes like '%sk-ant%') from spans"
    with_note = f"{noted} where attributes like '%note%'"
    assert open_store(store).sql(with_note).fetchall() == [(60, 0)]


def test_what_a_collector_has_taken_survives_its_death(store: Path, configuration: Path) -> None:
    nobody = f"http://127.0.0.1:{_free_port()}"
    with collecting(configuration, nobody) as (endpoint, process):
        send_runs(endpoint, range(1, 21))
        process.kill()
        process.wait()

    with serving(store) as service, collecting(configuration, service.http):
        wait_for(lambda: stored_runs(store)[0][0] == 20)

    assert stored_runs(store) == [(20, 4, 4)]
