"""How much room a run takes in the store, against one JSON file per span.

    python bench/size.py                    runs of 10, 50 and 200 turns; 20 runs of 50 turns
    python bench/size.py --turns 3 --runs 2

Every model call sends the whole conversation again, as agents do, so what spans tell grows with the
square of the turns. The texts are Python's own library, no two alike; half of a turn is what the
tool gave. Everything is read back: the messages of each span byte for byte, and each request as it
is rebuilt from steps, which hold only what was new.
Goals: 30 times smaller at 50 turns; growth close to linear in unique content.
"""

from __future__ import annotations

import argparse
import json
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from otel_traj import semconv  # noqa: E402
from otel_traj.assembly import requests  # noqa: E402
from otel_traj.dialects import canonical, messages  # noqa: E402
from otel_traj.model import SpanRecord  # noqa: E402
from otel_traj.store import TrajectoryStore, collection, snapshot  # noqa: E402

Message: TypeAlias = dict[str, Any]

START_NS: Final = 1_795_000_000_000_000_000
TEXT: Final = 1_000
"""Characters of an answer, and of what a tool gave."""


def texts() -> Iterator[str]:
    """Pieces of real text, each another one."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        content = path.read_text("utf-8", errors="replace")
        for start in range(0, len(content) - TEXT, TEXT):
            yield content[start : start + TEXT]


@dataclass
class Run:
    """One run: its spans, and the messages of each request."""

    number: int
    spans: list[SpanRecord]
    requests: list[list[Message]]

    @property
    def unique(self) -> int:
        """Bytes of the last request: every message once."""
        return len(json.dumps(self.requests[-1]).encode())


def make(number: int, n_turns: int, pieces: Iterator[str]) -> Run:
    """An agent that asks a model, calls a tool, and so on, with all of it in every request."""
    run = Run(number, [], [])
    history: list[Message] = [_text("user", next(pieces))]
    for turn in range(n_turns):
        call_id = f"call-{number}-{turn}"
        call = {"type": "tool_call", "id": call_id, "name": "read", "arguments": {"line": turn}}
        answer: Message = {
            "role": "assistant",
            "parts": [{"type": "text", "content": next(pieces)}, call],
            "finish_reason": "tool_calls",
        }
        result = next(pieces)
        run.requests.append(list(history))
        run.spans.append(
            _span(
                run,
                "chat m-1",
                {
                    semconv.OPERATION: semconv.OP_CHAT,
                    semconv.REQUEST_MODEL: "m-1",
                    semconv.RESPONSE_ID: f"resp-{number}-{turn}",
                    semconv.INPUT_TOKENS: 250 * len(history),
                    semconv.OUTPUT_TOKENS: 250,
                    semconv.FINISH_REASONS: ["tool_calls"],
                    semconv.INPUT_MESSAGES: json.dumps(history),
                    semconv.OUTPUT_MESSAGES: json.dumps([answer]),
                },
            )
        )
        run.spans.append(
            _span(
                run,
                "execute_tool read",
                {
                    semconv.OPERATION: semconv.OP_EXECUTE_TOOL,
                    semconv.TOOL_NAME: "read",
                    semconv.TOOL_CALL_ID: call_id,
                    semconv.TOOL_CALL_ARGUMENTS: json.dumps({"line": turn}),
                    semconv.TOOL_CALL_RESULT: result,
                },
            )
        )
        said = {key: value for key, value in answer.items() if key != "finish_reason"}
        given = {"type": "tool_call_response", "id": call_id, "response": result}
        history += [said, {"role": "tool", "parts": [given]}]
    run.spans.append(
        _span(run, "invoke_agent reader", {semconv.OPERATION: "invoke_agent"}, root=True)
    )
    return run


def _text(role: str, content: str) -> Message:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _span(run: Run, name: str, attributes: Mapping[str, Any], *, root: bool = False) -> SpanRecord:
    position = 0 if root else len(run.spans) + 1
    start_ns = START_NS + run.number * 10**12 + position * 10**9
    end_ns = START_NS + run.number * 10**12 + (len(run.spans) + 2) * 10**9
    return SpanRecord(
        f"{run.number + 1:032x}",
        f"{run.number + 1:08x}{position:08x}",
        None if root else f"{run.number + 1:08x}{0:08x}",
        name,
        start_ns,
        end_ns if root else start_ns + 10**9,
        attributes={semconv.AGENT_NAME: "reader", **attributes},
        resource={"service.name": "size", "service.instance.id": "one"},
        scope_name="bench",
    )


def measure(runs: Sequence[Run], folder: Path) -> str:
    """Store runs, read all of it back, and tell of the sizes."""
    spans = [span for run in runs for span in run.spans]
    as_json = sum(len(json.dumps(asdict(span)).encode()) for span in spans)
    store = TrajectoryStore.create(folder)
    store.append(spans)
    store.compact(full=True)
    collection.collect(store.path, grace_s=0)
    live = snapshot.newest(store.path).files
    stored = {table: sum(file.bytes for file in own) for table, own in live.items() if own}
    check_spans(store, runs)
    check_requests(store, runs)
    unique = sum(run.unique for run in runs)
    parts = ", ".join(f"{table} {size / 1e3:,.0f}" for table, size in stored.items())
    return (
        f"{len(runs):3} x {len(runs[0].requests):3} turns"
        f"   JSON {as_json / 1e3:10,.0f} kB   stored {sum(stored.values()) / 1e3:8,.0f} kB"
        f"   {as_json / sum(stored.values()):6.1f} x smaller"
        f"   {sum(stored.values()) / unique:5.2f} of unique   ({parts})"
    )


def check_spans(store: TrajectoryStore, runs: Sequence[Run]) -> None:
    """Every message list is there as it came."""
    told = {
        (trace_id, span_id): text
        for trace_id, span_id, text in store.sql(
            "select trace_id, span_id, input_messages from spans where input_messages is not null"
        ).fetchall()
    }
    sent = {
        (span.trace_id, span.span_id): span.attributes[semconv.INPUT_MESSAGES]
        for run in runs
        for span in run.spans
        if semconv.INPUT_MESSAGES in span.attributes
    }
    if told != sent:
        raise SystemExit("messages of spans came back otherwise")


def check_requests(store: TrajectoryStore, runs: Sequence[Run]) -> None:
    """Every request is rebuilt from what was new at each step."""
    by_trace = {run.spans[0].trace_id: run for run in runs}
    for trajectory in store.trajectories():
        sent = iter(by_trace[trajectory.trace_ids[0]].requests)
        for step in trajectory.steps:
            if step.kind != "llm":
                continue
            rebuilt = requests.rebuild(trajectory.steps, step.step) or ()
            if to_bytes(rebuilt) != to_bytes(messages.decode(next(sent))):
                raise SystemExit(f"the request of step {step.step} is rebuilt otherwise")
        if next(sent, None) is not None:
            raise SystemExit("a request is missing")


def to_bytes(request: messages.Messages) -> bytes:
    """The canonical bytes of all messages."""
    return b"".join(
        part for body in canonical.message_bodies(request, canonical.Numbering()) for part in body
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--turns", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument(
        "--runs", type=int, default=20, help="runs of the middle size, stored together"
    )
    options = parser.parse_args()
    several = sorted(options.turns)[len(options.turns) // 2]
    for n_runs, n_turns in [*((1, n) for n in options.turns), (options.runs, several)]:
        pieces = texts()
        runs = [make(number, n_turns, pieces) for number in range(n_runs)]
        with tempfile.TemporaryDirectory() as folder:
            print(measure(runs, Path(folder) / "traces"), flush=True)
    print("every message list of every span, and every request from its steps, came back the same")


if __name__ == "__main__":
    main()
