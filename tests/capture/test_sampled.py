from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

import otel_traj
from otel_traj.capture.sampled import told_by
from otel_traj.store import open_store
from tests import receivers


@pytest.mark.parametrize(
    ("sampler", "ratio"),
    [
        (TraceIdRatioBased(0.25), 0.25),
        (ParentBased(TraceIdRatioBased(0.00001)), 0.00001),
        (ParentBased(TraceIdRatioBased(1.0)), None),
        (ALWAYS_ON, None),
        (ParentBased(ALWAYS_OFF, remote_parent_sampled=TraceIdRatioBased(0.5)), None),
    ],
    ids=str,
)
def test_a_ratio_is_told_where_one_decides(sampler: Sampler, ratio: float | None) -> None:
    provider = TracerProvider(sampler, shutdown_on_exit=False)

    assert told_by(provider).get("sampler.param") == ratio


def test_a_provider_that_stands_in_for_another_tells_none() -> None:
    assert told_by(object()) == {}


@pytest.mark.parametrize("protocol", sorted(receivers.RECEIVERS))
def test_runs_tell_their_share_in_the_store_and_over_otlp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    sampler = ParentBased(TraceIdRatioBased(0.5))
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    with receivers.RECEIVERS[protocol]() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", receiver.protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", "true")
        recording = otel_traj.instrument(
            tmp_path,
            sinks=("store", "otlp"),
            tracer_provider=provider,
            seal=False,
            instrumentors=(),
        )
        seen: list[Any] = []
        recording.on_trajectory(seen.append)
        for _ in range(64):
            with otel_traj.trajectory("t"), otel_traj.tool_call("look"):
                pass
        assert recording.flush()
        recording.shutdown()

    rates = {run.sampling_rate for run in open_store(tmp_path).trajectories()}
    assert rates == {run.sampling_rate for run in seen} == {0.5}
    sent = [
        span.attributes.get("sampler.param") for span in receiver.spans() if not span.parent_span_id
    ]
    assert set(sent) == {0.5}


def test_a_run_that_another_process_began_is_not_said_to_be_sampled_here(tmp_path: Path) -> None:
    sampler = ParentBased(TraceIdRatioBased(0.5))
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    recording = otel_traj.instrument(
        tmp_path, tracer_provider=provider, seal=False, instrumentors=()
    )
    remote = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    above = set_span_in_context(NonRecordingSpan(remote))

    for name in ("invoke_agent a", "invoke_agent b"):
        span = provider.get_tracer("t").start_span(name, above)
        span.set_attribute("gen_ai.operation.name", "execute_tool")
        span.end()
    recording.shutdown()

    [run] = open_store(tmp_path).trajectories()
    assert run.sampling_rate is None
