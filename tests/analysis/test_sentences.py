from __future__ import annotations

import pytest

import otel_traj_analysis as analysis
from otel_traj_analysis import sentences, values
from otel_traj_analysis.sentences import say

TOOL = {"tool_name": "refund", "finding": "41 of 98 calls fail", "label": "unreliable"}
DRIFT = {
    "agent_name": None,
    "week": "2026-11-16",
    "n_runs": 1,
    "n_judged": 4,
    "n_success": 3,
    "success_change": -0.25,
}


@pytest.mark.parametrize("name", sentences.SENTENCES)
def test_sentences_name_columns_of_their_analysis(name: str) -> None:
    columns = {column.name for column in analysis.describe(name).columns}

    assert set(sentences.columns(name)) <= columns


@pytest.mark.parametrize("name", sentences.SENTENCES)
def test_what_is_counted_with_a_noun_is_a_whole_number(name: str) -> None:
    types = {column.name: column.type for column in analysis.describe(name).columns}

    for column in sentences.counted(name):
        assert types[column] in ("BIGINT", "INTEGER"), column


def test_a_row_is_said_in_the_units_of_its_columns() -> None:
    assert say("drift", DRIFT) == (
        "agent (unnamed), week of 2026-11-16: 3 of 4 judged runs succeed,"
        " -25 points against the week before"
    )


def test_the_first_sentence_is_said_of_which_all_is_told() -> None:
    assert say("drift", {**DRIFT, "success_change": None}) == (
        "agent (unnamed), week of 2026-11-16: 3 of 4 judged runs succeed"
    )
    assert say("drift", {**DRIFT, "n_success": 0}) == (
        "agent (unnamed), week of 2026-11-16: none of 4 judged runs succeeds"
    )
    assert say("drift", {**DRIFT, "n_judged": 0, "n_success": 0}) == (
        "agent (unnamed), week of 2026-11-16: 1 run, nobody judged them"
    )


def test_a_row_that_tells_nothing_says_nothing() -> None:
    assert say("drift", {"agent_name": "a", "week": None}) is None
    assert say("of_somebody_else", {"n": 1}) is None


def test_what_strangers_wrote_is_short_and_harmless() -> None:
    said = say("tool_effectiveness", {**TOOL, "tool_name": "\x1b[31m" + "x" * 200})

    assert said == "␛[31m" + "x" * 74 + "…: 41 of 98 calls fail (unreliable)"


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("cost_usd", 1234.5, "$1,234.50"),
        ("cost_usd", 0.00042, "$0.00042"),
        ("cost_usd", None, "–"),  # noqa: RUF001
        ("duration_s", 125.0, "2 min 5 s"),
        ("silent_s", 3, "3 s"),
        ("error_rate", 0.416, "42 %"),
        ("error_rate", 0.0001, "<1 %"),
        ("error_rate", 0.9999, ">99 %"),
        ("share", 1.0, "100 %"),
        ("difference", 0.38, "+38 points"),
        ("n_calls", 1204, "1,204"),
        ("q_value", 1.88e-10, "1.88e-10"),
        ("p95", 12345.6, "12,346"),
        ("is_harness", True, "yes"),
        ("pattern", ["a", "b"], "a → b"),
        ("calls", [], "nothing"),
        ("models", ["m-1", "m-2"], "m-1, m-2"),
        ("models", [], "–"),  # noqa: RUF001
        ("left_out", {"error": 3}, "error: 3"),
        ("agent_name", None, "(unnamed)"),
    ],
)
def test_a_value_is_written_in_the_unit_that_its_column_names(
    column: str, value: object, text: str
) -> None:
    assert values.text(column, value) == text
