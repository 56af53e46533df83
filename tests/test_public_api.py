"""The names that users may write. A change here is a change of what we promise."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

PUBLIC = {
    "otel_traj": [
        "OtelTrajError",
        "Recording",
        "Redaction",
        "Step",
        "Trajectory",
        "TrajectorySpan",
        "TrajectoryStore",
        "current",
        "inference",
        "instrument",
        "open_store",
        "tool",
        "tool_call",
        "trajectory",
        "uninstrument",
    ],
    "otel_traj.analysis": [
        "Analysis",
        "Column",
        "Parameter",
        "Violations",
        "check",
        "checks",
        "describe",
        "names",
        "report",
        "run",
        "sql",
    ],
    "otel_traj.compat.episodes": ["FileDiff", "TrajectoryLogger"],
    "otel_traj.compat.meta_agent": [
        "AgentTrace",
        "MetaAgent",
        "Pattern",
        "ProblemContext",
        "ThinkingStep",
        "ToolCall",
        "trace_agent_execution",
        "trace_thinking_step",
        "trace_tool_call",
    ],
    "otel_traj.compat.replay_buffer": [
        "ActionStep",
        "OutcomeTag",
        "RecordedAgent",
        "ReplayBuffer",
        "Trajectory",
        "TrajectoryRecorder",
        "capture_tool_call",
        "get_replay_buffer",
        "record_trajectory",
    ],
    "otel_traj.exporters": ["Exporter", "Sender", "export", "load", "names"],
    "otel_traj.importers": ["Flaw", "Reading", "Source", "find", "read", "readings"],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_exactly_these_names_are_public(module: str) -> None:
    assert sorted(import_module(module).__all__) == PUBLIC[module]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_exists_is_listed_and_says_what_it_is(module: str) -> None:
    public = import_module(module)

    for name in PUBLIC[module]:
        assert inspect.getdoc(getattr(public, name)), name
        assert name in dir(public)


def test_a_misspelt_name_is_an_attribute_error() -> None:
    import otel_traj

    with pytest.raises(AttributeError, match="instrumentt"):
        otel_traj.instrumentt  # noqa: B018
