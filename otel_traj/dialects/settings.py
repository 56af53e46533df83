"""Who wrote a span, and which setting of theirs closes a gap in what they tell.

One row per instrumentation, known by the scope of its spans; where none is told, by the dialect
that is spoken. Names of settings are those of the packages, read in their
sources (November 2026); a gap without a setting is one that the instrumentation cannot close.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

_GENAI: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@dataclass(frozen=True, slots=True)
class Instrumentation:
    """One source of spans.

    Attributes:
        name: As its package or product is called; of a family, what is common.
        scopes: Names of its instrumentation scopes; one that ends in a dot is a beginning.
        settings: What is missing (content, the whole of a cut value, tokens) -> what to set, as
            one would type it. Other gaps are the SDK's or the network's, and closed there.
        dialects: Dialects whose spans without a scope are probably its own.
        versions: Of the scope, where another instrumentation has the same name.
    """

    name: str
    scopes: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    dialects: tuple[str, ...] = ()
    versions: re.Pattern[str] | None = None

    def wrote(self, scope_name: str, scope_version: str | None) -> bool:
        """Whether spans of this scope are its own."""
        if self.versions is not None and not self.versions.match(scope_version or ""):
            return False
        return any(
            scope_name.startswith(scope) if scope.endswith(".") else scope_name == scope
            for scope in self.scopes
        )


INSTRUMENTATIONS: Final = (
    Instrumentation(
        "otel_traj",
        ("otel_traj",),
        {"content": "otel_traj.instrument(content=True)"},
        dialects=("traj",),
    ),
    Instrumentation(
        "openinference-instrumentation",
        ("openinference.instrumentation.",),
        {
            "content": "unset OPENINFERENCE_HIDE_INPUTS, OPENINFERENCE_HIDE_OUTPUTS"
            " and the other OPENINFERENCE_HIDE_*",
        },
        dialects=("openinference",),
    ),
    Instrumentation(
        "opentelemetry-instrumentation-genai",
        ("opentelemetry.instrumentation.genai.", "opentelemetry.util.genai."),
        {"content": f"{_GENAI}=SPAN_ONLY"},
    ),
    Instrumentation(
        "opentelemetry-instrumentation-openai-v2",
        ("opentelemetry.instrumentation.openai_v2",),
        {"content": f"{_GENAI}=true, and export logs"},
        dialects=("otel-1.36",),
    ),
    Instrumentation(
        "opentelemetry-instrumentation-openai-agents-v2",
        ("opentelemetry.instrumentation.openai_agents",),
        {"content": f"{_GENAI}=SPAN_ONLY"},
        versions=re.compile(r"0\.\d\.|.*b\d"),
    ),
    Instrumentation(
        "opentelemetry-instrumentation-google-genai",
        ("opentelemetry.instrumentation.google_genai",),
        {"content": f"{_GENAI}=SPAN_ONLY"},
        versions=re.compile(r".*b\d"),
    ),
    Instrumentation(
        "OpenLLMetry",
        ("opentelemetry.instrumentation.", "traceloop."),
        {
            "content": "TRACELOOP_TRACE_CONTENT=true",
            "tokens": "instrument the model client as well, not only the agent framework",
        },
        dialects=("traceloop",),
        versions=re.compile(r"0\.[1-9]\d\.|$"),
    ),
    Instrumentation(
        "Pydantic AI",
        ("pydantic-ai",),
        {"content": "InstrumentationSettings(include_content=True)"},
        dialects=("pydantic-ai",),
    ),
    Instrumentation(
        "Logfire for OpenAI Agents",
        ("logfire.openai_agents",),
        {"content": "OPENAI_AGENTS_TRACE_INCLUDE_SENSITIVE_DATA=true"},
        dialects=("logfire",),
    ),
    Instrumentation(
        "Microsoft Agent Framework",
        ("agent_framework",),
        {"content": "ENABLE_SENSITIVE_DATA=true"},
        dialects=("agent-framework",),
    ),
    Instrumentation(
        "Microsoft.Extensions.AI",
        ("Experimental.Microsoft.Extensions.AI", "Microsoft.Extensions.AI"),
        {"content": "UseOpenTelemetry(configure: c => c.EnableSensitiveData = true)"},
    ),
    Instrumentation(
        "LangSmith",
        ("langsmith",),
        {"content": "unset LANGSMITH_HIDE_INPUTS and LANGSMITH_HIDE_OUTPUTS"},
        dialects=("langsmith",),
    ),
    Instrumentation(
        "Vercel AI SDK",
        ("ai", "gen_ai"),
        {"content": "experimental_telemetry: { recordInputs: true, recordOutputs: true }"},
        dialects=("vercel-ai",),
    ),
    Instrumentation("MLflow", ("mlflow.",), dialects=("mlflow",)),
    Instrumentation(
        "Claude Code",
        ("com.anthropic.claude_code.",),
        {
            "content": "OTEL_LOGS_EXPORTER=otlp OTEL_LOG_USER_PROMPTS=1 OTEL_LOG_TOOL_DETAILS=1"
            " OTEL_LOG_TOOL_CONTENT=1 OTEL_LOG_ASSISTANT_RESPONSES=1",
        },
        dialects=("claude-code",),
    ),
    Instrumentation(
        "Anthropic SDK",
        ("com.anthropic.sdk.",),
        {
            "content": "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE=content",
            "cut": "raise ANTHROPIC_OPEN_TELEMETRY_TRACES_MAX_CONTENT_BYTES",
        },
        dialects=("anthropic-sdk",),
    ),
    Instrumentation(
        "Google ADK",
        ("gcp.vertex.agent",),
        {"content": "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS=true"},
        dialects=("google-adk",),
    ),
    Instrumentation(
        "OpenLIT",
        ("openlit.",),
        {"content": "openlit.init(capture_message_content=True)"},
    ),
    Instrumentation(
        "Langfuse SDK",
        ("langfuse-sdk",),
        {"content": "LANGFUSE_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED=true"},
    ),
    Instrumentation("MCP SDK", ("mcp-python-sdk",), dialects=("mcp",)),
)
"""The first one that wrote a span is it."""


def instrumentation_of(
    scope_name: str | None, scope_version: str | None, dialects: Collection[str] = ()
) -> Instrumentation | None:
    """Who wrote spans of a scope; None when nobody here is known to.

    Args:
        scope_name: Name of the instrumentation scope.
        scope_version: Its version.
        dialects: What the spans speak, asked when the scope tells nothing.
    """
    if scope_name:
        return next((i for i in INSTRUMENTATIONS if i.wrote(scope_name, scope_version)), None)
    return next((i for i in INSTRUMENTATIONS if not {*dialects}.isdisjoint(i.dialects)), None)
