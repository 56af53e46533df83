"""Programs as people write them, in processes of their own, and the runs that they leave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

import otel_traj
from otel_traj.capture import guard
from otel_traj.capture.recording import Recording

HEAD = """
import asyncio, os, signal, sys, threading, time
import otel_traj
recording = otel_traj.instrument(sys.argv[1], instrumentors=(), seal=False)
"""

Start = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., str]
Tools = dict[str, list[str]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "traces"


@pytest.fixture
def instrument(store: Path) -> Iterator[Callable[..., Recording]]:
    """`instrument()` of this process into the test's store, undone at the end; faults fail it."""
    begun: list[Recording] = []

    def begin(**arguments: Any) -> Recording:
        defaults: dict[str, Any] = {
            "instrumentors": (),
            "seal": False,
            "tracer_provider": TracerProvider(shutdown_on_exit=False),
            "logger_provider": LoggerProvider(shutdown_on_exit=False),
        }
        begun.append(otel_traj.instrument(store, **{**defaults, **arguments}))
        return begun[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "RERAISE", True)
        yield begin
        for each in begun:
            each.shutdown()


@pytest.fixture
def start(store: Path, tmp_path: Path) -> Start:
    """Starts a program; a file, since children that are not forked import it again."""

    def begin(program: str, head: str = HEAD, **environment: str) -> subprocess.Popen[str]:
        file = tmp_path / "program.py"
        file.write_text(head + program)
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(file), str(store)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


@pytest.fixture
def run(start: Start) -> Run:
    """Runs a program to its end, which must be a good and quiet one; gives its output."""

    def to_the_end(program: str, head: str = HEAD, **environment: str) -> str:
        process = start(program, head, **environment)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        return output

    return to_the_end


@pytest.fixture
def tools(store: Path) -> Callable[[], Tools]:
    """Task of each run in the store -> the tools that it used, in order of name."""

    def read() -> Tools:
        found = otel_traj.open_store(store).trajectories()
        return {run.task or "": sorted(run.tools) for run in found}

    return read


@pytest.fixture
def trajectories(store: Path) -> Callable[[], list[Any]]:
    """The runs in the store, by task."""

    def read() -> list[Any]:
        found = otel_traj.open_store(store).trajectories()
        return sorted(found, key=lambda run: run.task or "")

    return read
