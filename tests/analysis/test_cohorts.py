"""What may be believed of differences between cohorts, by counts on which one can see why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pyarrow as pa
import pytest

import otel_traj_analysis as analysis
from otel_traj.errors import ConfigurationError
from otel_traj_analysis import cohorts, runner
from otel_traj_analysis.labels import COMPARED_LABELS

Counts: TypeAlias = tuple[int, int, int, int]
"""Of one task: runs of the cohort that succeeded, all its runs, and the same of the baseline."""

SCHEMA = runner.answer(runner.empty_store(), analysis.load("cohorts"), {}).to_arrow_table().schema
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

HELPS: Counts = (3, 4, 1, 4)
NOTHING: Counts = (2, 4, 2, 4)


def rates(*tasks: Counts, cohort: str = "v2", alone: Counts = (0, 0, 0, 0)) -> Rows:
    """Success of a cohort and of `v1`: at tasks that both tried, and at others."""
    shared = [
        {
            "task": f"task-{number}",
            "n": n,
            "n_success": success,
            "value": success / n,
            "n_baseline": base_n,
            "n_baseline_success": base_success,
            "baseline_value": base_success / base_n,
        }
        for number, (success, n, base_success, base_n) in enumerate(tasks)
    ]
    success, n, base_success, base_n = (
        sum(task[place] for task in [*tasks, alone]) for place in range(4)
    )
    both = {"measure": "success", "baseline": "v1", "n_tasks": len(tasks) + bool(sum(alone))}
    return (
        {**both, "cohort": "v1", "n_runs": base_n, "n_success": base_success},
        {**both, "cohort": cohort, "n_runs": n, "n_success": success, "tasks": shared},
    )


def amounts(*tasks: tuple[float, float], measure: str = "tokens") -> Rows:
    """Medians of each task that both tried, of the cohort and of `v1`."""
    shared = [
        {"task": f"task-{number}", "n": 1, "value": value, "n_baseline": 1, "baseline_value": base}
        for number, (value, base) in enumerate(tasks)
    ]
    both = {"measure": measure, "baseline": "v1", "n_runs": len(tasks), "n_tasks": len(tasks)}
    return (
        {**both, "cohort": "v1", "value": tasks[0][1] if tasks else None},
        {**both, "cohort": "v2", "value": tasks[0][0] if tasks else None, "tasks": shared},
    )


Rows: TypeAlias = tuple[dict[str, Any], dict[str, Any]]


def labelled(*rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    told = [{"is_assigned": False, "n_in_none": 0, **row} for row in rows]
    judged: list[dict[str, Any]] = cohorts.label(
        pa.Table.from_pylist(told, schema=SCHEMA)
    ).to_pylist()
    return judged


def compared(rows: Rows, base: Mapping[str, Any] = {}, **cohort: Any) -> dict[str, Any]:
    """The judged row of the cohort; further columns of the baseline, and of it."""
    _, judged = labelled(rows[0] | dict(base), rows[1] | cohort)
    return judged


def ran(first: datetime, hours: float = 1) -> dict[str, Any]:
    return {"began_first": first, "began_last": first + timedelta(hours=hours)}


# --- success -------------------------------------------------------------------------------------


def test_what_differs_at_every_task_is_established() -> None:
    base, judged = labelled(*rates(*[HELPS] * 4))

    assert (base["label"], base["finding"]) == (None, "4 of 16 judged runs succeed")
    assert judged["label"] == "established"
    assert judged["difference"] == pytest.approx(0.5)
    assert 0 < judged["difference_low"] < 0.5 < judged["difference_high"]
    assert judged["p_value"] == judged["q_value"] == pytest.approx(0.01767, abs=1e-5)
    assert judged["value_low"] < 0.75 < judged["value_high"]
    assert (judged["n_shared"], judged["n_telling"], judged["missing"]) == (4, 4, None)
    assert judged["warnings"] == []
    assert judged["finding"] == (
        "12 of 16 runs succeed, 4 of 16 with v1: +50 points within tasks (95 % +20 to +80,"
        " 4 tasks can tell)"
    )


def test_arms_that_ran_at_the_same_time_are_an_intervention() -> None:
    judged = compared(rates(*[HELPS] * 4), ran(NOON), is_assigned=True, **ran(NOON))

    assert judged["label"] == "interventional"


def test_arms_of_which_no_times_are_told_are_none() -> None:
    assert compared(rates(*[HELPS] * 4), is_assigned=True)["label"] == "established"


@pytest.mark.parametrize(("hours", "later"), [(24, "v2"), (-24, "v1")])
def test_cohorts_that_ran_one_after_the_other_are_confounded_with_time(
    hours: int, later: str
) -> None:
    rows = rates(*[HELPS] * 4)

    judged = compared(rows, ran(NOON), is_assigned=True, **ran(NOON + timedelta(hours=hours)))

    assert judged["label"] == "time-confounded"
    [warning] = judged["warnings"]
    assert warning.startswith(f"{later} ran after")
    assert judged["finding"].endswith(warning)


BASE, HELPED = rates(*[HELPS] * 4)
SUGGESTIVE = {
    "two tasks": rates((10, 12, 2, 12), (10, 12, 2, 12)),
    "runs are lost unequally": (BASE | {"left_out": [("error", 30)]}, HELPED),
}


@pytest.mark.parametrize("why", SUGGESTIVE)
def test_a_difference_on_weak_ground_is_suggestive(why: str) -> None:
    judged = compared(SUGGESTIVE[why])

    assert judged["p_value"] < 0.05
    assert judged["label"] == "suggestive"


def test_runs_left_out_because_they_are_no_attempts_do_no_harm() -> None:
    judged = compared(rates(*[HELPS] * 4), {"left_out": [("derived", 30), ("repeated", 9)]})

    assert (judged["label"], judged["warnings"]) == ("established", [])


def test_a_difference_among_many_cohorts_is_suggestive() -> None:
    base, cohort = rates(*[HELPS] * 4)
    others = [rates(*[NOTHING] * 4, cohort=f"other-{n}")[1] for n in range(9)]

    judged = labelled(base, cohort, *others)[1]

    assert (judged["label"], judged["q_value"]) == (
        "suggestive",
        pytest.approx(10 * judged["p_value"]),
    )


def test_cohorts_that_tried_other_tasks_are_confounded_with_tasks() -> None:
    judged = compared(rates(NOTHING, NOTHING, alone=(30, 30, 0, 30)))

    assert judged["label"] == "task-confounded"
    assert judged["finding"] == (
        "34 of all 38 runs succeed, 4 of all 38 with v1; not so within the same task"
        " (2 tasks can tell); 2 tasks of only one of them are left aside"
    )


def test_without_a_shared_task_nothing_can_be_told() -> None:
    judged = compared(rates(alone=(30, 30, 0, 30)))

    assert (judged["label"], judged["n_shared"]) == ("insufficient", 0)
    assert judged["finding"] == "cannot be told: it is known of no task that both tried"
    assert judged["difference"] is judged["p_value"] is judged["q_value"] is None


def test_few_runs_say_how_many_more_are_needed() -> None:
    judged = compared(rates(NOTHING, NOTHING))

    assert (judged["label"], judged["missing"]) == ("insufficient", 128)
    assert judged["detectable"] > 0.25
    assert judged["finding"] == (
        "cannot be told: 4 of 8 runs succeed, 4 of 8 with v1;"
        " 128 more runs of mixed tasks are needed"
    )


def test_many_runs_without_a_difference_show_that_there_is_none() -> None:
    judged = compared(rates(*[NOTHING] * 40))

    assert (judged["label"], judged["missing"]) == ("no-effect", None)


def test_one_run_a_task_is_the_exact_test_of_mcnemar() -> None:
    """Nine tasks that only the cohort solves, one that only the baseline does: 2 * 11 / 1024."""
    judged = compared(rates(*[(1, 1, 0, 1)] * 9, (0, 1, 1, 1), *[(1, 1, 1, 1)] * 30))

    assert judged["p_value"] == pytest.approx(22 / 1024)
    assert (judged["n_shared"], judged["n_telling"]) == (40, 10)


def test_what_else_differs_is_said() -> None:
    judged = compared(rates(*[HELPS] * 4), also_differ=["models", "service"])

    assert judged["warnings"] == ["they also differ in models, service"]


# --- other measures ------------------------------------------------------------------------------


def test_a_measure_that_grows_at_every_task_is_established() -> None:
    base, judged = labelled(*amounts(*[(1200 + n, 1000) for n in range(8)]))

    assert base["finding"] == "median 1,000 of 8 runs"
    assert judged["label"] == "established"
    assert judged["p_value"] == pytest.approx(2 / 2**8)
    assert (judged["difference"], judged["difference_low"], judged["difference_high"]) == (
        203.5,
        200,
        207,
    )
    assert judged["p_overall"] is judged["detectable"] is judged["value_low"] is None
    assert judged["finding"] == (
        "median 1,204, 1,000 with v1: +204 within tasks (95 % +200 to +207), more in 8 of 8 tasks"
    )


def test_five_tasks_are_one_too_few_for_the_sign_test() -> None:
    judged = compared(amounts(*[(9, 1)] * 5, measure="duration_s"))

    assert (judged["label"], judged["missing"]) == ("insufficient", 1)
    assert judged["difference"] == 8
    assert judged["difference_low"] is judged["difference_high"] is None
    assert judged["finding"] == (
        "cannot be told: median 9 s, 1 s with v1; 1 more shared task needed"
    )


def test_a_measure_that_varies_little_shows_that_there_is_no_effect() -> None:
    judged = compared(amounts(*[(10, 10.1), (10.1, 10)] * 4, measure="cost_usd"))

    assert judged["label"] == "no-effect"
    assert (
        "$10.05, $10.05 with v1: +$0.00 within tasks (95 % -$0.10 to +$0.10)" in judged["finding"]
    )


def test_a_measure_that_varies_much_says_how_many_more_tasks_are_needed() -> None:
    """Bounds of ten units, where 2.5 would do, need 16 times the 8 tasks."""
    judged = compared(amounts(*[(20, 10), (10, 20)] * 4))

    assert (judged["label"], judged["missing"]) == (
        "insufficient",
        math.ceil(8 * ((10 / 3.75) ** 2 - 1)),
    )


def test_a_measure_that_is_always_zero_does_not_differ() -> None:
    assert compared(amounts(*[(0, 0)] * 8, measure="failed_steps"))["label"] == "no-effect"


def test_a_measure_that_is_rarely_more_than_zero_is_measured_by_its_mean() -> None:
    """A mean of half a step allows for an eighth, the bounds are of four steps."""
    judged = compared(amounts(*[(0, 0)] * 6, (2, 0), (0, 4), measure="failed_steps"))

    assert (judged["label"], judged["missing"]) == ("insufficient", 8 * (32**2 - 1))


def test_what_nobody_recorded_is_not_compared() -> None:
    base, judged = amounts()

    base, judged = labelled(
        base | {"left_out": [("not recorded", 7)]}, judged | {"tasks": None, "n_runs": 3}
    )

    assert base["finding"] == "not recorded; left out: 7 not recorded"
    assert judged["finding"] == "cannot be told: it is known of no task that both tried"


# --- the table -----------------------------------------------------------------------------------


def test_unjudged_runs_are_counted_and_what_to_do_is_said() -> None:
    base, _ = labelled(rates(NOTHING)[0] | {"left_out": [("unjudged", 7)]}, rates(NOTHING)[1])

    assert base["finding"] == (
        "2 of 4 judged runs succeed; left out: 7 unjudged (say how they ended: otel-traj annotate)"
    )


def test_rows_come_back_in_their_order() -> None:
    base, cohort = rates(NOTHING)
    other = rates(HELPS, cohort="v3")[1]
    tokens = amounts((1, 2))

    judged = labelled(base, other, cohort, *tokens)

    assert [(row["cohort"], row["measure"]) for row in judged] == [
        ("v1", "success"),
        ("v3", "success"),
        ("v2", "success"),
        ("v1", "tokens"),
        ("v2", "tokens"),
    ]


def test_an_unknown_baseline_lists_what_there_is() -> None:
    rows = [row | {"baseline": "v9"} for row in rates(NOTHING)]

    with pytest.raises(
        ConfigurationError, match="No run is in the baseline 'v9'; there is: 'v1', 'v2'"
    ):
        labelled(*rows)


def test_nothing_comes_of_nothing() -> None:
    assert labelled() == []


def test_every_label_is_explained() -> None:
    given = {
        compared(rows)["label"]
        for rows in (
            rates(*[HELPS] * 4),
            rates(NOTHING),
            rates(*[NOTHING] * 40),
            *SUGGESTIVE.values(),
        )
    }

    assert given <= COMPARED_LABELS.keys()
