"""Agents of four kinds -> Collector -> receiver, which is killed for a while; so is the Collector.

    python bench/collector.py [--away 30] [--runs 10]

The agents (tests/collector/fleet.py) go on meanwhile. Needs a Collector and, for the one on Node,
its SDK: `python tests/collector/build.py`, and `python tests/collector/build.py node`.

- lost: runs that the store does not have, or has otherwise than their agent recorded them
- catch-up: from the receiver's return until every run that was made meanwhile can be queried
- sent again: every span once more, over the same way; what changed by that
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "exporters")]

from tests.collector import outage  # noqa: E402
from tests.collector.running import COLLECTOR  # noqa: E402


def main() -> None:
    """Live through it once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_AS_WRITTEN)
    parser.add_argument("--away", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--runs", type=int, default=10, help="of each agent between two events")
    options = parser.parse_args()
    if COLLECTOR is None:
        print("skipped: no collector, python tests/collector/build.py")
        return
    with tempfile.TemporaryDirectory() as folder:
        seen = outage.live_through(Path(folder), runs=options.runs, away_s=options.away)
    print(report(seen))


def report(seen: outage.Outage) -> str:
    """What came of it, in lines."""
    lost = _differing(seen.recorded, seen.received)
    changed = _differing(seen.received, seen.received_again)
    return "\n".join(
        (
            f"agents {', '.join(seen.services)}: {seen.n_runs} runs of {seen.n_spans:,} spans",
            f"receiver away for {seen.away_s:.1f} s: {seen.n_while_away} runs meanwhile",
            f"catch-up {seen.catch_up_s:.1f} s",
            f"lost {lost} rows of {_count(seen.recorded):,}",
            f"sent again {seen.n_duplicates:,} records: {changed} rows changed",
        )
    )


_AS_WRITTEN = argparse.RawDescriptionHelpFormatter


def _count(rows: outage.Rows) -> int:
    return sum(map(len, rows.values()))


def _differing(before: outage.Rows, after: outage.Rows) -> int:
    """Rows that only one of them has."""
    return sum(len({*map(repr, before[table])} ^ {*map(repr, after[table])}) for table in before)


if __name__ == "__main__":
    main()
