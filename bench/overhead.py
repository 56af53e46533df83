"""What recording costs an agent: our span processor against the SDK's BatchSpanProcessor.

Both record the same runs in one process, by turns: ours into a store on disk, the SDK's through the
real OTLP encoder into nothing (no network). A burst is smaller than any queue, so nobody drops, and
is flushed on another thread before the next begins, so all the work of either is counted.

    python bench/overhead.py [--bursts 60] [--spans 190]

- calls: CPU of the agent's thread inside the processor's calls, per span
- thread: CPU of the agent's thread for whole runs, per span, less that of a provider without
  processors; on top of the calls it has what it costs that spans live until they are written. Each
  burst gives one difference; theirs is the median, and of the ratio to the SDK's the 95 % interval,
  by resampling bursts. The garbage collector runs between bursts: where it falls is chance
- process: CPU of all threads per span, flush included, less the same
- redaction runs on our thread: it stands in `process` alone. By default it looks for credentials;
  `without redaction` and `all rules` (e-mail and cards too) stand beside it
- memory: growth of the peak resident size of a process of its own
- import: time in a process of its own, after opentelemetry's own modules
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

TURNS = 6
"""Model calls of one run; each is followed by two tools."""

SPANS_PER_RUN = 1 + 3 * TURNS


class Configuration:
    """A provider with one way of recording, ready to make spans."""

    def __init__(self, name: str, folder: Path) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.processor = SpanProcessor()
        if name.startswith("otel-traj"):
            self.processor = _ours(folder, name)
        elif name == "BatchSpanProcessor":
            self.processor = BatchSpanProcessor(Encoder())
        if name != "none":
            self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("bench", "1.0")

    def flush(self) -> None:
        """Have everything written."""
        assert self.processor.force_flush()


def _ours(folder: Path, name: str) -> Any:
    from otel_traj import wal
    from otel_traj.capture.processor import TrajectorySpanProcessor
    from otel_traj.redaction import BUILTIN, Redaction

    wal.initialise(folder)
    rules = {WITHOUT_REDACTION: (), WITH_ALL_RULES: BUILTIN}.get(name, ("secrets",))
    processor = TrajectorySpanProcessor(wal.WalWriter(folder), redaction=Redaction(rules))
    if name == WITH_LISTENER:
        processor.add_listener(lambda trajectory: None)
    return processor


class Encoder(SpanExporter):
    """Does all that an OTLP exporter does before it opens a connection."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Encode, and send nothing."""
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits."""
        return True


# --- the load: an agent with tools, its history resent with each call ----------------------------


def run_agent(tracer: Any, content: bool) -> None:
    """One run; sizes as in recorded ones (about 1 KB per message, arguments of 100 B)."""
    history: list[Any] = []
    with tracer.start_as_current_span(
        "invoke_agent support",
        attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"},
    ):
        for _ in range(TURNS):
            text = new_text()
            history.append({"role": "user", "parts": [{"type": "text", "content": text}]})
            with tracer.start_as_current_span("chat gpt-4o", attributes=REQUEST) as span:
                if content:
                    span.set_attribute("gen_ai.input.messages", json.dumps(history))
                    span.set_attribute("gen_ai.output.messages", json.dumps(history[-1:]))
                span.set_attributes(RESPONSE)
            for tool in ("lookup_order", "search"):
                with tracer.start_as_current_span(
                    f"execute_tool {tool}", attributes={**TOOL, "gen_ai.tool.name": tool}
                ) as span:
                    if content:
                        span.set_attribute("gen_ai.tool.call.arguments", ARGUMENTS)
                        span.set_attribute("gen_ai.tool.call.result", text[:500])


_orders = itertools.count(1001)


def new_text() -> str:
    """About 1 KB that nobody has seen before, as most of what models and tools say."""
    order = f"A-{next(_orders)}"
    return TEXT.replace("A-1001", order)


TEXT = 'The order A-1001 was shipped on Monday; "tracking" says it is in the depot.\n' * 13
ARGUMENTS = json.dumps({"order_id": "A-1001", "include": ["items", "history"], "limit": 20})
REQUEST = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.temperature": 0.2,
    "gen_ai.request.max_tokens": 1024,
    "server.address": "api.openai.com",
    "server.port": 443,
}
RESPONSE = {
    "gen_ai.response.id": "chatcmpl-BxY3kq7tVhP2mWnZ4rLs8dQeF1aC",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 1423,
    "gen_ai.usage.output_tokens": 212,
}
TOOL = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.type": "function",
    "gen_ai.tool.call.id": "call_h7Ty2LkQ9ZbVnM4x",
}


# --- measuring ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU per span."""

    calls: float
    thread: float
    process: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.calls - other.calls, self.thread - other.thread, self.process - other.process
        )


class Spans(SpanProcessor):
    """Keeps spans as a processor is given them, so that they can be given to another one."""

    def __init__(self) -> None:
        self.started: list[Any] = []
        self.ended: list[Any] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Keep."""
        self.started.append(span)

    def on_end(self, span: Any) -> None:
        """Keep."""
        self.ended.append(span)


def burst(configuration: Configuration, spans: int, content: bool, flusher: Executor) -> Cost:
    """Record `spans` spans, by running agents, and again by calls of the processor alone."""
    runs = max(1, spans // SPANS_PER_RUN)
    per_span = 1e6 / (runs * SPANS_PER_RUN)
    gc.collect()
    gc.disable()
    time.sleep(0.002)  # every burst begins with the same cold caches
    process, thread = time.process_time(), time.thread_time()
    for _ in range(runs):
        run_agent(configuration.tracer, content)
    thread = time.thread_time() - thread
    flusher.submit(configuration.flush).result()
    process = time.process_time() - process
    calls = _calls(configuration.processor, runs, content)
    flusher.submit(configuration.flush).result()
    gc.enable()
    return Cost(calls * per_span, thread * per_span, process * per_span)


def _calls(processor: SpanProcessor, runs: int, content: bool) -> float:
    """Seconds in the calls of a processor for as many runs."""
    kept = Spans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept)
    for _ in range(runs):
        run_agent(provider.get_tracer("bench"), content)
    start = time.thread_time()
    for span in kept.started:
        processor.on_start(span, parent_context=None)
    for span in kept.ended:
        processor.on_end(span)
    return time.thread_time() - start


NAMES = (
    "none",
    "BatchSpanProcessor",
    "otel-traj",
    WITH_LISTENER := "otel-traj with a listener",
    WITHOUT_REDACTION := "otel-traj without redaction",
    WITH_ALL_RULES := "otel-traj, all rules",
)


def compare(bursts: int, spans: int, content: bool) -> dict[str, list[Cost]]:
    """Configuration -> what it adds to none, burst by burst."""
    added: dict[str, list[Cost]] = {name: [] for name in NAMES[1:]}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as flusher:
        configurations = {name: Configuration(name, Path(folder) / "store") for name in NAMES}
        for n in range(-5, bursts):  # the first five only warm up
            first = n % len(NAMES)  # whoever comes next finds the caches that the last one left
            costs = {
                name: burst(configurations[name], spans, content, flusher)
                for name in (*NAMES[first:], *NAMES[:first])
            }
            if n >= 0:
                for name, of_name in added.items():
                    of_name.append(costs[name] - costs["none"])
        for configuration in configurations.values():
            configuration.provider.shutdown()
    return added


def median(costs: Sequence[Cost]) -> Cost:
    """Of each figure."""
    return Cost(
        *(statistics.median(getattr(cost, field.name) for cost in costs) for field in fields(Cost))
    )


def ratios(ours: Sequence[Cost], batch: Sequence[Cost]) -> tuple[Cost, tuple[float, float]]:
    """Our medians by those of the SDK's processor, and the 95 % interval of that for `thread`."""
    chance = random.Random(0)
    found = []
    for _ in range(1_000):
        chosen = chance.choices(range(len(ours)), k=len(ours))
        found.append(
            statistics.median(ours[n].thread for n in chosen)
            / statistics.median(batch[n].thread for n in chosen)
        )
    found.sort()
    mine, theirs = median(ours), median(batch)
    ratio = Cost(
        mine.calls / theirs.calls, mine.thread / theirs.thread, mine.process / theirs.process
    )
    return ratio, (found[25], found[974])


def memory(name: str, bursts: int, spans: int) -> None:
    """Print the growth in KB of this process's peak while it records with content."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as flusher:
        configuration = Configuration(name, Path(folder) / "store")
        before = _peak_kb()
        for _ in range(bursts):
            burst(configuration, spans, True, flusher)
        print(_peak_kb() - before)
        configuration.provider.shutdown()


def _peak_kb() -> int:
    """Peak resident size (Linux); `ru_maxrss` would begin with the peak of the parent process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def in_processes(command: Sequence[str], n: int) -> float:
    """Median of the number that a process prints."""
    ran = (
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        for _ in range(n)
    )
    return statistics.median(float(process.stdout) for process in ran)


SDK_IMPORTS = "import opentelemetry.sdk.trace, opentelemetry.sdk.trace.export"
OUR_IMPORTS = "import otel_traj; otel_traj.instrument"


def import_ms(before: str, then: str, n: int) -> float:
    """Median milliseconds that `then` takes after `before`."""
    program = (
        f"import time; {before or 'pass'}; start = time.perf_counter(); {then}; "
        "print((time.perf_counter() - start) * 1e3)"
    )
    return in_processes([sys.executable, "-c", program], n)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bursts", type=int, default=60, help="n of each median")
    parser.add_argument("--spans", type=int, default=190, help="of one burst")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    bursts, spans = arguments.bursts, arguments.spans
    if arguments.memory_of:
        memory(arguments.memory_of, bursts, spans)
        return

    for content in (False, True):
        print(
            f"{'with' if content else 'without'} content: CPU added per span in us, "
            f"median of n={bursts} bursts of {spans} spans"
        )
        print(f"  {'':36}{'calls':>8}{'thread':>8}{'process':>9}")
        added = compare(bursts, spans, content)
        for name, costs in added.items():
            cost = median(costs)
            print(f"  {name:36}{cost.calls:8.2f}{cost.thread:8.2f}{cost.process:9.1f}")
        for name in NAMES[2:]:
            ratio, (low, high) = ratios(added[name], added["BatchSpanProcessor"])
            print(
                f"  {'ratio, ' + name:36}{ratio.calls:8.2f}{ratio.thread:8.2f}{ratio.process:9.2f}"
                f"  (thread: 95 % in {low:.2f} to {high:.2f})"
            )
        print(f"  {'goal':36}{0.5:8.2f}{0.5:8.2f}{1:9.2f}  (the last without a listener)")
    print(f"memory: growth of the peak in MB over {bursts} bursts with content, median of n=3")
    for name in NAMES:
        command = [sys.executable, __file__, "--memory-of", name]
        command += ["--bursts", str(bursts), "--spans", str(spans)]
        print(f"  {name:36}{in_processes(command, 3) / 1024:8.1f}")
    n = 9
    print(f"import: ms, median of n={n} processes")
    sdk, ours = import_ms("", SDK_IMPORTS, n), import_ms(SDK_IMPORTS, OUR_IMPORTS, n)
    print(f"  {SDK_IMPORTS:70}{sdk:6.1f}")
    print(f"  {'then ' + OUR_IMPORTS:70}{ours:6.1f}  (goal 20)")


if __name__ == "__main__":
    main()
