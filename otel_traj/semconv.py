"""Every attribute name that we write or read as our own or as current OpenTelemetry GenAI.

One spec version at a time: the development channel of the GenAI conventions, which lives at
https://github.com/open-telemetry/semantic-conventions-genai. The names in
`opentelemetry.semconv._incubating` are frozen and marked deprecated there, hence this file.
What *other* instrumentors call the same things stands in `otel_traj.dialects`, one table each.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SPEC_VERSION: Final = "1.45.0-dev"

# --- OpenTelemetry GenAI: spans ----------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
OP_CHAT: Final = "chat"
OP_TEXT_COMPLETION: Final = "text_completion"
OP_GENERATE_CONTENT: Final = "generate_content"
OP_EMBEDDINGS: Final = "embeddings"
OP_RETRIEVAL: Final = "retrieval"
OP_INVOKE_AGENT: Final = "invoke_agent"
OP_INVOKE_WORKFLOW: Final = "invoke_workflow"
OP_CREATE_AGENT: Final = "create_agent"
OP_EXECUTE_TOOL: Final = "execute_tool"
OP_PLAN: Final = "plan"

PROVIDER: Final = "gen_ai.provider.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_VERSION: Final = "gen_ai.agent.version"
AGENT_DESCRIPTION: Final = "gen_ai.agent.description"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"

REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"

RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"  # seconds

INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"  # cached tokens included
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"  # reasoning tokens included
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"

SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"

TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"

RETRIEVAL_QUERY: Final = "gen_ai.retrieval.query.text"
RETRIEVAL_DOCUMENTS: Final = "gen_ai.retrieval.documents"
RETRIEVAL_TOP_K: Final = "gen_ai.retrieval.top_k"
DATA_SOURCE_ID: Final = "gen_ai.data_source.id"

TRANSFER_TARGET: Final = "gen_ai.transfer.target.name"  # proposed, PR 447
TRANSFER_MODE: Final = "gen_ai.transfer.mode"  # proposed, PR 447

ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

# --- OpenTelemetry GenAI: events (log records) --------------------------------------------------

EVENT_NAME: Final = "event.name"  # attribute form, before log records had the field
EVENT_INFERENCE_DETAILS: Final = "gen_ai.client.inference.operation.details"
EVENT_OPERATION_EXCEPTION: Final = "gen_ai.client.operation.exception"
EVENT_EVALUATION: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_VALUE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

# --- resource -----------------------------------------------------------------------------------

SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
USER_ID: Final = "user.id"
SESSION_ID: Final = "session.id"

# --- ours: what the API writes where OpenTelemetry has no name ----------------------------------

TRAJECTORY_ID: Final = "traj.trajectory.id"
TASK: Final = "traj.task.text"
TASK_ID: Final = "traj.task.id"
VARIANT_ID: Final = "traj.variant.id"
PROMPT_VERSION: Final = "traj.prompt.version"
GUIDELINE_IDS: Final = "traj.guideline.ids"  # string[]
ARM: Final = "traj.arm"
PARENT_TRAJECTORY_ID: Final = "traj.parent.id"
RELATION: Final = "traj.relation"
GENERATION: Final = "traj.generation"  # int
OPERATOR: Final = "traj.operator"
FORK_AT: Final = "traj.fork.at"
INITIAL_STATE: Final = "traj.initial_state"  # JSON text
METADATA_PREFIX: Final = "traj.metadata."

OUTCOME: Final = "traj.outcome"  # success, failure, partial, error, unknown
REWARD: Final = "traj.reward"  # double
REWARD_SOURCE: Final = "traj.reward_source"
FAILURE_RATIONALE: Final = "traj.failure_rationale"
ERROR_CATEGORY: Final = "traj.error_category"
FIX_APPLIED: Final = "traj.fix_applied"
# On evaluation events: "explicit" or who else said it, by whom, what sort of statement it is, and
# JSON text in the place of a number or label.
ANNOTATION_SOURCE: Final = "traj.source"
ANNOTATION_ANNOTATOR: Final = "traj.annotator"
ANNOTATION_KIND: Final = "traj.annotation.kind"  # reward, outcome, score, label, feedback, comment
ANNOTATION_JSON: Final = "traj.annotation.value"

TOOL_EFFECT: Final = "traj.tool.effect"  # read, idempotent, effect, unknown
STEP_KIND: Final = "traj.step.kind"  # thought: a step that no operation name tells
STEP_REASONING: Final = "traj.step.reasoning"
STEP_REWARD: Final = "traj.step.reward"
STEP_CUMULATIVE_REWARD: Final = "traj.step.cumulative_reward"
STEP_DONE: Final = "traj.step.done"  # bool
STEP_OBSERVATION: Final = "traj.step.observation"  # JSON text
STEP_TEST_PASS_RATE: Final = "traj.step.test_pass_rate"  # double in [0, 1]
STEP_SECURITY_FLAGS: Final = "traj.step.security_flags"  # string[]
STEP_JUSTIFICATION: Final = "traj.step.justification"

# The model call that a request goes on from; its messages are then only those that are new.
REQUEST_CONTINUES: Final = "traj.request.continues"  # a span id of the same trace
COST_USD: Final = "traj.cost.usd"  # double

EVENT_FILE_CHANGE: Final = "traj.file_change"
FILE_PATH: Final = "traj.file.path"
FILE_OLD_PATH: Final = "traj.file.old_path"
FILE_SHA256_BEFORE: Final = "traj.file.sha256_before"
FILE_SHA256_AFTER: Final = "traj.file.sha256_after"
FILE_ADDED: Final = "traj.file.added"
FILE_REMOVED: Final = "traj.file.removed"
FILE_BINARY: Final = "traj.file.binary"
FILE_DIFF: Final = "traj.file.diff"
FILE_BEFORE: Final = "traj.file.before"
FILE_AFTER: Final = "traj.file.after"

EVENT_CHECKPOINT: Final = "traj.checkpoint"
CHECKPOINT_ID: Final = "traj.checkpoint.id"
CHECKPOINT_NAME: Final = "traj.checkpoint.name"
CHECKPOINT_STATE: Final = "traj.checkpoint.state"  # canonical JSON

# A root span with this event tells its run from the event's time on, in place of other root spans
# of the trace that name the same trajectory.
EVENT_REVISION: Final = "traj.revision"

EVENT_SPAN_START: Final = "traj.span.start"
SPAN_START_NAME: Final = "traj.span.name"
SPAN_START_PARENT: Final = "traj.span.parent_id"

TRUNCATED_PREFIX: Final = "traj.truncated."  # + key: original length in bytes
HASH_PREFIX: Final = "traj.hash."  # + key: SHA-256 of the whole value
REDACTED: Final = "traj.redacted"  # string[]: attributes, and "body" or "name", that were changed
REPAIRED: Final = "traj.repaired"  # string[]: what the source lacked and we made up or concluded
STRUCTURED: Final = "traj.structured"  # keys whose value came structured, not as JSON text

# --- libraries that can be recorded, and what tells of them -------------------------------------

NATIVE: Final = "native"
"""A source of libraries that emit spans by themselves; `capture.natives` has their switches."""


class Library(NamedTuple):
    """A library whose work can be recorded."""

    name: str
    """What users write for it."""
    distribution: str
    """Its package; without it the library is not there."""
    sources: tuple[str, ...]
    """Packages that instrument it, and `NATIVE`, best first. One of them is used."""
    native_since: int = 0
    """First major version that has the native source."""
    packages_below: int = 0
    """First major version that none of the packages takes; 0: they take today's."""
    is_client: bool = False
    """Whether it is a provider's client. Frameworks tell the calls that they make through it."""
    is_general: bool = False
    """Whether programs have it for other things too: no instrumentor need be missed."""
    tells_calls: bool = True
    """Whether its sources tell the calls of models, not only agents and tools."""
    unless: str = ""
    """A library whose source tells the same; this one's is for where that has none."""


_GENAI: Final = "opentelemetry-instrumentation-genai-"  # OpenTelemetry's own
_OPENINFERENCE: Final = "openinference-instrumentation-"
_OTHER: Final = (
    "opentelemetry-instrumentation-"  # Traceloop's, and OpenTelemetry's before they moved
)

LIBRARIES: Final = (
    Library(
        "openai",
        "openai",
        (_GENAI + "openai", _OPENINFERENCE + "openai", _OTHER + "openai", _OTHER + "openai-v2"),
        is_client=True,
    ),
    Library(
        "anthropic",
        "anthropic",
        (NATIVE, _GENAI + "anthropic", _OPENINFERENCE + "anthropic", _OTHER + "anthropic"),
        native_since=2,
        is_client=True,
    ),
    Library(
        "bedrock",
        "boto3",
        (_GENAI + "bedrock", _OPENINFERENCE + "bedrock", _OTHER + "bedrock"),
        is_client=True,
        is_general=True,
    ),
    # OpenTelemetry's own (1.3b0) takes google-genai < 3 only.
    Library(
        "google_genai",
        "google-genai",
        (_OPENINFERENCE + "google-genai", _OTHER + "google-genai", _OTHER + "google-generativeai"),
        is_client=True,
    ),
    Library(
        "vertexai",
        "google-cloud-aiplatform",
        (_OPENINFERENCE + "vertexai", _OTHER + "vertexai"),
        is_client=True,
        is_general=True,
    ),
    Library(
        "mistralai",
        "mistralai",
        (NATIVE, _OPENINFERENCE + "mistralai", _OTHER + "mistralai"),
        native_since=2,
        is_client=True,
    ),
    Library("cohere", "cohere", (_OPENINFERENCE + "cohere", _OTHER + "cohere"), is_client=True),
    Library("groq", "groq", (_OPENINFERENCE + "groq", _OTHER + "groq"), is_client=True),
    Library("ollama", "ollama", (_OPENINFERENCE + "ollama", _OTHER + "ollama"), is_client=True),
    Library(
        "together", "together", (_OPENINFERENCE + "together", _OTHER + "together"), is_client=True
    ),
    Library("litellm", "litellm", (_OPENINFERENCE + "litellm", _OTHER + "litellm"), is_client=True),
    Library(
        "portkey", "portkey-ai", (_GENAI + "portkey", _OPENINFERENCE + "portkey"), is_client=True
    ),
    Library(
        "langchain",  # and LangGraph, which reports through it
        "langchain-core",
        (_GENAI + "langchain", _OPENINFERENCE + "langchain", _OTHER + "langchain"),
    ),
    Library("langsmith", "langsmith", (NATIVE,), unless="langchain"),
    Library("pydantic_ai", "pydantic-ai-slim", (NATIVE,)),
    Library("agent_framework", "agent-framework-core", (NATIVE,)),
    Library(
        "openai_agents",
        "openai-agents",
        (
            _GENAI + "openai-agents",
            _OPENINFERENCE + "openai-agents",
            _OTHER + "openai-agents",
            _OTHER + "openai-agents-v2",
        ),
    ),
    Library("claude_agent_sdk", "claude-agent-sdk", (_OPENINFERENCE + "claude-agent-sdk", NATIVE)),
    # OpenTelemetry's own (1.2b0) tells agents only, neither steps nor tools.
    Library("smolagents", "smolagents", (_OPENINFERENCE + "smolagents", _GENAI + "smolagents")),
    # OpenInference's passes the context on to servers and emits no span.
    Library(
        "mcp",
        "mcp",
        (NATIVE, _OTHER + "mcp", _OPENINFERENCE + "mcp"),
        native_since=2,
        is_general=True,
        tells_calls=False,
    ),
    Library("mlflow", "mlflow-tracing", (NATIVE,)),
    Library("google_adk", "google-adk", (NATIVE, _OPENINFERENCE + "google-adk")),
    Library(
        "llama_index",
        "llama-index-core",
        (_GENAI + "llama-index", _OPENINFERENCE + "llama-index", _OTHER + "llamaindex"),
    ),
    # It calls models through the clients of their providers, whose instrumentors tell that.
    Library("crewai", "crewai", (_OPENINFERENCE + "crewai", _OTHER + "crewai"), tells_calls=False),
    Library("haystack", "haystack-ai", (_OPENINFERENCE + "haystack", _OTHER + "haystack")),
    Library("dspy", "dspy", (_GENAI + "dspy", _OPENINFERENCE + "dspy")),
    Library(
        "autogen",
        "autogen-agentchat",
        (_OPENINFERENCE + "autogen-agentchat", NATIVE),
        tells_calls=False,
    ),
    # From 1.0 on, agents are given its own TelemetryMiddleware, one by one.
    Library("ag2", "ag2", (_OPENINFERENCE + "ag2",), packages_below=1),
    Library("strands", "strands-agents", (NATIVE,)),
    Library("agno", "agno", (_GENAI + "agno", _OPENINFERENCE + "agno", _OTHER + "agno")),
    Library("beeai", "beeai-framework", (_OPENINFERENCE + "beeai",)),
    Library("semantic_kernel", "semantic-kernel", (NATIVE,)),
    Library("qwen_agent", "qwen-agent", (_GENAI + "qwen-agent",)),
    Library("instructor", "instructor", (_OPENINFERENCE + "instructor",), tells_calls=False),
)
"""Every library that `instrument()` knows, as found on PyPI in November 2026."""

AGENTS_ONLY: Final = frozenset(
    {_GENAI + "agno", _GENAI + "llama-index", _GENAI + "openai-agents", _GENAI + "qwen-agent"}
)
"""Packages that tell agents and tools; the calls of models are left to sources of the clients."""
