"""The view `attempts`: which runs count as one try at a task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from otel_traj_analysis import cases, runner

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
JUDGED: dict[str, Any] = {"outcome": "success", "outcome_source": "evaluation"}


def run(name: str, minute: int = 0, /, **columns: Any) -> dict[str, Any]:
    start = START + timedelta(minutes=minute)
    return {"trajectory_id": name, "task_id": "t", "start_time": start, "n_steps": 2, **columns}


def steps(name: str, *results: str | None, **columns: Any) -> list[dict[str, Any]]:
    return [
        {"trajectory_id": name, "step": n, "kind": "tool", "tool_name": "look", "result": result}
        | columns
        for n, result in enumerate(results)
    ]


def attempts(
    runs: list[dict[str, Any]], told: list[dict[str, Any]], columns: str
) -> list[tuple[Any, ...]]:
    connection = runner.empty_store()
    cases.fill(connection, "trajectories", runs)
    cases.fill(connection, "steps", told)
    sql = f"select {columns} from attempts order by trajectory_id"
    return connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    ("outcome", "source", "is_success", "left_out"),
    [
        ("success", "explicit", True, None),
        ("partial", "evaluation", False, None),
        ("failure", "rule:tests", False, None),
        ("error", "evaluation", None, "error"),
        ("unknown", "explicit", None, "unknown"),
        ("success", "builtin", True, "unjudged"),
        ("error", "builtin", False, "unjudged"),
        ("unknown", "builtin", None, "unjudged"),
    ],
)
def test_only_verdicts_count(
    outcome: str, source: str, is_success: bool | None, left_out: str | None
) -> None:
    judged = run("a", outcome=outcome, outcome_source=source)

    assert attempts([judged], [], "is_success, left_out") == [(is_success, left_out)]


@pytest.mark.parametrize("relation", ["fork", "replay", "subagent"])
def test_what_was_made_from_another_run_is_no_attempt(relation: str) -> None:
    assert attempts([run("a", relation=relation, **JUDGED)], [], "left_out") == [("derived",)]
    assert attempts([run("a", relation="revision", **JUDGED)], [], "left_out") == [(None,)]


def test_a_task_is_known_by_id_text_or_first_request() -> None:
    runs = [
        run("a", task="text", user_input="asked"),
        run("b", task_id=None, task="text", user_input="asked"),
        run("c", task_id=None, user_input="asked"),
        run("d", task_id=None),
    ]

    assert attempts(runs, [], "task") == [("t",), ("text",), ("asked",), (None,)]


def test_a_run_that_repeats_an_earlier_one_word_for_word_counts_once() -> None:
    runs = [run("b", 1, **JUDGED), run("a", 2, **JUDGED), run("c", 3, **JUDGED)]
    told = steps("a", "1", "2") + steps("b", "1", "2") + steps("c", "1", "3")

    assert attempts(runs, told, "left_out, repeats") == [
        ("repeated", "b"),
        (None, None),
        (None, None),
    ]


def test_thoughts_are_content_too() -> None:
    runs = [run("a", **JUDGED), run("b", 1, **JUDGED), run("c", 2, **JUDGED)]
    said = {"kind": "thought", "tool_name": None}
    told = [
        *steps("a", None, reasoning="so", **said),
        *steps("b", None, reasoning="so", **said),
        *steps("c", None, reasoning="else", **said),
    ]

    assert attempts(runs, told, "repeats") == [(None,), ("a",), (None,)]


def test_runs_without_content_are_not_known_to_be_the_same() -> None:
    runs = [run("a", **JUDGED), run("b", 1, **JUDGED)]

    assert attempts(runs, steps("a", None) + steps("b", None), "left_out") == [(None,), (None,)]


@pytest.mark.parametrize("differs", [{"task_id": "u"}, {"agent_name": "other"}])
def test_the_same_words_on_another_task_or_by_another_agent_are_another_attempt(
    differs: dict[str, Any],
) -> None:
    runs = [run("a", **JUDGED), run("b", 1, **JUDGED, **differs)]
    told = steps("a", "1", "2") + steps("b", "1", "2")

    assert attempts(runs, told, "left_out") == [(None,), (None,)]


def test_a_replay_is_derived_and_no_repetition() -> None:
    runs = [run("a", 1, **JUDGED), run("b", relation="replay", **JUDGED)]
    told = steps("a", "1", "2") + steps("b", "1", "2")

    assert attempts(runs, told, "left_out") == [(None,), ("derived",)]
