"""What every test may rely on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Examples are drawn alike in every run; --hypothesis-profile=default draws others each time. How
# long one takes says more of the machine than of what is tested.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

# A checkout that is not installed has no entry point for our plug-in; named alike, twice is once.
pytest_plugins = ["otel_traj.testing"]

# Whoever runs us in the background may ignore SIGINT or SIGHUP; programs that we start would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout, or the folder into which tests and docs were copied to test a wheel."""
    return ROOT
