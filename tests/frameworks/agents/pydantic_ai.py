# /// script
# dependencies = ["pydantic-ai-slim[openai]>=2.60"]
# [tool.frameworks]
# title = "Pydantic AI"
# package = "pydantic-ai-slim"
# [tool.frameworks.handoff]
# tool = "ask_invoice_clerk"
# mode = "delegate"
# arguments = { request = "EC 35, 58.5 CHF" }
# ///
"""An agent that asks another by a tool."""

import travel
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models.openai import OpenAIChatModel

import otel_traj

otel_traj.instrument()


def book_seat(train: str, passenger: str) -> str:
    """Book a seat."""
    try:
        return travel.book_seat(train, passenger)
    except travel.SeatMapError as error:
        raise ModelRetry(str(error)) from error


model = OpenAIChatModel(travel.MODEL)
clerk = Agent(
    model, name=travel.CLERK, instructions=travel.CLERK_INSTRUCTIONS, tools=[travel.issue_invoice]
)
desk = Agent(
    model,
    name=travel.DESK,
    instructions=travel.DESK_INSTRUCTIONS,
    tools=[travel.find_train, travel.get_forecast, book_seat],
)


@desk.tool_plain
async def ask_invoice_clerk(request: str) -> str:
    """Have an invoice written."""
    return (await clerk.run(request)).output


print(desk.run_sync(travel.TASK).output)
