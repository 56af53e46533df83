"""Run the examples of the documents; write under each what it really printed.

    python docs/examples.py            run them all and write their outputs into the documents
    python docs/examples.py README.md  only those of one document

An example is a fenced block of `python` or `sh`; a block of `text` right after it is its output.
The blocks of one document run in order, each in a process of its own, in one folder that is empty
at the start. A comment `<!-- not run: why -->` before a block leaves it out. `tests/test_docs.py`
runs the same and compares, with ids, numbers and widths left aside.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from otel_traj.demo.model_server import Answer, ModelServer, Script

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    "docs/recording.md",
    "docs/redaction.md",
    "docs/stores.md",
    "docs/erasing.md",
    "docs/attribution.md",
    "docs/damage.md",
    "docs/engines.md",
    "docs/exporters.md",
    "docs/importing.md",
    "docs/moving.md",
    "docs/patterns.md",
    "docs/cohorts.md",
    "docs/tools.md",
    "docs/report.md",
    "docs/runs.md",
    "docs/receiving.md",
    "docs/jaeger.md",
    "docs/viewer-api.md",
    "docs/comparing.md",
    "docs/sql-console.md",
)

PATIENCE_S = 300
"""An example that takes longer waits for something that never comes."""

# Examples that ask a model are answered from here, on loopback.
MODELS = Script({"examples": {"gpt-5-mini": [Answer(text="The capital of Portugal is Lisbon.")]}})

_BLOCK = re.compile(
    r"(?P<skip><!-- not run: [^>]+ -->\n+)?"
    r"```(?P<language>python|sh)\n(?P<code>.*?)```\n"
    r"(?:\n```text\n(?P<output>.*?)```\n)?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """A block of a document. `output` is what the document shows under it, None for nothing."""

    document: str
    line: int
    language: str
    code: str
    output: str | None
    span: tuple[int, int]


class ExampleFailed(Exception):
    """An example ended with a failure; the message has what it printed."""


def examples(document: str) -> list[Example]:
    """The examples of a document that are to be run, in order."""
    text = (ROOT / document).read_text("utf-8")
    return [
        Example(
            document,
            text.count("\n", 0, found.start("code")) + 1,
            found["language"],
            found["code"],
            found["output"],
            found.span("output"),
        )
        for found in _BLOCK.finditer(text)
        if not found["skip"]
    ]


def run(chosen: Sequence[Example], folder: Path) -> Iterator[str]:
    """What each prints to stdout, in turn; all in `folder`, as somebody who follows the document.

    Raises:
        ExampleFailed: An example failed.
    """
    with ModelServer(MODELS) as server:
        environment = _environment(folder) | {
            "OPENAI_API_KEY": "none is needed",
            "OPENAI_BASE_URL": f"{server.url}/examples/v1",
        }
        for example in chosen:
            yield _run(example, folder, environment)


def _run(example: Example, folder: Path, environment: dict[str, str]) -> str:
    shell = ["bash", "-euo", "pipefail", "-c", example.code]
    command = shell if example.language == "sh" else [sys.executable, "-c", example.code]
    place = f"{example.document}:{example.line}"
    try:
        ran = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ExampleFailed(f"{place} does not end\n{example.code}") from error
    if ran.returncode:
        raise ExampleFailed(
            f"{place} ended with {ran.returncode}\n{example.code}\n{ran.stdout}\n{ran.stderr}"
        )
    return "\n".join(line.rstrip() for line in ran.stdout.splitlines()) + "\n"


def _environment(folder: Path) -> dict[str, str]:
    """An installation's environment, also in a checkout that was never installed."""
    commands = folder / ".bin"
    commands.mkdir()
    for name, module in (("otel-traj", "-m otel_traj.cli "), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
        (commands / name).chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "OPENAI_"))}
    return {
        **kept,
        "PATH": os.pathsep.join([str(commands), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "COLUMNS": "100",
    }


def update(document: str) -> None:
    """Write what the examples print now into the document."""
    chosen = examples(document)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a helper may seal yet
        printed = list(run(chosen, Path(folder)))
    text = (ROOT / document).read_text("utf-8")
    for example, output in reversed(list(zip(chosen, printed, strict=True))):
        if example.output is not None:
            start, end = example.span
            text = text[:start] + output + text[end:]
    (ROOT / document).write_text(text, "utf-8")
    print(f"{document}: ran {len(chosen)} examples")


if __name__ == "__main__":
    for name in sys.argv[1:] or DOCUMENTS:
        update(name)
