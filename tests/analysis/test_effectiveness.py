"""What is said of tools: of their calls by bounds, of the runs that use them by comparison."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from otel_traj_analysis import effectiveness, labels

TABLE = pa.struct(
    [
        ("landmark", pa.int64()),
        ("stratum", pa.string()),
        ("half", pa.string()),
        *((f"{which}_{end}", pa.int64())
          for which in ("with", "without") for end in ("success", "failure")),
    ]
)  # fmt: skip
SCHEMA = pa.schema(
    [
        ("tool_name", pa.string()),
        ("agent_name", pa.string()),
        *((name, pa.int64()) for name in (
            "n_calls", "n_finished", "n_errors", "n_retries", "n_retries_ok",
            "n_judged", "n_success", "n_without", "n_without_success",
        )),
        ("strata", pa.list_(TABLE)),
    ]
)  # fmt: skip


def tool(name: str, finished: int, errors: int, **columns: Any) -> dict[str, Any]:
    counts: dict[str, Any] = dict.fromkeys(SCHEMA.names[2:-1], 0) | {"strata": []}
    told = {"tool_name": name, "agent_name": None, "n_calls": finished, "n_finished": finished}
    return counts | told | {"n_errors": errors} | columns


def labelled(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = effectiveness.label(
        pa.Table.from_pylist(list(rows), schema=SCHEMA)
    ).to_pylist()
    return found


def compared(counts: list[tuple[int, int, int, int]], n_landmarks: int = 1) -> dict[str, Any]:
    """Columns of a tool that these tables of tasks are told of; whole runs and landmarks alike."""
    names = ("with_success", "with_failure", "without_success", "without_failure")
    strata = [
        {"landmark": landmark, "stratum": str(n), "half": "ab"[n % 2]}
        | dict(zip(names, row, strict=True))
        for landmark in range(n_landmarks + 1)
        for n, row in enumerate(counts)
    ]
    a, b, c, d = (sum(column) for column in zip(*counts, strict=True))
    return {
        "n_judged": a + b,
        "n_success": a,
        "n_without": c + d,
        "n_without_success": c,
        "strata": strata,
    }


# --- calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finished", "errors", "label"),
    [
        (3, 0, "insufficient"),  # 3 of 3 is a rate of at least 0.44
        (15, 0, "insufficient"),
        (16, 0, "highly effective"),
        (40, 4, "insufficient"),
        (98, 41, "unreliable"),  # 41 of 98 fail in the airline data
        (98, 60, "problematic"),
        (4, 4, "problematic"),
        (3, 3, "unreliable"),
        (2, 2, "insufficient"),
        (0, 0, "insufficient"),
    ],
)
def test_labels_go_by_the_bounds_of_the_rate(finished: int, errors: int, label: str) -> None:
    [row] = labelled(tool("edit", finished, errors))

    assert row["label"] == label


@pytest.mark.parametrize(
    ("finished", "errors", "missing"), [(3, 0, 13), (0, 0, 16), (2, 2, 1), (98, 41, None)]
)
def test_what_cannot_be_told_says_how_many_calls_are_missing(
    finished: int, errors: int, missing: int | None
) -> None:
    [row] = labelled(tool("edit", finished, errors))

    assert row["missing"] == missing


def test_a_rate_on_the_bound_is_never_told() -> None:
    [row] = labelled(tool("edit", 50, 10))

    assert (row["label"], row["missing"]) == ("insufficient", None)


def test_bounds_are_wilsons() -> None:
    [row] = labelled(tool("edit", 98, 41))

    # By hand, from the formula in Brown, Cai and DasGupta (2001).
    assert row["error_low"] == pytest.approx(0.32559, abs=5e-6)
    assert row["error_high"] == pytest.approx(0.51730, abs=5e-6)


def test_few_calls_are_drawn_towards_the_other_tools() -> None:
    few, *others = labelled(tool("few", 2, 2), *(tool(f"t{n}", 100, n) for n in range(1, 9)))

    assert few["tool_name"] == "few"
    assert 0.05 < few["error_rate_shrunk"] < 0.3
    assert all(abs(row["error_rate_shrunk"] - row["n_errors"] / 100) < 0.03 for row in others)


def test_of_calls_whose_end_is_not_told_nothing_is_said() -> None:
    [row] = labelled(tool("edit", 0, 0, n_calls=7))

    assert (row["error_low"], row["error_high"], row["error_rate_shrunk"]) == (None, None, None)
    assert row["finding"] == "nothing is told of how its 7 calls ended"


def test_what_fails_most_stands_first() -> None:
    rows = labelled(
        tool("good", 50, 0), tool("rare", 2, 0), tool("bad", 50, 25), tool("worst", 50, 40),
        tool("often", 90, 45),
    )  # fmt: skip

    assert [row["tool_name"] for row in rows] == ["worst", "often", "bad", "rare", "good"]


# --- runs ----------------------------------------------------------------------------------------


def test_a_tool_that_helps_within_tasks_is_established() -> None:
    [row] = labelled(
        tool("look", 50, 1, n_retries=3, n_retries_ok=2, **compared([(6, 1, 1, 6)] * 8))
    )

    assert (row["effect"], row["runs_missing"]) == ("established", None)
    assert row["difference"] == pytest.approx(5 / 7)
    assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]
    assert (row["n_strata"], row["n_mixed"]) == (8, 8)
    assert row["finding"].startswith("1 of 50 calls fail (95 % 0 to 10 %), 2 of 3 retries help; ")
    assert "48 of 56 runs with it succeed, 8 of 56 without: +71 points within" in row["finding"]
    assert row["finding"].endswith("(established)")


def test_a_tool_that_harms_has_a_negative_difference() -> None:
    [row] = labelled(tool("guess", 50, 1, **compared([(1, 6, 6, 1)] * 8)))

    assert row["effect"] == "established"
    assert row["difference"] == pytest.approx(-5 / 7)
    assert row["difference_low"] < row["difference"] < row["difference_high"] < 0
    assert "48 of 56 runs with it fail" in row["finding"]


def test_a_tool_of_easy_tasks_is_task_confounded() -> None:
    [row] = labelled(
        tool(
            "hand_over",
            50,
            1,
            **compared([(9, 0, 1, 0), (8, 1, 1, 0), (0, 1, 0, 12), (0, 1, 1, 9)]),
        )
    )

    assert row["effect"] == "task-confounded"
    assert "not so within the same task" in row["finding"]


def test_few_mixed_tasks_say_how_many_runs_are_missing() -> None:
    [row] = labelled(tool("look", 50, 1, **compared([(1, 1, 1, 1)])))

    assert row["effect"] == "insufficient"
    assert row["runs_missing"] > 50


@pytest.mark.parametrize("counts", [[(3, 2, 0, 0)], [(0, 0, 3, 2)], [(0, 0, 0, 0)]])
def test_without_runs_on_both_sides_there_is_no_effect_to_tell(
    counts: list[tuple[int, int, int, int]],
) -> None:
    [row] = labelled(tool("look", 50, 1, **compared(counts)))

    assert row["effect"] is None
    assert (row["difference"], row["p_value"], row["n_mixed"]) == (None, None, None)
    assert row["finding"] == "1 of 50 calls fail (95 % 0 to 10 %)"


def test_columns_are_those_that_the_labels_promise() -> None:
    rows = pa.Table.from_pylist([tool("look", 5, 1)], schema=SCHEMA)

    found = effectiveness.label(rows)

    added = [column.name for column in labels.TOOL_COLUMNS]
    assert found.column_names[2 : 2 + len(added)] == added


def test_no_rows_give_no_rows() -> None:
    assert labelled() == []
