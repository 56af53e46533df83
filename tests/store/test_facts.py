"""What is said of a run, in it and later: history in `annotations`, the last word in the views."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

import otel_traj
from otel_traj import semconv
from otel_traj.capture import Recording
from otel_traj.errors import ConfigurationError, TrajectoryNotFoundError
from otel_traj.model import LogRecord
from otel_traj.store import TrajectoryStore
from tests.store.asking import asked
from tests.store.runs import run, span_id, started, tool, trace_id


@pytest.fixture
def stored(store: TrajectoryStore) -> str:
    store.append(run(1))
    [trajectory] = store.trajectories()
    return trajectory.trajectory_id


@pytest.fixture
def recording(store: TrajectoryStore) -> Iterator[Recording]:
    recording = otel_traj.instrument(
        store.path,
        instrumentors=(),
        seal=False,
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        logger_provider=LoggerProvider(shutdown_on_exit=False),
    )
    yield recording
    recording.shutdown()


# --- afterwards --------------------------------------------------------------------------------


def test_what_is_said_afterwards_is_redacted_before_it_is_written(
    store: TrajectoryStore, stored: str
) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"

    store.annotate(stored, "note", f"it used {key}")
    store.annotate(stored, "keys", {"found": [key]})

    files = [path.read_bytes() for path in store.path.rglob("*") if path.is_file()]
    assert not any(key.encode() in content for content in files)
    told = "select value_text, value_json->>'$.found[0]' from annotations_latest order by created"
    assert asked(store, told) == [
        ("it used [redacted:aws-key]", None),
        (None, "[redacted:aws-key]"),
    ]


def test_a_correction_is_current_and_what_was_said_stays(
    store: TrajectoryStore, stored: str
) -> None:
    for reward in (1.0, 0.25):
        store.annotate(stored, "reward", reward, annotator="mona")

    assert asked(store, "select reward from trajectories") == [(0.25,)]
    assert asked(store, "select value_num from annotations order by created") == [(1.0,), (0.25,)]
    assert asked(store, "select value_num from annotations_latest") == [(0.25,)]


def test_two_annotators_are_heard_both_and_the_last_one_decides(
    store: TrajectoryStore, stored: str
) -> None:
    for annotator, outcome, relevance in [("mona", "failure", 0.25), ("tom", "success", 1.0)]:
        store.annotate(stored, "outcome", outcome, annotator=annotator)
        store.annotate(stored, "relevance", relevance, annotator=annotator)

    latest = "select name, annotator, value_num, value_text from annotations_latest order by all"
    assert asked(store, latest) == [
        ("outcome", "mona", None, "failure"),
        ("outcome", "tom", None, "success"),
        ("relevance", "mona", 0.25, None),
        ("relevance", "tom", 1.0, None),
    ]
    assert asked(store, "select outcome from trajectories") == [("success",)]


def test_taking_back_leaves_what_others_said(store: TrajectoryStore, stored: str) -> None:
    store.annotate(stored, "outcome", "failure", annotator="mona")
    store.annotate(stored, "outcome", "success", annotator="tom")

    store.retract(stored, "outcome", annotator="tom")

    assert asked(store, "select outcome from trajectories") == [("failure",)]
    assert asked(store, "select count(*) from annotations") == [(3,)]
    with pytest.raises(ConfigurationError, match=r"Nothing named 'outcome' was said .* by 'tom'"):
        store.retract(stored, "outcome", annotator="tom")
    with pytest.raises(ConfigurationError, match="Nothing named 'reward'"):
        store.retract(stored, "reward")


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("outcome", "partial", "outcome"),
        ("reward", 1, "reward"),
        ("relevance", 0.5, "score"),
        ("topic", "refund", "label"),
        ("flag", True, "label"),
        ("detail", {"a": [1]}, "label"),
    ],
)
def test_the_kind_follows_from_name_and_value(
    store: TrajectoryStore, stored: str, name: str, value: Any, kind: str
) -> None:
    store.annotate(stored, name, value)

    assert asked(store, "select kind from annotations") == [(kind,)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("reward", float("nan")), "A reward is a finite number, not nan"),
        (("reward", float("-inf")), "finite"),
        (("relevance", float("nan")), "A score is a finite number"),
        (("reward", 10**400), "finite"),
        (("reward", "1.0"), "A reward is a number, not '1.0'"),
        (("reward", True), "a number"),
        (("outcome", "faliure"), "outcome 'faliure' is none of success"),
        (("outcome", "failure", "label"), "'outcome' is a statement of kind 'outcome'"),
        (("x", "y", "verdict"), "kind 'verdict' is none of reward"),
        (("", "y"), "needs a name"),
        (("topic", None), "needs a value; to take one back there is `retract`"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(
    store: TrajectoryStore, stored: str, arguments: tuple[Any, ...], says: str
) -> None:
    name, value, *kind = arguments

    with pytest.raises(ConfigurationError, match=says):
        store.annotate(stored, name, value, kind=kind[0] if kind else None)

    assert asked(store, "from annotations") == []


def test_of_a_run_or_step_that_is_not_there_nothing_can_be_said(
    store: TrajectoryStore, stored: str
) -> None:
    with pytest.raises(TrajectoryNotFoundError, match="nobody"):
        store.annotate("nobody", "reward", 1.0)
    with pytest.raises(TrajectoryNotFoundError, match="nobody"):
        store.retract("nobody", "reward")
    with pytest.raises(ConfigurationError, match="has no step 9"):
        store.annotate(stored, "reward", 1.0, step=9)


def test_why_a_run_failed_can_be_said_later_and_corrected(
    store: TrajectoryStore, stored: str
) -> None:
    reasons = "select failure_rationale, error_category, fix_applied from trajectories"
    assert asked(store, reasons) == [(None, None, None)]

    store.annotate(stored, "failure_rationale", "wrong order")
    store.annotate(stored, "error_category", "logic")
    store.annotate(stored, "failure_rationale", "wrong customer", annotator="mona")

    assert asked(store, reasons) == [("wrong customer", "logic", None)]
    assert store.trajectory(stored).failure_rationale == "wrong customer"


def test_what_was_said_of_an_open_run_stands_when_it_ends(store: TrajectoryStore) -> None:
    spans = run(1)
    store.append([*(replace(s) for s in spans[:-1]), started(spans[-1])])
    [trajectory] = store.trajectories(status="open")
    store.annotate(trajectory.trajectory_id, "outcome", "failure")
    store.annotate(trajectory.trajectory_id, "reward", 0.5, step=1)

    store.append(spans[-1:])

    assert asked(store, "select status, outcome from trajectories") == [("completed", "failure")]
    assert asked(store, "select reward from steps order by step") == [(None,), (0.5,), (None,)]


def test_what_was_said_of_a_step_moves_with_it_when_late_spans_come(
    store: TrajectoryStore, stored: str
) -> None:
    store.annotate(stored, "reward", 0.5, step=2)
    before = asked(store, "select span_id from steps where reward = 0.5")

    store.append([replace(tool(1, 4), start_ns=tool(1, 0).start_ns + 1)])

    assert asked(store, "select span_id, step from steps where reward = 0.5") == [
        (*before[0], 3),
    ]


def test_judges_at_the_same_time_lose_nothing(store: TrajectoryStore, stored: str) -> None:
    def judge(n: int) -> None:
        for k in range(5):
            store.annotate(stored, "relevance", k / 10, annotator=f"judge-{n}")

    threads = [threading.Thread(target=judge, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert asked(store, "select count(*) from annotations") == [(30,)]
    assert asked(store, "select value_num, count(*) from annotations_latest group by 1") == [
        (0.4, 6)
    ]


# --- in the run --------------------------------------------------------------------------------


def test_everything_can_be_said_in_the_run_and_after_it(
    store: TrajectoryStore, recording: Recording
) -> None:
    with otel_traj.trajectory("refund", agent="support") as run:
        run.annotate("relevance", 0.5, source="judge", annotator="gpt-x")
        run.annotate("topic", '{"looks": "like JSON"}')
        with otel_traj.tool_call("look") as call:
            call.annotate("useful", 1)
    run.annotate("feedback", "Useless!", kind="feedback", annotator="user-1")
    run.annotate("detail", {"a": ["ü"]}, kind="comment")
    recording.flush()

    assert asked(
        store,
        "select target, name, kind, value_num, value_text, value_json, source, annotator"
        " from annotations order by name",
    ) == [
        ("trajectory", "detail", "comment", None, None, '{"a":["ü"]}', "explicit", None),
        ("trajectory", "feedback", "feedback", None, "Useless!", None, "explicit", "user-1"),
        ("trajectory", "relevance", "score", 0.5, None, None, "judge", "gpt-x"),
        ("trajectory", "topic", "label", None, '{"looks": "like JSON"}', None, "explicit", None),
        ("step", "useful", "score", 1.0, None, None, "explicit", None),
    ]


def test_reasons_given_after_the_end_are_the_runs(
    store: TrajectoryStore, recording: Recording
) -> None:
    with otel_traj.trajectory("refund") as run:
        run.outcome("failure", rationale="too slow", error_category="time")
    recording.flush()
    assert asked(store, "select failure_rationale from trajectories") == [("too slow",)]

    run.outcome("failure", rationale="wrong order", fix_applied="asked twice")
    recording.flush()

    assert asked(
        store, "select failure_rationale, error_category, fix_applied from trajectories"
    ) == [("wrong order", "time", "asked twice")]


def test_a_sub_agents_judgement_is_not_the_runs(
    store: TrajectoryStore, recording: Recording
) -> None:
    with (
        otel_traj.trajectory("whole", agent="lead"),
        otel_traj.trajectory("part", agent="helper") as part,
    ):
        part.outcome("failure")
        part.reward(0.25)
    part.annotate("relevance", 1.0)
    recording.flush()

    assert asked(store, "select outcome_source, reward from trajectories") == [("builtin", None)]
    assert asked(store, "select distinct target from annotations") == [("span",)]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_told_of_and_left_out(
    store: TrajectoryStore,
    recording: Recording,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    number: float,
) -> None:
    monkeypatch.setattr("otel_traj.capture.guard._causes", Counter())

    with otel_traj.trajectory("refund") as run:
        run.reward(number)
        run.annotate("relevance", number)
        with otel_traj.tool_call("look") as call:
            call.reward(number)
            call.test_pass_rate(number)
    recording.flush()

    assert asked(store, "select reward from trajectories") == [(None,)]
    assert asked(store, "select reward, cumulative_reward, test_pass_rate from steps") == [
        (None, None, None)
    ]
    assert asked(store, "from annotations") == []
    assert "finite number" in caplog.text


# --- evaluation events of others ---------------------------------------------------------------


def evaluation(position: int, time_ns: int, **attributes: Any) -> LogRecord:
    return LogRecord(
        trace_id(1),
        span_id(1, position),
        time_ns,
        None,
        semconv.EVENT_EVALUATION,
        None,
        None,
        {f"gen_ai.evaluation.{key.replace('_', '.')}": value for key, value in attributes.items()},
    )


def test_an_evaluation_that_arrives_late_is_current_and_twice_is_once(
    store: TrajectoryStore, stored: str
) -> None:
    late = [
        evaluation(0, 7, name="outcome", score_label="failure", explanation="wrong order"),
        evaluation(2, 8, name="relevance", score_value=0.5, score_label="meh", explanation="why"),
    ]
    store.append(late)
    store.append(late)

    assert asked(store, "select outcome, outcome_source, failure_rationale from trajectories") == [
        ("failure", "evaluation", "wrong order")
    ]
    assert asked(
        store,
        "select target, kind, value_num, value_text, value_json, source from annotations"
        " where name = 'relevance'",
    ) == [("step", "score", 0.5, "meh", '{"explanation":"why"}', "evaluation")]
    assert asked(store, "select count(*) from annotations") == [(3,)]


def test_an_evaluation_that_comes_before_its_run_waits_for_it(store: TrajectoryStore) -> None:
    store.append([evaluation(0, 7, name="outcome", score_label="failure")])
    assert asked(store, "from trajectories") == []

    store.append(run(1))

    assert asked(store, "select outcome, outcome_source from trajectories") == [
        ("failure", "evaluation")
    ]


def test_a_number_that_is_none_says_nothing(store: TrajectoryStore, stored: str) -> None:
    store.append([evaluation(0, 7, name="reward", score_value=float("nan"))])

    assert asked(store, "select reward from trajectories") == [(None,)]


def test_later_evaluations_of_one_evaluator_replace_its_earlier_ones(
    store: TrajectoryStore, stored: str
) -> None:
    store.append([evaluation(0, 9, name="relevance", score_value=0.25)])
    store.append([evaluation(0, 7, name="relevance", score_value=1.0)])  # late, but said before

    assert asked(store, "select value_num from annotations_latest") == [(0.25,)]
    assert asked(store, "select count(*) from annotations") == [(2,)]


def test_the_store_is_sound_after_all_of_it(store: TrajectoryStore, tmp_path: Path) -> None:
    store.append([*run(1), evaluation(0, 7, name="outcome", score_label="failure")])
    [trajectory] = store.trajectories()
    store.annotate(trajectory.trajectory_id, "outcome", "success")
    store.retract(trajectory.trajectory_id, "outcome")

    assert asked(store, "select outcome from trajectories") == [("failure",)]
    assert store.verify() == []
