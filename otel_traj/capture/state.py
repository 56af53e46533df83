"""What the verbs need of the recording that is on; set by `instrument` and `shutdown`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Tracer


@dataclass(frozen=True, slots=True)
class Active:
    """Where the verbs record to."""

    tracer: Tracer
    emit: Callable[[str, Mapping[str, Any], Context], None]
    """Emit an event of that name and attributes with the context's span."""
    content: bool
    """Whether to record what may be private: arguments, results, messages, files, states."""


_active: Active | None = None


def active() -> Active | None:
    """The recording that is on."""
    return _active


def set_active(recording: Active | None) -> None:
    """Begin or end recording by the verbs."""
    global _active
    _active = recording
