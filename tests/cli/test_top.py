"""`otel-traj top`: what agents do now."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.model import SpanRecord
from otel_traj.store import TrajectoryStore
from tests.cli.conftest import Run
from tests.store.runs import chat, root, run, started, tool


def now(record: SpanRecord, *, seconds_ago: float) -> SpanRecord:
    """The same span as it began so long ago."""
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__}
    start_ns = time.time_ns() - round(seconds_ago * 1e9)
    end_ns = None if record.end_ns is None else start_ns + 10**6
    return SpanRecord(**{**fields, "start_ns": start_ns, "end_ns": end_ns})


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    """One run that runs, one that hangs in a tool, one judged, one of last week."""
    store = TrajectoryStore.create(tmp_path / "traces")
    store.append([now(started(root(1)), seconds_ago=5), now(chat(1, 1), seconds_ago=4)])
    hung = [started(root(2)), started(tool(2, 1))]
    store.append([now(span, seconds_ago=3000) for span in hung])
    judged = run(3, **{semconv.OUTCOME: "success"})
    store.append([now(span, seconds_ago=60) for span in judged])
    store.append([now(span, seconds_ago=7 * 86_400) for span in run(4)])
    return store.path


def look(run: Run, *arguments: str | Path) -> dict[str, Any]:
    ran = run("top", "--once", "--format", "json", *arguments)
    assert (ran.status, ran.err) == (0, "")
    told: dict[str, Any] = json.loads(ran.out)
    return told


def test_programs_get_one_object(run: Run, busy: Path) -> None:
    told = look(run, busy)

    counts = ("n_running", "n_hung", "n_open_steps", "n_ended", "n_judged", "n_success")
    assert [told["all"][name] for name in counts] == [1, 1, 1, 1, 1, 1]
    assert [agent["agent_name"] for agent in told["agents"]] == ["clerk"]
    assert [(found["state"], found["name"]) for found in told["open_runs"]] == [
        ("hung", "lookup"),
        ("running", None),
    ]
    assert told["window_s"] == 3600


def test_window_silence_and_agent_can_be_chosen(run: Run, busy: Path) -> None:
    assert look(run, "--window", "30d", "--store", busy)["all"]["n_ended"] == 2
    assert look(run, "--hung-after", "2h", "--store", busy)["all"]["n_running"] == 2
    assert look(run, "--agent", "nobody", "--store", busy)["all"] is None


def test_without_a_terminal_it_looks_once(run: Run, busy: Path) -> None:
    ran = run("top", "--store", busy)

    assert ran.status == 0
    assert "1 running, 1 hung, 1 open step" in ran.out
    assert "1 of 1 judged succeed (100 %)" in ran.out
    assert "lookup" in ran.out


def test_when_nothing_happens_it_says_so(run: Run, empty_store: Path) -> None:
    ran = run("top", "--store", empty_store)

    assert "nothing runs, and nothing ended in the last 1 h 0 min" in ran.out


def test_hostile_names_are_harmless(run: Run, tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    name = {semconv.AGENT_NAME: "\x1b[31m[red]boss", semconv.TASK: "\x1b]0;x\x07"}
    store.append([now(started(root(1, **name)), seconds_ago=5)])

    ran = run("top", "--store", store.path)

    assert "\x1b" not in ran.out
    assert "␛[31m[red]boss" in ran.out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_it_looks_again_while_others_write_until_ctrl_c(busy: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "otel_traj.cli", "top", "--every", "0.1s", str(busy)]
    path = os.pathsep.join(filter(None, sys.path))
    terminal = {"COLUMNS": "120", "LINES": "40", "TERM": "xterm"}
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **terminal, "PYTHONPATH": path},
    ) as watching:
        os.close(theirs)
        try:
            read_until(ours, "1 running")
            TrajectoryStore(busy).append([now(started(root(8)), seconds_ago=1)])
            read_until(ours, "2 running")
            watching.send_signal(signal.SIGINT)
            read_until(ours, "")
        finally:
            watching.kill()
            os.close(ours)

    assert watching.returncode == 130


def read_until(terminal: int, text: str) -> None:
    """Read what a program shows until a text is among it, or, for no text, until it ends."""
    shown = b""
    while not text or text.encode() not in shown:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the program has ended
            assert not text, shown
            return
