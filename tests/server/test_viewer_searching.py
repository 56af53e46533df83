"""Texts in messages are looked for a while; who asks again is answered from where that ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from otel_traj import semconv
from otel_traj.model import SpanRecord
from otel_traj.redaction import choose
from otel_traj.server.viewer import filters, listing, searching
from otel_traj.server.viewer.answers import TrajectoryPage
from otel_traj.server.viewer.reading import Reader
from otel_traj.store import TrajectoryStore
from tests.server.viewing import viewing
from tests.store.runs import root, tool

pytestmark = pytest.mark.slow

DAY_NS: Final = 86_400 * 10**9
DAYS: Final = 3


def saying(day: int, text: str) -> list[SpanRecord]:
    """A run of some day whose tool says something."""
    shift = day * DAY_NS
    spans = [tool(day, 1, **{semconv.TOOL_CALL_RESULT: text}), root(day)]
    return [replace(s, start_ns=s.start_ns + shift, end_ns=(s.end_ns or 0) + shift) for s in spans]


@pytest.fixture
def said(store: Path) -> TrajectoryStore:
    """On each of three days a run that says `tide`."""
    made = TrajectoryStore.create(store)
    for day in range(DAYS):
        made.append(saying(day, f"the tide of day {day}"))
    return made


def found(reader: Reader, q: str) -> TrajectoryPage:
    chosen = filters.read(q=q, facets={}, ranges={}, since=None, until=None)
    return listing.page(reader, chosen, listing.order("-start", None), 100)


def test_the_newest_day_is_answered_first_and_the_rest_as_it_is_asked_again(
    said: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SLICE_S", -1.0)
    reader = Reader(said, choose("off"))
    first = found(reader, "tide")
    monkeypatch.setattr(searching, "SLICE_S", 60.0)
    whole = found(reader, "tide")

    assert first["seen"] is not None
    assert (first["seen"]["runs"], first["seen"]["of"]) == (1, DAYS)
    assert [row["trajectory_id"] for row in first["rows"]] == [whole["rows"][0]["trajectory_id"]]
    assert (whole["total"], whole["seen"]) == (DAYS, None)


def test_who_asks_again_gets_on_however_little_time_there_is(
    said: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SLICE_S", -1.0)
    reader = Reader(said, choose("off"))

    totals = [found(reader, "tide")["total"] for _ in range(DAYS)]

    assert totals == [1, 2, 3]


def test_days_without_a_run_that_could_match_are_not_looked_through(
    said: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SLICE_S", -1.0)
    [oldest] = said.sql(
        "select trajectory_id from trajectories order by start_time limit 1"
    ).fetchall()

    page = found(Reader(said, choose("off")), f"tide id:{oldest[0]}")

    assert [row["trajectory_id"] for row in page["rows"]] == [oldest[0]]
    assert page["seen"] is None


def test_what_was_erased_or_redacted_is_found_no_more(said: TrajectoryStore) -> None:
    reader = Reader(said, choose("off"))
    erased = found(reader, "tide")["rows"][0]["trajectory_id"]
    said.delete([erased])
    after_erasure = found(reader, "tide")
    said.redact("tide of day 1")

    assert after_erasure["total"] == 2
    assert erased not in {row["trajectory_id"] for row in after_erasure["rows"]}
    assert found(reader, "tide")["total"] == 1
    assert found(reader, "-tide")["total"] == 1


def test_an_answer_of_a_part_is_never_answered_with_not_modified(
    said: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "SLICE_S", -1.0)
    with viewing(said.path) as viewer:
        part = viewer.ask("trajectories", q="tide")
        whole = [viewer.ask("trajectories", q="tide") for _ in range(DAYS)][-1]

    assert "etag" not in part.headers
    assert "etag" in whole.headers
