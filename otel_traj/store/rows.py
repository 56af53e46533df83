"""Records to rows and back: what a table holds of a record, and the record from its row.

The rule for the raw columns of `spans`: a column named after an attribute holds its verbatim value
if that has the expected type; the value is then *moved*, the attribute is no longer in
`attributes`. Any other key, and any value of another type, stays in `attributes`. A structured
value (a list or map, where the column holds JSON text) is written as JSON, and its key is listed
under `traj.structured`.

What a column cannot hold at all (text that is no Unicode, integers beyond 64 bits) is there in
readable form, and exact under the attribute `traj.verbatim`. So every record comes back as it was
given, tuples as lists; `tests/store/test_rows.py` proves it by property.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast

import pyarrow as pa

from otel_traj import semconv
from otel_traj.model import (
    Annotation,
    FileChange,
    LogRecord,
    MergedSpan,
    Repair,
    SpanEvent,
    SpanLink,
    SpanRecord,
    Step,
    Trajectory,
    TrajectorySpan,
)
from otel_traj.store import values
from otel_traj.store.schema import TABLES, Column

VERBATIM: Final = "traj.verbatim"
"""Attribute with the exact values of columns, and of attributes of ours, that could not be kept."""

_TEXT_ATTRIBUTES: Final = {
    "op": semconv.OPERATION,
    "agent_name": semconv.AGENT_NAME,
    "agent_id": semconv.AGENT_ID,
    "conversation_id": semconv.CONVERSATION_ID,
    "provider": semconv.PROVIDER,
    "model": semconv.REQUEST_MODEL,
    "response_model": semconv.RESPONSE_MODEL,
    "response_id": semconv.RESPONSE_ID,
    "tool_name": semconv.TOOL_NAME,
    "tool_call_id": semconv.TOOL_CALL_ID,
    "tool_type": semconv.TOOL_TYPE,
    "error_type": semconv.ERROR_TYPE,
}
_TOKEN_ATTRIBUTES: Final = {
    "input_tokens": semconv.INPUT_TOKENS,
    "output_tokens": semconv.OUTPUT_TOKENS,
    "cache_read_tokens": semconv.CACHE_READ_TOKENS,
    "cache_write_tokens": semconv.CACHE_WRITE_TOKENS,
    "reasoning_tokens": semconv.REASONING_TOKENS,
}
_NUMBER_ATTRIBUTES: Final = {
    "temperature": semconv.REQUEST_TEMPERATURE,
    "top_p": semconv.REQUEST_TOP_P,
}
_JSON_ATTRIBUTES: Final = {
    "system_instructions": semconv.SYSTEM_INSTRUCTIONS,
    "tool_definitions": semconv.TOOL_DEFINITIONS,
    "tool_arguments": semconv.TOOL_CALL_ARGUMENTS,
    "tool_result": semconv.TOOL_CALL_RESULT,
    "input_messages": semconv.INPUT_MESSAGES,
    "output_messages": semconv.OUTPUT_MESSAGES,
}

ATTRIBUTE_OF: Final[Mapping[str, str]] = {
    **_TEXT_ATTRIBUTES,
    **_TOKEN_ATTRIBUTES,
    **_NUMBER_ATTRIBUTES,
    "finish_reasons": semconv.FINISH_REASONS,
    **_JSON_ATTRIBUTES,
}
"""Raw column of `spans` -> the one attribute whose value it holds."""


def _is_text(value: Any) -> bool:
    return type(value) is str and values.is_unicode(value)


def _is_long(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return type(value) is float


def _is_texts(value: Any) -> bool:
    return type(value) in (list, tuple) and all(map(_is_text, value))


_FITS: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    **{key: (column, _is_text) for column, key in _TEXT_ATTRIBUTES.items()},
    **{key: (column, _is_text) for column, key in _JSON_ATTRIBUTES.items()},
    **{key: (column, _is_long) for column, key in _TOKEN_ATTRIBUTES.items()},
    **{key: (column, _is_number) for column, key in _NUMBER_ATTRIBUTES.items()},
    semconv.FINISH_REASONS: ("finish_reasons", _is_texts),
}
_HAS_NO_COLUMN: Final[tuple[str, Callable[[Any], bool]]] = ("", lambda _: False)
_MAY_BE_STRUCTURED: Final = frozenset(_JSON_ATTRIBUTES.values())
_OURS: Final = (semconv.STRUCTURED, VERBATIM)

_PLAIN_SPAN_FIELDS: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "trace_state",
    "flags",
    "name",
    "kind",
    "status",
    "status_message",
    "start_ns",
    "end_ns",
    "scope_name",
    "scope_version",
    "schema_url",
    "start_seq",
    "dropped_attributes",
    "dropped_events",
    "dropped_links",
)
_PLAIN_LOG_FIELDS: Final = (
    "trace_id",
    "span_id",
    "time_ns",
    "observed_ns",
    "event_name",
    "severity",
    "scope_name",
)


# --- records to rows ---------------------------------------------------------------------------


def spans_table(
    spans: Sequence[SpanRecord], *, ingest_seq: int = 0, ingest_time: datetime | None = None
) -> pa.Table:
    """Rows of `spans` for ended spans, in the order given."""
    if not spans:
        return table("spans", ())
    encode = _cached_dumps()
    columns, exact = _plain_columns("spans", spans)
    columns["start_time"] = [ns // 1000 for ns in columns["start_ns"]]
    columns["end_time"] = [None if ns is None else ns // 1000 for ns in columns["end_ns"]]
    services = (span.resource.get(semconv.SERVICE_NAME) for span in spans)
    columns["service"] = [service if _is_text(service) else None for service in services]
    columns["scope_attributes"] = [encode(span.scope_attributes) for span in spans]
    columns["resource"] = [encode(span.resource) for span in spans]
    columns |= _parts_columns(spans, exact)
    columns |= _attribute_columns(spans, exact)
    columns["ingest_seq"] = [ingest_seq] * len(spans)
    columns["ingest_time"] = [None if ingest_time is None else to_us(ingest_time)] * len(spans)
    return _of_columns("spans", columns)


def logs_table(logs: Sequence[LogRecord]) -> pa.Table:
    """Rows of `logs`, in the order given."""
    if not logs:
        return table("logs", ())
    encode = _cached_dumps()
    columns, exact = _plain_columns("logs", logs)
    columns["body"] = [None if log.body is None else values.dumps(log.body) for log in logs]
    columns["attributes"] = [
        values.dumps(_log_attributes(log.attributes, exact.get(row, {})))
        for row, log in enumerate(logs)
    ]
    columns["resource"] = [encode(log.resource) for log in logs]
    return _of_columns("logs", columns)


def annotations_table(annotations: Sequence[Annotation]) -> pa.Table:
    """Rows of `annotations`; text that is no Unicode is made readable."""
    return _table_of("annotations", annotations)


def derived_table(
    name: str,
    members: Sequence[Trajectory | Step | TrajectorySpan | FileChange],
    *,
    rev: int | None = None,
) -> pa.Table:
    """Rows of a derived table; text that is no Unicode is made readable.

    Args:
        name: The table.
        members: Its rows.
        rev: Revision of all of them, instead of their own.
    """
    return _table_of(name, members, rev=rev)


def _table_of(name: str, members: Sequence[Any], *, rev: int | None = None) -> pa.Table:
    columns = TABLES[name].columns
    names = [column.name for column in columns]
    cells: Iterable[tuple[Any, ...]] = zip(*map(operator.attrgetter(*names), members), strict=True)
    arrays = [
        _array(
            column, [rev] * len(members) if column.name == "rev" and rev else _plain(column, own)
        )
        for column, own in zip(columns, cells if members else [()] * len(names), strict=True)
    ]
    return pa.Table.from_arrays(arrays, names=names)


def _plain(column: Column, cells: Iterable[Any]) -> list[Any]:
    """Cells as Arrow takes them: rows within a row as maps."""
    if "STRUCT" not in column.duckdb_type:
        return list(cells)
    return [[_fields(part) for part in cell] for cell in cells]


def _fields(part: Any) -> dict[str, Any]:
    return {name: getattr(part, name) for name in part.__dataclass_fields__}


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as mappings from column to value -> Arrow. A column that no row has is NULL."""
    return _of_columns(
        name, {c.name: [row.get(c.name) for row in rows] for c in TABLES[name].columns}
    )


def _of_columns(name: str, cells: Mapping[str, Sequence[Any]]) -> pa.Table:
    columns = TABLES[name].columns
    arrays = [_array(column, cells[column.name]) for column in columns]
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def _array(column: Column, cells: Sequence[Any]) -> pa.Array:
    if not any(cells) and all(cell is None for cell in cells):  # as most columns of most rows
        return pa.nulls(len(cells), column.arrow_type)
    try:
        return pa.array(cells, type=column.arrow_type)
    except (UnicodeEncodeError, OverflowError, pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        return pa.array([_storable(cell) for cell in cells], type=column.arrow_type)


def _storable(cell: Any) -> Any:
    """The nearest that a column can hold: readable text, integers and times within 64 bits."""
    if isinstance(cell, str):
        return cell if values.is_unicode(cell) else values.readable(cell)
    if isinstance(cell, int):
        return min(max(cell, -(2**63)), 2**63 - 1)
    if isinstance(cell, Mapping):
        return {key: _storable(item) for key, item in cell.items()}
    if isinstance(cell, list | tuple):
        return [_storable(item) for item in cell]
    return cell


def to_us(moment: datetime) -> int:
    """Microseconds since 1970; a time without a zone counts as UTC."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _cached_dumps() -> Callable[[Mapping[str, Any]], str]:
    """`dumps` for maps that many records share as one object: resources and scopes."""
    texts: dict[int, tuple[Mapping[str, Any], str]] = {}

    def encode(value: Mapping[str, Any]) -> str:
        # The map is kept beside its text, so that its `id` stays its own.
        known = texts.get(id(value))
        if known is None:
            known = texts[id(value)] = (value, values.dumps(value))
        return known[1]

    return encode


_Exact: TypeAlias = "dict[int, dict[str, Any]]"
"""Row -> column -> the value that the column could not hold."""


def _plain_columns(
    table_name: str, records: Sequence[SpanRecord] | Sequence[LogRecord]
) -> tuple[dict[str, Sequence[Any]], _Exact]:
    """The fields that have a column of their own, each brought into what its column can hold."""
    limits = _limits(table_name)
    cells = zip(*map(operator.attrgetter(*limits), records), strict=True) if records else ()
    columns: dict[str, Sequence[Any]] = dict(zip(limits, cells, strict=False))
    exact: _Exact = {}
    for name, given in columns.items():
        low, high = limits[name]
        if _all_fit(given, low, high):
            continue
        columns[name] = kept = [_fitting(cell, low, high) for cell in given]
        for row, (was, now) in enumerate(zip(given, kept, strict=True)):
            if was is not now:
                exact.setdefault(row, {})[name] = was
    return columns, exact


def _all_fit(cells: Iterable[Any], low: int, high: int) -> bool:
    """Whether a column can hold all of its cells; mostly few are distinct."""
    try:
        return all(_fitting(cell, low, high) is cell for cell in set(cells))
    except TypeError:  # one is no plain value
        return False


def _fitting(cell: Any, low: int, high: int) -> Any:
    """The cell itself if a column can hold it, else the nearest that it can hold."""
    if type(cell) is str:
        return cell if values.is_unicode(cell) else values.readable(cell)
    if type(cell) is int and not low <= cell <= high:
        return min(max(cell, low), high)
    return cell


def _parts_columns(spans: Sequence[SpanRecord], exact: _Exact) -> dict[str, list[Any]]:
    """The columns that hold lists: events and links."""
    columns: dict[str, list[Any]] = {
        "events": [[_event_cell(event) for event in span.events] for span in spans],
        "links": [[_link_cell(link) for link in span.links] for span in spans],
    }
    for name, cells in columns.items():
        for row, parts in enumerate(cells):
            for position, part in enumerate(parts):
                lost = _make_storable_part(part)
                if lost:
                    exact.setdefault(row, {}).setdefault(name, {})[str(position)] = lost
    return columns


def _event_cell(event: SpanEvent) -> dict[str, Any]:
    return {
        "time_ns": event.time_ns,
        "name": event.name,
        "attributes": values.dumps(event.attributes),
    }


def _link_cell(link: SpanLink) -> dict[str, Any]:
    return {
        "trace_id": link.trace_id,
        "span_id": link.span_id,
        "attributes": values.dumps(link.attributes),
    }


def _attribute_columns(spans: Sequence[SpanRecord], exact: _Exact) -> dict[str, list[Any]]:
    """The columns of attributes: what has one of its own is moved there, the rest is JSON."""
    columns: dict[str, list[Any]] = {name: [None] * len(spans) for name in ATTRIBUTE_OF}
    columns["attributes"] = [
        values.dumps(_split_attributes(span.attributes, row, columns, exact.get(row, {})))
        for row, span in enumerate(spans)
    ]
    return columns


def _split_attributes(
    attributes: Mapping[str, Any],
    row: int,
    columns: Mapping[str, list[Any]],
    verbatim: dict[str, Any],
) -> dict[str, Any]:
    """Move what has a column there; what stays, with our two keys where they are needed."""
    rest: dict[str, Any] = {}
    structured: list[str] = []
    for key, value in attributes.items():
        column, fits = _FITS.get(key, _HAS_NO_COLUMN)
        if fits(value):
            columns[column][row] = value
        elif key in _OURS:
            verbatim[key] = value
        elif key in _MAY_BE_STRUCTURED and isinstance(value, list | tuple | Mapping):
            columns[column][row] = values.dumps(value)
            structured.append(key)
        else:
            rest[key] = value
    if structured:
        rest[semconv.STRUCTURED] = structured
    if verbatim:
        rest[VERBATIM] = verbatim
    return rest


def _log_attributes(given: Mapping[str, Any], verbatim: dict[str, Any]) -> dict[str, Any]:
    attributes = dict(given)
    if VERBATIM in attributes:
        verbatim[VERBATIM] = attributes.pop(VERBATIM)
    if verbatim:
        attributes[VERBATIM] = verbatim
    return attributes


def _make_storable_part(cell: dict[str, Any]) -> dict[str, Any]:
    """The same for an event or a link; its attributes are JSON already and always fit."""
    exact: dict[str, Any] = {}
    for name, value in cell.items():
        fitting = _storable(value)
        if fitting != value:
            exact[name], cell[name] = value, fitting
    return exact


@functools.cache
def _limits(table_name: str) -> dict[str, tuple[int, int]]:
    """Plain column -> smallest and largest integer it holds (of no meaning for text)."""
    plain = _PLAIN_SPAN_FIELDS if table_name == "spans" else _PLAIN_LOG_FIELDS
    bits = {
        column.name: 31 if column.duckdb_type == "INTEGER" else 63
        for column in TABLES[table_name].columns
    }
    return {name: (-(2 ** bits[name]), 2 ** bits[name] - 1) for name in plain}


# --- rows to records ---------------------------------------------------------------------------


def span_records(rows: pa.Table) -> list[SpanRecord]:
    """The spans that `spans_table` wrote."""
    return SpanReader().records(rows)


class SpanReader:
    """Spans from rows that come in parts; equal resources and contents come back as one object."""

    def __init__(self) -> None:
        """Begin with nothing to share."""
        self._decode = functools.cache(values.loads)
        self._texts: dict[str, str] = {}

    def records(self, rows: pa.Table | pa.RecordBatch) -> list[SpanRecord]:
        """The spans that `spans_table` wrote."""
        return [_span_record(self._shared(row), self._decode) for row in rows.to_pylist()]

    def _shared(self, row: dict[str, Any]) -> dict[str, Any]:
        for column in _JSON_ATTRIBUTES:
            text = row[column]
            if text is not None:
                row[column] = self._texts.setdefault(text, text)
        return row


def log_records(rows: pa.Table) -> list[LogRecord]:
    """The logs that `logs_table` wrote."""
    decode = functools.cache(values.loads)
    return [_log_record(row, decode) for row in rows.to_pylist()]


def log_digest(row: Mapping[str, Any]) -> bytes:
    """What makes a log record the same one twice: all but observed time and resource."""
    told = [
        row[c.name] for c in TABLES["logs"].columns if c.name not in ("observed_ns", "resource")
    ]
    return hashlib.sha256(values.dumps(told).encode()).digest()


def _span_record(row: Mapping[str, Any], decode: Callable[[str], Any]) -> SpanRecord:
    rest = values.loads(row["attributes"])
    structured = rest.pop(semconv.STRUCTURED, ())
    verbatim = rest.pop(VERBATIM, {})
    attributes = {
        key: values.loads(row[column]) if key in structured else row[column]
        for column, key in ATTRIBUTE_OF.items()
        if row[column] is not None
    }
    attributes.update(rest)
    attributes.update({key: verbatim[key] for key in _OURS if key in verbatim})
    plain = {name: verbatim.get(name, row[name]) for name in _PLAIN_SPAN_FIELDS}
    return SpanRecord(
        **plain,
        attributes=attributes,
        events=_events(row["events"], verbatim.get("events", {})),
        links=_links(row["links"], verbatim.get("links", {})),
        resource=decode(row["resource"]),
        scope_attributes=decode(row["scope_attributes"]),
    )


def _events(
    cells: Sequence[Mapping[str, Any]], verbatim: Mapping[str, Any]
) -> tuple[SpanEvent, ...]:
    exact = [{**cell, **verbatim.get(str(i), {})} for i, cell in enumerate(cells)]
    return tuple(
        SpanEvent(cell["time_ns"], cell["name"], values.loads(cell["attributes"])) for cell in exact
    )


def _links(cells: Sequence[Mapping[str, Any]], verbatim: Mapping[str, Any]) -> tuple[SpanLink, ...]:
    exact = [{**cell, **verbatim.get(str(i), {})} for i, cell in enumerate(cells)]
    return tuple(
        SpanLink(cell["trace_id"], cell["span_id"], values.loads(cell["attributes"]))
        for cell in exact
    )


def _log_record(row: Mapping[str, Any], decode: Callable[[str], Any]) -> LogRecord:
    attributes = values.loads(row["attributes"])
    verbatim = attributes.pop(VERBATIM, {})
    if VERBATIM in verbatim:
        attributes[VERBATIM] = verbatim[VERBATIM]
    plain = {name: verbatim.get(name, row[name]) for name in _PLAIN_LOG_FIELDS}
    return LogRecord(
        **plain,
        body=None if row["body"] is None else values.loads(row["body"]),
        attributes=attributes,
        resource=decode(row["resource"]),
    )


def trajectory(row: Mapping[str, Any]) -> Trajectory:
    """The header from its row; without steps and file changes."""
    parts = {"repairs": tuple(Repair(**part) for part in row["repairs"] or ())}
    return Trajectory(**_row_fields(row, Trajectory, parts))


def step(row: Mapping[str, Any]) -> Step:
    """A step from its row."""
    parts = {"merged_spans": tuple(MergedSpan(**part) for part in row["merged_spans"] or ())}
    return Step(**_row_fields(row, Step, parts))


def file_change(row: Mapping[str, Any]) -> FileChange:
    """A file change from its row."""
    return FileChange(**_row_fields(row, FileChange, {}))


def _row_fields(
    row: Mapping[str, Any], row_type: type[Any], parts: Mapping[str, Any]
) -> dict[str, Any]:
    fields = {}
    for name, is_tuple in _fields_of(cast(Any, row_type)):
        cell = parts.get(name, row[name])
        if type(cell) is list:
            cell = tuple(cell)
        elif cell is None and is_tuple:
            cell = ()
        fields[name] = cell
    return fields


@functools.cache
def _fields_of(row_type: Any) -> tuple[tuple[str, bool], ...]:
    """The fields that are columns, and whether NULL means an empty tuple."""
    return tuple(
        (field.name, field.default == ())
        for field in dataclasses.fields(row_type)
        if field.metadata.get("column", True)
    )
