"""Jaeger's query API on our ports: what its UIs and Grafana ask for is answered as they read it.

That the answers are Jaeger's own is tested with a real one, in tests/jaeger.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest

from otel_traj import otlp
from otel_traj.model import SpanEvent, SpanRecord
from otel_traj.store import TrajectoryStore
from tests import corpus
from tests.server.serving import Answer, Serving, ask, serving, wait_for
from tests.store.runs import START_NS, run, span, trace_id

pytestmark = pytest.mark.slow

KEY: Final = "sk-ant-api03-" + "x" * 20
GENAI: Final = next(r for r in corpus.runs(corpus.SHIPPED) if "openinference" in r.name)
ODD: Final = dataclasses.replace(
    span(9, 0, None, "odd/op", key=KEY, large=2**53, nan=float("nan"), raw=b"\x00", long="ü" * 50),
    status="ERROR",
    resource={"service.name": "a/b"},
    events=(SpanEvent(START_NS, "", {}), SpanEvent(START_NS, "named", {"z": 1, "a": 2})),
)
NAMELESS: Final = dataclasses.replace(span(8, 0, None, "nameless"), resource={})
ORPHAN: Final = dataclasses.replace(
    span(9, 1, None, "late"), parent_span_id="f" * 16, resource={"service.name": "shop"}
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Two small runs, one of another dialect, and spans of no run; only what is shown is on."""
    store = tmp_path_factory.mktemp("served") / "traces"
    spans = [*run(1), *run(2), ODD, ORPHAN, NAMELESS, *corpus.records(GENAI)[0]]
    TrajectoryStore.create(store).append(spans)
    with serving(store, "--otlp-grpc", "off", "--otlp-http", "off", *HTTP) as running:
        yield running


HTTP: Final = ("--jaeger-http", "127.0.0.1:0")


def get(service: Serving, path: str, /, listener: str = "Jaeger", **parameters: Any) -> Any:
    """The JSON of an answer that is well."""
    answer = asked(service, path, listener, **parameters)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def asked(service: Serving, path: str, /, listener: str = "Jaeger", **parameters: Any) -> Answer:
    query = f"?{urlencode(parameters)}" if parameters else ""
    return ask(service.addresses[listener], "GET", path + query, b"")


def tags(of: dict[str, Any]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in of["tags"]}


# --- where it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["Jaeger", "HTTP"])
def test_it_is_there_on_its_own_port_and_on_that_of_the_viewer(
    service: Serving, listener: str
) -> None:
    expected = ["a/b", "missing-service-name", "orders-demo", "shop"]

    assert get(service, "/api/v3/services", listener) == {"services": expected}


def test_an_answer_is_never_compressed(service: Serving) -> None:
    for path in ("/api/services", f"/api/traces/{trace_id(1)}", "/api/traces?service=shop"):
        answer = ask(service.addresses["Jaeger"], "GET", path, b"", accept_encoding="gzip, deflate")

        assert "content-encoding" not in answer.headers
        json.loads(answer.body)


@pytest.mark.parametrize("listener", ["Jaeger", "HTTP"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:16686", "127.0.0.1.evil.example"])
def test_a_page_that_points_a_name_of_its_own_here_is_sent_away(
    service: Serving, listener: str, host: str
) -> None:
    answer = ask(service.addresses[listener], "GET", "/api/services", b"", host=host)

    assert answer.status == 421
    assert b"localhost" in answer.body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.2:1", "[::1]:16686"])
def test_names_of_this_machine_are_answered_to(service: Serving, host: str) -> None:
    answer = ask(service.addresses["Jaeger"], "GET", "/api/services", b"", host=host)

    assert answer.status == 200


def test_who_shows_no_token_sees_nothing(tmp_path: Path) -> None:
    store = tmp_path / "traces"
    TrajectoryStore.create(store).append(run(1))
    with serving(store, *HTTP, OTEL_TRAJ_TOKEN="abc") as service:
        for listener in ("HTTP", "Jaeger"):
            address = service.addresses[listener]
            for path in ("/api/services", "/api/v3/services", f"/api/traces/{trace_id(1)}"):
                without = ask(address, "GET", path, b"")
                wrong = ask(address, "GET", path, b"", authorization="Bearer abd")
                right = ask(address, "GET", path, b"", authorization="Bearer abc")

                assert (without.status, wrong.status, right.status) == (401, 401, 200)
                assert b"shop" not in without.body + wrong.body


def test_nothing_is_written_through_it(service: Serving) -> None:
    answer = ask(service.addresses["Jaeger"], "POST", "/api/traces", b"{}")

    assert answer.status == 405


def test_what_comes_is_shown_as_soon_as_it_is_sealed(tmp_path: Path) -> None:
    with serving(tmp_path / "traces", *HTTP) as service:
        assert get(service, "/api/services")["data"] == []

        service.post("/v1/traces", otlp.traces_to_protobuf(run(1)))

        wait_for(lambda: get(service, "/api/services")["data"] == ["shop"])
        wait_for(lambda: asked(service, f"/api/traces/{trace_id(1)}").status == 200)


# --- services and operations -------------------------------------------------------------------


def test_a_service_may_have_a_slash_in_its_name(service: Serving) -> None:
    answer = get(service, f"/api/services/{quote('a/b', safe='')}/operations")

    assert answer == {"data": ["odd/op"], "total": 1, "limit": 0, "offset": 0, "errors": None}


def test_agents_can_stand_for_services(service: Serving) -> None:
    agents = {"service_from": "agent"}

    assert get(service, "/api/services", **agents)["data"] == [
        "a/b",
        "clerk",
        "missing-service-name",
        "orders-demo",
        "shop",
    ]
    found = get(service, "/api/traces", service="clerk", **agents)["data"]
    assert {trace["traceID"] for trace in found} == {trace_id(1), trace_id(2)}
    processes = found[0]["processes"].values()
    assert {process["serviceName"] for process in processes} == {"clerk"}
    assert get(service, "/api/traces", service="clerk")["data"] == []


def test_that_agents_stand_for_services_can_be_set_for_all(tmp_path: Path) -> None:
    store = tmp_path / "traces"
    TrajectoryStore.create(store).append(run(1))

    with serving(store, *HTTP, "--service-from", "agent") as service:
        assert get(service, "/api/services")["data"] == ["clerk"]
        assert get(service, "/api/services", service_from="service")["data"] == ["shop"]


def test_what_else_may_not_stand_for_services(service: Serving) -> None:
    assert asked(service, "/api/services", service_from="host").status == 400


# --- a trace -----------------------------------------------------------------------------------


def test_values_are_such_that_javascript_reads_them(service: Serving) -> None:
    [trace] = get(service, f"/api/traces/{trace_id(9)}")["data"]

    [odd, _] = trace["spans"]
    shown = {tag["key"]: (tag["type"], tag["value"]) for tag in odd["tags"]}
    assert shown["large"] == ("int64", str(2**53))
    assert shown["nan"] == ("string", "nan")
    assert shown["raw"] == ("binary", "AA==")
    assert shown["error"] == ("bool", True)
    assert odd["logs"] == [
        {"timestamp": START_NS // 1000, "fields": []},
        {
            "timestamp": START_NS // 1000,
            "fields": [
                {"key": "event", "type": "string", "value": "named"},
                {"key": "a", "type": "int64", "value": 2},
                {"key": "z", "type": "int64", "value": 1},
            ],
        },
    ]
    assert {process["serviceName"] for process in trace["processes"].values()} == {"a/b", "shop"}


def test_what_was_recorded_with_a_secret_is_shown_without_it(service: Serving) -> None:
    for path in (f"/api/traces/{trace_id(9)}", f"/api/v3/traces/{trace_id(9)}"):
        body = asked(service, path).body.decode()

        assert '"key"' in body
        assert KEY not in body


def test_who_knows_a_secret_cannot_find_out_who_has_it(service: Serving) -> None:
    assert get(service, "/api/traces", service="a/b", tags=json.dumps({"key": KEY}))["data"] == []


def test_that_secrets_are_shown_takes_saying_so(tmp_path: Path) -> None:
    store = tmp_path / "traces"
    TrajectoryStore.create(store).append([ODD])

    with serving(store, *HTTP, "--redact", "off") as service:
        body = asked(service, f"/api/traces/{trace_id(9)}").body.decode()

    assert KEY in body


def test_long_values_are_cut_where_that_is_asked(service: Serving) -> None:
    for path in ("/api/traces/", "/api/v3/traces/"):
        body = asked(service, path + trace_id(9), max_value=10).body.decode()

        assert json.dumps("ü" * 10 + "… (40 more characters)") in body
    assert asked(service, f"/api/traces/{trace_id(9)}", max_value=0).status == 400


def test_another_dialect_is_shown_in_the_words_of_today(service: Serving) -> None:
    [genai_id] = {s.trace_id for s in corpus.records(GENAI)[0]}

    [trace] = get(service, f"/api/traces/{genai_id}")["data"]

    call = next(s for s in trace["spans"] if s["operationName"] == "ChatCompletion")
    shown = tags(call)
    assert shown["gen_ai.operation.name"] == "chat"
    assert json.loads(shown["gen_ai.input.messages"])[0]["parts"]
    assert not [key for key in shown if key.startswith("llm.")]


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_times_of_a_trace_may_come_in_any_unit(service: Serving, unit: int) -> None:
    start, end = START_NS // unit, (START_NS + 10**12) // unit

    trace = get(service, f"/api/traces/{trace_id(1)}", start=start, end=end)
    found = get(service, "/api/traces", service="shop", start=start, end=end)

    assert len(trace["data"]) == 1
    assert trace_id(1) in {t["traceID"] for t in found["data"]}


def test_several_traces_by_their_ids(service: Serving) -> None:
    path = f"/api/traces?traceID={trace_id(1)}&traceID={trace_id(77)}&traceID={trace_id(2)}"

    answer = json.loads(asked(service, path).body)

    assert [trace["traceID"] for trace in answer["data"]] == [trace_id(1), trace_id(2)]
    assert answer["errors"] == [{"code": 404, "msg": "trace not found", "traceID": trace_id(77)}]


# --- search ------------------------------------------------------------------------------------


def test_a_search_needs_no_service(service: Serving) -> None:
    found = [trace["traceID"] for trace in get(service, "/api/traces")["data"]]

    assert len(found) == 5
    assert found.index(trace_id(9)) < found.index(trace_id(2)) < found.index(trace_id(1))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("gen_ai.request.model", "gpt-4o-mini", ["orders-demo"]),  # of the step: another dialect
        ("gen_ai.request.model", "m-1", ["shop"]),
        ("gen_ai.agent.name", "clerk", ["shop"]),
        ("gen_ai.operation.name", "chat", ["orders-demo", "shop"]),
        ("gen_ai.tool.call.id", "c-1-2", ["shop"]),
        ("gen_ai.usage.input_tokens", "10", ["shop"]),
        ("gen_ai.usage.input_tokens", "ten", []),
        ("llm.model_name", "gpt-4o-mini", []),  # it is not shown
        ("service.name", "a/b", ["a/b"]),
        ("event", "named", ["a/b"]),
        ("long", "ü" * 50, ["a/b"]),
        ("long", "%", []),
        ("it's", "a 'quote'", []),
    ],
)
def test_a_tag_finds_what_is_shown(
    service: Serving, key: str, value: str, expected: list[str]
) -> None:
    found = get(service, "/api/traces", tags=json.dumps({key: value}))["data"]

    first = {next(iter(trace["processes"].values()))["serviceName"] for trace in found}
    assert sorted(first) == expected


def test_summaries_tell_of_traces_without_their_spans(service: Serving) -> None:
    asked_for: dict[str, Any] = {
        "query.serviceName": "shop",
        "query.startTimeMin": "2026-01-01T00:00:00.000Z",
        "query.startTimeMax": "2027-01-01T00:00:00.000Z",
        "query.searchDepth": 2,
    }

    summaries = get(service, "/api/v3/trace-summaries", **asked_for)["summaries"]

    start = START_NS + 9 * 10**9
    assert summaries[0] == {
        "traceId": trace_id(9),
        "rootServiceName": "a/b",
        "rootOperationName": "odd/op",
        "minStartTimeUnixNano": str(start),
        "maxEndTimeUnixNano": str(start + 2 * 10**6),
        "spanCount": 2,
        "errorSpanCount": 1,
        "orphanSpanCount": 1,
        "services": [
            {"name": "a/b", "spanCount": 1, "errorSpanCount": 1},
            {"name": "shop", "spanCount": 1, "errorSpanCount": 0},
        ],
    }
    assert [summary["traceId"] for summary in summaries] == [trace_id(9), trace_id(2)]


def test_many_traces_are_the_same_one_by_one(tmp_path: Path) -> None:
    store = tmp_path / "traces"
    spans: list[SpanRecord] = [record for number in range(1, 61) for record in run(number)]
    TrajectoryStore.create(store).append(spans)
    with serving(store, *HTTP) as service:
        found = get(service, "/api/traces", service="shop", limit=50)["data"]

        assert [trace["traceID"] for trace in found] == [trace_id(n) for n in range(60, 10, -1)]
        for trace in found[::10]:
            assert get(service, f"/api/traces/{trace['traceID']}")["data"] == [trace]
