from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from otel_traj.errors import ConfigurationError, UnknownNameError
from otel_traj_analysis import cases, header, runner
from otel_traj_analysis.cases import Case, CaseFailedError, Row
from otel_traj_analysis.header import Analysis

SQL = """\
-- name: long_steps
-- Steps by duration.
-- grain: one row per step
-- parameters: longer_s (float, default 0): shorter ones are left out

with long_ones as (
    select step, tool_name, duration_s, start_time, security_flags from steps
    where duration_s > coalesce(getvariable('longer_s'), 0)
)

select
    step,  -- number
    tool_name,  -- tool
    duration_s,  -- seconds
    start_time,  -- when
    security_flags  -- flags
from long_ones
order by duration_s desc;
"""
STEPS: Mapping[str, Sequence[Row]] = {
    "steps": [{"step": 1, "duration_s": 2}, {"step": 2, "duration_s": 0.1 + 0.2}]
}


@pytest.fixture
def analysis() -> Analysis:
    return header.parse(SQL, "long_steps.sql")


def test_expected_rows_may_name_only_some_columns(analysis: Analysis) -> None:
    cases.verify(analysis, Case(promise="p", given=STEPS, query=[{"step": 1}, {"step": 2}]))


def test_floats_agree_up_to_rounding_and_integers_exactly(analysis: Analysis) -> None:
    rows: list[Row] = [{"duration_s": 2, "step": 1}, {"duration_s": 0.3, "step": 2}]

    cases.verify(analysis, Case(promise="p", given=STEPS, query=rows))


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="rows where none is expected"),
        pytest.param([{"step": 1}], id="one row too many"),
        pytest.param([{"step": 1}, {"step": 2}, {"step": 3}], id="one row missing"),
        pytest.param([{"step": 2}, {"step": 1}], id="another order"),
        pytest.param([{"step": 1}, {"step": 3}], id="another value"),
        pytest.param([{"step": 1, "tool_name": 0}, {"step": 2}], id="null is not 0"),
        pytest.param([{"duration_s": None}, {"step": 2}], id="a value is not null"),
        pytest.param([{"security_flags": []}, {"step": 2}], id="an empty list is not null"),
    ],
)
def test_other_rows_fail_the_case(analysis: Analysis, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(CaseFailedError, match="not keep the promise 'longest first'"):
        cases.verify(analysis, Case(promise="longest first", given=STEPS, query=rows))


def test_message_shows_expected_and_found_in_the_columns_of_the_case(analysis: Analysis) -> None:
    case = Case(promise="p", given=STEPS, query=[{"step": 7}])

    with pytest.raises(CaseFailedError) as caught:
        cases.verify(analysis, case)

    assert str(caught.value) == (
        "long_steps does not keep the promise 'p'\n"
        "expected:\n  {'step': 7}\nfound:\n  {'step': 1}\n  {'step': 2}"
    )


def test_values_come_back_as_they_were_given(analysis: Analysis) -> None:
    when = datetime(2026, 11, 21, 8, 0, 0, 1, tzinfo=UTC)
    row: Row = {
        "step": 2**31 - 1,
        "tool_name": "naïve\n'; drop table steps --",
        "duration_s": math.inf,
        "start_time": when,
        "security_flags": ["a", "b"],
    }

    cases.verify(analysis, Case(promise="p", given={"steps": [row]}, query=[row]))


def test_nan_is_nan(analysis: Analysis) -> None:
    given = {"steps": [{"step": 0, "duration_s": math.nan}]}

    cases.verify(analysis, Case(promise="p", given=given, query=[{"duration_s": math.nan}]))


def test_parameters_reach_the_query_and_its_ctes(analysis: Analysis) -> None:
    case = Case(
        promise="p",
        given=STEPS,
        parameters={"longer_s": 1},
        query=[{"step": 1}],
        ctes={"long_ones": [{"step": 1}]},
    )

    cases.verify(analysis, case)


def test_rows_of_a_cte_have_no_order(analysis: Analysis) -> None:
    case = Case(promise="p", given=STEPS, ctes={"long_ones": [{"step": 2}, {"step": 1}]})

    cases.verify(analysis, case)


@pytest.mark.parametrize("rows", [[{"step": 1}], [{"step": 1}, {"step": 1}], [{"step": 3}] * 2])
def test_other_rows_of_a_cte_fail_the_case(analysis: Analysis, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(CaseFailedError, match="long_steps, CTE long_ones"):
        cases.verify(analysis, Case(promise="p", given=STEPS, ctes={"long_ones": rows}))


def test_columns_left_out_are_as_assembly_leaves_them() -> None:
    sql = (
        "-- name: q\n-- All.\n-- grain: one row per run\nselect\n    n_steps,  -- steps\n"
        "    complete,  -- whole\n    tools,  -- tools\n    reward  -- reward\nfrom trajectories\n"
    )
    row = {"n_steps": 0, "complete": True, "tools": [], "reward": None}

    case = Case(promise="p", given={"trajectories": [{}]}, query=[row])

    cases.verify(header.parse(sql, "q.sql"), case)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case(promise="p", given={"step": []}), "No view named 'step'.*Did you mean 'steps'"),
        (Case(promise="p", given={"steps": [{"tool": "a"}]}), "No column of 'steps' named 'tool'"),
        (Case(promise="p", ctes={"long": []}), "No CTE of 'long_steps' named 'long'.*'long_ones'"),
        (
            Case(promise="p", given=STEPS, query=[{"n": 1}, {}]),
            r"columns that are not there: \['n'\]",
        ),
        (Case(promise="p", parameters={"longer": 1}, query=[]), "no parameter 'longer'.*longer_s"),
    ],
)
def test_case_that_names_what_is_not_there_is_wrong(
    analysis: Analysis, case: Case, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        cases.verify(analysis, case)


@pytest.mark.parametrize(
    "text", ["- {promise: p, expect: []}", "- {query: []}", "5", "- [", "a: 1"]
)
def test_file_that_is_no_list_of_cases_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mine\.yaml is no list of cases"):
        cases.parse(text, "mine.yaml")


def test_unknown_cte_error_is_one_of_names(analysis: Analysis) -> None:
    with pytest.raises(UnknownNameError):
        cases.cte_sql(runner.empty_store(), analysis, "nothing")


def test_own_analysis_is_tested_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql, kept, broken = (tmp_path / name for name in ("long_steps.sql", "kept.yaml", "broken.yaml"))
    sql.write_text(SQL)
    kept.write_text("- promise: no row without rows\n  query: []\n")
    broken.write_text("- promise: a row from nowhere\n  query: [{step: 0}]\n")

    codes = [cases.main([str(sql), str(file)]) for file in (kept, broken)]

    printed = capsys.readouterr().out
    assert codes == [0, 1]
    assert "ok    no row without rows\n" in printed
    assert "FAIL  long_steps does not keep the promise 'a row from nowhere'" in printed


@pytest.mark.parametrize("arguments", [[], ["one.sql"], ["absent.sql", "absent.yaml"]])
def test_wrong_use_exits_with_2(arguments: list[str]) -> None:
    assert cases.main(arguments) == 2
