"""`annotate`: what is said after the fact is seen by the views."""

import json
from pathlib import Path
from typing import Any

import pytest

import otel_traj
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


# --- errors of the harness -----------------------------------------------------------------------

BROKEN = "submit: it's not callable at #"
QUOTED = "'submit: it'\"'\"'s not callable at #'"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A store in which one tool always fails, and another sometimes does."""
    recording = otel_traj.instrument(tmp_path / "broken", instrumentors=(), seal=False)
    for n in range(5):
        with otel_traj.trajectory(f"task {n}", agent="clerk") as recorded:
            recorded.step("submit", error=f"It's not callable at {n}7")
            recorded.step("look", error="timed out" if n else None)
            recorded.outcome("failure")
    recording.shutdown()
    return tmp_path / "broken"


def left_out(run: Run, store: Path) -> list[dict[str, Any]]:
    return asked(
        run, store, "select left_out, count(*) as n from attempts group by all order by n desc"
    )


def test_errors_of_the_harness_are_listed_confirmed_once_and_taken_back(
    run: Run, broken: Path
) -> None:
    listed = run("annotate", "--infrastructure", "--store", broken)
    assert [line.split()[0] for line in listed.out.splitlines()[2:]] == ["proposed"]
    assert f"Confirm: otel-traj annotate --infrastructure {QUOTED}\n" in listed.err
    assert left_out(run, broken) == [{"left_out": None, "n": 5}]

    confirmed = run("annotate", "--infrastructure", BROKEN, "--store", broken)
    again = run("annotate", "--infrastructure", "submit", "--store", broken)

    assert (confirmed.status, again.status) == (0, 0)
    assert confirmed.err == (
        f"{BROKEN}: the harness's; 5 runs with it neither succeeded nor failed\n"
    )
    assert "as was confirmed before" in again.err
    assert left_out(run, broken) == [{"left_out": "error", "n": 5}]
    listed = run("annotate", "--infrastructure", "--store", broken)
    assert [line.split()[0] for line in listed.out.splitlines()[2:]] == ["confirmed"]
    assert "Confirm" not in listed.err

    removed = run("annotate", "--infrastructure", BROKEN, "--remove", "--store", broken)

    assert (removed.status, removed.err) == (0, f"{BROKEN}: not the harness's any more\n")
    assert left_out(run, broken) == [{"left_out": None, "n": 5}]


def test_what_nobody_proposed_can_be_confirmed_and_what_is_gone_taken_back(
    run: Run, broken: Path
) -> None:
    ran = run("annotate", "--infrastructure", "look: timed", "--store", broken)
    assert (ran.status, left_out(run, broken)[0]["n"]) == (0, 4)
    (broken / "rules.toml").write_text('[[infrastructure]]\ntool = "gone"\nsignature = "x"\n')

    listed = run("annotate", "--infrastructure", "--store", broken)
    removed = run("annotate", "--infrastructure", "gone: x", "--remove", "--store", broken)

    assert "confirmed        0       0        0  gone       x" in listed.out
    assert removed.status == 0
    assert (broken / "rules.toml").read_text() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--infrastructure", "no such thing"], "No class of errors"),
        (["--infrastructure", BROKEN, "--remove"], "No class of errors"),
        (["--remove", "--infrastructure"], "Say which"),
        (["--infrastructure", BROKEN, "--outcome", "error"], "about all runs"),
        (["x", "--infrastructure", BROKEN], "about all runs"),
        (["x", "--remove"], "--remove goes with --infrastructure"),
        (["--outcome", "error"], "Missing argument"),
    ],
)
def test_wrong_use_of_infrastructure_is_refused(
    run: Run, broken: Path, arguments: list[str], message: str
) -> None:
    ran = run("annotate", *arguments, "--store", broken)

    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err
    assert not (broken / "rules.toml").exists()
