"""`list`, `show`, `doctor`, `analyze`: the commands that look."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_traj import analysis
from otel_traj.model import SpanRecord
from otel_traj.store import TrajectoryStore
from tests.cli.conftest import Run

RUN_ID = "396f4cf8231582cd1036"  # of openai__otel-genai-openai: the first trace and its root


def test_list_shows_the_newest_first(
    run: Run, corpus_store: Path, golden: Callable[[str, str], None]
) -> None:
    ran = run("list", "--store", corpus_store)

    assert (ran.status, ran.err) == (0, "")
    golden("list.txt", ran.out)


def test_list_says_when_there_are_more(run: Run, corpus_store: Path) -> None:
    ran = run("list", "--limit", "2", "--store", corpus_store)

    assert len(ran.out.splitlines()) == 4
    assert ran.err == "These are the newest 2; --limit shows more.\n"


@pytest.mark.parametrize(
    ("filters", "n"),
    [
        (["--agent", "refund_agent"], 2),
        (["--agent", "nobody"], 0),
        (["--task", "REFUND order"], 3),
        (["--status", "completed"], 5),
        (["--status", "open"], 0),
        (["--outcome", "failure"], 0),
        (["--agent", "support_agent", "--task", "where is"], 0),
    ],
)
def test_list_filters(filters: list[str], n: int, run: Run, corpus_store: Path) -> None:
    ran = run("list", *filters, "--format", "json", "--store", corpus_store)

    assert len(json.loads(ran.out)) == n


def test_list_as_json_has_whole_ids_and_both_status_and_outcome(
    run: Run, corpus_store: Path
) -> None:
    ran = run("list", "--format", "json", "--limit", "1", "--store", corpus_store)

    (row,) = json.loads(ran.out)
    assert len(row["trajectory_id"]) == 20
    assert (row["status"], row["outcome"], row["outcome_source"]) == (
        "completed",
        "success",
        "builtin",
    )


def test_an_outcome_takes_the_place_of_the_status(run: Run, store: Path) -> None:
    run("annotate", RUN_ID, "--outcome", "failure", "--store", store)

    assert " failure " in run("list", "--store", store).out
    assert len(json.loads(run("list", "--outcome", "failure", "--format", "json",
                              "--store", store).out)) == 1  # fmt: skip


def test_a_run_that_never_ended_is_open_and_says_for_how_long(run: Run, empty_store: Path) -> None:
    started = time.time_ns() - 90_000_000_000
    TrajectoryStore(empty_store).append(
        [
            SpanRecord("a" * 32, "1" * 16, None, "invoke_agent helper", started, None,
                       attributes={"gen_ai.operation.name": "invoke_agent",
                                   "gen_ai.agent.name": "helper"}),
            SpanRecord("a" * 32, "2" * 16, "1" * 16, "chat m", started, started + 10**9,
                       attributes={"gen_ai.operation.name": "chat"}),
        ]
    )  # fmt: skip

    listed = run("list", "--store", empty_store)
    (run_id,) = listed.out.splitlines()[2].split()[:1]
    shown = run("show", run_id, "--store", empty_store)
    checked = run("verify", "--store", empty_store)

    assert re.search(r"  helper  +open +1 min \d+ s ", listed.out)
    assert "open · 1 span not ended" in shown.out
    assert re.search(r"1 min \d+ s so far", shown.out)
    assert checked.status == 0


def test_an_empty_store_is_said_to_be_empty(run: Run, empty_store: Path) -> None:
    listed = run("list", "--store", empty_store)
    checked = run("doctor", "--store", empty_store)

    assert (listed.status, listed.err) == (0, "No trajectories.\n")
    assert (checked.status, checked.out.splitlines()[0]) == (0, "No trajectories.")


def test_show_tells_the_run_from_question_to_answer(run: Run, corpus_store: Path) -> None:
    ran = run("show", RUN_ID, "--store", corpus_store)

    assert (ran.status, ran.err) == (0, "")
    told = (
        "Please refund order A-1001 in euros.",
        "asks for   lookup_order, get_policy",
        'arguments  {"order_id":"A-1001"}',
        "Policy on refunds: refunds within 30 days.",
        "tool convert_currency  error",
        "rate service unavailable",
        "→ refund_agent  transfer",
        "Done: refund R-77 of 39.1 EUR was issued for order A-1001.",
        "█",
    )
    places = [ran.out.find(text) for text in told]
    assert -1 not in places
    assert places == sorted(places)


def test_show_takes_the_beginning_of_an_id(run: Run, corpus_store: Path) -> None:
    whole = run("show", RUN_ID, "--store", corpus_store)

    assert run("show", RUN_ID[:6], "--store", corpus_store) == whole


def test_show_as_json_is_the_row_with_its_steps(run: Run, corpus_store: Path) -> None:
    shown = json.loads(run("show", RUN_ID, "--format", "json", "--store", corpus_store).out)
    query = f"from trajectories where trajectory_id = '{RUN_ID}'"
    (row,) = json.loads(run("sql", query, "--format", "json", "--store", corpus_store).out)

    steps, changes = shown.pop("steps"), shown.pop("file_changes")
    assert shown == row
    assert [step["step"] for step in steps] == list(range(13))
    assert changes == []


def test_an_unknown_id_names_the_nearest(run: Run, corpus_store: Path) -> None:
    ran = run("show", "396f4cf9", "--store", corpus_store)

    assert (ran.status, ran.out) == (2, "")
    assert RUN_ID in ran.err


def test_s1_22_list_finds_the_runs_that_nobody_judged(run: Run, corpus_store: Path) -> None:
    unjudged = "select trajectory_id from trajectories where outcome_source = 'builtin' order by 1"
    expected = json.loads(run("sql", unjudged, "--format", "json", "--store", corpus_store).out)
    assert expected

    ran = run("list", "--unjudged", "--format", "json", "--store", corpus_store)

    found = sorted(row["trajectory_id"] for row in json.loads(ran.out))
    assert found == [row["trajectory_id"] for row in expected]
    assert len(run("list", "--unjudged", "--store", corpus_store).out.splitlines()) == 2 + len(
        found
    )


def test_analyze_lists_what_there_is_without_a_store(run: Run) -> None:
    ran = run("analyze", "--store", "/no/such/store")

    assert ran.status == 0
    assert "tool_effectiveness" in ran.out


def test_analyze_runs_with_parameters_of_the_headers_type(run: Run, corpus_store: Path) -> None:
    ran = run("analyze", "outcomes", "--param", "min_runs=4", "--format", "json",
              "--store", corpus_store)  # fmt: skip

    assert ran.status == 0
    assert [row["n"] for row in json.loads(ran.out)] == [5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["outcome"], "No analysis named 'outcome'"),
        (["outcomes", "--param", "min_rns=4"], "Did you mean 'min_runs'?"),
        (["outcomes", "--param", "min_runs=many"], "`min_runs` takes int, not 'many'"),
        (["outcomes", "--param", "min_runs"], "--param takes NAME=VALUE"),
        (["outcomes", "--where", "no_such = 1"], "The condition 'no_such = 1' on trajectories: "),
        (["--param", "min_runs=4"], "Say which analysis"),
        (["--where", "true"], "Say which analysis"),
        (["outcomes", "--explain", "--where", "true"], "--explain prints the file"),
        (["outcomes", "--describe", "--param", "min_runs=4"], "are for a run"),
    ],
)
def test_a_wrong_analysis_or_parameter_says_what_is_right(
    arguments: list[str], message: str, run: Run, corpus_store: Path
) -> None:
    ran = run("analyze", *arguments, "--store", corpus_store)

    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


def test_analyze_looks_only_where_it_is_told(run: Run, corpus_store: Path) -> None:
    ran = run("analyze", "outcomes", "--where", "n_tools > 1000", "--format", "json",
              "--store", corpus_store)  # fmt: skip

    assert (ran.status, json.loads(ran.out)) == (0, [])


def test_the_first_rows_of_a_table_are_said_in_words(run: Run, corpus_store: Path) -> None:
    table = run("analyze", "token_cost", "--limit", "1", "--store", corpus_store)
    others = run("analyze", "token_cost", "--format", "markdown", "--store", corpus_store)

    assert re.search(r"^1 row\n- model .+ calls?", table.err, re.MULTILINE)
    assert others.err == ""


def test_analyze_explains_itself_by_its_sql(run: Run) -> None:
    ran = run("analyze", "outcomes", "--explain")

    assert (ran.status, ran.out) == (0, analysis.sql("outcomes"))


def test_a_table_of_patterns_shows_what_may_be_believed(run: Run, corpus_store: Path) -> None:
    ran = run("analyze", "success_patterns", "--store", corpus_store)
    whole = run("analyze", "success_patterns", "--format", "json", "--store", corpus_store)

    assert ran.out.splitlines()[0].split() == ["label", "kind", "pattern", "finding"]
    assert "0 of 0 judged runs succeed; left out: 2 repeated, 3 unjudged" in ran.out
    assert "otel-traj annotate" in ran.out
    [row] = json.loads(whole.out)
    assert (row["kind"], row["n_runs"], row["p_value"]) == ("all", 0, None)


def test_analyze_describes_parameters_and_columns(run: Run) -> None:
    ran = run("analyze", "tool_effectiveness", "--describe")

    assert ran.status == 0
    assert "Grain: one row per tool" in ran.out
    assert "Parameters:\n" in ran.out
    assert "Columns:\n" in ran.out
