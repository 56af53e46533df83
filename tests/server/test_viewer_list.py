"""The list over HTTP: filters, order, pages, what there is to choose from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from otel_traj import semconv
from otel_traj.store import TrajectoryStore
from tests import corpus
from tests.server.episodes import delegating, episode
from tests.server.viewing import Viewing, viewing
from tests.store.runs import START_NS, run

pytestmark = pytest.mark.slow

N_PLAIN = 7


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewing]:
    """Seven small runs, a failed coder, a planner with a sub-agent, and five real runs."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("viewed") / "traces")
    records: list[Any] = [r for n in range(1, N_PLAIN + 1) for r in run(n)]
    real = corpus.together(corpus.runs(corpus.SHIPPED))
    store.append([*records, *episode(20), *delegating(21), *real])
    with viewing(store.path) as running:
        yield running


def agents(page: dict[str, Any]) -> set[str | None]:
    return {row["agent_name"] for row in page["rows"]}


def test_meta_tells_what_is_looked_at(viewer: Viewing) -> None:
    told = viewer.get("meta")

    assert told["store"] == "traces"
    assert told["n_trajectories"] == N_PLAIN + 7
    assert told["fields"]["dur"] == "seconds"
    assert told["earliest"] < told["latest"]


def test_the_list_has_the_newest_run_first_and_says_how_many_there_are(viewer: Viewing) -> None:
    page = viewer.get("trajectories")

    starts = [row["start_time"] for row in page["rows"]]
    assert starts == sorted(starts, reverse=True)
    assert page["total"] == len(starts) == N_PLAIN + 7
    assert page["next"] is None


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("agent:coder", {"coder"}),
        ("agent:CO*", {"coder"}),
        ("agent:researcher", {"planner"}),
        ("tool:edit", {"coder"}),
        ("tool:sea* -tool:edit", {"planner"}),
        ("outcome:failure", {"coder"}),
        ("error:ToolError", {"coder"}),
        ("error:*Tool*", {"coder"}),
        ("cost>0.2", {"coder"}),
        ("cost:0.25", {"coder"}),
        ("cost>0.25", set()),
        ("errors>0 agent:coder", {"coder"}),
        ('"FAILING test"', {"coder"}),
        ("tide", {"planner"}),
        ("tide -search agent:planner", {"planner"}),
        ("-agent:* -model:gpt*", set()),
        ("agent:100%", set()),
        ("agent:cod_r", set()),
    ],
)
def test_the_query_chooses(viewer: Viewing, q: str, expected: set[str | None]) -> None:
    assert agents(viewer.get("trajectories", q=q)) == expected


def test_what_is_negated_also_holds_where_nothing_is_known(viewer: Viewing) -> None:
    unpriced = viewer.get("trajectories", q="-cost>0")["total"]
    priced = viewer.get("trajectories", q="cost>0")["total"]

    assert priced > 0
    assert unpriced + priced == N_PLAIN + 7


def test_values_of_a_facet_are_alternatives_and_facets_hold_together(viewer: Viewing) -> None:
    either = viewer.get("trajectories", agent=["coder", "planner"])
    both = viewer.get("trajectories", agent=["coder", "planner"], tool="edit")
    nobody = viewer.get("trajectories", agent="")

    assert agents(either) == {"coder", "planner"}
    assert agents(both) == {"coder"}
    assert agents(nobody) == {None}


def test_times_bound_the_start_the_second_one_excluded(viewer: Viewing) -> None:
    everything = viewer.get("trajectories", sort="start")["rows"]
    first, second = everything[0]["start_time"], everything[1]["start_time"]

    only_first = viewer.get("trajectories", since=first, until=second)["rows"]

    assert [row["start_time"] for row in only_first] == [first]


SORTS = [
    "start",
    "-start",
    "dur",
    "-cost",
    "-tokens",
    "agent",
    "-agent",
    "outcome",
    "-reward",
    "task",
]


@pytest.mark.parametrize("sort", SORTS)
def test_pages_follow_each_other_without_gap_or_repetition(viewer: Viewing, sort: str) -> None:
    whole = [r["trajectory_id"] for r in viewer.get("trajectories", sort=sort)["rows"]]
    paged: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = viewer.get(
            "trajectories", sort=sort, limit=3, **{"cursor": cursor} if cursor else {}
        )
        paged += [row["trajectory_id"] for row in page["rows"]]
        cursor = page["next"]

    assert len(set(whole)) == N_PLAIN + 7
    assert paged == whole


def test_unknown_values_come_last_in_both_directions(viewer: Viewing) -> None:
    for sort in ("cost", "-cost"):
        costs = [row["cost_usd"] for row in viewer.get("trajectories", sort=sort)["rows"]]
        known = [cost for cost in costs if cost is not None]
        assert costs[: len(known)] == sorted(known, reverse=sort.startswith("-"))
        assert len(known) < len(costs)


def test_facets_count_what_matches_and_what_else_could_be_chosen(viewer: Viewing) -> None:
    told = viewer.get("facets", fields="agent,tool,outcome", tool="edit")

    tools = {each["value"]: each["count"] for each in told["facets"]["tool"]["values"]}
    assert told["total"] == 1
    assert told["facets"]["agent"] == {"values": [{"value": "coder", "count": 1}], "n_values": 1}
    assert tools["lookup"] == N_PLAIN
    assert tools["edit"] == 1


def test_every_run_is_in_one_bar_of_a_histogram(viewer: Viewing) -> None:
    told = viewer.get("facets", fields="start,dur,cost")["histograms"]
    rows = viewer.get("trajectories")["rows"]

    for name, values in (
        ("dur", [row["duration_s"] for row in rows]),
        ("cost", [row["cost_usd"] for row in rows if row["cost_usd"] is not None]),
    ):
        edges, counts = told[name]["edges"], told[name]["counts"]
        assert counts == [
            sum(low <= value < high for value in values) for low, high in pairwise(edges)
        ]
        assert sum(counts) == len(values)
    assert sum(told["start"]["counts"]) == len(rows)
    assert sum(told["start"]["failed"]) == 1


def test_a_run_without_times_is_in_no_bar_of_time(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    early = [dataclasses.replace(s, start_ns=s.start_ns - START_NS) for s in run(1)]
    store.append([*(dataclasses.replace(s, end_ns=s.start_ns) for s in early), *run(2)])

    with viewing(store.path) as running:
        told = running.get("facets", fields="start")

    histogram = told["histograms"]["start"]
    assert told["total"] == 2
    assert sum(histogram["counts"]) == 1
    assert min(histogram["edges"]) > START_NS / 1e3 - 1e9


def test_no_run_matches_is_an_answer_too(viewer: Viewing) -> None:
    page = viewer.get("trajectories", q="agent:nobody")
    told = viewer.get("facets", fields="agent,start,dur,cost", q="agent:nobody tool:x")

    assert (page["rows"], page["next"], page["total"]) == ([], None, 0)
    assert told["facets"]["agent"] == {"values": [], "n_values": 0}
    assert told["histograms"]["start"] == {"edges": [], "counts": [], "failed": []}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"q": "colour:red"}, "no field 'colour'"),
        ({"sort": "colour"}, "Cannot sort by 'colour'"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"cursor": "zzz"}, "cursor"),
        ({"cursor": "WyJ4Il0="}, "cursor"),
        ({"since": "yesterday"}, "'since' is no time"),
        ({"dur": "long"}, "no time span"),
        ({"cost": "..."}, "no number"),
    ],
)
def test_what_cannot_be_asked_is_a_problem_with_a_reason(
    viewer: Viewing, asked: dict[str, Any], says: str
) -> None:
    told = viewer.refused("trajectories", **asked)

    assert told["status"] == 400
    assert says in told["detail"]


def test_a_cursor_of_another_order_is_refused(viewer: Viewing) -> None:
    cursor = viewer.get("trajectories", sort="-cost", limit=1)["next"]

    assert viewer.refused("trajectories", sort="cost", cursor=cursor)["status"] == 400


def test_a_query_that_is_wrong_says_where(viewer: Viewing) -> None:
    assert viewer.refused("trajectories", q="ok colour:red")["at"] == 3


def test_an_answer_is_sent_again_only_when_something_was_recorded(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    store.append(run(1))
    with viewing(store.path) as viewer:
        tag = viewer.ask("trajectories").headers["etag"]

        same = viewer.ask("trajectories", headers={"if_none_match": tag})
        store.append(run(2, **{semconv.AGENT_NAME: "new"}))
        other = viewer.ask("trajectories", headers={"if_none_match": tag})

    assert (same.status, same.body) == (304, b"")
    assert other.status == 200
    assert b'"new"' in other.body


def test_an_empty_store_is_shown_as_empty(tmp_path: Path) -> None:
    store = TrajectoryStore.create(tmp_path / "traces")
    with viewing(store.path) as viewer:
        told = viewer.get("meta")
        page = viewer.get("trajectories")

    assert (told["n_trajectories"], told["earliest"]) == (0, None)
    assert page["rows"] == []
