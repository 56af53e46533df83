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


def test_everything_acknowledged_can_be_queried(root: Path) -> None:
    script = root / "bench" / "receiver.py"
    if not script.exists():
        pytest.skip("bench/ is in the checkout only")
    done = subprocess.run(
        [sys.executable, str(script), "--spans", "2000", "--transport", "grpc"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    for figure in ("acknowledged", "queryable", "request", "peak memory", "CPU"):
        assert f"grpc: {figure}" in done.stdout
