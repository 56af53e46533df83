"""Texts and messages, side by side."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otel_traj.comparison import compare_messages, compare_texts
from otel_traj.dialects.messages import from_json
from tests.comparison.runs import messages

TEXTS = st.text("ab\n", max_size=40)


@given(TEXTS, TEXTS)
def test_hunks_hold_every_line_that_differs(left: str, right: str) -> None:
    found = compare_texts(left, right)
    lines = [line for hunk in found.hunks for line in hunk]

    assert sum(line.left is None for line in lines) == found.added
    assert sum(line.right is None for line in lines) == found.removed
    old, new = left.split("\n"), right.split("\n")
    assert all(old[line.left - 1] == line.text for line in lines if line.left is not None)
    assert all(new[line.right - 1] == line.text for line in lines if line.right is not None)


@given(TEXTS)
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert compare_texts(text, text) == ((), 0, 0, False)


def test_json_is_laid_out_and_its_keys_have_no_order() -> None:
    found = compare_texts('{"b": 1, "a": [1, 2]}', '{"a":[1,3],"b":1}')

    [hunk] = found.hunks
    assert found.is_json
    changed = [(line.text, line.left) for line in hunk if None in (line.left, line.right)]
    assert changed == [("    2", 4), ("    3", None)]


def test_lines_far_from_each_other_are_in_two_hunks() -> None:
    left = [str(i) for i in range(30)]
    right = ["x" if i in (3, 20) else line for i, line in enumerate(left)]

    found = compare_texts("\n".join(left), "\n".join(right))

    assert [(hunk[0].text, hunk[-1].text) for hunk in found.hunks] == [("0", "6"), ("17", "23")]


def test_a_text_beside_none_is_all_new() -> None:
    assert (compare_texts(None, "a\nb").added, compare_texts("a\nb", None).removed) == (2, 2)


def test_messages_are_injected_dropped_changed_and_truncated() -> None:
    left = messages(("user", "Go"), ("assistant", "One two"), ("user", "More"), ("tool", "a"))
    right = messages(("system", "Hush"), ("user", "Go"), ("assistant", "One"), ("tool", "b"))

    found = compare_messages(from_json(left), from_json(right))

    assert [(it.change, it.role) for it in found] == [
        ("INJECTED", "system"),
        ("SAME", "user"),
        ("TRUNCATED", "assistant"),
        ("DROPPED", "user"),
        ("CHANGED", "tool"),
    ]
