"""The official client of OpenAI and nothing of ours: run by `opentelemetry-instrument`."""

from __future__ import annotations

import json
import sys
from typing import Any

import openai
from opentelemetry import trace
from opentelemetry._logs import get_logger_provider

providers: tuple[Any, ...] = (trace.get_tracer_provider(), get_logger_provider())
client: Any = openai.OpenAI()
TOOL = {"name": "look", "parameters": {"type": "object", "properties": {}}}


def run() -> None:
    with trace.get_tracer("agent").start_as_current_span(
        "invoke_agent scout",
        attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "scout"},
    ):
        messages = [{"role": "user", "content": "What is there?"}]
        asked = client.chat.completions.create(
            model="gpt-5-mini", messages=messages, tools=[{"type": "function", "function": TOOL}]
        )
        [call] = asked.choices[0].message.tool_calls
        with trace.get_tracer("agent").start_as_current_span(
            "execute_tool look",
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "look",
                "gen_ai.tool.call.id": call.id,
                "gen_ai.tool.call.result": json.dumps(["a", "b"]),
            },
        ):
            messages.append(asked.choices[0].message.model_dump(exclude_none=True))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": '["a", "b"]'})
        client.chat.completions.create(model="gpt-5-mini", messages=messages)


for line in sys.stdin:
    for _ in range(int(line)):
        run()
    is_sent = [provider.force_flush() for provider in providers]
    sys.stdout.write(f"{all(is_sent)}\n")
    sys.stdout.flush()
