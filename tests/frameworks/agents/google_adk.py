# /// script
# dependencies = ["google-adk>=2.10"]
# [tool.frameworks]
# title = "Google Agent Development Kit"
# package = "google-adk"
# [tool.frameworks.handoff]
# tool = "transfer_to_agent"
# mode = "transfer"
# arguments = { agent_name = "invoice_clerk" }
# ///
"""An agent with a sub-agent, on Gemini's interface."""

import asyncio

import travel
from google.adk.agents import LlmAgent
from google.adk.runners import InMemoryRunner

import otel_traj

otel_traj.instrument()


def book_seat(train: str, passenger: str) -> dict[str, str]:
    """Book a seat."""
    try:
        return {"result": travel.book_seat(train, passenger)}
    except travel.SeatMapError as error:
        return {"error": str(error)}


clerk = LlmAgent(
    name=travel.CLERK,
    model="gemini-2.5-flash",
    description=travel.CLERK_DESCRIPTION,
    instruction=travel.CLERK_INSTRUCTIONS,
    tools=[travel.issue_invoice],
)
desk = LlmAgent(
    name=travel.DESK,
    model="gemini-2.5-flash",
    description=travel.DESK_DESCRIPTION,
    instruction=travel.DESK_INSTRUCTIONS,
    tools=[travel.find_train, travel.get_forecast, book_seat],
    sub_agents=[clerk],
)


async def main():
    runner = InMemoryRunner(desk)
    events = await runner.run_debug(travel.TASK, quiet=True)
    print(events[-1].content.parts[-1].text)


asyncio.run(main())
