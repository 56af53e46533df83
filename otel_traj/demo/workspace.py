"""The agent's hands: a small repository in a folder, and tools that really change and test it.

Every tool takes JSON arguments and gives an `Observation`, or raises `ToolError` with a message
that the model can act on. Paths are relative to the folder and never lead out of it.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

_TEMPLATE_SUFFIX = "-tpl"  # `slugs.py-tpl`: no linter or test runner may take it for a module

_TEST_TIMEOUT_S = 30


class ToolError(Exception):
    """The tool could not do what it was asked; the message goes to the model."""


class FileEdit(NamedTuple):
    """A file whose contents changed, as text."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tool answers, and what it did to the repository."""

    text: str
    edit: FileEdit | None = None
    test_pass_rate: float | None = None
    """Share of tests that passed, in [0, 1]; None when no test ran."""


class Workspace:
    """A repository in `folder`, as it was and as it is now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._original = self.files()
        self._tools: dict[str, Callable[..., Observation]] = {
            "list_files": self.list_files,
            "read_file": self.read_file,
            "search": self.search,
            "edit_file": self.edit_file,
            "run_tests": self.run_tests,
        }

    @classmethod
    def checkout(cls, folder: Path) -> Workspace:
        """Write the demo's repository into `folder`."""
        for template in Path(__file__).with_name("repository").iterdir():
            path = folder / template.name.removesuffix(_TEMPLATE_SUFFIX)
            path.write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
        return cls(folder)

    def files(self) -> dict[str, str]:
        """Path -> text of every file, by path."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def diff(self) -> str:
        """What changed since the checkout, as a unified diff; empty when nothing did."""
        return "".join(
            line
            for path, text in self.files().items()
            for line in difflib.unified_diff(
                self._original.get(path, "").splitlines(keepends=True),
                text.splitlines(keepends=True),
                f"a/{path}",
                f"b/{path}",
            )
        )

    def use(self, tool: str, arguments: Mapping[str, Any]) -> Observation:
        """Run a tool by name.

        Raises:
            ToolError: There is no such tool, the arguments do not fit, or the tool itself failed.
        """
        if tool not in self._tools:
            raise ToolError(f"no tool {tool!r}; there is: {', '.join(self._tools)}")
        try:
            return self._tools[tool](**arguments)
        except (TypeError, OSError, re.error, subprocess.TimeoutExpired) as error:
            raise ToolError(f"{tool}: {error}") from error

    def list_files(self) -> Observation:
        """The paths, one per line."""
        return Observation("\n".join(self.files()))

    def read_file(self, path: str) -> Observation:
        """The text of a file."""
        return Observation(self._existing(path).read_text(encoding="utf-8"))

    def search(self, pattern: str) -> Observation:
        """Lines that a regular expression matches, as `path:line: text`."""
        found = [
            f"{path}:{number}: {line}"
            for path, text in self.files().items()
            for number, line in enumerate(text.splitlines(), start=1)
            if re.search(pattern, line)
        ]
        return Observation("\n".join(found) or "no match")

    def edit_file(self, path: str, old: str, new: str) -> Observation:
        """Replace a text that occurs exactly once."""
        file = self._existing(path)
        before = file.read_text(encoding="utf-8")
        occurrences = before.count(old) if old else 0
        if occurrences != 1:
            raise ToolError(
                f"the old text occurs {occurrences} times in {path}, it must occur once"
            )
        after = before.replace(old, new)
        file.write_text(after, encoding="utf-8")
        return Observation(f"edited {path}", edit=FileEdit(path, before, after))

    def run_tests(self, path: str) -> Observation:
        """Run one test file with this interpreter; failing tests are an answer, not an error."""
        folder = str(self.folder)
        # Isolated, or the caller's PYTHONPATH reaches the tests; no bytecode, or an edit within the
        # same second and of the same size would run the old code; no colours in what we read.
        command = [sys.executable, "-I", "-B", "-m", "unittest", "discover"]
        process = subprocess.run(
            [*command, "-s", folder, "-t", folder, "-p", self._existing(path).name],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=_TEST_TIMEOUT_S,
            check=False,
        )
        output = process.stderr.replace(folder, ".")
        # The time taken says nothing to the model, and would make equal runs differ.
        text = re.sub(r"^(Ran \d+ tests?) in .*$", r"\1", output, flags=re.MULTILINE)
        return Observation(text, test_pass_rate=_pass_rate(output))

    def _existing(self, path: str) -> Path:
        file = (self.folder / path).resolve()
        if not file.is_relative_to(self.folder):
            raise ToolError(f"{path} is outside of the repository")
        if not file.is_file():
            near = difflib.get_close_matches(path, self.files(), n=1)
            raise ToolError(f"no file {path}" + (f"; did you mean {near[0]}?" if near else ""))
        return file


def _pass_rate(output: str) -> float | None:
    """Read the summary that unittest prints: `Ran 4 tests`, `FAILED (failures=1, errors=1)`."""
    ran = re.search(r"^Ran (\d+) tests?", output, flags=re.MULTILINE)
    if ran is None or ran[1] == "0":
        return None
    failed = sum(int(n) for n in re.findall(r"\b(?:failures|errors)=(\d+)", output))
    return (int(ran[1]) - failed) / int(ran[1])


def specification(name: str, description: str, **parameters: str) -> dict[str, Any]:
    """Describe a tool as OpenAI's chat interface wants it; every parameter is a text."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {
                    parameter: {"type": "string", "description": meaning}
                    for parameter, meaning in parameters.items()
                },
                "required": list(parameters),
            },
        },
    }


SPECIFICATIONS = [
    specification("list_files", "List the files of the repository."),
    specification("read_file", "Read a file.", path="Relative path of the file."),
    specification("search", "Find lines.", pattern="Python regular expression."),
    specification(
        "edit_file",
        "Replace a text that occurs exactly once in a file.",
        path="Relative path of the file.",
        old="The text to replace, exactly as it is in the file.",
        new="The text to put in its place.",
    ),
    specification("run_tests", "Run a test file.", path="Relative path of the test file."),
]
"""The tools of a `Workspace`, described for the model."""
