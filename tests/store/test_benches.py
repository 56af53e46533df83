"""The measures of `bench/`, a small share of each: what they check must hold, and they must run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.benches import printed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL"),
]


def test_killed_at_random_instants_a_store_loses_nothing(root: Path) -> None:
    told = printed(root, "faults.py", "--kills", "8", "--cuts", "300")

    assert "kills         n=8" in told


def test_reads_beside_writers_a_sealer_and_compaction_are_consistent(root: Path) -> None:
    told = printed(root, "concurrency.py", "--seconds", "4", "--writers", "2", "--readers", "1")

    assert "inconsistent 0" in told


def test_all_that_comes_in_is_acknowledged_and_queryable(root: Path) -> None:
    told = printed(
        root, "ingest.py", *("--seconds", "0.2", "--spans", "5000", "--commits", "20"),
        *("--profile", "500", "--days", "3", "--spans-per-day", "40"),
    )  # fmt: skip

    assert "sustained to SQL" in told
    assert "(n=5,000)" in told
    assert "seal into 3 days with 120 spans" in told


def test_assembly_is_measured_in_its_parts(root: Path) -> None:
    told = printed(root, "assembly_speed.py", "--spans", "100", "--longest", "200")

    for part in ("decoding", "hashing", "assembly"):
        assert part in told


def test_every_flipped_bit_is_named_by_verify(root: Path) -> None:
    told = printed(root, "damage.py", "--flips", "25")

    assert "verify   names 25 (goal 25)" in told
