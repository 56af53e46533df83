"""Runs scripts of `bench/` with small numbers, for tests that look at what they print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def printed(root: Path, script: str, *arguments: str) -> str:
    """What a script prints; it must find nothing wrong. Skipped where there is no checkout."""
    path = root / "bench" / script
    if not path.exists():
        pytest.skip("bench/ is in the checkout only")
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout
