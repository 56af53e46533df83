"""Libraries that emit spans by themselves: the switch of each, and how to put it back.

Most send to the global tracer provider and ask only to be told whether content may go out, which
they read from variables of theirs. What the user has set is never changed. Most of these switches
are variables, so the library is not imported for them.

`switch_on` is given the name of a library in `semconv.LIBRARIES` that has the source `NATIVE`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from time import time_ns
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import get_current

from otel_traj import semconv
from otel_traj.capture.guard import guard

Undo = Callable[[], None]


class LeftAloneError(Exception):
    """A switch was not touched; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a library is to be told."""

    content: bool | None
    """Whether to record prompts and answers; None: as it is."""
    content_over_otlp: bool
    """The same, for what does not pass through this process on its way to a Collector."""
    tracer_provider: Any
    attach: Callable[[Any], None]
    """Records what another tracer provider sees too."""
    logger_provider: Any


def switch_on(library: str, wish: Wish) -> Undo:
    """Make a library send its spans to the wish's provider; returns what undoes it.

    Raises:
        LeftAloneError: It is on already, the user said no, or it cannot be done.
        Exception: Whatever the library raises.
    """
    takes_provider = library == "pydantic_ai"
    if not takes_provider and trace.get_tracer_provider() is not wish.tracer_provider:
        raise LeftAloneError("it knows the global tracer provider only, and another one was given")
    return _SWITCHES[library](wish)


def variables(wanted: Mapping[str, str]) -> Undo:
    """Set those variables that nobody has set; the undo removes those that are still as set."""
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)

    def undo() -> None:
        for name, value in ours.items():
            if os.environ.get(name) == value:
                del os.environ[name]

    return undo


def _is_false(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in ("false", "0", "off", "no")


def _nothing_to_do(_: Wish) -> Undo:
    """For a library that sends to the global provider as soon as there is one."""
    return variables({})


def _anthropic(wish: Wish) -> Undo:
    if _is_false("ANTHROPIC_OPEN_TELEMETRY"):
        raise LeftAloneError("ANTHROPIC_OPEN_TELEMETRY says no")
    prefix = "ANTHROPIC_OPEN_TELEMETRY_TRACES_"
    whole = {f"{prefix}CONTENT_MODE": "content", f"{prefix}MAX_CONTENT_BYTES": "1000000000"}
    return variables(whole if wish.content else {})


def _pydantic_ai(wish: Wish) -> Undo:
    agent = import_module("pydantic_ai").Agent
    if getattr(agent, "_instrument_default", False):
        raise LeftAloneError("instrumented already")
    content = {} if wish.content is None else {"include_content": wish.content}
    settings = import_module("pydantic_ai.models.instrumented").InstrumentationSettings
    agent.instrument_all(settings(tracer_provider=wish.tracer_provider, **content))
    return partial(agent.instrument_all, False)


def _agent_framework(wish: Wish) -> Undo:
    settings = import_module("agent_framework.observability").OBSERVABILITY_SETTINGS
    if _is_false("ENABLE_INSTRUMENTATION"):
        raise LeftAloneError("ENABLE_INSTRUMENTATION says no")
    was_on, had_content = settings.enable_instrumentation, settings.enable_sensitive_data
    settings.enable_instrumentation = True
    if not settings.enable_instrumentation:
        raise LeftAloneError("the program has called disable_instrumentation()")
    if wish.content is not None and "ENABLE_SENSITIVE_DATA" not in os.environ:
        settings.enable_sensitive_data = wish.content

    def undo() -> None:
        settings.enable_instrumentation = was_on
        settings.enable_sensitive_data = had_content

    return undo


def _semantic_kernel(wish: Wish) -> Undo:
    if "semantic_kernel" in sys.modules:
        raise LeftAloneError("it reads its settings when imported: call instrument() before that")
    switch = "SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"
    if not wish.content:
        return variables({switch: "true"})
    undo = variables({switch: "true", f"{switch}_SENSITIVE": "true"})
    events = _LoggedEvents(
        "semantic_kernel.utils.telemetry.model_diagnostics.decorators", wish.logger_provider
    )

    def undo_both() -> None:
        undo()
        events.leave()

    return undo_both


class _LoggedEvents(logging.Filter):
    """Takes events that a library sends through `logging`, as log records of OpenTelemetry.

    They are prompts and answers. Whoever reads the program's log still sees what they saw before:
    a filter, unlike a handler, can take a record and keep it from everybody else.
    """

    def __init__(self, name: str, logger_provider: Any) -> None:
        super().__init__()
        self._otel = logger_provider.get_logger(name)
        self._logger = logging.getLogger(name)
        self._given = self._logger.level
        self._level = self._logger.getEffectiveLevel()
        self._logger.setLevel(min(self._level, logging.INFO))
        self._logger.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Send an event on; whether the record was let through before."""
        name = getattr(record, semconv.EVENT_NAME, None)
        if isinstance(name, str):
            with guard("take a logged event"):
                self._otel.emit(_log_record(name, record.getMessage()))
        return record.levelno >= self._level

    def leave(self) -> None:
        """As if it had never been there."""
        self._logger.removeFilter(self)
        self._logger.setLevel(self._given)


def _log_record(event: str, body: str) -> Any:
    from opentelemetry._logs import LogRecord, SeverityNumber

    return LogRecord(
        timestamp=time_ns(),
        context=get_current(),
        severity_number=SeverityNumber.INFO,
        body=body,
        event_name=event,
    )


def _google_adk(wish: Wish) -> Undo:
    form = {"OTEL_SEMCONV_STABILITY_OPT_IN": _OPT_IN}
    legacy = {"ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS": "false"}
    return variables({**form, **(legacy if wish.content is False else {})})


def _mistralai(wish: Wish) -> Undo:
    if wish.content is False:
        raise LeftAloneError("it cannot leave content out")
    return variables({"MISTRAL_SDK_TELEMETRY": "global"})


def _strands(wish: Wish) -> Undo:
    hidden = ",gen_ai_unredacted_attributes=" if wish.content is False else ""
    return variables({"OTEL_SEMCONV_STABILITY_OPT_IN": _OPT_IN + hidden})


_OPT_IN: Final = "gen_ai_latest_experimental,gen_ai_span_attributes_only,gen_ai_tool_definitions"
"""Messages in attributes of spans, as the conventions have them now; each library knows some."""


def _mlflow(wish: Wish) -> Undo:
    """MLflow has a tracer provider of its own, and makes another when its settings change.

    Sharing ours, which a variable of it allows, would put its exporters on spans that are not its
    own, where what they raise goes into the agent.
    """
    if wish.content is False:
        raise LeftAloneError("it cannot leave content out")
    if _is_false("MLFLOW_USE_DEFAULT_TRACER_PROVIDER"):
        return _nothing_to_do(wish)
    holder = import_module("mlflow.tracing.provider").provider
    its_own_set = holder.set

    def set_and_attach(provider: Any) -> None:
        its_own_set(provider)
        with guard("record MLflow's spans"):
            wish.attach(provider)

    with_mlflow_s_spans_as_parents = variables({"MLFLOW_TRACE_PROPAGATE_TO_OTEL_CONTEXT": "true"})
    wish.attach(holder.get())
    holder.set = set_and_attach

    def undo() -> None:
        del holder.set
        with_mlflow_s_spans_as_parents()

    return undo


def _langsmith(wish: Wish) -> Undo:
    """Spans instead of requests to LangSmith; beside them where the user traces to it already."""
    if "LANGSMITH_TRACING_MODE" in os.environ:
        raise LeftAloneError("LANGSMITH_TRACING_MODE is set")
    client = _langsmith_client()
    if client is not None and getattr(client, "otel_exporter", None) is None:
        raise LeftAloneError("it has been used before instrument()")
    is_theirs = any(os.environ.get(name) == "true" for name in _LANGSMITH_TRACES)
    if is_theirs and wish.content is False:
        raise LeftAloneError("content would be hidden from LangSmith too")
    on = {"LANGSMITH_OTEL_ENABLED": "true"}
    if not is_theirs:
        on |= {"LANGSMITH_TRACING": "true", "LANGSMITH_OTEL_ONLY": "true"}
    hidden = {"LANGSMITH_HIDE_INPUTS": "true", "LANGSMITH_HIDE_OUTPUTS": "true"}
    undo_variables = variables({**on, **(hidden if wish.content is False else {})})
    _forget_langsmith_variables()

    def undo() -> None:
        client = _langsmith_client()
        if client is not None and not is_theirs:  # theirs would wait for LangSmith's server
            with guard("have LangSmith's last runs made spans"):
                client.flush()
        undo_variables()
        _forget_langsmith_variables()

    return undo


def _langsmith_client() -> Any:
    """The client through which all runs go, once there has been one."""
    return getattr(sys.modules.get("langsmith.run_trees"), "_CLIENT", None)


_LANGSMITH_TRACES: Final = (
    "LANGSMITH_TRACING",
    "LANGSMITH_TRACING_V2",
    "LANGCHAIN_TRACING",
    "LANGCHAIN_TRACING_V2",
)


def _forget_langsmith_variables() -> None:
    """LangSmith keeps what it has read of the environment."""
    read: Any = getattr(sys.modules.get("langsmith.utils"), "get_env_var", None)
    if hasattr(read, "cache_clear"):
        read.cache_clear()


def _claude_agent_sdk(wish: Wish) -> Undo:
    """The SDK runs Claude Code as a process of its own, which sends to a Collector."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not any(os.environ.get(name) for name in endpoints):
        raise LeftAloneError("it sends its spans to a Collector only: OTEL_EXPORTER_OTLP_ENDPOINT")
    content = ("USER_PROMPTS", "TOOL_DETAILS", "TOOL_CONTENT", "ASSISTANT_RESPONSES")
    return variables(
        {
            "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
            "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            **{f"OTEL_LOG_{name}": "1" for name in content if wish.content_over_otlp},
        }
    )


_SWITCHES: Final[Mapping[str, Callable[[Wish], Undo]]] = {
    "agent_framework": _agent_framework,
    "anthropic": _anthropic,
    "autogen": _nothing_to_do,
    "claude_agent_sdk": _claude_agent_sdk,
    "google_adk": _google_adk,
    "langsmith": _langsmith,
    "mcp": _nothing_to_do,
    "mistralai": _mistralai,
    "mlflow": _mlflow,
    "pydantic_ai": _pydantic_ai,
    "semantic_kernel": _semantic_kernel,
    "strands": _strands,
}
"""Library -> its switch."""
