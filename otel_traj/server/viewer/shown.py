"""The public views as who asks by SQL may see them: without secrets, whatever is computed of them.

Texts are redacted where the views read them, before anything else happens to them. Redacted only in
the result, a secret could be had letter by letter, reversed, or by comparing. Ids of trajectories
are shown as they are, so that rows lead to their runs.
"""
# ruff: noqa: S608 - what is put into this SQL are names of schema.py

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from otel_traj.redaction import EVENT, STATUS_MESSAGE, Redaction
from otel_traj.store import values
from otel_traj.store.redacting import ATTRIBUTES, NOT_TEXT
from otel_traj.store.schema import VIEW_COLUMNS, Column

SCHEMA: Final = "shown"
"""Holds views of the same names; who asks must `use` it."""

_AS_STORED: Final = NOT_TEXT | {
    *("trajectory_id", "parent_trajectory_id", "aliases", "alias", "repeats"),
    *("outcome", "outcome_source", "ingest_time"),
}

_KEYS: Final[Mapping[str, str]] = {
    **ATTRIBUTES,
    "status_message": STATUS_MESSAGE,
    "event_name": EVENT,
}
"""Column -> attribute that it tells; others are known by their own name."""

_MAPS: Final = frozenset({"attributes", "resource", "scope_attributes"})
"""Columns of raw tables that hold whole maps of attributes, as JSON."""

_RAW: Final = frozenset({"spans", "logs"})
_SAID: Final = frozenset({"value_text", "value_json"})
"""Columns of annotations that tell what the row's `name` names."""

_EVENTS: Final = (
    "list_transform({0}, lambda e: struct_pack(time_ns := e.time_ns,"
    f" \"name\" := shown_text('{EVENT}', e.\"name\"), attributes := shown_map('', e.attributes)))"
)
_LINKS: Final = (
    "list_transform({0}, lambda e: struct_pack(trace_id := e.trace_id, span_id := e.span_id,"
    " attributes := shown_map('', e.attributes)))"
)
_NESTED: Final[Mapping[str, str]] = {"events": _EVENTS, "links": _LINKS}


def add(connection: duckdb.DuckDBPyConnection, redaction: Redaction) -> None:
    """Add the views to an engine that has the public ones."""
    for name, kind, change in (
        ("shown_text", "VARCHAR", redaction.value),
        ("shown_texts", "VARCHAR[]", _each(redaction)),
        ("shown_map", "VARCHAR", _map(redaction)),
    ):
        connection.create_function(
            name,
            _function(change, pa.list_(pa.string()) if kind == "VARCHAR[]" else pa.string()),
            ["VARCHAR", kind],
            kind,
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )
    connection.execute(f"create schema {SCHEMA}")
    for view, columns in VIEW_COLUMNS.items():
        shown = ", ".join(_column(view, column) for column in columns)
        connection.execute(f'create view {SCHEMA}."{view}" as select {shown} from main."{view}"')


def _column(view: str, column: Column) -> str:
    name = f'"{column.name}"'
    if column.name in _AS_STORED:
        return name
    if column.name in _NESTED:
        return f"{_NESTED[column.name].format(name)} as {name}"
    if column.duckdb_type not in ("VARCHAR", "VARCHAR[]"):
        return name
    is_map = view in _RAW and column.name in _MAPS
    function = "shown_texts" if column.duckdb_type == "VARCHAR[]" else "shown_text"
    is_said = view.startswith("annotations") and column.name in _SAID
    key = '"name"' if is_said else f"'{_KEYS.get(column.name, column.name)}'"
    return f"{'shown_map' if is_map else function}({key}, {name}) as {name}"


def _function(change: Callable[[str, Any], Any], kind: pa.DataType) -> Callable[..., Any]:
    """A function of the engine: keys and cells -> cells as they may be shown; NULL stays NULL."""

    def shown(keys: pa.Array, cells: pa.Array) -> pa.Array:
        pairs: Iterable[tuple[str, Any]] = zip(keys.to_pylist(), cells.to_pylist(), strict=True)
        return pa.array(
            [None if cell is None else change(key or "", cell) for key, cell in pairs], kind
        )

    return shown


def _each(redaction: Redaction) -> Callable[[str, list[str | None]], list[str | None]]:
    def change(key: str, texts: list[str | None]) -> list[str | None]:
        return [None if text is None else redaction.value(key, text) for text in texts]

    return change


def _map(redaction: Redaction) -> Callable[[str, str], str]:
    """Of the JSON of a map of attributes: each is redacted under its own key."""

    def change(_: str, text: str) -> str:
        if not redaction.may_hold(text):
            return text
        told = values.loads(text)
        shown, changed = redaction.told(told)
        return values.dumps(shown) if changed else text

    return change
