"""MLflow tracing exported by OTLP: every value is JSON, scalars too."""

from __future__ import annotations

import re
from typing import Final

from otel_traj.dialects.table import At, Dialect, InName

_USAGE: Final = "mlflow.chat.tokenUsage"

MLFLOW: Final = Dialect(
    name="mlflow",
    scopes=("mlflow.",),
    marks=("mlflow.spanType", "mlflow.traceRequestId"),
    kinds={
        "mlflow.spanType": {
            "AGENT": "agent",
            "CHAT_MODEL": "llm",
            "LLM": "llm",
            "TOOL": "tool",
            "CHAIN": "wrapper",
            "WORKFLOW": "workflow",
            "RETRIEVER": "retrieval",
            "EMBEDDING": "embedding",
            "RERANKER": "wrapper",
            "PARSER": "wrapper",
            "MEMORY": "memory",
            "EVALUATOR": "evaluation",
        }
    },
    facts={
        "agent_name": (InName(re.compile(r"(.+)")),),
        "provider": ("mlflow.llm.provider",),
        "model": ("model",),
        "response_model": ("mlflow.llm.model",),
        "cost_usd": (At("mlflow.llm.cost", ("total_cost",)), "mlflow.llm.cost"),
        "input_tokens": (At(_USAGE, ("input_tokens",)),),
        "output_tokens": (At(_USAGE, ("output_tokens",)),),
        "cache_read_tokens": (At(_USAGE, ("cache_read_input_tokens",)),),
        "cache_write_tokens": (At(_USAGE, ("cache_creation_input_tokens",)),),
        "tool_definitions": ("mlflow.chat.tools", "tools"),
        "tool_name": (InName(re.compile(r"(.+)")),),
        "arguments": ("mlflow.spanInputs",),
        "result": ("mlflow.spanOutputs",),
        "query": ("mlflow.spanInputs",),
        "documents": ("mlflow.spanOutputs",),
        "said_input": ("mlflow.spanInputs",),
        "said_output": ("mlflow.spanOutputs",),
    },
    request=("mlflow.spanInputs",),
    response=("mlflow.spanOutputs",),
)
