from pathlib import Path

import pytest

from otel_traj import semconv
from otel_traj.errors import ConfigurationError
from otel_traj.model import LogRecord
from otel_traj.store import TrajectoryStore, rules
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


def test_without_a_judgement_the_status_decides_and_says_so(store: TrajectoryStore) -> None:
    store.append(run(1))

    assert judged(store) == [("success", "builtin")]


def test_a_rule_beats_the_status(store: TrajectoryStore) -> None:
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
