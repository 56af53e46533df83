"""Writers and sealers killed at random while a reader looks on: nothing acknowledged is lost.

Small on purpose, seconds long; `python bench/faults.py` and `bench/concurrency.py` go on for longer
and kill more kinds of processes.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_traj.store import TrajectoryStore
from tests.store import load
from tests.store.runs import run

ROUNDS = 1


@contextmanager
def running(role: str, store: Path, journal: Path, *arguments: object) -> Iterator[None]:
    """One of the processes of `load`; ended as the kernel would."""
    journal.touch()
    process = load.begin(role, store, journal, *arguments)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_nothing_acknowledged_is_lost_and_nothing_half_written_is_seen(
    store: TrajectoryStore, tmp_path: Path
) -> None:
    chance = random.Random(7)
    journals = [tmp_path / f"{turn}-{k}" for turn in range(ROUNDS) for k in range(2)]
    seen = 0
    for turn in range(ROUNDS):
        with (
            running("write", store.path, journals[2 * turn], 20_000 * turn, 0),
            running("write", store.path, journals[2 * turn + 1], 20_000 * turn + 10_000, 0),
            running("seal", store.path, tmp_path / "sealer"),
        ):
            load.wait_for(journals[2 * turn : 2 * turn + 2])
            deadline = time.monotonic() + 0.5 + chance.random()
            while time.monotonic() < deadline:
                shown, wrong = load.look(store.connection())
                assert (wrong, len(shown.spans) >= seen) == ([], True)
                seen = len(shown.spans)

    shown, wrong = load.look(store.connection())
    acknowledged = load.Acknowledged.of(journals)
    assert (acknowledged.lost(shown), wrong) == ([], [])
    assert acknowledged.runs
    assert [problem for problem in store.verify() if problem.severity == "error"] == []


def test_left_over_files_of_a_killed_sealer_are_a_note_and_not_read(
    store: TrajectoryStore,
) -> None:
    store.append(run(1))
    [real] = (store.path / "spans").glob("date=*/*.parquet")
    Path(real.with_name("LEFTOVER.parquet")).write_bytes(real.read_bytes())

    assert store.sql("select count(*) from spans").fetchall() == [(4,)]
    assert [problem.severity for problem in store.verify()] == ["note"]
