"""Writers and sealers killed at random while a reader looks on: nothing acknowledged is lost.

Small on purpose, seconds long; a campaign of hours is a matter of `ROUNDS`.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_traj.store import TrajectoryStore
from tests.store.runs import trace_id

ROUNDS = 2

WRITER = """
import random, sys
from pathlib import Path
from otel_traj import wal
from tests.store.runs import close, root, run, started, tool

store, first, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
writer = wal.WalWriter(store)
for number in range(first, first + 1_000):
    *children, top = run(number)
    writer.append(wal.encode([started(top)]))
    for child in children:
        writer.append(wal.encode([child]))
    writer.append(wal.encode([top, close(number)]))
    print(number, flush=True)  # acknowledged
    if chance.random() < 0.3:
        writer.append(wal.encode(run(number)))  # sent again
    if chance.random() < 0.3:
        writer.append(wal.encode([tool(number, 4)]))  # late
"""

SEALER = """
import sys
from pathlib import Path
from otel_traj.store import sealing

while True:
    sealing.seal(Path(sys.argv[1]))
"""

VIOLATIONS = {
    "trajectory twice": "select trajectory_id from trajectories group by 1 having count(*) > 1",
    "trace in two": "select unnest(trace_ids) t from trajectories group by t having count(*) > 1",
    "steps unlike header": (
        "select t.trajectory_id from trajectories t"
        " left join (select trajectory_id, count(*) n from steps group by 1) s"
        " using (trajectory_id) where n_steps <> coalesce(n, 0)"
    ),
    "steps without header": "select trajectory_id from steps anti join trajectories"
    " using (trajectory_id)",
    "span twice": "select span_id from spans group by trace_id, span_id having count(*) > 1",
    "closed but not whole": "select trajectory_id from trajectories"
    " where status = 'completed' and n_spans not in (4, 5)",
}


@contextmanager
def running(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def kill(process: subprocess.Popen[str]) -> list[int]:
    """End it as the kernel would; the numbers of the runs that it had acknowledged."""
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    return [int(line) for line in output.splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_nothing_acknowledged_is_lost_and_nothing_half_written_is_seen(
    store: TrajectoryStore,
) -> None:
    chance = random.Random(7)
    acknowledged: list[int] = []
    seen = 0
    for turn in range(ROUNDS):
        with (
            running(WRITER, store.path, 10_000 * turn, turn) as one,
            running(WRITER, store.path, 10_000 * turn + 5_000, -turn) as other,
            running(SEALER, store.path) as sealer,
        ):
            one.stdout.readline()  # type: ignore[union-attr]
            deadline = time.monotonic() + 0.5 + chance.random()
            while time.monotonic() < deadline:
                seen = look(store, seen)
            acknowledged += [10_000 * turn, *kill(one), *kill(other)]
            kill(sealer)
            seen = look(store, seen)

    told = store.sql("select trace_ids[1] from trajectories where status = 'completed'").fetchall()
    assert {trace_id(number) for number in acknowledged} <= {row[0] for row in told}
    assert [problem for problem in store.verify() if problem.severity == "error"] == []


def look(store: TrajectoryStore, seen: int) -> int:
    """One consistent answer, with no fewer trajectories than before."""
    cursor = store.connection()  # one snapshot for all questions
    for what, sql in VIOLATIONS.items():
        assert cursor.execute(sql).fetchall() == [], what
    [(count,)] = cursor.execute("select count(*) from trajectories").fetchall()
    assert count >= seen
    return int(count)


def test_readers_in_other_processes_see_whole_runs_only(store: TrajectoryStore) -> None:
    reader = """
import sys
from otel_traj.store import open_store
store = open_store(sys.argv[1])
while True:
    cursor = store.connection()
    rows = cursor.execute("select status, n_spans from trajectories").fetchall()
    bad = [row for row in rows if row[0] == "completed" and row[1] not in (4, 5)]
    print(len(rows), bad, flush=True)
"""
    with running(WRITER, store.path, 0, 1), running(reader, store.path) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split(maxsplit=1) for _ in range(8)]

    assert [bad for _, bad in lines] == ["[]\n"] * 8
    counts = [int(count) for count, _ in lines]
    assert counts == sorted(counts)


def test_left_over_files_of_a_killed_sealer_are_a_note_and_not_read(
    store: TrajectoryStore,
) -> None:
    from tests.store.runs import run

    store.append(run(1))
    [real] = (store.path / "spans").glob("date=*/*.parquet")
    Path(real.with_name("LEFTOVER.parquet")).write_bytes(real.read_bytes())

    assert store.sql("select count(*) from spans").fetchall() == [(4,)]
    assert [problem.severity for problem in store.verify()] == ["note"]
