"""What a person says of a run counts, is kept, and can be undone; nothing is ever erased."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.redaction import choose
from otel_traj.server.viewer import annotating, asking
from otel_traj.store import TrajectoryStore
from tests.server.episodes import KEY
from tests.server.serving import Answer, ask
from tests.server.viewing import Viewing, viewing
from tests.store.runs import run

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> TrajectoryStore:
    """A run that says of itself that it failed."""
    made = TrajectoryStore.create(tmp_path / "traces")
    made.append(run(1, **{semconv.OUTCOME: "failure"}))
    return made


@pytest.fixture
def viewer(store: TrajectoryStore) -> Iterator[Viewing]:
    with viewing(store.path, redaction=choose("secrets")) as running:
        yield running


def run_id(store: TrajectoryStore) -> str:
    [[found]] = store.sql("select trajectory_id from trajectories").fetchall()
    return str(found)


def post(viewer: Viewing, path: str, body: object = None) -> Answer:
    return ask(
        viewer.address,
        "POST",
        f"{asking.PREFIX}/trajectories/{path}",
        json.dumps(body).encode(),
        content_type="application/json",
        origin=f"http://{viewer.address}",
        x_otel_traj="1",
    )


def say(viewer: Viewing, path: str, **said: Any) -> str:
    answer = post(viewer, f"{path}/annotations", said)
    assert answer.status == 200, answer.body
    return str(json.loads(answer.body)["annotation_id"])


def undo(viewer: Viewing, path: str, annotation_id: str) -> int:
    return post(viewer, f"{path}/annotations/{annotation_id}/undo").status


def outcome(viewer: Viewing, path: str) -> tuple[str, str]:
    told = viewer.get(f"trajectories/{path}")
    return told["outcome"], told["outcome_source"]


def test_what_a_person_says_counts_and_its_undoing_lets_the_run_speak_again(
    store: TrajectoryStore, viewer: Viewing
) -> None:
    path = run_id(store)

    said = say(viewer, path, kind="outcome", value="partial", annotator="mona")
    assert outcome(viewer, path) == ("partial", "explicit")
    second = say(viewer, path, kind="outcome", value="success", annotator="mona")
    assert outcome(viewer, path) == ("success", "explicit")
    assert undo(viewer, path, said) == 409
    assert undo(viewer, path, second) == 200
    assert outcome(viewer, path) == ("partial", "explicit")
    assert undo(viewer, path, second) == 409

    first = viewer.get(f"trajectories/{path}/annotations")["rows"][0]
    assert (first["value"], first["source"], first["annotator"]) == ("partial", "human", "mona")


def test_the_first_word_undone_is_taken_back_and_still_there(
    store: TrajectoryStore, viewer: Viewing
) -> None:
    path = run_id(store)
    said = say(viewer, path, kind="outcome", value="success")

    assert undo(viewer, path, said) == 200

    assert outcome(viewer, path) == ("failure", "explicit")
    rows = viewer.get(f"trajectories/{path}/annotations")["rows"]
    told = [(row["name"], row["value"], row["source"], row["is_taken_back"]) for row in rows]
    assert told == [
        ("outcome", None, "human", True),
        ("outcome", "success", "human", False),
        ("outcome", "failure", "explicit", False),
    ]
    assert [row["can_undo"] for row in rows] == [False, False, False]


def test_it_is_what_the_command_line_says_too(store: TrajectoryStore, viewer: Viewing) -> None:
    path = run_id(store)
    say(viewer, path, kind="score", name="relevance", value=0.25, annotator="mona")
    say(viewer, path, kind="comment", value="it asked twice", annotator="mona")

    said = store.sql(
        "select name, kind, value_num, value_text, source, annotator from annotations_latest"
        " where source = 'human' order by kind"
    ).fetchall()

    assert said == [
        ("comment", "comment", None, "it asked twice", "human", "mona"),
        ("relevance", "score", 0.25, None, "human", "mona"),
    ]


def test_nobody_undoes_what_the_run_said(store: TrajectoryStore, viewer: Viewing) -> None:
    path = run_id(store)
    [own] = viewer.get(f"trajectories/{path}/annotations")["rows"]

    assert undo(viewer, path, own["annotation_id"]) == 404
    assert outcome(viewer, path) == ("failure", "explicit")


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "outcome", "value": "splendid"},
        {"kind": "score", "value": "much"},
        {"kind": "score", "name": "outcome", "value": 1},
        {"kind": "label", "value": "x"},
        {"kind": "comment", "value": "x" * (annotating.LONGEST + 1)},
        {"kind": "comment"},
        {},
        None,
    ],
)
def test_what_does_not_fit_is_refused_and_not_written(
    store: TrajectoryStore, viewer: Viewing, said: Any
) -> None:
    path = run_id(store)

    assert post(viewer, f"{path}/annotations", said).status == 400

    assert len(viewer.get(f"trajectories/{path}/annotations")["rows"]) == 1


def test_pages_of_others_say_nothing(store: TrajectoryStore, viewer: Viewing) -> None:
    path = f"{asking.PREFIX}/trajectories/{run_id(store)}/annotations"
    body = json.dumps({"kind": "outcome", "value": "success"}).encode()

    answer = ask(
        viewer.address,
        "POST",
        path,
        body,
        content_type="application/json",
        origin="http://evil.example",
        x_otel_traj="1",
    )

    assert answer.status == 403
    assert outcome(viewer, run_id(store)) == ("failure", "explicit")


def test_secrets_are_neither_kept_nor_shown(store: TrajectoryStore, viewer: Viewing) -> None:
    path = run_id(store)
    say(viewer, path, kind="comment", value=f"it used {KEY}")

    assert KEY not in json.dumps(viewer.get(f"trajectories/{path}/annotations"))
    assert not store.search(KEY).findings


def test_a_store_that_can_only_be_read_says_so(
    store: TrajectoryStore, viewer: Viewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run_id(store)
    monkeypatch.setattr("otel_traj.wal.initialise", _refuse)  # root may write anywhere

    answer = post(viewer, f"{path}/annotations", {"kind": "comment", "value": "x"})

    assert answer.status == 403
    assert b"can only be read" in answer.body


def _refuse(_: Path) -> None:
    raise PermissionError(13, "Permission denied")
