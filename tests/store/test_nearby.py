"""One trajectory by its id is the same whether all files are asked or only its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_traj.errors import TrajectoryNotFoundError
from otel_traj.model import SpanRecord, Trajectory
from otel_traj.store import TrajectoryStore, open_store, snapshot
from tests.store.runs import run, tool

DAY_NS = 86_400 * 10**9


def of_day(day: int, spans: list[SpanRecord]) -> list[SpanRecord]:
    shift = day * DAY_NS
    return [replace(s, start_ns=s.start_ns + shift, end_ns=(s.end_ns or 0) + shift) for s in spans]


@pytest.fixture
def filled(store: TrajectoryStore) -> TrajectoryStore:
    """Six runs on six days, a commit each, one of which has been asked for already."""
    for day in range(6):
        store.append(of_day(day, run(day)))
    store.trajectory(ids(store)[0])
    return store


def ids(store: TrajectoryStore) -> list[str]:
    found = store.sql("select trajectory_id from trajectories order by start_time").fetchall()
    return [trajectory_id for (trajectory_id,) in found]


def from_all_files(store: TrajectoryStore, trajectory_id: str) -> Trajectory:
    """What a store says that was asked nothing yet."""
    return open_store(store.path).trajectory(trajectory_id)


def test_run_that_nothing_was_said_of(filled: TrajectoryStore) -> None:
    for trajectory_id in ids(filled):
        found = filled.trajectory(trajectory_id)

        assert found == from_all_files(filled, trajectory_id)
        assert found.steps


def test_run_that_was_judged_and_its_step_rewarded(filled: TrajectoryStore) -> None:
    judged = ids(filled)[3]
    filled.annotate(judged, "failure_rationale", "it gave up")
    filled.annotate(judged, "reward", 0.5, step=1)
    filled.trajectory(judged)  # a new snapshot, the known ids of old files

    found = filled.trajectory(judged)

    assert found == from_all_files(filled, judged)
    assert found.failure_rationale == "it gave up"
    assert found.steps[1].reward == 0.5


def test_run_that_a_late_span_made_another_of(filled: TrajectoryStore) -> None:
    late = ids(filled)[2]
    before = filled.trajectory(late)
    filled.append(of_day(2, [tool(2, 5)]))

    found = filled.trajectory(late)

    assert found == from_all_files(filled, late)
    assert found.n_steps == before.n_steps + 1


def test_run_in_merged_files(filled: TrajectoryStore) -> None:
    merged = ids(filled)[4]
    before = filled.trajectory(merged)
    filled.compact(full=True)

    assert filled.trajectory(merged) == before


def test_run_that_was_deleted_is_not_found(filled: TrajectoryStore) -> None:
    deleted = ids(filled)[1]
    filled.trajectory(deleted)
    filled.delete([deleted])

    with pytest.raises(TrajectoryNotFoundError):
        filled.trajectory(deleted)


def test_beginning_of_an_id_is_still_looked_for(filled: TrajectoryStore) -> None:
    whole = ids(filled)[5]

    assert filled.trajectory(whole[:8]) == filled.trajectory(whole)


def test_no_file_of_another_run_is_opened(filled: TrajectoryStore) -> None:
    wanted = ids(filled)[3]
    before = filled.trajectory(wanted)
    for files in snapshot.newest(filled.path).files.values():
        for file in files:
            if file.date != before.start_time.date().isoformat():
                (filled.path / file.path).write_bytes(b"nothing")

    assert filled.trajectory(wanted) == before
