"""An agent told with the verbs of otel-traj."""

from __future__ import annotations

import sys

import otel_traj


def run() -> None:
    with otel_traj.trajectory("order-42", agent="clerk") as trajectory:
        with otel_traj.inference("m-1", provider="openai", input="Where is order 42?") as call:
            call.output("I will look.")
            call.usage(input_tokens=12, output_tokens=4)
        with otel_traj.tool_call("lookup", arguments={"id": "42"}) as tool:
            tool.result({"status": "shipped ✓"})
        with otel_traj.tool_call("write", arguments={"path": "note"}) as tool:
            tool.file_diff("note", before="", after="shipped\n")
            tool.error("disk full")
        trajectory.final_answer("It is shipped.")
        trajectory.reward(0.5, source="test")
        trajectory.outcome("partial")


recording = otel_traj.instrument(sinks=("store", "otlp"), instrumentors=(), seal=False)
for line in sys.stdin:
    for _ in range(int(line)):
        run()
    sys.stdout.write(f"{recording.flush()}\n")
    sys.stdout.flush()
recording.shutdown()
