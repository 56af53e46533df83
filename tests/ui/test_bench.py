"""The figures of the viewer can be taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benches import printed

pytestmark = pytest.mark.slow


def test_a_small_run_is_measured(root: Path) -> None:
    told = printed(root, "viewer.py", "--spans", "300", "--frames", "5", "--runs", "1")

    assert "not measured" in told or "first rows" in told


def test_a_small_comparison_is_measured(root: Path) -> None:
    told = printed(root, "comparing.py", "--steps", "40", "--runs", "1")

    assert "align, polling" in told
    assert "page" in told


def test_a_short_run_is_watched_live(root: Path) -> None:
    told = printed(root, "viewer_live.py", "--spans", "300", "--rate", "600", "--cuts", "1")

    assert "not measured" in told or "300 shown: 0 missing, 0 double" in told
