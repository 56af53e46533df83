"""A small share of `bench/receiver.py`: it runs, and all that was acknowledged can be queried."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

FIGURES = ("acknowledged", "sustained", "request", "peak memory", "CPU")


def bench(root: Path, *options: str) -> str:
    """What the bench tells of a tiny load."""
    script = root / "bench" / "receiver.py"
    if not script.exists():
        pytest.skip("bench/ is in the checkout only")
    done = subprocess.run(
        [sys.executable, str(script), "--spans", "2000", "--transport", "grpc", *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_everything_acknowledged_can_be_queried_also_at_a_rate(root: Path) -> None:
    told = bench(root, "--minutes", "0.02")

    for figure in FIGURES:
        assert f"otel-traj grpc: {figure}" in told
    assert "0.02 minutes at" in told
    assert told.count(" min: at most receiver ") == 4


def test_jaeger_gets_the_same_load_or_it_is_told_why_not(root: Path) -> None:
    told = bench(root, "--peers", "jaeger-durable")

    if "jaeger-durable skipped: not built" not in told:
        for figure in FIGURES:
            assert f"jaeger-durable grpc: {figure}" in told
        assert "otel-traj / jaeger-durable grpc: acknowledged" in told
