"""A small share of bench/attribution.py: it beats a guess, and prints accuracies with n."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benches import printed
from tests.corpus import third_party

pytestmark = pytest.mark.slow


def test_attribution_is_measured_beside_baselines(root: Path) -> None:
    data = third_party("whoandwhen")

    told = printed(root, "attribution.py", "--runs", "12", "--data", str(data))

    rows = [line.split() for line in told.splitlines()]
    attributed = [(row[1], float(row[2]), float(row[6])) for row in rows if "attribution" in row]
    guessed = [float(row[4]) for row in rows if row[:2] == ["any", "entry"]]
    assert [n for n, *_ in attributed] == ["12", "12"]
    assert all(step > guess for (_, step, _), guess in zip(attributed, guessed, strict=True)), told
