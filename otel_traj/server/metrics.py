"""What a receiver tells of itself: OpenTelemetry metrics, and the same for Prometheus to fetch.

Instruments are made of the global meter provider, so a process that has one exports them like its
own; without one they cost a call. `/metrics` works in any case.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import prometheus_client
from opentelemetry import metrics

from otel_traj.otlp import Signal
from otel_traj.server.refusals import Kind
from otel_traj.server.requests import Checked

CONTENT_TYPE: Final = prometheus_client.CONTENT_TYPE_LATEST

DURATIONS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the histogram of requests: a sync takes a millisecond, a full disk seconds."""


@dataclass(frozen=True, slots=True)
class _Worlds:
    """Where instruments are made: one for Prometheus, one for OpenTelemetry."""

    registry: prometheus_client.CollectorRegistry
    meter: metrics.Meter


class _Counter:
    """A sum, in both worlds."""

    def __init__(self, worlds: _Worlds, name: str, text: str, unit: str, *labels: str) -> None:
        self._labels = labels
        self._counter = prometheus_client.Counter(
            _plain(name, unit), text, labels, registry=worlds.registry
        )
        self._instrument = worlds.meter.create_counter(name, unit=unit, description=text)

    def add(self, amount: float, *values: str) -> None:
        (self._counter.labels(*values) if values else self._counter).inc(amount)
        self._instrument.add(amount, dict(zip(self._labels, values, strict=True)))


class _Gauge:
    """A value of now, in both worlds."""

    def __init__(self, worlds: _Worlds, name: str, text: str, unit: str) -> None:
        self._gauge = prometheus_client.Gauge(_plain(name, unit), text, registry=worlds.registry)
        self._instrument = worlds.meter.create_gauge(name, unit=unit, description=text)

    def set(self, value: float) -> None:
        self._gauge.set(value)
        self._instrument.set(value)


class _Histogram:
    """Durations, in both worlds."""

    def __init__(self, worlds: _Worlds, name: str, text: str, *labels: str) -> None:
        self._labels = labels
        self._histogram = prometheus_client.Histogram(
            _plain(name, "s"), text, labels, buckets=DURATIONS_S, registry=worlds.registry
        )
        self._instrument = worlds.meter.create_histogram(
            name, unit="s", description=text, explicit_bucket_boundaries_advisory=DURATIONS_S
        )

    def record(self, value: float, *values: str) -> None:
        self._histogram.labels(*values).observe(value)
        self._instrument.record(value, dict(zip(self._labels, values, strict=True)))


_UNITS: Final = {"By": "bytes", "s": "seconds"}
"""A unit as OpenTelemetry writes it -> how names in Prometheus end; one in braces adds nothing."""


def _plain(name: str, unit: str) -> str:
    """The name in Prometheus."""
    return "_".join(filter(None, [name.replace(".", "_"), _UNITS.get(unit)]))


class Metrics:
    """The figures of one receiver and its sealer."""

    def __init__(self, meter_provider: metrics.MeterProvider | None = None) -> None:
        """All zero; None for the global meter provider."""
        self._registry = prometheus_client.CollectorRegistry()
        meter = metrics.get_meter("otel_traj.server", meter_provider=meter_provider)
        worlds = _Worlds(self._registry, meter)
        sender = ("signal", "transport")
        self._received = _Counter(
            worlds,
            "otel_traj.receiver.records.received",
            "Spans and logs that came.",
            "{record}",
            *sender,
        )
        self._io = _Counter(
            worlds, "otel_traj.receiver.io", "Requests as they came.", "By", *sender
        )
        self._durable = _Counter(
            worlds,
            "otel_traj.receiver.records.durable",
            "Spans and logs that were acknowledged.",
            "{record}",
            *sender,
        )
        self._rejected = _Counter(
            worlds,
            "otel_traj.receiver.records.rejected",
            "Spans and logs taken out of a request for an invalid id or time.",
            "{record}",
            *sender,
        )
        self._refused = _Counter(
            worlds,
            "otel_traj.receiver.requests.refused",
            "Requests of which nothing was taken.",
            "{request}",
            "transport",
            "reason",
        )
        self._duration = _Histogram(
            worlds,
            "otel_traj.receiver.request.duration",
            "From the last byte of a request until it is durable.",
            *sender,
        )
        self._in_flight = _Gauge(
            worlds, "otel_traj.receiver.in_flight", "Memory of requests under way.", "By"
        )
        self._queue = _Gauge(
            worlds, "otel_traj.sealer.queue", "Log that is durable and not yet sealed.", "By"
        )
        self._sealed = _Counter(
            worlds,
            "otel_traj.sealer.records.sealed",
            "Spans and logs made rows.",
            "{record}",
            "signal",
        )
        self._duplicates = _Counter(
            worlds,
            "otel_traj.sealer.records.duplicate",
            "Records that were stored already.",
            "{record}",
        )
        self._late = _Counter(
            worlds,
            "otel_traj.sealer.spans.late",
            "Spans of trajectories that were closed.",
            "{span}",
        )
        self._unreadable = _Counter(
            worlds,
            "otel_traj.sealer.frames.unreadable",
            "Parts of the log that were set aside.",
            "{frame}",
        )
        self._restarts = _Counter(
            worlds,
            "otel_traj.sealer.restarts",
            "How often the sealer died and was replaced.",
            "{restart}",
        )
        self._sealed_at = _Gauge(
            worlds, "otel_traj.sealer.last_seal", "When it last sealed, as Unix time.", "s"
        )

    def received(self, signal: Signal, transport: str, checked: Checked, n_bytes: int) -> None:
        """A request was read and checked."""
        self._received.add(checked.accepted + checked.rejected, signal, transport)
        self._io.add(n_bytes, signal, transport)
        if checked.rejected:
            self._rejected.add(checked.rejected, signal, transport)

    def durable(self, signal: Signal, transport: str, checked: Checked, seconds: float) -> None:
        """What was accepted of it is on disk."""
        self._durable.add(checked.accepted, signal, transport)
        self._duration.record(seconds, signal, transport)

    def refused(self, transport: str, kind: Kind) -> None:
        """Nothing of a request was taken."""
        self._refused.add(1, transport, kind.name)

    def in_flight(self, n_bytes: int) -> None:
        """So much memory is held by requests now."""
        self._in_flight.set(n_bytes)

    def sealed(self, report: Mapping[str, int]) -> None:
        """The sealer has sealed once; see `otel_traj.server.sealer`."""
        self._sealed.add(report["spans"], "traces")
        self._sealed.add(report["logs"], "logs")
        self._duplicates.add(report["duplicates"])
        self._late.add(report["late"])
        self._unreadable.add(report["rejected"])
        self._sealed_at.set(time.time())

    def queue(self, n_bytes: int) -> None:
        """So much of the log is not sealed."""
        self._queue.set(n_bytes)

    def sealer_restarted(self) -> None:
        """It died and was replaced."""
        self._restarts.add(1)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it (`CONTENT_TYPE`)."""
        return prometheus_client.generate_latest(self._registry)
