# /// script
# dependencies = [
#     "openai-agents>=0.24",
#     "opentelemetry-instrumentation-genai-openai-agents>=1.3b0",
#     "opentelemetry-instrumentation-genai-openai>=1.3b0",
# ]
# [tool.frameworks]
# title = "OpenAI Agents SDK"
# package = "openai-agents"
# handoff = { tool = "transfer_to_invoice_clerk", mode = "transfer" }
# ///
"""Two agents, one hands over to the other."""

from agents import Agent, Runner, function_tool
from travel import (
    CLERK,
    CLERK_INSTRUCTIONS,
    DESK,
    DESK_INSTRUCTIONS,
    MODEL,
    TASK,
    book_seat,
    find_train,
    get_forecast,
    issue_invoice,
)

import otel_traj

otel_traj.instrument()

clerk = Agent(
    name=CLERK, instructions=CLERK_INSTRUCTIONS, model=MODEL, tools=[function_tool(issue_invoice)]
)
desk = Agent(
    name=DESK,
    instructions=DESK_INSTRUCTIONS,
    model=MODEL,
    tools=[function_tool(tool) for tool in (find_train, get_forecast, book_seat)],
    handoffs=[clerk],
)
print(Runner.run_sync(desk, TASK).final_output)
