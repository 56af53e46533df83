"""A small share of `bench/viewer_analyses.py`: a page is answered, and the list meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benches import printed

pytestmark = pytest.mark.slow


def test_a_page_of_analyses_is_asked_and_the_list_meanwhile(root: Path) -> None:
    told = printed(root, "viewer_analyses.py", "--spans", "500", "--repeat", "1", "cost")

    assert "\ncost " in told
    assert "    token_cost" in told
    assert "while cost is counted" in told
