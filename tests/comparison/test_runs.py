"""Two runs side by side: what belongs together, what differs, where it began and why."""

from __future__ import annotations

from typing import Any

import pytest

from otel_traj.comparison import Divergence, StepDifference, compare
from otel_traj.model import FileChange
from tests.comparison.runs import llm, messages, run, tool, user


def aspects(left: dict[str, Any], right: dict[str, Any]) -> tuple[str, ...]:
    """In what the only steps of two runs differ."""
    [row] = compare(run(left), run(right)).rows
    return row.aspects


def test_equal_runs_have_no_divergence() -> None:
    one = run(user("Go"), llm("I look", ("ls", {})), tool("ls", {}), llm("Done"))

    found = compare(one, one)

    assert all(row.is_same for row in found.rows)
    assert (found.divergence, found.similarity, found.is_cheapest) == (None, 1.0, True)


def test_nothing_beside_nothing_is_the_same() -> None:
    found = compare(run(), run())

    assert (list(found.rows), found.divergence, found.similarity) == ([], None, 1.0)


def test_a_step_that_only_one_run_has_stands_alone() -> None:
    left = run(tool("ls"), tool("cat", {"f": 1}), tool("rm"))
    right = run(tool("ls"), tool("rm"))

    found = compare(left, right)

    assert list(found.rows) == [StepDifference(0, 0), StepDifference(1, None), StepDifference(2, 1)]


def test_arguments_are_the_same_in_any_order_and_layout() -> None:
    left, right = tool("ls"), tool("ls")
    left["arguments"], right["arguments"] = '{"a": 1.0, "b": 2}', '{"b":2,"a":1}'

    assert aspects(left, right) == ()


def test_ids_of_calls_are_made_up_anew_in_each_run() -> None:
    left, right = llm("x", ("ls", {})), llm("x", ("ls", {}))
    right["tool_calls"] = right["tool_calls"].replace("c0", "call_77")

    assert aspects(left, right) == ()


def test_what_is_not_recorded_on_one_side_is_no_difference() -> None:
    assert aspects(tool("ls", {"a": 1}, None), tool("ls", None, "files")) == ()


def test_times_and_prices_are_no_difference() -> None:
    assert aspects(tool("ls", duration_us=5), tool("ls", duration_us=9, cost_usd=1.0)) == ()


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        (tool("ls", {"a": 1}), tool("ls", {"a": 2}), ("arguments",)),
        (tool("ls", result="x"), tool("ls", result="y"), ("result",)),
        (tool("ls"), tool("ls", status="error", error_type="E"), ("error",)),
        (llm("x", ("ls", 1)), llm("x", ("ls", 2)), ("calls",)),
        (llm("x"), llm("y"), ("answer",)),
        (llm("x"), llm("x", model="m-2"), ("model",)),
        (llm("x"), llm("x", system_hash="other"), ("system",)),
        (user("x"), user("y"), ("input",)),
        (tool("ls", reward=1.0), tool("ls"), ("reward",)),
    ],
)
def test_each_difference_has_its_name(
    left: dict[str, Any], right: dict[str, Any], told: tuple[str, ...]
) -> None:
    assert aspects(left, right) == told


def test_files_differ_by_what_became_of_them() -> None:
    def changed(digest: str) -> FileChange:
        return FileChange(trajectory_id="t", step=0, path="a", sha256_after=digest)

    left, right = (run(tool("edit"), files=(changed(digest),)) for digest in "12")

    assert [row.aspects for row in compare(left, right).rows] == [("files",)]


def test_other_instructions_are_told_where_they_begin_and_not_on_every_step_after() -> None:
    left = run(llm("a"), llm("b"), llm("c"))
    right = run(llm("a"), llm("b", system_hash="v2"), llm("c", system_hash="v2"))

    assert [row.aspects for row in compare(left, right).rows] == [(), ("system",), ()]


# --- divergence --------------------------------------------------------------------------------


def cause(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> tuple[Any, ...]:
    """Position and class of the first divergence."""
    found = compare(run(*left), run(*right)).divergence
    assert found is not None
    return found.left, found.right, found.cause


LS: tuple[str, Any] = ("ls", {})


def test_other_words_beside_the_same_calls_are_no_divergence() -> None:
    left, right = (run(llm(text, LS), tool("ls", {})) for text in ("I look", "Let me look"))

    found = compare(left, right)

    assert found.divergence is None
    assert found.rows[0].aspects == ("answer",)


def test_another_last_word_is_one() -> None:
    assert cause([llm("Yes")], [llm("No")]) == (0, 0, "nondeterminism")


def test_a_run_that_ends_first_is_named() -> None:
    steps = [llm("x", LS), tool("ls", {})]

    assert compare(run(*steps[:1]), run(*steps)).divergence == Divergence(
        None, 1, "end", "A ends here, B goes on"
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, "nondeterminism"),
        ({"model": "m-2", "params_hash": "q", "request_hash": "q"}, "model"),
        ({"system_hash": "q", "request_hash": "q"}, "prompt"),
        ({"tools_hash": "q", "request_hash": "q"}, "tools"),
        ({"params_hash": "q", "request_hash": "q"}, "parameters"),
        ({"request_hash": None}, "unknown"),
        ({"canon_version": "2"}, "unknown"),
        ({"status": "error"}, "model_error"),
    ],
)
def test_the_request_tells_why_a_model_decided_otherwise(
    told: dict[str, Any], expected: str
) -> None:
    left = [user("Go"), llm("x", LS)]
    right = [user("Go"), llm("x", ("rm", {}), **told)]

    assert cause(left, right) == (1, 1, expected)


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (messages(("user", "Go"), ("system", "Be quick")), "messages"),
        (messages(("system", "Be good")), "messages"),
        (messages(("user", "Stop")), "input"),
        (messages(("user", "G")), "context"),
        (messages(), "context"),
        (messages(("user", "Go")), "context"),
    ],
)
def test_messages_tell_why_where_nothing_else_of_the_request_differs(
    new: str, expected: str
) -> None:
    """The last one: what is new is the same, so what was said before must have been changed."""
    first = llm("a", LS)
    other = {"request_hash": "q", "messages_hash": "q", "new_messages": new}
    left = [first, llm("x", LS, new_messages=messages(("user", "Go")))]
    right = [first, llm("x", ("rm", {}), **other)]

    assert cause(left, right) == (1, 1, expected)


def test_a_model_that_worded_its_answers_otherwise_is_asked_something_else_next() -> None:
    left = [llm("I look", LS), llm("x", LS)]
    right = [llm("Let me look", LS), llm("x", ("rm", {}), request_hash="q", messages_hash="q")]

    assert cause(left, right) == (1, 1, "nondeterminism")


def test_a_tool_that_answers_otherwise_comes_before_what_the_model_makes_of_it() -> None:
    left = [llm("x", LS), tool("ls", {}, "a.py"), llm("cat", ("cat", {}))]
    right = [llm("x", LS), tool("ls", {}, "b.py"), llm("rm", ("rm", {}), request_hash="q")]

    assert cause(left, right) == (1, 1, "tool_result")


def test_another_order_within_a_parallel_group_is_only_that() -> None:
    one, other = tool("a", {}, group_id=0), tool("b", {}, group_id=0)
    both = llm("x", ("a", {}), ("b", {}))

    assert cause([both, one, other], [both, other, one])[2] == "ordering"


def test_the_agent_did_otherwise_where_the_model_had_asked_for_the_same() -> None:
    left = [llm("x", LS), tool("ls", {})]
    right = [llm("x", LS), tool("ls", {"depth": 3})]

    assert cause(left, right) == (1, 1, "code")


def test_nobody_is_blamed_where_what_the_model_asked_for_was_concluded() -> None:
    concluded = {"inferred": ("tool_calls: the tools that ran",)}
    left = [llm("x", LS, **concluded), tool("ls", {})]
    right = [llm("x", LS, **concluded), tool("ls", {"depth": 3})]

    assert cause(left, right)[2] == "unknown"


def test_versions_that_runs_tell_of_themselves_are_named() -> None:
    left = run(llm("x", LS), prompt_version="v1")
    right = run(llm("x", ("rm", {}), system_hash="q", request_hash="q"), prompt_version="v2")

    found = compare(left, right).divergence

    assert found is not None
    assert found.why == "The instructions to the model differ (prompt version v1 and v2)"
