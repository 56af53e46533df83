# /// script
# dependencies = ["smolagents[openai]>=1.26", "openinference-instrumentation-smolagents>=0.1.43"]
# [tool.frameworks]
# title = "smolagents"
# package = "smolagents"
# ending = { tool = "final_answer", argument = "answer" }
# [tool.frameworks.handoff]
# tool = "invoice_clerk"
# mode = "delegate"
# arguments = { task = "EC 35, 58.5 CHF" }
# ///
"""A manager and a managed agent."""

import os

import travel
from smolagents import OpenAIModel, ToolCallingAgent, tool

import otel_traj

otel_traj.instrument()

model = OpenAIModel(travel.MODEL, api_base=os.environ["OPENAI_BASE_URL"])
clerk = ToolCallingAgent(
    [tool(travel.issue_invoice)],
    model,
    name=travel.CLERK,
    description=travel.CLERK_DESCRIPTION,
    instructions=travel.CLERK_INSTRUCTIONS,
)
desk = ToolCallingAgent(
    [tool(travel.find_train), tool(travel.get_forecast), tool(travel.book_seat)],
    model,
    managed_agents=[clerk],
    name=travel.DESK,
    instructions=travel.DESK_INSTRUCTIONS,
)
print(desk.run(travel.TASK))
