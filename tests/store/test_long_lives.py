"""Long lives: stores of very many days, runs that do not end, what is told a week later.

That work on one day looks at no other is proved by making all others unreadable.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from otel_traj import wal
from otel_traj.model import LogRecord, SpanRecord
from otel_traj.store import (
    TrajectoryStore,
    collection,
    columns,
    compaction,
    days,
    derive,
    intake,
    memory,
    sealing,
    snapshot,
    traces,
)
from tests.store.runs import START_NS, close, run, span_id, started, tool, trace_id

N_DAYS = 12
DAY_NS = 86_400 * 10**9


def of_day(day: int, spans: list[SpanRecord]) -> list[SpanRecord]:
    """The same spans so many days after the first."""
    shift = day * DAY_NS
    return [replace(s, start_ns=s.start_ns + shift, end_ns=(s.end_ns or 0) + shift) for s in spans]


def date_of(day: int) -> str:
    return days.day(START_NS + day * DAY_NS)


@pytest.fixture
def last_day_only(store: TrajectoryStore) -> TrajectoryStore:
    """A store of many days, of which only the last can be read."""
    store.append(span for day in range(N_DAYS) for span in of_day(day, run(day + 1)))
    for file in store.path.glob("*/date=*/*.parquet"):
        if file.parent.name < f"date={date_of(N_DAYS - 2)}":
            file.write_bytes(b"no Parquet")
    return store


def test_new_runs_and_late_spans_touch_no_other_day(last_day_only: TrajectoryStore) -> None:
    report = last_day_only.append(of_day(N_DAYS - 1, [*run(900), tool(N_DAYS, 4)]))

    assert (report.spans, report.trajectories) == (5, 2)


def test_compaction_of_a_day_touches_no_other_day(
    last_day_only: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FAN_IN", 3)
    before = snapshot.newest(last_day_only.path)
    for number in (900, 901):
        last_day_only.append(of_day(N_DAYS - 1, run(number)))

    compaction.compact(last_day_only.path)

    after = snapshot.newest(last_day_only.path)
    assert [f.date for f in after.live("spans") if f.level] == [date_of(N_DAYS - 1)]
    assert len(after.live("spans")) == len(before.live("spans"))


def test_what_comes_days_later_leaves_one_current_row_and_all_that_was_said(
    store: TrajectoryStore,
) -> None:
    store.append([*run(1), *run(2)])
    [(run_id,)] = store.sql(
        "select trajectory_id from trajectories where task = 'order-1'"
    ).fetchall()
    store.annotate(run_id, "outcome", "success")
    store.compact(full=True)
    collection.collect(store.path, grace_s=0)

    store.append([tool(1, 4)])
    store.annotate(run_id, "outcome", "failure", annotator="mona")
    store.append([evaluation(1, 0.25), evaluation(1, 0.25)])
    store.compact(full=True)
    collection.collect(store.path, grace_s=0)

    told = "select n_spans, n_late, outcome from trajectories where trajectory_id = $id"
    assert store.sql(told, {"id": run_id}).fetchall() == [(5, 1, "failure")]
    said = store.sql("select name, value_text, value_num from annotations order by created")
    assert sorted(said.fetchall(), key=str) == [
        ("outcome", "failure", None),
        ("outcome", "success", None),
        ("relevance", None, 0.25),
    ]
    assert store.verify() == []


def evaluation(number: int, score: float) -> LogRecord:
    """The event of an evaluator that looked at a run a week after it."""
    return LogRecord(
        trace_id(number),
        span_id(number, 0),
        START_NS + 7 * DAY_NS,
        None,
        "gen_ai.evaluation.result",
        None,
        None,
        attributes={"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": score},
    )


@pytest.mark.slow
def test_run_without_end_is_derived_at_doubling_lengths_only(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "MANY_SPANS", 10)
    writer = wal.WalWriter(store.path, durability="os")
    writer.append(wal.encode([started(run(1)[-1])]))

    derived_at = []
    n_spans = 0
    while n_spans < 40:
        n_spans += 5
        writer.append(wal.encode([tool(1, position) for position in range(1, n_spans + 1)]))
        if sealing.seal(store.path).trajectories:
            derived_at.append(n_spans)

    assert derived_at == [5, 10, 20, 40]
    writer.append(wal.encode([run(1)[-1], close(1)]))
    sealing.seal(store.path)
    assert store.sql("select n_spans, status from trajectories").fetchall() == [
        (n_spans + 1, "completed")
    ]
    writer.close()


def test_long_run_of_which_the_log_has_more_is_derived_when_that_is_read(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "MANY_SPANS", 10)
    monkeypatch.setattr(intake, "BATCH_BYTES", 1)  # a segment
    monkeypatch.setattr(wal, "SEGMENT_BYTES", 1)  # a frame
    writer = wal.WalWriter(store.path, durability="os")
    for position in range(1, 31):
        writer.append(wal.encode([tool(1, position)]))
    writer.append(wal.encode([run(1)[-1], close(1)]))
    writer.close()

    derived: list[str] = []
    derivation = derive.derive

    def counted(*given: Any, **options: Any) -> derive.Batch:
        batch = derivation(*given, **options)
        derived.extend(batch.trajectory_ids)
        return batch

    monkeypatch.setattr(derive, "derive", counted)
    report = sealing.seal(store.path)

    assert report.snapshot > 30
    assert len(derived) == 10  # its first spans, each time; then all of it, once
    assert store.sql("select n_spans from trajectories").fetchall() == [(31,)]


def test_rows_that_are_written_in_parts_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [*run(1), *(tool(1, position) for position in range(4, 20))]
    tables = ("steps", "trajectory_spans", "trajectories")

    def stored(name: str) -> list[Any]:
        store = TrajectoryStore.create(tmp_path / name)
        store.append(spans)
        return [store.sql(f"from {table} order by all").fetchall() for table in tables]

    whole = stored("whole")
    monkeypatch.setattr(columns, "PART_ROWS", 3)

    assert stored("parts") == whole


def test_run_that_memory_has_no_room_for_keeps_its_spans_and_harms_no_other(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "for_one_run", lambda: 200_000)  # some twenty spans
    store.append([started(run(1)[-1]), *(tool(1, position) for position in range(1, 41))])
    store.append(run(2))

    store.append([*run(1), tool(1, 41)])

    assert f"Cannot derive trace {trace_id(1)}; its spans are kept: it is too large" in caplog.text
    counted = "select count(*) from spans where trace_id = $id"
    assert store.sql(counted, {"id": trace_id(1)}).fetchall() == [(42,)]
    assert store.trajectory(trajectory_of(store, 2)).n_steps == 3
    monkeypatch.undo()  # a machine with more memory
    store.reassemble()
    assert store.trajectory(trajectory_of(store, 1)).n_spans == 42


def trajectory_of(store: TrajectoryStore, number: int) -> str:
    sql = "select trajectory_id from trajectories where list_contains(trace_ids, $id)"
    [(trajectory_id,)] = store.sql(sql, {"id": trace_id(number)}).fetchall()
    return str(trajectory_id)
