"""`otel-traj demo` as a new user runs it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import otel_traj
from otel_traj import demo

pytestmark = pytest.mark.slow

CHECKOUT = Path(otel_traj.__file__).parents[1]


def otel_traj_command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    roots = [CHECKOUT, CHECKOUT / "exporters", CHECKOUT / "analysis"]
    return subprocess.run(
        [sys.executable, "-m", "otel_traj", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))},
        capture_output=True,
        text=True,
        check=True,
    )


def test_demo_shows_runs_a_waterfall_and_answers_and_what_it_proposes_works(tmp_path: Path) -> None:
    shown = otel_traj_command("demo", "--store", "my traces", folder=tmp_path)

    lines = shown.stdout.splitlines()
    tasks = [line for line in lines if "Repair " in line and " passes." in line]
    bars = [line for line in lines if "█" in line or "▒" in line]
    *proposed, view = [line.strip() for line in lines if line.startswith("    otel-traj ")]
    assert len(tasks) == 6
    assert len(bars) == 24
    assert all(question.sql in shown.stdout for question in demo.QUESTIONS)
    assert [shlex.split(line)[1] for line in proposed] == ["show", "sql", "analyze", "doctor"]
    assert shlex.split(view) == ["otel-traj", "view", "--store", "my traces"]
    for line in proposed:
        assert otel_traj_command(*shlex.split(line)[1:], folder=tmp_path).stdout
    # Standard output is for what was found; what is being done is told on standard error.
    assert "slugs, prompt v1: success, 100% of the tests pass" in shown.stderr
    assert "prompt v1" not in shown.stdout
