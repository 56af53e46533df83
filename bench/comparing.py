"""What comparing two runs takes: the alignment, the answer over HTTP, the page.

    python bench/comparing.py                     two runs of 2,000 steps
    python bench/comparing.py --steps 200 --runs 1

Pairs of runs of which every third step differs in some way (other arguments, another tool, only on
one side), that have nothing in common, and that poll: two steps over and over, which whoever
compares all steps with all others takes longest for. `cheapest` says whether no other alignment
costs less. The gates are those of the viewer: 100 ms to align 2,000 steps, first rows in 800 ms.
Alignments are told in CPU time, all else in wall time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "exporters"), str(ROOT / "analysis")]

import pytest  # noqa: E402

from otel_traj import semconv  # noqa: E402
from otel_traj.comparison import align, compare, keys_of  # noqa: E402
from otel_traj.model import SpanRecord  # noqa: E402
from otel_traj.store import TrajectoryStore  # noqa: E402
from tests.store.runs import root, tool  # noqa: E402
from tests.ui.browsers import looking_at, options  # noqa: E402

Call = tuple[str, str]
"""Name and arguments of a tool's execution."""

_ROWS: Final = "[role=list] .pair .action"


def alike(n: int, draw: random.Random) -> tuple[list[Call], list[Call]]:
    """A run, and the same with every third step changed, replaced, left out or doubled."""
    left = [(f"tool{draw.randrange(8)}", f'{{"of": {draw.randrange(n)}}}') for _ in range(n)]
    right: list[Call] = []
    for name, arguments in left:
        match draw.randrange(12):
            case 0:
                right.append((name, '{"of": "other"}'))
            case 1:
                right.append(("another", arguments))
            case 2:
                continue
            case 3:
                right += [(name, arguments), (name, arguments)]
            case _:
                right.append((name, arguments))
    return left, right


def strangers(n: int, draw: random.Random) -> tuple[list[Call], list[Call]]:
    """Two runs that use the same tools for something else altogether."""
    left, right = (
        [(f"tool{draw.randrange(8)}", f'{{"{side}": {i}}}') for i in range(n)] for side in "ab"
    )
    return left, right


def polling(n: int, draw: random.Random) -> tuple[list[Call], list[Call]]:
    """Two runs that wait, in another rhythm."""
    wait, look = ("sleep", '{"s": 1}'), ("status", "{}")
    left = [wait if draw.random() < 0.5 else look for _ in range(n)]
    return left, [wait if draw.random() < 0.5 else look for _ in range(n)]


KINDS: Final = {"alike": alike, "strangers": strangers, "polling": polling}


def spans(number: int, calls: list[Call]) -> Iterator[SpanRecord]:
    """A run of these calls."""
    for position, (name, arguments) in enumerate(calls, 1):
        told = {semconv.TOOL_NAME: name, semconv.TOOL_CALL_ARGUMENTS: arguments}
        yield tool(number, position, **told, **{semconv.TOOL_CALL_RESULT: f"result of {name}"})
    whole = root(number)
    yield dataclasses.replace(whole, end_ns=whole.start_ns + (len(calls) + 2) * 10**6)


def main() -> int:
    """Make the runs, compare them, print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore.create(Path(folder) / "traces")
        draw = random.Random(0)
        for i, make in enumerate(KINDS.values()):
            left, right = make(asked.steps, draw)
            store.append([*spans(2 * i + 1, left), *spans(2 * i + 2, right)])
        print(f"two runs of {asked.steps:,} steps; median of {asked.runs}")
        runs = [run.trajectory_id for run in store.trajectories()]
        ids = dict(zip(KINDS, zip(runs[::2], runs[1::2], strict=True), strict=True))
        for kind, (a, b) in ids.items():
            report(store, kind, a, b, asked.runs)
        with looking_at(store.path) as address:
            for kind, (a, b) in ids.items():
                answers(address, kind, a, b, asked.runs)
            pages(address, *ids["alike"], asked.runs)
    return 0


def report(store: TrajectoryStore, kind: str, a: str, b: str, runs: int) -> None:
    """The comparison itself, without a server."""
    left, right = store.trajectory(a), store.trajectory(b)
    keys = keys_of(left.steps), keys_of(right.steps)
    found = align(*keys)
    cpu = time.process_time
    line(f"align, {kind}", milliseconds(lambda: align(*keys), runs, cpu), 100)
    line(f"compare, {kind}", milliseconds(lambda: compare(left, right), runs, cpu))
    told = "cheapest" if found.is_cheapest else "piece by piece"
    print(f"  {len(found.pairs):,} pairs, cost {found.cost:,}, {told}")


def answers(address: str, kind: str, a: str, b: str, runs: int) -> None:
    """The answers of the API; the first one reads both runs."""
    api = f"{address}/api/ot/v1/compare"
    first = milliseconds(lambda: ask(f"{api}?a={a}&b={b}"), 1)
    line(f"GET /compare, {kind}, first", first)
    line("  again", milliseconds(lambda: ask(f"{api}?a={a}&b={b}"), runs))
    step = f"{api}/step?a={a}&b={b}&step_a=5&step_b=5"
    line("  one pair of steps", milliseconds(lambda: ask(step), runs))


def ask(url: str) -> Any:
    """The JSON of an answer."""
    with urlopen(url) as answer:
        return json.load(answer)


def pages(address: str, a: str, b: str, runs: int) -> None:
    """First rows of the page, in Chromium, and how many elements they are."""
    try:
        from playwright.sync_api import sync_playwright

        chosen = options()
    except (ImportError, pytest.skip.Exception) as missing:
        print(f"page: not measured: {missing}")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**chosen)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        times, nodes = [], 0
        for _ in range(runs):
            page.goto(f"{address}/compare/{a}/{b}", wait_until="commit")
            page.wait_for_selector(_ROWS)
            times.append(page.evaluate("() => performance.now()"))
            nodes = page.evaluate("document.getElementsByTagName('*').length")
        browser.close()
    line("page, first rows", statistics.median(times), 800)
    print(f"  {nodes} elements")


def milliseconds(
    act: Callable[[], object], runs: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Median time of some runs, ms."""
    taken = []
    for _ in range(runs):
        began = clock()
        act()
        taken.append(clock() - began)
    return statistics.median(taken) * 1e3


def line(name: str, value: float, gate: float | None = None) -> None:
    """One figure, beside its gate where it has one."""
    verdict = "" if gate is None else f"   gate {gate:g}"
    over = "   over the gate" if gate is not None and value > gate else ""
    print(f"{name:32} {value:9.1f} ms{verdict}{over}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
