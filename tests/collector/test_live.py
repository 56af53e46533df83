"""A run is seen while it goes on, also through a Collector; one that hangs stands out."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from otel_traj.cli import main
from otel_traj.store import open_store
from tests.collector.running import HASTE, NO_JAEGER, Collecting, collecting, needs_collector
from tests.server.serving import serving, wait_for

pytestmark = [pytest.mark.slow, needs_collector]

AGENT = """
import sys
import otel_traj
recording = otel_traj.instrument(sinks=("otlp",), content=True, instrumentors=())
with otel_traj.trajectory("a long one", agent="clerk", trajectory_id="long"):
    with otel_traj.inference("m-1", provider="openai", input="Go on?") as call:
        call.output("I wait.")
    with otel_traj.tool_call("wait", arguments={"for": "a line"}):
        sys.stdin.readline()
recording.shutdown()
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "traces"


@pytest.fixture
def collector(tmp_path: Path, store: Path) -> Iterator[Collecting]:
    with (
        serving(store) as service,
        collecting(tmp_path, *HASTE, NO_JAEGER, OTEL_TRAJ_RECEIVER=service.http) as running,
    ):
        yield running


@contextlib.contextmanager
def waiting_agent(collector: Collecting) -> Iterator[subprocess.Popen[str]]:
    """An agent that has told of all it does and waits in a tool; nobody flushes for it."""
    process = subprocess.Popen(
        [sys.executable, "-c", AGENT],
        stdin=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OTEL_TRAJ_LIVE": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BLRP_SCHEDULE_DELAY": "50",
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    return open_store(store).sql(query).fetchall()


RUN = "select trajectory_id, status, n_open, task from trajectories"
STEPS = "select kind, status, coalesce(tool_name, model) from steps order by step"


def test_a_run_is_in_the_store_while_it_goes_on_and_then_as_any_other(
    collector: Collecting, store: Path
) -> None:
    with waiting_agent(collector) as agent:
        wait_for(lambda: rows(store, RUN) == [("long", "open", 2, "a long one")])
        wait_for(lambda: ("llm", "ok", "m-1") in rows(store, STEPS))
        assert rows(store, STEPS)[-1] == ("tool", "open", "wait")

        agent.communicate("go on\n", timeout=60)

    wait_for(lambda: rows(store, RUN) == [("long", "completed", 0, "a long one")])
    assert [status for _, status, _ in rows(store, STEPS)].count("open") == 0


def test_a_run_that_hangs_or_was_killed_is_told_by_doctor(
    collector: Collecting, store: Path
) -> None:
    with waiting_agent(collector) as agent:
        wait_for(lambda: ("tool", "open", "wait") in rows(store, STEPS))
        agent.kill()

    told = CliRunner().invoke(main, ["doctor", "--store", str(store), "--format", "json"])
    [run] = json.loads(told.output)["open_runs"]
    assert run.pop("last_heard")
    assert run == {
        "trajectory_id": "long",
        "agent_name": "clerk",
        "waits_for": "tool",
        "waits_for_name": "wait",
    }
    text = CliRunner().invoke(main, ["doctor", "--store", str(store)]).output
    assert "1 trajectory still open, or cut off; 2 spans never seen to end\n" in text
    [line] = [line.split() for line in text.splitlines() if line.startswith("long ")]
    assert (line[:2], line[-2:]) == (["long", "clerk"], ["tool", "wait"])
