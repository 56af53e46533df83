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

from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models.openai import OpenAIChatModel
from travel import (
    CLERK,
    CLERK_INSTRUCTIONS,
    DESK,
    DESK_INSTRUCTIONS,
    MODEL,
    TASK,
    SeatMapError,
    find_train,
    get_forecast,
    issue_invoice,
)
from travel import book_seat as book

import otel_traj

otel_traj.instrument()


def book_seat(train: str, passenger: str) -> str:
    """Book a seat."""
    try:
        return book(train, passenger)
    except SeatMapError as error:
        raise ModelRetry(str(error)) from error


model = OpenAIChatModel(MODEL)
clerk = Agent(model, name=CLERK, instructions=CLERK_INSTRUCTIONS, tools=[issue_invoice])
desk = Agent(
    model, name=DESK, instructions=DESK_INSTRUCTIONS, tools=[find_train, get_forecast, book_seat]
)


@desk.tool_plain
async def ask_invoice_clerk(request: str) -> str:
    """Have an invoice written."""
    return (await clerk.run(request)).output


print(desk.run_sync(TASK).output)
