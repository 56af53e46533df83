"""Agents of several kinds -> Collector -> receiver -> store; what dies in between loses nothing."""

from __future__ import annotations

import dataclasses

import pytest

from tests.collector import outage
from tests.collector.fleet import INSTRUMENT, NODE
from tests.collector.outage import Outage
from tests.collector.running import needs_collector

pytestmark = [
    pytest.mark.slow,
    needs_collector,
    pytest.mark.skipif(INSTRUMENT is None, reason="needs opentelemetry-instrumentation"),
]


@pytest.fixture(scope="module")
def lived_through(tmp_path_factory: pytest.TempPathFactory) -> Outage:
    return outage.live_through(tmp_path_factory.mktemp("outage"), runs=3, away_s=0)


def test_what_agents_of_every_kind_send_arrives_whole_whoever_dies_in_between(
    lived_through: Outage,
) -> None:
    assert lived_through.received == lived_through.recorded
    assert len(lived_through.received["trajectories"]) == lived_through.n_runs
    assert {run["status"] for run in lived_through.received["trajectories"]} == {"completed"}


def test_what_is_sent_twice_counts_once(lived_through: Outage) -> None:
    assert lived_through.n_duplicates >= lived_through.n_spans > 0
    assert lived_through.received_again == lived_through.received


@pytest.mark.skipif(NODE is None, reason="no SDK for Node: python tests/collector/build.py node")
def test_an_agent_in_javascript_is_one_of_them(lived_through: Outage) -> None:
    [run, *_] = [run for run in lived_through.received["trajectories"] if run["service"] == "node"]

    assert (run["agent_name"], run["tools"], run["models"]) == ("waiter", ["book"], ["m-3"])
    assert (run["user_input"], run["input_tokens"]) == ("A table for two, s'il vous plaît ☕", 9)


def test_three_agents_in_python_are(lived_through: Outage) -> None:
    tools = {run["service"]: run["tools"] for run in lived_through.received["trajectories"]}

    assert {name: tools[name] for name in ("verbs", "zero_code", "plain_sdk")} == {
        "verbs": ["lookup", "write"],
        "zero_code": ["look"],
        "plain_sdk": [],
    }


def test_the_bench_tells_what_was_lost(lived_through: Outage) -> None:
    bench = pytest.importorskip("bench.collector", reason="bench/ is in the checkout only")
    whole = lived_through.received
    without = dataclasses.replace(
        lived_through, received={**whole, "steps": whole["steps"][1:]}, received_again=whole
    )

    told = bench.report(lived_through)

    assert "\nlost 0 rows of " in told
    assert told.endswith("records: 0 rows changed")
    assert "\nlost 1 rows of " in bench.report(without)
    assert bench.report(without).endswith("records: 1 rows changed")
