"""Faults of ours are swallowed, logged once per cause and counted; but for our own tests."""

from __future__ import annotations

import logging

import pytest

from otel_traj.capture import guard as module
from otel_traj.capture.guard import faults, guard, report


@guard("divide")
def divide(n: int) -> float:
    return 1 / n


@pytest.mark.usefixtures("faults_are_swallowed")
def test_fault_is_swallowed_counted_and_logged_once_per_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(3):
        assert divide(0) is None
    with guard("look up"):
        raise KeyError("x")

    assert faults() == 4
    assert [(r.name, r.levelno) for r in caplog.records] == [("otel_traj", logging.WARNING)] * 2
    assert "Failed to divide; your program goes on" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_guard_lets_results_and_interrupts_through() -> None:
    assert divide(2) == 0.5
    with pytest.raises(KeyboardInterrupt), guard("wait"):
        raise KeyboardInterrupt


def test_our_own_tests_see_the_fault() -> None:
    with pytest.raises(ZeroDivisionError):
        divide(0)


def test_memory_for_causes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CAUSES", 3)

    for n in range(10):
        report(f"do {n}", ValueError())

    assert len(module._causes) == 4
    assert faults() == 10
