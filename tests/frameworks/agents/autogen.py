# /// script
# dependencies = [
#     "autogen-agentchat>=0.7.5",
#     "autogen-ext[openai]>=0.7.5",
#     "openinference-instrumentation-autogen-agentchat>=0.1.22",
# ]
# [tool.frameworks]
# title = "AutoGen AgentChat"
# package = "autogen-agentchat"
# note = """text beside tool calls: told as a `thought` only"""
# handoff = { tool = "transfer_to_invoice_clerk", mode = "transfer" }
# ///
"""Two agents of a swarm, one hands over to the other."""

import asyncio

import travel
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import TextMessageTermination
from autogen_agentchat.teams import Swarm
from autogen_ext.models.openai import OpenAIChatCompletionClient

import otel_traj

otel_traj.instrument()

model = OpenAIChatCompletionClient(model=travel.MODEL)
clerk = AssistantAgent(
    travel.CLERK,
    model,
    system_message=travel.CLERK_INSTRUCTIONS,
    tools=[travel.issue_invoice],
    max_tool_iterations=5,
)
desk = AssistantAgent(
    travel.DESK,
    model,
    system_message=travel.DESK_INSTRUCTIONS,
    tools=[travel.find_train, travel.get_forecast, travel.book_seat],
    handoffs=[travel.CLERK],
    max_tool_iterations=9,
)


async def main():
    team = Swarm([desk, clerk], termination_condition=TextMessageTermination(travel.CLERK))
    result = await team.run(task=travel.TASK)
    print(result.messages[-1].to_text())


asyncio.run(main())
