"""How well a framework that nobody listed is understood: each dialect in turn is switched off.

    python bench/holdout.py [--corpus DIR] [--judge FILE]

The table of one dialect, with every name that only it knows, is taken out; runs that speak it are
assembled without a store and judged as in `bench/assembly.py`. The averages say what to expect of a
framework that is not in the corpus.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from otel_traj import dialects, importers  # noqa: E402 - the checkout's, not an installed one
from otel_traj.assembly import assemble  # noqa: E402
from otel_traj.model import LogRecord, SpanRecord, Step, Trajectory  # noqa: E402

SHARED = ROOT.parent / "shared"
HELD_OUT = {
    "openinference": ("*openinference*",),
    "traceloop": ("*traceloop*",),
    "langsmith": ("*langsmith*",),
    "vercel-ai": ("vercel-ai*",),
    "mlflow": ("mlflow*",),
    "claude-code": ("claude*",),
    "pydantic-ai": ("pydantic-ai*",),
    "logfire": ("openai-agents__logfire*",),
    "agent-framework": ("agent-framework*",),
    "anthropic-sdk": ("anthropic__native*",),
    "mcp": ("mcp__native*",),
}
BUILTIN_OUTCOME = {"completed": "success", "open": "unknown"}


def rows_of(corpus: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Trajectories and steps of every run, as the public views name their columns."""
    trajectories, steps = [], []
    for run in sorted(path.parent for path in corpus.glob("*/expected.json")):
        records = list(importers.read(*sorted(run.glob("*.jsonl"))))
        spans = [record for record in records if isinstance(record, SpanRecord)]
        logs = [record for record in records if isinstance(record, LogRecord)]
        for assembly in assemble(spans, logs):
            trajectories.append(as_row(assembly.trajectory))
            steps += [as_row(step) for step in assembly.trajectory.steps]
    return trajectories, steps


def as_row(row: Trajectory | Step) -> dict[str, Any]:
    """A row as JSON can say it."""
    fields = {f.name: getattr(row, f.name) for f in dataclasses.fields(row)}
    fields.pop("steps", None)
    fields.pop("file_changes", None)
    if isinstance(row, Trajectory):
        fields["outcome"] = BUILTIN_OUTCOME.get(row.status, "error")
    return json.loads(json.dumps(fields, default=str))  # type: ignore[no-any-return]


def judged(corpus: Path, judge: Path, patterns: tuple[str, ...]) -> dict[str, Any]:
    """The judge's figures for the runs of these names."""
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in zip(("trajectories", "steps"), rows_of(corpus), strict=True):
            (Path(folder) / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
        command = [sys.executable, str(judge), str(corpus), "--store", "none", "--rows", folder]
        command += [word for pattern in patterns for word in ("--only", pattern)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1]
    return json.loads(last.removeprefix("all: "))  # type: ignore[no-any-return]


def main() -> int:
    """Print a line per dialect that is held out, and the averages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=SHARED / "corpus")
    parser.add_argument("--judge", type=Path, default=SHARED / "judge" / "steps.py")
    args = parser.parse_args()
    if not args.judge.exists() or not args.corpus.exists():
        print(f"skipped: no judge at {args.judge} or no corpus at {args.corpus}")
        return 0
    everything = dialects.DIALECTS
    figures = []
    for name, patterns in HELD_OUT.items():
        others = tuple(dialect for dialect in everything if dialect.name != name)
        dialects.forget_shapes()
        with mock.patch.object(dialects, "DIALECTS", others):
            found = judged(args.corpus, args.judge, patterns)
        figures.append((found["f1"], found["fields"]))
        print(
            f"without {name:16} n={found['runs']:3} runs  perfect {found['perfect']:3}"
            f"  f1 {found['f1']:.3f}  fields {found['fields']:.3f}"
            f"  worst field {found['worst_field']:.2f}  token error {found['token_error_max']}",
            flush=True,
        )
    mean = [sum(column) / len(figures) for column in zip(*figures, strict=True)]
    print(f"average of {len(figures)}: f1 {mean[0]:.3f}  fields {mean[1]:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
