from __future__ import annotations

import os

import pytest

from otel_traj_analysis import cases
from otel_traj_analysis.header import Analysis
from tests.analysis import mutation
from tests.analysis.shipped import ALL, CHECKS

PROMISES = [
    pytest.param(analysis, case, id=f"{analysis.name}: {case.promise}")
    for analysis in ALL
    for case in cases.shipped(analysis.name)
]

EQUIVALENT = {
    # An attempt that counts is no fork or replay, and landmark 0 is there for every run.
    ("tool_effectiveness", "left join runs"),
    ("tool_effectiveness", "left join landmarks"),
    # Steps have runs, and 5,001 runs make no example.
    ("tool_followups", "left join runs"),
    ("tool_followups", "where runs.nth <= coalesce(getvariable('max_runs'), 5001)"),
    # A failed call is a call of a run, and no good one.
    ("tool_errors", "left join trajectories"),
    ("tool_errors", "left join ends"),
    ("tool_errors", "left join attempts"),
    (
        "tool_errors",
        "count(*) filter (where ends.last_ok_step >= failed.step) as n_recovered,",
    ),
    # What finds no partner is NULL in a comparison, and so left out by the where clause as well.
    ("one_revision", "left join newest_revisions"),
    # What is found is a step of a run, by a rule of the list; what finds no partner is NULL where
    # it is compared.
    *(
        ("attribution", f"left join {table}")
        for table in ("runs", "moves", "file_changes", "ends", "rules", "told", "steps")
    ),
    # Each thing has its remedy.
    ("coverage", "left join advice"),
    # Every agent has runs.
    ("latency", "left join per_agent"),
    # An example is a step: there always is a partner.
    ("process_map", "left join steps"),
    # Every run has its row among the attempts.
    ("drift", "left join attempts"),
    ("process_map", "join attempts"),
    # Two parts are the same two parts, whichever is called which.
    ("drift", "partition by agent_name, week is not null order by week"),
    ("performance_patterns", "left join trajectories"),
    ("variants", "left join attempts"),
    # What is found are calls.
    ("waste", "left join calls"),
    ("steps_within_run", "left join trajectories"),
    # Calls at one place are one call, and that has one symbol.
    ("success_patterns", "and later.place >= earlier.place"),
    # What shows a pattern is a run, and a pattern that is shown has tables: all find a partner.
    ("success_patterns", "left join runs"),
    ("success_patterns", "left join tables"),
    ("failure_patterns", "left join runs"),
    ("failure_patterns", "left join tables"),
    *(
        (f"{end}_patterns", f"left join {cte}")
        for end in ("success", "failure")
        for cte in ("counts", "examples")
    ),
    # No case has so many runs or patterns.
    ("replay_inputs", "<= coalesce(getvariable('newest'), 101)"),
    *(
        (f"{end}_patterns", "<= coalesce(getvariable('max_patterns'), 10001)")
        for end in ("success", "failure")
    ),
    # Whatever is told of a run is of a unit, its beginnings are nodes, and every tree has a start.
    ("prefix_value", "left join units"),
    ("prefix_value", "left join nodes as starts"),
    ("prefix_value", "left join parted"),
    ("prefix_value", "left join examples"),
    ("prefix_value", "left join attempted"),
    ("prefix_value", "left join sequences"),
    # Every run is an attempt, and what is told of it is of a unit, as above.
    ("first_divergence", "left join attempted"),
    ("first_divergence", "left join units"),
    ("first_divergence", "left join nodes as here"),
    ("first_divergence", "left join sequences"),
    # No column has a dot in its name.
    (
        "first_divergence",
        "regexp_replace(coalesce(getvariable('split_by'), 'mutant'), '^[^.]+\\.?', '') as key",
    ),
    ("cohorts", "left join attempted"),
    ("cohorts", "left join grouped"),
    # There is one first cohort, and what has no partner in it has no group either.
    ("cohorts", "left join first_of_all"),
    ("cohorts", "left join by_task as base"),
    ("cohorts", "left join facts as base"),
    (
        "cohorts",
        "regexp_replace(coalesce(getvariable('split_by'), 'mutant'), '^[^.]+\\.?', '') as key",
    ),
    # What the list does not name comes last.
    (
        "cohorts",
        "['success', 'cost_usd', 'duration_s', 'tokens', 'steps', 'mutant'], totals.measure",
    ),
}
"""Analysis and start of the broken line: mutants that give the same rows for every input."""

ONE_IN = int(os.environ.get("OTEL_TRAJ_MUTANTS", "8"))
"""Of so many broken places one is tried, as all take many minutes; 1 tries all."""


@pytest.mark.parametrize(("analysis", "case"), PROMISES)
def test_promise_is_kept(analysis: Analysis, case: cases.Case) -> None:
    cases.verify(analysis, case)


@pytest.mark.parametrize("analysis", ALL, ids=lambda analysis: analysis.name)
def test_empty_input_has_a_case(analysis: Analysis) -> None:
    promises = cases.shipped(analysis.name)

    assert any(not case.given and case.query == [] for case in promises)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_check_has_a_healthy_case_that_is_not_empty(check: Analysis) -> None:
    promises = cases.shipped(check.name)

    assert any(case.given and case.query == [] for case in promises)


@pytest.mark.parametrize("analysis", ALL, ids=lambda analysis: analysis.name)
def test_every_column_is_expected_in_some_case(analysis: Analysis) -> None:
    rows = [row for case in cases.shipped(analysis.name) for row in case.query or ()]

    expected = {name for row in rows for name in row}

    assert expected == {column.name for column in analysis.columns}


@pytest.mark.slow
@pytest.mark.sources
@pytest.mark.parametrize("analysis", ALL, ids=lambda analysis: analysis.name)
def test_cases_notice_when_the_sql_is_broken(analysis: Analysis) -> None:
    survivors = mutation.survivors(analysis, cases.shipped(analysis.name), one_in=ONE_IN)

    unnoticed = [
        m for m in survivors if (analysis.name, m.after.split(" on ")[0]) not in EQUIVALENT
    ]

    assert [f"{m.before}  =>  {m.after}" for m in unnoticed] == []
