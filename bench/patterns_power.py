"""Whether a real effect is found, and one that only easy tasks show is not.

    python bench/patterns_power.py [--worlds 100] [--tasks 60] [--runs 8] [--effect 0.2]

Made-up worlds: tasks of different difficulty, runs that use some of 30 tools in random order. One
tool raises the chance of success by `--effect` within every task. Five decoys do nothing but are
used more at easy tasks; without strata they look better than the tool that works. Goals: the tool
is established in at least 80 % of worlds, a decoy in at most 5 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.labelled import in_memory, patterns

TOOLS, DECOYS = 30, 5
WORKS = "tool_00"


def main() -> None:
    """Print how often the tool that works and the decoys are established, with n."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--effect", type=float, default=0.2)
    arguments = parser.parse_args()
    labels: dict[str, Counter[str]] = {"works": Counter(), "decoy": Counter(), "other": Counter()}
    overall = Counter[str]()
    began = time.perf_counter()
    for world in range(arguments.worlds):
        random = np.random.default_rng(world)
        rows = patterns(
            in_memory(made_up(random, arguments.tasks, arguments.runs, arguments.effect)),
            "success_patterns",
        )
        told = {row["pattern"][0]: row for row in rows if row["kind"] == "tool"}
        for number in range(TOOLS):
            row = told.get(name(number))
            role = "works" if not number else "decoy" if number <= DECOYS else "other"
            labels[role][row["label"] if row else "worse"] += 1
            overall[role] += bool(row and row["p_overall"] < 0.05)
    seconds = (time.perf_counter() - began) / arguments.worlds
    print(
        f"{arguments.worlds} worlds of {arguments.tasks} tasks x {arguments.runs} runs,"
        f" effect {arguments.effect:+.0%}; {seconds:.1f} s each"
    )
    for role, found in labels.items():
        n = found.total()
        shares = ", ".join(f"{label} {count / n:.1%}" for label, count in found.most_common())
        print(f"  {role}, n={n}: {shares}; p < 0.05 without strata {overall[role] / n:.1%}")


def made_up(random: np.random.Generator, tasks: int, runs: int, effect: float) -> dict[str, Any]:
    """Attempts and steps of one world."""
    easiness = random.uniform(0.2, 0.8, tasks)
    attempts: list[tuple[str, str, bool]] = []
    steps: list[tuple[str, int, str]] = []
    for task in range(tasks):
        for run in range(runs):
            trajectory_id = f"{task}-{run}"
            chance_of_use = np.full(TOOLS, 0.5)
            chance_of_use[1 : 1 + DECOYS] = easiness[task]
            used = np.flatnonzero(random.random(TOOLS) < chance_of_use)
            chance = easiness[task] + effect * ((0 in used) - 0.5)
            attempts.append((trajectory_id, f"task {task}", bool(random.random() < chance)))
            steps += [
                (trajectory_id, step, name(int(tool)))
                for step, tool in enumerate(random.permutation(used))
            ]
    return {
        "attempts": {
            "trajectory_id": [row[0] for row in attempts],
            "task": [row[1] for row in attempts],
            "agent_name": ["made up"] * len(attempts),
            "agent_version": ["1"] * len(attempts),
            "is_success": [row[2] for row in attempts],
            "left_out": pa.nulls(len(attempts), pa.string()),
        },
        "steps": {
            "trajectory_id": [row[0] for row in steps],
            "step": [row[1] for row in steps],
            "trace_id": [row[0] for row in steps],
            "span_id": [f"{row[0]}-{row[1]}" for row in steps],
            "kind": ["tool"] * len(steps),
            "status": ["ok"] * len(steps),
            "tool_name": [row[2] for row in steps],
        },
    }


def name(number: int) -> str:
    """How a tool is called."""
    return f"tool_{number:02}"


if __name__ == "__main__":
    main()
