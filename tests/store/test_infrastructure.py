"""Errors of the harness: which calls failed alike, what is proposed, what `rules.toml` keeps."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import duckdb
import pytest

from otel_traj.errors import ConfigurationError, UnknownNameError
from otel_traj.store import TrajectoryStore, infrastructure, rules
from otel_traj.store.infrastructure import ErrorClass
from otel_traj_analysis import cases, runner

SUBMIT = "submit() takes # positional arguments but # were given"
CLASS = ErrorClass("submit", SUBMIT, 9, 6, 3, is_proposed=True, is_confirmed=False)


def asked(
    steps: list[dict[str, Any]], query: str, /, **views: list[dict[str, Any]]
) -> list[tuple[Any, ...]]:
    connection = runner.empty_store()
    for view, rows in {"steps": steps, **views}.items():
        cases.fill(connection, view, rows)
    return connection.execute(query).fetchall()


def failed(run: str, step: int = 1, message: str | None = None, **columns: Any) -> dict[str, Any]:
    call = {"trajectory_id": run, "step": step, "kind": "tool", "tool_name": "submit"}
    return call | {"status": "error", "error_message": message} | columns


# --- the views -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "signature"),
    [
        ({"error_message": "No user \"mona\" in 'eu'"}, "no user # in #"),
        ({"error_message": "flight HAT030 on 2024-05-20"}, "flight # on #"),
        ({"error_message": " two\n\tlines\x1b "}, "two lines"),
        ({"error_message": "x" * 200}, "x" * 120),
        ({"result": "Not found", "error_type": "KeyError"}, "not found"),
        ({"error_type": "KeyError"}, "keyerror"),
        ({"error_type": "_OTHER"}, None),
        ({"error_message": " "}, None),
    ],
)
def test_signature_is_what_errors_of_a_class_share(
    columns: dict[str, Any], signature: str | None
) -> None:
    found = asked([failed("a") | columns], "select signature from failed_calls")

    assert found == [(signature,)]


def test_failed_calls_are_those_of_tools_and_handovers_that_failed() -> None:
    steps = [
        failed("a", 1, "gone", trace_id="t", span_id="s"),
        failed("a", 2, "gone", kind="handoff", tool_name="ask"),
        failed("a", 3, "gone", kind="llm"),
        failed("a", 4, "gone", tool_name=None),
        failed("a", 5, "gone", status="aborted"),
    ]

    found = asked(steps, "select step, trace_id, span_id, tool_name from failed_calls order by 1")

    assert found == [(1, "t", "s", "submit"), (2, None, None, "ask")]


RUNS = [
    {"trajectory_id": run, "task_id": task}
    for run, task in (("a", "t1"), ("b", "t2"), ("c", "t3"), ("d", "t3"), ("e", "t3"))
]
REFUSED = [failed(run["trajectory_id"], 1, "connection refused by 10.0.0.1") for run in RUNS]
PROPOSED = "select n_calls, n_runs, n_tasks, is_proposed, is_confirmed from error_classes"


def test_an_exception_of_the_host_in_five_runs_of_three_tasks_is_proposed() -> None:
    assert asked(REFUSED, PROPOSED, trajectories=RUNS) == [(5, 5, 3, True, False)]


@pytest.mark.parametrize(
    ("steps", "n"),
    [
        ([failed("a", n, "timed out") for n in range(20)], (20, 1, 1, True)),
        ([failed("a", n, "timed out") for n in range(19)], (19, 1, 1, False)),
        (REFUSED[1:], (4, 4, 2, False)),
        ([*REFUSED[:2], *REFUSED[3:]], (4, 4, 3, False)),
        ([failed("c", n, "timed out") for n in range(5)], (5, 1, 1, False)),
        ([row | {"error_message": "not enough seats"} for row in REFUSED], (5, 5, 3, False)),
        ([row | {"error_message": None} for row in REFUSED], (5, 5, 3, False)),
    ],
)
def test_what_is_rare_or_no_exception_is_not_proposed(
    steps: list[dict[str, Any]], n: tuple[int, int, int, bool]
) -> None:
    assert asked(steps, PROPOSED, trajectories=RUNS) == [(*n, False)]


def test_five_runs_of_two_tasks_are_not_enough() -> None:
    runs = [run | {"task_id": min(run["task_id"], "t2")} for run in RUNS]

    assert asked(REFUSED, PROPOSED, trajectories=runs) == [(5, 5, 2, False, False)]


def test_a_tool_that_works_once_is_not_broken() -> None:
    worked = failed("a", 2, status="ok", result="done")
    elsewhere = failed("a", 3, status="ok", tool_name="look")
    aborted = failed("a", 4, status="aborted")

    assert asked([*REFUSED, worked], PROPOSED, trajectories=RUNS) == [(5, 5, 3, False, False)]
    assert asked([*REFUSED, elsewhere, aborted], PROPOSED, trajectories=RUNS)[0][3] is True


def test_forks_and_replays_repeat_errors_and_add_none() -> None:
    runs = [*RUNS[:3], RUNS[3] | {"relation": "fork"}, RUNS[4] | {"relation": "subagent"}]

    assert asked(REFUSED, PROPOSED, trajectories=runs) == [(4, 4, 3, False, False)]


def test_what_is_confirmed_is_proposed_no_more() -> None:
    confirmed = [{"tool_name": "submit", "signature": "connection refused by #"}]
    other_tool = [{"tool_name": "look", "signature": "connection refused by #"}]

    found = asked(REFUSED, PROPOSED, trajectories=RUNS, infrastructure=confirmed)

    assert found == [(5, 5, 3, False, True)]
    found = asked(REFUSED, PROPOSED, trajectories=RUNS, infrastructure=other_tool)
    assert found == [(5, 5, 3, True, False)]


def test_attempts_that_the_harness_broke_are_left_out_as_errors() -> None:
    judged = {"outcome": "failure", "outcome_source": "evaluation"}
    runs = [
        {"trajectory_id": "broken", **judged},
        {"trajectory_id": "solved", **judged, "outcome": "success"},
        {"trajectory_id": "other", **judged},
        {"trajectory_id": "unjudged", "outcome": "error", "outcome_source": "builtin"},
        {"trajectory_id": "fork", "relation": "fork", **judged},
    ]
    broken = ("broken", "solved", "unjudged", "fork")
    steps = [
        *(failed(run, 1, "timed out") for run in broken),
        failed("broken", 2, "timed out"),
        failed("other", 1, "out of stock"),
        failed("other", 2, "timed out", tool_name="look"),
    ]

    found = asked(
        steps,
        "select trajectory_id, left_out from attempts",
        trajectories=runs,
        infrastructure=[{"tool_name": "submit", "signature": "timed out"}],
    )

    assert dict(found) == {
        **dict.fromkeys(broken, "error"),
        "fork": "derived",
        "other": None,
    }
    assert len(found) == len(runs)


# --- names ---------------------------------------------------------------------------------------


def test_a_class_is_chosen_by_name_signature_or_beginning() -> None:
    other = CLASS._replace(tool_name="submit_all")

    assert infrastructure.chosen([CLASS, other], CLASS.name) == CLASS
    assert infrastructure.chosen([CLASS], SUBMIT) == CLASS
    assert infrastructure.chosen([CLASS, other], "submit_all") == other


def test_a_name_that_means_none_or_several_is_refused() -> None:
    other = CLASS._replace(tool_name="submit_all")

    with pytest.raises(ConfigurationError, match="is 2 classes of errors: submit: submit"):
        infrastructure.chosen([CLASS, other], SUBMIT)
    with pytest.raises(UnknownNameError):
        infrastructure.chosen([CLASS, other], "nothing like it")


# --- the file ------------------------------------------------------------------------------------

RULES = '''# ours
outcome_evaluations = ["correctness"]

[[outcome]]   # a rule
name = "tests"
when = """
status = 'completed' /*
[[infrastructure]]
*/"""
outcome = "success"
# the end'''


@pytest.fixture
def store(tmp_path: Path) -> TrajectoryStore:
    store = TrajectoryStore.create(tmp_path / "traces")
    store.seal()
    return store


@pytest.mark.parametrize("text", ["", RULES, RULES + "\n", RULES.replace("\n", "\r\n"), None])
def test_confirming_and_withdrawing_leaves_everything_else(
    store: TrajectoryStore, text: str | None
) -> None:
    path = store.path / "rules.toml"
    if text is not None:
        path.write_bytes(text.encode())

    assert infrastructure.confirm(store.path, "submit", SUBMIT)
    assert infrastructure.confirm(store.path, "look", 'no "\\ x\x7f')
    assert not infrastructure.confirm(store.path, "submit", SUBMIT)
    both = rules.load(store.path)

    assert [(i.tool, i.signature) for i in both.infrastructure] == [
        ("submit", SUBMIT),
        ("look", 'no "\\ x\x7f'),
    ]
    assert path.read_bytes().startswith((text or "").encode())
    assert infrastructure.withdraw(store.path, "submit", SUBMIT)
    assert infrastructure.withdraw(store.path, "look", 'no "\\ x\x7f')
    assert not infrastructure.withdraw(store.path, "look", 'no "\\ x\x7f')
    assert path.read_bytes().decode().rstrip("\n") == (text or "").rstrip("\n")


def test_an_entry_that_somebody_wrote_goes_with_its_comment_and_nothing_else(
    store: TrajectoryStore,
) -> None:
    path = store.path / "rules.toml"
    path.write_text(
        '# one\n[[infrastructure]] # why\nsignature = "x"  # so\ntool = "a"\n# two\n'
        '\n[[infrastructure]]\ntool = "b"\nsignature = "x"\n'
    )

    infrastructure.withdraw(store.path, "a", "x")

    assert path.read_text() == '# one\n# two\n\n[[infrastructure]]\ntool = "b"\nsignature = "x"\n'


def test_a_file_that_cannot_be_added_to_stays_as_it_is(store: TrajectoryStore) -> None:
    path = store.path / "rules.toml"
    text = 'infrastructure = [{tool = "a", signature = "x"}]\n'
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=r"rules\.toml"):
        infrastructure.confirm(store.path, "b", "y")
    with pytest.raises(ConfigurationError, match="by hand"):
        infrastructure.withdraw(store.path, "a", "x")

    assert path.read_text() == text
    assert [path.name for path in (store.path / "_tmp").iterdir()] == []


def test_rights_and_links_of_the_file_stay(store: TrajectoryStore, tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere" / "rules.toml"
    kept.parent.mkdir()
    kept.write_text("")
    kept.chmod(0o600)
    (store.path / "rules.toml").symlink_to(kept)

    infrastructure.confirm(store.path, "submit", SUBMIT)

    assert (store.path / "rules.toml").is_symlink()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(kept.read_text())["infrastructure"][0]["tool"] == "submit"


def test_other_engines_see_it_at_once(
    store: TrajectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    infrastructure.confirm(store.path, "it's", "o'clock")

    monkeypatch.chdir(store.path)
    connection = duckdb.connect()
    connection.execute((store.path / "views.sql").read_text())
    assert connection.execute("from infrastructure").fetchall() == [("it's", "o'clock")]
    assert store.sql("from infrastructure").fetchall() == [("it's", "o'clock")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[infrastructure]]\ntool = "a"\n', "needs exactly tool and signature"),
        ('[[infrastructure]]\ntool = "a"\nsignature = 3\n', "are texts"),
        ('[infrastructure]\ntool = "a"\nsignature = "x"\n', r"write \[\[infrastructure\]\]"),
    ],
)
def test_a_mistake_in_the_file_is_named(store: TrajectoryStore, text: str, says: str) -> None:
    (store.path / "rules.toml").write_text(text)

    with pytest.raises(ConfigurationError, match=says):
        rules.load(store.path)
