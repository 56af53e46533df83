from pathlib import Path

import pytest

from otel_traj import semconv
from otel_traj.errors import ConfigurationError
from otel_traj.model import LogRecord
from otel_traj.store import TrajectoryStore, rules
from otel_traj.store.doctor import Diagnosis
from tests.store.runs import run, span_id, trace_id


def judged(store: TrajectoryStore) -> list[tuple[str, str]]:
    return store.sql("select outcome, outcome_source from trajectories order by task").fetchall()


def evaluated(number: int, name: str, label: str, time_ns: int = 5) -> LogRecord:
    attributes = {semconv.EVALUATION_NAME: name, semconv.EVALUATION_LABEL: label}
    return LogRecord(
        trace_id(number),
        span_id(number, 0),
        time_ns,
        None,
        semconv.EVENT_EVALUATION,
        None,
        None,
        attributes,
    )


def write_rules(store: TrajectoryStore, text: str) -> None:
    (store.path / "rules.toml").write_text(text)


SHORT_IS_FAILURE = """
[[outcome]]
name = "too short"
when = "n_steps < 4 and duration_s < 60"
outcome = "failure"
"""


def test_s1_22_without_a_judgement_the_status_decides_and_says_so(store: TrajectoryStore) -> None:
    store.append(run(1))

    assert judged(store) == [("success", "builtin")]


def test_s1_22_a_rule_beats_the_status(store: TrajectoryStore) -> None:
    store.append(run(1))
    write_rules(store, SHORT_IS_FAILURE)

    assert judged(store) == [("failure", "rule:too short")]


def test_an_evaluation_beats_a_rule_and_an_explicit_call_beats_all(store: TrajectoryStore) -> None:
    store.append([*run(1), *run(2), evaluated(1, "outcome", "partial")])
    write_rules(store, SHORT_IS_FAILURE)
    assert judged(store) == [("partial", "evaluation"), ("failure", "rule:too short")]

    for trajectory in store.trajectories():
        store.annotate(trajectory.trajectory_id, "outcome", "error", kind="outcome")

    assert judged(store) == [("error", "explicit")] * 2


def test_the_last_explicit_word_counts(store: TrajectoryStore) -> None:
    store.append(run(1))
    [trajectory] = store.trajectories()

    for outcome in ("failure", "success", "partial"):
        store.annotate(trajectory.trajectory_id, "outcome", outcome, kind="outcome")

    assert judged(store) == [("partial", "explicit")]
    assert store.sql("select count(*) from annotations").fetchall() == [(3,)]
    assert store.sql("select value_text from annotations_latest").fetchall() == [("partial",)]


def test_what_a_run_says_of_itself_is_explicit(store: TrajectoryStore) -> None:
    store.append(run(1, **{semconv.OUTCOME: "failure", semconv.REWARD: 0.5}))

    assert judged(store) == [("failure", "explicit")]
    assert store.sql("select reward from trajectories").fetchall() == [(0.5,)]


def test_what_a_run_says_of_itself_is_told_once_however_often_it_is_derived(
    store: TrajectoryStore,
) -> None:
    from tests.store.runs import tool

    store.append(run(1, **{semconv.OUTCOME: "failure"}))
    before = store.sql("select * from annotations").fetchall()

    store.append([tool(1, 4)])

    assert store.sql("select * from annotations").fetchall() == before
    assert judged(store) == [("failure", "explicit")]


def test_rules_may_name_the_evaluation_that_decides(store: TrajectoryStore) -> None:
    store.append([*run(1), evaluated(1, "correctness", "failure")])
    assert judged(store) == [("success", "builtin")]

    write_rules(store, 'outcome_evaluations = ["correctness"]')

    assert judged(store) == [("failure", "evaluation")]


def test_the_first_rule_that_holds_decides(store: TrajectoryStore) -> None:
    store.append([*run(1), *run(2)])
    write_rules(
        store,
        """
        [[outcome]]
        name = "uncomputable"
        when = "cast(task as int) > 0"
        outcome = "error"
        [[outcome]]
        name = "it's one"
        when = "task = 'order-1'"
        outcome = "failure"
        [[outcome]]
        name = "any"
        when = "true"
        outcome = "partial"
        """,
    )

    assert judged(store) == [("failure", "rule:it's one"), ("partial", "rule:any")]


def test_views_sql_carries_the_rules(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    write_rules(store, SHORT_IS_FAILURE)
    store.append(run(1))
    monkeypatch.chdir(store.path)
    bare = duckdb.connect()

    bare.execute(Path("views.sql").read_text())

    assert bare.execute("select outcome from trajectories").fetchall() == [("failure",)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[outcome]", "Cannot read"),
        ("[outcome]\nname = 'x'", r"write \[\[outcome\]\]"),
        ("[reward]\nname = 'x'", r"write \[\[reward\]\]"),
        ("[[reward]]\nname = 'x'", "'x'.*needs exactly name and value"),
        ("[[reward]]\nname = 'x'\nvalue = 1", "'x'.*are texts"),
        ("[[reward]]\nname = 'x'\nvalue = 'status'", "'x'.*no number.*VARCHAR"),
        ("[[reward]]\nname = 'x'\nvalue = 'reward + 1'", "'x'.*reward"),
        ("[[reward]]\nname = 'x'\nvalue = 'n_steps, 1'", "'x'.*no number"),
        ("outcome_evaluations = 'x'", "list of names"),
        ("[[outcome]]\nname = 'x'\nwhen = 'true'", "'x'.*needs exactly name, when and outcome"),
        ("[[outcome]]\nname = 'x'\nwhen = 'true'\noutcome = 'good'", "'x'.*'good' is none of"),
        ("[[outcome]]\nname = 'x'\nwhen = 1\noutcome = 'error'", "'x'.*are texts"),
        ("[[outcome]]\nname = 'x'\nwhen = 'n_stps > 1'\noutcome = 'error'", "'x'.*n_stps"),
        ("[[outcome]]\nname = 'x'\nwhen = 'n_steps'\noutcome = 'error'", "'x'.*not BOOLEAN"),
        ("[[outcome]]\nname = 'x'\nwhen = 'a ='\noutcome = 'error'", "'x'.*no condition"),
        (
            "[[outcome]]\nname = 'x'\nwhen = \"exists (from 'f.csv')\"\noutcome = 'error'",
            "'x'.*subquery",
        ),
        (
            "[[outcome]]\nname = 'x'\nwhen = \"outcome = 'error'\"\noutcome = 'error'",
            "'x'.*outcome",
        ),
        (
            "[[outcome]]\nname = 'x'\nwhen = \"true) from stored.spans --\"\noutcome = 'error'",
            "'x'.*no condition",
        ),
    ],
)
def test_a_wrong_rule_names_its_file_and_itself(
    store: TrajectoryStore, text: str, says: str
) -> None:
    write_rules(store, text)

    with pytest.raises(ConfigurationError, match=f"(?s)rules.toml.*{says}|Cannot read.*rules.toml"):
        rules.load(store.path)


def test_a_wrong_rule_stops_questions_but_no_seal(
    store: TrajectoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    write_rules(store, "[[outcome]]\nname = 'x'")

    store.append(run(1))

    assert "rules.toml" in caplog.text
    with pytest.raises(ConfigurationError):
        store.sql("select 1 from trajectories")
    write_rules(store, "")
    assert judged(store) == [("success", "builtin")]


def test_s1_22_evaluations_and_feedback_are_what_rules_judge_by(store: TrajectoryStore) -> None:
    store.append([*run(1), *run(2), *run(3), scored(1, "faithfulness", 0.9)])
    store.append([evaluated(2, "toxicity", "high"), scored(2, "faithfulness", 0.9)])
    [third] = store.trajectories(task="order-3")
    store.annotate(third.trajectory_id, "thumbs", "down", kind="feedback", annotator="mona")
    write_rules(
        store,
        """
        [[outcome]]
        name = "toxic"
        when = "labels['toxicity'] = 'high'"
        outcome = "failure"
        [[outcome]]
        name = "faithful"
        when = "scores['faithfulness'] >= 0.8"
        outcome = "success"
        [[outcome]]
        name = "disliked"
        when = "labels['thumbs'] = 'down'"
        outcome = "failure"
        """,
    )

    assert judged(store) == [
        ("success", "rule:faithful"),
        ("failure", "rule:toxic"),
        ("failure", "rule:disliked"),
    ]


def scored(number: int, name: str, score: float) -> LogRecord:
    attributes = {semconv.EVALUATION_NAME: name, semconv.EVALUATION_VALUE: score}
    return LogRecord(
        trace_id(number),
        span_id(number, 0),
        5,
        None,
        semconv.EVENT_EVALUATION,
        None,
        None,
        attributes,
    )


def test_s1_22_the_reward_function_is_configuration(store: TrajectoryStore) -> None:
    store.append([*run(1), *run(2, **{semconv.REWARD: -2.0}), *run(3), scored(3, "speed", 0.25)])
    write_rules(
        store,
        """
        [[reward]]
        name = "speed"
        value = "scores['speed'] * 2"
        [[reward]]
        name = "per step"
        value = "1 / n_steps"
        [[outcome]]
        name = "worth it"
        when = "reward > 0.4"
        outcome = "success"
        """,
    )

    told = "select reward, reward_source, outcome_source from trajectories order by task"
    assert store.sql(told).fetchall() == [
        (pytest.approx(1 / 3), "rule:per step", "builtin"),
        (-2.0, "explicit", "builtin"),
        (0.5, "rule:speed", "rule:worth it"),
    ]


@pytest.mark.parametrize("value", ["cast(task as int)", "0 / 0", "1e308 * 10", "null::int"])
def test_a_reward_that_cannot_be_computed_is_none(store: TrajectoryStore, value: str) -> None:
    store.append(run(1))
    write_rules(store, f"[[reward]]\nname = 'x'\nvalue = '{value}'")

    told = "select reward, reward_source from trajectories"
    assert store.sql(told).fetchall() == [(None, None)]


def test_s1_22_all_agents_are_judged_by_the_same_rules(store: TrajectoryStore) -> None:
    other = {semconv.AGENT_NAME: "butler"}
    store.append([*run(1), *run(2, **other)])
    write_rules(store, SHORT_IS_FAILURE)

    told = "select agent_name, outcome, outcome_source from trajectories order by task"
    assert store.sql(told).fetchall() == [
        ("clerk", "failure", "rule:too short"),
        ("butler", "failure", "rule:too short"),
    ]


def test_s1_22_runs_without_an_outcome_are_counted_and_listed(store: TrajectoryStore) -> None:
    store.append([*run(1), *run(2, **{semconv.OUTCOME: "failure"}), evaluated(1, "style", "fine")])

    assert Diagnosis(store).overview()["n_unjudged"] == 1
    unjudged = "select task from trajectories where outcome_source = 'builtin'"
    assert store.sql(unjudged).fetchall() == [("order-1",)]


def test_a_changed_rule_judges_what_is_stored_already(store: TrajectoryStore) -> None:
    store.append(run(1))
    write_rules(store, SHORT_IS_FAILURE)
    assert judged(store) == [("failure", "rule:too short")]

    write_rules(store, SHORT_IS_FAILURE.replace("failure", "partial"))

    assert judged(store) == [("partial", "rule:too short")]


def test_an_evaluation_beats_builtin_only_with_a_word_that_is_an_outcome(
    store: TrajectoryStore,
) -> None:
    store.append(
        [*run(1), *run(2), evaluated(1, "outcome", "PASS"), evaluated(2, "outcome", "FAILURE")]
    )

    assert judged(store) == [("success", "builtin"), ("failure", "evaluation")]
