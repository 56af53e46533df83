"""What clients of Jaeger's API send is understood, whichever of its habits they have."""

from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from otel_traj.errors import InputError
from otel_traj.server.jaeger import asked
from otel_traj.server.jaeger.asked import TraceQuery

DAY = {
    "query.startTimeMin": "2026-11-21T00:00:00Z",
    "query.startTimeMax": "2026-11-22T00:00:00.000000001+00:00",
}
DAY_NS = (1_795_219_200 * 10**9, 1_795_305_600 * 10**9 + 1)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("15ns", 15),
        ("2us", 2_000),
        ("2µs", 2_000),
        ("2μs", 2_000),
        ("1.5ms", 1_500_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1m0.25s", 60_250_000_000),
    ],
)
def test_durations_are_written_as_go_does(text: str, ns: int) -> None:
    assert asked.duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "5", "s", "1 s", "1s ", "-1s", "1d", "1.2.3s", "1e3s"])
def test_what_go_does_not_take_for_a_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        asked.duration_ns(text)


@pytest.mark.parametrize(
    "number",
    [1_795_219_200, 1_795_219_200_000, 1_795_219_200_000_000, 1_795_219_200_000_000_000],
)
def test_the_unit_of_a_time_is_told_by_its_magnitude(number: int) -> None:
    assert asked.unix_ns(number) == 1_795_219_200 * 10**9


def test_a_legacy_question() -> None:
    params = QueryParams(
        "service=shop&operation=chat&start=1795219200000000&end=1795305600000&minDuration=1ms"
        '&maxDuration=2s&limit=7&tags={"a":"x","n":2}&tag=b:y:z'
    )

    assert asked.legacy_query(params) == TraceQuery(
        service="shop",
        operation="chat",
        tags={"b": "y:z", "a": "x", "n": "2"},
        start_min_ns=DAY_NS[0],
        start_max_ns=DAY_NS[1] - 1,
        duration_min_ns=1_000_000,
        duration_max_ns=2_000_000_000,
        limit=7,
    )


def test_a_question_of_the_newer_api_in_both_spellings() -> None:
    camel = {
        **DAY,
        "query.serviceName": "shop",
        "query.operationName": "chat",
        "query.durationMin": "1ms",
        "query.durationMax": "2s",
        "query.searchDepth": "7",
        "query.attributes": '{"a":"x"}',
    }
    snake = {
        "query.start_time_min": "2026-11-21T01:00:00+01:00",
        "query.start_time_max": DAY["query.startTimeMax"],
        "query.service_name": "shop",
        "query.operation_name": "chat",
        "query.duration_min": "1ms",
        "query.duration_max": "2s",
        "query.num_traces": "7",
        "query.attributes": '{"a":"x"}',
    }

    expected = TraceQuery(
        service="shop",
        operation="chat",
        tags={"a": "x"},
        start_min_ns=DAY_NS[0],
        start_max_ns=DAY_NS[1],
        duration_min_ns=1_000_000,
        duration_max_ns=2_000_000_000,
        limit=7,
    )
    assert asked.v3_query(QueryParams(camel)) == asked.v3_query(QueryParams(snake)) == expected


def test_what_is_not_asked_is_not_asked() -> None:
    assert asked.legacy_query(QueryParams("service=&operation=&limit=")) == TraceQuery()


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "many", "1e3"])
def test_a_number_of_traces_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(InputError):
        asked.legacy_query(QueryParams({"limit": limit}))


@pytest.mark.parametrize("tags", ["[", "[]", '"a"', "1"])
def test_tags_that_are_no_object_are_refused(tags: str) -> None:
    with pytest.raises(InputError, match="tags"):
        asked.legacy_query(QueryParams({"tags": tags}))


@pytest.mark.parametrize("time", ["", "now", "2026-11-21", "2026-13-01T00:00:00Z", "1795219200"])
def test_the_newer_api_needs_a_range_of_times(time: str) -> None:
    with pytest.raises(InputError):
        asked.v3_query(QueryParams({**DAY, "query.startTimeMin": time}))


@pytest.mark.parametrize(
    ("text", "expected"), [("ABC", "0" * 29 + "abc"), ("f" * 32, "f" * 32), ("0" * 31 + "1",) * 2]
)
def test_an_id_has_up_to_32_digits(text: str, expected: str) -> None:
    assert asked.trace_id(text) == expected


@pytest.mark.parametrize("text", ["", "xyz", "f" * 33, "0x1", "½"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        asked.trace_id(text)
