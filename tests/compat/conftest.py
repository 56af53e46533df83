"""Recordings into a store of the test's own; faults of ours fail the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import otel_traj
from otel_traj.capture import guard, state


@pytest.fixture(autouse=True)
def _faults_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RERAISE", True)
    monkeypatch.setattr(guard, "_causes", Counter())


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The default store; whatever recording a test begins, it is off afterwards."""
    path = tmp_path / "traces"
    monkeypatch.setenv("OTEL_TRAJ_STORE", str(path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("otel_traj.capture.sealing.SealStarter.start", lambda self: None)
    monkeypatch.setattr("otel_traj.compat.replay_buffer._buffer", None)
    yield path
    if state.active() is not None:
        otel_traj.instrument().shutdown()
