"""OpenInference (Arize): flattened messages, raw request and response bodies, span kinds."""

from __future__ import annotations

import re
from typing import Final

from otel_traj.dialects.table import At, Dialect, Flat, InName

_METHOD: Final = r"\.(?:a?run|_?execute|a?invoke|on_messages)(?:_\w+)?"
"""What instrumentors that name an agent's span after the function they wrap put behind its name."""

OPENINFERENCE: Final = Dialect(
    name="openinference",
    scopes=("openinference.instrumentation",),
    marks=("openinference.span.kind",),
    overrides=((re.compile(r"handoff to .+"), "handoff"),),
    kinds={
        "openinference.span.kind": {
            "LLM": "llm",
            "TOOL": "tool",
            "AGENT": "agent",
            "CHAIN": "wrapper",
            "RETRIEVER": "retrieval",
            "EMBEDDING": "embedding",
            "RERANKER": "wrapper",
            "GUARDRAIL": "wrapper",
            "EVALUATOR": "evaluation",
            "PROMPT": "wrapper",
            "DECISION": "wrapper",
        }
    },
    facts={
        "agent_name": (
            "agent.name",
            InName(re.compile(r"agent_run \[(.+)\]")),
            InName(re.compile(rf"(.+?)(?:{_METHOD})?")),
        ),
        "acting_agent": (At("metadata", ("lc_agent_name",)),),
        "session_id": ("session.id",),
        "user_id": ("user.id",),
        "conversation_id": (At("metadata", ("thread_id",)),),
        "provider": ("llm.provider", "llm.system"),
        "model": ("llm.request.model_name", At("llm.invocation_parameters", ("model",))),
        "response_model": ("llm.response.model_name", "llm.model_name"),
        "previous_response_id": (At("llm.invocation_parameters", ("previous_response_id",)),),
        "finish_reason": ("llm.finish_reason",),
        "stream": (At("llm.invocation_parameters", ("stream",)),),
        "input_tokens": ("llm.token_count.prompt",),
        "output_tokens": ("llm.token_count.completion",),
        "cache_read_tokens": ("llm.token_count.prompt_details.cache_read",),
        "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
        "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
        "cost_usd": ("llm.cost.total",),
        "input": (Flat("llm.input_messages"),),
        "output": (Flat("llm.output_messages"),),
        "tool_definitions": (Flat("llm.tools"),),
        "tool_name": ("tool.name", "tool_call.function.name", InName(re.compile(r"(.+)"))),
        "tool_call_id": ("tool.id", "tool_call.id"),
        "arguments": ("tool_call.function.arguments", "input.value"),
        "result": ("output.value",),
        "handoff_from": ("input.value",),
        "handoff_to": (InName(re.compile(r"handoff to (.+)")),),
        "query": ("input.value",),
        "documents": (Flat("retrieval.documents"),),
        "said_input": ("input.value",),
        "said_output": ("output.value",),
    },
    request=("input.value", "llm.invocation_parameters"),
    response=("output.value",),
)
