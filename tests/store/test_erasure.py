"""`delete`: gone from every file, and everything else is as it was."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from otel_traj import importers, semconv, wal
from otel_traj.assembly import runs
from otel_traj.errors import ConfigurationError, StoreError, TrajectoryNotFoundError
from otel_traj.model import LogRecord, SpanLink, SpanRecord
from otel_traj.store import TrajectoryStore, erasure, snapshot
from tests.store.asking import asked, ids_by_task, is_absent, record
from tests.store.runs import chat, close, root, run, span, span_id, started, tool, trace_id

CORPUS = Path(__file__).parents[1] / "data" / "corpus"

ROWS = {
    "trajectories": "select * from trajectories order by all",
    "steps": "select * from steps order by all",
    "trajectory_spans": "select * from trajectory_spans order by all",
    "spans": "select * from spans order by all",
    "logs": "select * from logs order by all",
    "annotations": "select * from annotations where source <> 'otel-traj' order by all",
}


def rows_of(store: TrajectoryStore) -> dict[str, list[Any]]:
    return {table: asked(store, sql) for table, sql in ROWS.items()}


def said(number: int, text: str, **fields: Any) -> LogRecord:
    return LogRecord(trace_id(number), span_id(number, 0), 5, None, None, "INFO", text, **fields)


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Where a test makes the rules those of an older version; `undo` brings today's back."""
    with monkeypatch.context() as patch:
        yield patch


def test_a_trajectory_goes_with_all_that_is_its_own(store: TrajectoryStore) -> None:
    record(store, *run(2), said(2, "hello"))
    kept = rows_of(store)
    record(store, *run(1, **{semconv.OUTCOME: "failure"}), said(1, "secret words"))
    record(store, tool(1, 4))
    doomed = ids_by_task(store)["order-1"]
    store.annotate(doomed, "note", "of the doomed")

    report = store.delete([doomed])

    assert report.trajectory_ids == (doomed,)
    assert report.amount.rows == {
        "annotations": 2,
        "logs": 1,
        "spans": 5,
        "steps": 4,
        "trajectories": 1,
        "trajectory_spans": 5,
    }
    assert rows_of(store) == kept
    assert is_absent(store, doomed, trace_id(1), "order-1", "secret words", "of the doomed")
    assert store.verify(sample=None) == []


def test_an_erasure_leaves_an_audit_without_ids(store: TrajectoryStore) -> None:
    record(store, *run(1, **{"user.id": "ann"}), *run(2))

    store.delete(user="ann")

    [(told, about, trace)] = asked(
        store,
        "select value_json, trajectory_id, trace_id from annotations where name = 'traj.erasure'",
    )
    assert (about, trace) == (None, None)
    assert json.loads(told) == {
        "by": ["user"],
        "trajectories": 1,
        "rows": {"spans": 4, "steps": 3, "trajectories": 1, "trajectory_spans": 4},
    }


def test_a_dry_run_tells_the_same_and_changes_nothing(store: TrajectoryStore) -> None:
    record(store, *run(1), *run(2))
    doomed = ids_by_task(store)["order-1"]
    before = {p: p.stat().st_mtime_ns for p in store.path.rglob("*") if p.is_file()}

    planned = store.delete([doomed], dry_run=True)

    assert {p: p.stat().st_mtime_ns for p in store.path.rglob("*") if p.is_file()} == {
        **before,
        store.path / "_upkeep": (store.path / "_upkeep").stat().st_mtime_ns,
    }
    assert replace(planned, is_dry_run=False) == store.delete([doomed])


def test_the_beginning_of_an_id_is_enough_and_an_unknown_one_is_told(
    store: TrajectoryStore,
) -> None:
    record(store, *run(1))
    [doomed] = ids_by_task(store).values()

    with pytest.raises(TrajectoryNotFoundError):
        store.delete(["nobody"], dry_run=True)
    report = store.delete([doomed[:8], "nobody"])

    assert (report.trajectory_ids, report.unknown) == ((doomed,), ("nobody",))
    assert asked(store, "from trajectories") == []


@pytest.mark.parametrize("nothing", [{}, {"user": ""}, {"conversation": ""}])
def test_nothing_named_is_nothing_erased(store: TrajectoryStore, nothing: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="Name what to delete"):
        store.delete(**nothing)


# --- what belongs to it -------------------------------------------------------------------------


def test_a_trajectory_of_several_traces_goes_whole(store: TrajectoryStore) -> None:
    [*children, top] = run(9)
    record(store, *run(1), *run(2))
    record(store, *children, replace(top, links=(SpanLink(trace_id(1), span_id(1, 0)),)))
    [(doomed,)] = asked(store, "select trajectory_id from trajectories where len(trace_ids) = 2")

    store.delete([doomed])

    assert asked(store, "select distinct trace_id from spans") == [(trace_id(2),)]
    assert is_absent(store, doomed, trace_id(1), trace_id(9))
    assert store.verify(sample=None) == []


def batch(number: int, *names: str) -> list[SpanRecord]:
    """One trace of several runs: a batch job above, an agent that each of these people asks."""
    parts = [span(number, 0, None, "batch")]
    for at, name in enumerate(names, start=1):
        asked_by = [{"role": "user", "parts": [{"type": "text", "content": f"I am {name}"}]}]
        agent = span(
            number,
            10 * at,
            0,
            "invoke_agent clerk",
            **{
                semconv.OPERATION: semconv.OP_INVOKE_AGENT,
                semconv.AGENT_NAME: "clerk",
                semconv.TASK: f"task of {name}",
            },
        )
        call = chat(number, 10 * at + 1, **{semconv.INPUT_MESSAGES: json.dumps(asked_by)})
        parts += [agent, replace(call, parent_span_id=agent.span_id)]
    return parts


def test_of_a_trace_of_several_runs_only_the_spans_of_the_doomed_go(
    store: TrajectoryStore,
) -> None:
    record(store, *batch(1, "ann", "bob", "cyd"), *run(2))
    ids = ids_by_task(store)
    assert len(ids) == 4

    store.delete([ids["task of bob"]])

    left = asked(store, f"select name from spans where trace_id = '{trace_id(1)}' order by 1")
    assert left == [
        ("batch",),
        ("chat m-1",),
        ("chat m-1",),
        ("invoke_agent clerk",),
        ("invoke_agent clerk",),
    ]
    assert ids_by_task(store) == {k: v for k, v in ids.items() if k != "task of bob"}
    assert is_absent(store, ids["task of bob"], "bob")
    assert store.verify(sample=None) == []


def test_the_last_run_of_a_shared_trace_keeps_its_id(store: TrajectoryStore) -> None:
    record(store, *batch(1, "ann", "bob"))
    ids = ids_by_task(store)
    store.annotate(ids["task of ann"], "outcome", "failure")

    store.delete([ids["task of bob"]])

    told = asked(store, "select trajectory_id, task, outcome from trajectories")
    assert told == [(ids["task of ann"], "task of ann", "failure")]
    assert store.verify(sample=None) == []


def test_runs_that_were_joined_go_under_any_of_their_ids(
    store: TrajectoryStore, older: pytest.MonkeyPatch
) -> None:
    [*children, top] = run(2)
    older.setattr(runs, "_join_linked", lambda groups, nodes: None)
    record(store, *run(1), *run(3))
    record(store, *children, replace(top, links=(SpanLink(trace_id(1), span_id(1, 0)),)))
    ids = ids_by_task(store)
    store.annotate(ids["order-2"], "note", "said when they were two")
    older.undo()
    store.reassemble()
    assert asked(store, "from trajectory_aliases") == [(ids["order-2"], ids["order-1"])]

    report = store.delete([ids["order-2"]])

    assert report.trajectory_ids == (ids["order-1"],)
    assert is_absent(store, ids["order-1"], ids["order-2"], "order-2", "when they were two")
    assert list(ids_by_task(store)) == ["order-3"]
    assert store.verify(sample=None) == []


def test_dead_revisions_go_also_those_in_which_it_was_part_of_another(
    store: TrajectoryStore, older: pytest.MonkeyPatch
) -> None:
    [*children, top] = run(2)
    record(store, *run(1), *run(3))
    record(store, *children, replace(top, links=(SpanLink(trace_id(1), span_id(1, 0)),)))
    assert sorted(ids_by_task(store)) == ["order-1", "order-3"]
    older.setattr(runs, "_join_linked", lambda groups, nodes: None)
    store.reassemble([ids_by_task(store)["order-1"]])
    assert sorted(ids_by_task(store)) == ["order-1", "order-2", "order-3"]

    store.delete([ids_by_task(store)["order-2"]])

    assert sorted(ids_by_task(store)) == ["order-1", "order-3"]
    assert is_absent(store, "order-2", trace_id(2))
    assert store.verify(sample=None) == []


def test_who_was_made_from_a_trajectory_that_is_gone_does_not_name_it(
    store: TrajectoryStore,
) -> None:
    record(store, *run(1))
    [parent] = ids_by_task(store).values()
    child = {semconv.PARENT_TRAJECTORY_ID: parent, semconv.RELATION: "fork"}
    record(store, *run(2, **child))
    ids = ids_by_task(store)

    store.delete([parent])

    [(left, named, relation)] = asked(
        store, "select trajectory_id, parent_trajectory_id, relation from trajectories"
    )
    assert (left, named, relation) == (ids["order-2"], None, "fork")
    assert is_absent(store, parent)
    assert store.verify(sample=None) == []


@pytest.mark.slow
def test_the_rows_that_stay_keep_their_order(store: TrajectoryStore) -> None:
    """Also where a file has several row groups, which are read at once."""
    chance = random.Random(7)
    texts = ["".join(chance.choices("abcdefgh ", k=4_000)) for _ in range(50)]
    store.append(
        part
        for number in range(700)
        for part in [
            *(chat(number, at, note=chance.choice(texts)) for at in range(1, 15)),
            root(number),
        ]
    )

    store.delete([ids_by_task(store)["order-3"]])

    assert store.verify(sample=0) == []


# --- conversations and users --------------------------------------------------------------------


def test_a_user_goes_by_whatever_name_the_telemetry_has_for_users(store: TrajectoryStore) -> None:
    by_vercel = {"ai.telemetry.metadata.userId": "ann", "ai.operationId": "ai.generateText"}
    record(
        store,
        *run(1, **{"user.id": "ann"}),
        *run(2, **{"enduser.id": "ann"}),
        *[replace(s, scope_name="ai", attributes={**s.attributes, **by_vercel}) for s in run(3)],
        *run(4, **{"user.id": "bob"}),
        *run(5, **{"user.id": "annabel"}),
    )

    report = store.delete(user="ann")

    assert len(report.trajectory_ids) == 3
    assert sorted(ids_by_task(store)) == ["order-4", "order-5"]
    assert store.search(patterns=[r"\bann\b"]).findings == ()


def test_a_conversation_goes_with_what_makes_no_trajectory(store: TrajectoryStore) -> None:
    named = {semconv.CONVERSATION_ID: "conv-42"}
    health = replace(root(5), name="GET /", attributes=named)
    loose = LogRecord(None, None, 7, None, None, None, "of 42", named)
    other = LogRecord(
        None, None, 7, None, None, None, "of 43", {semconv.CONVERSATION_ID: "conv-43"}
    )
    record(store, *run(1, **named), *run(2, **{semconv.CONVERSATION_ID: "conv-43"}), health)
    record(store, loose, other)

    report = store.delete(conversation="conv-42")

    assert report.amount.rows["spans"] == 5
    assert report.amount.rows["logs"] == 1
    assert is_absent(store, "conv-42", "of 42")
    assert asked(store, "select task from trajectories") == [("order-2",)]
    assert asked(store, "select body from logs") == [('"of 43"',)]


def test_a_user_and_a_conversation_go_together(store: TrajectoryStore) -> None:
    record(
        store,
        *run(1, **{"user.id": "user-7"}),
        *run(2, **{semconv.CONVERSATION_ID: "conv-42"}),
        *run(3),
        LogRecord(None, None, 7, None, None, None, "of 7", {"user.id": "user-7"}),
        LogRecord(None, None, 7, None, None, None, "of 42", {semconv.CONVERSATION_ID: "conv-42"}),
        LogRecord(None, None, 7, None, None, None, "of 3"),
    )

    report = store.delete([ids_by_task(store)["order-1"]], conversation="conv-42", user="user-7")

    assert len(report.trajectory_ids) == 2
    assert list(ids_by_task(store)) == ["order-3"]
    assert asked(store, "select body from logs") == [('"of 3"',)]
    assert is_absent(store, "user-7", "conv-42")


def test_a_run_in_which_a_conversation_is_only_named_below_goes_too(
    store: TrajectoryStore,
) -> None:
    [first, *rest] = run(1, **{semconv.CONVERSATION_ID: "outer"})
    inner = replace(first, attributes={**first.attributes, semconv.CONVERSATION_ID: "inner"})
    record(store, inner, *rest, *run(2))

    store.delete(conversation="inner")

    assert list(ids_by_task(store)) == ["order-2"]
    assert is_absent(store, "inner")


def test_any_text_may_name_a_user(store: TrajectoryStore) -> None:
    users = ['O\'Neil "x"', "back\\slash", "é😀", "%_", "a;drop table x"]
    record(store, *(s for n, user in enumerate(users) for s in run(n, **{"user.id": user})))

    for n_left, user in reversed(list(enumerate(users))):
        assert len(store.delete(user=user).trajectory_ids) == 1
        assert len(ids_by_task(store)) == n_left

    assert is_absent(store, *users)


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, -1])
def test_of_runs_that_real_frameworks_told_one_goes(store: TrajectoryStore, at: int) -> None:
    store.append(importers.read(CORPUS))
    by_size = asked(
        store, "select trajectory_id, trace_ids from trajectories order by n_spans, trajectory_id"
    )
    doomed, trace_ids = by_size[at]
    others = "select * from steps where trajectory_id <> $doomed order by all"
    before = asked(store, others, doomed=doomed)

    store.delete([doomed])

    assert asked(store, others, doomed=doomed) == before
    assert is_absent(store, doomed, *trace_ids)
    assert [p for p in store.verify(sample=None) if p.severity == "error"] == []


# --- while it is recorded -----------------------------------------------------------------------


def test_the_log_of_a_living_writer_is_overwritten_and_goes_on(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode(run(1)))
    store.seal()
    doomed = ids_by_task(store)["order-1"]
    [segment] = wal.segments(store.path)
    length = segment.stat().st_size

    store.delete([doomed])
    overwritten = segment.read_bytes()
    writer.append(wal.encode(run(2)))

    assert overwritten == bytes(length)
    assert list(ids_by_task(store)) == ["order-2"]
    assert is_absent(store, "order-1")
    writer.close()
    assert store.verify(sample=None) == []


def test_what_the_snapshot_keeps_of_a_running_trace_goes(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([started(root(1, note="doomed")), chat(1, 1), started(root(2))]))
    store.seal()

    report = store.delete([ids_by_task(store)["order-1"]])

    assert report.n_open == 1
    assert list(snapshot.newest(store.path).open) == [trace_id(2)]
    assert is_absent(store, "doomed", trace_id(1))
    writer.append(wal.encode([root(2), tool(1, 2), close(1)]))
    told = asked(store, "select task, status, n_spans from trajectories order by task nulls last")
    assert told == [("order-2", "completed", 1), (None, "completed", 1)]
    writer.close()
    assert store.verify(sample=None) == []


def test_a_run_in_a_shared_trace_that_goes_on_is_taken_out_of_it(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    parts = batch(1, "ann", "bob")
    pending = started(replace(chat(1, 22), parent_span_id=span_id(1, 20), name="chat of bob"))
    writer.append(wal.encode([started(parts[0]), *parts[1:], pending]))
    store.seal()
    ids = ids_by_task(store)

    store.delete([ids["task of bob"]])

    assert list(ids_by_task(store)) == ["task of ann"]
    assert is_absent(store, "bob", ids["task of bob"])
    assert list(snapshot.newest(store.path).open[trace_id(1)]["spans"]) == [span_id(1, 0)]
    writer.close()


def test_what_was_kept_aside_goes_whole(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    writer.append(b"half a record of order-1\n")
    writer.append(wal.encode(run(1)))
    writer.close()
    store.seal()
    temporary = store.path / "_tmp"
    assert list(temporary.glob("quarantine-*"))
    (temporary / "damaged-x.parquet").write_bytes(b"PAR1 order-1")
    (temporary / "01ABC.parquet").write_bytes(b"PAR1 order-1")
    (temporary / "spill-1").mkdir()
    (temporary / "spill-1" / "x").write_text("order-1")

    store.delete([ids_by_task(store)["order-1"]])

    assert is_absent(store, "order-1")
    assert list(temporary.iterdir()) == []


def test_older_snapshots_and_their_files_go(store: TrajectoryStore) -> None:
    for number in range(5):
        record(store, *run(number))
    store.compact(full=True)

    store.delete([ids_by_task(store)["order-1"]])

    assert len(snapshot.numbers(store.path)) == 1
    live = snapshot.paths(snapshot.newest(store.path).files)
    there = {p.relative_to(store.path).as_posix() for p in store.path.glob("*/date=*/*.parquet")}
    assert there == live


def test_published_tables_are_brought_up_to_date(store: TrajectoryStore) -> None:
    deltalake = pytest.importorskip("deltalake")
    from otel_traj.store import publish

    record(store, *run(1), *run(2))
    publish.publish(store.path)
    doomed = ids_by_task(store)["order-1"]

    store.delete([doomed])

    for table in ("trajectories", "spans", "steps"):
        engine = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(store.path / table))
        [batch] = pa.table(engine.execute("select count(*) as n from t").read_all()).to_pylist()
        assert batch["n"] == len(asked(store, f"from {table}"))
    assert is_absent(store, doomed, trace_id(1), "order-1")
    assert store.verify(sample=None) == []


# --- death and company --------------------------------------------------------------------------


def test_doing_it_again_finishes_what_a_crash_left(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, *run(1), *run(2))
    doomed = ids_by_task(store)["order-1"]

    def dies(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(erasure, "wipe", dies)
        with pytest.raises(OSError, match="No space"):
            store.delete([doomed])
    assert list(ids_by_task(store)) == ["order-2"]
    assert not is_absent(store, doomed)

    report = store.delete([doomed])

    assert report.unknown == (doomed,)
    assert is_absent(store, doomed, "order-1")


def test_a_failure_before_the_commit_changes_nothing(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, *run(1), *run(2))
    before = rows_of(store)
    there = sorted(store.path.rglob("*.parquet"))

    def dies(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "commit", dies)
    with pytest.raises(OSError, match="No space"):
        store.delete([ids_by_task(store)["order-1"]])

    assert rows_of(store) == before
    assert sorted(store.path.rglob("*.parquet")) == there


def test_somebody_else_at_work_is_waited_for_and_then_told(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_traj import store as module

    record(store, *run(1))
    [doomed] = ids_by_task(store).values()
    monkeypatch.setattr(module, "_IMPORT_WAIT_S", 0.05)
    with (store.path / "_upkeep").open("a") as lock:
        assert wal.try_lock(lock.fileno())
        with pytest.raises(StoreError, match="try again"):
            store.delete([doomed])


ERASER = """
import sys
from otel_traj.store import open_store

store = open_store(sys.argv[1])
for doomed in sys.argv[2:]:
    store.delete([doomed])
    print(doomed, flush=True)
"""


def program(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_at_any_moment_it_can_be_finished(store: TrajectoryStore) -> None:
    record(store, *(part for number in range(16) for part in run(number)))
    by_task = ids_by_task(store)
    ids = [by_task[f"order-{number}"] for number in range(16)]
    chance = random.Random(7)
    erased = 0
    for _ in range(2):
        with program(ERASER, store.path, *ids[erased:]) as process:
            assert process.stdout is not None
            erased += len([process.stdout.readline()])
            time.sleep(chance.random() / 10)
            process.send_signal(signal.SIGKILL)
            erased += len(process.stdout.read().splitlines())
        left = asked(store, "select count(*), count(distinct trace_id) from spans")
        assert left in ([(4 * n, n)] for n in (16 - erased, 15 - erased))
        store.delete([ids[erased]])
        erased += 1
        assert is_absent(store, *ids[:erased])

    assert [p for p in store.verify(sample=None) if p.severity == "error"] == []
    assert len(ids_by_task(store)) == 16 - erased


WRITER = """
import sys, time
from pathlib import Path
from otel_traj import wal
from tests.store.runs import close, root, run, started

writer = wal.WalWriter(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 200):
    *children, top = run(number)
    writer.append(wal.encode([started(top), *children]))
    writer.append(wal.encode([top, close(number)]))
    print(number, flush=True)
    time.sleep(0.02)
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_it_works_beside_writers_and_readers(store: TrajectoryStore) -> None:
    record(store, *run(1), *run(2))
    doomed = [ids_by_task(store)["order-1"]]
    with (
        program(WRITER, store.path, 1_000) as one,
        program(WRITER, store.path, 50_000) as other,
        program(ERASER, store.path, *doomed) as eraser,
    ):
        while eraser.poll() is None:
            assert_whole(store)
        assert is_absent(store, *doomed)
        acknowledged: list[int] = []
        for process in (one, other):
            process.send_signal(signal.SIGKILL)
            output, _ = process.communicate()
            acknowledged += [int(line) for line in output.splitlines() if line.isdigit()]

    assert eraser.returncode == 0
    assert acknowledged
    told = {row[0] for row in asked(store, "select trace_ids[1] from trajectories")}
    assert {trace_id(number) for number in [2, *acknowledged]} <= told
    assert [p for p in store.verify() if p.severity == "error"] == []


def assert_whole(store: TrajectoryStore) -> None:
    """One consistent answer; the files of an older snapshot may go while it is asked."""
    with contextlib.suppress(duckdb.IOException):
        broken = asked(
            store,
            "select trajectory_id from trajectories left join ("
            "  select trajectory_id, count(*) as n from steps group by 1"
            ") using (trajectory_id) where n_steps <> coalesce(n, 0)"
            " or (status = 'completed' and n_spans <> 4)",
        )
        assert broken == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may be another user")
def test_a_folder_that_one_may_only_read_is_told(store: TrajectoryStore) -> None:
    record(store, *run(1))
    for folder in [store.path, *store.path.parents][:-1]:
        folder.chmod(folder.stat().st_mode | 0o005)
    code = """
import os, sys
import duckdb, pyarrow
from otel_traj.store import open_store
os.setgid(65534); os.setuid(65534)
for act in ("delete(['x'])", "redact('x')", "retain(keep=1)"):
    try:
        eval(f"open_store(sys.argv[1]).{act}")
    except Exception as error:
        print(type(error).__name__, str(error)[:24])
"""
    with program(code, store.path) as process:
        output, _ = process.communicate()

    assert output.splitlines() == ["StoreNotWritableError Cannot write the store '"] * 3
