"""What a stranger's SQL may do: one SELECT over the public views, and nothing else.

The engine that runs it is locked down as well (`otel_traj.store.views`), but a folder that may be
read may also be written (`COPY`), and settings tell paths. So the parsed statement is walked first,
by rules that refuse what they do not know:

- every table it names is a public view or a WITH of its own, in scope where it stands; so no file,
  no catalog, no Python variable;
- of table functions only `unnest`, `range` and `generate_series`;
- every other function is a built-in of pure result, or one of a few named ones (clock, random).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Set
from typing import Any, Final

import duckdb

from otel_traj.errors import QueryError, QueryRefusedError
from otel_traj.store import values
from otel_traj.store.schema import VIEW_COLUMNS

TABLE_FUNCTIONS: Final = frozenset({"unnest", "range", "generate_series"})

_CLOCK: Final = frozenset(
    ("current_date", "get_current_time", "get_current_timestamp", "now", "today")
)
_RANDOM: Final = frozenset(("random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid"))
_IMPURE_BUT_HARMLESS: Final = _CLOCK | _RANDOM | {"transaction_timestamp", "getvariable", "error"}
_PURE_BUT_TELLING: Final = frozenset({"version"})
_SQL_FORMS: Final = frozenset({"unnest", "count_star"})
"""Written as functions, but in no list of functions."""


@functools.lru_cache(maxsize=512)  # what passed once passes again; 15 ms
def check(sql: str) -> None:
    """Let one harmless SELECT pass.

    Raises:
        QueryError: It does not parse.
        QueryRefusedError: It is something else than one SELECT, or reads what is not public.
    """
    _check_tree(_only_select(sql))


def check_expression(sql: str) -> None:
    """Let one harmless expression without subqueries pass.

    Raises:
        QueryError: It does not parse.
        QueryRefusedError: It is more than an expression, or calls what a SELECT may not call.
    """
    node = _only_select(f"select {sql}")
    bare = _only_select("select true")
    expressions = node.pop("select_list", [])
    bare.pop("select_list")
    if _without_locations(node) != _without_locations(bare) or len(expressions) != 1:
        raise QueryRefusedError("One expression is expected, without FROM, WHERE or a comma")
    _check_tree(expressions, allow_subqueries=False)


def _only_select(sql: str) -> dict[str, Any]:
    """The tree of the only statement of a text."""
    if not values.is_unicode(sql):
        raise QueryError("This is no Unicode text, so no SQL: it has half of a surrogate pair")
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(str(s.type).removeprefix("StatementType.") for s in statements)
        raise QueryRefusedError(f"Exactly one SELECT is run here; this is {kinds or 'nothing'}")
    try:
        tree = json.loads(_serialized(sql))
    except RecursionError as error:
        raise QueryRefusedError("This SELECT is nested too deep to be checked") from error
    if tree["error"]:
        raise QueryRefusedError(f"This SELECT cannot be checked: {tree['error_message']}")
    node: dict[str, Any] = tree["statements"][0]["node"]
    return node


def _serialized(sql: str) -> str:
    with duckdb.connect() as connection:
        return _serialize(connection, sql)


def _serialize(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    row = connection.execute("select json_serialize_sql($1::varchar)", [sql]).fetchone()
    assert row is not None  # a SELECT without FROM has one row
    return str(row[0])


def _check_tree(tree: Any, *, allow_subqueries: bool = True) -> None:
    """Check every node; a loop, because how deep a tree is was the stranger's choice."""
    todo: list[tuple[Any, Set[str]]] = [(tree, frozenset())]
    while todo:
        node, scope = todo.pop()
        if isinstance(node, list):
            todo.extend((part, scope) for part in node)
        if not isinstance(node, dict):
            continue
        if "class" in node:
            _check_expression_node(node)
        elif "cte_map" in node:
            if not allow_subqueries:
                raise QueryRefusedError("A subquery is not allowed here")
            scope = _queue_with(node, scope, todo)
        elif "query_location" in node and "alias" in node:
            _check_table_node(node, scope)
        todo.extend((part, scope) for key, part in node.items() if key != "cte_map")


def _queue_with(
    node: Mapping[str, Any], scope: Set[str], todo: list[tuple[Any, Set[str]]]
) -> Set[str]:
    """The scope inside a query: each WITH sees the ones before it, and itself if recursive."""
    for entry in node["cte_map"]["map"]:
        name, definition = entry["key"].lower(), entry["value"]
        is_recursive = definition["query_node"]["type"] == "RECURSIVE_CTE_NODE"
        todo.append((definition, scope | {name} if is_recursive else scope))
        scope = scope | {name}
    return scope


def _check_table_node(node: Mapping[str, Any], scope: Set[str]) -> None:
    kind = node["type"]
    if kind == "BASE_TABLE":
        _check_table(node, scope)
    elif kind == "TABLE_FUNCTION":
        name = str(node["function"]["function_name"]).lower()
        if name not in TABLE_FUNCTIONS:
            raise QueryRefusedError(
                f"{name!r} may not be read from; table functions are only:"
                f" {', '.join(sorted(TABLE_FUNCTIONS))}"
            )
    elif kind == "SHOW_REF":
        # `describe trajectories` carries the query it describes; `show tables` only a name.
        if node["query"] is None:
            raise QueryRefusedError("SHOW lists what is not public; `describe VIEW` works")
    elif kind not in ("JOIN", "SUBQUERY", "EXPRESSION_LIST", "EMPTY", "PIVOT"):
        raise QueryRefusedError(f"{kind} may not be read from")


def _check_expression_node(node: Mapping[str, Any]) -> None:
    if node["class"] not in ("FUNCTION", "WINDOW"):
        return
    name = str(node["function_name"]).lower()
    if node["schema"] not in ("", "main") or node["catalog"] not in ("", "system"):
        raise QueryRefusedError(f"Call {name!r} without a schema")
    if name not in _callable():
        raise QueryRefusedError(
            f"{name!r} is no function that may be called here: its result depends on"
            " more than its arguments, or there is none of this name"
        )


def _check_table(node: Mapping[str, Any], scope: Set[str]) -> None:
    name = str(node["table_name"])
    is_plain = not node["schema_name"] and not node["catalog_name"]
    if not is_plain or name.lower() not in scope | VIEW_COLUMNS.keys():
        raise QueryRefusedError(
            f"{name!r} is no public view. There is: {', '.join(sorted(VIEW_COLUMNS))}"
        )
    if node["at_clause"] is not None:
        raise QueryRefusedError("AT is not supported here")


@functools.cache
def _callable() -> frozenset[str]:
    """Names of functions that a query may call, in lower case.

    A name of several overloads is in only if all of them are pure. A macro is short for an
    expression, so it is in if all that it calls is.
    """
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select lower(function_name), function_type = 'macro',"
            " schema_name = 'main' and coalesce(stability, 'CONSISTENT') = 'CONSISTENT',"
            " coalesce(macro_definition, '') from duckdb_functions()"
            " where function_type in ('scalar', 'aggregate', 'window', 'macro')"
        ).fetchall()
        impure = {name for name, _, is_pure, _ in rows if not is_pure} - _IMPURE_BUT_HARMLESS
        allowed = {name for name, *_ in rows} - impure - _PURE_BUT_TELLING | _SQL_FORMS
        macros = [(name, text) for name, is_macro, _, text in rows if is_macro and name in allowed]
        refused = {name for name, text in macros if not _calls(connection, text) <= allowed}
    return frozenset(allowed - refused)


def _calls(connection: duckdb.DuckDBPyConnection, expression: str) -> set[str]:
    """Functions and tables that an expression names."""
    todo: list[Any] = [json.loads(_serialize(connection, f"select {expression}"))]
    names: set[str] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo.extend(node)
        elif isinstance(node, dict):
            names.update(str(node[key]).lower() for key in _NAMING if key in node)
            todo.extend(node.values())
    return names


_NAMING: Final = ("function_name", "table_name")


def _without_locations(node: Any) -> Any:
    """The tree without positions in the text, for comparison."""
    if isinstance(node, list):
        return [_without_locations(part) for part in node]
    if isinstance(node, dict):
        return {
            key: _without_locations(part)
            for key, part in node.items()
            if not key.startswith("query_location")
        }
    return node
