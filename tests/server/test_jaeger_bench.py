"""A small share of `bench/jaeger.py`: every question is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_traj.store import TrajectoryStore
from tests.benches import printed
from tests.store.runs import run

pytestmark = pytest.mark.slow


def test_every_question_is_answered(root: Path, store: Path) -> None:
    TrajectoryStore.create(store).append(run(1))

    told = printed(root, "jaeger.py", "--store", str(store), "--repeat", "1")

    for what in ("services", "the newest 20 traces", "one trace by its id"):
        assert f" {what}\n" in told
