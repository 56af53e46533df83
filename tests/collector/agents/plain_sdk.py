"""An agent of which only the SDK's variables are set: OTEL_TRACES_EXPORTER=otlp,trajectory."""

from __future__ import annotations

import sys
from typing import Any

from opentelemetry import trace

provider: Any = trace.get_tracer_provider()
tracer = trace.get_tracer("planner")


def run() -> None:
    with tracer.start_as_current_span(
        "plan the day", attributes={"openinference.span.kind": "AGENT", "agent.name": "planner"}
    ):
        for number in range(2):
            with tracer.start_as_current_span("ask") as span:
                span.set_attributes(
                    {
                        "openinference.span.kind": "LLM",
                        "llm.model_name": "m-2",
                        "llm.input_messages.0.message.role": "user",
                        "llm.input_messages.0.message.content": f"Part {number}?",
                        "llm.output_messages.0.message.role": "assistant",
                        "llm.output_messages.0.message.content": f"Part {number} is done.",
                        "llm.token_count.prompt": 7,
                        "llm.token_count.completion": 5,
                    }
                )


for line in sys.stdin:
    for _ in range(int(line)):
        run()
    sys.stdout.write(f"{provider.force_flush()}\n")
    sys.stdout.flush()
