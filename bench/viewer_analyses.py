"""How long the viewer's pages of analyses take: server time over real HTTP.

    python bench/viewer_analyses.py                     50,000 runs with 550,000 tool calls
    python bench/viewer_analyses.py --spans 1820000 flow        1,000,000 tool calls
    python bench/viewer_analyses.py --spans 1000 --repeat 1 cost
    python bench/viewer_analyses.py --store traces/     a store that exists

The store is that of bench/queries.py; asked are the pages that are named, or all. Each page is
asked as a browser asks: all its analyses at once, for the first time and then again, over all runs
and over those of one agent. While the slowest page is counted, the list is asked, which should not
have to wait.
Goals: a page for the first time in 5 s, again in 100 ms; the list meanwhile in 1 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "analysis", ROOT / "exporters"):
    sys.path.insert(0, str(folder))

from bench import queries  # noqa: E402
from bench.viewer_api import get, viewing  # noqa: E402
from otel_traj.store import TrajectoryStore  # noqa: E402

BOARDS = {
    "outcomes": ("outcomes", "attribution"),
    "tools": (
        *("tool_effectiveness", "tool_errors", "tool_followups", "waste"),
        "thinking_patterns",
    ),
    "patterns": ("success_patterns", "failure_patterns", "prefix_value", "first_divergence"),
    "flow": ("process_map", "variants"),
    "cost": ("token_cost", "performance_patterns"),
    "latency": ("latency", "open_runs"),
    "drift": ("drift", "cohorts"),
    "record": ("coverage",),
}
"""As in ui/src/pages/dashboards.ts."""

LIMIT = 200
SLOWEST = "patterns"


def main() -> None:
    """Print what each page takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=", ".join(BOARDS))
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--store", type=Path, help="made before by bench/queries.py; kept")
    arguments = parser.parse_args()
    pages = arguments.pages or list(BOARDS)
    with tempfile.TemporaryDirectory() as made:
        path = arguments.store or Path(made) / "traces"
        store = TrajectoryStore(path) if path.exists() else queries.make(path, arguments.spans)
        [(n_runs, n_tools)] = store.sql(
            "select count(*), sum(n_tools) from trajectories"
        ).fetchall()
        print(f"{n_runs:,} runs, {n_tools:,} tool calls; again: median of {arguments.repeat}")
        with viewing(path) as address:
            get(address, "analysis/process_map?limit=1&since=2100-01-01")  # imports
            for name in pages:
                told(address, name, arguments.repeat)
            meanwhile(address, SLOWEST if SLOWEST in pages else pages[0], arguments.repeat)


def told(address: str, name: str, repeat: int) -> None:
    """Print a line for a page, and one for each of its analyses."""
    analyses = BOARDS[name]
    asked = [f"analysis/{each}?limit={LIMIT}" for each in analyses]
    first_s = page_s(address, asked)
    again_s = statistics.median(page_s(address, asked) for _ in range(repeat))
    of_agent_s = page_s(address, [f"{each}&agent=coder" for each in asked])
    print(
        f"{name:10} first {first_s:6.2f} s   again {again_s * 1e3:6.1f} ms"
        f"   of one agent {of_agent_s:6.2f} s",
        flush=True,
    )
    for each, path in zip(analyses, asked, strict=True):
        size = len(get(address, path, gzip=True))
        answer = json.loads(get(address, path))
        print(
            f"    {each:22} {answer['took_ms'] / 1e3:6.2f} s {size / 1e3:7.1f} KB"
            f"   {len(answer['rows'])} of {answer['n']:,} rows",
            flush=True,
        )


def page_s(address: str, asked: Sequence[str]) -> float:
    """Seconds until all of a page is there."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(asked)) as pool:
        list(pool.map(lambda path: get(address, path, gzip=True), asked))
    return time.perf_counter() - began


def list_s(address: str) -> float:
    """Seconds until the first page of the list is there."""
    return page_s(address, ["trajectories?limit=100"])


def meanwhile(address: str, page: str, repeat: int) -> None:
    """Print how long the list takes while a page is counted, and while none is."""
    alone = [list_s(address) for _ in range(repeat)]
    asked = [f"analysis/{each}?limit={LIMIT}&until=2099-01-01" for each in BOARDS[page]]
    counting = threading.Thread(target=page_s, args=(address, asked))
    counting.start()
    beside = []
    while True:
        beside.append(list_s(address))
        if not counting.is_alive():
            break
    counting.join()
    print(
        f"the list: {statistics.median(alone) * 1e3:.1f} ms; while {page} is counted"
        f" {statistics.median(beside) * 1e3:.1f} ms, at most {max(beside) * 1e3:.1f} ms"
        f" (n={len(beside)})"
    )


if __name__ == "__main__":
    main()
