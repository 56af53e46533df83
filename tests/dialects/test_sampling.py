from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_traj.capture.lines import span_record
from otel_traj.dialects.sampling import share_of
from otel_traj.model import SpanRecord

NOTHING: dict[str, Any] = {}


def span(trace_state: str | None, attributes: dict[str, Any]) -> SpanRecord:
    return SpanRecord(
        "1" * 32, "1" * 16, None, "s", 0, 1, trace_state=trace_state, attributes=attributes
    )


@pytest.mark.parametrize(
    ("trace_state", "attributes", "share"),
    [
        ("ot=th:0", NOTHING, 1.0),
        ("ot=th:8", NOTHING, 0.5),
        ("ot=th:c", NOTHING, 0.25),
        ("ot=th:e6666666666668", NOTHING, 0.1),
        ("congo=t61, ot=rv:0123456789abcd;th:c;x:1,rojo=00", NOTHING, 0.25),
        ("ot=th:c", {"sampler.type": "probabilistic", "sampler.param": 0.5}, 0.25),
        (None, {"sampler.type": "probabilistic", "sampler.param": 0.125}, 0.125),
        (None, {"SampleRate": 20}, 0.05),
    ],
)
def test_the_share_is_read_as_samplers_write_it(
    trace_state: str | None, attributes: dict[str, Any], share: float
) -> None:
    assert share_of(span(trace_state, attributes)) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(
    ("trace_state", "attributes"),
    [
        (None, NOTHING),
        ("", NOTHING),
        ("ot=rv:0123456789abcd", NOTHING),
        ("other=th:c", NOTHING),
        ("ot=th:", NOTHING),
        ("ot=th:C", NOTHING),
        ("ot=th:123456789abcdef", NOTHING),
        ("ot=xth:c", NOTHING),
        (None, {"sampler.type": "probabilistic", "sampler.param": 0}),
        (None, {"sampler.type": "probabilistic", "sampler.param": 7}),
        (None, {"sampler.type": "probabilistic", "sampler.param": "0.5"}),
        (None, {"sampler.type": "ratelimiting", "sampler.param": 0.5}),
        (None, {"SampleRate": 0}),
        (None, {"SampleRate": "often"}),
    ],
)
def test_what_tells_no_share_leaves_it_unknown(
    trace_state: str | None, attributes: dict[str, Any]
) -> None:
    assert share_of(span(trace_state, attributes)) is None


@pytest.mark.parametrize("ratio", [1.0, 0.75, 0.1, 0.001])
def test_it_is_the_ratio_that_the_sdks_sampler_was_given(ratio: float) -> None:
    samplers = pytest.importorskip("opentelemetry.sdk.trace._sampling_experimental")
    sampler = samplers.composite_sampler(samplers.composable_traceid_ratio_based(ratio))
    tracer = TracerProvider(sampler=sampler, shutdown_on_exit=False).get_tracer("test")
    spans = (tracer.start_span("s") for _ in range(100_000))
    sampled: Any = next(span for span in spans if span.is_recording())
    sampled.end()

    assert isinstance(sampled.get_span_context().trace_state, trace.TraceState)
    assert share_of(span_record(sampled, None)) == pytest.approx(ratio, abs=1e-9)
