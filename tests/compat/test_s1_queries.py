"""`ReplayBuffer`: which trajectories it gives."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from otel_traj import analysis, open_store
from otel_traj.compat import queries
from otel_traj.compat.replay_buffer import (
    ActionStep,
    ReplayBuffer,
    Trajectory,
    capture_tool_call,
    record_trajectory,
)

CREATED = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def buffer(store: Path) -> Iterator[ReplayBuffer]:
    with ReplayBuffer(store) as buffer:
        yield buffer


def keep(buffer: ReplayBuffer, name: str, task: str = "refund", **fields: Any) -> Trajectory:
    told: dict[str, Any] = {"final_outcome": "success", "reward": 0.5, "created_at": CREATED}
    made = Trajectory(name, fields.pop("agent", "ann"), task, **{**told, **fields})
    buffer.store_trajectory(made)
    return made


def names(found: list[Trajectory]) -> list[str]:
    return [trajectory.trajectory_id for trajectory in found]


def first_drawn(buffer: ReplayBuffer, priority: queries.Priority = "uniform") -> Counter[str]:
    """How often each is the first of 120 draws."""
    store = open_store(buffer.path)
    return Counter(
        name
        for seed in range(120)
        for name in queries.sampled(
            store, 1, None, seed=seed, is_stratified=False, priority=priority
        )
    )


# --- samples -------------------------------------------------------------------------------------


def test_s1_05_a_sample_has_equal_objects_each_once_and_no_more_than_there_are(
    buffer: ReplayBuffer,
) -> None:
    stored = [
        keep(buffer, f"t{n}", steps=(ActionStep(CREATED, "look", {"n": (n,)}),)) for n in range(5)
    ]

    drawn = buffer.sample_trajectories(3)
    everything = buffer.sample_trajectories(99)

    assert len(set(names(drawn))) == 3
    assert all(one in stored for one in drawn)
    assert sorted(everything, key=lambda one: one.trajectory_id) == stored


def test_s1_05_an_empty_buffer_gives_none(buffer: ReplayBuffer) -> None:
    assert buffer.sample_trajectories(3) == []


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_s1_05_fewer_than_one_is_refused(buffer: ReplayBuffer, n: Any) -> None:
    with pytest.raises(ValueError, match="n is a whole number from 1"):
        buffer.sample_trajectories(n)


def test_s1_05_words_that_are_none_are_refused(buffer: ReplayBuffer) -> None:
    with pytest.raises(ValueError, match="'great' is none of success"):
        buffer.sample_trajectories(1, "great")
    with pytest.raises(ValueError, match="'newest' is none of uniform, advantage"):
        buffer.sample_trajectories(1, priority="newest")  # type: ignore[arg-type]


def test_s1_05_only_what_is_asked_for_and_has_ended_is_drawn(buffer: ReplayBuffer) -> None:
    keep(buffer, "good")
    keep(buffer, "bad", final_outcome="failure")
    with record_trajectory("ann", "refund"):
        drawn = buffer.sample_trajectories(9)

    assert sorted(names(drawn)) == ["bad", "good"]
    assert names(buffer.sample_trajectories(9, "failure")) == ["bad"]


def test_s1_05_a_seed_draws_the_same_again_and_none_draws_anew(buffer: ReplayBuffer) -> None:
    for n in range(20):
        keep(buffer, f"t{n}")

    def draws(seed: int | None) -> set[tuple[str, ...]]:
        return {tuple(names(buffer.sample_trajectories(5, seed=seed))) for _ in range(4)}

    assert len(draws(1)) == 1
    assert draws(1) != draws(2)
    assert len(draws(None)) > 1


def test_s1_05_old_and_new_are_drawn_alike(buffer: ReplayBuffer) -> None:
    """Not the newest: every one of all history is as likely as every other."""
    for n in range(10):
        keep(buffer, f"t{n}", created_at=CREATED - timedelta(days=300 * n))

    drawn = first_drawn(buffer)

    assert stats.chisquare([drawn[f"t{n}"] for n in range(10)]).pvalue > 0.01


def test_s1_05_strata_are_drawn_alike_however_many_each_has(buffer: ReplayBuffer) -> None:
    for n in range(12):
        keep(buffer, f"many{n}", "refund")
    keep(buffer, "few0", "cancel")
    keep(buffer, "few1", "cancel", final_outcome="failure")

    drawn = names(buffer.sample_trajectories(4, seed=1, stratify=True))

    assert {"few0", "few1"} < set(drawn)


def test_s1_05_what_differs_from_its_task_is_drawn_more_often(buffer: ReplayBuffer) -> None:
    for n in range(9):
        keep(buffer, f"t{n}", reward=0.5)
    keep(buffer, "best", reward=1.0)
    weights = [0.06**0.6] * 9 + [0.46**0.6]

    drawn = first_drawn(buffer, priority="advantage")

    expected = [sum(drawn.values()) * weight / sum(weights) for weight in weights]
    counts = [*(drawn[f"t{n}"] for n in range(9)), drawn["best"]]
    assert stats.chisquare(counts, expected).pvalue > 0.01


# --- best, failed, of an agent -------------------------------------------------------------------


def test_s1_06_successes_of_a_task_come_best_first_whatever_the_case(buffer: ReplayBuffer) -> None:
    keep(buffer, "good", "Refund ORDER 42", reward=0.5)
    keep(buffer, "best", "refund order 43", reward=0.9)
    keep(buffer, "newer", "Refund Order 44", reward=0.5, created_at=CREATED + timedelta(hours=1))
    keep(buffer, "failed", "refund order 45", final_outcome="failure")
    keep(buffer, "other", "cancel 100% of it")

    assert names(buffer.get_successful_trajectories("refund order")) == ["best", "newer", "good"]
    assert names(buffer.get_successful_trajectories(" REFUND ", top_n=1)) == ["best"]
    assert names(buffer.get_successful_trajectories("100%")) == ["other"]
    assert buffer.get_successful_trajectories("%") == buffer.get_successful_trajectories("100% of")


def test_s1_07_failures_of_a_task_come_newest_first(buffer: ReplayBuffer) -> None:
    for n, name in enumerate(("old", "new")):
        at = CREATED + timedelta(hours=n)
        keep(buffer, name, final_outcome="failure", created_at=at, failure_rationale="no money")
    keep(buffer, "good")

    found = buffer.get_failed_trajectories("refund")

    assert names(found) == ["new", "old"]
    assert found[0].failure_rationale == "no money"


def asks(buffer: ReplayBuffer) -> list[Callable[..., object]]:
    return [buffer.get_successful_trajectories, buffer.get_failed_trajectories]


def test_s1_06_and_07_a_blank_task_or_no_number_is_refused(buffer: ReplayBuffer) -> None:
    for ask in asks(buffer):
        with pytest.raises(ValueError, match="task_type"):
            ask("  ")
        with pytest.raises(ValueError, match="top_n"):
            ask("refund", top_n=0)


def test_s1_08_dicts_of_an_agent_an_outcome_and_at_random(buffer: ReplayBuffer) -> None:
    step = ActionStep(CREATED, "look", {"n": 1}, "seen")
    keep(buffer, "a", agent="ann", steps=(step,))
    keep(buffer, "b", agent="ann", final_outcome="failure", created_at=CREATED + timedelta(1))
    keep(buffer, "c", agent="Ann", final_outcome="failure")

    of_ann = buffer.query_by_agent("ann")

    assert [told["trajectory_id"] for told in of_ann] == ["b", "a"]
    assert of_ann[1]["steps"] == [
        {"timestamp": CREATED, "tool_name": "look", "tool_args": {"n": 1}, "tool_result": "seen",
         "agent_reasoning": None}
    ]  # fmt: skip
    assert len(buffer.query_by_agent("ann", limit=1)) == 1
    assert {told["trajectory_id"] for told in buffer.query_by_outcome("failure")} == {"b", "c"}
    assert [told["trajectory_id"] for told in buffer.query_by_outcome("failure", "Ann")] == ["c"]
    assert len(buffer.sample(2)) == 2
    with pytest.raises(ValueError, match="limit"):
        buffer.query_by_agent("ann", limit=0)


def test_s1_16_best_runs_failed_runs_with_their_first_erring_step_and_a_batch(
    buffer: ReplayBuffer, store: Path
) -> None:
    for n in range(38):
        keep(buffer, f"t{n:02}", reward=n / 40)
    for _ in range(2):
        with contextlib.suppress(ValueError), record_trajectory("ann", "refund") as failed:
            failed.add_step("look", {"order": 1}, "paid")
            pay("all of it")

    best = buffer.get_successful_trajectories("refund", 3)
    rows = analysis.run(open_store(store), "attribution", top=1).fetchall()

    assert names(best) == ["t37", "t36", "t35"]
    assert len(buffer.sample_trajectories(32)) == 32
    assert len(rows) == 2
    for told in rows:
        run = buffer.get_trajectory(told[0])
        assert run is not None
        assert run.steps[told[3]].tool_name == "pay"


@capture_tool_call("pay")
def pay(amount: str) -> None:
    raise ValueError(amount)
