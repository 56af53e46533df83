"""Agents, a real Collector, the receiver: nothing is lost while the receiver is away."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_traj import otlp
from otel_traj.store import open_store
from tests.collector import build
from tests.server.serving import Serving, ask, serving, wait_for
from tests.store.runs import run

COLLECTOR = build.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COLLECTOR is None, reason="no collector: python tests/collector/build.py"),
]

CONFIGURATION = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "{endpoint}"}}}}}}
processors:
  batch: {{timeout: 50ms}}
exporters:
  otlp_http:
    endpoint: {receiver}
    compression: {compression}
    retry_on_failure: {{initial_interval: 100ms, max_interval: 500ms, max_elapsed_time: 0}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [otlp_http]}}
"""


@contextlib.contextmanager
def collecting(folder: Path, receiver: Serving, compression: str) -> Iterator[str]:
    """A Collector that sends to `receiver`; where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = folder / "collector.yaml"
    configuration.write_text(
        CONFIGURATION.format(endpoint=endpoint, receiver=receiver.http, compression=compression)
    )
    process = subprocess.Popen(
        [str(COLLECTOR), "--config", str(configuration)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Everything is ready" in line:
            break
    try:
        yield endpoint
    finally:
        process.terminate()  # it sends what it has
        process.communicate(timeout=60)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_agents_send_while_the_receiver_is_away_arrives_afterwards(
    store: Path, tmp_path: Path, compression: str
) -> None:
    numbers = itertools.count(1)

    def send_runs(endpoint: str) -> None:
        for number in itertools.islice(numbers, 20):
            body = otlp.traces_to_protobuf(run(number))
            assert ask(endpoint, "POST", "/v1/traces", body).status == 200

    with serving(store) as first, collecting(tmp_path, first, compression) as endpoint:
        send_runs(endpoint)
        first.kill()
        send_runs(endpoint)
        with serving(store, *first.options) as second:
            send_runs(endpoint)
            wait_for(lambda: known(store) == 60)
            assert second.stop() == 0

    found = open_store(store).sql("select count(*), min(n_spans), max(n_spans) from trajectories")
    assert found.fetchall() == [(60, 4, 4)]


def known(store: Path) -> int:
    [(n,)] = open_store(store).sql("select count(*) from trajectories").fetchall()
    return int(n)
