# /// script
# dependencies = ["google-genai>=2", "openinference-instrumentation-google-genai>=1.4"]
# [tool.frameworks]
# title = "Google Gen AI SDK, a loop of one's own"
# package = "google-genai"
# note = """
# that a tool failed, if the program says so in its own words. Calls that the SDK makes for
# tools by itself (automatic function calling) are told as one"""
# ///
"""A loop of one's own round Google's client."""

import travel
from google import genai
from google.genai import types

import otel_traj

otel_traj.instrument()


TOOLS = [travel.find_train, travel.get_forecast, travel.book_seat, travel.issue_invoice]
BY_NAME = {tool.__name__: tool for tool in TOOLS}


def use(call):
    try:
        response = {"result": BY_NAME[call.name](**call.args)}
    except travel.SeatMapError as error:
        response = {"error": str(error)}
    answer = types.FunctionResponse(id=call.id, name=call.name, response=response)
    return types.Part(function_response=answer)


client = genai.Client()
chat = client.chats.create(
    model="gemini-2.5-flash",
    config=types.GenerateContentConfig(
        system_instruction=travel.DESK_INSTRUCTIONS,
        tools=TOOLS,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    ),
)
response = chat.send_message(travel.TASK)
while response.function_calls:
    response = chat.send_message([use(call) for call in response.function_calls])
print(response.text)
