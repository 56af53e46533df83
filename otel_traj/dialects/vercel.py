"""Vercel AI SDK: `ai.*` of versions 5, 6 and 7-legacy; 7 writes OpenTelemetry names."""

from __future__ import annotations

from typing import Final

from otel_traj.dialects.table import At, Dialect, Times

VERCEL: Final = Dialect(
    name="vercel-ai",
    scopes=("ai",),
    marks=("ai.operationId", "ai.toolCall.name"),
    kinds={
        "ai.operationId": {
            "ai.generateText": "agent",
            "ai.streamText": "agent",
            "ai.generateObject": "agent",
            "ai.streamObject": "agent",
            "ai.generateText.doGenerate": "llm",
            "ai.streamText.doStream": "llm",
            "ai.generateObject.doGenerate": "llm",
            "ai.streamObject.doStream": "llm",
            "ai.toolCall": "tool",
            "ai.embed": "embedding",
            "ai.embedMany": "embedding",
            "ai.embed.doEmbed": "embedding",
            "ai.embedMany.doEmbed": "embedding",
            "ai.rerank": "wrapper",
        }
    },
    facts={
        "agent_name": ("ai.telemetry.functionId", "resource.name"),
        "conversation_id": (
            "ai.telemetry.metadata.conversationId",
            "ai.telemetry.metadata.threadId",
            "ai.settings.context.conversationId",
            "ai.settings.context.threadId",
        ),
        "session_id": ("ai.telemetry.metadata.sessionId", "ai.settings.context.sessionId"),
        "user_id": ("ai.telemetry.metadata.userId", "ai.settings.context.userId"),
        "provider": ("ai.model.provider",),
        "model": ("ai.model.id",),
        "response_model": ("ai.response.model",),
        "response_id": ("ai.response.id",),
        "finish_reason": ("ai.response.finishReason",),
        "ttft_us": (Times("ai.response.msToFirstChunk", 1e-3),),
        "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens"),
        "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "cache_read_tokens": (
            "ai.usage.cachedInputTokens",
            "ai.usage.inputTokenDetails.cacheReadTokens",
        ),
        "cache_write_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning_tokens": (
            "ai.usage.reasoningTokens",
            "ai.usage.outputTokenDetails.reasoningTokens",
        ),
        "input": ("ai.prompt.messages",),
        "output_text": ("ai.response.text", "ai.response.object"),
        "output_reasoning": ("ai.response.reasoning",),
        "output_calls": ("ai.response.toolCalls",),
        "tool_definitions": ("ai.prompt.tools",),
        "temperature": ("ai.settings.temperature",),
        "top_p": ("ai.settings.topP",),
        "max_tokens": ("ai.settings.maxOutputTokens", "ai.settings.maxTokens"),
        "seed": ("ai.settings.seed",),
        "stop": ("ai.settings.stopSequences",),
        "tool_choice": ("ai.prompt.toolChoice",),
        "tool_name": ("ai.toolCall.name",),
        "tool_call_id": ("ai.toolCall.id",),
        "arguments": ("ai.toolCall.args", "ai.toolCall.input"),
        "result": ("ai.toolCall.result", "ai.toolCall.output"),
        "said_input": (
            At("ai.prompt", ("prompt",)),
            At("ai.prompt", ("messages",)),
            "ai.prompt",
        ),
        "said_output": ("ai.response.text",),
    },
)
