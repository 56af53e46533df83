"""Small shares of the benches of the counting analyses: they run, and print what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benches import printed

pytestmark = pytest.mark.slow


def test_graph_variants_and_gapped_patterns_are_those_of_other_libraries(root: Path) -> None:
    for peer in ("pm4py", "prefixspan"):
        if not (root / ".frameworks" / peer / "made-of").exists():
            pytest.skip(f"bench/process_map.py has made no environment with {peer} yet")
    runs = str(root / "tests" / "data" / "corpus")

    told = printed(root, "process_map.py", "--events", "2000", "--repeat", "1", "--data", runs)

    assert "variants, 0 differ from pm4py's" in told
    assert "closed, 0 differ from prefixspan's" in told
    assert "2,000 events of 100 runs made in SQL" in told


def test_analyses_are_timed_over_a_made_store(root: Path) -> None:
    told = printed(root, "analyses.py", "--spans", "600", "--repeat", "1", "latency", "waste")

    assert "30 runs, 600 spans; median of 1, warm" in told
    assert [line.split()[3] for line in told.splitlines()[2:]] == ["latency", "waste"]
