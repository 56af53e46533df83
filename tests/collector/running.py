"""A real Collector in a process of its own, with a shipped configuration, on free ports."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from otel_traj.cli.collector_config import configuration
from tests.collector import build

COLLECTOR: Final = build.find()
needs_collector: Final = pytest.mark.skipif(
    COLLECTOR is None, reason="no collector: python tests/collector/build.py"
)

# What keeps a test waiting: how long batches and retries take.
_TRAJECTORIES: Final = "exporters::otlp_http/trajectories"
HASTE: Final = (
    f"{_TRAJECTORIES}::sending_queue::batch::flush_timeout=50ms",
    f"{_TRAJECTORIES}::retry_on_failure::initial_interval=100ms",
    f"{_TRAJECTORIES}::retry_on_failure::max_interval=500ms",
)
NO_JAEGER: Final = "service::pipelines::traces::exporters=[otlp_http/trajectories]"


@dataclass
class Collecting:
    """A running Collector: its process, and `HOST:PORT` of its listeners."""

    process: subprocess.Popen[bytes]
    grpc: str
    http: str

    @property
    def endpoint(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to, for OTLP over HTTP."""
        return f"http://{self.http}"

    def stop(self) -> None:
        """End it as an operator would."""
        self.process.terminate()
        self.process.communicate(timeout=60)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.communicate(timeout=60)


@contextlib.contextmanager
def collecting(
    folder: Path,
    *settings: str,
    variant: str = "receiver",
    text: str | None = None,
    listen: Collecting | None = None,
    gates: str = "",
    **environment: str,
) -> Iterator[Collecting]:
    """A Collector that has begun to listen.

    Args:
        folder: Where it keeps its queue and leaves files; another one may go on with them.
        settings: `a::b::c=value` in place of what the configuration says.
        variant: Which of the shipped configurations.
        text: A configuration in place of a shipped one.
        listen: One that has ended, in whose place this one listens.
        gates: Features that are off by default, with commas.
        environment: What the configuration asks the environment for.
    """
    file = folder / "collector.yaml"
    file.write_text(text or configuration(variant))
    grpc, http = (listen.grpc, listen.http) if listen else (free_address(), free_address())
    protocols = "receivers::otlp::protocols"
    sets = (
        "service::telemetry::metrics::level=none",
        f"{protocols}::grpc::endpoint={grpc}",
        f"{protocols}::http::endpoint={http}",
        *settings,
    )
    process = subprocess.Popen(
        [
            str(COLLECTOR),
            f"--config={file}",
            f"--feature-gates={gates}",
            *(f"--set={setting}" for setting in sets),
        ],
        env={
            **os.environ,
            "OTEL_TRAJ_QUEUE": str(folder / "queue"),
            "OTEL_TRAJ_INBOX": str(folder / "inbox"),
            **environment,
        },
        stderr=subprocess.PIPE,
    )
    running = Collecting(process, grpc, http)
    try:
        _await_ready(process)
        yield running
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _await_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line.decode())
        if "Everything is ready" in said[-1]:
            return
    raise AssertionError(f"it ended with status {process.wait()}: {''.join(said)}")


def free_address() -> str:
    """`HOST:PORT` on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"
