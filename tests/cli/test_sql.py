"""`sql` over a real store: formats, where they go, and what is refused."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.cli.conftest import Run
from tests.cli.test_frame import environment

STEPS = (
    "select trajectory_id, step, kind, tool_name, status, start_time, [tool_name] as tools,"
    " input_tokens, duration_s from steps where trajectory_id like 'b27944%' order by step"
)


@pytest.mark.parametrize("format_", ["table", "json", "csv"])
def test_rows_come_out_in_the_format_asked_for(
    format_: str, run: Run, corpus_store: Path, golden: Callable[[str, str], None]
) -> None:
    ran = run("sql", STEPS, "--format", format_, "--store", corpus_store)

    assert ran.status == 0
    golden(f"sql_steps_{format_}.txt", ran.out)


def test_the_number_of_rows_is_said_beside_a_table_only(run: Run, corpus_store: Path) -> None:
    errs = [
        run("sql", "from trajectories", "--format", f, "--store", corpus_store).err
        for f in ("table", "json", "csv")
    ]

    assert errs == ["5 rows\n", "", ""]


def test_formats_tell_the_same(run: Run, corpus_store: Path, tmp_path: Path) -> None:
    query = "select trajectory_id, n_steps from trajectories order by 1"

    as_json = json.loads(run("sql", query, "--format", "json", "--store", corpus_store).out)
    as_csv = run("sql", query, "--format", "csv", "--store", corpus_store).out
    run("sql", query, "--format", "parquet", "-o", tmp_path / "x", "--store", corpus_store)

    assert parquet.read_table(tmp_path / "x").to_pylist() == as_json
    rows = list(csv.DictReader(io.StringIO(as_csv)))
    assert [{**row, "n_steps": int(row["n_steps"])} for row in rows] == as_json


def test_parquet_goes_to_standard_output(corpus_store: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "otel_traj", "sql", "-", "--format", "parquet"],
        input=b"select count(*) as n from trajectories",
        capture_output=True,
        check=True,
        env=environment(OTEL_TRAJ_STORE=str(corpus_store)),
    )

    assert parquet.read_table(pa.BufferReader(ran.stdout)).to_pylist() == [{"n": 5}]


def test_limit_is_the_only_limit(run: Run, corpus_store: Path) -> None:
    query = "select range from range(30000)"

    whole = run("sql", query, "--format", "csv", "--store", corpus_store)
    some = run("sql", query, "--format", "csv", "--limit", "2", "--store", corpus_store)

    assert len(whole.out.splitlines()) == 30001
    assert some.out == "range\n0\n1\n"


def test_an_output_file_appears_whole_or_not_at_all(
    run: Run, corpus_store: Path, tmp_path: Path
) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("as it was")
    late = "select if(range = 9000, error('boom'), range) as n from range(10000)"

    ran = run("sql", late, "--format", "csv", "-o", target, "--store", corpus_store)

    assert ran.status == 2
    assert target.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("drop table steps", "DROP"),
        ("select 1; select 2", "SELECT"),
        ("copy trajectories to 'x.csv'", "COPY"),
        ("explain analyze select 1", "EXPLAIN"),
        ("select * from '/etc/passwd'", "no public view"),
        ("select * from read_csv('/etc/passwd')", "read_csv"),
        ("select getenv('HOME')", "getenv"),
        ("select current_setting('threads')", "current_setting"),
        ("select * from duckdb_settings()", "duckdb_settings"),
        ("from query('select 1')", "query"),
        ("set threads = 1", "SET"),
    ],
)
def test_what_is_more_than_a_select_over_the_views_is_refused(
    query: str, message: str, run: Run, corpus_store: Path
) -> None:
    ran = run("sql", query, "--store", corpus_store)

    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert message in ran.err


@pytest.mark.parametrize(
    ("query", "messages"),
    [
        ("select agnt_name from trajectories", ['"agnt_name" not found', '"agent_name"']),
        ("selec 1", ['syntax error at or near "selec"', "^^^^^"]),
        ("select * from trajektories", ["'trajektories'", "trajectories"]),
        ("select error('boom')", ["boom"]),
        ("select cast('x' as integer)", ["Could not convert"]),
        ("select $id", ["id"]),
        ("", ["SELECT"]),
    ],
)
def test_a_wrong_query_gets_the_engines_hint(
    query: str, messages: list[str], run: Run, corpus_store: Path
) -> None:
    ran = run("sql", query, "--store", corpus_store)

    assert (ran.status, ran.out) == (2, "")
    assert all(message in ran.err for message in messages)
    assert "Traceback" not in ran.err


def test_text_that_is_no_utf8_is_refused_and_not_a_traceback(corpus_store: Path) -> None:
    for arguments, given in (([b"select '\xff'"], b""), ([b"-"], b"select '\xff'")):
        ran = subprocess.run(
            [sys.executable, "-m", "otel_traj", "sql", *arguments],
            input=given,
            capture_output=True,
            env=environment(OTEL_TRAJ_STORE=str(corpus_store)),
            check=False,
        )
        assert (ran.returncode, ran.stdout) == (2, b"")
        assert b"UTF-8" in ran.stderr
        assert b"Traceback" not in ran.stderr


def test_a_store_that_is_not_there_says_how_to_make_one(run: Run, tmp_path: Path) -> None:
    ran = run("sql", "select 1", "--store", tmp_path / "none")

    assert ran.status == 2
    assert "otel-traj ingest" in ran.err


def test_an_empty_store_answers(run: Run, empty_store: Path) -> None:
    ran = run("sql", "select count(*) as n from steps", "--format", "json", "--store", empty_store)

    assert (ran.status, json.loads(ran.out)) == (0, [{"n": 0}])
