"""A small share of `bench/jaeger.py`: every question is answered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from otel_traj.store import TrajectoryStore
from tests.store.runs import run

pytestmark = pytest.mark.slow


def test_every_question_is_answered(root: Path, store: Path) -> None:
    script = root / "bench" / "jaeger.py"
    if not script.exists():
        pytest.skip("bench/ is in the checkout only")
    TrajectoryStore.create(store).append(run(1))

    ran = subprocess.run(
        [sys.executable, str(script), "--store", str(store), "--repeat", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    for what in ("services", "the newest 20 traces", "one trace by its id"):
        assert f" {what}\n" in ran.stdout
