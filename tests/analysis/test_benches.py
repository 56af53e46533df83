"""Small shares of the benches of patterns: they run, and print what they are for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("OTEL_TRAJ_DATA", Path(__file__).parents[3] / "shared" / "data"))


def needs(data_set: str) -> None:
    """Skip where that data is not."""
    if not (DATA / data_set).exists():
        pytest.skip(f"no third-party data at {DATA}; set OTEL_TRAJ_DATA")


def printed(root: Path, script: str, *arguments: str) -> str:
    """What a script of `bench/` prints; it must find nothing wrong."""
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
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_no_pattern_is_invented_where_outcomes_are_shuffled(root: Path) -> None:
    needs("taubench-airline-gpt4o")

    told = printed(root, "patterns_null.py", "--shuffles", "2", "--data", "taubench-airline-gpt4o")

    assert "by frequency alone 66 patterns" in told
    assert "shuffled, n=2: established 0.000 a shuffle" in told


def test_an_effect_is_found_and_decoys_are_not(root: Path) -> None:
    told = printed(root, "patterns_power.py", "--worlds", "1")

    works, decoy, _ = told.splitlines()[1:]
    assert works.startswith("  works, n=1: established 100.0%")
    assert "established" not in decoy


def test_traps_in_real_runs_are_seen(root: Path) -> None:
    needs("sregym-stratus")

    told = printed(root, "traps.py")

    assert "conductor_submit_None fails 611 of 611 times" in told
    assert told.endswith("3 of 3 traps seen\n")
