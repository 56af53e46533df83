"""Damage of any kind to any file: it is named, set aside, and the rest reads as before."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from otel_traj import wal
from otel_traj.errors import StoreDamagedError
from otel_traj.model import LogRecord
from otel_traj.store import TrajectoryStore, open_store, repair, schema, snapshot
from otel_traj.store.snapshot import DataFile
from tests.store.runs import (
    RESOURCE,
    START_NS,
    chat,
    close,
    root,
    run,
    span_id,
    started,
    tool,
    trace_id,
)

DAY_NS = 86_400 * 10**9
VIEWS = ("trajectories", "steps", "spans", "logs", "trajectory_spans", "file_changes")
NOT_COMPARED = ("rev", "ingest_seq", "ingest_time")
"""Columns that say when a row was made."""


def rows_of(store: TrajectoryStore, views: tuple[str, ...] = VIEWS) -> dict[str, list[Any]]:
    return {
        view: store.sql(f"select {_told(view)} from {view} order by all").fetchall()
        for view in views
    }


def _told(view: str) -> str:
    names = [column.name for column in schema.VIEW_COLUMNS[view]]
    return ", ".join(f'"{name}"' for name in names if name not in NOT_COMPARED)


def log(number: int) -> LogRecord:
    return LogRecord(
        trace_id=trace_id(number),
        span_id=span_id(number, 1),
        time_ns=START_NS + number * 10**9,
        observed_ns=None,
        event_name="note",
        severity=None,
        body="said",
        resource=RESOURCE,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of one day, of several commits, one of them late, and one of another day."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("whole") / "traces")
    store.append([*run(1), log(1), *run(2)])
    store.append([*run(3), log(3)])
    store.append([tool(1, 4)])
    store.append([a_day_later(record) for record in run(7)])
    for trajectory in store.trajectories():
        store.annotate(trajectory.trajectory_id, "outcome", "failure", annotator="mona")
    store.seal()
    return store.path


@pytest.fixture
def store(tmp_path: Path, whole: Path) -> TrajectoryStore:
    """A copy of it, to be damaged."""
    return TrajectoryStore(Path(shutil.copytree(whole, tmp_path / "traces")))


def a_day_later(record: Any) -> Any:
    return replace(record, start_ns=record.start_ns + DAY_NS, end_ns=record.end_ns + DAY_NS)


def live(store: TrajectoryStore, table: str) -> list[DataFile]:
    return list(snapshot.newest(store.path).live(table))


def errors(store: TrajectoryStore) -> list[str]:
    return [problem.what for problem in store.verify(sample=None) if problem.severity == "error"]


# --- kinds of damage ---------------------------------------------------------------------------

Damage = Callable[[TrajectoryStore, DataFile], None]


def missing(store: TrajectoryStore, file: DataFile) -> None:
    (store.path / file.path).unlink()


def cut(store: TrajectoryStore, file: DataFile) -> None:
    path = store.path / file.path
    path.write_bytes(path.read_bytes()[:-100])


def emptied(store: TrajectoryStore, file: DataFile) -> None:
    (store.path / file.path).write_bytes(b"")


def flipped(store: TrajectoryStore, file: DataFile) -> None:
    flip(store.path / file.path, random.Random(file.path))


def replaced(store: TrajectoryStore, file: DataFile) -> None:
    path = store.path / file.path
    with pq.ParquetFile(path) as parquet:
        rows = parquet.read()
    pq.write_table(rows.slice(0, 0), path)


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("trajectories", flipped),
        ("trajectories", missing),
        ("steps", cut),
        ("trajectory_spans", emptied),
        ("superseded", replaced),
        ("annotations", flipped),
    ],
)
def test_derived_rows_come_again_from_their_spans(
    store: TrajectoryStore, table: str, damage: Damage
) -> None:
    before = rows_of(store)
    file = live(store, table)[0]
    damage(store, file)
    [what] = errors(open_store(store.path))

    report = open_store(store.path).repair()

    assert what.startswith(file.path)
    rows = "row" if file.rows == 1 else "rows"
    assert f"Lost: {file.rows} {rows} of {table} of {file.date}" in what
    assert list(report.set_aside) == ([] if damage is missing else [file.path])
    assert errors(store) == []
    after = rows_of(store)
    if table == "annotations":  # what somebody said later is told by no span
        before.pop("trajectories")
        after.pop("trajectories")
    assert after == before


@pytest.mark.parametrize("table", ["spans", "logs"])
def test_a_trajectory_whose_spans_are_lost_keeps_what_was_derived(
    store: TrajectoryStore, table: str
) -> None:
    before = rows_of(store, ("trajectories", "steps", "trajectory_spans"))
    flipped(store, live(store, table)[0])
    [what] = errors(store)

    report = open_store(store.path).repair()

    assert "what was derived from them stays" in what
    assert report.rebuilt == 0
    assert rows_of(store, ("trajectories", "steps", "trajectory_spans")) == before
    assert errors(store) == []
    lost = "select count(distinct trajectory_id) from annotations where name = 'traj.damage'"
    assert store.sql(lost).fetchall() == [(2 if table == "spans" else 0,)]


def test_what_lost_spans_is_not_derived_from_those_that_are_left(store: TrajectoryStore) -> None:
    before = rows_of(store, ("trajectories", "steps", "trajectory_spans"))
    flipped(store, live(store, "spans")[0])  # of runs 1 and 2; the late span of run 1 is elsewhere
    cut(store, live(store, "steps")[1])  # of run 3

    report = open_store(store.path).repair()

    assert report.rebuilt == 1
    assert rows_of(store, ("trajectories", "steps", "trajectory_spans")) == before
    assert errors(store) == []


def test_every_file_can_be_damaged_at_once(store: TrajectoryStore) -> None:
    for path in store.path.rglob("date=*/*.parquet"):
        flip(path, random.Random(path.name))

    assert len(errors(store)) == sum(len(own) for own in snapshot.newest(store.path).files.values())
    open_store(store.path).repair()

    assert errors(store) == []
    assert rows_of(store) == {view: [] for view in VIEWS}
    store.append(run(9))
    assert len(rows_of(store)["trajectories"]) == 1


def test_other_days_and_writers_are_not_touched(store: TrajectoryStore) -> None:
    mine = "from steps where trace_id = $t order by step"
    before = store.sql(mine, {"t": trace_id(7)}).fetchall()
    for file in live(store, "steps"):
        if file.date == "2026-11-18":
            cut(store, file)

    open_store(store.path).repair()

    after = store.sql(mine, {"t": trace_id(7)}).fetchall()
    assert len(before) == 3
    assert after == before  # rev and all
    assert errors(store) == []


def test_a_reader_is_told_what_to_do(store: TrajectoryStore) -> None:
    missing(store, live(store, "steps")[0])

    with pytest.raises(StoreDamagedError, match=r"(?s)steps/.*otel-traj verify"):
        list(open_store(store.path).trajectories())


def said_of(store: TrajectoryStore) -> list[str]:
    """What a reader is told when it cannot read; anything else that it raises is a failure."""
    try:
        list(open_store(store.path).trajectories())
    except StoreDamagedError as error:
        return [str(error)]
    return []


def test_whatever_the_engine_says_of_a_flipped_bit_a_reader_is_told_what_to_do(
    store: TrajectoryStore,
) -> None:
    path = store.path / live(store, "steps")[0].path
    content = path.read_bytes()
    chance = random.Random(7)
    told = []

    for _ in range(8):
        flip(path, chance)
        told += said_of(store)
        path.write_bytes(content)

    assert told  # the others changed what only `verify` sees
    assert [text for text in told if "otel-traj verify" not in text] == []


def test_a_run_that_goes_on_is_repaired_and_ends_as_ever(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([started(root(5)), chat(5, 1)]))
    store.seal()
    for file in live(store, "trajectories"):
        flipped(store, file)

    open_store(store.path).repair()
    writer.append(wal.encode([tool(5, 2), root(5), close(5)]))
    writer.close()

    [told] = (
        open_store(store.path)
        .sql("select status, n_steps from trajectories where task = 'order-5'")
        .fetchall()
    )
    assert told == ("completed", 2)
    assert errors(store) == []


# --- a damaged snapshot ------------------------------------------------------------------------


def newest(store: TrajectoryStore) -> Path:
    return sorted((store.path / "_snap").iterdir())[-1]


def test_any_bit_of_a_snapshot_that_flips_is_noticed(store: TrajectoryStore) -> None:
    path = newest(store)
    content = path.read_bytes()
    chance = random.Random(1)
    whole = snapshot.newest(store.path)

    for _ in range(300):
        flip(path, chance)
        try:
            read = snapshot.newest(store.path)
        except StoreDamagedError:
            continue
        finally:
            path.write_bytes(content)
        assert read == whole  # the bit was in the name of the seal, not in what it seals


@pytest.mark.parametrize("commits", ["seal", "compact", "annotate"])
def test_a_lost_snapshot_is_restored_from_the_files(store: TrajectoryStore, commits: str) -> None:
    if commits == "seal":
        store.append([*run(4), log(4), tool(2, 4)])
    elif commits == "compact":
        store.compact(full=True)
    else:
        [first, *_] = store.trajectories()
        store.annotate(first.trajectory_id, "outcome", "success")
    before = rows_of(store)
    path = newest(store)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(StoreDamagedError, match="otel-traj verify --repair"):
        open_store(store.path).sql("select 1")

    report = open_store(store.path).repair()

    assert list(report.set_aside) == [f"_snap/{path.name}"]
    assert errors(store) == []
    assert rows_of(store) == before


def test_a_death_while_a_snapshot_is_restored_loses_nothing(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append([*run(4), log(4)])
    before = rows_of(store)
    newest(store).write_bytes(b"{")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as death:
        death.setattr(repair, "_store_again", dies)
        with pytest.raises(KeyboardInterrupt):
            open_store(store.path).repair()
    open_store(store.path).repair()

    assert rows_of(store) == before
    assert errors(store) == []


def test_without_any_snapshot_all_files_are_read_again(store: TrajectoryStore) -> None:
    before = rows_of(store, ("spans", "logs"))
    told = rows_of(store, ("steps",))
    for path in (store.path / "_snap").iterdir():
        path.write_bytes(b"")

    report = open_store(store.path).repair()

    assert report.recovered == 17 + 2 + 4
    assert rows_of(store, ("spans", "logs")) == before
    assert rows_of(store, ("steps",)) == told
    outcomes = store.sql("select distinct outcome from trajectories").fetchall()
    assert outcomes == [("failure",)]


def test_a_whole_store_is_left_alone(store: TrajectoryStore) -> None:
    n = snapshot.newest(store.path).n

    report = store.repair()

    assert report == repair.RepairReport({})
    assert snapshot.newest(store.path).n == n


def test_what_was_set_aside_is_a_note(store: TrajectoryStore) -> None:
    cut(store, live(store, "steps")[0])
    store.repair()

    [problem] = store.verify()

    assert problem.severity == "note"
    assert "_tmp/damaged-steps-2026-11-18-" in problem.what
