"""How many patterns are invented where there are none: outcomes shuffled within tasks.

    python bench/patterns_null.py [--shuffles 200] [--data NAME ...]

Each data set's outcomes are handed out anew among the attempts at the same task, so no behaviour
can matter; every pattern that is still called established is a false discovery. Beside it, what the
usual formula prints: sequences of 2 to 5 calls that stand twice in successful runs, whatever the
failures do. Goal: a mean of at most 0.10 established patterns per shuffle.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.labelled import DATA_SETS, imported, keep_judged, patterns, shuffle

ANALYSES = ("success_patterns", "failure_patterns")


def main() -> None:
    """Print established patterns per shuffle, with n."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shuffles", type=int, default=200)
    parser.add_argument("--data", nargs="+", default=DATA_SETS)
    arguments = parser.parse_args()
    for data_set in arguments.data:
        with imported(data_set) as connection:
            n = keep_judged(connection)
            print(
                f"{data_set}: {n} attempts; by frequency alone {by_frequency(connection)} patterns"
            )
            for analysis in ANALYSES:
                measure(connection, analysis, arguments.shuffles)


def measure(connection: duckdb.DuckDBPyConnection, analysis: str, shuffles: int) -> None:
    """Labels as they are, then over shuffles."""
    connection.execute("create or replace table attempts as from judged")
    as_it_is = Counter(row["label"] for row in patterns(connection, analysis))
    random = np.random.default_rng(2026)
    established, suggestive, began = [], [], time.perf_counter()
    for _ in range(shuffles):
        shuffle(connection, random)
        found = Counter(row["label"] for row in patterns(connection, analysis))
        established.append(found["established"])
        suggestive.append(found["suggestive"])
    seconds = (time.perf_counter() - began) / shuffles
    print(f"  {analysis}: {dict(as_it_is)}")
    print(
        f"  shuffled, n={shuffles}: established {np.mean(established):.3f} a shuffle"
        f" (any in {np.mean(np.array(established) > 0):.1%}, most {max(established)}),"
        f" suggestive {np.mean(suggestive):.2f}; {seconds:.2f} s each"
    )


def by_frequency(connection: duckdb.DuckDBPyConnection) -> int:
    """Patterns that successful runs alone give: sequences of calls that occur at least twice."""
    runs = connection.execute(
        "select list(tool_name order by step) from steps"
        " join judged using (trajectory_id) where kind = 'tool' and is_success"
        " group by trajectory_id"
    ).fetchall()
    grams = Counter(
        tuple(calls[place : place + length])
        for (calls,) in runs
        for length in range(2, 6)
        for place in range(len(calls) - length + 1)
    )
    return sum(n >= 2 for n in grams.values())


if __name__ == "__main__":
    main()
