import pytest

from otel_traj.dialects import DIALECTS
from otel_traj.dialects.settings import INSTRUMENTATIONS, instrumentation_of


@pytest.mark.parametrize(
    ("scope", "version", "name"),
    [
        ("openinference.instrumentation.openai", "0.1.66", "openinference-instrumentation"),
        ("opentelemetry.instrumentation.genai.openai", "1.3b0", "opentelemetry-instrumentation-genai"),
        ("opentelemetry.util.genai.handler", "1.3b0", "opentelemetry-instrumentation-genai"),
        ("opentelemetry.instrumentation.openai_v2", "", "opentelemetry-instrumentation-openai-v2"),
        ("opentelemetry.instrumentation.openai.v1", "0.47.3", "OpenLLMetry"),
        ("opentelemetry.instrumentation.langchain", "0.62.4", "OpenLLMetry"),
        ("traceloop.tracer", None, "OpenLLMetry"),
        ("ai", None, "Vercel AI SDK"),
        ("com.anthropic.claude_code.tracing", "1.0.0", "Claude Code"),
        ("com.anthropic.sdk.python", "2.11.0", "Anthropic SDK"),
        ("otel_traj", None, "otel_traj"),
    ],
)  # fmt: skip
def test_a_scope_tells_who_wrote_a_span(scope: str, version: str | None, name: str) -> None:
    found = instrumentation_of(scope, version)

    assert found is not None
    assert found.name == name


def test_two_instrumentations_of_one_scope_are_told_apart_by_version() -> None:
    scope = "opentelemetry.instrumentation.openai_agents"

    names = [getattr(instrumentation_of(scope, v), "name", None) for v in ("0.1.0", "0.62.4")]

    assert names == ["opentelemetry-instrumentation-openai-agents-v2", "OpenLLMetry"]


@pytest.mark.parametrize("scope", ["ai.koog", "my.app", "opentelemetry.instrumentation.httpx"])
def test_a_scope_of_nobody_is_nobodys(scope: str) -> None:
    assert instrumentation_of(scope, "0.59b0", ("vercel-ai",)) is None


def test_without_a_scope_the_dialect_tells() -> None:
    found = instrumentation_of(None, None, ("otel", "vercel-ai"))

    assert found is not None
    assert found.name == "Vercel AI SDK"
    assert instrumentation_of(None, None, ("otel",)) is None


def test_every_dialect_that_is_named_exists() -> None:
    named = {name for who in INSTRUMENTATIONS for name in who.dialects}

    assert named <= {dialect.name for dialect in DIALECTS}
