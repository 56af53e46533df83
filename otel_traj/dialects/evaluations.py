"""Evaluations that a span holds as attributes: OpenInference's flattened lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_traj import semconv
from otel_traj.dialects.messages import unflatten

_LISTS: Final = (
    ("evaluations", "evaluation", False),
    ("annotations", "annotation", False),
    ("trace.evaluations", "evaluation", True),
    ("trace.annotations", "annotation", True),
)
"""Prefix of the keys, what an item is called, and whether it is about the whole run."""

PREFIXES: Final = tuple(f"{prefix}." for prefix, _, _ in _LISTS)

_NAMES: Final = {
    "name": semconv.EVALUATION_NAME,
    "score": semconv.EVALUATION_VALUE,
    "label": semconv.EVALUATION_LABEL,
    "explanation": semconv.EVALUATION_EXPLANATION,
}


def evaluations_in(attributes: Mapping[str, Any]) -> Iterator[tuple[bool, dict[str, Any]]]:
    """(is about the whole run, what is told by the conventions' names) of each evaluation."""
    for prefix, item, is_whole in _LISTS:
        for entry in unflatten(attributes, prefix):
            told = entry.get(item) if isinstance(entry, Mapping) else None
            if isinstance(told, Mapping):
                yield is_whole, {name: told.get(key) for key, name in _NAMES.items()}
