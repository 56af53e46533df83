# /// script
# dependencies = [
#     "agno>=3.1",
#     "openai>=3",
#     "opentelemetry-instrumentation-genai-agno",
#     "opentelemetry-instrumentation-genai-openai",
# ]
# [tool.frameworks]
# title = "Agno"
# package = "agno"
# agent = "travel_desk"
# ///
"""An agent with tools."""

import travel
from agno.agent import Agent
from agno.models.openai import OpenAIChat

import otel_traj

otel_traj.instrument()

desk = Agent(
    name=travel.DESK,
    model=OpenAIChat(id=travel.MODEL),
    instructions=travel.DESK_INSTRUCTIONS,
    tools=[travel.find_train, travel.get_forecast, travel.book_seat, travel.issue_invoice],
)
print(desk.run(travel.TASK).content)
