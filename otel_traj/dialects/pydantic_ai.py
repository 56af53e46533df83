"""Pydantic AI (formats 1 to 6) and Logfire's own spans for OpenAI Agents."""

from __future__ import annotations

import re
from typing import Final

from otel_traj.dialects.table import At, Dialect, InName

PYDANTIC_AI: Final = Dialect(
    name="pydantic-ai",
    scopes=("pydantic-ai",),
    names=(
        (re.compile(r"agent run|.+ run"), "agent"),
        (re.compile(r"running tool(?:: .+)?"), "tool"),
        (re.compile(r"running (?:\d+ )?tools?"), "wrapper"),
    ),
    facts={
        "agent_name": ("agent_name", InName(re.compile(r"(.+) run"))),
        "tool_name": (InName(re.compile(r"running tool: (.+)")),),
        "model": ("model_name",),
        "cost_usd": ("operation.cost",),
        "cache_read_tokens": ("gen_ai.usage.details.cache_read_tokens",),
        "cache_write_tokens": ("gen_ai.usage.details.cache_write_tokens",),
        "reasoning_tokens": ("gen_ai.usage.details.reasoning_tokens",),
        "tool_definitions": (
            At("model_request_parameters", ("function_tools",)),
            "model_request_parameters",
        ),
        "arguments": ("tool_arguments",),
        "result": ("tool_response",),
        "error_message": ("pydantic_ai.tool.retry.cause",),
        "said_input": ("pydantic_ai.all_messages", "all_messages_events"),
        "said_output": ("final_result",),
    },
    events=("events",),
)

LOGFIRE: Final = Dialect(
    name="logfire",
    scopes=("logfire.openai_agents",),
    marks=("logfire.msg_template",),
    overrides=(
        (re.compile(r"Function: \{.*\}|MCP tool.*"), "tool"),
        (re.compile(r"Agent run: \{.*\}"), "agent"),
        (re.compile(r"Handoff: .*"), "handoff"),
        (re.compile(r"(?:Responses API|Chat completion|Chat Completion).*"), "llm"),
        (re.compile(r"OpenAI Agents trace: .*"), "workflow"),
    ),
    facts={
        "agent_name": ("name",),
        "workflow_name": ("name",),
        "conversation_id": ("group_id",),
        "response_id": ("response_id",),
        "input_tokens": (At("usage", ("input_tokens",)),),
        "output_tokens": (At("usage", ("output_tokens",)),),
        "cache_read_tokens": (At("usage", ("input_tokens_details", "cached_tokens")),),
        "reasoning_tokens": (At("usage", ("output_tokens_details", "reasoning_tokens")),),
        "input": ("raw_input",),
        "system": (At("response", ("instructions",)),),
        "tool_name": ("name",),
        "arguments": ("input",),
        "result": ("output",),
        "error_message": (At("error", ("data", "error")), At("error", ("message",))),
        "handoff_from": ("from_agent",),
        "handoff_to": ("to_agent", InName(re.compile(r"Handoff: .+ → (.+)"))),
    },
    request=("model_settings",),
    response=("response",),
    events=("events",),
)
