import duckdb
import pytest

from otel_traj import model
from otel_traj.store import schema


@pytest.mark.parametrize(
    "table", [table for table in schema.TABLES.values() if table.row_type], ids=lambda t: t.name
)
def test_columns_of_derived_tables_are_the_fields_of_the_model(table: schema.Table) -> None:
    assert table.row_type is not None
    assert tuple(c.name for c in table.columns) == model.columns(table.row_type)


@pytest.mark.parametrize("view", schema.VIEW_COLUMNS)
def test_duckdb_makes_the_types_that_the_schema_names(view: str) -> None:
    connection = duckdb.connect()

    connection.execute(schema.create_table_sql(view))

    described = connection.execute(f"select column_name, column_type from (describe {view})")
    assert described.fetchall() == [(c.name, c.duckdb_type) for c in schema.VIEW_COLUMNS[view]]


@pytest.mark.parametrize("table", schema.TABLES)
def test_arrow_and_duckdb_agree_on_every_type(table: str) -> None:
    empty = schema.arrow_schema(table).empty_table()
    connection = duckdb.connect()

    described = connection.from_arrow(empty).types

    assert [str(t) for t in described] == [c.duckdb_type for c in schema.TABLES[table].columns]


@pytest.mark.parametrize("table", schema.TABLES.values(), ids=lambda t: t.name)
def test_every_column_says_what_it_means(table: schema.Table) -> None:
    assert all(column.meaning for column in table.columns + table.view_columns)
