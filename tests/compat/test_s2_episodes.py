"""`TrajectoryLogger`: episodes, their steps and file changes, read back from the store."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import otel_traj
from otel_traj.compat.episodes import FileDiff, TrajectoryLogger


@pytest.fixture
def logger(store: Path) -> TrajectoryLogger:
    return TrajectoryLogger(store, agent="coder")


def sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def got(logger: TrajectoryLogger, episode_id: str | None = None) -> dict[str, Any]:
    episode = logger.get_trajectory(episode_id)
    assert episode is not None
    return episode


def test_s2_01_ids_are_twelve_hex_digits_and_unique_under_load(logger: TrajectoryLogger) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda n: logger.start_episode(f"task {n}"), range(400)))

    assert len(set(ids)) == 400
    assert all(re.fullmatch("[0-9a-f]{12}", episode_id) for episode_id in ids)


def test_s2_01_starting_finalises_the_open_episode(logger: TrajectoryLogger) -> None:
    first = logger.start_episode("one")
    second = logger.start_episode("two")

    assert logger.history == (first,)
    assert got(logger, first)["end_time"] is not None
    assert (got(logger)["episode_id"], got(logger)["end_time"]) == (second, None)


def test_s2_02_and_05_an_episode_comes_back_as_it_was_told(logger: TrajectoryLogger) -> None:
    episode_id = logger.start_episode("fix it", "v1", seed=7)
    told: dict[str, Any] = {
        "step_number": 1,
        "action_type": "write",
        "action_path": "src/a.py",
        "action_query": "TODO",
        "action_content_length": 2,
        "reward": 0.25,
        "cumulative_reward": 0.25,
        "done": False,
        "error": "2 failed",
        "test_pass_rate": 0.5,
        "duration_ms": 1500.0,
        "observation_compact": {"files_read": 1, "files_written": 1, "steps_remaining": 9,
                                "has_error": True},
        "security_flags": ["network"],
    }  # fmt: skip
    logger.record_step(**told)
    logger.record_step(7, "read")
    logger.end_episode(0.75)

    episode = got(logger)

    first, second = episode.pop("steps")
    assert first == {**told, "file_diff": None}
    assert (second["step_number"], second["action_type"], second["reward"]) == (7, "read", None)
    assert second["cumulative_reward"] is None
    assert re.match(r"\d{4}-\d\d-\d\dT.*\+00:00$", episode.pop("start_time"))
    assert re.match(r"\d{4}-\d\d-\d\dT.*\+00:00$", episode.pop("end_time"))
    duration = episode.pop("duration_seconds")
    assert duration == round(duration, 2)
    assert episode == {
        "episode_id": episode_id,
        "task": "fix it",
        "variant_id": "v1",
        "final_score": 0.75,
        "total_steps": 2,
        "metadata": {"seed": 7},
    }


def test_s2_05_what_the_end_tells_is_none_while_it_is_open(logger: TrajectoryLogger) -> None:
    logger.start_episode("fix it")
    logger.record_step(1, "read", "a.py")

    episode = got(logger)

    assert [episode[name] for name in ("end_time", "duration_seconds", "final_score")] == [None] * 3
    assert episode["total_steps"] == 1


def test_s2_07_a_timeline_says_what_each_step_did(logger: TrajectoryLogger) -> None:
    logger.start_episode("fix it")
    logger.record_step(1, "read", "a.py", reward=0.25, duration_ms=12)
    logger.record_step(2, "test", error="1 failed", test_pass_rate=0.5, security_flags=["shell"])
    open_one = logger.get_step_timeline()
    logger.end_episode()

    finished = logger.get_step_timeline(logger.history[0])

    names = ("step", "action", "path", "reward", "error", "pass_rate", "security_flags")
    assert [[row[name] for name in names] for row in finished] == [
        [1, "read", "a.py", 0.25, None, None, []],
        [2, "test", None, None, "1 failed", 0.5, ["shell"]],
    ]
    assert finished[0]["duration_ms"] == 12
    assert open_one == finished
    assert logger.get_step_timeline("no such episode") == []


def test_s2_08_the_summary_lists_finished_episodes(logger: TrajectoryLogger) -> None:
    for number, score in enumerate((0.5, None)):
        logger.start_episode(f"task {number}", variant_id="v1")
        logger.record_step(1, "read", "a.py")
        logger.end_episode(score)
    logger.start_episode("still open")

    summary = logger.get_history_summary()

    names = ("episode_id", "task", "variant_id", "final_score", "total_steps")
    assert [[row[name] for name in names] for row in summary] == [
        [logger.history[0], "task 0", "v1", 0.5, 1],
        [logger.history[1], "task 1", "v1", None, 1],
    ]
    assert all(row["duration_seconds"] >= 0 for row in summary)


def test_s2_02_a_step_without_an_episode_is_counted_and_told_once(
    logger: TrajectoryLogger, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(3):
        logger.record_step(n, "write")

    assert logger.ignored == 3
    assert [r.getMessage() for r in caplog.records] == [
        "No episode is open: step 'write' is lost; further ones are only counted"
    ]
    assert logger.get_trajectory() is None
    assert logger.get_replay_actions() == []
    assert (logger.get_step_timeline(), logger.get_history_summary()) == ([], [])


@pytest.mark.parametrize(
    ("diff", "expected"),
    [
        (
            FileDiff("a.py", "ab\ncd\n", "ab\ndc\n"),  # of the same length
            {"added": 1, "removed": 1, "is_binary": False, "diff": "-cd\n+dc"},
        ),
        (
            FileDiff("new.py", None, "x\ny\n"),
            {"added": 2, "removed": 0, "is_binary": False, "diff": "--- /dev/null"},
        ),
        (
            FileDiff("gone.py", "x\n", None),
            {"added": 0, "removed": 1, "is_binary": False, "diff": "+++ /dev/null"},
        ),
        (
            FileDiff("b.py", "x\n", "x\n", old_path="a.py"),
            {"added": 0, "removed": 0, "is_binary": False, "diff": ""},
        ),
        (
            FileDiff("logo.png", b"\x89PNG\x00", b"\x89PNG\x01\x00"),
            {"added": None, "removed": None, "is_binary": True, "diff": None},
        ),
    ],
)
def test_s2_03_a_file_diff_tells_lines_hashes_and_a_diff(
    logger: TrajectoryLogger, diff: FileDiff, expected: dict[str, Any]
) -> None:
    logger.start_episode("fix it")
    logger.record_step(1, "write", diff.path, file_diff=diff)
    logger.end_episode(1.0)

    told = got(logger)["steps"][0]["file_diff"]

    assert (told["path"], told["old_path"]) == (diff.path, diff.old_path)
    assert told["sha256_before"] == (None if diff.before is None else sha256(diff.before))
    assert told["sha256_after"] == (None if diff.after is None else sha256(diff.after))
    assert (told["lines_added"], told["lines_removed"]) == (expected["added"], expected["removed"])
    assert told["is_binary"] is expected["is_binary"]
    if expected["diff"] is None:
        assert told["diff"] is told["after"] is None
    else:
        assert expected["diff"] in told["diff"]
        assert (told["before"], told["after"]) == (diff.before, diff.after)


def test_s2_04_the_last_ten_are_kept_however_they_end(logger: TrajectoryLogger) -> None:
    ids = []
    for n in range(13):
        ids.append(logger.start_episode(f"task {n}"))
        if n % 2:
            logger.end_episode(n / 100)
    logger.end_episode()

    assert logger.history == tuple(ids[-10:])
    assert got(logger, ids[1])["final_score"] == 0.01  # the store keeps all


def test_s2_04_ending_twice_adds_nothing(
    logger: TrajectoryLogger, caplog: pytest.LogCaptureFixture
) -> None:
    episode_id = logger.start_episode("fix it")
    logger.end_episode(0.5)

    logger.end_episode(0.75)

    assert logger.history == (episode_id,)
    assert got(logger)["final_score"] == 0.5
    assert logger.ignored == 1
    assert "nothing to end" in caplog.text


def test_s2_06_replay_actions_need_nothing_supplied(logger: TrajectoryLogger, store: Path) -> None:
    logger.start_episode("fix it")
    logger.record_step(1, "search", action_query="TODO")
    logger.record_step(2, "write", "a.py", file_diff=FileDiff("a.py", None, "x = 1\n"))
    logger.record_step(3, "rename", "b.py", file_diff=FileDiff("b.py", "x\n", "x\n", "a.py"))
    logger.record_step(4, "write", "logo", file_diff=FileDiff("logo", None, b"\x00"))
    logger.end_episode(1.0)

    actions = logger.get_replay_actions()

    names = ("action_type", "path", "old_path", "query", "content", "content_sha256")
    assert [tuple(action[name] for name in names) for action in actions] == [
        ("search", None, None, "TODO", None, None),
        ("write", "a.py", None, None, "x = 1\n", sha256("x = 1\n")),
        ("rename", "b.py", "a.py", None, "x\n", sha256("x\n")),
        ("write", "logo", None, None, None, sha256(b"\x00")),
    ]
    assert TrajectoryLogger(store).get_replay_actions(logger.history[0]) == actions


def test_s2_09_steps_tell_reward_sum_done_observation_and_flags_as_columns(
    logger: TrajectoryLogger, store: Path
) -> None:
    logger.start_episode("fix it")
    logger.record_step(1, "write", reward=0.5, cumulative_reward=0.5)
    logger.record_step(2, "test", reward=-0.25, done=True, security_flags=["network"],
                       observation_compact={"files_read": 1})  # fmt: skip
    logger.end_episode(0.25)
    logger.get_trajectory()

    assert otel_traj.open_store(store).sql(
        "select reward, cumulative_reward, done, observation, security_flags from steps"
    ).fetchall() == [
        (0.5, 0.5, None, None, None),
        (-0.25, 0.25, True, '{"files_read":1}', ["network"]),
    ]
    assert logger.ignored == 0


def test_s2_09_a_cumulative_reward_that_is_no_running_sum_is_told(
    logger: TrajectoryLogger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.start_episode("fix it")
    for _ in range(10):
        logger.record_step(1, "write", reward=0.1, cumulative_reward=None)
    logger.record_step(2, "write", reward=0.1, cumulative_reward=1.1)
    logger.record_step(3, "write", reward=0.1, cumulative_reward=9.0)
    logger.end_episode()

    assert logger.ignored == 1
    assert "cumulative reward of 9.0; its rewards add up to 1.2" in caplog.text
    assert got(logger)["steps"][-1]["cumulative_reward"] == pytest.approx(1.2)


def test_s2_02_numbers_that_are_none_are_left_out_and_raise_nothing(
    logger: TrajectoryLogger,
) -> None:
    logger.start_episode("fix it")
    logger.record_step(1, "write", reward=float("nan"), test_pass_rate=float("inf"))
    logger.end_episode(float("nan"))

    episode = got(logger)

    assert (episode["final_score"], episode["steps"][0]["reward"]) == (None, None)
    assert episode["steps"][0]["test_pass_rate"] is None


def test_s2_05_a_later_correction_is_what_is_read(logger: TrajectoryLogger, store: Path) -> None:
    episode_id = logger.start_episode("fix it")
    logger.end_episode(0.5)
    got(logger)

    otel_traj.open_store(store).annotate(episode_id, "reward", 0.25, annotator="mona")

    assert got(logger)["final_score"] == 0.25
