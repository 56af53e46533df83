# /// script
# dependencies = ["google-genai>=2", "openinference-instrumentation-google-genai>=1.4"]
# [tool.frameworks]
# title = "Google Gen AI SDK, its own function calling"
# package = "google-genai"
# ///
"""Google's client, which calls the tools itself."""

import travel
from google import genai
from google.genai import types

import otel_traj

otel_traj.instrument()


def book_seat(train: str, passenger: str) -> dict[str, str]:
    """Book a seat."""
    try:
        return {"result": travel.book_seat(train, passenger)}
    except travel.SeatMapError as error:
        return {"error": str(error)}


client = genai.Client()
response = client.models.generate_content(
    model="gemini-2.5-flash",
    contents=travel.TASK,
    config=types.GenerateContentConfig(
        system_instruction=travel.DESK_INSTRUCTIONS,
        tools=[travel.find_train, travel.get_forecast, book_seat, travel.issue_invoice],
    ),
)
print(response.text)
