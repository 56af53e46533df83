"""OpenTelemetry GenAI conventions: current, and the older names up to 1.36.

Up to 1.36 contents travel as events, first on spans, then as log records; see `events`.
"""

from __future__ import annotations

import re
from typing import Final

from otel_traj import semconv
from otel_traj.dialects.facts import Kind
from otel_traj.dialects.table import Dialect, Flat, InName

OPERATIONS: Final[dict[str, Kind]] = {
    "chat": "llm",
    "text_completion": "llm",
    "completion": "llm",
    "generate_content": "llm",
    "response": "llm",
    "responses": "llm",
    "embeddings": "embedding",
    "retrieval": "retrieval",
    "vector_db_retrieve": "retrieval",
    "rerank": "wrapper",
    "create_agent": "setup",
    "invoke_agent": "agent",
    "invoke_workflow": "workflow",
    "plan": "wrapper",
    "fetch_response": "wrapper",
    "execute_tool": "tool",
    "search_memory": "memory",
    "create_memory": "memory",
    "update_memory": "memory",
    "upsert_memory": "memory",
    "delete_memory": "memory",
    "create_memory_store": "memory",
    "delete_memory_store": "memory",
    "execute_task": "wrapper",
    "chain": "wrapper",
    "agent_step": "wrapper",
    "handoff": "handoff",
    "agent_handoff": "handoff",
    "goto": "goto",
    "experiment": "evaluation",
}

OTEL: Final = Dialect(
    name="otel",
    scopes=("opentelemetry.instrumentation.genai.", "opentelemetry.util.genai"),
    marks=(semconv.OPERATION, semconv.PROVIDER, semconv.TOOL_NAME, semconv.AGENT_NAME),
    kinds={semconv.OPERATION: OPERATIONS},
    names=(
        (re.compile(r"(?:chat|text_completion|generate_content)(?: .+)?"), "llm"),
        (re.compile(r"execute_tool .+"), "tool"),
        (re.compile(r"invoke_agent(?: .+)?"), "agent"),
        (re.compile(r"invoke_workflow(?: .+)?"), "workflow"),
        (re.compile(r"create_agent(?: .+)?"), "setup"),
        (re.compile(r"embeddings(?: .+)?"), "embedding"),
        (re.compile(r"retrieval(?: .+)?"), "retrieval"),
    ),
    facts={
        "agent_name": (semconv.AGENT_NAME, InName(re.compile(r"invoke_agent (.+)"))),
        "agent_id": (semconv.AGENT_ID,),
        "agent_version": (semconv.AGENT_VERSION,),
        "workflow_name": (semconv.WORKFLOW_NAME,),
        "conversation_id": (semconv.CONVERSATION_ID,),
        "session_id": (semconv.SESSION_ID,),
        "user_id": (semconv.USER_ID, "enduser.id"),
        "provider": (semconv.PROVIDER, "gen_ai.system"),
        "model": (semconv.REQUEST_MODEL,),
        "response_model": (semconv.RESPONSE_MODEL,),
        "response_id": (semconv.RESPONSE_ID,),
        "previous_response_id": (semconv.REQUEST_PREVIOUS_RESPONSE_ID,),
        "finish_reason": (semconv.FINISH_REASONS,),
        "stream": (semconv.REQUEST_STREAM,),
        "ttft_us": (
            semconv.TIME_TO_FIRST_CHUNK,
            "gen_ai.client.operation.time_to_first_chunk",
            "gen_ai.server.time_to_first_token",
        ),
        "input_tokens": (semconv.INPUT_TOKENS, "gen_ai.usage.prompt_tokens"),
        "output_tokens": (semconv.OUTPUT_TOKENS, "gen_ai.usage.completion_tokens"),
        "cache_read_tokens": (semconv.CACHE_READ_TOKENS,),
        "cache_write_tokens": (
            semconv.CACHE_WRITE_TOKENS,
            "gen_ai.usage.cache_creation.input_tokens",
        ),
        "reasoning_tokens": (semconv.REASONING_TOKENS,),
        "input": (semconv.INPUT_MESSAGES,),
        "output": (semconv.OUTPUT_MESSAGES,),
        "system": (semconv.SYSTEM_INSTRUCTIONS,),
        "tool_definitions": (semconv.TOOL_DEFINITIONS,),
        "temperature": (semconv.REQUEST_TEMPERATURE,),
        "top_p": (semconv.REQUEST_TOP_P,),
        "max_tokens": (semconv.REQUEST_MAX_TOKENS,),
        "seed": (semconv.REQUEST_SEED, "gen_ai.openai.request.seed"),
        "stop": (semconv.REQUEST_STOP_SEQUENCES,),
        "response_format": (
            "gen_ai.request.structured_output_schema",
            "gen_ai.openai.request.response_format",
        ),
        "reasoning_effort": (semconv.REQUEST_REASONING_LEVEL, "gen_ai.request.reasoning_effort"),
        "tool_name": (semconv.TOOL_NAME, InName(re.compile(r"execute_tool (.+)"))),
        "tool_call_id": (semconv.TOOL_CALL_ID,),
        "tool_type": (semconv.TOOL_TYPE,),
        "arguments": (semconv.TOOL_CALL_ARGUMENTS,),
        "result": (semconv.TOOL_CALL_RESULT,),
        "handoff_from": ("gen_ai.handoff.from_agent", "gen_ai.agent.handoff.source.name"),
        "handoff_to": (
            semconv.TRANSFER_TARGET,
            "gen_ai.handoff.to_agent",
            "gen_ai.agent.handoff.target.name",
        ),
        "query": (semconv.RETRIEVAL_QUERY, "gen_ai.memory.query.text"),
        "documents": (semconv.RETRIEVAL_DOCUMENTS, "gen_ai.memory.records"),
    },
)

OTEL_EVENTS: Final = Dialect(
    name="otel-1.36",
    scopes=("opentelemetry.instrumentation.openai_v2",),
    marks=("gen_ai.system",),
    facts={
        "provider": ("gen_ai.system",),
        "input": (Flat("gen_ai.prompt"), "gen_ai.prompt"),
        "output": (Flat("gen_ai.completion"), "gen_ai.completion"),
    },
    request=("gen_ai.prompt",),
    response=("gen_ai.completion",),
)
