# /// script
# dependencies = ["anthropic>=2.10"]
# [tool.frameworks]
# title = "Anthropic SDK, a loop of one's own"
# package = "anthropic"
# note = """that the tool failed: the flag `is_error` is not told"""
# ///
"""A loop of one's own round Anthropic's client."""

import json

import travel
from anthropic import Anthropic

import otel_traj

otel_traj.instrument()

PARAMETERS = {
    travel.find_train: {"origin": "string", "destination": "string"},
    travel.get_forecast: {"city": "string"},
    travel.book_seat: {"train": "string", "passenger": "string"},
    travel.issue_invoice: {"train": "string", "amount_chf": "number"},
}
TOOLS = {tool.__name__: tool for tool in PARAMETERS}


def specification(tool):
    properties = {name: {"type": kind} for name, kind in PARAMETERS[tool].items()}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": tool.__name__, "description": tool.__doc__, "input_schema": schema}


def use(call):
    result = {"type": "tool_result", "tool_use_id": call.id}
    try:
        answer = TOOLS[call.name](**call.input)
    except travel.SeatMapError as error:
        return {**result, "content": str(error), "is_error": True}
    return {**result, "content": answer if isinstance(answer, str) else json.dumps(answer)}


client = Anthropic()
messages = [{"role": "user", "content": travel.TASK}]
while True:
    message = client.messages.create(
        model="claude-haiku-4-5",
        max_tokens=500,
        system=travel.DESK_INSTRUCTIONS,
        messages=messages,
        tools=[specification(tool) for tool in PARAMETERS],
    )
    messages.append({"role": "assistant", "content": message.content})
    if message.stop_reason != "tool_use":
        break
    calls = [block for block in message.content if block.type == "tool_use"]
    messages.append({"role": "user", "content": [use(call) for call in calls]})
print(message.content[0].text)
