"""What it costs to watch a run while its spans come, and whether all of them do.

    python bench/viewer_live.py                      20,000 spans at 3,600 a second, two cuts
    python bench/viewer_live.py --spans 600 --rate 600 --cuts 1

A process records into the log of a store; a real `otel-traj serve` seals it and tells of it; the
distribution's Chromium, software raster, shows the run's waterfall over a wire that is cut in the
middle. Frames are the gaps between animation frames until the last row is there. `behind` is from
the last span that was recorded to its row on screen. Missing and double rows must be 0; the frames'
gate is that of an idle machine with two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "exporters"), str(ROOT / "analysis")]

import pytest  # noqa: E402

from otel_traj import wal  # noqa: E402
from otel_traj.store import TrajectoryStore  # noqa: E402
from tests.server.serving import serving  # noqa: E402
from tests.store.runs import root, started, tool  # noqa: E402
from tests.ui.browsers import options  # noqa: E402
from tests.ui.proxy import Wire, wire  # noqa: E402

FRAME_GATE_MS: Final = 33.0

TICK_S: Final = 0.1

_WATCH: Final = """
() => {
    window.gaps = [];
    let last = performance.now();
    const frame = () => {
        const now = performance.now();
        window.gaps.push(now - last);
        last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}
"""


def main() -> int:
    """Record, watch, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=3_600, help="spans a second")
    parser.add_argument("--cuts", type=int, default=2, help="how often the wire is cut")
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.record:
        record(asked.record, asked.spans, asked.rate)
        return 0
    try:
        launch = options()
        from playwright.sync_api import sync_playwright
    except (ImportError, pytest.skip.Exception) as reason:
        print(f"not measured: {reason}")
        return 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        store = TrajectoryStore.create(Path(folder) / "traces")
        store.append([started(root(1)), tool(1, 1)])
        [[run]] = store.sql("select trajectory_id from trajectories").fetchall()
        with serving(store.path) as service, wire(service.api) as cable:
            page = playwright.chromium.launch(**launch).new_page(base_url=cable.address)
            page.set_default_timeout(120_000)
            page.goto(f"/t/{run}?view=waterfall")
            page.get_by_role("status").filter(has_text="live").wait_for()
            measure(page, cable, store.path, asked)
            check(page, cable.address, run, asked.spans)
    return 0


def record(store: Path, n: int, rate: int) -> None:
    """Write a run's spans into the log, so many a second."""
    share = max(1, round(rate * TICK_S))
    parts = [
        wal.encode([tool(1, position) for position in range(begin, min(n, begin + share))])
        for begin in range(2, n, share)
    ]
    writer = wal.WalWriter(store)
    began = time.monotonic()
    for number, part in enumerate(parts):
        time.sleep(max(0.0, began + number * TICK_S - time.monotonic()))
        writer.append(part)
    took = time.monotonic() - began
    print(f"recorded  {n - 2:,} spans in {took:.1f} s: {(n - 2) / took:,.0f} a second", flush=True)
    writer.close()


def measure(page: Any, cable: Wire, store: Path, asked: argparse.Namespace) -> None:
    """Frames while spans come, and how long the last one takes to the screen."""
    command = [sys.executable, __file__, "--record", str(store), "--spans", str(asked.spans)]
    recording = subprocess.Popen([*command, "--rate", str(asked.rate)], env=os.environ)
    page.locator('[role=treegrid]:not([aria-rowcount="3"])').wait_for()
    page.evaluate(_WATCH)
    for _ in range(asked.cuts):
        page.wait_for_timeout(asked.spans / asked.rate / (asked.cuts + 1) * 1000)
        cable.cut()
    while recording.poll() is None:
        page.wait_for_timeout(50)
    ended = time.monotonic()
    # Rows, and one of titles.
    page.locator(f'[role=treegrid][aria-rowcount="{asked.spans + 1}"]').wait_for()
    behind_s = time.monotonic() - ended
    gaps = sorted(page.evaluate("window.gaps.slice()"))
    p50, p95 = (gaps[int(len(gaps) * share)] for share in (0.5, 0.95))
    print(
        f"frames    median {p50:.1f} ms, 95 % below {p95:.1f} ms, longest {gaps[-1]:.0f} ms"
        f" (n = {len(gaps)}; gate {FRAME_GATE_MS:g} ms)"
    )
    print(f"behind    {behind_s:.1f} s")


def check(page: Any, address: str, run: str, n: int) -> None:
    """Compare what is on screen with what was recorded."""
    shown = int(page.get_by_role("treegrid").get_attribute("aria-rowcount")) - 1
    with urlopen(f"{address}/api/ot/v1/trajectories/{run}/spans") as answer:
        stored = json.load(answer)["n"]
    print(
        f"rows      {n:,} recorded, {stored:,} stored, {shown:,} shown:"
        f" {max(0, n - shown)} missing, {max(0, shown - n)} double"
    )


if __name__ == "__main__":
    sys.exit(main())
