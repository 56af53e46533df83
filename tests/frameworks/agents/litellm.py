# /// script
# dependencies = ["litellm>=1.100", "mcp>=2", "openinference-instrumentation-litellm>=0.1.51"]
# [tool.frameworks]
# title = "LiteLLM, a loop of one's own"
# package = "litellm"
# model = "openai/gpt-4o-mini"
# ///
"""A loop of one's own round LiteLLM."""

import json

import litellm
import travel

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
    function = {"name": tool.__name__, "description": tool.__doc__, "parameters": schema}
    return {"type": "function", "function": function}


def use(call):
    try:
        answer = TOOLS[call.function.name](**json.loads(call.function.arguments))
        return answer if isinstance(answer, str) else json.dumps(answer)
    except travel.SeatMapError as error:
        return f"Error: {error}"


messages = [
    {"role": "system", "content": travel.DESK_INSTRUCTIONS},
    {"role": "user", "content": travel.TASK},
]
while True:
    completion = litellm.completion(
        model=f"openai/{travel.MODEL}",
        messages=messages,
        tools=[specification(tool) for tool in PARAMETERS],
    )
    message = completion.choices[0].message
    messages.append(message)
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": use(call)})
print(message.content)
