"""`annotate`: what is said after the fact is seen by the views."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run

RUN_ID = "396f4cf8231582cd1036"


def asked(run: Run, store: Path, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        run("sql", query, "--format", "json", "--store", store).out
    )
    return found


def test_outcome_and_reward_are_the_runs(run: Run, store: Path) -> None:
    ran = run("annotate", RUN_ID[:8], "--outcome", "partial", "--reward", "0.25", "--store", store)

    assert (ran.status, ran.out) == (0, "")
    assert ran.err == f"{RUN_ID}: outcome = partial\n{RUN_ID}: reward = 0.25\n"
    assert asked(run, store, "select outcome, outcome_source, reward from trajectories") == [
        {"outcome": "partial", "outcome_source": "explicit", "reward": 0.25}
    ]


def test_scores_labels_and_comments_are_kept_with_their_source(run: Run, store: Path) -> None:
    run("annotate", RUN_ID, "--step", "3", "--score", "relevance=0.5", "--label", "topic=refund",
        "--comment", "Why?", "--source", "review", "--annotator", "mona",
        "--store", store)  # fmt: skip

    rows = asked(
        run,
        store,
        "select target, name, kind, value_num, value_text, source, annotator from annotations"
        " order by kind",
    )

    common = {"target": "step", "source": "review", "annotator": "mona"}
    assert rows == [
        common | {"name": "comment", "kind": "comment", "value_num": None, "value_text": "Why?"},
        common | {"name": "topic", "kind": "label", "value_num": None, "value_text": "refund"},
        common | {"name": "relevance", "kind": "score", "value_num": 0.5, "value_text": None},
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([RUN_ID], "Nothing to add"),
        ([RUN_ID, "--outcome", "great"], "'great' is not one of"),
        ([RUN_ID, "--score", "relevance"], "NAME=NUMBER"),
        ([RUN_ID, "--score", "relevance=high"], "NAME=NUMBER"),
        ([RUN_ID, "--step", "99", "--comment", "x"], "99"),
        (["nobody", "--comment", "x"], "No trajectory 'nobody'"),
    ],
)
def test_wrong_use_adds_nothing(arguments: list[str], message: str, run: Run, store: Path) -> None:
    ran = run("annotate", *arguments, "--store", store)

    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err
    assert asked(run, store, "from annotations") == []


def test_one_wrong_value_of_several_adds_nothing(run: Run, store: Path) -> None:
    ran = run("annotate", RUN_ID, "--outcome", "success", "--reward", "nan", "--store", store)

    assert (ran.status, ran.out) == (2, "")
    assert "A reward is a finite number, not nan" in ran.err
    assert asked(run, store, "from annotations") == []


def test_what_was_said_is_taken_back_and_stays_in_the_history(run: Run, store: Path) -> None:
    run("annotate", RUN_ID, "--outcome", "failure", "--feedback", "Useless!", "--store", store)

    ran = run("annotate", RUN_ID, "--retract", "outcome", "--store", store)

    assert (ran.status, ran.err) == (0, f"{RUN_ID}: outcome taken back\n")
    assert asked(run, store, "select outcome_source from trajectories") == [
        {"outcome_source": "builtin"}
    ]
    assert asked(run, store, "select name, deleted from annotations order by created") == [
        {"name": "outcome", "deleted": False},
        {"name": "feedback", "deleted": False},
        {"name": "outcome", "deleted": True},
    ]
