"""Claude Code and the Claude Agent SDK: spans of a CLI, contents in its log records."""

from __future__ import annotations

from typing import Final

from otel_traj.dialects.table import Dialect, InEvent, InLog, Times

CLAUDE_CODE: Final = Dialect(
    name="claude-code",
    scopes=("com.anthropic.claude_code",),
    marks=("span.type",),
    kinds={
        "span.type": {
            "interaction": "agent",
            "llm_request": "llm",
            "tool": "tool",
            "tool.execution": "tool",
            "tool.blocked_on_user": "wrapper",
            "hook": "wrapper",
        }
    },
    facts={
        "agent_id": ("agent_id",),
        "session_id": ("session.id",),
        "user_id": ("user.id",),
        "model": ("model",),
        "finish_reason": ("stop_reason",),
        "ttft_us": (Times("ttft_ms", 1e-3),),
        "input_tokens": ("input_tokens",),
        "output_tokens": ("output_tokens",),
        "cache_read_tokens": ("cache_read_tokens",),
        "cache_write_tokens": ("cache_creation_tokens",),
        "cost_usd": (InLog("api_request", "cost_usd"),),
        "output_text": (InLog("assistant_response", "response"),),
        "tool_name": ("tool_name",),
        "tool_call_id": ("tool_use_id",),
        "arguments": (InLog("tool_result", "tool_input"), "full_command"),
        "result": (InEvent("tool.output", "output"),),
        "handoff_to": ("subagent_type",),
        "error_message": ("error", InLog("tool_result", "error"), InLog("api_error", "error")),
        "said_input": ("user_prompt",),
    },
    stray_logs={"tool_result": "tool", "assistant_response": "llm", "api_request": "llm"},
    excludes_cache=True,
)
