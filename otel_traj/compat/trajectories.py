"""Finished trajectories and their steps as values, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class OutcomeTag(StrEnum):
    """How good a run was; a text of the same spelling is equal to it."""

    SUCCESS = "success"
    FAILURE = "failure"
    PARTIAL = "partial"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ActionStep:
    """One tool call of a run.

    `timestamp` is a datetime or ISO 8601 text; one without a zone counts as UTC.
    """

    timestamp: datetime | str
    tool_name: str
    tool_args: Any = field(default_factory=dict)
    tool_result: Any = None
    agent_reasoning: str | None = None

    def __post_init__(self) -> None:
        instant_of("timestamp", self.timestamp)


@dataclass(frozen=True)
class Trajectory:
    """One attempt at one task, finished and judged.

    Attributes:
        reward: In [0, 1].
        created_at: Datetime or ISO 8601 text; one without a zone counts as UTC.
        duration_seconds: Wall time, 0 or more.
    """

    trajectory_id: str
    agent_id: str
    task_description: str
    initial_state: Any = field(default_factory=dict)
    steps: tuple[ActionStep, ...] = ()
    final_outcome: OutcomeTag = OutcomeTag.UNKNOWN
    reward: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | str = field(default_factory=lambda: datetime.now(UTC))
    duration_seconds: float = 0.0
    failure_rationale: str | None = None
    error_category: str | None = None
    fix_applied: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no trajectory.

        Raises:
            ValueError: A field is wrong; the message names it.
        """
        for name in ("trajectory_id", "agent_id", "task_description"):
            check_text(name, getattr(self, name))
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "final_outcome", checked_outcome(self.final_outcome))
        checked_reward(self.reward)
        if not (_is_number(self.duration_seconds) and 0 <= self.duration_seconds < math.inf):
            raise ValueError(
                f"duration_seconds is a number of seconds from 0, not {self.duration_seconds!r}"
            )
        instant_of("created_at", self.created_at)


def checked_outcome(outcome: str) -> OutcomeTag:
    """The tag of that name.

    Raises:
        ValueError: There is none.
    """
    try:
        return OutcomeTag(outcome)
    except ValueError:
        known = ", ".join(tag.value for tag in OutcomeTag)
        raise ValueError(f"final_outcome {outcome!r} is none of {known}") from None


def checked_reward(reward: object) -> float:
    """A number in [0, 1].

    Raises:
        ValueError: It is another one, NaN, or no number.
    """
    if not (_is_number(reward) and 0 <= reward <= 1):  # type: ignore[operator]
        raise ValueError(f"reward is a number in [0, 1], not {reward!r}")
    return reward  # type: ignore[return-value]


def instant_of(name: str, value: datetime | str) -> datetime:
    """A field's time, with a zone.

    Raises:
        ValueError: It is none; the message names the field.
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is a datetime or ISO 8601 text, not {value!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def check_text(name: str, value: object) -> None:
    """Refuse a field that says nothing.

    Raises:
        ValueError: It is blank, or no text; the message names it.
    """
    if not (isinstance(value, str) and value.strip()):
        raise ValueError(f"{name} is a text that is not blank, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
