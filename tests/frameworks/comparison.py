"""A run compared with the truth by the corpus's own judge, and what of the truth is seen at all.

The judge demands of a store what its telemetry tells. What the telemetry does not tell is a gap of
the instrumentation, and counted here against everything that happened.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.frameworks.driver import ROOT, Run

JUDGE = Path(os.environ.get("OTEL_TRAJ_JUDGE", ROOT.parent / "shared" / "judge" / "steps.py"))

SEEN = ("calls", "tools", "failures", "handoffs", "agents", "content", "tokens")
"""What there is to see: `failures` are tool calls seen to fail, `agents` whose step each one is."""

Share = tuple[int, int]
"""How many, of how many."""


@cache
def judge() -> Any:
    """The judge, as a module.

    Raises:
        FileNotFoundError: There is none; `OTEL_TRAJ_JUDGE` says where.
    """
    specification = importlib.util.spec_from_file_location("otel_traj_judge", JUDGE)
    if specification is None or specification.loader is None or not JUDGE.exists():
        raise FileNotFoundError(JUDGE)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of one run, and what is seen of it."""

    right: Share
    """Steps found with no fact wrong, of those that are told or were answered."""
    is_perfect: bool
    seen: dict[str, Share]
    """Each of `SEEN`, of all that happened; left out where nothing of it did."""
    flaws: tuple[str, ...]
    """Every fault that the judge finds, in a few words."""
    unseen: tuple[str, ...]
    """What happened and is not in the store, in a few words."""


def compare(run: Run) -> Verdict:
    """Judge a run."""
    found = judge().judge(run.folder, run.trajectories, _steps_by_trajectory(run))
    wanted = [step for step in run.expected["steps"] if step["kind"] in judge().KINDS]
    rows = _rows(run)
    pairs = judge().match(wanted, rows)
    evidence = judge().Telemetry(run.folder)
    wrong = {
        i: [name for name, right in judge().fields_of(wanted[i], rows[j], evidence) if not right]
        for i, j in pairs.items()
    }
    flaws = [f"{_title(wanted[i])}: {', '.join(names)}" for i, names in wrong.items() if names]
    flaws += [f"missing {step}" for step in found["missing"]]
    flaws += [f"extra {step}" for step in found["extra"]] if found["invented"] else []
    flaws += [f"run: {name}" for name, right in found["whole"].items() if not right]
    if found["order"][0] < found["order"][1]:
        flaws.append(f"order: {found['order'][0]} of {found['order'][1]}")
    if found["token_error"]:
        flaws.append(f"token error {found['token_error']}")
    facts = list(_facts(run, wanted, rows, pairs))
    return Verdict(
        right=(
            sum(not names for names in wrong.values()),
            len(pairs) + len(found["missing"]) + found["invented"],
        ),
        is_perfect=found["perfect"],
        seen={
            kind: (sum(seen for of, _, seen in facts if of == kind), n)
            for kind in SEEN
            if (n := sum(of == kind for of, _, _ in facts))
        },
        flaws=tuple(flaws),
        unseen=tuple(f"{kind}: {title}" for kind, title, seen in facts if not seen),
    )


def _steps_by_trajectory(run: Run) -> dict[str, list[dict[str, Any]]]:
    steps: dict[str, list[dict[str, Any]]] = {row["trajectory_id"]: [] for row in run.trajectories}
    for step in run.steps:
        if step["kind"] in judge().KINDS:
            steps[step["trajectory_id"]].append(step)
    return steps


def _rows(run: Run) -> list[dict[str, Any]]:
    """The steps that the judge looks at, in its order."""
    ignored = run.expected["ignore_tools"]
    return [
        step
        for steps in _steps_by_trajectory(run).values()
        for step in steps
        if step["tool_name"] not in ignored
    ]


def _title(step: dict[str, Any]) -> str:
    return f"{step['i']} {step['kind']} {step.get('name') or step.get('to') or ''}".strip()


def _facts(
    run: Run, wanted: list[dict[str, Any]], rows: list[dict[str, Any]], pairs: dict[int, int]
) -> Iterator[tuple[str, str, bool]]:
    """(what it is a fact of, its name, whether the store has it) of all that happened."""
    same = judge().same
    for i, step in enumerate(wanted):
        row = rows[pairs[i]] if i in pairs else dict.fromkeys(rows[0] if rows else ())
        title, kind = _title(step), step["kind"]
        of = {"llm": "calls", "tool": "tools", "handoff": "handoffs"}[kind]
        yield of, title, row.get("kind") == kind
        agent = step.get("agent") or step.get("from")
        if agent is not None:
            yield "agents", f"{title} is of {agent}", row.get("agent_name") == agent
        if kind == "llm":
            told = (row.get("input_tokens"), row.get("output_tokens"))
            yield "tokens", title, told == (step["input_tokens"], step["output_tokens"])
            if step["output_text"]:
                yield "content", f"{title} text", same(step["output_text"], row.get("output_text"))
        elif kind == "tool":
            yield "content", f"{title} arguments", same(step["arguments"], row.get("arguments"))
            answers = [step[key] for key in ("result", "model_saw") if step.get(key)]
            is_told = any(same(answer, row.get("result")) for answer in answers)
            if "error" in step:
                is_told |= step["error"]["message"] in str(row.get("error_message"))
                yield "failures", title, bool(row.get("error_type") or row.get("error_message"))
            yield "content", f"{title} result", is_told
    if run.trajectories:
        first, last = run.trajectories[0], run.trajectories[-1]
        yield "content", "task", judge().near(run.expected["user_input"], first["user_input"])
        yield "content", "answer", judge().near(run.expected["final_answer"], last["final_answer"])
