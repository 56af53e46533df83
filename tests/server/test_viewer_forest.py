"""Trees of rows are measured alike by arrays and by walking up from each row."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from otel_traj.server.viewer import forest

_ROW = pa.int64()


@st.composite
def parents(draw: st.DrawFn) -> list[int | None]:
    """A row above each row, circles included."""
    n = draw(st.integers(0, 12))
    above = st.none() | st.integers(0, max(0, n - 1))
    return draw(st.lists(above, min_size=n, max_size=n))


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int | None], list[bool]]:
    """A forest, and a mark for each of its rows."""
    cut: list[int | None] = forest.cut(pa.array(draw(parents()), _ROW)).to_pylist()
    n = len(cut)
    return cut, draw(st.lists(st.booleans(), min_size=n, max_size=n))


def ancestors(parent: list[int | None], row: int) -> list[int]:
    found: list[int] = []
    above = parent[row]
    while above is not None:
        assert above not in found, "a circle"
        found.append(above)
        above = parent[above]
    return found


@given(parents())
def test_a_circle_is_cut_at_one_row_and_all_else_stays(told: list[int | None]) -> None:
    parent = forest.cut(pa.array(told, _ROW)).to_pylist()

    lost = [row for row in range(len(told)) if parent[row] != told[row]]
    for row in range(len(told)):
        ancestors(parent, row)
    for row in lost:
        above = told[row]
        assert parent[row] is None
        assert above is not None
        assert above == row or row in ancestors(parent, above), "it was in a circle"


@given(trees())
def test_depth_counts_the_rows_above(made: tuple[list[int | None], list[bool]]) -> None:
    parent, _ = made

    depths = forest.depths(pa.array(parent, _ROW)).to_pylist()

    assert depths == [len(ancestors(parent, row)) for row in range(len(parent))]


@given(trees())
def test_below_are_the_marked_and_all_under_them(made: tuple[list[int | None], list[bool]]) -> None:
    parent, marked = made

    found = forest.below(pa.array(parent, _ROW), pa.array(marked, pa.bool_())).to_pylist()

    assert found == [
        marked[row] or any(marked[above] for above in ancestors(parent, row))
        for row in range(len(parent))
    ]


@given(trees())
def test_what_is_hidden_is_counted_at_the_nearest_row_that_is_shown(
    made: tuple[list[int | None], list[bool]],
) -> None:
    parent, shown = made
    expected = [0] * len(parent)
    for row in range(len(parent)):
        above = [one for one in ancestors(parent, row) if shown[one]]
        if not shown[row] and above:
            expected[above[0]] += 1

    found = forest.hidden_under(pa.array(parent, _ROW), pa.array(shown, pa.bool_())).to_pylist()

    assert found == expected


@given(trees(), st.integers(1, 6))
def test_the_top_is_what_is_least_deep_then_what_came_first(
    made: tuple[list[int | None], list[bool]], most: int
) -> None:
    parent, wanted = made
    rows = [row for row in range(len(parent)) if wanted[row]]
    rows.sort(key=lambda row: (len(ancestors(parent, row)), row))

    found = forest.top(pa.array(parent, _ROW), pa.array(wanted, pa.bool_()), most).to_pylist()

    assert [row for row, is_shown in enumerate(found) if is_shown] == sorted(rows[:most])
