# /// script
# dependencies = ["strands-agents[openai]>=1.60"]
# [tool.frameworks]
# title = "Strands Agents"
# package = "strands-agents"
# [tool.frameworks.handoff]
# tool = "ask_invoice_clerk"
# mode = "delegate"
# arguments = { request = "EC 35, 58.5 CHF" }
# ///
"""An agent that asks another by a tool."""

import travel
from strands import Agent, tool
from strands.models.openai import OpenAIModel

import otel_traj

otel_traj.instrument()

model = OpenAIModel(model_id=travel.MODEL)
clerk = Agent(
    model,
    name=travel.CLERK,
    system_prompt=travel.CLERK_INSTRUCTIONS,
    tools=[tool(travel.issue_invoice)],
    callback_handler=None,
)


@tool
def ask_invoice_clerk(request: str) -> str:
    """Have an invoice written."""
    return str(clerk(request))


desk = Agent(
    model,
    name=travel.DESK,
    system_prompt=travel.DESK_INSTRUCTIONS,
    tools=[
        tool(travel.find_train),
        tool(travel.get_forecast),
        tool(travel.book_seat),
        ask_invoice_clerk,
    ],
    callback_handler=None,
)
print(desk(travel.TASK))
