"""`ActionStep`, `Trajectory` and `OutcomeTag`: immutable, and checked when they are made."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from otel_traj.compat.replay_buffer import ActionStep, OutcomeTag, Trajectory

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_s1_01_the_classes_have_the_fields_of_old_in_order() -> None:
    assert [f.name for f in dataclasses.fields(ActionStep)] == [
        "timestamp", "tool_name", "tool_args", "tool_result", "agent_reasoning",
    ]  # fmt: skip
    assert [f.name for f in dataclasses.fields(Trajectory)] == [
        "trajectory_id", "agent_id", "task_description", "initial_state", "steps",
        "final_outcome", "reward", "metadata", "created_at", "duration_seconds",
        "failure_rationale", "error_category", "fix_applied",
    ]  # fmt: skip
    assert [tag.value for tag in OutcomeTag] == ["success", "failure", "partial", "unknown"]


def test_s1_01_both_are_immutable() -> None:
    step = ActionStep(NOW, "look")
    trajectory = Trajectory("t1", "agent", "task", steps=[step])  # type: ignore[arg-type]

    assert trajectory.steps == (step,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.tool_name = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        trajectory.reward = 1.0  # type: ignore[misc]


def test_s1_01_an_outcome_may_be_given_as_text() -> None:
    trajectory = Trajectory("t1", "agent", "task", final_outcome="partial")  # type: ignore[arg-type]

    assert trajectory.final_outcome is OutcomeTag.PARTIAL
    assert str(trajectory.final_outcome) == "partial"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trajectory_id", ""),
        ("agent_id", ""),
        ("task_description", ""),
        ("task_description", " \n"),
        ("task_description", None),
        ("reward", -0.01),
        ("reward", 1.01),
        ("reward", math.nan),
        ("reward", "1"),
        ("duration_seconds", -1),
        ("duration_seconds", math.nan),
        ("final_outcome", "good"),
        ("created_at", "yesterday"),
    ],
)
def test_s1_02_a_wrong_field_is_named(field: str, value: Any) -> None:
    right: dict[str, Any] = {"trajectory_id": "t", "agent_id": "a", "task_description": "task"}

    with pytest.raises(ValueError, match=f"^{field} "):
        Trajectory(**{**right, field: value})


def test_s1_02_a_step_needs_a_time() -> None:
    with pytest.raises(ValueError, match=r"^timestamp "):
        ActionStep("noon", "look")


@pytest.mark.parametrize("reward", [0, 0.0, 1, 1.0])
def test_s1_02_the_bounds_are_allowed(reward: float) -> None:
    assert Trajectory("t", "a", "task", reward=reward, duration_seconds=0).reward == reward
