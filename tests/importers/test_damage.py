"""Whatever stands where a foreign format has something else: it is named, never raised."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.errors import InputError
from otel_traj.importers import Flaw, json_file
from otel_traj.model import SpanRecord

ID, TIME = "4bf92f3577b34da6", "2025-06-15T15:06:40.250Z"
TAG = {"key": "count", "type": "int64", "value": "1"}
DOCUMENTS: tuple[dict[str, Any], ...] = (
    {"batches": [{"scopeSpans": [{"spans": [{"traceId": ID * 2, "spanId": ID}]}]}]},
    {
        "data": [
            {
                "spans": [
                    {
                        "traceID": ID,
                        "spanID": ID,
                        "startTime": 1,
                        "duration": 2,
                        "processID": "p1",
                        "tags": [TAG],
                        "logs": [{"timestamp": 1, "fields": [TAG]}],
                        "references": [{"refType": "CHILD_OF", "traceID": ID, "spanID": ID}],
                    }
                ],
                "processes": {"p1": {"serviceName": "helper", "tags": [TAG]}},
            }
        ]
    },
    {
        "trace": {"id": ID, "sessionId": "s1", "scores": [{"name": "good", "timestamp": TIME}]},
        "observations": [
            {
                "id": ID,
                "type": "GENERATION",
                "startTime": TIME,
                "completionStartTime": TIME,
                "input": [{"role": "user"}],
                "modelParameters": {"seed": 1},
                "usageDetails": {"input": 1},
                "metadata": {"attributes": {"k": 1}, "scope": {"name": "s"}},
            }
        ],
    },
    {
        "spanContext": {"traceId": ID, "spanId": ID},
        "kind": 1,
        "startTime": [1, 2],
        "status": {"code": 1},
        "events": [{"time": [1, 2]}],
        "links": [{"context": {}}],
        "resource": {"attributes": {"k": 1}},
    },
    {
        "context": {"trace_id": ID, "span_id": ID},
        "start_time": TIME,
        "status": {"status_code": "OK"},
        "events": [{"timestamp": TIME}],
        "links": [{"context": {}}],
        "resource": {"attributes": {"k": 1}},
    },
)

STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 10**40, 1.5, "", "x", "\ud800", [], [None], [[]], {}, {"k": None}, [{"k": 1}]]
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in [*items]:
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def read(content: str) -> Iterator[Any]:
    """Records, flaws and errors, as a file of this content gives them."""
    for part in json_file.parts(io.BytesIO(content.encode())):
        if isinstance(part, Flaw):
            yield part
            continue
        try:
            yield from part.records
        except InputError as error:
            yield error


@given(st.data())
def test_a_value_of_another_kind_is_read_or_named(data: st.DataObject) -> None:
    document = json.loads(json.dumps(data.draw(st.sampled_from(DOCUMENTS))))
    container, key = data.draw(st.sampled_from([*places(document)]))
    container[key] = data.draw(STRANGE)

    for item in read(json.dumps(document)):
        if isinstance(item, SpanRecord):
            assert isinstance(item.name, str)
            assert all(isinstance(event.name, str) for event in item.events)
            assert isinstance(item.start_ns, int)
            assert -(2**63) <= item.start_ns < 2**63


def test_the_documents_are_whole() -> None:
    for document in DOCUMENTS:
        found = [*read(json.dumps(document))]

        assert found
        assert not any(isinstance(item, Flaw | InputError) for item in found)


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("name", ["chat"], "name is \"['chat']\""),
        ("scope", {"name": 7}, "scope_name is '7'"),
        ("status", {"message": [1]}, "status_message is '[1]'"),
        ("events", [{"timestamp": TIME, "name": {"a": 1}}], "name is \"{'a': 1}\""),
        ("end_time", "9999-01-01T00:00:00Z", "end_ns is '253370764800000000000'"),
    ],
)
def test_what_no_store_could_hold_is_damage(field: str, value: Any, what: str) -> None:
    (error,) = read(json.dumps({**DOCUMENTS[-1], field: value}))

    assert str(error) == f"Not valid SDK spans: ValueError: {what}"


def test_otlp_is_looked_at_in_the_same_way() -> None:
    span = {"traceId": ID * 2, "spanId": ID, "name": ["chat"]}
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}

    (error,) = read(json.dumps(request))

    assert str(error) == "Not valid OTLP JSON: ValueError: name is \"['chat']\""
