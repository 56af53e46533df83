# /// script
# dependencies = [
#     "claude-agent-sdk>=0.2.180",
#     "openinference-instrumentation-claude-agent-sdk>=0.1.22",
# ]
# [tool.frameworks]
# title = "Claude Agent SDK"
# package = "claude-agent-sdk"
# note = """
# model calls: Claude Code makes them in a process of its own and tells them to a Collector only
# (set OTEL_EXPORTER_OTLP_ENDPOINT). Import the package after `instrument()`"""
# ///
"""Claude Code, given tools that run in this process."""

import asyncio

import otel_traj

otel_traj.instrument()

# The instrumentor puts another `query` into the package: who imported it before has the old one.
import travel  # noqa: E402
from claude_agent_sdk import (  # noqa: E402
    ClaudeAgentOptions,
    ResultMessage,
    create_sdk_mcp_server,
    query,
    tool,
)


def content(value):
    return {"content": [{"type": "text", "text": str(value)}]}


@tool("find_train", "Find the next train.", {"origin": str, "destination": str})
async def find_train(arguments):
    return content(travel.find_train(**arguments))


@tool("get_forecast", "Tell tomorrow's weather.", {"city": str})
async def get_forecast(arguments):
    return content(travel.get_forecast(**arguments))


@tool("book_seat", "Book a seat.", {"train": str, "passenger": str})
async def book_seat(arguments):
    return content(travel.book_seat(**arguments))


@tool("issue_invoice", "Write an invoice.", {"train": str, "amount_chf": float})
async def issue_invoice(arguments):
    return content(travel.issue_invoice(**arguments))


TOOLS = [find_train, get_forecast, book_seat, issue_invoice]
OPTIONS = ClaudeAgentOptions(
    model="claude-haiku-4-5",
    system_prompt=travel.DESK_INSTRUCTIONS,
    mcp_servers={"travel": create_sdk_mcp_server("travel", tools=TOOLS)},
    allowed_tools=[f"mcp__travel__{tool.name}" for tool in TOOLS],
    tools=[],
    setting_sources=[],
)


async def main():
    async for message in query(prompt=travel.TASK, options=OPTIONS):
        if isinstance(message, ResultMessage):
            print(message.result)


asyncio.run(main())
