"""Analyses over a real store."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

import otel_traj_analysis as analysis
from otel_traj import semconv
from otel_traj.errors import ConfigurationError, QueryError, QueryRefusedError
from otel_traj.store import TrajectoryStore
from otel_traj_analysis import Violations, runner
from otel_traj_analysis.header import Analysis
from tests.analysis.shipped import ALL
from tests.store.runs import chat, root, run, started, tool


@pytest.fixture
def store(tmp_path: Path) -> TrajectoryStore:
    """Three runs: one merely completed, one judged, one with a failed call that is tried again."""
    store = TrajectoryStore.create(tmp_path / "traces")
    failed = {semconv.ERROR_TYPE: "KeyError"}
    store.append(
        [
            *run(1),
            *run(2, **{semconv.OUTCOME: "success", semconv.REWARD: 0.5}),
            *(chat(3, 1), tool(3, 2, **failed), tool(3, 3), tool(3, 4), root(3)),
        ]
    )
    return store


def rows(relation: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = relation.to_arrow_table().to_pylist()
    return found


@pytest.fixture
def eventful(store: TrajectoryStore) -> TrajectoryStore:
    """Beside them three runs judged at one task, one of which asks in vain, and an open one."""
    same = {semconv.TOOL_CALL_ARGUMENTS: "{}", semconv.TOOL_CALL_RESULT: "none"}
    in_vain = [tool(4, place, **same) for place in range(2, 7)]
    judged = {semconv.TASK: "order-4", semconv.OUTCOME: "success"}
    failed = judged | {semconv.OUTCOME: "failure"}
    store.append([chat(4, 1), *in_vain, root(4, **judged), *run(6, **judged), *run(7, **failed)])
    store.append([chat(5, 1), started(root(5))])
    return store


@pytest.mark.parametrize("name", analysis.names())
def test_every_analysis_gives_the_columns_that_it_describes(
    eventful: TrajectoryStore, name: str
) -> None:
    relation = analysis.run(eventful, name)

    described = analysis.describe(name)
    found = list(zip(relation.columns, map(str, relation.types), strict=True))
    assert found == [(column.name, column.type) for column in described.columns]
    assert relation.fetchall() != []


def test_outcomes_keep_judged_and_merely_completed_apart(store: TrajectoryStore) -> None:
    outcomes = {row["task"]: row for row in rows(analysis.run(store, "outcomes"))}

    counted = ("success_rate", "n_judged", "n_explicit", "n_only_completed", "mean_reward")
    assert [outcomes["order-1"][name] for name in counted] == [None, 0, 0, 1, None]
    assert [outcomes["order-2"][name] for name in counted] == [1.0, 1, 1, 0, 0.5]


def test_verdict_given_later_counts_in_the_next_run(store: TrajectoryStore) -> None:
    [(first,)] = store.sql(
        "select trajectory_id from trajectories where task = 'order-1'"
    ).fetchall()

    store.annotate(first, "outcome", "failure", kind="outcome")

    outcomes = {row["task"]: row for row in rows(analysis.run(store, "outcomes"))}
    assert (outcomes["order-1"]["n_failure"], outcomes["order-1"]["success_rate"]) == (1, 0.0)


def test_parameters_choose_rows(store: TrajectoryStore) -> None:
    [(last,)] = store.sql(
        "select trajectory_id from trajectories where task = 'order-3'"
    ).fetchall()

    timeline = rows(analysis.run(store, "step_timeline", trajectory_id=last))

    assert [(row["kind"], row["status"]) for row in timeline] == [
        ("llm", "ok"),
        ("tool", "error"),
        ("tool", "ok"),
        ("tool", "ok"),
    ]
    assert rows(analysis.run(store, "tool_effectiveness", min_calls=6)) == []


def test_none_is_the_default(store: TrajectoryStore) -> None:
    left_out = rows(analysis.run(store, "tool_effectiveness"))

    assert rows(analysis.run(store, "tool_effectiveness", min_calls=None, agent=None)) == left_out


def test_text_of_a_parameter_is_a_value_and_never_sql(store: TrajectoryStore) -> None:
    hostile = "clerk' or true; drop view steps; --"

    assert rows(analysis.run(store, "token_cost", agent=hostile)) == []
    assert rows(analysis.run(store, "token_cost", agent="clerk")) != []


def test_relations_with_other_parameters_do_not_disturb_each_other(store: TrajectoryStore) -> None:
    few = analysis.run(store, "tool_effectiveness", min_calls=1)
    many = analysis.run(store, "tool_effectiveness", min_calls=6)

    assert (len(rows(few)), len(rows(many)), len(rows(few))) == (1, 0, 1)


def test_threads_each_get_their_own_parameters(store: TrajectoryStore) -> None:
    wrong: list[int] = []

    def ask(min_calls: int, expected: int) -> None:
        for _ in range(5):
            found = len(rows(analysis.run(store, "tool_effectiveness", min_calls=min_calls)))
            if found != expected:
                wrong.append(min_calls)

    threads = [threading.Thread(target=ask, args=(n, int(n <= 5))) for n in (1, 5, 6, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_unknown_parameter_lists_the_right_ones(store: TrajectoryStore) -> None:
    with pytest.raises(ConfigurationError, match=r"no parameter 'calls'.*min_calls \(int\): tools"):
        analysis.run(store, "tool_effectiveness", calls=3)


def test_parameter_of_another_type_is_refused(store: TrajectoryStore) -> None:
    with pytest.raises(ConfigurationError, match="`min_calls` takes int, not '3'"):
        analysis.run(store, "tool_effectiveness", min_calls="3")


def test_own_file_runs_like_a_shipped_one(store: TrajectoryStore, tmp_path: Path) -> None:
    file = tmp_path / "tokens.sql"
    file.write_text(
        "-- name: tokens\n-- Tokens of all calls.\n-- grain: one row\n"
        "select\n    sum(input_tokens) as n  -- tokens\nfrom steps;\n"
    )

    assert analysis.run(store, str(file)).fetchall() == [(50,)]


# --- only some runs ----------------------------------------------------------------------------


def test_a_condition_leaves_only_what_belongs_to_its_trajectories(store: TrajectoryStore) -> None:
    counts = " union all ".join(
        f"select '{view}', count(*), count(distinct trajectory_id) from {view}"
        for view in ("trajectories", "steps", "spans", "trajectory_spans", "attempts")
    )
    connection = store.connection()

    runner.narrow(connection, "outcome_source = 'explicit' -- judged")

    narrowed = connection.execute(counts).fetchall()
    everything = store.connection().execute(counts).fetchall()
    assert [runs for _, _, runs in narrowed] == [1] * 5
    assert [runs for _, _, runs in everything] == [3] * 5
    assert all(few < all_ for (_, few, _), (_, all_, _) in zip(narrowed, everything, strict=True))


def test_an_analysis_looks_at_the_chosen_runs(store: TrajectoryStore) -> None:
    chosen = analysis.run(store, "outcomes", where="reward = 0.5", min_runs=1)

    assert [row["task"] for row in rows(chosen)] == ["order-2"]
    assert rows(analysis.run(store, "outcomes", where="false")) == []
    assert len(rows(analysis.run(store, "outcomes"))) == 3


@pytest.mark.parametrize(
    ("condition", "error", "message"),
    [
        ("no_such = 1", QueryError, "condition 'no_such = 1' on trajectories: .*no_such"),
        ("1 = (", QueryError, "syntax error"),
        ("true); select (1", QueryRefusedError, "one SELECT"),
        ("true) or (true", QueryError, "syntax error"),
        ("trajectory_id in (from read_csv('/etc/passwd'))", QueryRefusedError, "read_csv"),
    ],
)
def test_a_condition_that_is_none_is_refused(
    store: TrajectoryStore, condition: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        analysis.run(store, "outcomes", where=condition)


def test_labels_that_nobody_can_give_are_refused(store: TrajectoryStore, tmp_path: Path) -> None:
    file = tmp_path / "mine.sql"
    file.write_text(
        "-- name: mine\n-- All.\n-- grain: one row\n-- labels: magic\n"
        "select\n    count(*) as n  -- steps\nfrom steps;\n"
    )

    with pytest.raises(ConfigurationError, match="unknown step 'magic'; there is contrast"):
        analysis.run(store, str(file))


@pytest.mark.parametrize("shipped", ALL, ids=lambda shipped: shipped.name)
def test_file_runs_unchanged_in_a_bare_duckdb(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch, shipped: Analysis
) -> None:
    monkeypatch.chdir(store.path)
    bare = duckdb.connect()
    bare.execute((store.path / "views.sql").read_text())

    found = bare.sql(shipped.sql)

    assert rows(found) == rows(runner.answer(store.connection(), shipped, {}))


def test_store_that_keeps_its_promises_is_healthy(store: TrajectoryStore) -> None:
    assert analysis.check(store) == ()


def test_check_shows_what_it_found(store: TrajectoryStore) -> None:
    # A store cannot be made to lie through its own doors, so the views are changed under the check.
    broken = runner.empty_store()
    broken.execute(
        "insert into spans (trace_id, span_id) select 't', 's' || i % 12 from range(24) r(i)"
    )

    found = runner.violations(broken, analysis.load("spans_once", "checks"))

    assert (found.check, found.n, len(found.rows)) == ("spans_once", 12, 10)
    assert found.rows[0] == {"trace_id": "t", "span_id": "s0", "n_rows": 2, "n_runs": 0}
    assert isinstance(found, Violations)


def test_conditions_of_a_parameter_choose_runs(store: TrajectoryStore) -> None:
    [first, *_] = rows(
        analysis.run(store, "cohorts", cohort_where="n_errors > 0", builtin_outcomes=True)
    )

    assert (first["cohort"], first["n_runs"]) == ("baseline", 2)


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("nothing > 0", QueryError, "cohort_where: .*nothing"),
        ("true); drop view steps; (", QueryError, "syntax error"),
        ("read_text('/etc/passwd') is null", QueryRefusedError, "read_text"),
        (3, ConfigurationError, "takes where, not 3"),
    ],
)
def test_a_condition_of_a_parameter_that_is_wrong_says_so(
    store: TrajectoryStore, where: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        analysis.run(store, "cohorts", cohort_where=where)


def test_cohorts_by_an_unknown_column_say_so(store: TrajectoryStore) -> None:
    with pytest.raises(QueryError, match=r"cohorts: .*empty set of columns"):
        analysis.run(store, "cohorts", split_by="nonsense")
