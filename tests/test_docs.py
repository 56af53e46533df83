"""The documents say what is true: examples run, pages are current, all public things are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import examples, generate
from otel_traj import analysis
from otel_traj.cli.frame import COMMANDS
from otel_traj.store import schema


def blurred(output: str) -> str:
    """An output without what differs from run to run: ids, numbers, and the widths they make."""
    output = re.sub(
        r"\s*(· )?\$[\d.]+", "", output
    )  # known only where the extra `cost` is installed
    output = re.sub(r"\b\d+(\.\d+)?(e-\d+)?\b", "0", output)
    output = re.sub(r"\b[0-9a-f]{6,}\b", "id", output)
    output = re.sub(r"[\d.,]*\d", "0", output)
    output = re.sub(r"\b0 (µs|ms|s)\b", "0 s", output)
    return re.sub(r"[ ─█▒]+", " ", output).strip()


@pytest.mark.slow
@pytest.mark.parametrize("document", examples.DOCUMENTS)
def test_every_example_runs_and_prints_what_is_shown(document: str, tmp_path: Path) -> None:
    chosen = examples.examples(document)

    printed = list(examples.run(chosen, tmp_path))

    for example, output in zip(chosen, printed, strict=True):
        if example.output is not None:
            where = f"{document}:{example.line} prints something else: `make docs`"
            assert blurred(output) == blurred(example.output), where


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_page_taken_from_the_code_is_current(name: str, root: Path) -> None:
    kept = (root / "docs" / name).read_text("utf-8")

    assert kept == generate.PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("view", schema.VIEW_COLUMNS)
def test_every_table_and_column_is_described(view: str, root: Path) -> None:
    [section] = sections(root / "docs" / "schema.md", f"## {view}")

    for column in schema.VIEW_COLUMNS[view]:
        assert f"| `{column.name}`" in section


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described_and_has_an_example(command: str, root: Path) -> None:
    [section] = sections(root / "docs" / "cli.md", f"## otel-traj {command}")

    assert re.search(r"Examples?:\n", section)
    pages = [root / page for page in examples.DOCUMENTS]
    assert any(f"otel-traj {command}" in page.read_text("utf-8") for page in pages)


@pytest.mark.parametrize("name", analysis.names())
def test_every_analysis_is_described(name: str, root: Path) -> None:
    [section] = sections(root / "docs" / "analyses.md", f"## {name}")

    assert "Grain: " in section


def test_every_link_between_documents_leads_somewhere(root: Path) -> None:
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", page.read_text("utf-8"))
    ]

    assert [(str(p), t) for p, t in links if not (p.parent / t).exists()] == []


def sections(page: Path, heading: str) -> list[str]:
    """The text under a heading, up to the next of the same level."""
    parts = re.split(r"^(?=## )", page.read_text("utf-8"), flags=re.MULTILINE)
    return [part for part in parts if part.split("\n", 1)[0] == heading]
