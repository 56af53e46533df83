"""What a reader of the viewer waits for, in the distribution's Chromium.

    python bench/viewer.py                         one run of 20,000 spans
    python bench/viewer.py --spans 100000
    python bench/viewer.py --spans 300 --frames 5 --runs 1

A real `otel-traj view` on loopback, software raster. `first rows` counts from the navigation to
rows of the waterfall that are painted, `first steps` to those of the transcript, `a far step` to
one that a link names, nine tenths down; `server` is the time of the API alone, as asked for the
first time and after that. `p95` is of the gaps between animation frames while the waterfall scrolls
by, jumps to random places (all rows are replaced) or zooms; `task` is what the main thread worked
for each frame, as the DevTools protocol tells. The gate is what may not be exceeded, for 20,000
spans (first rows and steps: also for 100,000). On a machine that does much else, the clock on the
wall is not held against it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "exporters"), str(ROOT / "analysis")]

import pytest  # noqa: E402

from otel_traj.model import SpanRecord  # noqa: E402
from otel_traj.store import TrajectoryStore, sealing  # noqa: E402
from tests.store.runs import chat, root, span_id, tool  # noqa: E402
from tests.ui.browsers import looking_at, options  # noqa: E402

_FRAMES: Final = """
async ([frames, kind]) => {
    const box = document.querySelector('.tree .scroll');
    const gaps = [];
    let last = performance.now();
    for (let i = 0; i < frames; i++) {
        const far = box.scrollHeight - box.clientHeight;
        if (kind === 'scroll') box.scrollTop += 140;
        if (kind === 'jump') box.scrollTop = ((i * 7919) % 9973) / 9973 * far;
        if (kind === 'zoom') {
            const event = { key: i % 2 ? '-' : '+', bubbles: true };
            window.dispatchEvent(new KeyboardEvent('keydown', event));
        }
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        gaps.push(now - last);
        last = now;
    }
    return gaps;
}
"""

# Looked for by the page itself: a question from outside waits until the main thread is idle. What
# is there in a frame is painted by its end, and a timer that was set in it comes after that.
_WATCH: Final = """
selector => {
    const look = () => {
        const painted = () => { window.painted = performance.now(); };
        if (document.querySelector(selector)) setTimeout(painted);
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}
"""

_STEP: Final = ".transcript .item"
_HERE: Final = ".transcript [aria-current=step]"
_ROWS: Final = ".tree [role=row][aria-level]"


def spans(n: int) -> Iterator[SpanRecord]:
    """One run: a model call with nine tools below it, over and over; one in 997 fails."""
    yield root(1)
    for position in range(1, n):
        above = position - 1 - (position - 1) % 10
        made = chat(1, position)
        if position % 10 != 1:
            made = dataclasses.replace(tool(1, position), parent_span_id=span_id(1, above + 1))
        yield dataclasses.replace(made, status="ERROR") if position % 997 == 0 else made


def main() -> int:
    """Make the run, look at it, print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright

        chosen = options()
    except (ImportError, pytest.skip.Exception) as missing:
        print(f"not measured: {missing}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore.create(Path(folder) / "traces")
        # In one commit: in several, a run is put together again by each.
        made = list(spans(asked.spans))
        sealing.seal_records(store.path, made, writer="import-1", is_last=True, wait_s=60)
        with looking_at(store.path) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(**chosen)
            report(browser, address, asked.spans, asked.frames, asked.runs)
            browser.close()
    return 0


def report(browser: Any, address: str, n: int, frames: int, runs: int) -> None:
    """Measure and print."""
    api = f"{address}/api/ot/v1/trajectories"
    with urlopen(f"{api}?limit=1") as answer:
        run: str = answer.read().decode().split('"trajectory_id":"', 1)[1].split('"', 1)[0]
    first, server, size = asked_for(f"{api}/{run}/spans", runs)
    begun, paged, _ = asked_for(f"{api}/{run}/transcript?limit=200", runs)
    load = os.getloadavg()[0]
    print(
        f"one run of {n:,} spans; median of {runs}, {frames} frames each; load {load:.1f} on"
        f" {os.cpu_count()} cores"
    )
    line("spans, at first", first * 1000, "ms", None)
    is_small = n <= 20_000
    line("spans, server", server * 1000, "ms", 60 if is_small else None)
    line("spans, gzip", size / 1000, "KB", 400 if is_small else None)
    line("steps, at first", begun * 1000, "ms", None)
    line("steps, server", paged * 1000, "ms", None)
    times: dict[str, list[float]] = {}
    for _ in range(runs):
        times.setdefault("first steps", []).append(begin(browser, f"{address}/t/{run}", _STEP))
        far = f"{address}/t/{run}?step={n * 9 // 10}"
        times.setdefault("a far step", []).append(begin(browser, far, _HERE))
        for name, value in look(browser, f"{address}/t/{run}?view=waterfall", frames).items():
            times.setdefault(name, []).append(value)
    is_busy = load > 1.5 * (os.cpu_count() or 1)
    for name, (gate, unit, is_wall) in gates(n).items():
        line(name, statistics.median(times[name]), unit, None if is_wall and is_busy else gate)


def gates(n: int) -> dict[str, tuple[float, str, bool]]:
    """What is measured: its gate, its unit, and whether it is time on the wall."""
    return {
        "first rows": (800 if n <= 20_000 else 1500, "ms", True),
        "first steps": (800 if n <= 20_000 else 1500, "ms", True),
        "a far step": (800 if n <= 20_000 else 1500, "ms", True),
        "scroll, p95": (33, "ms", True),
        "scroll, task": (9, "ms", False),
        "jump, p95": (50, "ms", True),
        "jump, task": (50, "ms", False),
        "zoom, p95": (33, "ms", True),
        "zoom, task": (33, "ms", False),
        "fold all": (60, "ms", False),
        "find": (50, "ms", False),
        "DOM nodes": (2500, "", False),
        "JS heap": (40, "MB", False),
    }


def line(name: str, value: float, unit: str, gate: float | None) -> None:
    """One figure beside its gate, if it has one."""
    told = "" if gate is None else f"gate {gate:6g}{'' if value <= gate else '   over the gate'}"
    print(f"{name:15} {value:9.1f} {unit:3} {told}".rstrip())


def asked_for(url: str, runs: int) -> tuple[float, float, int]:
    """Seconds of the first answer, median of the others, and bytes."""
    taken, size = [], 0
    for _ in range(runs + 1):
        began = time.perf_counter()
        with urlopen(Request(url, headers={"Accept-Encoding": "gzip"})) as answer:
            size = len(answer.read())
        taken.append(time.perf_counter() - began)
    return taken[0], statistics.median(taken[1:]), size


def begin(browser: Any, address: str, selector: str) -> float:
    """Milliseconds from the navigation to a run until a part of its transcript is painted."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    painted = opened(page, address, selector)
    context.close()
    return painted


def opened(page: Any, address: str, selector: str) -> float:
    """Milliseconds from the navigation until something is painted."""
    page.add_init_script(f"({_WATCH})({json.dumps(selector)})")
    page.goto(address, wait_until="commit")
    page.wait_for_selector(selector)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    painted: float = page.evaluate("window.painted")
    return painted


def look(browser: Any, address: str, frames: int) -> dict[str, float]:
    """What one visit took; milliseconds, but for nodes and megabytes."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    found: dict[str, float] = {}
    found["first rows"] = opened(page, address, _ROWS)
    page.wait_for_timeout(500)  # the critical path comes after the first rows
    busy = worked(page)
    for kind in ("scroll", "jump", "zoom"):
        before = busy()
        gaps = sorted(page.evaluate(_FRAMES, [frames, kind]))
        found[f"{kind}, task"] = (busy() - before) / frames
        found[f"{kind}, p95"] = gaps[min(int(len(gaps) * 0.95), len(gaps) - 1)]
    # The zoom stays, and would draw no bar: the whole run again.
    page.keyboard.press("0")
    page.wait_for_timeout(400)
    found["find"] = took(page, lambda: page.locator("#find").fill("lookup"))
    page.locator("#find").fill("")
    fold = page.get_by_role("button", name="Fold all")
    found["fold all"] = took(page, fold.click)
    page.get_by_role("button", name="Unfold all").click()
    client = context.new_cdp_session(page)
    client.send("HeapProfiler.collectGarbage")
    client.send("Performance.enable", {"timeDomain": "threadTicks"})
    told = {m["name"]: m["value"] for m in client.send("Performance.getMetrics")["metrics"]}
    found["DOM nodes"] = page.evaluate("document.getElementsByTagName('*').length")
    found["JS heap"] = told["JSHeapUsedSize"] / 1e6
    context.close()
    return found


def worked(page: Any) -> Callable[[], float]:
    """How long the main thread has worked until a call, in milliseconds of its own CPU time."""
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        told = {m["name"]: m["value"] for m in client.send("Performance.getMetrics")["metrics"]}
        return float(told["TaskDuration"]) * 1000

    return busy


def took(page: Any, act: Callable[[], Any]) -> float:
    """Milliseconds of script and layout that an action causes, until it is painted."""
    busy = worked(page)
    page.wait_for_timeout(100)
    before = busy()
    act()
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    return busy() - before


if __name__ == "__main__":
    sys.exit(main())
