"""`retain` and `pin`: what is beyond a limit goes, and nothing else."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_traj import importers, semconv, wal
from otel_traj.errors import ConfigurationError, TrajectoryNotFoundError
from otel_traj.model import Annotation, LogRecord, SpanRecord
from otel_traj.store import TrajectoryStore, retention, rules, snapshot
from tests.store.asking import asked, ids_by_task, record
from tests.store.runs import chat, root, run, span_id, started, tool, trace_id

DAY_NS = 86_400 * 10**9
NOW_NS = int(datetime.now(UTC).timestamp() * 1e9)


def aged(records: list[SpanRecord], days: float) -> list[SpanRecord]:
    """The same spans as if they had begun so many days ago."""
    shift = NOW_NS - int(days * DAY_NS) - min(record.start_ns for record in records)
    return [
        replace(
            record,
            start_ns=record.start_ns + shift,
            end_ns=None if record.end_ns is None else record.end_ns + shift,
        )
        for record in records
    ]


def tasks(store: TrajectoryStore) -> list[str]:
    return sorted(ids_by_task(store))


@pytest.fixture
def years(store: TrajectoryStore) -> TrajectoryStore:
    """Runs 1 to 6, of 400, 40, 20, 3, 1 and 0.1 days ago; those of odd number failed."""
    parts = [
        aged(run(number, **{semconv.OUTCOME: "failure" if number % 2 else "success"}), days)
        for number, days in enumerate((400, 40, 20, 3, 1, 0.1), start=1)
    ]
    record(store, *(span for part in parts for span in part))
    return store


def test_s1_10_what_ended_long_ago_goes(years: TrajectoryStore) -> None:
    report = years.retain(older_than=timedelta(days=30))

    assert [e.limit for e in report.expired] == ["older_than", "older_than"]
    assert report.expired[0].start_time < report.expired[1].start_time
    assert report.amount.rows == {
        "annotations": 2,
        "spans": 8,
        "steps": 6,
        "trajectories": 2,
        "trajectory_spans": 8,
    }
    assert tasks(years) == ["order-3", "order-4", "order-5", "order-6"]
    assert years.verify(sample=None) == []


def test_a_run_whose_times_nobody_told_has_no_age(store: TrajectoryStore) -> None:
    labelled = Path(__file__).parents[1] / "data" / "labelled" / "tau_bench.json"
    store.append(importers.read(labelled))
    [(n, latest)] = store.sql("select count(*), max(start_time) from trajectories").fetchall()
    assert (n > 0, latest.year) == (True, 1970)

    assert store.retain(older_than=timedelta(0)).expired == ()
    assert [e.limit for e in store.retain(keep=0).expired] == ["keep"] * n
    assert store.verify(sample=None) == []


def test_s1_10_zero_means_now(years: TrajectoryStore) -> None:
    years.retain(older_than=timedelta(0))

    assert tasks(years) == []
    assert asked(years, "from spans") == []


def test_s1_10_times_are_instants_whatever_their_zone(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of 23 hours ago, in a time zone where that is another day, is not a day old."""
    record(store, *aged(run(1), 23 / 24), *aged(run(2), 25 / 24))
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()

    try:
        store.retain(older_than=timedelta(days=1))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert tasks(store) == ["order-1"]


def test_a_run_is_as_old_as_its_end(store: TrajectoryStore) -> None:
    [*children, top] = aged(run(1), 2)
    record(store, *children, replace(top, end_ns=NOW_NS))

    assert store.retain(older_than=timedelta(days=1)).expired == ()


def test_s1_10_the_newest_of_a_number_stay(years: TrajectoryStore) -> None:
    report = years.retain(keep=2)

    assert {e.limit for e in report.expired} == {"keep"}
    assert tasks(years) == ["order-5", "order-6"]


def test_s1_10_the_oldest_go_until_the_rest_has_so_many_bytes(store: TrajectoryStore) -> None:
    chance = random.Random(7)
    for number in range(1, 6):
        large = "".join(chance.choices("abcdefghijklmnop", k=40_000 * (number % 2) + 2_000))
        record(store, *aged(run(number, note=large), 10 - number))

    report = store.retain(max_bytes=100_000)

    live = snapshot.newest(store.path).files
    left = sum(file.bytes for table, own in live.items() if table != "annotations" for file in own)
    assert left <= 100_000
    assert len(report.expired) < 5
    gone = [
        int(task[-1])
        for task in (f"order-{n}" for n in range(1, 6))
        if task not in ids_by_task(store)
    ]
    assert gone == list(range(1, len(gone) + 1))
    assert store.verify(sample=None) == []


def test_limits_are_for_an_outcome_or_an_agent_only(years: TrajectoryStore) -> None:
    years.retain(older_than=timedelta(days=2), outcome="failure")
    assert tasks(years) == ["order-2", "order-4", "order-5", "order-6"]

    years.retain(keep=1, outcome="success")
    assert tasks(years) == ["order-5", "order-6"]

    years.retain(keep=0, agent="somebody else")
    assert tasks(years) == ["order-5", "order-6"]

    years.retain(max_bytes=0, agent="clerk")
    assert tasks(years) == []


def test_a_dry_run_tells_the_same_and_changes_nothing(years: TrajectoryStore) -> None:
    before = snapshot.newest(years.path)

    planned = years.retain(older_than=timedelta(days=30), keep=3, dry_run=True)

    assert snapshot.newest(years.path) == before
    assert [e.limit for e in planned.expired] == ["older_than", "older_than", "keep"]
    done = years.retain(older_than=timedelta(days=30), keep=3)
    assert replace(planned, is_dry_run=False) == done


def test_whole_days_lose_their_files_and_others_are_not_touched(years: TrajectoryStore) -> None:
    before = snapshot.newest(years.path).files

    years.retain(older_than=timedelta(days=30))

    after = snapshot.newest(years.path).files
    assert set(after["spans"]) < set(before["spans"])
    assert set(after["steps"]) < set(before["steps"])


def test_of_a_day_that_stays_in_part_files_are_rewritten(store: TrajectoryStore) -> None:
    record(store, *aged(run(1), 0.2), *aged(run(2), 0.1))

    store.retain(keep=1)

    assert tasks(store) == ["order-2"]
    assert asked(store, "select distinct trace_id from spans") == [(trace_id(2),)]
    assert store.verify(sample=None) == []


# --- what stays ---------------------------------------------------------------------------------


def test_what_is_pinned_stays_and_is_counted(years: TrajectoryStore) -> None:
    pinned = ids_by_task(years)["order-1"]
    years.pin(pinned[:8])

    report = years.retain(older_than=timedelta(0))

    assert (report.n_pinned, len(report.expired)) == (1, 5)
    assert tasks(years) == ["order-1"]


def test_pins_are_listed_taken_back_and_remembered(years: TrajectoryStore) -> None:
    pinned = ids_by_task(years)["order-1"]
    listed = "select trajectory_id from annotations_latest where name = 'traj.pin'"

    years.pin(pinned)
    assert asked(years, listed) == [(pinned,)]
    years.unpin(pinned)
    assert asked(years, listed) == []

    history = "select value_text, deleted from annotations where name = 'traj.pin' order by created"
    assert asked(years, history) == [("pinned", False), (None, True)]
    years.retain(older_than=timedelta(0))
    assert tasks(years) == []


def test_nobody_elses_word_pins_or_unpins(years: TrajectoryStore) -> None:
    years.annotate(ids_by_task(years)["order-1"], "traj.pin", "pinned", annotator="eve")
    years.pin(ids_by_task(years)["order-2"])

    years.retain(older_than=timedelta(0))

    assert tasks(years) == ["order-2"]


def test_what_is_not_pinned_cannot_be_unpinned(years: TrajectoryStore) -> None:
    with pytest.raises(ConfigurationError, match=r"Nothing named 'traj\.pin'"):
        years.unpin(ids_by_task(years)["order-1"])
    with pytest.raises(TrajectoryNotFoundError):
        years.pin("nobody")


def test_what_a_living_process_records_stays_and_goes_on(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    first, second = aged([started(root(1)), chat(1, 1)], 90)
    writer.append(wal.encode([first, second, *aged(run(2), 90)]))

    report = store.retain(older_than=timedelta(days=30))
    writer.append(wal.encode([*aged([tool(1, 2)], 89), replace(first, end_ns=NOW_NS)]))

    assert (report.n_running, [e.trajectory_id for e in report.expired] != []) == (1, True)
    told = asked(store, "select task, status, n_spans from trajectories")
    assert told == [("order-1", "completed", 3)]
    writer.close()
    assert store.verify(sample=None) == []


def test_a_run_that_has_been_silent_for_a_week_does_not_go_on(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a receiver lives on that was never told the end."""
    receiver = wal.WalWriter(store.path)
    receiver.append(wal.encode(aged([started(root(1)), chat(1, 1)], 90)))
    store.seal()
    monkeypatch.setattr(retention, "_SILENT_S", 0.0)

    report = store.retain(older_than=timedelta(days=30))

    assert (report.n_running, len(report.expired)) == (0, 1)
    assert dict(snapshot.newest(store.path).open) == {}
    receiver.close()


def test_a_run_that_was_killed_long_ago_goes_like_any_other(store: TrajectoryStore) -> None:
    record(store, *aged([started(root(1)), chat(1, 1)], 90))
    assert asked(store, "select status from trajectories") == [("open",)]

    store.retain(older_than=timedelta(days=30))

    assert asked(store, "from trajectories") == []
    assert dict(snapshot.newest(store.path).open) == {}
    assert store.verify(sample=None) == []


def test_a_pinned_run_that_was_killed_stays_whole(store: TrajectoryStore) -> None:
    record(store, *aged([started(root(1)), chat(1, 1)], 90), *aged(run(2), 90))
    store.pin(ids_by_task(store)["order-1"])

    store.retain(older_than=timedelta(0))

    assert asked(store, "select task, n_spans from trajectories") == [("order-1", 1)]
    assert list(snapshot.newest(store.path).open) == [trace_id(1)]
    assert asked(store, "select count(*) from spans") == [(1,)]


# --- what belongs to no trajectory --------------------------------------------------------------


@pytest.fixture
def clutter(years: TrajectoryStore) -> TrajectoryStore:
    """A health check, a log with and one without a trace, and an annotation, old and new each."""
    for number, days in ((20, 50.0), (21, 0.5)):
        time_ns = NOW_NS - int(days * DAY_NS)
        health = replace(root(number), name="GET /health", attributes={"url.path": "/health"})
        said = Annotation(
            f"said-{number}", "trajectory", f"nobody-{number}", None, None, None, "note", "label",
            None, "x", None, "explicit", None, datetime.fromtimestamp(time_ns / 1e9, UTC),
        )  # fmt: skip
        record(
            years,
            *aged([health], days),
            LogRecord(None, None, time_ns, None, None, None, f"loose {number}"),
            LogRecord(trace_id(number + 10), span_id(1, 1), None, time_ns, None, None, "no span"),
            said,
        )
    return years


def left_over(store: TrajectoryStore) -> tuple[list[Any], list[Any], list[Any]]:
    return (
        asked(store, "select trace_id from spans where name = 'GET /health' order by 1"),
        asked(store, "select trace_id, body from logs order by all"),
        asked(store, "select annotation_id from annotations where name = 'note' order by 1"),
    )


NEW = (
    [(trace_id(21),)],
    [(trace_id(31), '"no span"'), (None, '"loose 21"')],
    [("said-21",)],
)


def test_what_belongs_to_no_trajectory_ages_too(clutter: TrajectoryStore) -> None:
    report = clutter.retain(older_than=timedelta(days=30))

    assert left_over(clutter) == NEW
    assert report.amount.rows["logs"] == 2
    assert [problem.severity for problem in clutter.verify(sample=None)] == ["note"]


def test_it_goes_with_the_trajectories_of_its_time(clutter: TrajectoryStore) -> None:
    clutter.retain(keep=2)

    assert left_over(clutter) == NEW


def test_it_stays_where_nothing_is_beyond_a_number(clutter: TrajectoryStore) -> None:
    before = left_over(clutter)

    clutter.retain(keep=6)

    assert left_over(clutter) == before


def test_it_stays_where_limits_are_for_an_outcome_or_agent(clutter: TrajectoryStore) -> None:
    before = left_over(clutter)

    clutter.retain(older_than=timedelta(0), agent="clerk")
    assert tasks(clutter) == []
    assert left_over(clutter) == before


def test_it_stays_where_only_limits_for_an_outcome_are_reached(clutter: TrajectoryStore) -> None:
    before = left_over(clutter)
    (clutter.path / "rules.toml").write_text("""
[[retain]]
older_than = "30d"
outcome = "failure"

[[retain]]
keep = 100
""")

    assert len(clutter.retain().expired) == 1

    assert left_over(clutter) == before


def test_it_ages_also_where_no_trajectory_goes(store: TrajectoryStore) -> None:
    record(store, LogRecord(None, None, 5, None, None, None, "of 1970"))
    record(store, started(replace(root(1), attributes={})))
    assert dict(snapshot.newest(store.path).open) != {}

    report = store.retain(older_than=timedelta(0))

    assert report.amount.rows == {"logs": 1}
    assert asked(store, "from logs") == []
    assert dict(snapshot.newest(store.path).open) == {}


# --- audit and rules ----------------------------------------------------------------------------


def test_an_audit_says_what_was_done_without_ids(years: TrajectoryStore) -> None:
    years.retain(keep=5, older_than=timedelta(hours=48))
    years.retain(older_than=timedelta(0))

    told = asked(
        years,
        "select value_json, trajectory_id, source from annotations where name = 'traj.retention'"
        " order by created",
    )
    first = json.loads(told[0][0])
    assert first.pop("bytes") > 0
    assert first == {
        "criteria": [{"older_than_s": 172_800.0, "keep": 5}],
        "trajectories": 4,
        "pinned": 0,
        "running": 0,
        "rows": {
            "annotations": 4,
            "spans": 16,
            "steps": 12,
            "trajectories": 4,
            "trajectory_spans": 16,
        },
    }
    assert [row[1:] for row in told] == [(None, "otel-traj")] * 2  # and audits stay


def test_nothing_to_do_leaves_no_trace(years: TrajectoryStore) -> None:
    before = snapshot.newest(years.path)

    years.retain(keep=6)

    assert snapshot.newest(years.path) == before


def test_without_criteria_the_rules_of_the_store_count(years: TrajectoryStore) -> None:
    (years.path / "rules.toml").write_text("""
[[retain]]
older_than = "30d"

[[retain]]
keep = 1
outcome = "failure"

[[retain]]
max_bytes = "5GB"
agent = "clerk"
""")

    report = years.retain()

    assert [e.limit for e in report.expired] == ["older_than", "older_than", "keep"]
    assert tasks(years) == ["order-4", "order-5", "order-6"]


def test_neither_criteria_nor_rules_is_wrong_use(years: TrajectoryStore) -> None:
    with pytest.raises(ConfigurationError, match="Give a limit, here or as"):
        years.retain()
    with pytest.raises(ConfigurationError, match="Give a limit"):
        years.retain(agent="clerk")
    with pytest.raises(ConfigurationError, match="negative"):
        years.retain(keep=-1)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('older_than = "soon"', "'soon' is no length of time"),
        ('max_bytes = "much"', "'much' is no number of bytes"),
        ('keep = "5"', "keep cannot be '5'"),
        ("keep = true", "keep cannot be True"),
        ('outcome = "failure"', "Give a limit"),
        ('keep = 1\noutcome = "bad"', "outcome 'bad' is none of"),
        ("kept = 1", "it has no 'kept'"),
    ],
)
def test_a_wrong_rule_is_told_with_its_file(
    store: TrajectoryStore, rule: str, message: str
) -> None:
    (store.path / "rules.toml").write_text(f"[[retain]]\n{rule}\n")

    with pytest.raises(ConfigurationError, match=r"rules\.toml.*\[\[retain\]\].*" + message):
        rules.load(store.path)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 2_592_000), ("0d", 0), ("12 h", 43_200), ("1.5m", 90), ("2w", 1_209_600), ("9s", 9)],
)
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert rules.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "n"),
    [("5GB", 5 * 10**9), ("2GiB", 2 * 2**30), ("1.5 kb", 1_500), ("0", 0), ("17", 17), ("3B", 3)],
)
def test_sizes_are_read(text: str, n: int) -> None:
    assert rules.size(text) == n


@pytest.mark.parametrize("text", ["", "5", "-1d", "d", "1y", "1d 2h", "nan"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        rules.duration(text)


# --- death --------------------------------------------------------------------------------------

RETAINER = """
import sys
from otel_traj.store import open_store

store = open_store(sys.argv[1])
for keep in range(int(sys.argv[2]), -1, -1):
    store.retain(keep=keep)
    print(keep, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_at_any_moment_it_leaves_all_or_none_of_what_goes(store: TrajectoryStore) -> None:
    record(store, *(part for n in range(20) for part in aged(run(n), 20 - n)))
    chance = random.Random(7)
    keep = 19
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", RETAINER, str(store.path), str(keep)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.random() / 10)
            process.send_signal(signal.SIGKILL)
            keep -= 1 + len(process.stdout.read().splitlines())
        counts = asked(
            store,
            "select (select count(*) from trajectories), (select count(*) from steps) / 3,"
            " (select count(*) from spans) / 4, (select count(*) from trajectory_spans) / 4",
        )
        assert counts in ([(n, n, n, n)] for n in (keep + 1, keep))

    assert [p for p in store.verify(sample=None) if p.severity == "error"] == []


def test_the_estimate_of_bytes_adds_up(years: TrajectoryStore) -> None:
    """What all trajectories have, and what is no trajectory's, are the bytes of the live files."""
    current = snapshot.newest(years.path)
    whole = sum(file.bytes for own in current.files.values() for file in own)

    report = years.retain(max_bytes=0, dry_run=True)

    assert report.amount.bytes == pytest.approx(whole, rel=0.01)
    assert retention.AUDIT == "traj.retention"
