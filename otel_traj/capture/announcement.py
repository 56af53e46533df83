"""What `instrument()` says about itself, once: what is recorded, what is not, and how to have it.

It goes through the logger `otel_traj.instrument`, as a warning if something is to be done and else
as information. A program that has set up no logging reads it on stderr. To silence it:
`logging.getLogger("otel_traj.instrument").setLevel("ERROR")`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from otel_traj.capture.instrumentors import Finding, Outcome
from otel_traj.semconv import AGENTS_ONLY

logger: Final = logging.getLogger("otel_traj.instrument")

_said: set[str] = set()


def announce(heading: str, outcomes: Sequence[Outcome], content: bool | None) -> None:
    """Say what has become of each library; the same text once per process.

    Args:
        heading: Where records go.
        outcomes: Of all libraries; nothing is said if there are none.
        content: What the libraries were told of content; None for nothing.
    """
    missing = _missing(outcomes)
    text = "\n".join([f"otel-traj {heading}, {_CONTENT[content]}", *_lines(outcomes, missing)])
    if not outcomes or text in _said:
        return
    _said.add(text)
    level = logging.WARNING if missing or content is None else logging.INFO
    if logger.hasHandlers():
        logger.log(level, "%s", text)
    elif logger.level <= level and sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


_CONTENT: Final = {
    True: "with content",
    False: "without content",
    None: "content as it is set, because others export these spans too: instrument(content=True) "
    "turns it on",
}


def _lines(outcomes: Sequence[Outcome], missing: Sequence[Outcome]) -> list[str]:
    on = (each for each in outcomes if each.state == "on")
    left = (each for each in outcomes if each.state == "left")
    return [
        *_line(
            "on", ", ".join(f"{_title(e.finding)} ({_joined(e.source, e.reasons)})" for e in on)
        ),
        *_line("left", " | ".join(f"{_title(e.finding)}: {_joined(*e.reasons)}" for e in left)),
        *_line("missing", " | ".join(_remedy(each) for each in missing)),
    ]


def _missing(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What nothing tells of, though something could be installed that does."""
    on = [each for each in outcomes if each.state == "on"]
    covered = {each.finding.library.unless for each in on}
    frameworks_tell_calls = any(
        each.finding.library.tells_calls
        and not each.finding.library.is_client
        and each.source not in AGENTS_ONLY
        for each in on
    )
    return [
        each
        for each in outcomes
        if each.state == "missing"
        and (each.finding.remedy or each.reasons)
        and each.finding.library.name not in covered
        and not each.finding.library.is_general
        and not (each.finding.library.is_client and frameworks_tell_calls)
    ]


def _remedy(outcome: Outcome) -> str:
    install = f"pip install {outcome.finding.remedy}" if outcome.finding.remedy else ""
    return f"{_title(outcome.finding)}: {_joined(install, *outcome.reasons)}"


def _title(finding: Finding) -> str:
    return f"{finding.library.distribution} {finding.version or '(not installed)'}"


def _joined(*parts: str | Iterable[str]) -> str:
    flat = [part for each in parts for part in ([each] if isinstance(each, str) else each)]
    return "; ".join(part for part in flat if part)


def _line(head: str, text: str) -> list[str]:
    return [f"  {head:<8} {text}"] if text else []
