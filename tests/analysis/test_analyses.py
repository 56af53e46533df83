from __future__ import annotations

import re
from pathlib import Path

import pytest

import otel_traj.analysis
import otel_traj_analysis as analysis
from otel_traj.errors import (
    ConfigurationError,
    InputError,
    QueryError,
    QueryRefusedError,
    UnknownNameError,
)
from otel_traj.store import query
from otel_traj_analysis import runner
from otel_traj_analysis.header import Analysis, Column
from tests.analysis.shipped import ALL

OWN = """\
-- name: mine
-- How many steps there are of a kind.
-- grain: one row
-- parameters: kind (text, default 'llm'): kind of step
select
    count(*) as n  -- steps
from steps
where kind = coalesce(getvariable('kind'), 'llm');
"""


def test_names_are_the_shipped_questions() -> None:
    assert analysis.names() == (
        "activity",
        "attribution",
        "cohorts",
        "coverage",
        "drift",
        "failure_patterns",
        "first_divergence",
        "history_summary",
        "latency",
        "open_runs",
        "outcomes",
        "performance_patterns",
        "prefix_value",
        "process_map",
        "replay_inputs",
        "step_timeline",
        "success_patterns",
        "thinking_patterns",
        "token_cost",
        "tool_effectiveness",
        "tool_errors",
        "tool_followups",
        "variants",
        "waste",
    )


def test_facade_has_the_public_names() -> None:
    assert otel_traj.analysis.__all__ == analysis.__all__


@pytest.mark.parametrize("shipped", ALL, ids=lambda shipped: shipped.name)
def test_every_column_is_described_with_type_and_meaning(shipped: Analysis) -> None:
    described = runner.with_types(shipped)

    assert all(column.type and column.meaning for column in described.columns)


@pytest.mark.parametrize("shipped", ALL, ids=lambda shipped: shipped.name)
def test_file_is_one_select_that_strangers_may_run(shipped: Analysis) -> None:
    query.check(shipped.sql)


@pytest.mark.parametrize("shipped", ALL, ids=lambda shipped: shipped.name)
def test_file_is_written_as_the_house_writes_sql(shipped: Analysis) -> None:
    code = "\n".join(line.split("--")[0] for line in shipped.sql.splitlines())
    outside_quotes = re.sub(r"'[^']*'", "''", code)

    assert outside_quotes == outside_quotes.lower()
    assert not re.search(r"(?:select|distinct|,)\s+\*|\.\*", outside_quotes)
    assert re.search(r"\norder by[^;]*;\n\Z", shipped.sql)


def test_describe_tells_what_the_header_says() -> None:
    described = analysis.describe("tool_effectiveness")

    assert described.grain == (
        "one row per tool, agent that calls it, and version of the run's agent; per week if asked"
    )
    assert described.columns[0] == Column(
        "tool_name", "VARCHAR", "name as the model used it; NULL: not recorded"
    )
    assert [(p.name, p.type, p.default) for p in described.parameters] == [
        ("min_calls", "int", 1),
        ("agent", "text", None),
        ("by_week", "bool", False),
    ]
    assert described.sql == analysis.sql("tool_effectiveness")


def test_unknown_analysis_lists_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match=r"'outcomes'.*Did you mean 'token_cost'"):
        analysis.describe("tokens_cost")


def test_check_is_no_analysis() -> None:
    with pytest.raises(UnknownNameError):
        analysis.sql(analysis.checks()[0])


def test_own_file_is_described_like_a_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.sql"
    file.write_text(OWN)

    described = analysis.describe(str(file))

    assert described.columns == (Column("n", "BIGINT", "steps"),)
    assert [(p.name, p.default) for p in described.parameters] == [("kind", "llm")]


def test_own_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read the analysis '.*mine\.sql'"):
        analysis.describe(str(tmp_path / "mine.sql"))


@pytest.mark.parametrize(
    ("good", "bad", "error", "message"),
    [
        ("count(*) as n  --", "count(*) as  --", ConfigurationError, r"mine\.sql:6: an output"),
        ("count(*) as n  --", "1 as a, 2 as b  --", ConfigurationError, "explains the columns"),
        ("count(*)", "count(*) + nothing", QueryError, "nothing"),
        ("count(*)", "getenv('HOME')", QueryRefusedError, "getenv"),
        ("'llm');", "'llm'); drop view steps;", QueryRefusedError, "Exactly one SELECT"),
        ("from steps", "from 'secrets.csv'", QueryRefusedError, "no public view"),
    ],
)
def test_own_file_that_is_wrong_says_why(
    tmp_path: Path, good: str, bad: str, error: type[Exception], message: str
) -> None:
    file = tmp_path / "mine.sql"
    file.write_text(OWN.replace(good, bad))

    with pytest.raises(error, match=message):
        analysis.describe(str(file))
