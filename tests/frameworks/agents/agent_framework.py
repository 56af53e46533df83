# /// script
# dependencies = ["agent-framework-core>=1.20", "agent-framework-openai>=1"]
# [tool.frameworks]
# title = "Microsoft Agent Framework"
# package = "agent-framework-core"
# [tool.frameworks.handoff]
# tool = "invoice_clerk"
# mode = "delegate"
# arguments = { task = "EC 35, 58.5 CHF" }
# ///
"""An agent that has another as a tool."""

import asyncio

import travel
from agent_framework import Agent
from agent_framework.openai import OpenAIChatCompletionClient

import otel_traj

otel_traj.instrument()

client = OpenAIChatCompletionClient(model=travel.MODEL)
clerk = Agent(
    client,
    name=travel.CLERK,
    description=travel.CLERK_DESCRIPTION,
    instructions=travel.CLERK_INSTRUCTIONS,
    tools=[travel.issue_invoice],
)
desk = Agent(
    client,
    name=travel.DESK,
    instructions=travel.DESK_INSTRUCTIONS,
    tools=[travel.find_train, travel.get_forecast, travel.book_seat, clerk.as_tool()],
)
print(asyncio.run(desk.run(travel.TASK)).messages[-1].text)
