"""Agents of several kinds, each a process of its own, that send to a Collector.

Each also records where it runs, so that what came through can be compared with what was. An agent
reads numbers, makes so many runs for each, sends what it has, and answers whether that worked.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from otel_traj import importers
from otel_traj.demo.model_server import Answer, ModelServer, Script, ToolCall
from otel_traj.store import TrajectoryStore, open_store
from tests import entry_points
from tests.collector import build
from tests.collector.running import Collecting
from tests.server.serving import ROOT

HERE: Final = Path(__file__).parent / "agents"
INSTRUMENT: Final = shutil.which("opentelemetry-instrument", path=str(Path(sys.executable).parent))
NODE: Final = shutil.which("node") if build.NODE_MODULES.exists() else None

_ANSWERS: Final = (
    Answer(calls=(ToolCall("look"),)),
    Answer(text="There is a, and there is b."),
)
_SCRIPT: Final = Script({"agents": {"gpt-5-mini": _ANSWERS}})


@dataclass
class Agent:
    """A running agent.

    Attributes:
        service: What it calls itself.
        process: It.
        recorded: Its own store, or the file that it writes.
    """

    service: str
    process: subprocess.Popen[str]
    recorded: Path

    def begin(self, n: int) -> None:
        """Have it make so many runs."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()

    def finish(self) -> None:
        """Wait until these are sent."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "True\n", self.service

    def store(self) -> TrajectoryStore:
        """What it recorded where it ran."""
        if self.recorded.is_dir():
            return open_store(self.recorded)
        store = TrajectoryStore.create(self.recorded.with_suffix(""))
        store.append(importers.read(self.recorded))
        return store


@dataclass
class Fleet:
    """All of them."""

    agents: Sequence[Agent]

    def record(self, n: int) -> None:
        """So many runs of each; returns when the Collector has them."""
        self.begin(n)
        self.finish()

    def begin(self, n: int) -> None:
        """Have each make so many runs."""
        for agent in self.agents:
            agent.begin(n)

    def finish(self) -> None:
        """Wait until these are sent."""
        for agent in self.agents:
            agent.finish()

    def stop(self) -> None:
        """End them as their input ends."""
        for agent in self.agents:
            agent.process.communicate(timeout=60)
            assert agent.process.returncode == 0, agent.service


@contextlib.contextmanager
def sailing(folder: Path, collector: Collecting) -> Iterator[Fleet]:
    """A fleet that sends to `collector` and records in `folder`; Node only where that is there."""
    site = folder / "site"
    entry_points.install(site, ROOT)
    with ModelServer(_SCRIPT) as model, contextlib.ExitStack() as running:

        def start(
            service: str, command: Sequence[str], suffix: str = "", **environment: str
        ) -> Agent:
            recorded = folder / f"{service}{suffix}"
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={
                    **_without_telemetry(os.environ),
                    "PYTHONPATH": os.pathsep.join([str(site), str(ROOT), *filter(None, sys.path)]),
                    "OTEL_SERVICE_NAME": service,
                    "OTEL_TRAJ_STORE": str(recorded),
                    "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
                    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
                    **environment,
                },
            )
            running.callback(_end, process)
            return Agent(service, process, recorded)

        agents = [start("verbs", [sys.executable, str(HERE / "verbs.py")])]
        if INSTRUMENT is not None:
            zero_code = [INSTRUMENT, sys.executable]
            agents += [
                start(
                    "zero_code",
                    [*zero_code, str(HERE / "zero_code.py")],
                    OTEL_PYTHON_DISTRO="otel_traj",
                    OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
                    OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.grpc}",
                    OPENAI_API_KEY="none is needed",
                    OPENAI_BASE_URL=f"{model.url}/agents/v1",
                ),
                start(
                    "plain_sdk",
                    [*zero_code, str(HERE / "plain_sdk.py")],
                    OTEL_TRACES_EXPORTER="otlp,trajectory",
                    OTEL_LOGS_EXPORTER="none",
                    OTEL_METRICS_EXPORTER="none",
                    OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
                    OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
                ),
            ]
        if NODE is not None:
            agents.append(
                start(
                    "node",
                    [NODE, str(HERE / "node.cjs")],
                    ".jsonl",
                    NODE_PATH=str(build.NODE_MODULES),
                    AGENT_FILE=str(folder / "node.jsonl"),
                )
            )
        yield Fleet(agents)


def _without_telemetry(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("OTEL_")}


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate(timeout=60)


_OF_THE_WAY: Final = {"rev", "start_seq", "n_late"}
"""Columns that tell how a run came here, not what happened in it."""

TABLES: Final = ("trajectories", "steps", "trajectory_spans", "file_changes")


def derived(*stores: TrajectoryStore) -> dict[str, list[dict[str, Any]]]:
    """All that the stores derive, by table, in an order of its own."""
    return {
        table: sorted(
            (
                {name: value for name, value in row.items() if name not in _OF_THE_WAY}
                for store in stores
                for row in store.sql(f"from {table}").to_arrow_table().to_pylist()
            ),
            key=repr,
        )
        for table in TABLES
    }
