"""A table on a terminal fits it; elsewhere it is whole."""

import io

import pytest
from rich.cells import cell_len

from otel_traj.cli.table import cut, write_table
from otel_traj.store.results import Rows


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines_of(found: Rows, out: io.StringIO, flexible: tuple[str, ...] = ()) -> list[str]:
    import click

    write_table(found, out, flexible=flexible)
    return [click.unstyle(line) for line in out.getvalue().splitlines()]


def texts(*columns: str, rows: list[tuple[object, ...]]) -> Rows:
    return Rows(columns, tuple(isinstance(value, int) for value in rows[0]), rows)


def test_numbers_are_flush_right_and_wide_characters_count_double() -> None:
    found = texts("name", "n", "where", rows=[("日本", 1, "x"), ("abc", 1000, "y")])

    assert lines_of(found, io.StringIO()) == [
        "name     n  where",
        "────  ────  ─────",
        "日本     1  x",
        "abc   1000  y",
    ]


def test_the_widest_columns_give_way_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    found = texts("id", "text", "more", rows=[("abcdef", "x" * 90, "y" * 15), ("b", "z", "w")])

    lines = lines_of(found, Terminal())

    assert max(map(cell_len, lines)) == 40
    assert lines[2] == "abcdef  xxxxxxxxxxxxxx…  yyyyyyyyyyyyyyy"


def test_flexible_columns_give_way_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    found = texts("id", "task", rows=[("a" * 24, "t" * 20)])

    assert lines_of(found, Terminal(), ("task",))[2] == "a" * 24 + "  " + "t" * 13 + "…"


def test_too_many_columns_become_blocks_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    names = tuple(f"column_{n}" for n in range(8))
    found = texts(*names, rows=[tuple("value that is long" for _ in names)] * 2)

    lines = lines_of(found, Terminal())

    assert lines[0] == "── row 1 " + "─" * 31
    assert lines[1] == "column_0  value that is long"
    assert len(lines) == 18
    assert max(map(cell_len, lines)) <= 40


def test_nothing_is_cut_where_there_is_no_terminal() -> None:
    long = "x" * 5000
    found = Rows(("t", "u"), (False, False), [("short", "y")] * 3000 + [(long, "y")])

    assert lines_of(found, io.StringIO())[-1] == f"{long}  y"


def test_a_row_is_one_line_and_harmless() -> None:
    found = texts("a", "b\x1b", rows=[("two\nlines\x1b[31m", None)])

    assert lines_of(found, io.StringIO())[0::2] == ["a               b␛", "two␊lines␛[31m  NULL"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [(0.1 + 0.2, "0.3"), (3.0, "3.0"), (0.0, "0.0"), (1e-9, "1e-09"), (1e300, "1e+300")],
)
def test_floats_are_rounded_for_the_eye(value: float, cell: str) -> None:
    assert lines_of(Rows(("x",), (True,), [(value,)]), io.StringIO())[2].strip() == cell


def test_a_cut_text_says_so_and_keeps_the_width() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert cell_len(cut("日本語日本語", 6)) <= 6
