"""One source for each library, the best that works, told what to do with content, then put back."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_traj.capture import instrumentors
from otel_traj.capture.instrumentors import GENAI_CONTENT, Outcome, Switched, survey
from otel_traj.errors import UnknownNameError
from otel_traj.semconv import AGENTS_ONLY, LIBRARIES, NATIVE, Library

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
    "OPENINFERENCE_HIDE_LLM_TOOLS",
    "OPENINFERENCE_HIDE_LLM_INVOCATION_PARAMETERS",
)

MADE = Library("made", "made-library", ("genai-made", "openinference-made", "traceloop-made"))

Install = Callable[..., str]


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

    def install(
        package: str,
        *,
        version: str = "1.0",
        takes: str | tuple[str, ...] = (),
        needs: tuple[str, ...] = (),
        body: str = "pass",
        announced: bool = True,
    ) -> str:
        """A package of this name; `takes` stands in its metadata, `needs` in its code."""
        module = "made_" + package.replace("-", "_")
        (site / f"{module}.py").write_text(CLASS.format(needs=needs, body=body))
        information = site / f"{package.replace('-', '_')}-{version}.dist-info"
        information.mkdir()
        requirements = (takes,) if isinstance(takes, str) else takes
        extra = "".join(f"Requires-Dist: {r}; extra == 'instruments'\n" for r in requirements)
        (information / "METADATA").write_text(f"Name: {package}\nVersion: {version}\n{extra}")
        if announced:
            (information / "entry_points.txt").write_text(
                f"[opentelemetry_instrumentor]\nanything = {module}:Instrumentor\n"
            )
        importlib.invalidate_caches()
        made.append(module)
        return module

    yield install
    for module in made:
        sys.modules.pop(module, None)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes these the libraries that are known."""

    def know(*libraries: Library) -> None:
        monkeypatch.setattr(instrumentors, "LIBRARIES", libraries)

    return know


@pytest.fixture
def library(known: Callable[..., None], install: Install) -> Library:
    """A library that only these tests know, in version 1.0."""
    known(MADE)
    install(MADE.distribution, announced=False)
    return MADE


def switch_on(wanted: Any = None, *, content: bool | None = True) -> Switched:
    return instrumentors.switch_on(
        wanted,
        content=content,
        tracer_provider="tracers",
        logger_provider="loggers",
        attach=lambda provider: None,
    )


def given_to(module: str) -> Any:
    """What the instrumentor was given; None while it is off."""
    return sys.modules[module].Instrumentor.given if module in sys.modules else None


def only(switched: Switched) -> Outcome:
    (outcome,) = switched.outcomes
    return outcome


# --- which one -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("library")
def test_best_installed_instrumentor_alone_is_switched_on_and_off_again(install: Install) -> None:
    worse, better = install("traceloop-made"), install("openinference-made")

    switched = switch_on()

    assert switched.names == ("openinference-made",)
    assert given_to(better) == {"tracer_provider": "tracers", "logger_provider": "loggers"}
    assert given_to(worse) is None
    switched.off()
    assert given_to(better) is None


@pytest.mark.usefixtures("library")
def test_package_is_found_however_its_name_is_spelt(install: Install) -> None:
    install("OpenInference_Made")

    switched = switch_on()

    assert switched.names == ("openinference-made",)
    switched.off()


@pytest.mark.usefixtures("library")
def test_half_removed_package_is_passed_over(install: Install, tmp_path: Path) -> None:
    install("genai-made")
    (tmp_path / "site" / "genai_made-1.0.dist-info" / "METADATA").write_text("")

    assert switch_on().names == ()


@pytest.mark.usefixtures("library")
def test_library_that_is_instrumented_already_is_left_alone(install: Install) -> None:
    worse, better = install("traceloop-made"), install("genai-made")
    theirs = importlib.import_module(worse).Instrumentor()
    theirs.instrument()

    switched = switch_on()

    assert (only(switched).state, only(switched).reasons) == (
        "left",
        ("traceloop-made is on already",),
    )
    assert given_to(better) is None
    switched.off()
    assert given_to(worse) is not None
    theirs.uninstrument()


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ({"body": "raise RuntimeError('broken')"}, "genai-made failed: RuntimeError: broken"),
        ({"body": "import no_such_module"}, "genai-made failed: ModuleNotFoundError"),
        ({"takes": "made-library>=2"}, "genai-made takes made-library>=2, found 1.0"),
        ({"takes": "no-such-package"}, "genai-made takes no-such-package, found none"),
        ({"takes": "???"}, "genai-made cannot be used: InvalidRequirement"),
        ({"needs": ("no-such-package >= 99",)}, "anything does not fit what is installed"),
    ],
)
def test_instrumentor_that_fails_makes_room_for_the_next(
    install: Install, flaw: dict[str, Any], reason: str
) -> None:
    install("genai-made", **flaw)
    install("openinference-made")

    switched = switch_on()

    assert switched.names == ("openinference-made",)
    (told,) = only(switched).reasons
    assert told.startswith(reason)
    switched.off()


@pytest.mark.usefixtures("library")
def test_instrumentor_of_several_packages_fits_where_one_is_installed(install: Install) -> None:
    install("genai-made", takes=("made-library>=1", "made-library-extras>=2"))

    assert [finding.sources for finding in survey()] == [("genai-made",)]


@pytest.mark.usefixtures("library")
def test_when_every_instrumentor_fails_the_agent_goes_on_without(install: Install) -> None:
    install("genai-made", body="raise RuntimeError('broken')")

    switched = switch_on()

    assert (switched.names, only(switched).state) == ((), "left")


def test_library_that_is_not_installed_is_passed_over(
    install: Install, known: Callable[..., None]
) -> None:
    known(MADE)
    install("genai-made")

    assert switch_on().outcomes == []


@pytest.mark.usefixtures("library")
def test_library_without_instrumentor_is_missing_one() -> None:
    (finding,) = survey()

    assert (finding.version, finding.sources, finding.remedy) == ("1.0", (), "genai-made")
    assert only(switch_on()).state == "missing"


@pytest.mark.usefixtures("library")
def test_what_does_not_fit_is_no_remedy(install: Install) -> None:
    install("genai-made", takes="made-library>=2")

    (finding,) = survey()

    assert finding.remedy == "openinference-made"


@pytest.mark.parametrize(("version", "expected"), [("0.14.2", "genai-made"), ("1.2.1", "")])
def test_what_takes_no_such_version_is_no_remedy(
    install: Install, known: Callable[..., None], version: str, expected: str
) -> None:
    known(MADE._replace(packages_below=1))
    install(MADE.distribution, version=version, announced=False)

    (finding,) = survey()

    assert finding.remedy == expected


@pytest.mark.usefixtures("library")
def test_instrumentors_may_be_chosen_by_package_or_library(install: Install) -> None:
    install("genai-made")
    install("traceloop-made")

    for wanted, expected in [
        (("traceloop-made",), ("traceloop-made",)),
        (("made",), ("genai-made",)),
        ((), ()),
    ]:
        switched = switch_on(wanted)
        assert switched.names == expected
        switched.off()


@pytest.mark.usefixtures("library")
def test_name_that_nothing_has_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match=r"No instrumentor named 'mad'.*'made'"):
        switch_on(["mad"])


def test_library_that_tells_the_same_as_another_is_used_where_that_has_no_source(
    install: Install, known: Callable[..., None]
) -> None:
    other = Library("other", "other-library", ("genai-other",), unless="made")
    known(MADE, other)
    for package in (MADE.distribution, other.distribution):
        install(package, announced=False)
    install("genai-other")

    alone = switch_on()
    alone.off()
    install("genai-made")
    together = switch_on()

    assert [each.state for each in alone.outcomes] == ["missing", "on"]
    assert [each.state for each in together.outcomes] == ["on", "covered"]
    together.off()


def test_instrumentor_without_model_calls_is_best_where_a_client_s_tells_them(
    install: Install, known: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Library("client", "client-library", ("genai-client",), is_client=True)
    known(MADE, client)
    monkeypatch.setattr(instrumentors, "AGENTS_ONLY", {"genai-made"})
    for package in (MADE.distribution, client.distribution):
        install(package, announced=False)

    chosen = []
    for package in ("genai-made", "openinference-made", "genai-client"):
        install(package)
        switched = switch_on()
        switched.off()
        chosen.append(switched.names)

    assert chosen == [("genai-made",), ("openinference-made",), ("genai-made", "genai-client")]


def test_survey_imports_no_library_and_no_instrumentor(
    install: Install, known: Callable[..., None]
) -> None:
    known(MADE)
    modules = {install(MADE.distribution, announced=False), install("genai-made")}

    assert [finding.sources for finding in survey()] == [("genai-made",)]
    assert not modules & sys.modules.keys()


# --- content -------------------------------------------------------------------------------------


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
                "OPENINFERENCE_HIDE_LLM_TOOLS": "true",
                "OPENINFERENCE_HIDE_LLM_INVOCATION_PARAMETERS": "true",
            },
        ),
        (None, {}),
    ],
)
def test_content_is_switched_by_each_library_s_own_variable(
    content: bool | None, expected: dict[str, str]
) -> None:
    switched = switch_on((), content=content)

    assert {name: os.environ[name] for name in VARIABLES if name in os.environ} == expected
    switched.off()
    assert not any(name in os.environ for name in VARIABLES)


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GENAI_CONTENT, "EVENT_ONLY")

    switch_on(()).off()

    assert os.environ[GENAI_CONTENT] == "EVENT_ONLY"


# --- the list ------------------------------------------------------------------------------------


def test_known_packages_are_in_order_of_preference() -> None:
    exceptions = {
        "google_genai",  # OpenTelemetry's own does not take today's version
        "smolagents",  # OpenTelemetry's own tells no steps
        "mcp",  # OpenInference's emits no span
    }
    families = ["opentelemetry-instrumentation-genai-", "openinference-", "opentelemetry-"]

    for library in LIBRARIES:
        if library.name not in exceptions:
            ranks = [
                next(rank for rank, family in enumerate(families) if source.startswith(family))
                for source in library.sources
                if source != NATIVE
            ]
            assert ranks == sorted(ranks), library.name


def test_known_libraries_are_consistent() -> None:
    names = [library.name for library in LIBRARIES]
    distributions = [library.distribution for library in LIBRARIES]
    sources = [s for library in LIBRARIES for s in library.sources if s != NATIVE]

    assert len({*names}) == len(names)
    assert len({*distributions}) == len(distributions)
    assert len({*sources}) == len(sources)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in distributions + sources)
    assert {library.unless for library in LIBRARIES} - {""} <= {*names}
    assert {*sources} >= AGENTS_ONLY
    # A library that another one stands in for is looked at before.
    assert all(
        names.index(each.unless) < names.index(each.name) for each in LIBRARIES if each.unless
    )
