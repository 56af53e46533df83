"""The roster tells of every run what the view `trajectories` does, whatever happened since."""

from __future__ import annotations

import errno
import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from otel_traj import semconv, wal
from otel_traj.model import Annotation, SpanRecord
from otel_traj.store import TrajectoryStore, roster, sealing, snapshot
from otel_traj.store.roster import Roll, Seen
from tests.store.asking import asked, record
from tests.store.runs import root, run, tool, trace_id

pytestmark = pytest.mark.slow

DAY_NS: Final = 86_400 * 10**9
DAYS: Final = 4
LONG: Final = "Fix it. " * 100


def of_day(day: int, spans: list[SpanRecord]) -> list[SpanRecord]:
    shift = day * DAY_NS
    return [replace(s, start_ns=s.start_ns + shift, end_ns=(s.end_ns or 0) + shift) for s in spans]


def failed(number: int, day: int) -> list[SpanRecord]:
    """A run of an agent of its own, with a tool that failed."""
    wrong = replace(tool(number, 2, **{semconv.ERROR_TYPE: "ToolError"}), status="ERROR")
    named = {semconv.AGENT_NAME: f"agent-{number}", semconv.TASK: LONG}
    return of_day(day, [wrong, root(number, **named)])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two runs on each of four days, a commit each, some of them judged."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("roster") / "traces")
    for day in range(DAYS):
        store.append(of_day(day, [*run(day), *failed(10 + day, day)]))
    for trajectory_id in ids(store)[::4]:
        store.annotate(trajectory_id, "outcome", "partial")
    store.seal()
    return store.path


@pytest.fixture
def filled(template: Path, tmp_path: Path) -> TrajectoryStore:
    """The same in a folder of its own, whose roster was asked."""
    store = TrajectoryStore(Path(shutil.copytree(template, tmp_path / "traces")))
    whole(store)
    return store


def ids(store: TrajectoryStore) -> list[str]:
    found = asked(store, "select trajectory_id from trajectories order by start_time")
    return [trajectory_id for (trajectory_id,) in found]


# --- what both tell ----------------------------------------------------------------------------

_SAME: Final = (
    "trajectory_id, rev, start_time, duration_us, cost_usd, input_tokens, output_tokens, n_spans,"
    " n_steps, n_tools, n_errors, status, outcome, outcome_source, reward, aliases, trace_ids"
)


def _word(column: str) -> str:
    return f"(select text from words where hash = {column})"


def _set(column: str) -> str:
    return f"(select members from sets where hash = {column})"


_OF_ROSTER: Final = (
    f"select {_SAME}, {_word('agent_name')}, {_word('service')}, {_word('error_type')},"
    f" {_word('conversation_id')}, {_set('agents')}, {_set('models')}, {_set('tools')},"
    f" {_set('step_errors')}, task_id, asked, (select text from labels where hash = task)"
    " from runs order by trajectory_id"
)


def _of_view(column: str) -> str:
    return f"nullif(list_sort(list_distinct({column})), [])"


_OF_VIEWS: Final = (
    f"select {_SAME}, agent_name, service, error_type, conversation_id, {_of_view('agents')},"
    f" {_of_view('models')}, {_of_view('tools')}, (select list_sort(list(distinct s.error_type))"
    "  from steps s where s.trajectory_id = t.trajectory_id and s.error_type is not null),"
    " case when task_id is not null then hash(task_id) end, hash(coalesce(task, user_input)),"
    f" left(coalesce(task_id, task, user_input), {roster.LABEL})"
    " from trajectories t order by trajectory_id"
)


def rows(roll: Roll) -> list[Any]:
    return roll.cursor.execute(_OF_ROSTER).fetchall()


def whole(store: TrajectoryStore) -> list[Any]:
    """All rows of the roster, once it is whole."""
    while True:
        with store.roster() as roll:
            if roll.seen is None:
                return rows(roll)


def expected(store: TrajectoryStore) -> list[Any]:
    return store.connection().execute(_OF_VIEWS).fetchall()


# --- what may happen ---------------------------------------------------------------------------


def nameless(of: int) -> Annotation:
    """What somebody who knows only its trace says of a run."""
    return Annotation(
        "said-of-a-trace", "trajectory", None, trace_id(of), None, None, "reward", "reward", 0.25,
        None, None, "judge", None, datetime(2030, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def judged_by_rules(store: TrajectoryStore) -> None:
    (store.path / "rules.toml").write_text(
        '[[outcome]]\nname = "failing"\nwhen = "n_errors > 0"\noutcome = "failure"\n', "utf-8"
    )


HAPPENINGS: Final[dict[str, Callable[[TrajectoryStore], object]]] = {
    "nothing": lambda store: None,
    "a run": lambda store: store.append(of_day(2, run(30))),
    "a run on a new day": lambda store: store.append(of_day(9, run(31))),
    "a late span": lambda store: store.append(of_day(1, [tool(1, 7)])),
    "a late failure": lambda store: store.append(failed(1, 1)[:1]),
    "an outcome": lambda store: store.annotate(ids(store)[3], "outcome", "failure"),
    "another outcome": lambda store: store.annotate(ids(store)[0], "outcome", "success"),
    "an outcome taken back": lambda store: store.retract(ids(store)[0], "outcome"),
    "a reward": lambda store: store.annotate(ids(store)[5], "reward", 0.5),
    "a reward of a trace": lambda store: record(store, nameless(2)),
    "rules": judged_by_rules,
    "files merged": lambda store: store.compact(full=True),
    "a run erased": lambda store: store.delete([ids(store)[4]]),
    "a judged run erased": lambda store: store.delete([ids(store)[0]]),
    "a text redacted": lambda store: store.redact("agent-11"),
    "old runs let go": lambda store: store.retain(keep=5),
    "runs derived again": lambda store: store.reassemble(ids(store)[2:4]),
}


@pytest.mark.parametrize("begin", range(0, len(HAPPENINGS), 6))
def test_the_roster_says_what_the_view_says_whatever_happens(
    filled: TrajectoryStore, begin: int
) -> None:
    for name, happening in list(HAPPENINGS.items())[begin : begin + 6]:
        happening(filled)

        assert whole(filled) == expected(filled), name


def test_what_is_not_sealed_yet_counts_where_nobody_may_seal(
    filled: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "read-only")

    monkeypatch.setattr(sealing, "seal", refuse)
    writer = wal.WalWriter(filled.path)
    for n in (40, 41):
        writer.append(wal.encode(of_day(3, run(n))))

        assert len(whole(filled)) == 2 * DAYS + n - 39
        assert whole(filled) == expected(filled)
    monkeypatch.undo()
    writer.close()
    assert whole(filled) == expected(filled)


# --- how it gets there -------------------------------------------------------------------------


def test_of_other_days_no_file_is_opened_when_a_run_comes(filled: TrajectoryStore) -> None:
    filled.append(of_day(5, run(30)))
    filled.state()  # sealed
    right = expected(filled)
    now = snapshot.newest(filled.path)
    last = now.live("spans")[-1].date
    others = [f for files in now.files.values() for f in files if f.date != last]
    for file in others:
        if not file.path.startswith("annotations/"):
            (filled.path / file.path).write_bytes(b"nothing")

    assert whole(filled) == right


def test_nothing_is_left_of_who_was_erased(filled: TrajectoryStore) -> None:
    [(erased,)] = asked(
        filled, "select trajectory_id from trajectories where agent_name = 'agent-13'"
    )
    filled.delete([erased])
    whole(filled)

    with filled.roster() as roll:
        texts = roll.cursor.execute("select text from words").fetchall()
        assert roll.cursor.execute("from runs where trajectory_id = $1", [erased]).fetchall() == []
    assert ("agent-12",) in texts
    assert ("agent-13",) not in texts


def test_who_asks_first_waits_for_the_newest_days_only(
    filled: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "SLICE_S", -1.0)
    monkeypatch.setattr(roster, "_SLICE_ROWS", 1)
    again = TrajectoryStore(filled.path)
    by_day = filled.connection().execute(
        'select "date", count(*) from live.trajectories group by 1 order by 1 desc'
    )
    days, counts = zip(*by_day.fetchall(), strict=True)
    seen = []
    for _ in days:
        with again.roster() as roll:
            seen.append(roll.seen)

    known = itertools.accumulate(counts)
    told = [Seen(n, sum(counts), day) for n, day in zip(known, days, strict=True)]
    assert seen == [*told[:-1], None]
    assert whole(again) == expected(filled)


@pytest.mark.parametrize("happening", ["a late span", "an outcome", "a run erased", "files merged"])
def test_what_happens_before_it_is_whole_is_not_missed(
    filled: TrajectoryStore, monkeypatch: pytest.MonkeyPatch, happening: str
) -> None:
    monkeypatch.setattr(roster, "SLICE_S", -1.0)
    monkeypatch.setattr(roster, "_SLICE_ROWS", 1)
    again = TrajectoryStore(filled.path)
    for _ in range(2):
        with again.roster():
            pass
    HAPPENINGS[happening](filled)

    with again.roster() as roll:
        known = rows(roll)

    right = expected(filled)
    assert [row for row in known if row not in right] == []
    assert whole(again) == right


def test_one_who_asks_sees_one_snapshot(filled: TrajectoryStore) -> None:
    with filled.roster() as roll:
        before = rows(roll)
        filled.append(of_day(2, run(30)))
        assert len(whole(filled)) == len(before) + 1

        assert rows(roll) == before


def test_rows_that_come_and_go_take_no_more_place(
    filled: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "_FEW", 3)
    for n in range(12):
        filled.append(of_day(1, [tool(1, 7 + n)]))
        whole(filled)

    with filled.roster() as roll:
        [(groups,)] = roll.cursor.execute(
            "select max(row_group_id) from pragma_storage_info('runs')"
        ).fetchall()
    assert groups == 0
    assert whole(filled) == expected(filled)


def test_of_a_store_too_large_for_memory_the_newest_runs_are_known(
    filled: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "MEMORY_LIMIT", "2MB")
    again = TrajectoryStore(filled.path)

    with again.roster() as roll:
        assert roll.seen is not None
        assert roll.seen.runs < roll.seen.of == 2 * DAYS


def test_a_store_whose_runs_are_all_gone_is_empty(filled: TrajectoryStore) -> None:
    filled.retain(keep=0)

    assert whole(filled) == expected(filled) == []
