"""A run as far as it is asked for: a long one answers what a short one does, and sooner."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.model import SpanRecord
from otel_traj.redaction import choose
from otel_traj.server.viewer import course
from otel_traj.server.viewer.reading import Reader, TooSlowError
from otel_traj.store import TrajectoryStore
from tests import corpus
from tests.server.episodes import delegating, episode, hostile, messages
from tests.server.viewing import Viewing, segment, viewing
from tests.store.runs import chat, root, run, span, tool

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TrajectoryStore:
    made = TrajectoryStore.create(tmp_path_factory.mktemp("courses") / "traces")
    real = corpus.together(corpus.runs(corpus.SHIPPED))
    made.append([*episode(1), *delegating(2), *hostile(3), *digging(4), *real])
    return made


def digging(number: int) -> list[SpanRecord]:
    """An agent is asked late, and answers early."""

    def inside(position: int, **told: Any) -> SpanRecord:
        made = chat(number, position, **told)
        return dataclasses.replace(made, parent_span_id=inner.span_id)

    def silent(position: int) -> SpanRecord:
        return inside(position, **{semconv.INPUT_MESSAGES: messages("system", f"Be {position}")})

    inner = span(
        number,
        2,
        0,
        "invoke_agent digger",
        **{semconv.OPERATION: semconv.OP_INVOKE_AGENT, semconv.AGENT_NAME: "digger"},
    )
    return [
        chat(number, 1),
        dataclasses.replace(inner, end_ns=inner.start_ns + 20 * 10**6),
        inside(3, **{semconv.OUTPUT_MESSAGES: messages("assistant", "It is late")}),
        *(silent(position) for position in range(4, 10)),
        inside(10, **{semconv.INPUT_MESSAGES: messages("user", "How deep?")}),
        *(inside(position) for position in range(11, 18)),
        root(number, **{semconv.AGENT_NAME: "chief"}),
    ]


@pytest.fixture(scope="module")
def viewer(store: TrajectoryStore) -> Iterator[Viewing]:
    with viewing(store.path) as running:
        yield running


@pytest.fixture
def all_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "WHOLE", -1)


def answers(store: TrajectoryStore) -> list[Any]:
    """All that is told of the steps of all runs."""
    with viewing(store.path) as viewer:
        runs = viewer.get("trajectories", limit=500)["rows"]
        return [part for row in runs for part in _of_run(viewer, row["trajectory_id"])]


def _of_run(viewer: Viewing, run_id: str) -> Iterator[Any]:
    path = f"trajectories/{segment(run_id)}"
    steps = viewer.get(f"{path}/steps")
    yield steps
    yield viewer.get(f"{path}/files")
    yield viewer.get(f"{path}/transcript")
    yield viewer.get(f"{path}/transcript", cursor=1, limit=2)
    for agent in sorted({step["agent_path"] for step in steps["rows"] if step["agent_path"]}):
        yield viewer.get(f"{path}/transcript", agent=agent)
    for step in steps["rows"][::3]:
        yield viewer.get(f"{path}/steps/{step['step']}")
        yield viewer.get(f"{path}/steps/{step['step']}/files")
        yield viewer.get(f"{path}/spans/{step['span_id']}")


def test_a_long_run_tells_what_a_short_one_does(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = answers(store)
    monkeypatch.setattr(course, "WHOLE", -1)

    assert len(short) > 100
    assert answers(store) == short


@pytest.mark.usefixtures("all_are_long")
def test_of_a_long_run_only_what_is_asked_for_is_read(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(*_: object) -> None:
        raise AssertionError("all of the run was read")

    monkeypatch.setattr(Reader, "trajectory", whole)
    with viewing(store.path) as viewer:
        [row] = viewer.get("trajectories", agent="coder")["rows"]
        run_id = row["trajectory_id"]
        path = f"trajectories/{run_id}"

        for part in ("transcript", "steps", "steps/2", "steps/2/files", "files", "spans/2"):
            assert viewer.get(f"{path}/{part}")
        assert viewer.get(f"{path}/doctor")
        assert viewer.get("compare/step", a=run_id, b=run_id, step_a=1, step_b=2)


def test_a_folded_agent_shows_the_first_question_and_the_last_answer_wherever_they_are(
    viewer: Viewing,
) -> None:
    [row] = viewer.get("trajectories", agent="chief")["rows"]

    [_, folded] = viewer.get(f"trajectories/{row['trajectory_id']}/transcript")["items"]

    assert folded["agent"]["n_steps"] == 15
    assert folded["agent"]["first"]["text"] == "How deep?"
    assert folded["agent"]["last"]["text"] == "It is late"
    assert folded["agent"]["duration_us"] == 15_000


@pytest.mark.usefixtures("all_are_long")
def test_a_run_that_has_changed_since_it_was_begun_is_read_anew(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    store.append(run(1))
    reader = Reader(store, choose("off"))
    [[run_id]] = store.sql("select trajectory_id from trajectories").fetchall()
    seen: list[int] = []

    def ask(it: course.Course) -> list[str]:
        seen.append(len(it.outline))
        if len(seen) == 1:
            store.append([tool(1, 4)])  # between what is kept and what is read
            return [step.kind for step in it.steps([99])]
        return [step.kind for step in it.steps(range(len(it.outline)))]

    told = course.read(reader, run_id, ask)

    assert seen == [len(told) - 1, len(told)]
    with pytest.raises(TooSlowError, match="changes faster"):
        course.read(reader, run_id, lambda it: it.steps([99]))
