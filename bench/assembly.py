"""How well assembly tells what happened: a corpus of real runs, compared with what truly happened.

    python bench/assembly.py [--corpus DIR] [--judge FILE] [--scope first|all] [--store DIR]

Ingests the corpus with the command line into a fresh store and lets the corpus's own judge compare
the public views `trajectories` and `steps` with the truth of each run. Nothing here measures; the
judge does. `--scope first` are the runs of the first four dialects in their plain scenarios, with
the bars that they must hold; `all` prints all runs.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
FIRST_RUNS = (
    "openai__*",
    "anthropic__openinference*",
    "anthropic__otel*",
    "anthropic__traceloop*",
    "langgraph__openinference*",
    "langgraph__otel*",
    "langgraph__traceloop*",
)
NOT_FIRST = ("openai__langsmith-otel*",)
FIRST_SCENARIOS = {"main", "single", "stream", "responses", "rag", "llm-error"}
FIRST_BARS = ("--min-f1", "0.98", "--min-fields", "0.97", "--max-token-error", "0")
COMMAND = [sys.executable, "-m", "otel_traj.cli"]


def first_runs(corpus: Path) -> list[str]:
    """Names of the runs of the first four dialects in their plain scenarios."""
    names = []
    for expected in sorted(corpus.glob("*/expected.json")):
        name = expected.parent.name
        scenario = json.loads(expected.read_text(encoding="utf-8"))["scenario"]
        is_first = any(fnmatch.fnmatch(name, pattern) for pattern in FIRST_RUNS)
        if is_first and not any(fnmatch.fnmatch(name, pattern) for pattern in NOT_FIRST):
            names += [name] if scenario in FIRST_SCENARIOS else []
    return names


def main() -> int:
    """Ingest, judge, print; the exit code is the judge's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=SHARED / "corpus")
    parser.add_argument("--judge", type=Path, default=SHARED / "judge" / "steps.py")
    parser.add_argument("--scope", choices=["first", "all"], default="first")
    parser.add_argument("--store", type=Path, help="an empty folder to keep (default: temporary)")
    parser.add_argument("-v", action="store_true", help="a line per run that is not perfect")
    args = parser.parse_args()
    if not args.judge.exists() or not args.corpus.exists():
        print(f"skipped: no judge at {args.judge} or no corpus at {args.corpus}")
        return 0
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), str(ROOT / "exporters"), str(ROOT / "analysis")]
    )
    with tempfile.TemporaryDirectory() as scratch:
        store = args.store or Path(scratch) / "store"
        began = time.monotonic()
        ingest = [*COMMAND, "ingest", "--store", str(store), str(args.corpus)]
        done = subprocess.run(ingest, stdout=subprocess.DEVNULL, check=False)
        print(f"ingest: exit {done.returncode}, {time.monotonic() - began:.1f} s", flush=True)
        if done.returncode:
            return done.returncode
        judge = [sys.executable, str(args.judge), str(args.corpus), "--store", str(store)]
        judge += ["--command", " ".join(COMMAND)]
        if args.scope == "first":
            names = first_runs(args.corpus)
            print(f"{len(names)} runs of the first four dialects; bars {' '.join(FIRST_BARS)}")
            judge += [*FIRST_BARS, *(word for name in names for word in ("--only", name))]
        return subprocess.run([*judge, *(["-v"] if args.v else [])], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
