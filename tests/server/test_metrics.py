"""Every figure is told to Prometheus and to OpenTelemetry alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from otel_traj.server import refusals
from otel_traj.server.metrics import Metrics
from otel_traj.server.requests import Checked


def told(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What Prometheus reads: sums and gauges, and the counts of histograms."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name.removesuffix("_total"), frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith(("_created", "_bucket", "_sum"))
    }


def exported(reader: InMemoryMetricReader) -> dict[tuple[str, frozenset[Any]], float]:
    """What an OpenTelemetry exporter gets, under the names that Prometheus has for it."""
    found = {}
    data: Any = reader.get_metrics_data()
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            name = metric.name.replace(".", "_")
            name += {"By": "_bytes", "s": "_seconds"}.get(metric.unit, "")
            name += "_count" * hasattr(point, "bucket_counts")
            value = point.count if hasattr(point, "bucket_counts") else point.value
            found[name, frozenset(point.attributes.items())] = value
    return found


def all_moved(metrics: Metrics) -> None:
    """Let every figure move once."""
    checked = Checked(b"x", "otlp-traces", accepted=3, rejected=1)
    seal = {"spans": 3, "logs": 1, "duplicates": 2, "late": 1, "rejected": 1}

    metrics.received("traces", "grpc", checked, 500)
    metrics.durable("traces", "grpc", checked, 0.002)
    metrics.refused("http", refusals.MALFORMED)
    metrics.in_flight(7)
    metrics.sealed(seal)
    metrics.queue(9)
    metrics.sealer_restarted()


def test_both_are_told_the_same() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics = Metrics(provider)

    all_moved(metrics)

    sender = frozenset({("signal", "traces"), ("transport", "grpc")})
    by_prometheus, by_opentelemetry = told(metrics), exported(reader)
    provider.shutdown()
    assert by_prometheus == by_opentelemetry
    assert by_prometheus["otel_traj_receiver_records_durable", sender] == 3
    assert by_prometheus["otel_traj_receiver_request_duration_seconds_count", sender] == 1
    assert len(by_prometheus) == 15


def test_the_documented_table_has_every_figure_with_its_names_and_unit(root: Path) -> None:
    page = root / "docs" / "receiving.md"
    if not page.exists():
        pytest.skip("docs/ is in the checkout only")
    row = r"^\| `(otel_traj_\w+)` \| `([\w.]+)`, `(.+?)` \|"
    documented = re.findall(row, page.read_text("utf-8"), re.MULTILINE)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics = Metrics(provider)

    all_moved(metrics)

    data: Any = reader.get_metrics_data()
    provider.shutdown()
    exported_ = data.resource_metrics[0].scope_metrics[0].metrics
    by_prometheus = re.findall(r"^# TYPE (\w+)", metrics.text().decode(), re.MULTILINE)
    assert [name for name, _, _ in documented] == [
        name for name in by_prometheus if not name.endswith("_created")
    ]
    assert {(name, unit) for _, name, unit in documented} == {
        (metric.name, metric.unit) for metric in exported_
    }
