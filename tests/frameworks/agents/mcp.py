# /// script
# dependencies = [
#     "mcp>=2.3",
#     "openai>=3",
#     "opentelemetry-instrumentation-genai-openai>=1.3b0",
# ]
# [tool.frameworks]
# title = "MCP, client and server over stdio"
# package = "mcp"
# note = """
# that the server's tool spans belong to the run: they have no ids of calls, and traces of
# their own where the program has no span round its loop (`otel_traj.trajectory` is one)"""
# ///
"""A loop round OpenAI's client whose tools are those of an MCP server."""

import asyncio
import json
import os
import sys
from pathlib import Path

import travel
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from openai import AsyncOpenAI

import otel_traj

otel_traj.instrument()

SERVER = StdioServerParameters(
    command=sys.executable,
    args=[str(Path(travel.__file__).with_name("travel_server.py"))],
    env=dict(os.environ),
)


def specification(tool):
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": function}


async def use(session, call):
    result = await session.call_tool(call.function.name, json.loads(call.function.arguments))
    return result.content[0].text


async def main():
    client = AsyncOpenAI()
    messages = [
        {"role": "system", "content": travel.DESK_INSTRUCTIONS},
        {"role": "user", "content": travel.TASK},
    ]
    async with stdio_client(SERVER) as streams, ClientSession(*streams) as session:
        await session.initialize()
        tools = [specification(tool) for tool in (await session.list_tools()).tools]
        while True:
            completion = await client.chat.completions.create(
                model=travel.MODEL, messages=messages, tools=tools
            )
            message = completion.choices[0].message
            messages.append(message)
            if not message.tool_calls:
                break
            for call in message.tool_calls:
                content = await use(session, call)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    print(message.content)


asyncio.run(main())
