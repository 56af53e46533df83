"""The figures of the viewer can be taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benches import printed

pytestmark = pytest.mark.slow


def test_a_small_run_is_measured(root: Path) -> None:
    told = printed(root, "viewer.py", "--spans", "300", "--frames", "5", "--runs", "1")

    assert "not measured" in told or "first rows" in told
