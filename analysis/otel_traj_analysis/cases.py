"""Cases: rows in, rows out, for a whole analysis and for each of its CTEs, without any Python.

    - promise: a run that merely completed is no success
      parameters: {min_runs: 1}
      given:
        trajectories:
          - {trajectory_id: t1, task_id: order-42, outcome: success, outcome_source: builtin}
      query:
        - {task: order-42, success_rate: null, n_unjudged: 1}
      ctes:
        chosen:
          - {task: order-42, verdict: unjudged}

`given` fills the public views; a column that a row leaves out has the value that assembly gives it
when it knows nothing. Expected rows name the columns that the case is about; the number of rows
and, for the query, their order always count. Test a file of your own with

    python -m otel_traj_analysis.cases my_question.sql my_question.yaml

Make example rows lopsided, and break the query once before you trust its cases: where every count
is one, a swapped condition goes unseen.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import duckdb

from otel_traj.errors import ConfigurationError, MissingExtraError, OtelTrajError, UnknownNameError
from otel_traj.store import schema
from otel_traj.store.attempts import COMPUTED
from otel_traj_analysis import load, runner
from otel_traj_analysis.header import Analysis

Row: TypeAlias = Mapping[str, Any]


class CaseFailedError(AssertionError):
    """An analysis does not keep a promise; the message shows expected and found rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One promise. `query` None asks nothing of the whole query, an empty list wants no row."""

    promise: str
    given: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    query: Sequence[Row] | None = None
    ctes: Mapping[str, Sequence[Row]] = field(default_factory=dict)


def parse(text: str, file: str) -> tuple[Case, ...]:
    """Read a file of cases: a YAML list.

    Raises:
        ConfigurationError: The text is no such list, or a case has an unknown or no key.
        MissingExtraError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("Testing analyses", "PyYAML", "analysis") from error
    try:
        return tuple(Case(**entry) for entry in yaml.safe_load(text))
    except (yaml.YAMLError, TypeError) as error:
        raise ConfigurationError(f"{file} is no list of cases: {error}") from error


def shipped(name: str, folder: str = "cases") -> tuple[Case, ...]:
    """Cases of a shipped analysis."""
    file = resources.files("otel_traj_analysis").joinpath(folder, f"{name}.yaml")
    return parse(file.read_text(encoding="utf-8"), f"{name}.yaml")


def verify(analysis: Analysis, case: Case) -> None:
    """Hold an analysis against one case.

    Raises:
        CaseFailedError: Other rows came out.
        ConfigurationError: The case names a table, column, parameter or CTE that is not there.
    """
    compare(tables(case), analysis, case)


def tables(case: Case) -> duckdb.DuckDBPyConnection:
    """A database in memory that holds what the case gives."""
    connection = runner.empty_store()
    for view, rows in case.given.items():
        fill(connection, view, rows)
    return connection


def compare(connection: duckdb.DuckDBPyConnection, analysis: Analysis, case: Case) -> None:
    """As `verify`, over a database that already holds what the case gives."""
    for name, expected in case.ctes.items():
        cte = dataclasses.replace(analysis, sql=cte_sql(connection, analysis, name))
        found = _rows(runner.answer(connection.cursor(), cte, case.parameters))
        _check(f"{analysis.name}, CTE {name}", case, expected, _in_order_of(expected, found))
    if case.query is not None:
        found = _rows(runner.answer(connection.cursor(), analysis, case.parameters))
        _check(analysis.name, case, case.query, found)


def cte_sql(parser: duckdb.DuckDBPyConnection, analysis: Analysis, cte: str) -> str:
    """The analysis cut after one of its CTEs: a query for that CTE's rows.

    DuckDB's own parser does the cutting, so any SQL that it reads can be tested.

    Raises:
        UnknownNameError: The analysis has no CTE of this name; the message lists them.
    """
    ctes = _syntax_tree(parser, analysis.sql)["statements"][0]["node"]["cte_map"]["map"]
    names = [entry["key"] for entry in ctes]
    if cte not in names:
        raise UnknownNameError(f"CTE of {analysis.name!r}", cte, names)
    cut = _syntax_tree(parser, f'select * from "{cte}"')  # noqa: S608  # a name out of the SQL
    cut["statements"][0]["node"]["cte_map"]["map"] = ctes[: names.index(cte) + 1]
    return _scalar(parser, "select json_deserialize_sql($value)", json.dumps(cut))


def _syntax_tree(parser: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(_scalar(parser, "select json_serialize_sql($value)", sql))
    if tree["error"]:
        raise ConfigurationError(tree["error_message"])
    return tree


def _scalar(connection: duckdb.DuckDBPyConnection, query: str, value: str) -> str:
    [[text]] = connection.execute(query, {"value": value}).fetchall()
    return str(text)


def fill(connection: duckdb.DuckDBPyConnection, view: str, rows: Sequence[Row]) -> None:
    """Put rows into a view of `runner.empty_store()`; columns left out are as if never recorded.

    Raises:
        UnknownNameError: There is no such view, it is computed, or it has no such column.
    """
    given = schema.VIEW_COLUMNS.keys() - COMPUTED.keys()
    if view not in given:
        raise UnknownNameError("view", view, given)
    defaults = _defaults(view)
    for row in rows:
        for name in row:
            if name not in defaults:
                raise UnknownNameError(f"column of {view!r}", name, defaults)
        values = {**defaults, **row}
        marks = ", ".join(f"${name}" for name in values)
        connection.execute(f'insert into "{view}" values ({marks})', values)  # noqa: S608  # own names


def _defaults(view: str) -> dict[str, object]:
    """Column -> the value of a row about which nothing is known."""
    table = schema.TABLES.get(view)
    fields = dataclasses.fields(table.row_type) if table and table.row_type else ()
    known = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
    return {
        column.name: _plain(known[column.name] if column.name in known else _unknown(column))
        for column in schema.VIEW_COLUMNS[view]
    }


def _unknown(column: schema.Column) -> object:
    return [] if column.duckdb_type.endswith("[]") else None


def _rows(relation: duckdb.DuckDBPyRelation) -> list[Row]:
    rows: list[Row] = relation.to_arrow_table().to_pylist(maps_as_pydicts="strict")
    return rows


def _in_order_of(expected: Sequence[Row], found: list[Row]) -> list[Row]:
    """A CTE has no order: put the rows that are expected first, in the order they are expected."""
    rest = list(found)
    ordered: list[Row] = []
    for row in expected:
        match = next((other for other in rest if _agrees(row, other)), None)
        if match is not None:
            rest.remove(match)
            ordered.append(match)
    return ordered + rest


def _check(what: str, case: Case, expected: Sequence[Row], found: Sequence[Row]) -> None:
    if len(expected) == len(found) and all(map(_agrees, expected, found)):
        return
    columns = list(expected[0]) if expected else None
    raise CaseFailedError(
        f"{what} does not keep the promise {case.promise!r}\n"
        f"expected:\n{_listed(expected)}\nfound:\n{_listed(found, columns)}"
    )


def _agrees(expected: Row, found: Row) -> bool:
    if missing := expected.keys() - found.keys():
        raise ConfigurationError(f"The case expects columns that are not there: {sorted(missing)}")
    return all(_equal(_plain(value), _plain(found[name])) for name, value in expected.items())


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, float) or isinstance(right, float):
        return _equal_numbers(left, right)
    return bool(left == right) and (left is None) == (right is None)


def _equal_numbers(left: Any, right: Any) -> bool:
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    both_nan = numbers and math.isnan(left) and math.isnan(right)
    return both_nan or (numbers and math.isclose(left, right, rel_tol=1e-9))


def _plain(value: Any) -> Any:
    """Values that YAML and Arrow write differently, in one form."""
    if isinstance(value, Decimal):  # what Arrow makes of a HUGEINT, the type of a sum of integers
        return int(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return list(value) if isinstance(value, tuple) else value


def _listed(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    lines = ({name: _plain(row[name]) for name in columns or row} for row in rows)
    return "\n".join(f"  {line}" for line in lines) or "  (no row)"


def main(arguments: Sequence[str]) -> int:
    """`python -m otel_traj_analysis.cases FILE.sql FILE.yaml`: 0 when every promise is kept."""
    if len(arguments) != 2:
        print(main.__doc__, file=sys.stderr)  # noqa: T201
        return 2
    sql_file, case_file = arguments
    try:
        failures = list(_failures(load(sql_file), parse(Path(case_file).read_text(), case_file)))
    except (OtelTrajError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 1 if failures else 0


def _failures(analysis: Analysis, cases: Sequence[Case]) -> Iterator[Case]:
    for case in cases:
        try:
            verify(analysis, case)
            print(f"ok    {case.promise}")  # noqa: T201
        except CaseFailedError as error:
            print(f"FAIL  {error}")  # noqa: T201
            yield case


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
