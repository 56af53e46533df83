"""What a query's rows look like outside, type by type."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pyarrow import parquet

from otel_traj.cli.table import write_table
from otel_traj.errors import QueryError
from otel_traj.safety import visible
from otel_traj.store.results import (
    Rows,
    json_text,
    rows,
    write_csv,
    write_json,
    write_markdown,
    write_parquet,
)

EVERY_TYPE = """
select
  1::tinyint as small, 9007199254740993::bigint as "beyond 2^53",
  18446744073709551615::ubigint as u,
  170141183460469231731687303715884105727::hugeint as huge, 1.50::decimal(20, 2) as price,
  0.1::double as tenth, 1e300 as big, 'nan'::double as "not a number", '-inf'::double as infinite,
  true as flag, 'Grüße, "日本"' as text, '' as empty, null as nothing,
  timestamptz '2026-11-21 10:30:00.25+01' as moment, timestamp '2026-11-21 09:30:00' as naive,
  'infinity'::timestamptz as never, date '2026-11-21' as day, time '09:30:00' as clock,
  interval '1 month 2 days 3.5 seconds' as gap, 'ab'::blob as bytes,
  [1, null] as list, {'a': 1, 'b': ['x']} as struct, map {'k': 1.5} as map,
  [timestamptz '2026-11-21 10:30:00+01'] as moments, '{"a": [1, null]}'::json as json,
  'one'::enum ('one', 'two') as choice, '101'::bit as bits,
  'a1b2c3d4-0000-0000-0000-000000000000'::uuid as uuid
"""


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("set timezone = 'America/New_York'")  # of which nothing may be seen
        yield opened


def written(write: Callable[[Rows, io.StringIO], int], relation: duckdb.DuckDBPyRelation) -> str:
    out = io.StringIO()
    write(rows(relation), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "write"), [("json", write_json), ("csv", write_csv), ("table", write_table)]
)
def test_every_type_has_its_form(
    name: str,
    write: Callable[[Rows, io.StringIO], int],
    connection: duckdb.DuckDBPyConnection,
    golden: Callable[[str, str], None],
) -> None:
    golden(f"every_type_{name}.txt", written(write, connection.sql(EVERY_TYPE)))


def test_json_is_valid_and_keeps_every_digit(connection: duckdb.DuckDBPyConnection) -> None:
    (row,) = json.loads(written(write_json, connection.sql(EVERY_TYPE)), parse_float=Decimal)

    assert row["beyond 2^53"] == 9007199254740993
    assert row["huge"] == 2**127 - 1
    assert row["price"] == Decimal("1.50")
    assert (row["not a number"], row["infinite"]) == (None, None)
    assert row["json"] == {"a": [1, None]}
    assert row["moment"] == "2026-11-21T09:30:00.250000Z"


def test_no_rows_are_an_empty_array_and_a_header(connection: duckdb.DuckDBPyConnection) -> None:
    nothing = connection.sql("select 1 as a, 'x' as b where false")

    assert written(write_json, nothing) == "[]\n"
    assert written(write_csv, nothing) == "a,b\n"
    assert written(write_table, nothing) == "a  b\n─  ─\n"


def test_columns_of_one_name_stay_apart(connection: duckdb.DuckDBPyConnection) -> None:
    twice = connection.sql("select 1 as a, 2 as a, 3 as A, 4 as a_1")

    assert json.loads(written(write_json, twice)) == [{"a": 1, "a_1": 2, "A": 3, "a_1_1": 4}]


def test_rows_keep_their_order_across_batches(connection: duckdb.DuckDBPyConnection) -> None:
    many = connection.sql("select range as n from range(10000) order by n desc")

    found = json.loads(written(write_json, many))

    assert [row["n"] for row in found] == list(range(9999, -1, -1))


def test_csv_tells_null_from_empty_and_quotes_what_must_be(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    relation = connection.sql(
        "select null as a, '' as b, 'x,y' as c, 'say \"hi\"' as d, e'two\\nlines' as e, ' f ' as f"
    )

    text = written(write_csv, relation)

    assert text == 'a,b,c,d,e,f\n,"","x,y","say ""hi""","two\nlines"," f "\n'
    values = ["", "", "x,y", 'say "hi"', "two\nlines", " f "]
    assert list(csv.reader(io.StringIO(text)))[1] == values


def markdown_cells(text: str) -> list[list[Token]]:
    """What a reader of Markdown makes of each cell of a table."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [token.children or [] for token in tokens if token.type == "inline"]


def test_markdown_is_a_table_with_numbers_at_the_right(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    relation = connection.sql(
        "select 'a|b' as \"x_y\", 1 as n union all select null, 20 order by 2"
    )

    assert written(write_markdown, relation) == (
        "| x_y | n |\n| --- | ---: |\n| a\\|b | 1 |\n| NULL | 20 |\n"
    )


@given(
    text=st.text(st.characters(codec="utf-8"), min_size=1)
    | st.text("`*_[]()<>|~&!\\\n a1", min_size=1)
)
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    out = io.StringIO()

    write_markdown(Rows(("name", "text"), (False, False), [["x", text]]), out)

    _, _, _, cell = markdown_cells(out.getvalue())
    assert {token.type for token in cell} <= {"text", "text_special"}
    assert "".join(token.content for token in cell) == visible(text).strip()


def test_csv_comes_back_equal_through_duckdb(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    relation = connection.sql(
        "select range as n, range / 3 as f, 'é\"' || range as t,"
        " timestamptz '2026-11-21 00:00Z' as m from range(3)"
    )
    (tmp_path / "x.csv").write_text(written(write_csv, relation), encoding="utf-8")

    back = connection.sql(f"select * from '{tmp_path}/x.csv'")

    assert back.to_arrow_table().to_pylist() == relation.to_arrow_table().to_pylist()


def test_parquet_comes_back_equal(connection: duckdb.DuckDBPyConnection) -> None:
    relation = connection.sql(
        "select range as n, [range] as l, {'a': 'x'} as s, 1::hugeint as h, 2 as n,"
        " timestamptz '2026-11-21 00:00Z' as m from range(5000)"
    )
    out = io.BytesIO()

    assert write_parquet(relation, out) == 5000

    table = parquet.read_table(pa.BufferReader(out.getvalue()))
    assert table.column_names == ["n", "l", "s", "h", "n_1", "m"]
    assert table.column("n").to_pylist() == list(range(5000))


def test_a_query_that_fails_at_once_writes_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    out = io.StringIO()

    with pytest.raises(QueryError, match="boom"):
        write_json(rows(connection.sql("select error('boom')")), out)

    assert out.getvalue() == ""


def test_a_query_that_fails_later_raises_the_engines_message(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    late = "select if(range = 9000, error('boom'), range) from range(10000)"

    for write in (write_json, write_csv):
        with pytest.raises(QueryError, match="boom"):
            written(write, connection.sql(late))
    with pytest.raises(QueryError, match="boom"):
        write_parquet(connection.sql(late), io.BytesIO())


def test_what_parquet_has_no_type_for_is_a_query_error(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    with pytest.raises(QueryError, match="interval"):
        write_parquet(connection.sql("select interval '1 month'"), io.BytesIO())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_json_text_is_read_back_as_the_value(value: object) -> None:
    assert json.loads(json_text(value)) == value
