import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from otel_traj import assembly, semconv, wal
from otel_traj.assembly import IDLE_S
from otel_traj.model import Close, LogRecord, Record, SpanRecord
from otel_traj.store import TrajectoryStore, sealing, snapshot
from otel_traj.store.snapshot import SnapshotConflictError
from tests.store.asking import asked
from tests.store.runs import (
    START_NS,
    chat,
    close,
    root,
    run,
    span,
    span_id,
    started,
    tool,
    trace_id,
)


@pytest.fixture
def writer(store: TrajectoryStore) -> Iterator[wal.WalWriter]:
    """A recording process that lives until the end of the test."""
    writer = wal.WalWriter(store.path)
    yield writer
    writer.close()


def record(store: TrajectoryStore, *records: Record) -> None:
    """What a process records that ends afterwards."""
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode(records))
    writer.close()


def test_what_was_recorded_is_seen_by_the_next_query(
    store: TrajectoryStore, writer: wal.WalWriter
) -> None:
    writer.append(wal.encode(run(1)))

    assert asked(store, "select task, status, n_steps from trajectories") == [
        ("order-1", "completed", 3)
    ]

    writer.append(wal.encode(run(2)))

    assert asked(store, "select count(*) from trajectories") == [(2,)]


def test_a_sealed_segment_goes_when_its_writer_is_gone(
    store: TrajectoryStore, writer: wal.WalWriter
) -> None:
    record(store, *run(1))
    writer.append(wal.encode(run(2)))

    store.seal()

    [left] = wal.segments(store.path)
    assert snapshot.newest(store.path).wal[left.name] == left.stat().st_size


def test_sealing_nothing_new_commits_nothing(store: TrajectoryStore) -> None:
    record(store, *run(1))

    reports = [store.seal() for _ in range(3)]

    assert [report.snapshot for report in reports] == [1, 1, 1]
    assert (reports[0].spans, reports[1].spans) == (4, 0)


def test_ingesting_again_is_a_no_op(store: TrajectoryStore) -> None:
    log = LogRecord(trace_id(1), span_id(1, 1), 5, 6, None, None, {"a": 1}, resource={})
    traceless = LogRecord(None, None, 7, None, None, None, "hello")
    record(store, *run(1), log, traceless)
    store.seal()
    before = snapshot.newest(store.path)

    record(store, *run(1), replace(log, observed_ns=99, resource={"other": 1}), traceless)
    report = store.seal()

    assert (report.spans, report.logs, report.duplicates) == (0, 0, 6)
    assert report.trajectories == frozenset()
    assert snapshot.newest(store.path).files == before.files


def test_a_late_span_opens_no_second_trajectory(store: TrajectoryStore) -> None:
    record(store, *run(1))
    [before] = store.trajectories()

    record(store, tool(1, 4))

    [after] = store.trajectories()
    assert after.trajectory_id == before.trajectory_id
    assert (before.n_steps, after.n_steps) == (3, 4)
    assert (before.n_late, after.n_late) == (0, 1)
    assert after.rev > before.rev
    assert after.status == "completed"
    assert asked(store, "select count(*), count(distinct rev) from steps") == [(4, 1)]
    assert store.verify() == []


def test_lateness_adds_up_over_revisions(store: TrajectoryStore) -> None:
    record(store, *run(1))
    store.seal()
    for position in (4, 5):
        record(store, tool(1, position))
        store.seal()

    [trajectory] = store.trajectories()

    assert (trajectory.n_late, trajectory.n_steps) == (2, 5)


def test_a_late_log_derives_its_trajectory_again(store: TrajectoryStore) -> None:
    record(store, *run(1))
    [before] = store.trajectories()

    record(store, evaluation(1, "outcome", label="failure"))

    [after] = store.trajectories()
    assert (after.rev > before.rev, after.n_late) == (True, 0)
    assert asked(store, "select outcome, outcome_source from trajectories") == [
        ("failure", "evaluation")
    ]


def evaluation(number: int, name: str, *, label: str) -> LogRecord:
    return LogRecord(
        trace_id(number),
        span_id(number, 0),
        START_NS + 5,
        None,
        semconv.EVENT_EVALUATION,
        None,
        None,
        {semconv.EVALUATION_NAME: name, semconv.EVALUATION_LABEL: label},
    )


def test_a_log_may_come_before_its_span(store: TrajectoryStore) -> None:
    record(store, evaluation(1, "outcome", label="failure"))
    store.seal()

    record(store, *run(1))

    assert asked(store, "select outcome from trajectories") == [("failure",)]


def test_a_run_is_open_while_its_root_runs(store: TrajectoryStore, writer: wal.WalWriter) -> None:
    first = root(1, **{semconv.TRAJECTORY_ID: "mine"})
    writer.append(wal.encode([started(first), started(chat(1, 1))]))

    [running] = store.trajectories()

    assert (running.trajectory_id, running.task, running.status) == ("mine", "order-1", "open")
    assert (running.complete, running.n_open, running.end_time) == (False, 2, None)
    assert [step.status for step in running.steps] == ["open"]
    assert asked(store, "select count(*) from spans") == [(0,)]
    assert asked(store, "select outcome from trajectories") == [("unknown",)]

    writer.append(wal.encode([chat(1, 1), tool(1, 2)]))
    [running] = store.trajectories()
    assert (running.status, running.n_open, running.n_steps) == ("open", 1, 2)

    writer.append(wal.encode([first]))
    [ended] = store.trajectories()
    assert (ended.trajectory_id, ended.status, ended.n_open) == ("mine", "completed", 0)
    assert (ended.complete, ended.n_late) == (True, 0)
    assert snapshot.newest(store.path).open == {}


def test_the_start_of_a_span_that_has_ended_opens_nothing(
    store: TrajectoryStore, writer: wal.WalWriter
) -> None:
    writer.append(wal.encode(run(1)))
    store.seal()

    writer.append(wal.encode([started(chat(1, 1))]))

    assert asked(store, "select status, n_open from trajectories") == [("completed", 0)]


def test_a_run_of_a_process_that_was_killed_stays_open(store: TrajectoryStore) -> None:
    record(store, started(root(1)), chat(1, 1))

    for _ in range(2):
        assert asked(store, "select task, status, n_open from trajectories") == [
            ("order-1", "open", 1)
        ]
    assert [(p.severity, p.ids) for p in store.verify()] == [("note", (trace_id(1),))]


def test_a_close_ends_a_run_whose_spans_are_still_open(
    store: TrajectoryStore, writer: wal.WalWriter
) -> None:
    left_open = started(tool(1, 2))
    writer.append(wal.encode([left_open, chat(1, 1), root(1), close(1, n_open=1, dropped_spans=3)]))

    [trajectory] = store.trajectories()

    assert (trajectory.n_open, trajectory.n_dropped_spans) == (1, 3)
    assert snapshot.newest(store.path).open == {}


def test_drops_told_after_the_end_are_counted_too(
    store: TrajectoryStore, writer: wal.WalWriter
) -> None:
    writer.append(wal.encode(run(1)))
    store.seal()

    writer.append(wal.encode([Close("any", (trace_id(1),), None, dropped_spans=2)]))

    assert asked(store, "select n_dropped_spans, n_late from trajectories") == [(2, 0)]


def test_a_trace_without_a_root_is_over_at_the_end_of_an_import(
    store: TrajectoryStore, writer: wal.WalWriter
) -> None:
    writer.append(wal.encode([replace(chat(1, 1), parent_span_id="f" * 16)]))
    assert asked(store, "select status from trajectories") == [("open",)]

    store.seal(final=True)

    assert asked(store, "select status, n_orphans from trajectories") == [("completed", 1)]


def test_a_trace_whose_root_lives_elsewhere_is_over_when_it_is_quiet(
    store: TrajectoryStore, writer: wal.WalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = replace(chat(1, 1), parent_span_id="f" * 16)
    waiting = replace(chat(2, 1), parent_span_id="f" * 16)
    writer.append(wal.encode([started(half), half, started(waiting)]))
    told = "select status from trajectories order by start_time"
    assert asked(store, told) == [("open",), ("open",)]

    later = time.time() + IDLE_S
    monkeypatch.setattr(time, "time", lambda: later)

    assert asked(store, told) == [("completed",), ("open",)]
    assert list(snapshot.newest(store.path).open) == [trace_id(2)]


def test_a_trace_that_cannot_be_derived_keeps_its_spans_and_no_other_trace_waits_for_it(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = assembly.assemble_alone

    def breaks(spans: Any, *rest: Any, **more: Any) -> Any:
        if any(span.trace_id == trace_id(1) for span in spans):
            raise RecursionError("made up")
        return real(spans, *rest, **more)

    with monkeypatch.context() as broken:
        broken.setattr("otel_traj.store.workers.assemble_alone", breaks)
        record(store, *run(1), *run(2))
        report = store.seal()

    assert report.failed_traces == {trace_id(1)}
    assert f"Cannot derive trace {trace_id(1)}" in caplog.text
    assert asked(store, "select task, (select count(*) from spans) from trajectories") == [
        ("order-2", 8)
    ]

    record(store, tool(1, 4))  # what comes next of it is derived with all that is stored

    assert asked(store, "select task, n_steps from trajectories order by task") == [
        ("order-1", 4),
        ("order-2", 3),
    ]
    assert store.verify() == []


def test_a_trajectory_that_cannot_be_derived_again_keeps_its_rows(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, *run(1))
    before = asked(store, "from steps")

    def breaks(*_: Any, **__: Any) -> Any:
        raise RecursionError("made up")

    monkeypatch.setattr("otel_traj.store.workers.assemble_alone", breaks)
    record(store, tool(1, 4))
    report = store.seal()

    assert report.failed_traces == {trace_id(1)}
    assert asked(store, "from steps") == before
    assert asked(store, "select count(*) from spans") == [(5,)]


def test_runs_in_several_processes_are_one_trajectory_when_linked(store: TrajectoryStore) -> None:
    record(store, *run(1))
    [first] = store.trajectories()
    from otel_traj.model import SpanLink

    [*children, top] = run(2)
    record(store, *children, replace(top, links=(SpanLink(trace_id(1), span_id(1, 0)),)))

    [joined] = store.trajectories()
    assert joined.trajectory_id == first.trajectory_id
    assert set(joined.trace_ids) == {trace_id(1), trace_id(2)}
    assert asked(store, "select count(*) from steps") == [(6,)]
    assert store.verify() == []


def test_joining_two_trajectories_keeps_the_older_id_and_annotations_of_both(
    store: TrajectoryStore,
) -> None:
    from otel_traj.model import SpanLink

    record(store, *run(1), *run(2))
    second, first = store.trajectories()
    store.annotate(second.trajectory_id, "outcome", "failure", kind="outcome")

    record(store, replace(tool(2, 5), links=(SpanLink(trace_id(1), span_id(1, 0)),)))

    [joined] = store.trajectories()
    assert joined.trajectory_id == first.trajectory_id
    assert asked(store, "select alias, trajectory_id from trajectory_aliases") == [
        (second.trajectory_id, first.trajectory_id)
    ]
    assert asked(store, "select outcome from trajectories") == [("failure",)]
    assert store.trajectory(second.trajectory_id) == joined


def test_rows_lie_in_the_day_of_the_first_span(store: TrajectoryStore) -> None:
    day = 86_400 * 10**9
    record(store, *run(1))
    store.seal()
    late = chat(1, 9)
    record(store, replace(late, start_ns=late.start_ns + day, end_ns=late.end_ns or 0 + day))
    store.seal()

    current = snapshot.newest(store.path)

    dates = {file.date for name in current.files for file in current.live(name)}
    assert dates == {"2026-11-18"}


@pytest.mark.parametrize("start_ns", [0, -1, 2**63 - 1, 2**64 - 1])
def test_a_clock_that_is_off_loses_nothing(store: TrajectoryStore, start_ns: int) -> None:
    odd = [replace(s, start_ns=start_ns, end_ns=start_ns - 5) for s in run(1)]

    report = store.append(odd)

    assert (report.spans, report.trajectories) == (4, 1)
    assert store.verify() == []


def test_frames_of_otlp_are_decoded(store: TrajectoryStore, writer: wal.WalWriter) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.spans.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, name="chat", start_time_unix_nano=5_000)
    as_json = {
        "resourceSpans": [
            {"scopeSpans": [{"spans": [{"traceId": "03" * 16, "spanId": "04" * 8, "name": "j"}]}]}
        ]
    }
    writer.append(request.SerializeToString(), "otlp-traces")
    writer.append(json.dumps(as_json).encode(), "otlp-traces")

    assert asked(store, "select trace_id, span_id, name from spans order by trace_id") == [
        ("01" * 16, "02" * 8, "chat"),
        ("03" * 16, "04" * 8, "j"),
    ]


def test_a_protobuf_frame_of_any_length_is_no_json(
    store: TrajectoryStore, writer: wal.WalWriter
) -> None:
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    request = TracesData()
    group = request.resource_spans.add()
    span = group.scope_spans.add().spans.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, name="chat")
    span.name += "t" * (ord("{") - group.ByteSize())
    assert request.SerializeToString()[:2] == b"\n{"  # tag and length of its only field

    writer.append(request.SerializeToString(), "otlp-traces")

    assert store.seal().spans == 1


@pytest.mark.parametrize(
    "field",
    [
        {"startTimeUnixNano": float("inf")},
        {"traceState": 7},
        {"status": {"message": 5}},
        {"events": [{"name": 5}]},
        {"links": [{"traceId": 5}]},
        {"attributes": [{"key": 5, "value": {"intValue": 1}}]},
        {"attributes": [{"key": "k", "value": {"intValue": float("inf")}}]},
    ],
)
def test_a_request_that_fits_no_table_costs_only_itself(
    store: TrajectoryStore, writer: wal.WalWriter, field: dict[str, Any]
) -> None:
    odd = {"traceId": "03" * 16, "spanId": "04" * 8, "name": "chat", **field}
    writer.append(
        json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [odd]}]}]}).encode(), "otlp-traces"
    )
    writer.append(wal.encode(run(1)))

    report = store.seal()

    assert (report.spans, report.rejected) == (4, 1)


def test_lines_that_are_no_records_cost_only_themselves(
    store: TrajectoryStore, writer: wal.WalWriter
) -> None:
    good = wal.encode(run(1))
    bad_type = wal.encode([chat(2, 1)]).replace(b'"start_ns":', b'"start_ns":"x",  "y":', 1)
    writer.append(b"not json\n" + good + bad_type)
    writer.append(b"\xff\xff", "otlp-traces")

    report = store.seal()

    assert (report.spans, report.rejected) == (4, 3)
    kept = sorted(p.read_bytes() for p in (store.path / "_tmp").glob("quarantine-*"))
    assert kept == sorted([b"not json\n", bad_type, b"\xff\xff"])
    assert [problem.severity for problem in store.verify()] == ["note"] * 3


def test_damage_inside_a_segment_costs_only_that_frame(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    for number in (1, 2, 3):
        writer.append(wal.encode(run(number)))
    writer.close()
    [segment] = wal.segments(store.path)
    content = bytearray(segment.read_bytes())
    content[content.index(b"order-2")] ^= 1
    segment.write_bytes(content)

    report = store.seal()

    assert (report.rejected, len(report.trajectories)) == (1, 2)
    assert asked(store, "select task from trajectories order by 1") == [("order-1",), ("order-3",)]


def test_a_tail_torn_at_any_byte_is_never_half_a_run(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([root(1)]))
    writer.append(wal.encode([root(2)]))
    writer.close()
    [segment] = wal.segments(store.path)
    whole = segment.read_bytes()
    first = len(whole) // 2

    found = set()
    for length in range(first, len(whole), 7):
        segment.write_bytes(whole[:length])
        _, read, _ = sealing.unsealed(store.path)
        found.add((len(read.spans), len(read.torn)))
    segment.write_bytes(whole[:-1])
    report = store.seal()

    assert found <= {(1, 0), (1, 1)}
    assert (1, 1) in found
    assert (report.spans, report.rejected) == (1, 0)
    assert [problem.severity for problem in store.verify()] == ["note"]
    assert wal.segments(store.path) == []


def test_a_snapshot_whose_number_is_taken_is_not_published(store: TrajectoryStore) -> None:
    store.append(run(1))
    current = snapshot.newest(store.path)

    with pytest.raises(SnapshotConflictError):
        snapshot.commit(store.path, current)

    assert snapshot.newest(store.path) == current
    assert list((store.path / "_tmp").iterdir()) == []


def test_a_seal_that_loses_to_another_one_starts_over(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, *run(1))
    commit = snapshot.commit
    theirs = iter([True])

    def after_theirs(path: Path, mine: snapshot.Snapshot) -> None:
        if next(theirs, False):  # a lock that did not hold: somebody else seals the same log
            subprocess.run(
                [sys.executable, "-c", SEAL_WITHOUT_LOCK, str(path)], check=True, env=environment()
            )
        commit(path, mine)

    monkeypatch.setattr(snapshot, "commit", after_theirs)
    report = store.seal()

    assert (report.snapshot, report.spans) == (1, 0)
    assert asked(store, "select count(*) from spans") == [(4,)]


SEAL_WITHOUT_LOCK = """
import sys, pathlib
from otel_traj import wal
wal.try_lock = lambda fd: True
from otel_traj.store import sealing
sealing.seal(pathlib.Path(sys.argv[1]))
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_store_can_be_sealed_from_the_command_line(store: TrajectoryStore) -> None:
    record(store, *run(1))

    sealed = subprocess.run(
        [sys.executable, "-m", "otel_traj.store.seal", str(store.path)],
        capture_output=True,
        env=environment(),
        check=False,
    )

    assert (sealed.returncode, sealed.stdout, sealed.stderr) == (0, b"", b"")
    assert snapshot.newest(store.path).n == 1


def test_views_sql_opens_the_store_in_any_duckdb(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, *run(1), *run(2))
    store.seal()
    record(store, tool(2, 7))
    store.seal()
    monkeypatch.chdir(store.path)
    bare = duckdb.connect()

    bare.execute((store.path / "views.sql").read_text())

    sql = "select task, n_steps, outcome from trajectories order by task"
    assert bare.execute(sql).fetchall() == store.sql(sql).fetchall()
    assert bare.execute(sql).fetchall() == [("order-1", 3, "success"), ("order-2", 4, "success")]


def test_spans_of_one_trace_lie_together_and_know_their_step(store: TrajectoryStore) -> None:
    record(store, *run(2), *run(1))

    spans = asked(store, "select name, step, trajectory_id is not null from spans")

    one = [("invoke_agent clerk", None, True), ("chat m-1", 0, True)]
    assert spans == [*one, ("execute_tool lookup", 1, True), ("chat m-1", 2, True)] * 2


def test_a_long_open_run_is_not_derived_at_every_seal(
    store: TrajectoryStore, writer: wal.WalWriter
) -> None:
    def many(low: int, high: int) -> list[SpanRecord]:
        return [span(1, n, 0, "wrapper") for n in range(low, high)]

    writer.append(wal.encode([started(root(1)), chat(1, 1), *many(2, 3_000)]))
    first = store.seal()
    writer.append(wal.encode(many(3_000, 3_010)))
    second = store.seal()
    writer.append(wal.encode(many(3_010, 7_000)))
    third = store.seal()

    derived = [len(report.trajectories) for report in (first, second, third)]
    assert derived == [1, 0, 1]
    assert asked(store, "select count(*) from spans") == [(6_999,)]


def test_a_value_of_ten_megabytes_and_odd_texts_come_through_the_log(
    store: TrajectoryStore,
) -> None:
    odd = {
        "big": "x" * 10_000_000,
        "lone": "\ud800",
        "bytes": b"\x00\xff",
        "nan": float("nan"),
        "edge": 2**63 - 1,
        "nested": {"a": [1, None, {"b": "ü"}]},
    }
    record(store, root(1), chat(1, 1, **odd))

    [(text,)] = asked(store, "select attributes from spans where span_id like '%1'")

    back = json.loads(text)
    assert back["lone"] == {"$json": '"\\ud800"'}
    assert back["bytes"] == {"$b64": "AP8="}
    assert back["nan"] == {"$f": "NaN"}
    assert (len(back["big"]), back["edge"]) == (10_000_000, 2**63 - 1)
    assert asked(
        store, "select attributes->>'$.nested.a[2].b' from spans where span_id like '%1'"
    ) == [("ü",)]


def conversation(*, n_calls: int) -> list[SpanRecord]:
    """Model calls that are traces of their own; each answers the tool call of the one before."""
    spans = []
    messages: list[dict[str, Any]] = [text("user", "Where is 42?")]
    for number in range(1, n_calls + 1):
        call = {"type": "tool_call", "id": f"c-{number}", "name": "lookup", "arguments": {}}
        output = {"role": "assistant", "parts": [call]}
        asked_for = {
            semconv.INPUT_MESSAGES: json.dumps(messages),
            semconv.OUTPUT_MESSAGES: json.dumps([output]),
        }
        spans.append(replace(chat(number, 1, **asked_for), parent_span_id=None))
        answer = {"type": "tool_call_response", "id": f"c-{number}", "response": "there"}
        messages += [output, {"role": "tool", "parts": [answer]}]
    return spans


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def test_calls_without_a_root_are_stitched_also_when_sealed_one_by_one(
    store: TrajectoryStore,
) -> None:
    calls = conversation(n_calls=4)
    for number in (0, 2, 1, 3):  # the third arrives before the second
        record(store, calls[number])
        store.seal()

    [trajectory] = store.trajectories()

    assert len(trajectory.trace_ids) == 4
    assert [s.kind for s in trajectory.steps if s.kind == "llm"] == ["llm"] * 4
    assert store.verify() == []


def test_calls_of_another_process_or_an_hour_later_are_not_stitched(
    store: TrajectoryStore,
) -> None:
    first, second, third = conversation(n_calls=3)
    hour = 3_600 * 10**9
    record(store, first)
    store.seal()
    record(store, replace(second, resource={"service.instance.id": "two"}))
    record(store, replace(third, start_ns=third.start_ns + hour, end_ns=third.start_ns + hour))
    store.seal()

    assert asked(store, "select count(*) from trajectories") == [(3,)]


def test_segment_that_its_writer_takes_back_stops_no_sealer(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, *run(1))
    [segment] = wal.segments(store.path)
    gone = segment.with_name("0" + segment.name)  # listed, and removed before it is opened
    monkeypatch.setattr(wal, "segments", lambda store: [gone, segment])

    assert sealing.seal(store.path).spans == 4
