"""Traps in real runs that counting alone falls into, and what is said of them here.

    python bench/traps.py

- Stratus: one call of the harness fails in every attempt to make it; it is no failure of an agent.
- tau-bench, airline: three calls in this order, 5 successes of 5; only easy tasks show them.
- Reflexion, HotpotQA: what was solved is told again word for word in each later trial: one attempt.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.labelled import imported, patterns

HARNESS = "conductor_submit_None"
EASY = ["get_user_details", "get_reservation_details", "transfer_to_human_agents"]


def main() -> None:
    """Print each trap and its label; the status is the number of those missed."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    missed = [trap for trap in (harness, easy, repeated) if not trap()]
    print(f"{3 - len(missed)} of 3 traps seen")
    sys.exit(len(missed))


def harness() -> bool:
    """The call that never succeeds."""
    with imported("sregym-stratus") as connection:
        [[n, failed]] = connection.execute(
            "select count(*), count(*) filter (where status = 'error') from steps"
            " join attempts using (trajectory_id)"
            " where left_out is null and kind = 'tool' and tool_name = $name",
            {"name": HARNESS},
        ).fetchall()
        found = [
            row for row in patterns(connection, "failure_patterns") if HARNESS in row["pattern"]
        ]
    print(f"Stratus: {HARNESS} fails {failed} of {n} times")
    for row in found:
        print(f"  {row['kind']} {row['pattern']}: {row['label']}")
    return bool(found) and {row["label"] for row in found} == {"infrastructure"}


def easy() -> bool:
    """The order of calls that easy tasks show."""
    with imported("taubench-airline-gpt4o") as connection:
        rows = patterns(connection, "success_patterns")
    found = [row for row in rows if row["pattern"] == EASY and row["kind"] in ("start", "sequence")]
    print(f"tau-bench airline: {sum(row['label'] == 'established' for row in rows)} established")
    for row in found:
        print(f"  {row['kind']} {' -> '.join(row['pattern'])}: {row['label']}; {row['finding']}")
    return {row["label"] for row in found} == {"task-confounded"}


def repeated() -> bool:
    """Episodes that are told again."""
    with imported("reflexion-hotpotqa") as connection:
        [[n, n_repeated, n_units]] = connection.execute(
            "select count(*), count(*) filter (where left_out = 'repeated'),"
            " count(*) filter (where left_out is null) from attempts"
        ).fetchall()
        [[twice]] = connection.execute(
            "select count(*) from (select task from attempts where left_out is null and is_success"
            " group by task having count(*) > 1)"
        ).fetchall()
    print(f"Reflexion HotpotQA: {n} episodes, {n_repeated} repeated, {n_units} attempts")
    print(f"  tasks that count as solved more than once: {twice}")
    return bool(n_repeated > 0 and twice == 0)


if __name__ == "__main__":
    main()
