"""One instrumentor for each library, the best one, told to record content, and left as it was."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_traj.capture.instrumentors import GENAI_CONTENT, LIBRARIES
from otel_traj.capture.instrumentors import switch_on as switch_on_real

CLASS = """
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

class Instrumentor(BaseInstrumentor):
    given = None

    def instrumentation_dependencies(self):
        return {needs!r}

    def _instrument(self, **arguments):
        Instrumentor.given = arguments
        {body}

    def _uninstrument(self, **arguments):
        Instrumentor.given = None
"""

VARIABLES = (
    GENAI_CONTENT,
    "TRACELOOP_TRACE_CONTENT",
    "OPENINFERENCE_HIDE_INPUTS",
    "OPENINFERENCE_HIDE_OUTPUTS",
)

Install = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs packages for this test: instrumentors that announce themselves as real ones do."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    made: list[str] = []

    def install(package: str, *, needs: tuple[str, ...] = (), body: str = "pass") -> str:
        module = "made_" + package.replace("-", "_")
        (site / f"{module}.py").write_text(CLASS.format(needs=needs, body=body))
        information = site / f"{module}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(
            f"[opentelemetry_instrumentor]\nanything = {module}:Instrumentor\n"
        )
        importlib.invalidate_caches()
        made.append(module)
        return module

    yield install
    for module in made:
        sys.modules.pop(module, None)


def switch_on(wanted: Any = None, *, content: bool = True) -> Any:
    return switch_on_real(
        wanted, content=content, tracer_provider="tracers", logger_provider="loggers"
    )


def given_to(module: str) -> Any:
    """What the instrumentor was given; None while it is off."""
    return sys.modules[module].Instrumentor.given if module in sys.modules else None


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> str:
    """A library that only these tests know; its module is one that is always there."""
    packages = ("genai-made", "openinference-made", "traceloop-made")
    monkeypatch.setattr("otel_traj.capture.instrumentors.LIBRARIES", {"made": ("json", packages)})
    return "made"


@pytest.mark.usefixtures("library")
def test_best_installed_instrumentor_alone_is_switched_on_and_off_again(install: Install) -> None:
    worse, better = install("traceloop-made"), install("openinference-made")

    switched = switch_on()

    assert switched.names == ["openinference-made"]
    assert given_to(better) == {"tracer_provider": "tracers", "logger_provider": "loggers"}
    assert given_to(worse) is None
    switched.off()
    assert given_to(better) is None


@pytest.mark.usefixtures("library")
def test_library_that_is_instrumented_already_is_left_alone(install: Install) -> None:
    worse, better = install("traceloop-made"), install("genai-made")
    theirs = importlib.import_module(worse).Instrumentor()
    theirs.instrument()

    switched = switch_on()

    assert switched.names == []
    assert given_to(better) is None
    theirs.uninstrument()


@pytest.mark.usefixtures("library", "faults_are_swallowed")
@pytest.mark.parametrize("flaw", ["raises", "conflict"])
def test_instrumentor_that_fails_makes_room_for_the_next(install: Install, flaw: str) -> None:
    if flaw == "raises":
        install("genai-made", body="raise RuntimeError('broken')")
    else:
        install("genai-made", needs=("no-such-package >= 99",))
    install("openinference-made")

    switched = switch_on()

    assert switched.names == ["openinference-made"]
    switched.off()


def test_library_that_is_not_installed_is_passed_over(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("genai-made")
    monkeypatch.setattr(
        "otel_traj.capture.instrumentors.LIBRARIES", {"made": ("no_such_module", ("genai-made",))}
    )

    assert switch_on().names == []


@pytest.mark.usefixtures("library")
def test_instrumentors_may_be_chosen_by_package_or_library(install: Install) -> None:
    install("genai-made")
    install("traceloop-made")

    for wanted, expected in [
        (("traceloop-made",), ["traceloop-made"]),
        (("made",), ["genai-made"]),
        ((), []),
    ]:
        switched = switch_on(wanted)
        assert switched.names == expected
        switched.off()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (True, {GENAI_CONTENT: "SPAN_ONLY", "TRACELOOP_TRACE_CONTENT": "true"}),
        (
            False,
            {
                GENAI_CONTENT: "NO_CONTENT",
                "TRACELOOP_TRACE_CONTENT": "false",
                "OPENINFERENCE_HIDE_INPUTS": "true",
                "OPENINFERENCE_HIDE_OUTPUTS": "true",
            },
        ),
    ],
)
def test_content_is_switched_by_each_library_s_own_variable(
    content: bool, expected: dict[str, str]
) -> None:
    switched = switch_on((), content=content)

    assert {name: os.environ[name] for name in VARIABLES if name in os.environ} == expected
    switched.off()
    assert not any(name in os.environ for name in VARIABLES)


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GENAI_CONTENT, "EVENT_ONLY")

    switch_on(()).off()

    assert os.environ[GENAI_CONTENT] == "EVENT_ONLY"


def test_known_packages_are_in_order_of_preference() -> None:
    for library, (_, packages) in LIBRARIES.items():
        families = [package.removesuffix(f"-{library}") for package in packages]
        assert families == [
            "opentelemetry-instrumentation-genai",
            "openinference-instrumentation",
            "opentelemetry-instrumentation",
        ]
