import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_traj import semconv
from otel_traj.model import LogRecord, SpanEvent, SpanLink, SpanRecord
from otel_traj.store import rows
from tests.store.strategies import anything, same, texts

int_edges = st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -1, -(2**63)])
raw_keys = st.sampled_from(sorted(rows.ATTRIBUTE_OF.values()))
odd_keys = st.sampled_from([semconv.STRUCTURED, rows.VERBATIM, "$f", ""])
attributes = st.dictionaries(raw_keys | odd_keys | texts, anything | texts, max_size=4)
optional_texts = st.none() | texts
events = st.builds(SpanEvent, time_ns=int_edges, name=texts, attributes=attributes)
links = st.builds(SpanLink, trace_id=texts, span_id=texts, attributes=attributes)
spans = st.builds(
    SpanRecord,
    trace_id=texts,
    span_id=texts,
    parent_span_id=optional_texts,
    name=texts,
    start_ns=int_edges,
    end_ns=int_edges,
    status_message=optional_texts,
    attributes=attributes,
    events=st.lists(events, max_size=2).map(tuple),
    links=st.lists(links, max_size=2).map(tuple),
    resource=attributes,
    scope_name=optional_texts,
    scope_version=optional_texts,
    scope_attributes=attributes,
    schema_url=optional_texts,
    trace_state=optional_texts,
    flags=st.none() | int_edges,
    dropped_attributes=int_edges,
    dropped_events=int_edges,
    dropped_links=int_edges,
    start_seq=st.none() | int_edges,
)
logs = st.builds(
    LogRecord,
    trace_id=optional_texts,
    span_id=optional_texts,
    time_ns=st.none() | int_edges,
    observed_ns=st.none() | int_edges,
    event_name=optional_texts,
    severity=optional_texts,
    body=anything,
    attributes=attributes,
    scope_name=optional_texts,
    resource=attributes,
)


def told(record: Any) -> Any:
    """A record as plain maps and lists, keys of attributes in order, for `same`."""
    if isinstance(record, dict):
        return {key: told(record[key]) for key in sorted(record, key=repr)}
    if isinstance(record, list | tuple):
        return [told(part) for part in record]
    if isinstance(record, SpanRecord | LogRecord | SpanEvent | SpanLink):
        return {name: told(getattr(record, name)) for name in record.__dataclass_fields__}
    return record


@given(st.lists(spans, max_size=3))
def test_every_span_comes_back_as_it_was_given(given: list[SpanRecord]) -> None:
    table = rows.spans_table(given)

    assert same(told(rows.span_records(table)), told(given))


@given(st.lists(logs, max_size=3))
def test_every_log_comes_back_as_it_was_given(given: list[LogRecord]) -> None:
    table = rows.logs_table(given)

    assert same(told(rows.log_records(table)), told(given))


def span(**attributes: Any) -> SpanRecord:
    return SpanRecord("a" * 32, "b" * 16, None, "chat", 1, 2, attributes=attributes)


def row(**attributes: Any) -> dict[str, Any]:
    table: pa.Table = rows.spans_table([span(**attributes)])
    return {k: v for k, v in table.to_pylist()[0].items() if v is not None}


def test_a_value_of_the_expected_type_is_moved_to_its_column() -> None:
    given = {semconv.REQUEST_MODEL: "m", semconv.INPUT_TOKENS: 7, "other": 1}

    cells = row(**given)

    assert (cells["model"], cells["input_tokens"], cells["attributes"]) == ("m", 7, '{"other":1}')


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        (semconv.REQUEST_MODEL, 7, "7"),
        (semconv.INPUT_TOKENS, "7", '"7"'),
        (semconv.INPUT_TOKENS, True, "true"),
        (semconv.INPUT_TOKENS, 2**63, "9223372036854775808"),
        (semconv.REQUEST_TEMPERATURE, 1, "1"),
        (semconv.FINISH_REASONS, "stop", '"stop"'),
        (semconv.INPUT_MESSAGES, 7, "7"),
    ],
)
def test_a_value_of_another_type_stays_in_attributes(key: str, value: Any, text: str) -> None:
    cells = row(**{key: value})

    assert cells["attributes"] == f'{{"{key}":{text}}}'
    assert not cells.keys() & rows.ATTRIBUTE_OF.keys()


def test_an_empty_text_is_not_null() -> None:
    assert row(**{semconv.REQUEST_MODEL: ""})["model"] == ""


def test_a_structured_value_is_listed_as_such() -> None:
    messages = [{"role": "user", "parts": [{"type": "text", "content": "hé"}]}]

    cells = row(**{semconv.INPUT_MESSAGES: messages})

    assert cells["input_messages"] == '[{"role":"user","parts":[{"type":"text","content":"hé"}]}]'
    assert cells["attributes"] == f'{{"traj.structured":["{semconv.INPUT_MESSAGES}"]}}'


def test_ten_megabytes_in_one_attribute_are_kept_whole() -> None:
    given = span(**{semconv.INPUT_MESSAGES: "ä" * 10_000_000, "other": "x" * 10_000_000})

    back = rows.span_records(rows.spans_table([given]))

    assert back == [given]


def test_nan_and_infinities_fit_number_columns() -> None:
    cells = row(**{semconv.REQUEST_TEMPERATURE: math.inf, semconv.REQUEST_TOP_P: math.nan})

    assert cells["temperature"] == math.inf
    assert math.isnan(cells["top_p"])


def test_equal_logs_have_one_digest_whenever_observed_and_wherever_from() -> None:
    first = LogRecord("t", "s", 1, 2, "e", None, {"a": 1}, {"k": 1}, "scope", {"service.name": "x"})
    again = LogRecord("t", "s", 1, 9, "e", None, {"a": 1}, {"k": 1}, "scope", {})
    other = LogRecord("t", "s", 1, 2, "e", None, {"a": 2}, {"k": 1}, "scope", {})

    digests = [rows.log_digest(r) for r in rows.logs_table([first, again, other]).to_pylist()]

    assert digests[0] == digests[1] != digests[2]
