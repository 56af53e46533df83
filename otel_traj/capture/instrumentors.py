"""Which installed instrumentor is switched on for which library: one each.

Two for one library would tell each call twice.

Instrumentors announce themselves by entry points of group `opentelemetry_instrumentor`. For each
library we know the packages that instrument it, best first: OpenTelemetry's own, OpenInference,
Traceloop. A library that somebody has instrumented already is left alone.

Content goes out only where an instrumentor is told to. Each has its own variable for that; we set
those that the user has not set, and take them back at the end.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from otel_traj.capture.guard import guard, logger
from otel_traj.errors import UnknownNameError

GROUP: Final = "opentelemetry_instrumentor"

LIBRARIES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "openai": (
        "openai",
        (
            "opentelemetry-instrumentation-genai-openai",
            "openinference-instrumentation-openai",
            "opentelemetry-instrumentation-openai",
        ),
    ),
    "anthropic": (
        "anthropic",
        (
            "opentelemetry-instrumentation-genai-anthropic",
            "openinference-instrumentation-anthropic",
            "opentelemetry-instrumentation-anthropic",
        ),
    ),
    "langchain": (
        "langchain_core",
        (
            "opentelemetry-instrumentation-genai-langchain",
            "openinference-instrumentation-langchain",
            "opentelemetry-instrumentation-langchain",
        ),
    ),
}
"""Library -> (module that shows it is installed, packages that instrument it, best first)."""

GENAI_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

_CONTENT: Final[Mapping[bool, Mapping[str, str]]] = {
    True: {GENAI_CONTENT: "SPAN_ONLY", "TRACELOOP_TRACE_CONTENT": "true"},
    False: {
        GENAI_CONTENT: "NO_CONTENT",
        "TRACELOOP_TRACE_CONTENT": "false",
        "OPENINFERENCE_HIDE_INPUTS": "true",
        "OPENINFERENCE_HIDE_OUTPUTS": "true",
    },
}
"""Whether to record content -> variables of the instrumentors. OpenInference records by default."""


def content_by_environment() -> bool | None:
    """What the user has said in the variable of the conventions; None if nothing."""
    said = os.environ.get(GENAI_CONTENT, "").strip().lower()
    return None if not said else said not in ("false", "no_content")


@dataclass(slots=True)
class Switched:
    """What we have switched on, to be switched off again."""

    names: list[str] = field(default_factory=list)
    """Packages, in the order in which they were switched on."""
    _instrumentors: list[Any] = field(default_factory=list)
    _variables: list[str] = field(default_factory=list)

    def off(self) -> None:
        """Undo it."""
        while self._instrumentors:
            with guard("switch an instrumentor off"):
                self._instrumentors.pop().uninstrument()
        while self._variables:
            os.environ.pop(self._variables.pop(), None)


def switch_on(
    wanted: Collection[str] | None, *, content: bool, tracer_provider: Any, logger_provider: Any
) -> Switched:
    """Switch on one instrumentor for each library that is installed and not instrumented yet.

    Args:
        wanted: Libraries ("openai") or packages of instrumentors; None for all known libraries.
        content: Whether they are to record prompts and answers.
        tracer_provider: Where they send spans.
        logger_provider: Where they send events.

    Raises:
        UnknownNameError: Something wanted is not known, or that package is not installed.
    """
    installed = {entry.dist.name: entry for entry in entry_points(group=GROUP) if entry.dist}
    groups = list(_candidates(wanted, installed))
    switched = Switched()
    for variable, setting in _CONTENT[content].items():
        if variable not in os.environ:
            os.environ[variable] = setting
            switched._variables.append(variable)
    for candidates in groups:
        if any(_is_on(installed[name]) for name in candidates):
            continue
        for name in candidates:
            with guard(f"switch on {name}"):
                instrumentor = installed[name].load()()
                instrumentor.instrument(
                    tracer_provider=tracer_provider, logger_provider=logger_provider
                )
                # An instrumentor that finds the library too old or too new logs so and stays off.
                if instrumentor.is_instrumented_by_opentelemetry:
                    switched.names.append(name)
                    switched._instrumentors.append(instrumentor)
                    break
    return switched


def _candidates(
    wanted: Collection[str] | None, installed: Mapping[str, EntryPoint]
) -> Iterator[list[str]]:
    """For each library to instrument, the installed packages that can, best first."""
    for name in LIBRARIES if wanted is None else wanted:
        if name in LIBRARIES:
            module, packages = LIBRARIES[name]
            present = [package for package in packages if package in installed]
            if importlib.util.find_spec(module) is None:
                present = []
            if not present and wanted is not None:
                logger.warning("Nothing installed instruments %r. One of: %s", name, packages)
            yield present
        elif name in installed:
            yield [name]
        else:
            raise UnknownNameError("instrumentor", name, {*LIBRARIES, *installed})


def _is_on(entry: EntryPoint) -> bool:
    """Whether somebody has used this instrumentor; one that nobody imported has not been."""
    if entry.module not in sys.modules:
        return False
    return bool(getattr(entry.load()(), "is_instrumented_by_opentelemetry", False))
