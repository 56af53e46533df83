"""`redact`: what matches is replaced everywhere, and all else is as it was."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from otel_traj import assembly, importers, semconv, wal
from otel_traj.assembly import runs
from otel_traj.errors import ConfigurationError, UnknownNameError
from otel_traj.model import LogRecord, SpanEvent, SpanLink
from otel_traj.store import TrajectoryStore, erasure, parts, snapshot
from tests.store.asking import asked, is_absent, record
from tests.store.runs import chat, root, run, span_id, started, tool, trace_id

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
ANN = "ann@example.com"
PATTERN = r"ann@example\.com"


def said(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


@pytest.fixture
def full(store: TrajectoryStore) -> TrajectoryStore:
    """Run 1 tells of Ann wherever a run can tell of something; run 2 does not."""
    change = LogRecord(
        trace_id(1), span_id(1, 2), 5, None, semconv.EVENT_FILE_CHANGE, None, None,
        {
            semconv.FILE_PATH: f"mail/{ANN}.txt", semconv.FILE_ADDED: 1, semconv.FILE_REMOVED: 0,
            semconv.FILE_DIFF: f"+{ANN}",
        },
    )  # fmt: skip
    event = SpanEvent(6, "exception", {"exception.message": f"no mail of {ANN}"})
    asks = chat(1, 1, **{semconv.INPUT_MESSAGES: said("user", f'I am "{ANN}"\n')})
    looks = tool(1, 2, **{semconv.TOOL_CALL_ARGUMENTS: json.dumps({"to": json.dumps([ANN])})})
    top = root(
        1,
        **{
            "user.id": ANN,
            semconv.OUTCOME: "failure",
            semconv.FAILURE_RATIONALE: f"{ANN} gave up",
        },
    )
    loose = LogRecord(None, None, 7, None, None, None, {"mail": [ANN]})
    record(store, asks, replace(looks, events=(event,)), top, change, loose, *run(2))
    record(store, replace(chat(1, 3), status_message=f"late, for {ANN}"))
    [(trajectory_id,)] = asked(
        store, "select trajectory_id from trajectories where n_spans = 4 and user_id is not null"
    )
    store.annotate(trajectory_id, "note", f"ask {ANN}")
    store.seal()
    return store


def test_what_matches_is_replaced_everywhere(full: TrajectoryStore) -> None:
    report = full.redact(PATTERN)

    assert (report.spans, report.logs, report.annotations, report.trajectories) == (4, 2, 2, 1)
    assert is_absent(full, ANN, "ann@")
    [row] = asked(
        full, "select user_id, user_input, failure_rationale from trajectories where n_late = 1"
    )
    assert row == (
        "[redacted:pattern]",
        'I am "[redacted:pattern]"\n',
        "[redacted:pattern] gave up",
    )
    assert asked(full, "select path, diff from file_changes") == [
        ("mail/[redacted:pattern].txt", "+[redacted:pattern]")
    ]
    assert full.verify(sample=None) == []


def test_what_does_not_match_is_as_it_was(full: TrajectoryStore) -> None:
    """Ids, times, revisions of others, verdicts, what is late, and each record but for the text."""
    columns = "select columns(c -> c not in ('rev', 'messages_hash', 'request_hash')) from"
    steady = (
        "select trajectory_id, trace_ids, start_time, end_time, status, n_steps, n_late, outcome"
        " from trajectories order by all",
        "select trace_id, span_id, name, start_ns, ingest_seq, ingest_time from spans order by all",
        f"{columns} steps where trace_id = '{trace_id(2)}' order by all".replace(
            "c -> c", "lambda c: c"
        ),
        "select rev from trajectories where task = 'order-2'",
        "select annotation_id, name from annotations where source = 'explicit' and name = 'note'",
    )
    before = [asked(full, sql) for sql in steady]

    full.redact(PATTERN)

    assert [asked(full, sql) for sql in steady] == before


def test_it_is_as_if_it_had_been_recorded_so(full: TrajectoryStore, tmp_path: Path) -> None:
    """Derived rows are those of the redacted records, hashes included."""
    full.redact(PATTERN)

    again = TrajectoryStore.create(tmp_path / "again")
    connection = full.connection()
    from otel_traj.store import rows

    spans = rows.span_records(connection.sql("from stored.spans").to_arrow_table())
    logs = rows.log_records(connection.sql("from stored.logs").to_arrow_table())
    again.append([*spans, *logs])
    for derived in ("steps", "file_changes", "trajectory_spans"):
        told = f"select * exclude (rev) from {derived} order by all"
        assert asked(full, told) == asked(again, told)
    headers = "select * exclude (rev, n_late) from trajectories order by all"
    assert asked(full, headers) == asked(again, headers)


def test_what_runs_say_of_themselves_is_said_once(full: TrajectoryStore) -> None:
    full.redact(PATTERN)
    before = asked(full, "select * from annotations order by all")

    full.reassemble()

    assert asked(full, "select * from annotations order by all") == before
    names = "select name, count(*) from annotations where source = 'explicit' group by 1 order by 1"
    assert asked(full, names) == [("failure_rationale", 1), ("note", 1), ("outcome", 1)]


@pytest.mark.slow
def test_of_runs_that_real_frameworks_told_a_word_is_replaced(store: TrajectoryStore) -> None:
    store.append(importers.read(CORPUS))
    counts = "select trajectory_id, n_spans, n_steps, status from trajectories order by 1"
    before = asked(store, counts)
    [(word,)] = asked(
        store,
        "select w from (select unnest(regexp_extract_all(output_text, '[A-Za-z]{6,}')) as w"
        " from steps) group by w order by count(*) desc, w limit 1",
    )

    report = store.redact(rf"(?i){word}")

    assert report.trajectories > 0
    assert store.search(patterns=[rf"(?i){word}"]).findings == ()
    assert asked(store, counts) == before
    assert [p for p in store.verify(sample=None) if p.severity == "error"] == []


def test_an_audit_tells_how_much_and_not_what(full: TrajectoryStore) -> None:
    full.redact(PATTERN, rules=["cards"])

    [(told,)] = asked(full, "select value_json from annotations where name = 'traj.redaction'")
    assert json.loads(told) == {
        "rules": ["cards"],
        "patterns": 1,
        "spans": 4,
        "logs": 2,
        "annotations": 2,
        "trajectories": 1,
    }


def test_a_dry_run_tells_the_same_and_changes_nothing(full: TrajectoryStore) -> None:
    before = snapshot.newest(full.path)
    files = sorted(full.path.rglob("*.parquet"))

    planned = full.redact(PATTERN, dry_run=True)

    assert snapshot.newest(full.path) == before
    assert sorted(full.path.rglob("*.parquet")) == files
    assert replace(planned, is_dry_run=False) == full.redact(PATTERN)


def test_twice_is_once(full: TrajectoryStore) -> None:
    full.redact(PATTERN)
    before = snapshot.newest(full.path)

    report = full.redact(PATTERN)

    assert not report
    assert snapshot.newest(full.path) == before


def test_built_in_rules_find_what_nobody_spelt_out(store: TrajectoryStore) -> None:
    card, key = "4111 1111 1111 1111", "ghp_" + "a1B2" * 9
    note = f"{ANN} pays with {card}; token {key}."
    record(store, *run(1, note=note), LogRecord(trace_id(1), None, 5, None, None, None, note))

    report = store.redact(rules=["secrets", "emails", "cards"])

    assert (report.spans, report.logs) == (1, 1)
    assert is_absent(store, ANN, card, key)


def test_ids_that_programs_gave_are_replaced_with_all_that_refers_to_them(
    store: TrajectoryStore,
) -> None:
    record(store, *run(1, **{semconv.TRAJECTORY_ID: f"{ANN}-1"}))
    record(
        store,
        *run(2, **{semconv.TRAJECTORY_ID: f"{ANN}-2", semconv.PARENT_TRAJECTORY_ID: f"{ANN}-1"}),
    )
    store.annotate(f"{ANN}-1", "outcome", "failure")
    store.pin(f"{ANN}-2")

    store.redact(PATTERN)

    assert is_absent(store, ANN)
    first, second = asked(
        store,
        "select trajectory_id, outcome, parent_trajectory_id from trajectories order by start_time",
    )
    assert (first[1], second[2]) == ("failure", first[0])
    assert first[0] != second[0]
    pinned = "select trajectory_id from annotations_latest where name = 'traj.pin'"
    assert asked(store, pinned) == [(second[0],)]
    assert store.verify(sample=None) == []


def test_ids_that_we_made_stay_whatever_they_look_like(store: TrajectoryStore) -> None:
    record(store, *run(1, note="call 0123456789"))
    [(made,)] = asked(store, "select trajectory_id from trajectories")
    store.annotate(made, "outcome", "failure")

    store.redact(r"[0-9a-f]{6,}")

    assert asked(store, "select trajectory_id, outcome from trajectories") == [(made, "failure")]
    assert asked(store, "select distinct trace_id from steps") == [(trace_id(1),)]
    assert is_absent(store, "0123456789")


def test_running_spans_in_the_snapshot_and_the_log_are_redacted(store: TrajectoryStore) -> None:
    writer = wal.WalWriter(store.path)
    writer.append(wal.encode([started(root(1, mail=ANN)), chat(1, 1)]))

    report = store.redact(PATTERN)

    assert report.spans == 1
    assert is_absent(store, ANN)
    assert list(snapshot.newest(store.path).open) == [trace_id(1)]
    writer.append(wal.encode([root(1)]))
    assert asked(store, "select status, n_spans from trajectories") == [("completed", 2)]
    writer.close()


def test_dead_revisions_and_joined_runs_are_redacted(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(runs, "_join_linked", lambda groups, nodes: None)
        older.setattr(assembly, "_join_linked", lambda *_: None, raising=False)
        record(store, chat(1, 1, **{semconv.INPUT_MESSAGES: said("user", ANN)}))
        record(store, tool(1, 2), root(1))
        [*children, top] = run(2, note=ANN)
        record(store, *children, replace(top, links=(SpanLink(trace_id(1), span_id(1, 0)),)))
    store.reassemble()

    store.redact(PATTERN)

    assert is_absent(store, ANN)
    assert asked(store, "select len(trace_ids), n_spans from trajectories") == [(2, 7)]
    assert store.verify(sample=None) == []


def test_parts_are_derived_apart_and_each_once(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_SPANS", 5)
    record(store, *(part for number in range(7) for part in run(number, mail=ANN)))
    store.compact(full=True)

    report = store.redact(PATTERN)

    assert report.trajectories == 7
    assert asked(store, "select count(*), count(distinct trajectory_id) from trajectories") == [
        (7, 7)
    ]
    assert is_absent(store, ANN)
    assert store.verify(sample=None) == []


def test_what_only_several_texts_make_together_is_replaced(store: TrajectoryStore) -> None:
    """Two parts of an answer are one text of the step, in which the pattern matches."""
    parts = [{"type": "text", "content": "ann"}, {"type": "text", "content": "at home"}]
    answer = json.dumps([{"role": "assistant", "parts": parts}])
    record(store, chat(1, 1, **{semconv.OUTPUT_MESSAGES: answer}), root(1))
    told = "select output_text from steps where output_text is not null"
    [(joined,)] = asked(store, told)
    assert re.fullmatch(r"ann\s*at home", joined)

    store.redact(r"ann\s*at home")

    assert asked(store, told) == [("[redacted:pattern]",)]


def test_published_tables_are_brought_up_to_date(full: TrajectoryStore) -> None:
    deltalake = pytest.importorskip("deltalake")
    from otel_traj.store import publish

    publish.publish(full.path)

    full.redact(PATTERN)

    assert is_absent(full, ANN)
    table = deltalake.DeltaTable(full.path / "trajectories")
    engine = deltalake.QueryBuilder().register("t", table)
    told = pa.table(engine.execute("select user_id from t").read_all())
    assert sorted(filter(None, told["user_id"].to_pylist())) == ["[redacted:pattern]"]


@pytest.mark.parametrize(
    ("pattern", "rules", "error"),
    [
        (None, (), ConfigurationError),
        ("", (), ConfigurationError),
        ("(", (), ConfigurationError),
        (None, ("names",), UnknownNameError),
    ],
)
def test_nothing_or_something_wrong_to_redact_is_wrong_use(
    store: TrajectoryStore, pattern: str | None, rules: tuple[str, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        store.redact(pattern, rules=rules)


def test_a_failure_changes_nothing_and_leaves_no_files(
    full: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot.newest(full.path)
    files = sorted(full.path.rglob("*.parquet"))

    def dies(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(erasure, "audit", dies)
        with pytest.raises(OSError, match="No space"):
            full.redact(PATTERN)

    assert snapshot.newest(full.path) == before
    assert sorted(full.path.rglob("*.parquet")) == files


REDACTOR = """
import sys
from otel_traj.store import open_store

store = open_store(sys.argv[1])
for number in sys.argv[2:]:
    store.redact(f"mail-{number}[.]")
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_at_any_moment_it_can_be_finished(store: TrajectoryStore) -> None:
    """All or none of a pattern is replaced in tables; the next redaction removes all copies."""
    record(store, *(part for n in range(8) for part in run(n, mail=f"mail-{n}. and mail-{n}.")))
    chance = random.Random(7)
    done = 0
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", REDACTOR, str(store.path), *map(str, range(done, 8))],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.random() / 5)
            process.send_signal(signal.SIGKILL)
            done += 1 + len(process.stdout.read().splitlines())
        [(n_spans, n_trajectories)] = asked(
            store,
            "select (select count(*) from spans where attributes like '%redacted%'),"
            " (select count(*) from trajectories where attributes like '%redacted%')",
        )
        assert n_spans == n_trajectories
        assert n_spans in (done, done + 1)
        store.redact(f"mail-{done}[.]")
        done += 1
        assert is_absent(store, *(f"mail-{n}." for n in range(done)))

    assert [p for p in store.verify(sample=None) if p.severity == "error"] == []
