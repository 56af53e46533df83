"""How long Jaeger's questions take on a big store: what its pages wait for.

    python bench/jaeger.py                       1,000,000 spans of 50,000 runs over 14 days
    python bench/jaeger.py --store traces        a store that is there
    python bench/jaeger.py --spans 2000 --repeat 1

Each question is asked over HTTP of `otel-traj serve`, and its answer read to the end; the first
time does not count. The store is that of `bench/queries.py`, as commits leave it. The second column
is a real Jaeger 2 that reads the store, where one was built (tests/jaeger/build.py).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "exporters"), str(ROOT / "analysis")]

from bench import queries  # noqa: E402
from otel_traj.store import open_store  # noqa: E402
from tests.jaeger import build  # noqa: E402
from tests.jaeger.running import documented, jaeger  # noqa: E402
from tests.server.serving import serving  # noqa: E402

SERVICE: Final = "shop"
HOUR_US: Final = 3_600 * 10**6


def questions(store: Path) -> dict[str, str]:
    """What is asked -> path and parameters."""
    [(trace_id, first, last)] = (
        open_store(store)
        .sql(
            "select any_value(trace_id order by hash(trace_id)), min(start_ns) // 1000,"
            " max(start_ns) // 1000 + 1 from spans"
        )
        .fetchall()
    )

    def search(start: int = first, **parameters: Any) -> str:
        limits = {"service": SERVICE, "start": start, "end": last, "limit": 20}
        return f"/api/traces?{urlencode({**limits, **parameters})}"

    def tagged(key: str, value: str) -> str:
        return search(tags=json.dumps({key: value}))

    return {
        "services": "/api/services",
        "operations": f"/api/services/{SERVICE}/operations",
        "the newest 20 traces": search(),
        "20 traces of the last hour": search(last - HOUR_US),
        "20 traces by operation and duration": search(
            operation="execute_tool search", minDuration="100ms"
        ),
        "20 traces with an error": tagged("error", "true"),
        "20 traces by a column (model)": tagged("gen_ai.request.model", "m-1"),
        "20 traces by an attribute": tagged("app.tenant", "t3"),
        "20 traces by a tag that nobody has": tagged("app.tenant", "nobody"),
        "one trace by its id": f"/api/traces/{trace_id}",
    }


def measure(address: str, asked: Mapping[str, str], repeat: int) -> dict[str, float]:
    """Median of each question in milliseconds."""
    return {what: _median(f"http://{address}{path}", repeat) for what, path in asked.items()}


def _median(url: str, repeat: int) -> float:
    times = []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        with urlopen(url, timeout=600) as answer:
            answer.read()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times[1:])


@contextlib.contextmanager
def made(options: argparse.Namespace) -> Iterator[Path]:
    """The store to ask."""
    if options.store:
        yield options.store
        return
    folder = Path(tempfile.mkdtemp(prefix="jaeger-"))
    try:
        began = time.perf_counter()
        queries.make(folder / "traces", options.spans)
        print(f"{options.spans:,} spans made in {time.perf_counter() - began:.0f} s", flush=True)
        yield folder / "traces"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--store", type=Path, help="ask this one")
    options = parser.parse_args(arguments)
    off = ("--otlp-grpc", "off", "--otlp-http", "off")
    with (
        made(options) as store,
        serving(store, *off, "--jaeger-storage", "127.0.0.1:0") as service,
        tempfile.TemporaryDirectory() as folder,
    ):
        asked = questions(store)
        results = {"otel-traj serve": measure(service.addresses["HTTP"], asked, options.repeat)}
        if build.find():
            with jaeger(Path(folder), *documented(service.addresses["storage"])) as address:
                results["through Jaeger"] = measure(address, asked, options.repeat)
        print(f"median of n = {options.repeat}, ms: {', '.join(results)}")
        for what in asked:
            print("".join(f"{result[what]:9.1f}" for result in results.values()), "", what)


if __name__ == "__main__":
    main()
