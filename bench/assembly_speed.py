"""How fast spans become trajectories, on one core: decoding, hashing and assembly apart, long runs.

    python bench/assembly_speed.py [--spans N] [--longest N]

Synthetic GenAI spans of about 2 KB (current conventions, contents as JSON text; each request
resends the last turns). Printed: spans per second for runs of 20 spans, and the cost per span of
one single run that grows, which has to stay flat.

- decoding: `dialects.read`, from attributes to facts and messages
- hashing: canonical requests, their hashes, and what is new in each
- assembly: all the rest, from facts to rows
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from otel_traj import semconv
from otel_traj.assembly import assemble, rows, tree
from otel_traj.assembly.requests import read_requests
from otel_traj.dialects import read
from otel_traj.dialects.messages import dumps
from otel_traj.model import SpanRecord

FILL = "The quick brown fox jumps over the lazy dog and asks for the status of an order. " * 3
REPEATS = 5


def run_of(n_spans: int, number: int = 0, start_ns: int = 0) -> list[SpanRecord]:
    """One agent's run: a root, then model call and tool in turns.

    Args:
        n_spans: Of the run.
        number: Below 2**32; eight hex digits of it stand in every id of the run.
        start_ns: When it begins; it takes a microsecond per span.
    """
    token = f"{number:08x}"
    spans = [
        SpanRecord(
            token * 4,
            f"{token}{0:08x}",
            None,
            "invoke_agent a",
            start_ns,
            start_ns + n_spans * 1000,
            attributes={semconv.OPERATION: "invoke_agent", semconv.AGENT_NAME: "a"},
            resource=RESOURCE,
        )
    ]
    history: list[dict[str, object]] = [{"role": "user", "parts": [_text(FILL * 4)]}]
    for i in range(1, n_spans):
        begun_ns = start_ns + i * 1000
        make = _model_call if i % 2 else _tool
        spans.append(make(token, i, begun_ns, history))
        if i % 2 == 0:
            history = [*history[:1], _asked(token, i - 1), _answered(token, i)]
    return spans


RESOURCE = {
    "service.name": "bench",
    "service.version": "1.0",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.39.0",
}


def _text(content: str) -> dict[str, object]:
    return {"type": "text", "content": content}


def _asked(token: str, i: int) -> dict[str, object]:
    call = {"type": "tool_call", "id": f"c{token}-{i}", "name": "look", "arguments": {"id": i}}
    return {"role": "assistant", "parts": [_text(FILL * 2), call]}


def _answered(token: str, i: int) -> dict[str, object]:
    part = {"type": "tool_call_response", "id": f"c{token}-{i - 1}", "response": FILL * 3}
    return {"role": "tool", "parts": [part]}


def _model_call(token: str, i: int, start_ns: int, history: list[dict[str, object]]) -> SpanRecord:
    return _span(
        token,
        i,
        start_ns,
        "chat m",
        {
            semconv.OPERATION: "chat",
            semconv.PROVIDER: "p",
            semconv.REQUEST_MODEL: "m",
            semconv.RESPONSE_ID: f"r{token}-{i}",
            semconv.INPUT_TOKENS: 100,
            semconv.OUTPUT_TOKENS: 10,
            semconv.FINISH_REASONS: ["tool_calls"],
            semconv.INPUT_MESSAGES: dumps(history),
            semconv.OUTPUT_MESSAGES: dumps([_asked(token, i)]),
        },
    )


def _tool(token: str, i: int, start_ns: int, history: list[dict[str, object]]) -> SpanRecord:
    return _span(
        token,
        i,
        start_ns,
        "execute_tool look",
        {
            semconv.OPERATION: "execute_tool",
            semconv.TOOL_NAME: "look",
            semconv.TOOL_CALL_ID: f"c{token}-{i - 1}",
            semconv.TOOL_CALL_ARGUMENTS: dumps({"id": i - 1}),
            semconv.TOOL_CALL_RESULT: FILL * 3,
        },
    )


def _span(
    token: str, i: int, start_ns: int, name: str, attributes: dict[str, object]
) -> SpanRecord:
    return SpanRecord(
        token * 4,
        f"{token}{i:08x}",
        f"{token}{0:08x}",
        name,
        start_ns,
        start_ns + 900,
        attributes=attributes,
        resource=RESOURCE,
    )


class Stopwatch:
    """A function that adds up the CPU time of its calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        began = time.process_time()
        result = self.function(*args)
        self.seconds += time.process_time() - began
        return result


def main() -> None:
    """Print spans per second, with n."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spans", type=int, default=4000)
    parser.add_argument("--longest", type=int, default=100_000, help="spans of the longest run")
    args = parser.parse_args()
    count = args.spans // 20
    n = count * 20
    parts: dict[str, list[float]] = {"whole": [], "decoding": [], "hashing": [], "assembly": []}
    for repeat in range(REPEATS):
        # New ones each time: messages that were read not long ago are known.
        runs = [run_of(20, repeat * count + number) for number in range(count)]
        decoding, hashing = Stopwatch(read), Stopwatch(read_requests)
        began = time.process_time()
        with (
            mock.patch.object(tree, "read", decoding),
            mock.patch.object(rows, "read_requests", hashing),
        ):
            for run in runs:
                assemble(run)
        whole = time.process_time() - began
        parts["whole"].append(whole)
        parts["decoding"].append(decoding.seconds)
        parts["hashing"].append(hashing.seconds)
        parts["assembly"].append(whole - decoding.seconds - hashing.seconds)
    print(f"runs of 20 spans, n={n} spans, median of {REPEATS}:")
    for name, found in parts.items():
        seconds = statistics.median(found)
        print(f"  {name:9} {n / seconds:9,.0f} spans/s  {seconds / n * 1e6:7.1f} us a span")
    print("one run of n spans:")
    for size in (args.longest // 100, args.longest // 10, args.longest):
        run = run_of(size)
        began = time.process_time()
        assemble(run)
        seconds = time.process_time() - began
        print(
            f"  n={size:7,}  {size / seconds:9,.0f} spans/s  {seconds / size * 1e6:7.1f} us a span"
        )


if __name__ == "__main__":
    main()
