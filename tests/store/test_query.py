from collections.abc import Callable
from pathlib import Path

import pytest

from otel_traj.errors import QueryError, QueryRefusedError
from otel_traj.store import TrajectoryStore, query
from tests.store.escapes import ESCAPES
from tests.store.runs import run


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "select outcome, count(*) from trajectories group by all order by 2 desc limit 3",
        "from trajectories",
        "table steps",
        "values (1), (2)",
        "with s as (from steps) select * from s",
        "with Per_Task as (from trajectories), b as (from per_task) select * from b",
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3) from n",
        "with steps as (select 1 as a) select a from steps",
        "select * from (with inner_one as (select 1 a) select a from inner_one)",
        "select (select max(step) from steps s where s.trajectory_id = t.trajectory_id) from"
        " trajectories t",
        "select unnest(tools) from trajectories",
        "select * from unnest([1, 2]), range(3), generate_series(1, 2)",
        "select * from trajectories t, unnest(t.tools) as u(tool)",
        "select list_transform(tools, lambda t: upper(t)) from trajectories",
        "select attributes->>'$.a', attributes->'b' from spans",
        "select json_extract_string(attributes, '$.a') from spans",
        "select now(), current_date, random(), today()",
        "select case when reward > 0.5 then 1 else 0 end from trajectories",
        "select quantile_cont(duration_s, 0.5), approx_quantile(duration_s, 0.9) from trajectories",
        "select lead(tool_name) over (partition by trajectory_id order by step) from steps",
        "select count(*) filter (where kind = 'llm') from steps",
        "select * from (pivot steps on kind in ('llm', 'tool') using count(*) group by status)",
        "describe trajectories",
        "describe select 1",
        "summarize steps",
        "select try_cast('x' as int), coalesce(null, 1), ifnull(null, 2), nullif(1, 1)",
        "select strftime(start_time, '%Y'), date_trunc('day', start_time) from steps",
        "select extract(year from start_time), start_time at time zone 'UTC' from steps",
        "select columns('n_.*') from trajectories",
        "select * exclude (rev) replace (upper(status) as status) from trajectories",
        "(select 1) union all (select 2) except (select 3)",
        "select 1 -- ; drop table x",
        "select ';'",
        "select $x, $y",
    ],
)
def test_ordinary_questions_pass(sql: str) -> None:
    query.check(sql)


@pytest.mark.parametrize("sql", ESCAPES)
def test_everything_else_is_refused_before_it_runs(sql: str) -> None:
    with pytest.raises(QueryError):
        query.check(sql)


@pytest.mark.parametrize("sql", ["selec 1", "select from where", "select 'x"])
def test_what_does_not_parse_is_told_in_the_engine_s_words(sql: str) -> None:
    with pytest.raises(QueryError) as caught:
        query.check(sql)

    assert not isinstance(caught.value, QueryRefusedError)
    assert "syntax error" in str(caught.value) or "unterminated" in str(caught.value)


@pytest.mark.parametrize("check", [query.check, query.check_expression])
def test_text_that_is_no_unicode_is_no_sql(check: Callable[[str], None]) -> None:
    with pytest.raises(QueryError, match="no Unicode"):
        check("select '\ud800'")


def test_a_refusal_says_what_there_is() -> None:
    with pytest.raises(QueryRefusedError, match=r"'stepps' is no public view.*steps, trajectories"):
        query.check("select * from stepps")


def test_depth_is_no_way_round() -> None:
    deep = "select " + "(" * 2_000 + "1" + ")" * 2_000
    with pytest.raises(QueryError):
        query.check(f"select 1 from ({deep}), 'f.csv'")


def test_a_python_variable_is_no_table(store: TrajectoryStore) -> None:
    import pyarrow as pa

    secret = pa.table({"a": [1]})

    with pytest.raises(QueryRefusedError, match="'secret' is no public view"):
        store.sql("select * from secret")
    assert secret.num_rows == 1


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('{other}')",
        "copy (select 1) to '{other}.csv'",
        "attach '{other}.db'",
        "set threads = 1",
        "install httpfs",
        "load httpfs",
    ],
)
def test_the_engine_itself_is_locked_down_too(
    store: TrajectoryStore, tmp_path: Path, sql: str
) -> None:
    import duckdb

    other = tmp_path / "other.txt"
    other.write_text("secret")
    store.append(run(1))

    with pytest.raises(duckdb.Error):
        store.connection().execute(sql.format(other=other))


def test_asking_writes_nothing(store: TrajectoryStore) -> None:
    store.append(run(1))
    before = sorted(store.path.rglob("*"))

    store.sql("select * from spans order by random()").fetchall()

    assert sorted(store.path.rglob("*")) == before


@pytest.mark.parametrize(
    "expression",
    ["a = 1", "a > 1 and b in ('x', 'y')", "list_contains(tools, 'x')", "a is null", "true"],
)
def test_an_expression_may_be_anything_pure(expression: str) -> None:
    query.check_expression(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "a, b",
        "a from steps",
        "a where b",
        "a) from steps where (b",
        "exists (select 1 from steps)",
        "(select true)",
        "current_setting('threads') = '1'",
        "a limit 1",
        "a; select 1",
        "a order by b",
        "",
    ],
)
def test_an_expression_is_nothing_more(expression: str) -> None:
    with pytest.raises(QueryError):
        query.check_expression(expression)
