from __future__ import annotations

from pathlib import Path

import pytest

from otel_traj.demo.workspace import SPECIFICATIONS, FileEdit, Observation, ToolError, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.checkout(tmp_path)


def test_checkout_holds_each_module_with_its_tests(workspace: Workspace) -> None:
    assert workspace.list_files().text.split("\n") == [
        "README.md",
        "durations.py",
        "pricing.py",
        "slugs.py",
        "test_durations.py",
        "test_pricing.py",
        "test_slugs.py",
    ]


def test_each_module_starts_with_some_tests_failing(workspace: Workspace) -> None:
    rates = {
        module: workspace.run_tests(f"test_{module}.py").test_pass_rate
        for module in ("slugs", "pricing", "durations")
    }

    assert rates == {"slugs": 1 / 3, "pricing": 1 / 4, "durations": 3 / 5}


def test_edit_is_on_disk_and_is_observed_with_both_texts(workspace: Workspace) -> None:
    before = workspace.files()["pricing.py"]

    observation = workspace.use(
        "edit_file",
        {"path": "pricing.py", "old": "- discount", "new": "* (1 - discount / 100)"},
    )

    after = before.replace("- discount", "* (1 - discount / 100)")
    assert observation == Observation(
        "edited pricing.py", edit=FileEdit("pricing.py", before, after)
    )
    assert (workspace.folder / "pricing.py").read_text(encoding="utf-8") == after


@pytest.mark.parametrize(("old", "count"), [("no such text", 0), ("discount", 4), ("", 0)])
def test_edit_of_a_text_that_does_not_occur_once_is_refused_and_changes_nothing(
    workspace: Workspace, old: str, count: int
) -> None:
    before = workspace.files()

    with pytest.raises(ToolError, match=rf"occurs {count} times in pricing\.py"):
        workspace.edit_file("pricing.py", old, "new")

    assert workspace.files() == before


def test_tests_see_an_edit_of_the_same_size_made_at_once(workspace: Workspace) -> None:
    workspace.run_tests("test_durations.py")
    workspace.edit_file("durations.py", '"m": 60', '"m": 61')

    assert workspace.run_tests("test_durations.py").test_pass_rate == 2 / 5


def test_equal_test_runs_give_equal_texts_without_the_folder(workspace: Workspace) -> None:
    first, second = (workspace.run_tests("test_pricing.py") for _ in range(2))

    assert first == second
    assert "FAILED (failures=3)" in first.text
    assert str(workspace.folder) not in first.text


def test_run_without_tests_has_no_pass_rate(workspace: Workspace) -> None:
    assert workspace.run_tests("pricing.py").test_pass_rate is None


def test_caller_cannot_slip_modules_into_the_tests(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "unittest.py").write_text("raise SystemExit(0)")
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert "FAILED (failures=2)" in workspace.run_tests("test_slugs.py").text


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/passwd", "."])
def test_paths_outside_of_the_repository_are_refused(workspace: Workspace, path: str) -> None:
    (workspace.folder.parent / "secret.txt").write_text("secret")

    with pytest.raises(ToolError, match=r"outside of the repository|no file"):
        workspace.read_file(path)


def test_missing_file_is_answered_with_the_nearest_one(workspace: Workspace) -> None:
    with pytest.raises(ToolError, match=r"^no file duration\.py; did you mean durations\.py\?$"):
        workspace.read_file("duration.py")
    with pytest.raises(ToolError, match=r"^no file Makefile$"):
        workspace.read_file("Makefile")


def test_search_tells_file_and_line(workspace: Workspace) -> None:
    assert workspace.search(r"def \w+\(text").text == "durations.py:6: def parse(text: str) -> int:"
    assert workspace.search("nowhere").text == "no match"


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("delete_file", {}, "no tool 'delete_file'; there is: list_files, read_file"),
        ("read_file", {"file": "slugs.py"}, "unexpected keyword argument 'file'"),
        ("search", {"pattern": "("}, "unterminated subpattern"),
    ],
)
def test_wrong_use_is_an_error_that_says_why(
    workspace: Workspace, tool: str, arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(ToolError) as caught:
        workspace.use(tool, arguments)

    assert message in str(caught.value)


def test_diff_shows_what_changed_since_the_checkout(workspace: Workspace) -> None:
    assert workspace.diff() == ""

    workspace.edit_file("durations.py", '"m": 60', '"m": 60, "h": 3600')

    assert workspace.diff().splitlines()[:3] == [
        "--- a/durations.py",
        "+++ b/durations.py",
        "@@ -1,6 +1,6 @@",
    ]
    assert '+UNITS = {"s": 1, "m": 60, "h": 3600}' in workspace.diff().splitlines()


def test_every_described_tool_can_be_used(workspace: Workspace) -> None:
    described = {
        tool["function"]["name"]: tool["function"]["parameters"]["required"]
        for tool in SPECIFICATIONS
    }

    assert described == {
        "list_files": [],
        "read_file": ["path"],
        "search": ["pattern"],
        "edit_file": ["path", "old", "new"],
        "run_tests": ["path"],
    }
    for name in described:
        assert callable(getattr(workspace, name))
