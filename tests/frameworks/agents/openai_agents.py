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

import travel
from agents import Agent, Runner, function_tool

import otel_traj

otel_traj.instrument()

clerk = Agent(
    name=travel.CLERK,
    instructions=travel.CLERK_INSTRUCTIONS,
    model=travel.MODEL,
    tools=[function_tool(travel.issue_invoice)],
)
desk = Agent(
    name=travel.DESK,
    instructions=travel.DESK_INSTRUCTIONS,
    model=travel.MODEL,
    tools=[
        function_tool(travel.find_train),
        function_tool(travel.get_forecast),
        function_tool(travel.book_seat),
    ],
    handoffs=[clerk],
)
print(Runner.run_sync(desk, travel.TASK).final_output)
