"""A small share of `bench/viewer_api.py`: every question of a page is answered and timed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.benches import printed

pytestmark = pytest.mark.slow


def test_every_question_is_answered(root: Path) -> None:
    told = printed(root, "viewer_api.py", "--spans", "400", "--repeat", "1", "--long", "30")

    asked = re.findall(r"^(.+?) +first +\d+ ms   p50 +[\d.]+   p95 +[\d.]+   cpu", told, re.M)
    assert {"newest 100", "with a text in messages", "facets", "30 spans/spans"} <= set(asked)
