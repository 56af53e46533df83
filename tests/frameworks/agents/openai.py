# /// script
# dependencies = ["openai>=3", "opentelemetry-instrumentation-genai-openai>=1.3b0"]
# [tool.frameworks]
# title = "OpenAI SDK, hand-written loop"
# package = "openai"
# ///
"""A loop of one's own round OpenAI's client."""

import json

from openai import OpenAI
from travel import (
    DESK_INSTRUCTIONS,
    MODEL,
    TASK,
    book_seat,
    find_train,
    get_forecast,
    issue_invoice,
)

import otel_traj

otel_traj.instrument()

TOOLS = {tool.__name__: tool for tool in (find_train, get_forecast, book_seat, issue_invoice)}


def specification(name, **parameters):
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


SPECIFICATIONS = [
    specification("find_train", origin="string", destination="string"),
    specification("get_forecast", city="string"),
    specification("book_seat", train="string", passenger="string"),
    specification("issue_invoice", train="string", amount_chf="number"),
]


def use(call):
    try:
        answer = TOOLS[call.function.name](**json.loads(call.function.arguments))
        return answer if isinstance(answer, str) else json.dumps(answer)
    except Exception as error:
        return f"Error: {error}"


client = OpenAI()
messages = [
    {"role": "system", "content": DESK_INSTRUCTIONS},
    {"role": "user", "content": TASK},
]
while True:
    completion = client.chat.completions.create(
        model=MODEL, messages=messages, tools=SPECIFICATIONS
    )
    message = completion.choices[0].message
    messages.append(message)
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": use(call)})
print(message.content)
