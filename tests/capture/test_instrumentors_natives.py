"""Libraries that trace themselves: told what to do with content, and put back as they were.

`tests/frameworks` runs the real ones. Here stand modules of the same shape, for what a run cannot
show: what was there before is there again, and what somebody has said stays.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider

from otel_traj.capture import natives
from otel_traj.capture.natives import LeftAloneError
from otel_traj.semconv import LIBRARIES, NATIVE

Provide = Callable[[Mapping[str, str]], None]

ANTHROPIC = "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE"

PYDANTIC_AI = """
class Agent:
    _instrument_default = False

    @staticmethod
    def instrument_all(instrument=True):
        Agent._instrument_default = instrument
"""
PYDANTIC_AI_SETTINGS = """
class InstrumentationSettings:
    def __init__(self, **given):
        self.given = given
"""
AGENT_FRAMEWORK = """
class Settings:
    enable_instrumentation = True
    enable_sensitive_data = False

OBSERVABILITY_SETTINGS = Settings()
"""
MLFLOW = """
class Wrapper:
    current = None

    def set(self, provider):
        self.current = provider

    def get(self):
        return self.current

provider = Wrapper()
"""
LANGSMITH = """
import functools, os

@functools.lru_cache
def get_env_var(name):
    return os.environ.get(f"LANGSMITH_{name}")
"""


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Variables after a test as before it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def provide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provide]:
    """Puts modules, path -> source, where `import` finds them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(sys.modules)

    def provide(sources: Mapping[str, str]) -> None:
        for name, source in sources.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        importlib.invalidate_caches()

    yield provide
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def switch_on(library: str, *, content: bool | None = True, **more: Any) -> natives.Undo:
    wish = {
        "content_over_otlp": False,
        "tracer_provider": trace.get_tracer_provider(),
        "attach": lambda provider: None,
        "logger_provider": LoggerProvider(),
        **more,
    }
    return natives.switch_on(library, natives.Wish(content=content, **wish))


def changed(before: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def test_every_library_that_traces_itself_has_a_switch() -> None:
    native = {library.name for library in LIBRARIES if NATIVE in library.sources}

    assert natives._SWITCHES.keys() == native


@pytest.mark.parametrize(
    ("library", "content", "expected"),
    [
        (
            "anthropic",
            True,
            {
                ANTHROPIC: "content",
                "ANTHROPIC_OPEN_TELEMETRY_TRACES_MAX_CONTENT_BYTES": "1000000000",
            },
        ),
        ("anthropic", False, {}),
        ("anthropic", None, {}),
        (
            "google_adk",
            False,
            {
                "OTEL_SEMCONV_STABILITY_OPT_IN": natives._OPT_IN,
                "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS": "false",
            },
        ),
        ("strands", None, {"OTEL_SEMCONV_STABILITY_OPT_IN": natives._OPT_IN}),
        (
            "strands",
            False,
            {"OTEL_SEMCONV_STABILITY_OPT_IN": f"{natives._OPT_IN},gen_ai_unredacted_attributes="},
        ),
        ("mistralai", True, {"MISTRAL_SDK_TELEMETRY": "global"}),
        ("mcp", True, {}),
        ("autogen", True, {}),
        (
            "langsmith",
            None,
            {
                "LANGSMITH_OTEL_ENABLED": "true",
                "LANGSMITH_TRACING": "true",
                "LANGSMITH_OTEL_ONLY": "true",
            },
        ),
        (
            "langsmith",
            False,
            {
                "LANGSMITH_OTEL_ENABLED": "true",
                "LANGSMITH_TRACING": "true",
                "LANGSMITH_OTEL_ONLY": "true",
                "LANGSMITH_HIDE_INPUTS": "true",
                "LANGSMITH_HIDE_OUTPUTS": "true",
            },
        ),
    ],
)
def test_variables_say_whether_content_goes_out_and_are_taken_back(
    library: str, content: bool | None, expected: dict[str, str]
) -> None:
    before = dict(os.environ)

    undo = switch_on(library, content=content)

    assert changed(before) == expected
    undo()
    assert dict(os.environ) == before


def test_the_real_anthropic_client_reads_what_it_is_told() -> None:
    tracing = pytest.importorskip("anthropic._tracing")

    undo = switch_on("anthropic")
    told = tracing.resolve_open_telemetry(None)["traces"]
    undo()

    assert (told["content_mode"], told["max_content_bytes"]) == ("content", 1_000_000_000)
    assert tracing.resolve_open_telemetry(None)["traces"]["content_mode"] == "metadata_only"


def test_variables_of_the_user_and_those_changed_meanwhile_stay() -> None:
    os.environ["SAID"] = "by the user"

    undo = natives.variables({"SAID": "by us", "CHANGED": "by us", "OURS": "by us"})
    os.environ["CHANGED"] = "by the user"
    undo()

    assert (os.environ["SAID"], os.environ["CHANGED"]) == ("by the user", "by the user")
    assert "OURS" not in os.environ


@pytest.mark.parametrize(
    ("library", "variable", "value"),
    [
        ("anthropic", "ANTHROPIC_OPEN_TELEMETRY", "false"),
        ("langsmith", "LANGSMITH_TRACING_MODE", "langsmith"),
    ],
)
def test_library_that_the_user_has_configured_is_left_alone(
    library: str, variable: str, value: str
) -> None:
    os.environ[variable] = value
    before = dict(os.environ)

    with pytest.raises(LeftAloneError, match=variable):
        switch_on(library)

    assert dict(os.environ) == before


@pytest.mark.parametrize("library", ["mistralai", "mlflow"])
def test_library_that_cannot_leave_content_out_is_not_switched_on_without(library: str) -> None:
    with pytest.raises(LeftAloneError, match="cannot leave content out"):
        switch_on(library, content=False)


def test_library_of_the_global_provider_is_left_alone_for_another_one() -> None:
    with pytest.raises(LeftAloneError, match="global tracer provider"):
        switch_on("strands", tracer_provider="another")


def test_agents_of_pydantic_ai_are_given_our_provider(provide: Provide) -> None:
    provide(
        {
            "pydantic_ai/__init__.py": PYDANTIC_AI,
            "pydantic_ai/models/instrumented.py": PYDANTIC_AI_SETTINGS,
        }
    )
    agent = importlib.import_module("pydantic_ai").Agent

    undo = switch_on("pydantic_ai", content=False, tracer_provider="ours")

    assert agent._instrument_default.given == {"tracer_provider": "ours", "include_content": False}
    with pytest.raises(LeftAloneError, match="already"):
        switch_on("pydantic_ai", tracer_provider="ours")
    undo()
    assert agent._instrument_default is False


def test_agent_framework_s_settings_are_put_back(provide: Provide) -> None:
    provide({"agent_framework/observability.py": AGENT_FRAMEWORK})
    module = importlib.import_module("agent_framework.observability")
    settings = module.OBSERVABILITY_SETTINGS
    settings.enable_instrumentation = False

    undo = switch_on("agent_framework")

    assert (settings.enable_instrumentation, settings.enable_sensitive_data) == (True, True)
    undo()
    assert (settings.enable_instrumentation, settings.enable_sensitive_data) == (False, False)


@pytest.mark.parametrize(
    ("variable", "content", "expected"),
    [("ENABLE_SENSITIVE_DATA", True, False), ("NOTHING", None, False), ("NOTHING", True, True)],
)
def test_agent_framework_s_content_is_as_the_user_says(
    provide: Provide, variable: str, content: bool | None, expected: bool
) -> None:
    provide({"agent_framework/observability.py": AGENT_FRAMEWORK})
    os.environ[variable] = "false"

    undo = switch_on("agent_framework", content=content)

    module = importlib.import_module("agent_framework.observability")
    assert module.OBSERVABILITY_SETTINGS.enable_sensitive_data is expected
    undo()


def test_agent_framework_stays_off_if_the_user_says_so(provide: Provide) -> None:
    provide({"agent_framework/observability.py": AGENT_FRAMEWORK})
    os.environ["ENABLE_INSTRUMENTATION"] = "false"

    with pytest.raises(LeftAloneError, match="ENABLE_INSTRUMENTATION"):
        switch_on("agent_framework")


def test_every_provider_that_mlflow_makes_is_recorded_until_it_is_undone(provide: Provide) -> None:
    provide({"mlflow/tracing/provider.py": MLFLOW})
    holder = importlib.import_module("mlflow.tracing.provider").provider
    holder.set("first")
    seen: list[Any] = []

    undo = switch_on("mlflow", attach=seen.append)
    holder.set("second")
    undo()
    holder.set("third")

    assert seen == ["first", "second"]
    assert holder.get() == "third"


def test_langsmith_forgets_what_it_has_read_of_the_environment(provide: Provide) -> None:
    provide({"langsmith/utils.py": LANGSMITH})
    read = importlib.import_module("langsmith.utils").get_env_var
    assert read("TRACING") is None

    undo = switch_on("langsmith")

    assert read("TRACING") == "true"
    undo()
    assert read("TRACING") is None


def test_langsmith_that_the_user_traces_to_goes_on_getting_runs() -> None:
    os.environ["LANGSMITH_TRACING"] = "true"
    before = dict(os.environ)

    undo = switch_on("langsmith")

    assert changed(before) == {"LANGSMITH_OTEL_ENABLED": "true"}
    undo()
    with pytest.raises(LeftAloneError, match="hidden from LangSmith"):
        switch_on("langsmith", content=False)


def test_langsmith_in_use_is_left_alone(provide: Provide) -> None:
    # A client made before goes on sending runs to LangSmith, and would send more.
    provide({"langsmith/run_trees.py": "_CLIENT = object()"})
    importlib.import_module("langsmith.run_trees")

    with pytest.raises(LeftAloneError, match=r"before instrument\(\)"):
        switch_on("langsmith")


def test_runs_that_langsmith_holds_are_recorded_before_it_is_switched_off(provide: Provide) -> None:
    provide({"langsmith/run_trees.py": "_CLIENT = None"})
    module: Any = importlib.import_module("langsmith.run_trees")
    flushed: list[bool] = []

    class Client:
        otel_exporter = "into our provider"

        def flush(self) -> None:
            flushed.append("LANGSMITH_TRACING" in os.environ)

    undo = switch_on("langsmith")
    module._CLIENT = Client()
    undo()
    switch_on("langsmith")()  # again, with the client that there is now

    assert flushed == [True, True]


def test_claude_code_needs_a_collector_and_tells_content_only_if_it_may_leave() -> None:
    with pytest.raises(LeftAloneError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        switch_on("claude_agent_sdk")

    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:4318"
    told = {}
    for may_leave in (False, True):
        before = dict(os.environ)
        undo = switch_on("claude_agent_sdk", content_over_otlp=may_leave)
        told[may_leave] = changed(before).keys()
        undo()

    assert "CLAUDE_CODE_ENABLE_TELEMETRY" in told[False]
    assert told[True] - told[False] == {
        "OTEL_LOG_USER_PROMPTS",
        "OTEL_LOG_TOOL_DETAILS",
        "OTEL_LOG_TOOL_CONTENT",
        "OTEL_LOG_ASSISTANT_RESPONSES",
    }


def test_semantic_kernel_has_read_its_settings_when_it_is_imported(provide: Provide) -> None:
    before = dict(os.environ)
    undo = switch_on("semantic_kernel")
    assert len(changed(before)) == 2
    undo()

    provide({"semantic_kernel/__init__.py": ""})
    importlib.import_module("semantic_kernel")
    with pytest.raises(LeftAloneError, match="before"):
        switch_on("semantic_kernel")


def test_what_semantic_kernel_logs_as_events_is_recorded_and_shown_to_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken: list[Any] = []

    class Keep:
        def on_emit(self, log_record: Any) -> None:
            taken.append(log_record.log_record)

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    provider = LoggerProvider()
    provider.add_log_record_processor(Keep())  # type: ignore[arg-type]
    logger = logging.getLogger("semantic_kernel.utils.telemetry.model_diagnostics.decorators")

    undo = switch_on("semantic_kernel", logger_provider=provider)
    logger.info('{"role": "user"}', extra={"event.name": "gen_ai.user.message"})
    logger.warning("of the library's own")
    undo()
    logger.info("later", extra={"event.name": "gen_ai.user.message"})

    assert [(log.event_name, log.body) for log in taken] == [
        ("gen_ai.user.message", '{"role": "user"}')
    ]
    assert [record.getMessage() for record in caplog.records] == ["of the library's own"]
    assert (logger.level, logger.filters) == (logging.NOTSET, [])
