"""Two runs side by side over HTTP, and the success that a run is best compared with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otel_traj.redaction import choose
from otel_traj.store import TrajectoryStore
from tests.server.episodes import KEY, repair
from tests.server.viewing import Viewing, viewing
from tests.store.runs import chat, root

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewing]:
    store = TrajectoryStore.create(tmp_path_factory.mktemp("compared") / "traces")
    store.append(
        [
            *repair(1, ("a.py", "two"), ("b.py", "x"), outcome="failure"),
            *repair(2, ("a.py", "TWO"), outcome="success"),
            *repair(3, ("c.py", "z"), ("d.py", "z"), ("e.py", "z"), outcome="success"),
            *repair(4, ("a.py", "two"), ("b.py", "x")),
            *repair(5, ("a.py", "two"), ("b.py", "x"), outcome="failure", seen="all pass"),
            chat(6, 1),
            root(6),
        ]
    )
    with viewing(store.path) as running:
        yield running


def run(viewer: Viewing, number: int) -> str:
    """Id of a run: the first one has the first trace."""
    rows = viewer.get("trajectories", sort="start")["rows"]
    return str(rows[number - 1]["trajectory_id"])


def test_steps_stand_side_by_side_and_what_differs_is_named(viewer: Viewing) -> None:
    told = viewer.get("compare", a=run(viewer, 1), b=run(viewer, 2))

    ops = [(op["op"], op["a0"], op["a1"], op["b0"], op["b1"], op["what"]) for op in told["opcodes"]]
    assert ops == [
        ("same", 0, 1, 0, 1, []),
        ("minor", 1, 2, 1, 2, ["answer"]),
        ("same", 2, 3, 2, 3, []),
        ("changed", 3, 4, 3, 4, ["arguments", "files"]),
        ("only_a", 4, 5, 4, 4, []),
        ("same", 5, 6, 4, 5, []),
    ]
    assert (told["a"]["outcome"], told["b"]["outcome"]) == ("failure", "success")
    assert told["deltas"]["n_steps"] == -1
    assert told["deltas"]["cost_usd"] == 0.0
    assert told["deltas"]["reward"] is None
    assert told["is_cheapest"]


def test_the_first_divergence_is_what_was_done_not_how_it_was_worded(viewer: Viewing) -> None:
    told = viewer.get("compare", a=run(viewer, 1), b=run(viewer, 2))["divergence"]

    assert (told["a"], told["b"]) == (3, 3)


def test_a_tool_that_answers_otherwise_is_the_cause_of_what_follows(viewer: Viewing) -> None:
    told = viewer.get("compare", a=run(viewer, 1), b=run(viewer, 5))["divergence"]

    assert (told["a"], told["b"], told["cause"]) == (2, 2, "tool_result")


def test_files_are_told_by_what_became_of_them(viewer: Viewing) -> None:
    told = viewer.get("compare", a=run(viewer, 1), b=run(viewer, 2))["files"]

    assert [(it["path"], it["is_in_a"], it["is_in_b"], it["is_same"]) for it in told] == [
        ("a.py", True, True, False),
        ("b.py", True, False, False),
    ]


def test_a_run_beside_itself_does_not_differ(viewer: Viewing) -> None:
    one = run(viewer, 3)
    told = viewer.get("compare", a=one, b=one)

    assert {op["op"] for op in told["opcodes"]} == {"same"}
    assert (told["divergence"], told["similarity"], told["named"]) == (None, 1.0, [])


def test_a_pair_of_steps_shows_arguments_and_files_line_by_line(viewer: Viewing) -> None:
    asked = {"a": run(viewer, 1), "b": run(viewer, 2), "step_a": 3, "step_b": 3}
    told = viewer.get("compare/step", **asked)

    shown = {(it["kind"], it["name"]): it for it in told["texts"]}
    assert set(shown) == {("text", "arguments"), ("file", "a.py")}
    arguments = shown["text", "arguments"]
    assert arguments["is_json"]
    assert arguments["hunks"][0]["lines"] == [
        " {",
        '-  "line": "two",',
        '+  "line": "TWO",',
        '   "path": "a.py"',
        " }",
    ]
    assert shown["file", "a.py"]["hunks"][0]["lines"] == [" one", "-two", "+TWO"]
    assert told["n_same"] == 1
    assert (told["a"]["step"], told["b"]["step"]) == (3, 3)


def test_a_step_without_a_partner_is_shown_whole(viewer: Viewing) -> None:
    told = viewer.get("compare/step", a=run(viewer, 1), b=run(viewer, 2), step_a=4)

    assert told["b"] is None
    assert {it["change"] for it in told["texts"]} == {"DROPPED"}


def test_what_is_not_there_is_refused(viewer: Viewing) -> None:
    one = run(viewer, 1)

    assert viewer.refused("compare", a=one, b="nosuchrun")["status"] == 404
    assert viewer.refused("compare/step", a=one, b=one, step_a=99)["status"] == 404
    assert viewer.refused("compare/step", a=one, b=one)["status"] == 400
    assert viewer.refused("compare", a=one)["status"] == 400


def test_the_nearest_success_does_the_most_alike(viewer: Viewing) -> None:
    told = viewer.get("compare/nearest", id=run(viewer, 1))

    assert told["trajectory_id"] == run(viewer, 2)
    assert (told["n_successes"], told["n_compared"], told["why"]) == (2, 2, None)
    assert 0.5 < told["similarity"] < 1.0


def test_a_run_that_only_ended_is_no_success(viewer: Viewing) -> None:
    """Run 4 does exactly what run 1 does, and nobody judged it."""
    assert viewer.get("compare/nearest", id=run(viewer, 1))["trajectory_id"] != run(viewer, 4)


def test_where_no_success_is_there_it_says_why(viewer: Viewing) -> None:
    told = viewer.get("compare/nearest", id=run(viewer, 6))

    assert told["trajectory_id"] is None
    assert "judged a success" in told["why"]


def test_secrets_are_replaced_in_differences(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = TrajectoryStore.create(tmp_path_factory.mktemp("secret") / "traces")
    store.append([*repair(1, ("a.py", KEY)), *repair(2, ("a.py", "plain"))])
    with viewing(store.path, redaction=choose("secrets")) as viewer:
        both = {"a": run(viewer, 1), "b": run(viewer, 2)}
        told = viewer.ask("compare/step", headers=None, **both, step_a=3, step_b=3)

    assert told.status == 200
    assert KEY.encode() not in told.body
    assert b"plain" in told.body


def test_hunks_of_long_texts_are_cut_and_say_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = TrajectoryStore.create(tmp_path_factory.mktemp("long") / "traces")
    long = ["\n".join(f"{side} {i}" for i in range(5_000)) for side in "ab"]
    store.append([record for n, text in enumerate(long, 1) for record in repair(n, seen=text)])
    with viewing(store.path) as viewer:
        asked = {"a": run(viewer, 1), "b": run(viewer, 2), "step_a": 2, "step_b": 2}
        [text] = viewer.get("compare/step", **asked)["texts"]

    assert text["is_cut"]
    assert (text["added"], text["removed"]) == (5_000, 5_000)
    assert sum(len(hunk["lines"]) for hunk in text["hunks"]) == 1_000
