"""Small shares of the benches of patterns: they run, and print what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benches import printed
from tests.corpus import third_party

pytestmark = pytest.mark.slow


def test_no_pattern_is_invented_where_outcomes_are_shuffled(root: Path) -> None:
    third_party("taubench-airline-gpt4o")

    told = printed(root, "patterns_null.py", "--shuffles", "2", "--data", "taubench-airline-gpt4o")

    assert "by frequency alone 66 patterns" in told
    assert "shuffled, n=2: established 0.000 a shuffle" in told


def test_an_effect_is_found_and_decoys_are_not(root: Path) -> None:
    told = printed(root, "patterns_power.py", "--worlds", "1")

    works, decoy, _ = told.splitlines()[1:]
    assert works.startswith("  works, n=1: established 100.0%")
    assert "established" not in decoy


def test_traps_in_real_runs_are_seen(root: Path) -> None:
    third_party("sregym-stratus")

    told = printed(root, "traps.py")

    assert "conductor_submit_None fails 611 of 611 times" in told
    assert told.endswith("3 of 3 traps seen\n")
