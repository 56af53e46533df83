"""Traceloop SDK and OpenLLMetry instrumentations, 0.4x to 0.6x."""

from __future__ import annotations

import re
from typing import Final

from otel_traj.dialects.table import At, Dialect, Flat, InName

TRACELOOP: Final = Dialect(
    name="traceloop",
    marks=(
        "traceloop.",
        "llm.request.type",
        "llm.usage.total_tokens",
        "gen_ai.is_streaming",
        "gen_ai.task.status",
        "gen_ai.workflow.nodes",
    ),
    scopes=(
        "traceloop.",
        "opentelemetry.instrumentation.openai.v1",
        "opentelemetry.instrumentation.langchain",
        "opentelemetry.instrumentation.anthropic",
        "opentelemetry.instrumentation.crewai",
        "opentelemetry.instrumentation.mcp",
    ),
    kinds={
        "traceloop.span.kind": {
            "workflow": "workflow",
            "task": "wrapper",
            "agent": "agent",
            "tool": "tool",
            "handoff": "handoff",
        },
        "llm.request.type": {
            "chat": "llm",
            "completion": "llm",
            "embedding": "embedding",
            "rerank": "wrapper",
        },
    },
    names=(
        (re.compile(r"(?:openai|anthropic|\w+)\.(?:chat|completion|completions|response)"), "llm"),
        (re.compile(r".+\.tool"), "tool"),
        (re.compile(r".+\.agent"), "agent"),
        (re.compile(r".+\.workflow"), "workflow"),
        (re.compile(r".+\.task"), "wrapper"),
    ),
    facts={
        "agent_name": ("gen_ai.agent.name", InName(re.compile(r"(.+)\.agent"))),
        "acting_agent": ("traceloop.association.properties.lc_agent_name",),
        "workflow_name": ("traceloop.workflow.name",),
        "session_id": ("traceloop.association.properties.session_id",),
        "user_id": ("traceloop.association.properties.user_id",),
        "conversation_id": ("traceloop.association.properties.thread_id",),
        "stream": ("gen_ai.is_streaming", "llm.is_streaming"),
        "input_tokens": ("gen_ai.usage.prompt_tokens",),
        "output_tokens": ("gen_ai.usage.completion_tokens",),
        "cache_read_tokens": ("gen_ai.usage.cache_read_input_tokens",),
        "cache_write_tokens": ("gen_ai.usage.cache_creation_input_tokens",),
        "reasoning_tokens": ("gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens"),
        "finish_reason": ("gen_ai.completion.0.finish_reason", "llm.response.finish_reason"),
        "input": (Flat("gen_ai.prompt"),),
        "output": (Flat("gen_ai.completion"),),
        "tool_definitions": (Flat("llm.request.functions"),),
        "tool_name": ("traceloop.entity.name", InName(re.compile(r"(.+)\.tool"))),
        "arguments": ("traceloop.entity.input",),
        "result": ("traceloop.entity.output",),
        "handoff_to": ("langgraph.command.goto_node",),
        "query": (
            At("traceloop.entity.input", ("query",)),
            At("traceloop.entity.input", ("inputs",)),
            "traceloop.entity.input",
        ),
        "documents": (
            At("traceloop.entity.output", ("documents",)),
            At("traceloop.entity.output", ("outputs",)),
            "traceloop.entity.output",
        ),
        "said_input": ("traceloop.entity.input",),
        "said_output": ("traceloop.entity.output",),
    },
)
