"""Labels of patterns, by counts on which one can see why."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otel_traj_analysis as analysis
from otel_traj import semconv
from otel_traj.cli import main
from otel_traj.store import TrajectoryStore
from otel_traj_analysis import contrast, runner
from otel_traj_analysis.labels import LABELS
from tests.store.runs import chat, root, tool

Table: TypeAlias = tuple[int, int, int, int]
"""Runs with the pattern that succeeded, with it that failed, without it: succeeded, failed."""

COUNTS = runner.answer(runner.empty_store(), analysis.load("success_patterns"), {})
SCHEMA = COUNTS.to_arrow_table().schema

HELPS: Table = (3, 1, 1, 3)
PROVES: Table = (4, 0, 0, 4)
NOTHING: Table = (2, 2, 2, 2)
EASY: Table = (4, 0, 0, 0)
HARD: Table = (0, 0, 0, 4)


def pattern(
    *whole: Table,
    name: str = "verify",
    kind: str = "tool",
    halves: str = "ab",
    landmark: Sequence[Table] | None = None,
    elsewhere: Table = (0, 0, 0, 0),
) -> dict[str, Any]:
    """One pattern's counts, task by task.

    Args:
        whole: Whole runs of each task.
        name: The call it is made of.
        kind: Its family.
        halves: Of the tasks in turn.
        landmark: Runs that got far, of each task; None: all got there, with the pattern behind.
        elsewhere: Runs of tasks in which no run shows it.
    """
    with_success, with_failure, without_success, without_failure = (
        sum(table[place] for table in [*whole, elsewhere]) for place in range(4)
    )
    strata = [
        _stratum(table, place, number, halves)
        for place, tables in ((0, whole), (4, whole if landmark is None else landmark))
        for number, table in enumerate(tables)
    ]
    return {
        "kind": kind,
        "pattern": [name],
        "n_runs": with_success + with_failure,
        "n_success": with_success,
        "n_without": without_success + without_failure,
        "n_without_success": without_success,
        "strata": strata,
    }


def _stratum(table: Table, landmark: int, number: int, halves: str) -> dict[str, Any]:
    names = ("with_success", "with_failure", "without_success", "without_failure")
    place = {"landmark": landmark, "stratum": f"task-{number}"}
    return place | {"half": halves[number % len(halves)]} | dict(zip(names, table, strict=True))


def labelled(*rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    table = contrast.label(pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA))
    judged: list[dict[str, Any]] = table.to_pylist()
    return judged


def only(*rows: Mapping[str, Any]) -> dict[str, Any]:
    [judged] = labelled(*rows)
    return judged


# --- labels --------------------------------------------------------------------------------------


def test_what_helps_in_every_task_is_established() -> None:
    judged = only(pattern(*[HELPS] * 4))

    assert judged["label"] == "established"
    assert judged["difference"] == pytest.approx(0.5)
    assert judged["p_value"] == judged["q_value"] == pytest.approx(0.01767, abs=1e-5)
    assert 0 < judged["difference_low"] < 0.5 < judged["difference_high"]
    assert judged["rate_low"] < 0.75 < judged["rate_high"]
    assert 0.4 < judged["confidence"] < judged["rate_low"], "drawn towards one half"
    assert (judged["n_strata"], judged["n_mixed"], judged["missing"]) == (4, 4, None)
    assert judged["finding"] == (
        "12 of 16 runs with it succeed, 4 of 16 without: +50 points within tasks"
        " (95 % +20 to +80, 4 tasks that can tell)"
    )


FAR = [HELPS] * 4
SUGGESTIVE = {
    "one of the halves shows nothing": pattern(*[PROVES, NOTHING] * 3),
    "the halves disagree": pattern(*[(1, 2, 2, 1), (5, 0, 0, 5)] * 3),
    "all tasks are of one half": pattern(*[HELPS] * 4, halves="a"),
    "only two tasks show it": pattern((10, 2, 2, 10), (10, 2, 2, 10)),
    "only four runs show it": pattern(*[(1, 0, 0, 3)] * 4),
    "no landmark can tell": pattern(*FAR, landmark=[]),
    "among runs that got far it is weak": pattern(*FAR, landmark=[HELPS, (2, 1, 1, 2)]),
}


@pytest.mark.parametrize("why", SUGGESTIVE)
def test_a_difference_that_is_not_confirmed_is_suggestive(why: str) -> None:
    judged = only(SUGGESTIVE[why])

    assert judged["p_value"] < 0.05
    assert (judged["label"], judged["confidence"]) == ("suggestive", 0.0)


@pytest.mark.parametrize("half", ["a", "b"])
def test_where_one_half_has_no_tasks_nothing_is_confirmed(half: str) -> None:
    assert only(pattern(*[HELPS] * 4, halves=half))["p_confirming"] is None


def test_too_few_runs_that_got_far_tell_nothing() -> None:
    judged = only(pattern(*FAR, landmark=[(1, 0, 0, 1)]))

    assert (judged["label"], judged["p_same_length"]) == ("suggestive", None)


def test_a_difference_among_many_is_suggestive() -> None:
    others = [pattern(*[NOTHING] * 4, (1, 0, 0, 0), name=f"other-{n}") for n in range(30)]

    first, *_ = labelled(*others, pattern(*[HELPS] * 4))

    assert (first["pattern"], first["label"]) == (["verify"], "suggestive")
    assert first["q_value"] == pytest.approx(31 * first["p_value"])


def test_kinds_are_families_of_their_own() -> None:
    others = [pattern(*[NOTHING] * 4, (1, 0, 0, 0), kind="start") for _ in range(30)]

    first, *_ = labelled(*others, pattern(*[HELPS] * 4))

    assert (first["label"], first["q_value"]) == ("established", first["p_value"])


def test_what_shows_only_in_easy_tasks_is_task_confounded() -> None:
    judged = only(pattern(*[(1, 0, 3, 0)] * 5, elsewhere=(0, 0, 10, 90)))

    assert (judged["label"], judged["n_strata"], judged["n_mixed"]) == ("task-confounded", 5, 0)
    assert judged["p_overall"] < 0.01
    assert (judged["p_value"], judged["difference"]) == (None, None)
    assert judged["finding"] == (
        "5 of 5 runs with it succeed, 25 of 115 without;"
        " not so within the same task (its runs all end alike)"
    )


def test_what_is_confounded_is_so_among_many() -> None:
    others = [pattern(*[NOTHING] * 4, name=f"other-{n}") for n in range(30)]
    easy = pattern(*[(1, 0, 3, 0)] * 5, elsewhere=(0, 0, 20, 60))

    judged = [row["label"] for row in labelled(easy, *others) if row["pattern"] == ["verify"]]

    assert judged == ["task-confounded"]


def test_what_turns_around_within_tasks_is_task_confounded() -> None:
    easy, hard = (30, 10, 8, 0), (0, 8, 10, 30)

    judged = only(pattern(easy, hard))

    assert judged["label"] == "task-confounded"
    assert judged["p_value"] < 0.05
    assert judged["difference"] < 0
    assert judged["finding"].endswith("not so within the same task (2 tasks can tell)")


def test_what_every_run_of_a_task_shows_cannot_be_told_from_the_task() -> None:
    judged = only(pattern(*[EASY] * 5, elsewhere=(0, 0, 0, 40)))

    assert judged["label"] == "insufficient"


def test_what_only_long_runs_have_room_for_is_a_length_artefact() -> None:
    judged = only(pattern(*[PROVES] * 6, landmark=[NOTHING] * 6))

    assert judged["label"] == "length-artefact"
    assert judged["p_same_length"] > 0.2
    assert judged["finding"] == (
        "+100 points within tasks (95 % +100 to +100, 6 tasks that can tell),"
        " but none among runs that got equally far"
    )


def test_many_runs_without_a_difference_show_that_there_is_none() -> None:
    judged = only(pattern((41, 40, 40, 40), (40, 40, 40, 40)))

    assert judged["label"] == "no-effect"
    assert judged["detectable"] < 0.25
    assert judged["missing"] is None


def test_few_runs_are_insufficient_and_say_how_many_are_missing() -> None:
    judged = only(pattern((2, 1, 1, 2), (2, 1, 1, 2)))

    assert judged["label"] == "insufficient"
    assert judged["missing"] == pytest.approx(12 * (judged["detectable"] / 0.25) ** 2 - 12, abs=1)
    assert judged["finding"] == (
        "cannot be told: 4 of 6 runs with it succeed, 2 of 6 without;"
        f" {judged['missing']} more runs of mixed tasks are needed"
    )


# --- rows ----------------------------------------------------------------------------------------


def test_what_may_be_believed_comes_first() -> None:
    rows = [
        pattern((2, 1, 2, 2), name="fewer"),
        pattern((2, 2, 1, 3), name="few"),
        pattern((41, 40, 40, 40), (40, 40, 40, 40), name="nothing"),
        pattern(*[PROVES] * 6, name="long", landmark=[NOTHING] * 6),
        pattern(*[(1, 0, 3, 0)] * 5, name="easy", elsewhere=(0, 0, 10, 90)),
        pattern(*FAR, name="perhaps", landmark=[]),
        pattern(*[HELPS] * 6, name="helps"),
        pattern(*[PROVES] * 4, name="proves"),
    ]

    judged = labelled(*rows)

    assert [row["pattern"] for row in judged] == [
        [name] for name in ("proves", "helps", "perhaps", "easy", "long", "nothing", "few", "fewer")
    ]
    order = [list(LABELS).index(row["label"]) for row in judged]
    assert order == sorted(order)


def test_what_goes_with_failure_is_left_to_the_analysis_of_failures() -> None:
    assert labelled(pattern(*[(1, 3, 3, 1)] * 4)) == []


ALL = {"kind": "all", "pattern": [], "n_runs": 120, "n_success": 42, "n_without": 0}


@pytest.mark.parametrize(
    ("left_out", "finding"),
    [
        ({}, "42 of 120 judged runs succeed"),
        ({"error": 7}, "42 of 120 judged runs succeed; left out: 7 error"),
        (
            {"derived": 3, "unjudged": 1200},
            "42 of 120 judged runs succeed; left out: 3 derived, 1,200 unjudged"
            " (say how they ended: otel-traj annotate)",
        ),
    ],
)
def test_the_first_row_says_how_many_runs_count_and_what_to_do(
    left_out: dict[str, int], finding: str
) -> None:
    first, _ = labelled(
        pattern(*[HELPS] * 4),
        ALL | {"n_without_success": 0, "left_out": list(left_out.items()) or None},
    )

    assert (first["kind"], first["finding"], first["label"]) == ("all", finding, None)
    assert first["p_value"] is first["confidence"] is None


def test_no_row_gives_no_row_of_the_same_columns() -> None:
    empty = contrast.label(SCHEMA.empty_table())

    described = analysis.describe("success_patterns").columns
    assert (empty.num_rows, empty.column_names) == (0, [column.name for column in described])


tables = st.lists(st.tuples(*[st.integers(0, 6)] * 4), max_size=6)
patterns: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda whole, **more: pattern(*whole, **more),
    tables,
    kind=st.sampled_from(["tool", "start"]),
    halves=st.sampled_from(["a", "ab", "abb"]),
    landmark=st.none() | tables,
    elsewhere=st.tuples(*[st.integers(0, 40)] * 4),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(patterns, max_size=8))
def test_any_counts_get_labels_and_unknown_is_null(rows: list[dict[str, Any]]) -> None:
    judged = labelled(*rows)

    assert {row["label"] for row in judged} <= set(LABELS)
    assert all(math.isfinite(number) for row in judged for number in _floats(row.values()))
    for row in judged:
        if row["label"] == "established":
            assert row["difference_low"] > 0
            assert row["n_runs"] >= 5
        assert (row["confidence"] > 0) == (row["label"] == "established")
        assert (row["missing"] is not None) == (row["label"] == "insufficient")


def _floats(values: Iterable[Any]) -> list[float]:
    return [value for value in values if isinstance(value, float)]


# --- end to end ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TrajectoryStore:
    """Eight runs at each of four tasks: those that verify succeed three times as often."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("store") / "traces")
    ended = [("verify", "success")] * 3 + [("wait", "failure")] * 3
    ended += [("verify", "failure"), ("wait", "success")]
    tasks = ("refund", "billing", "search", "ship")  # two of each half
    runs = [(task, *how) for task in tasks for how in ended]
    store.append(
        record
        for number, (task, called, outcome) in enumerate(runs, start=1)
        for record in (
            chat(number, 1),
            tool(number, 2),
            tool(number, 3, **{semconv.TOOL_NAME: called}),
            root(number, **{semconv.TASK: task, semconv.OUTCOME: outcome}),
        )
    )
    return store


def test_a_recorded_store_is_told_what_helps(store: TrajectoryStore) -> None:
    base, helps = analysis.run(store, "success_patterns").to_arrow_table().to_pylist()

    assert base["finding"] == "16 of 32 judged runs succeed"
    assert (helps["label"], helps["kind"], helps["pattern"]) == ("established", "tool", ["verify"])
    assert (helps["n_runs"], helps["n_success"], helps["n_without_success"]) == (16, 12, 4)
    example = helps["examples"][0]
    [(called,)] = store.sql(
        "select tool_name from steps where trajectory_id = $trajectory_id and span_id = $span_id",
        {name: example[name] for name in ("trajectory_id", "span_id")},
    ).fetchall()
    assert called == "verify"


def test_the_command_prints_what_helps(
    store: TrajectoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["analyze", "success_patterns", "--store", str(store.path), "--format", "json"])

    assert ended.value.code == 0
    _, helps = json.loads(capsys.readouterr().out)
    assert (helps["label"], helps["pattern"]) == ("established", ["verify"])
    assert "12 of 16 runs with it succeed, 4 of 16 without" in helps["finding"]
