"""`ReplayBuffer`: what is stored comes back equal, once, from any thread and process."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import otel_traj
from otel_traj.compat.replay_buffer import (
    ActionStep,
    OutcomeTag,
    ReplayBuffer,
    Trajectory,
    get_replay_buffer,
    record_trajectory,
)
from otel_traj.errors import StoreNotWritableError

CREATED = datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture
def buffer(store: Path) -> Iterator[ReplayBuffer]:
    with ReplayBuffer(store) as buffer:
        yield buffer


def trajectory(trajectory_id: str = "t1", n_steps: int = 2, **fields: Any) -> Trajectory:
    steps = [
        ActionStep(CREATED + timedelta(seconds=n), "look", {"n": n}, f"saw {n}", f"because {n}")
        for n in range(n_steps)
    ]
    told: dict[str, Any] = {
        "steps": tuple(steps),
        "final_outcome": OutcomeTag.SUCCESS,
        "reward": 0.75,
        "created_at": CREATED,
        "duration_seconds": 10.5,
    }
    return Trajectory(trajectory_id, "support", "refund order 42", **{**told, **fields})


def asked(store: Path, query: str) -> list[Any]:
    return otel_traj.open_store(store).sql(query).fetchall()


# --- store -------------------------------------------------------------------------------------


def test_s1_03_a_stored_trajectory_is_rows_like_those_of_any_run(
    buffer: ReplayBuffer, store: Path
) -> None:
    assert buffer.store_trajectory(trajectory(metadata={"ticket": 7})) == "t1"

    assert asked(
        store,
        "select trajectory_id, agent_name, task, outcome, outcome_source, reward, status, tools,"
        " duration_s, metadata from trajectories",
    ) == [
        ("t1", "support", "refund order 42", "success", "explicit", 0.75, "completed",
         ["look", "look"], 10.5, '{"ticket":7}')
    ]  # fmt: skip
    assert asked(
        store, "select step, kind, tool_name, arguments, result, reasoning from steps"
    ) == [
        (0, "tool", "look", '{"n":0}', "saw 0", "because 0"),
        (1, "tool", "look", '{"n":1}', "saw 1", "because 1"),
    ]
    assert otel_traj.open_store(store).verify() == []


def test_s1_03_the_same_id_and_content_is_kept_once(buffer: ReplayBuffer, store: Path) -> None:
    buffer.store_trajectory(trajectory())
    before = asked(store, "select rev from trajectories"), asked(store, "from spans order by all")

    buffer.store_trajectory(trajectory())

    after = asked(store, "select rev from trajectories"), asked(store, "from spans order by all")
    assert after == before


def test_s1_03_another_process_that_stores_the_same_adds_no_rows(
    buffer: ReplayBuffer, store: Path
) -> None:
    buffer.store_trajectory(trajectory())
    counts = "select (select count(*) from spans), (select count(*) from trajectories)"
    before = asked(store, counts)

    with ReplayBuffer(store) as other:
        other.store_trajectory(trajectory())

    assert asked(store, counts) == before
    assert buffer.get_trajectory("t1") == trajectory()


def test_s1_03_new_content_under_an_id_is_its_new_revision(
    buffer: ReplayBuffer, store: Path
) -> None:
    buffer.store_trajectory(trajectory())
    [(first,)] = asked(store, "select rev from trajectories")
    changed = trajectory(n_steps=1, final_outcome=OutcomeTag.FAILURE, reward=0.0)

    buffer.store_trajectory(changed)

    assert buffer.get_trajectory("t1") == changed
    assert asked(store, "select outcome, reward, n_steps from trajectories") == [
        ("failure", 0.0, 1)
    ]
    assert asked(store, "select rev from trajectories") > [(first,)]
    assert asked(store, "select count(*) from spans") == [(5,)]  # what was received stays
    assert otel_traj.open_store(store).verify() == []


def test_s1_03_the_last_content_counts_also_when_it_was_there_before(
    buffer: ReplayBuffer, store: Path
) -> None:
    first, second = trajectory(), trajectory(reward=0.25, n_steps=3)

    for one in (first, second, first):
        with ReplayBuffer(store) as another:
            another.store_trajectory(one)

    assert buffer.get_trajectory("t1") == first
    assert asked(store, "select count(*) from trajectories") == [(1,)]


def test_s1_03_revisions_before_anything_is_sealed(buffer: ReplayBuffer, store: Path) -> None:
    with ReplayBuffer(store) as other:
        other.store_trajectory(trajectory())
    buffer.store_trajectory(trajectory(reward=0.5))

    assert buffer.get_trajectory("t1") == trajectory(reward=0.5)
    assert asked(store, "select count(*) from trajectories") == [(1,)]


def test_s1_03_a_recorded_run_may_be_stored_anew(buffer: ReplayBuffer, store: Path) -> None:
    with record_trajectory("support", "refund order 42") as recorded:
        recorded.add_step("look", {"n": 1}, "saw")
        recorded.set_outcome("failure")
    run = buffer.get_trajectory(recorded.trajectory_id)
    assert run is not None
    fixed = replace(run, fix_applied="asked twice")

    buffer.store_trajectory(fixed)

    assert buffer.get_trajectory(recorded.trajectory_id) == fixed
    assert asked(store, "select fix_applied, tools from trajectories") == [
        ("asked twice", ["look"])
    ]


def test_s1_03_what_was_annotated_stands_when_the_same_is_stored_again(
    buffer: ReplayBuffer, store: Path
) -> None:
    buffer.store_trajectory(trajectory())
    otel_traj.open_store(store).annotate("t1", "outcome", "failure", annotator="mona")

    with ReplayBuffer(store) as another:
        another.store_trajectory(trajectory())

    assert asked(store, "select outcome from trajectories") == [("failure",)]


def test_s1_03_new_content_is_a_newer_word_than_an_annotation(
    buffer: ReplayBuffer, store: Path
) -> None:
    buffer.store_trajectory(trajectory())
    otel_traj.open_store(store).annotate("t1", "outcome", "failure")

    buffer.store_trajectory(trajectory(reward=1.0))

    assert buffer.get_trajectory("t1") == trajectory(reward=1.0)


# --- get ---------------------------------------------------------------------------------------


class Odd:
    def __repr__(self) -> str:
        return "odd"


NON_JSON = {
    "bytes": b"\x00\xff",
    "tuple": (1, (2, [3])),
    "set": {1, 2},
    "when": datetime(2026, 1, 1),  # noqa: DTZ001
    1: "integer key",
    "inf": float("inf"),
    "large": 2**70,
    "deep": {"a": [{"b": {"c": [None, True, {"$tuple": [1]}]}}]},
}


LIKE_JSON: list[tuple[Any, Any, Any]] = [
    ({}, None, None),
    (None, "", ""),
    ("text", "42", "null"),
    ([], 42, None),
    ({"args": [1], "kwargs": {}}, {"output": {"x": 1}}, "a\nb"),
    ({"$f": "NaN"}, '{"cut": [', None),
    (0, False, None),
]


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(trajectory(n_steps=0), id="empty steps"),
        pytest.param(trajectory(n_steps=150), id="many steps"),
        pytest.param(Trajectory("ключ/🗝", "агент", "zażółć\ngęślą\t\x00 \ud800"), id="unicode"),
        pytest.param(
            trajectory(
                initial_state=NON_JSON,
                metadata={"nested": NON_JSON, "n": 1, "none": None},
                steps=(ActionStep(CREATED, "look", NON_JSON, (1, 2), "why"),),
            ),
            id="non-JSON",
        ),
        pytest.param(
            trajectory(
                steps=tuple(
                    ActionStep(CREATED, "look", args, result, reasoning)
                    for args, result, reasoning in LIKE_JSON
                )
            ),
            id="texts that look like JSON",
        ),
        pytest.param(
            trajectory(
                created_at="2026-11-21T12:00:00.123456",
                steps=(
                    ActionStep("2026-11-21T12:00:05Z", "later"),
                    ActionStep(datetime(2026, 11, 21, 12, 0, 1, 1), "earlier"),  # noqa: DTZ001
                    ActionStep(CREATED, "final_answer"),
                    ActionStep(CREATED, ""),
                ),
            ),
            id="times as text, out of order",
        ),
        pytest.param(
            trajectory(failure_rationale="", error_category=" \n", fix_applied="é", reward=0),
            id="reasons",
        ),
    ],
)
def test_s1_04_what_was_stored_comes_back_equal(buffer: ReplayBuffer, stored: Trajectory) -> None:
    buffer.store_trajectory(stored)

    assert buffer.get_trajectory(stored.trajectory_id) == stored


def test_s1_04_an_object_of_ones_own_comes_back_as_its_text(buffer: ReplayBuffer) -> None:
    buffer.store_trajectory(trajectory(initial_state={"odd": Odd()}))

    back = buffer.get_trajectory("t1")

    assert back is not None
    assert back.initial_state == {"odd": "odd"}


def test_s1_04_only_the_exact_id_is_found(buffer: ReplayBuffer) -> None:
    buffer.store_trajectory(trajectory("order-42"))

    assert buffer.get_trajectory("order-4") is None
    assert buffer.get_trajectory("order-%") is None
    assert buffer.get_trajectory("") is None


def test_s1_04_a_run_that_nobody_judged_is_unknown(buffer: ReplayBuffer) -> None:
    with record_trajectory("support", "refund") as recorded:
        recorded.add_step("look", {"n": 1}, {"ok": True}, "why", timestamp=CREATED)

    back = buffer.get_trajectory(recorded.trajectory_id)

    assert back is not None
    assert (back.agent_id, back.task_description) == ("support", "refund")
    assert back.steps == (ActionStep(CREATED, "look", {"n": 1}, {"ok": True}, "why"),)
    assert (back.final_outcome, back.reward) == (OutcomeTag.UNKNOWN, 0.0)


def test_s1_04_secrets_are_replaced_before_they_are_written(
    buffer: ReplayBuffer, store: Path
) -> None:
    key = "AKIA" + "A" * 16
    stored = trajectory(steps=(ActionStep(CREATED, "look", {"key": key}, (key,), None),))

    buffer.store_trajectory(stored)

    back = buffer.get_trajectory("t1")
    assert back is not None
    assert back.steps[0].tool_args == {"key": "[redacted:aws-key]"}
    assert not any(key.encode() in path.read_bytes() for path in store.rglob("*") if path.is_file())


# --- threads, processes, failures --------------------------------------------------------------


def test_s1_10_old_trajectories_are_pruned_and_zero_means_now(buffer: ReplayBuffer) -> None:
    """Instants count, whatever zone they are told in."""
    now = datetime.now(UTC)
    kiritimati = timezone(timedelta(hours=14))
    for trajectory_id, days, zone in (("t1", 31, UTC), ("t2", 29.9, kiritimati), ("t3", 1, UTC)):
        created = (now - timedelta(days=days)).astimezone(zone)
        buffer.store_trajectory(
            trajectory(trajectory_id, steps=(), created_at=created, duration_seconds=0.0)
        )

    assert buffer.prune_old_trajectories() == 1
    assert buffer.get_trajectory("t1") is None
    assert buffer.get_trajectory("t2") is not None
    assert buffer.prune_old_trajectories(days_old=0) == 2
    again = buffer.store_trajectory(trajectory("t1", steps=()))
    assert buffer.get_trajectory(again) is not None


def test_s1_11_there_is_one_buffer_under_threads(store: Path) -> None:
    with ThreadPoolExecutor(10) as pool:
        found = {id(buffer) for buffer in pool.map(lambda _: get_replay_buffer(), range(100))}

    assert len(found) == 1
    assert get_replay_buffer().path == store
    with pytest.raises(ValueError, match="is open on"):
        get_replay_buffer(store / "elsewhere")


def test_s1_11_leaving_the_block_closes_and_the_next_call_opens_anew(store: Path) -> None:
    with get_replay_buffer() as first:
        first.store_trajectory(trajectory())

    with get_replay_buffer() as second:
        assert second is not first
        assert second.get_trajectory("t1") == trajectory()


def test_s1_11_ten_threads_of_ten_writes_are_a_hundred_rows_while_others_read(
    buffer: ReplayBuffer, store: Path
) -> None:
    counts: list[int] = []

    def write(thread: int) -> None:
        for n in range(10):
            buffer.store_trajectory(trajectory(f"t-{thread}-{n}"))

    def read() -> None:
        for _ in range(5):
            buffer.get_trajectory("t-0-0")
            counts.append(asked(store, "select count(*) from trajectories")[0][0])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(10)]
    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert asked(store, "select count(*), sum(n_steps) from trajectories") == [(100, 200)]
    assert counts == sorted(counts)


KILLED = """
import os, sys
from otel_traj.compat.replay_buffer import ReplayBuffer, Trajectory
ReplayBuffer(sys.argv[1]).store_trajectory(Trajectory("t1", "support", "refund"))
print(sorted({"duckdb", "pyarrow"} & set(sys.modules)), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_s1_11_what_is_stored_survives_kill_9_and_needed_no_database(
    buffer: ReplayBuffer, store: Path
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(store)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (killed.returncode, killed.stdout) == (-9, "[]\n"), killed.stderr
    assert buffer.get_trajectory("t1") is not None


def test_s1_11_a_backend_that_is_gone_is_said_and_loses_nothing(
    buffer: ReplayBuffer, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buffer.store_trajectory(trajectory("before"))
    store.rename(away := store.with_name("away"))

    for n in range(3):
        buffer.store_trajectory(trajectory(f"meanwhile-{n}"))
    buffer.store_trajectory(trajectory("before", reward=0.25))  # known, and not to be looked up

    assert buffer.spooled == 4
    [warning] = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert f"Cannot write the store {str(store)!r}" in warning

    away.rename(store)
    buffer.store_trajectory(trajectory("after"))

    assert buffer.spooled == 0
    assert [i for (i,) in asked(store, "select trajectory_id from trajectories order by 1")] == [
        "after", "before", "meanwhile-0", "meanwhile-1", "meanwhile-2",
    ]  # fmt: skip
    assert buffer.get_trajectory("before") == trajectory("before", reward=0.25)


def test_s1_11_what_a_dead_process_spooled_the_next_buffer_brings_home(store: Path) -> None:
    first = ReplayBuffer(store)
    store.rename(away := store.with_name("away"))
    first.store_trajectory(trajectory("spooled"))
    first._spool_writer.close()  # as the end of the process does
    away.rename(store)

    with ReplayBuffer(store) as second:
        assert second.get_trajectory("spooled") == trajectory("spooled")


def test_s1_11_a_write_that_fails_twice_raises(
    buffer: ReplayBuffer, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file where the spool's folder would be")
    store.rename(store.with_name("away"))

    with pytest.raises(StoreNotWritableError, match="Nothing was stored"):
        buffer.store_trajectory(trajectory())

    assert buffer.spooled == 0


def _store_in_child(buffer: ReplayBuffer) -> None:
    buffer.store_trajectory(trajectory("child"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_s1_11_a_forked_child_stores_beside_its_parent(buffer: ReplayBuffer, store: Path) -> None:
    buffer.store_trajectory(trajectory("parent"))
    child = multiprocessing.get_context("fork").Process(target=_store_in_child, args=(buffer,))

    child.start()
    buffer.store_trajectory(trajectory("parent too"))
    child.join()

    assert child.exitcode == 0
    assert asked(store, "select count(*) from trajectories") == [(3,)]


# --- statistics --------------------------------------------------------------------------------


def test_s1_09_statistics_count_outcomes_agents_and_tasks(store: Path) -> None:
    started = datetime(2026, 11, 21, tzinfo=UTC)
    told = (("a", "ann", "success", 1.0, "x"), ("b", "ann", "failure", 0.0, "x"),
            ("c", "ann", "unknown", 0.0, "y"), ("d", "bob", "partial", 0.5, "x"))  # fmt: skip
    with ReplayBuffer(store) as buffer:
        for name, agent, outcome, reward, task in told:
            buffer.store_trajectory(
                Trajectory(
                    trajectory_id=name,
                    agent_id=agent,
                    task_description=task,
                    initial_state={},
                    steps=(),
                    final_outcome=OutcomeTag(outcome),
                    reward=reward,
                    created_at=started,
                    duration_seconds=4.0,
                )
            )

        found = buffer.get_statistics()

    assert found["total_trajectories"] == 4
    assert found["by_outcome"] == {"success": 1, "failure": 1, "partial": 1, "unknown": 1}
    assert found["by_agent"]["ann"]["total"] == 3
    assert found["by_agent"]["ann"]["successes"] == 1
    assert found["by_agent"]["ann"]["success_rate"] == 0.5
    assert found["by_agent"]["bob"] == {
        "total": 1, "successes": 0, "success_rate": 0.0, "avg_reward": 0.5
    }  # fmt: skip
    assert found["avg_duration_seconds"] == pytest.approx(4.0)
    assert found["task_types"] == {"x": 3, "y": 1}
    assert found["avg_reward"] == pytest.approx(0.375)
    assert found["storage_backend"] == "otel-traj"


def test_s1_09_an_empty_buffer_knows_no_averages(store: Path) -> None:
    with ReplayBuffer(store) as buffer:
        assert buffer.get_statistics() == {
            "total_trajectories": 0,
            "by_outcome": {"success": 0, "failure": 0, "partial": 0, "unknown": 0},
            "by_agent": {},
            "avg_reward": None,
            "avg_duration_seconds": None,
            "task_types": {},
            "storage_backend": "otel-traj",
        }
