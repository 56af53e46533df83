"""The tools of `travel.py` as an MCP server over stdio; it records itself into the same store."""

from __future__ import annotations

import travel
from mcp.server import MCPServer

import otel_traj

otel_traj.instrument()

server = MCPServer("travel")
for function in (travel.find_train, travel.get_forecast, travel.book_seat, travel.issue_invoice):
    server.add_tool(function)

if __name__ == "__main__":
    server.run()
