"""A small share of `bench/receiver.py`: it runs, and all that was acknowledged can be queried."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benches import printed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

FIGURES = ("acknowledged", "sustained", "request", "peak memory", "CPU")


def test_everything_acknowledged_can_be_queried_also_at_a_rate_and_of_a_peer(root: Path) -> None:
    tiny = ["--spans", "2000", "--transport", "grpc", "--minutes", "0.02"]

    told = printed(root, "receiver.py", *tiny, "--peers", "jaeger-durable")

    for figure in FIGURES:
        assert f"otel-traj grpc: {figure}" in told
    assert "0.02 minutes at" in told
    assert told.count(" min: at most receiver ") == 4
    if "jaeger-durable skipped: not built" not in told:
        for figure in FIGURES:
            assert f"jaeger-durable grpc: {figure}" in told
        assert "otel-traj / jaeger-durable grpc: acknowledged" in told
