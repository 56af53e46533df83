# /// script
# dependencies = ["agno>=3", "openai>=3", "openinference-instrumentation-agno>=1.0.15"]
# [tool.frameworks]
# title = "Agno"
# package = "agno"
# note = """ids of answers: told only where a later request repeats them"""
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
