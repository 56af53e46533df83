"""Each row of docs/surroundings.md is shown by a test."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_row_names_a_test_that_there_is(root: Path) -> None:
    rows = re.findall(r"^\|(?! surrounding|---)(.*)\|$", document(root), re.MULTILINE)
    named = [row.split("|")[-1].strip().strip("`") for row in rows]

    tests = "\n".join(path.read_text("utf-8") for path in (root / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)\(", tests))
    assert len(named) > 30
    assert set(named) <= there


def test_every_test_of_a_surrounding_is_a_row(root: Path) -> None:
    folder = root / "tests" / "surroundings"
    tests = {
        name
        for path in folder.glob("test_[!d]*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text("utf-8"))
    }

    assert {name for name in tests if f"`{name}`" not in document(root)} == set()


def document(root: Path) -> str:
    return (root / "docs" / "surroundings.md").read_text("utf-8")
