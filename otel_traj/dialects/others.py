"""Vocabularies that need few words beyond OpenTelemetry's."""

from __future__ import annotations

import re
from typing import Final

from otel_traj.dialects.table import Dialect, InName

AGENT_FRAMEWORK: Final = Dialect(
    name="agent-framework",
    scopes=("agent_framework",),
    marks=("executor.id", "workflow.id", "edge_group.type"),
    facts={"workflow_name": ("workflow.name",)},
)

GOOGLE_ADK: Final = Dialect(
    name="google-adk",
    scopes=("gcp.vertex.agent",),
    overrides=((re.compile(r"execute_tool \(merged.*\)"), "wrapper"),),  # parallel calls once more
    marks=("gcp.vertex.agent.",),
    names=(
        (re.compile(r"call_llm"), "llm"),
        (re.compile(r"agent_run \[.+\]"), "agent"),
        (re.compile(r"execute_tool .+"), "tool"),
    ),
    facts={
        "agent_name": (InName(re.compile(r"agent_run \[(.+)\]")),),
        "session_id": ("gcp.vertex.agent.session_id",),
        "tool_name": (InName(re.compile(r"execute_tool (.+)")),),
        "arguments": ("gcp.vertex.agent.tool_call_args",),
        "result": ("gcp.vertex.agent.tool_response",),
    },
    request=("gcp.vertex.agent.llm_request",),
    response=("gcp.vertex.agent.llm_response",),
)

ANTHROPIC_SDK: Final = Dialect(
    name="anthropic-sdk",
    scopes=("com.anthropic.sdk",),
    facts={
        "finish_reason": ("anthropic.message.stop_reason",),
        "result": ("anthropic.tool_result.content",),
    },
)

MCP: Final = Dialect(
    name="mcp",
    scopes=("mcp-python-sdk",),
    marks=("mcp.method.name",),
    kinds={"mcp.method.name": {"tools/call": "tool"}},
    facts={"tool_name": (InName(re.compile(r"(?:MCP send )?tools/call (.+)")),)},
)

AGENT_TRACE: Final = Dialect(
    name="agent-trace",
    marks=("agenttrace.", "agent.framework", "agent.role", "coordination.type", "checkpoint.name"),
    kinds={
        "agenttrace.kind": {
            "agent_call": "agent",
            "tool_call": "tool",
            "llm_call": "llm",
            "handoff": "handoff",
            "message": "wrapper",
            "checkpoint": "wrapper",
        },
        "coordination.type": {"handoff": "handoff", "delegation": "handoff"},
    },
    names=(
        (re.compile(r"agent[.:].*|.*\.agent"), "agent"),
        (re.compile(r"llm(?:[.:_ ].*)?|.*llm_call.*"), "llm"),
        (re.compile(r"tool(?:[.:_ ].*)?|.*tool_call.*"), "tool"),
        (re.compile(r"handoff.*"), "handoff"),
    ),
    facts={
        "agent_name": ("agent.name", InName(re.compile(r"agent[.:](.+)"))),
        "agent_id": ("agent.id",),
        "model": ("agent.model",),
        "tool_name": ("tool.name", InName(re.compile(r"tool[.:](.+)"))),
        "arguments": ("agenttrace.input",),
        "result": ("agenttrace.output",),
        "handoff_from": ("coordination.from_agent", "message.from_agent", "message.from"),
        "handoff_to": ("coordination.to_agent", "message.to_agent", "message.to"),
        "said_input": ("agenttrace.input", "message.content"),
        "said_output": ("agenttrace.output",),
    },
)
"""The names of an earlier tracing format (AgentTrace), accepted as input."""
