"""What pm4py makes of an event log, as JSON: run by the interpreter of an environment that has it.

    python bench/pm4py_graph.py EVENTS.parquet

The log has the columns run, call and time. Also told: the seconds that the graph and the variants
take, reading not counted.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

# Only the environment that the bench makes has them.
pandas: Any = importlib.import_module("pandas")
pm4py: Any = importlib.import_module("pm4py")

KEYS = {"case_id_key": "run", "activity_key": "call", "timestamp_key": "time"}


class Timed(NamedTuple):
    """What a call gives, and the seconds it took."""

    found: Any
    seconds: float
    cpu_seconds: float


def timed(call: Callable[[], Any]) -> Timed:
    """Call it once."""
    began, began_cpu = time.perf_counter(), time.process_time()
    found = call()
    return Timed(found, time.perf_counter() - began, time.process_time() - began_cpu)


def graph(events: Any) -> dict[str, Any]:
    """The directly-follows graph with starts and ends, and the variants, of a data frame."""
    graph = timed(lambda: pm4py.discover_dfg(events, **KEYS))
    variants = timed(lambda: pm4py.get_variants(events, **KEYS))
    arcs, starts, ends = graph.found
    return {
        "version": pm4py.__version__,
        "seconds": {"process_map": graph.seconds, "variants": variants.seconds},
        "cpu_seconds": {"process_map": graph.cpu_seconds, "variants": variants.cpu_seconds},
        "arcs": [
            *([source, target, int(n)] for (source, target), n in arcs.items()),
            *([None, target, int(n)] for target, n in starts.items()),
            *([source, None, int(n)] for source, n in ends.items()),
        ],
        "variants": [[list(calls), int(n)] for calls, n in variants.found.items()],
    }


if __name__ == "__main__":
    print(json.dumps(graph(pandas.read_parquet(sys.argv[1]))))
