# /// script
# dependencies = [
#     "langchain>=1.4",
#     "langgraph>=1.2",
#     "langchain-openai>=1",
#     "opentelemetry-instrumentation-genai-langchain>=1.3b0",
# ]
# [tool.frameworks]
# title = "LangChain and LangGraph"
# package = "langgraph"
# [tool.frameworks.handoff]
# tool = "ask_invoice_clerk"
# mode = "delegate"
# arguments = { request = "EC 35, 58.5 CHF" }
# ///
"""A graph whose agent asks another by a tool; what a tool raises goes to the model."""

import travel
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain.messages import ToolMessage
from langchain.tools import tool
from langchain_openai import ChatOpenAI

import otel_traj

otel_traj.instrument()

model = ChatOpenAI(model=travel.MODEL)


@wrap_tool_call
def tell_errors(request, handler):
    try:
        return handler(request)
    except travel.SeatMapError as error:
        call_id = request.tool_call["id"]
        return ToolMessage(f"Error: {error}", tool_call_id=call_id, status="error")


clerk = create_agent(
    model,
    [tool(travel.issue_invoice)],
    name=travel.CLERK,
    system_prompt=travel.CLERK_INSTRUCTIONS,
)


@tool
def ask_invoice_clerk(request: str) -> str:
    """Have an invoice written."""
    return clerk.invoke({"messages": [("user", request)]})["messages"][-1].content


desk = create_agent(
    model,
    [
        tool(travel.find_train),
        tool(travel.get_forecast),
        tool(travel.book_seat),
        ask_invoice_clerk,
    ],
    name=travel.DESK,
    system_prompt=travel.DESK_INSTRUCTIONS,
    middleware=[tell_errors],
)
print(desk.invoke({"messages": [("user", travel.TASK)]})["messages"][-1].content)
