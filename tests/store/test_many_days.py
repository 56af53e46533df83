"""Years of days: work on one day looks at the days around it, whatever else there is.

The proof: files of all other days are made unreadable, and nobody notices.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_traj.model import SpanRecord
from otel_traj.store import TrajectoryStore, compaction, days, snapshot
from tests.store.runs import START_NS, run, tool

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
