"""What tells of each library that is installed: one source each, the best one that works.

Two for one library would tell each call twice. A source is a package that instruments the library,
announced by an entry point of group `opentelemetry_instrumentor`, or the library itself where it
emits spans (`natives`). `semconv.LIBRARIES` has them, best first. A library that somebody has
instrumented already is left alone.

`survey` says what would be done and imports no library for it; `switch_on` does it.

Content goes out only where a source is told to. Each has its own variable for that; we set those
that the user has not set, and take them back at the end.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final, Literal

from otel_traj.capture import natives
from otel_traj.capture.guard import guard
from otel_traj.errors import UnknownNameError
from otel_traj.semconv import AGENTS_ONLY, LIBRARIES, NATIVE, Library

if TYPE_CHECKING:
    from packaging.requirements import Requirement

GROUP: Final = "opentelemetry_instrumentor"

GENAI_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

_CONTENT: Final[Mapping[bool, Mapping[str, str]]] = {
    True: {GENAI_CONTENT: "SPAN_ONLY", "TRACELOOP_TRACE_CONTENT": "true"},
    False: {
        GENAI_CONTENT: "NO_CONTENT",
        "TRACELOOP_TRACE_CONTENT": "false",
        "OPENINFERENCE_HIDE_INPUTS": "true",
        "OPENINFERENCE_HIDE_OUTPUTS": "true",
        "OPENINFERENCE_HIDE_LLM_TOOLS": "true",
        "OPENINFERENCE_HIDE_LLM_INVOCATION_PARAMETERS": "true",
    },
}
"""Whether to record content -> variables of the instrumentors. OpenInference records by default."""

_ARGUMENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Otherwise it takes the place of the exporter that shows the runs on OpenAI's pages.
    "openinference-instrumentation-openai-agents": {"exclusive_processor": False},
}
"""Package -> what its `instrument` is given besides the providers."""


def content_by_environment() -> bool | None:
    """What the user has said in the variable of the conventions; None if nothing."""
    said = os.environ.get(GENAI_CONTENT, "").strip().lower()
    return None if not said else said not in ("false", "no_content")


def check(wanted: Collection[str] | None) -> tuple[str, ...] | None:
    """What the user asked to have instrumented; None for everything.

    Raises:
        UnknownNameError: Something wanted is not known, or that package is not installed.
    """
    if wanted is None:
        return None
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if names:
        list(_libraries(names, _announced()))
    return names


@dataclass(frozen=True, slots=True)
class Finding:
    """What there is for one library."""

    library: Library
    version: str | None
    """Of the library; None where it is not installed."""
    sources: tuple[str, ...] = ()
    """What is installed and fits, best first."""
    misfits: Mapping[str, str] = field(default_factory=dict)
    """Installed sources that do not fit -> why, as a sentence."""

    @property
    def remedy(self) -> str:
        """Packages to install, as `pip install` takes them; "" if nothing is missing or helps."""
        library = self.library
        if self.sources or (self.version is None and library.sources[0] == NATIVE):
            return ""
        if self.version and 0 < library.packages_below <= _major(self.version):
            return ""
        others = (source for source in library.sources if source != NATIVE)
        return next((source for source in others if source not in self.misfits), "")


def survey(wanted: Collection[str] | None = None) -> list[Finding]:
    """What there is, without importing any of it.

    Args:
        wanted: Libraries ("openai") or packages of instrumentors; None for all known libraries.

    Returns:
        For None, what is installed; otherwise one finding for each that is wanted.

    Raises:
        UnknownNameError: Something wanted is not known, or that package is not installed.
    """
    return _survey(wanted, _announced())


def _announced() -> dict[str, EntryPoint]:
    """Package -> its instrumentor."""
    entries = {_package(entry): entry for entry in entry_points(group=GROUP)}
    return {name: entry for name, entry in entries.items() if name}


def _package(entry: EntryPoint) -> str:
    """Name of the package that announces it, spelt as PEP 503 says; "" if half removed."""
    said: Any = (entry.dist and entry.dist.metadata) or {}  # None in some Pythons
    return re.sub(r"[-_.]+", "-", said.get("Name") or "").lower()


def _survey(wanted: Collection[str] | None, announced: Mapping[str, EntryPoint]) -> list[Finding]:
    found = [_find(library, announced) for library in _libraries(wanted, announced)]
    if not any(finding.sources for finding in found if finding.library.is_client):
        # No client tells the calls of models, so a source that leaves them out comes last; among
        # equals, sorting keeps the order.
        found = [
            replace(finding, sources=tuple(sorted(finding.sources, key=AGENTS_ONLY.__contains__)))
            for finding in found
        ]
    return found if wanted is not None else [finding for finding in found if finding.version]


def _libraries(
    wanted: Collection[str] | None, announced: Mapping[str, EntryPoint]
) -> Iterator[Library]:
    known = {library.name: library for library in LIBRARIES}
    for name in known if wanted is None else wanted:
        if name in known:
            yield known[name]
        elif name in announced:
            yield Library(name, name, (name,))
        else:
            raise UnknownNameError("instrumentor", name, {*known, *announced})


def _find(library: Library, announced: Mapping[str, EntryPoint]) -> Finding:
    version = _version(library.distribution)
    if version is None:
        return Finding(library, None)
    misfits: dict[str, str] = {}
    for source in library.sources:
        if source in announced and (misfit := _misfit(announced[source])):
            misfits[source] = misfit
    present = {source for source in announced if source not in misfits}
    if _major(version) >= library.native_since:
        present.add(NATIVE)
    sources = tuple(source for source in library.sources if source in present)
    return Finding(library, version, sources, misfits)


def _version(distribution: str) -> str | None:
    try:
        said: Any = metadata.distribution(distribution).metadata
    except metadata.PackageNotFoundError:
        return None
    version: str | None = (said or {}).get("Version")  # see `_package`
    return version


def _major(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


def _misfit(entry: EntryPoint) -> str:
    """Which version of which package an instrumentor wants and does not find; "" if it fits.

    One of several that it lists is enough: some list what they can instrument besides.
    """
    try:
        wanted = [*_instruments(entry)]
        found = {each.name: _version(each.name) for each in wanted}
    except Exception as error:  # what a stranger's package says of itself may be anything
        return f"cannot be used: {type(error).__name__}: {error}"
    for each in wanted:
        version = found[each.name]
        if version is not None and not each.specifier.contains(version, prereleases=True):
            return f"takes {each.name}{each.specifier}, found {version}"
    if wanted and not any(found.values()):
        return f"takes {', '.join(f'{each.name}{each.specifier}' for each in wanted)}, found none"
    return ""


def _instruments(entry: EntryPoint) -> Iterator[Requirement]:
    """What the package of an instrumentor says that it instruments."""
    from packaging.requirements import Requirement  # every instrumentor brings it

    for text in (entry.dist.requires if entry.dist else None) or ():
        requirement = Requirement(text)
        if (marker := requirement.marker) is None or marker.evaluate({"extra": ""}):
            continue  # what it needs to run at all
        if any(marker.evaluate({"extra": extra}) for extra in _EXTRAS):
            yield requirement


_EXTRAS: Final = ("instruments", "instruments-any")


# --- switching on --------------------------------------------------------------------------------

State = Literal["on", "left", "missing", "covered"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of one library."""

    finding: Finding
    state: State
    """`covered`: another library's source tells the same."""
    source: str = ""
    """What tells of it, if on."""
    reasons: tuple[str, ...] = ()
    """Why it is left, or why a better source is not used: sentences."""


@dataclass(slots=True)
class Switched:
    """What we have switched on, to be switched off again."""

    outcomes: list[Outcome] = field(default_factory=list)
    _undo: list[natives.Undo] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """Packages that tell what happens: instrumentors, and libraries that do so themselves."""
        return tuple(
            each.finding.library.distribution if each.source == NATIVE else each.source
            for each in self.outcomes
            if each.state == "on"
        )

    def off(self) -> None:
        """Undo it."""
        while self._undo:
            with guard("switch an instrumentor off"):
                self._undo.pop()()


def switch_on(
    wanted: Collection[str] | None,
    *,
    content: bool | None,
    content_over_otlp: bool = False,
    tracer_provider: Any,
    logger_provider: Any,
    attach: Callable[[Any], None],
) -> Switched:
    """Switch on one source for each library that is installed and not instrumented yet.

    Args:
        wanted: Libraries ("openai") or packages of instrumentors; None for all known libraries.
        content: Whether they are to record prompts and answers; None: as it is.
        content_over_otlp: The same for a library that sends to a Collector past this process.
        tracer_provider: Where they send spans.
        logger_provider: Where they send events.
        attach: Records what the tracer provider of a library's own sees too.

    Raises:
        UnknownNameError: Something wanted is not known, or that package is not installed.
    """
    announced = _announced()
    findings = _survey(wanted, announced)
    switchboard = _Switchboard(
        announced,
        natives.Wish(content, content_over_otlp, tracer_provider, attach, logger_provider),
        {"tracer_provider": tracer_provider, "logger_provider": logger_provider},
    )
    switched = Switched()
    switched._undo.append(natives.variables({} if content is None else _CONTENT[content]))
    for finding in findings:
        told = [each.finding.library.name for each in switched.outcomes if each.state != "missing"]
        if finding.library.unless in told:
            outcome, undo = Outcome(finding, "covered"), None
        else:
            outcome, undo = switchboard.switch_on(finding)
        switched.outcomes.append(outcome)
        if undo is not None:
            switched._undo.append(undo)
    return switched


@dataclass(frozen=True, slots=True)
class _Switchboard:
    announced: Mapping[str, EntryPoint]
    wish: natives.Wish
    providers: Mapping[str, Any]

    def switch_on(self, finding: Finding) -> tuple[Outcome, natives.Undo | None]:
        """Use the best source that works; what fails is a stranger's, and never ours to raise."""
        library = finding.library
        if theirs := [source for source in library.sources if self._is_on(source)]:
            return Outcome(finding, "left", reasons=(f"{theirs[0]} is on already",)), None
        reasons = [f"{source} {misfit}" for source, misfit in finding.misfits.items()]
        for source in finding.sources:
            try:
                undo = self._switch(source, library)
            except natives.LeftAloneError as error:
                reasons.append(str(error))
            except Exception as error:
                reasons.append(f"{source} failed: {type(error).__name__}: {error}")
            else:
                return Outcome(finding, "on", source, tuple(reasons)), undo
        state: State = "left" if finding.sources else "missing"
        return Outcome(finding, state, reasons=tuple(reasons)), None

    def _is_on(self, source: str) -> bool:
        entry = self.announced.get(source)
        return entry is not None and _is_on(entry)

    def _switch(self, source: str, library: Library) -> natives.Undo:
        if source == NATIVE:
            return natives.switch_on(library.name, self.wish)
        return _instrument(self.announced[source], {**self.providers, **_ARGUMENTS.get(source, {})})


def _instrument(entry: EntryPoint, arguments: Mapping[str, Any]) -> natives.Undo:
    """Switch an instrumentor on; returns what switches it off.

    Raises:
        LeftAloneError: It finds the library too old or too new, and has logged that.
    """
    instrumentor = entry.load()()
    instrumentor.instrument(**arguments)
    if not instrumentor.is_instrumented_by_opentelemetry:
        raise natives.LeftAloneError(f"{entry.name} does not fit what is installed")
    undo: natives.Undo = instrumentor.uninstrument
    return undo


def _is_on(entry: EntryPoint) -> bool:
    """Whether somebody has used this instrumentor; one that nobody imported has not been."""
    if entry.module not in sys.modules:
        return False
    with guard(f"ask {entry.value} whether it is on"):
        return bool(getattr(entry.load()(), "is_instrumented_by_opentelemetry", False))
    return False
