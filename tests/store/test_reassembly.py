"""`reassemble`: new rules on old spans, all at once, whoever looks on and whatever dies."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from otel_traj import assembly, semconv, wal
from otel_traj.assembly import ending, runs
from otel_traj.dialects.otel import OPERATIONS
from otel_traj.errors import TrajectoryNotFoundError
from otel_traj.model import LogRecord, SpanLink
from otel_traj.store import TrajectoryStore, parts, reassembly
from tests.store import load
from tests.store.asking import asked, record
from tests.store.runs import chat, root, run, span_id, started, tool, trace_id
from tests.store.test_crashes import running


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Where a test makes the rules those of an older version; `undo` brings today's back."""
    with monkeypatch.context() as patch:
        yield patch


def rows_of(store: TrajectoryStore) -> list[list[Any]]:
    return [
        asked(store, "select * exclude (rev) from trajectories order by trajectory_id"),
        asked(store, "select * exclude (rev) from steps order by trajectory_id, step"),
        asked(store, "select * exclude (rev) from trajectory_spans order by all"),
        asked(store, "select * exclude (rev) from file_changes order by all"),
        asked(store, "from spans order by all"),
        asked(store, "from logs order by all"),
        asked(store, "from annotations order by all"),
    ]


def test_the_same_rules_give_the_same_rows_in_a_new_revision(store: TrajectoryStore) -> None:
    change = LogRecord(
        trace_id(1), span_id(1, 2), 5, None, semconv.EVENT_FILE_CHANGE, None, None,
        {semconv.FILE_PATH: "a.py", semconv.FILE_ADDED: 1, semconv.FILE_REMOVED: 0},
    )  # fmt: skip
    record(store, *run(1, **{semconv.OUTCOME: "failure"}), *run(2), change)
    record(store, tool(2, 4))
    before = rows_of(store)
    [revs] = asked(store, "select list(rev) from trajectories")

    report = store.reassemble()

    assert (report.n_rebuilt, report.changed, report.new, report.gone) == (2, (), (), ())
    assert rows_of(store) == before
    assert asked(store, f"select bool_and(rev > {max(revs[0])}) from trajectories") == [(True,)]
    assert store.verify() == []


def test_runs_read_by_older_rules_are_read_by_todays(
    store: TrajectoryStore, older: pytest.MonkeyPatch
) -> None:
    older.setattr(ending, "_TIMED_OUT", re.compile("(?!)"))
    late = {semconv.ERROR_TYPE: "asyncio.TimeoutError"}
    record(store, *run(1), *run(2, **late))
    ids = dict(asked(store, "select task, trajectory_id from trajectories"))
    store.annotate(ids["order-2"], "outcome", "partial", kind="outcome")
    assert asked(store, "select status from trajectories where task = 'order-2'") == [("error",)]
    older.undo()

    report = store.reassemble()

    assert (report.n_rebuilt, report.changed) == (2, (ids["order-2"],))
    assert asked(
        store, "select trajectory_id, status, outcome from trajectories order by task"
    ) == [
        (ids["order-1"], "completed", "success"),
        (ids["order-2"], "timeout", "partial"),
    ]


def test_an_annotation_stays_with_its_step_when_steps_are_numbered_anew(
    store: TrajectoryStore, older: pytest.MonkeyPatch
) -> None:
    older.setitem(OPERATIONS, "execute_tool", "wrapper")
    record(store, *run(1))
    [trajectory] = store.trajectories()
    last = trajectory.steps[-1]
    store.annotate(trajectory.trajectory_id, "reward", 0.5, kind="reward", step=last.step)
    older.undo()

    store.reassemble()

    rewarded = asked(store, "select step, span_id, reward from steps where reward is not null")
    assert last.step == 1
    assert rewarded == [(2, last.span_id, 0.5)]


def test_a_run_that_older_rules_did_not_see_is_new_and_one_that_is_none_goes(
    store: TrajectoryStore, older: pytest.MonkeyPatch
) -> None:
    health = replace(root(2), name="GET /health", attributes={"url.path": "/health"})
    older.setattr(assembly, "_is_declared", lambda run: "url.path" in run.nodes[0].span.attributes)
    older.setattr(assembly, "find_calls", lambda nodes: [])
    older.setattr(assembly, "invocations", lambda nodes: [])
    record(store, *run(1), health)
    [(wrong,)] = asked(store, "select trajectory_id from trajectories")
    older.undo()

    report = store.reassemble()

    [(right,)] = asked(store, "select trajectory_id from trajectories")
    assert (report.new, report.gone, report.changed) == ((right,), (wrong,), ())
    assert asked(store, "select count(*) from spans") == [(5,)]


def test_what_older_rules_joined_comes_apart_with_the_annotations_of_each(
    store: TrajectoryStore, older: pytest.MonkeyPatch
) -> None:
    record(store, *run(1), *run(2))
    second, first = (t.trajectory_id for t in store.trajectories())
    store.annotate(second, "outcome", "failure", kind="outcome")

    def join_all(groups: Any, nodes: Any) -> None:
        one, *others = dict.fromkeys(node.span.trace_id for node in nodes)
        for other in others:
            groups.join(one, other, "everything is one", 0.1)

    older.setattr(runs, "_join_linked", join_all)
    older.setattr("otel_traj.store.derive.connected", lambda traces: [list(traces)])
    store.reassemble()
    assert asked(store, "select trajectory_id, outcome from trajectories") == [(first, "failure")]
    assert asked(store, "select alias from trajectory_aliases") == [(second,)]
    older.undo()

    report = store.reassemble()

    assert (report.changed, report.new, report.gone) == ((first,), (second,), ())
    assert asked(store, "select trajectory_id, outcome from trajectories order by task") == [
        (first, "success"),
        (second, "failure"),
    ]
    assert asked(store, "from trajectory_aliases") == []
    assert store.verify() == []


def test_what_older_rules_left_apart_is_joined_under_the_older_id(
    store: TrajectoryStore, older: pytest.MonkeyPatch
) -> None:
    [*children, top] = run(2)
    older.setattr(runs, "_join_linked", lambda groups, nodes: None)
    record(store, *run(1))
    record(store, *children, replace(top, links=(SpanLink(trace_id(1), span_id(1, 0)),)))
    second, first = (t.trajectory_id for t in store.trajectories())
    older.undo()

    report = store.reassemble()

    assert (report.changed, report.new, report.gone) == ((first,), (), (second,))
    assert store.trajectory(second).trajectory_id == first


def test_parts_are_cut_between_runs_only(store: TrajectoryStore, older: pytest.MonkeyPatch) -> None:
    """However small the parts: what belongs together by today's rules is derived together."""
    [*children, top] = run(9)
    linked = [*children, replace(top, links=(SpanLink(trace_id(1), span_id(1, 0)),))]
    older.setattr(runs, "_join_linked", lambda groups, nodes: None)
    record(store, *run(1), *run(2), *run(3), *linked)
    older.undo()
    older.setattr(parts, "PART_SPANS", 1)

    report = store.reassemble()

    assert report.n_rebuilt == 3
    assert asked(store, "select len(trace_ids) from trajectories order by start_time") == [
        (2,), (1,), (1,),
    ]  # fmt: skip
    assert store.verify() == []


def test_parts_hold_calls_together_that_only_their_messages_join(
    store: TrajectoryStore, older: pytest.MonkeyPatch
) -> None:
    def said(role: str, **part: Any) -> dict[str, Any]:
        return {"role": role, "parts": [part]}

    asking = said("assistant", type="tool_call", name="lookup", arguments={})
    given = [said("user", type="text", content="Where is 42?")]
    then = [*given, asking, said("tool", type="tool_call_response", response="there")]
    requests = [(given, [asking]), (then, [said("assistant", type="text", content="There.")])]
    record(
        store,
        *(
            replace(
                chat(n, 1, **{
                    semconv.INPUT_MESSAGES: json.dumps(asked_for),
                    semconv.OUTPUT_MESSAGES: json.dumps(answered),
                }),
                parent_span_id=None,
            )
            for n, (asked_for, answered) in enumerate(requests, start=1)
        ),
    )  # fmt: skip
    assert asked(store, "select len(trace_ids) from trajectories") == [(2,)]
    older.setattr(parts, "PART_SPANS", 1)

    report = store.reassemble()

    assert (report.n_rebuilt, report.changed, report.new, report.gone) == (1, (), (), ())
    assert asked(store, "select len(trace_ids) from trajectories") == [(2,)]


def test_only_the_trajectories_named_are_rebuilt(store: TrajectoryStore) -> None:
    record(store, *run(1), *run(2))
    second, first = (t.trajectory_id for t in store.trajectories())

    report = store.reassemble([first[:8]])

    revs = dict(asked(store, "select trajectory_id, rev from trajectories"))
    assert report.n_rebuilt == 1
    assert revs[first] > revs[second]
    assert asked(store, "select count(*), count(distinct (rev, trajectory_id)) from steps") == [
        (6, 2)
    ]
    assert store.verify() == []


def test_an_unknown_trajectory_is_an_error_and_changes_nothing(store: TrajectoryStore) -> None:
    record(store, *run(1))
    before = sorted(store.path.rglob("*.parquet"))

    with pytest.raises(TrajectoryNotFoundError):
        store.reassemble(["nobody"])

    assert sorted(store.path.rglob("*.parquet")) == before


def test_what_a_call_cost_does_not_change_with_the_price_list(store: TrajectoryStore) -> None:
    prices = store.path / "prices.toml"
    prices.write_text('["m-1"]\ninput = 1\noutput = 1')
    record(store, *run(1))
    [(cost,)] = asked(store, "select cost_usd from trajectories")
    prices.write_text('["m-1"]\ninput = 5\noutput = 5')
    record(store, *run(2))

    store.reassemble()

    costs = asked(store, "select cost_usd from trajectories order by start_time")
    assert costs == [(cost,), (pytest.approx(5 * cost),)]


def test_a_run_that_goes_on_stays_open_and_ends_as_ever(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([started(root(1)), chat(1, 1)]))
    store.seal()

    store.reassemble()
    [running] = store.trajectories()
    writer.append(wal.encode([tool(1, 2), root(1)]))
    [ended] = store.trajectories()
    writer.close()

    assert (running.status, running.n_open, running.n_steps) == ("open", 1, 1)
    assert (ended.status, ended.n_open, ended.n_steps, ended.n_late) == ("completed", 0, 2, 0)
    assert ended.trajectory_id == running.trajectory_id


def test_a_trace_that_cannot_be_read_keeps_what_was_known_of_it(
    store: TrajectoryStore, older: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record(store, *run(1), *run(2))
    before = rows_of(store)
    real = assembly.assemble_alone

    def breaks(spans: Any, *rest: Any, **more: Any) -> Any:
        if any(span.trace_id == trace_id(1) for span in spans):
            raise RecursionError("made up")
        return real(spans, *rest, **more)

    older.setattr("otel_traj.store.workers.assemble_alone", breaks)

    report = store.reassemble()

    assert (report.n_rebuilt, report.failed_traces) == (1, (trace_id(1),))
    assert "Cannot derive trace" in caplog.text
    assert rows_of(store) == before
    assert [problem.severity for problem in store.verify()] == ["note"]


def test_what_is_sealed_meanwhile_is_neither_lost_nor_told_twice(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, *run(1), *run(2), *run(3))
    compare = reassembly._compare

    def after_others(*arguments: Any) -> Any:
        late_judgement = LogRecord(
            trace_id(3), span_id(3, 0), 5, None, semconv.EVENT_EVALUATION, None, None,
            {semconv.EVALUATION_NAME: "outcome", semconv.EVALUATION_LABEL: "failure"},
        )  # fmt: skip
        record(store, tool(1, 4), *run(4), late_judgement)
        return compare(*arguments)

    monkeypatch.setattr(reassembly, "_compare", after_others)

    store.reassemble()

    told = "select task, n_steps, n_late, outcome from trajectories order by task"
    assert asked(store, told) == [
        ("order-1", 4, 1, "success"),
        ("order-2", 3, 0, "success"),
        ("order-3", 3, 0, "failure"),
        ("order-4", 3, 0, "success"),
    ]
    assert store.verify() == []


def test_a_failure_leaves_the_old_rows_and_no_files(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, *run(1))
    before = rows_of(store)

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reassembly, "_publish", full_disk)
    with pytest.raises(OSError, match="No space"):
        store.reassemble()

    assert rows_of(store) == before
    assert store.verify() == []


REASSEMBLER = """
import itertools, sys
from pathlib import Path
from otel_traj.assembly import rows
from otel_traj.store import reassembly

for version in itertools.count(int(sys.argv[2])):
    rows.DERIVE_VERSION = str(version)
    reassembly.reassemble(Path(sys.argv[1]), wait_s=10)
    print(version, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_at_any_moment_it_leaves_the_old_rows_or_the_new_ones(
    store: TrajectoryStore,
) -> None:
    record(store, *(span for number in range(60) for span in run(number)))
    chance = random.Random(7)
    versions = {"1"}
    for turn in range(1, 4):
        command = [sys.executable, "-c", REASSEMBLER, str(store.path), str(turn * 1_000)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            process.stdout.readline()
            deadline = time.monotonic() + 0.2 + chance.random() / 2
            while time.monotonic() < deadline:
                versions.add(the_only_version(store))
            process.send_signal(signal.SIGKILL)
        versions.add(the_only_version(store))

    assert len(versions) > 3
    assert [problem for problem in store.verify() if problem.severity == "error"] == []
    assert asked(store, "select count(*) from annotations") == [(0,)]


def the_only_version(store: TrajectoryStore) -> str:
    """The version of all rows of one snapshot, which must be whole."""
    cursor = store.connection()
    told = cursor.execute(
        "select distinct derive_version, n.n, s.n from trajectories,"
        " (select count(*) as n from trajectories) n, (select count(*) as n from steps) s"
    ).fetchall()
    [(version, n_trajectories, n_steps)] = told
    assert (n_trajectories, n_steps) == (60, 180)
    return str(version)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_it_runs_beside_writers_and_sealers(store: TrajectoryStore, tmp_path: Path) -> None:
    record(store, *(span for number in range(30) for span in run(100_000 + number)))
    journal = tmp_path / "writer"
    with running("write", store.path, journal, 0, 0), running("seal", store.path, journal, 0.1):
        load.wait_for([journal])
        reports = [store.reassemble() for _ in range(2)]
        _, wrong = load.look(store.connection())

    shown, wrong_after = load.look(store.connection())
    assert wrong + wrong_after + load.Acknowledged.of([journal]).lost(shown) == []
    assert {100_000 + number for number in range(30)} <= shown.spans.keys()
    assert reports[-1].n_rebuilt >= 30
    assert [problem for problem in store.verify() if problem.severity == "error"] == []
