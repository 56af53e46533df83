import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from otel_traj import semconv, wal
from otel_traj.errors import (
    ConfigurationError,
    InputError,
    QueryError,
    StoreNotFoundError,
    StoreVersionError,
    TrajectoryNotFoundError,
)
from otel_traj.model import LogRecord, Record, SpanRecord
from otel_traj.store import AppendReport, TrajectoryStore, open_store, snapshot
from tests.store.runs import chat, root, run, span_id, trace_id


def test_a_missing_store_says_how_to_record_the_first_run(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"otel_traj\.instrument"):
        open_store(tmp_path / "nothing")


def test_opening_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        open_store(tmp_path / "nothing")

    assert list(tmp_path.iterdir()) == []


def test_without_a_path_the_environment_decides(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRAJ_STORE", str(store.path))

    assert open_store().path == store.path


def test_a_store_of_a_newer_version_is_refused(store: TrajectoryStore) -> None:
    (store.path / "format.json").write_text('{"format":9,"min_reader":9,"min_writer":9}')

    with pytest.raises(StoreVersionError, match="newer"):
        open_store(store.path)


def test_a_store_that_only_newer_versions_may_write_can_be_read(
    store: TrajectoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(run(1))
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode(run(2)))
    (store.path / "format.json").write_text('{"format":9,"min_reader":1,"min_writer":9}')

    assert open_store(store.path).sql("select count(*) from spans").fetchall() == [(8,)]
    assert "newer" in caplog.text
    with pytest.raises(StoreVersionError):
        store.append(run(2))
    writer.close()


def test_an_empty_store_answers_with_no_rows(store: TrajectoryStore) -> None:
    assert store.sql("select * from trajectories").fetchall() == []
    assert list(store.trajectories()) == []


def test_appending_twice_is_appending_once(store: TrajectoryStore) -> None:
    log = LogRecord(trace_id(1), span_id(1, 1), 5, 6, "e", None, "text", resource={"k": 1})
    records: list[Record] = [*run(1), *run(2), log]

    first, again = store.append(records), store.append(records)

    assert first == AppendReport(spans=8, logs=1, duplicates=0, trajectories=2)
    assert again == AppendReport(duplicates=9)
    assert store.sql("select count(*), count(distinct span_id) from spans").fetchall() == [(8, 8)]
    assert snapshot.numbers(store.path) == [1]


def test_a_duplicate_within_one_batch_counts_once_and_the_first_wins(
    store: TrajectoryStore,
) -> None:
    report = store.append([*run(1), chat(1, 1, **{semconv.REQUEST_MODEL: "other"})])

    assert (report.spans, report.duplicates) == (4, 1)
    assert store.sql("select distinct model from spans where model is not null").fetchall() == [
        ("m-1",)
    ]


def test_no_record_is_stored_when_one_is_none(store: TrajectoryStore) -> None:
    broken = SpanRecord(trace_id(2), span_id(2, 0), None, "x", "soon", 2)  # type: ignore[arg-type]

    with pytest.raises(InputError, match="soon"):
        store.append([*run(1), broken])

    assert store.sql("select count(*) from spans").fetchall() == [(0,)]


def test_a_trajectory_comes_with_its_steps(store: TrajectoryStore) -> None:
    store.append(run(1))

    [trajectory] = store.trajectories()

    assert [step.kind for step in trajectory.steps] == ["llm", "tool", "llm"]
    assert trajectory.n_steps == 3
    assert trajectory.task == "order-1"
    assert trajectory.start_time == datetime(2026, 11, 18, 11, 6, 41, tzinfo=UTC)
    assert store.trajectory(trajectory.trajectory_id) == trajectory


def test_times_are_utc_whatever_the_session(store: TrajectoryStore) -> None:
    store.append(run(1))

    [(start, text)] = store.sql(
        "select start_time, start_time::varchar from spans limit 1"
    ).fetchall()

    assert start == datetime(2026, 11, 18, 11, 6, 41, tzinfo=UTC)
    assert text == "2026-11-18 11:06:41+00"


def test_the_beginning_of_an_id_is_enough_when_it_is_unique(store: TrajectoryStore) -> None:
    store.append(run(1, **{semconv.TRAJECTORY_ID: "order-one-a"}))
    store.append(run(2, **{semconv.TRAJECTORY_ID: "order-one-b"}))

    assert store.trajectory("order-one-b").task == "order-2"
    with pytest.raises(TrajectoryNotFoundError, match=r"Several.*order-one-a.*order-one-b"):
        store.trajectory("order-one")
    with pytest.raises(TrajectoryNotFoundError, match="needs 6 characters"):
        store.trajectory("order")


def test_an_unknown_id_names_the_nearest(store: TrajectoryStore) -> None:
    store.append(run(1, **{semconv.TRAJECTORY_ID: "order-one"}))

    with pytest.raises(TrajectoryNotFoundError, match="'order-one'"):
        store.trajectory("ordr-one")


def test_trajectories_come_newest_first_and_by_filter(store: TrajectoryStore) -> None:
    store.append([s for n in range(1, 8) for s in run(n)])
    store.append([root(8, **{semconv.AGENT_NAME: "boss"}), chat(8, 1)])
    failed = next(store.trajectories(task="order-3")).trajectory_id
    store.annotate(failed, "outcome", "failure", kind="outcome")

    tasks = [t.task for t in store.trajectories()]

    assert tasks == [f"order-{n}" for n in range(8, 0, -1)]
    assert [t.task for t in store.trajectories(agent="boss")] == ["order-8"]
    assert [t.task for t in store.trajectories(outcome="failure")] == ["order-3"]
    assert [t.task for t in store.trajectories(status="open")] == []
    assert [t.task for t in store.trajectories(limit=2)] == ["order-8", "order-7"]


def test_a_program_that_gives_two_runs_one_id_gets_two_trajectories(
    store: TrajectoryStore,
) -> None:
    given = {semconv.TRAJECTORY_ID: "nightly"}
    store.append(run(1, **given))
    store.append([*run(2, **given), *run(3, **given)])
    store.append([chat(2, 4)])  # late: the second one is derived again

    found = store.sql("select task, trajectory_id, aliases from trajectories order by task")
    (first, *first_id), (second, second_id, _), (third, third_id, _) = found.fetchall()

    assert (first, second, third) == ("order-1", "order-2", "order-3")
    assert first_id == ["nightly", []]
    assert second_id.startswith("nightly-")
    assert third_id.startswith("nightly-")
    assert second_id != third_id
    assert store.verify() == []


def test_an_annotation_names_its_step_and_takes_part_in_the_views(store: TrajectoryStore) -> None:
    store.append(run(1))
    [trajectory] = store.trajectories()

    store.annotate(trajectory.trajectory_id[:8], "reward", 0.25, kind="reward", step=1)
    store.annotate(trajectory.trajectory_id, "reward", 0.75, kind="reward", annotator="ann")
    store.annotate(trajectory.trajectory_id, "notes", {"a": ["ü"]})

    assert store.sql("select step, reward from steps order by step").fetchall() == [
        (0, None),
        (1, 0.25),
        (2, None),
    ]
    assert store.sql("select reward from trajectories").fetchall() == [(0.75,)]
    told = store.sql(
        "select target, name, kind, value_num, value_json, source, annotator, span_id, tool_call_id"
        " from annotations order by created"
    )
    assert told.fetchall() == [
        ("step", "reward", "reward", 0.25, None, "explicit", None, span_id(1, 2), "c-1-2"),
        ("trajectory", "reward", "reward", 0.75, None, "explicit", "ann", None, None),
        ("trajectory", "notes", "label", None, '{"a":["ü"]}', "explicit", None, None, None),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("outcome", "great", "none of success, failure"),
        ("reward", "high", "a number"),
        ("score", True, "a number"),
        ("verdict", 1, "none of reward, outcome"),
    ],
)
def test_an_annotation_that_makes_no_sense_is_refused(
    store: TrajectoryStore, kind: str, value: object, says: str
) -> None:
    store.append(run(1))
    [trajectory] = store.trajectories()

    with pytest.raises(ConfigurationError, match=says):
        store.annotate(trajectory.trajectory_id, "x", value, kind=kind)  # type: ignore[arg-type]


def test_an_annotation_of_a_step_that_is_not_there_is_refused(store: TrajectoryStore) -> None:
    store.append(run(1))
    [trajectory] = store.trajectories()

    with pytest.raises(ConfigurationError, match="has no step 9; it has 3"):
        store.annotate(trajectory.trajectory_id, "x", 1, step=9)


def test_parameters_are_bound_and_wrong_sql_is_our_error(store: TrajectoryStore) -> None:
    store.append(run(1))

    asked = store.sql("select task from trajectories where task = $task", {"task": "order-1"})

    assert asked.fetchall() == [("order-1",)]
    with pytest.raises(QueryError, match="nothing_like_it"):
        store.sql("select nothing_like_it from trajectories")


def test_a_relation_stays_on_its_snapshot(store: TrajectoryStore) -> None:
    store.append(run(1))
    before = store.sql("select count(*) from trajectories")

    store.append(run(2))

    assert before.fetchall() == [(1,)]
    assert store.sql("select count(*) from trajectories").fetchall() == [(2,)]


def test_variables_belong_to_the_cursor_that_set_them(store: TrajectoryStore) -> None:
    one, other = store.connection(), store.connection()

    one.execute("set variable min_runs = 3")

    assert one.execute("select getvariable('min_runs')").fetchall() == [(3,)]
    assert other.execute("select getvariable('min_runs')").fetchall() == [(None,)]


def test_s1_11_ten_threads_write_ten_runs_each_while_others_read(store: TrajectoryStore) -> None:
    counts: list[int] = []

    def write(thread: int) -> None:
        for half in (0, 5):
            store.append([s for n in range(5) for s in run(thread * 10 + half + n)])

    def read() -> None:
        for _ in range(5):
            [(count,)] = store.sql("select count(*) from trajectories").fetchall()
            counts.append(count)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(10)]
    threads += [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.sql("select count(*) from trajectories").fetchall() == [(100,)]
    assert counts == sorted(counts)
    assert store.verify() == []


READ_AS_NOBODY = """
import os, sys
from otel_traj.store import open_store
os.setgid(65534); os.setuid(65534)
store = open_store(sys.argv[1])
print(store.sql("select task, status from trajectories order by task").fetchall())
print(store.sql("select task, status from trajectories order by task").fetchall())
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs another user")
def test_a_folder_that_may_not_be_written_is_read_with_the_tail_of_its_log(
    store: TrajectoryStore,
) -> None:
    store.append(run(1))
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([*run(2), chat(3, 1)]))
    for folder in [store.path, *store.path.parents]:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o005)
    files_before = sorted(store.path.rglob("*"))

    read = subprocess.run(
        [sys.executable, "-c", READ_AS_NOBODY, str(store.path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    rows = "[('order-1', 'completed'), ('order-2', 'completed'), (None, 'open')]"
    assert (read.stdout, read.returncode) == (f"{rows}\n{rows}\n", 0), read.stderr
    assert sorted(store.path.rglob("*")) == files_before
    writer.close()
