"""LangSmith's OpenTelemetry export: inputs and outputs of runs as JSON, LangChain dumps inside."""

from __future__ import annotations

import re
from typing import Final

from otel_traj.dialects.table import At, Dialect, InName

LANGSMITH: Final = Dialect(
    name="langsmith",
    scopes=("langsmith",),
    marks=("langsmith.",),
    kinds={
        "langsmith.span.kind": {
            "llm": "llm",
            "tool": "tool",
            "chain": "wrapper",
            "retriever": "retrieval",
            "embedding": "embedding",
            "prompt": "wrapper",
            "parser": "wrapper",
        }
    },
    facts={
        "acting_agent": ("langsmith.metadata.lc_agent_name",),
        "workflow_name": (InName(re.compile(r"(.+)")),),
        "conversation_id": (
            "langsmith.metadata.thread_id",
            "langsmith.metadata.conversation_id",
        ),
        "session_id": ("langsmith.metadata.session_id",),
        "user_id": ("langsmith.metadata.user_id",),
        "tool_name": (InName(re.compile(r"(.+)")),),
        "cache_read_tokens": (
            At("langsmith.metadata.usage_metadata", ("input_token_details", "cache_read")),
            At("gen_ai.usage.input_token_details", ("cache_read",)),
        ),
        "reasoning_tokens": (
            At("langsmith.metadata.usage_metadata", ("output_token_details", "reasoning")),
            At("gen_ai.usage.output_token_details", ("reasoning",)),
        ),
        "arguments": ("gen_ai.prompt",),
        "result": ("gen_ai.completion",),
        "query": (At("gen_ai.prompt", ("query",)), "gen_ai.prompt"),
        "documents": (At("gen_ai.completion", ("documents",)), "gen_ai.completion"),
        "said_input": ("gen_ai.prompt",),
        "said_output": ("gen_ai.completion",),
    },
    request=("gen_ai.prompt", "langsmith.metadata.ls_invocation_params"),
    response=("gen_ai.completion",),
)
