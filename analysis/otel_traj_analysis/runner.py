"""Runs an analysis on a DuckDB connection: parameters become variables, the file runs as it is."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace

import duckdb

from otel_traj.errors import ConfigurationError, MissingExtraError, QueryError
from otel_traj.store import query, schema
from otel_traj.store.attempts import COMPUTED
from otel_traj_analysis import SHOWN_VIOLATIONS, Violations, labels
from otel_traj_analysis.header import Analysis, Column


def answer(
    connection: duckdb.DuckDBPyConnection, analysis: Analysis, parameters: Mapping[str, object]
) -> duckdb.DuckDBPyRelation:
    """Bind an analysis to a connection that nobody else uses: variables belong to a connection.

    Raises:
        ConfigurationError: A parameter is unknown or of the wrong type.
        QueryError: The SQL does not parse or bind.
    """
    _set_variables(connection, analysis, parameters)
    try:
        return connection.sql(analysis.sql)
    except duckdb.Error as error:
        raise QueryError(f"{analysis.name}: {error}") from error


def narrow(connection: duckdb.DuckDBPyConnection, where: str) -> None:
    """Let every view of a connection show only the trajectories that a condition holds for.

    Args:
        connection: One that nobody else uses.
        where: SQL condition on `trajectories`.

    Raises:
        QueryError: The condition does not parse or bind.
        QueryRefusedError: It is more than a condition, or reads what is not public.
    """
    try:
        narrow_to(connection, _chosen_by(where))
    except duckdb.Error as error:
        raise QueryError(f"The condition {where!r} on trajectories: {error}") from error


def narrow_to(
    connection: duckdb.DuckDBPyConnection,
    chosen: str,
    parameters: Mapping[str, object] | None = None,
) -> None:
    """The same for the trajectories that a query of ours chooses, which nobody checks.

    Args:
        connection: One that nobody else uses.
        chosen: Query for a column `trajectory_id`.
        parameters: Those of the query, by name.
    """
    connection.execute(f"create temp table chosen as {chosen}", dict(parameters or {}))
    [[database]] = connection.execute("select current_database()").fetchall()
    for view in schema.VIEW_COLUMNS.keys() - COMPUTED.keys():
        if any(column.name == "trajectory_id" for column in schema.VIEW_COLUMNS[view]):
            connection.execute(
                f'create temp view {view} as from "{database}".main.{view}'
                " semi join chosen using (trajectory_id)"
            )
    for view, sql in COMPUTED.items():
        connection.execute(f"create temp view {view} as {sql}")


def labelled(
    connection: duckdb.DuckDBPyConnection, counts: duckdb.DuckDBPyRelation, step: str
) -> duckdb.DuckDBPyRelation:
    """Judge the counts of an analysis by the step that its header names.

    Raises:
        MissingExtraError: scipy or statsmodels is not installed.
    """
    try:
        module = importlib.import_module(f"otel_traj_analysis.{step}")
    except ImportError as error:
        raise MissingExtraError(
            f"The step {step!r}", "scipy and statsmodels", "analysis"
        ) from error

    return connection.from_arrow(module.label(counts.to_arrow_table()))


def violations(connection: duckdb.DuckDBPyConnection, check: Analysis) -> Violations:
    """Run a check and keep the first rows."""
    rows = answer(connection, check, {}).to_arrow_table()
    shown = rows.slice(0, SHOWN_VIOLATIONS).to_pylist()
    return Violations(check.name, check.sentence, rows.num_rows, tuple(shown))


def with_types(analysis: Analysis) -> Analysis:
    """The analysis with the types its columns get over the public views.

    Raises:
        ConfigurationError: A column has no meaning beside it, or a meaning belongs to no column.
    """
    relation = answer(empty_store(), analysis, {})
    told = [column.name for column in analysis.columns]
    if told != relation.columns:
        raise ConfigurationError(
            f"{analysis.name}: the file explains the columns {told},"
            f" the query gives {relation.columns}"
        )
    types = map(str, relation.types)
    columns = tuple(
        Column(column.name, duckdb_type, column.meaning)
        for column, duckdb_type in zip(analysis.columns, types, strict=True)
    )
    if analysis.labels:
        columns = (*columns[:2], *labels.STEP_COLUMNS[analysis.labels], *columns[2:])
    return replace(analysis, columns=columns)


def empty_store() -> duckdb.DuckDBPyConnection:
    """A database in memory: public views are empty tables, but for those computed from others."""
    # With one thread, rows that no `order by` sorts come out alike in every run of a test.
    connection = duckdb.connect(config={"threads": 1})
    for view in schema.VIEW_COLUMNS.keys() - COMPUTED.keys():
        connection.execute(schema.create_table_sql(view))
    for view, sql in COMPUTED.items():
        connection.execute(f"create view {view} as {sql}")
    return connection


def _set_variables(
    connection: duckdb.DuckDBPyConnection, analysis: Analysis, parameters: Mapping[str, object]
) -> None:
    known = {parameter.name: parameter for parameter in analysis.parameters}
    for name, value in parameters.items():
        if name not in known:
            raise ConfigurationError(
                f"Analysis {analysis.name!r} has no parameter {name!r}. {_listed(analysis)}"
            )
        accepted: object = known[name].accept(value)
        if known[name].type == "where" and accepted is not None:
            accepted = _holds_for(connection, str(accepted), name)
        connection.execute(f"set variable {name} = $value", {"value": accepted})


def _holds_for(connection: duckdb.DuckDBPyConnection, where: str, name: str) -> list[str]:
    """Ids of the trajectories that a condition holds for."""
    chosen = _chosen_by(where)
    try:
        return [trajectory_id for (trajectory_id,) in connection.execute(chosen).fetchall()]
    except duckdb.Error as error:
        raise QueryError(f"{name}: {error}") from error


def _chosen_by(where: str) -> str:
    """Query for the trajectories that a condition holds for, checked."""
    chosen = f"select trajectory_id from trajectories where ({where}\n)"  # noqa: S608 - checked
    query.check(chosen)
    query.check(f"select {where}")  # alone too: no bracket of its own may close ours
    return chosen


def _listed(analysis: Analysis) -> str:
    listed = "; ".join(f"{p.name} ({p.type}): {p.meaning}" for p in analysis.parameters)
    return f"There is: {listed}." if listed else "It has none."
