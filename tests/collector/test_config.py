"""The shipped configurations do what they say, in a real Collector; `build.py` makes one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_traj import importers, otlp
from otel_traj.cli.collector_config import RECEIVER, VARIANTS, configuration
from otel_traj.model import SpanRecord
from otel_traj.store import open_store
from tests import receivers
from tests.collector import build
from tests.collector.running import HASTE, NO_JAEGER, collecting, free_address, needs_collector
from tests.server.serving import ask, serving, wait_for
from tests.store.runs import run

pytestmark = pytest.mark.slow


def stored(store: Path, column: str) -> list[str]:
    """A column of the spans there are, in order."""
    rows = open_store(store).sql(f"select {column} from spans order by all").fetchall()
    return [value for (value,) in rows]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_collector_accepts_the_configuration(variant: str, tmp_path: Path) -> None:
    distribution = build.KAFKA if "kafka" in variant else build.COLLECTOR
    collector = distribution.find()
    if collector is None:
        pytest.skip("no collector: python tests/collector/build.py [kafka]")
    file = tmp_path / "collector.yaml"
    file.write_text(configuration(variant))

    ran = subprocess.run([collector, "validate", "--config", file], cwd=tmp_path, stderr=-1)

    assert (ran.returncode, ran.stderr) == (0, b"")


@needs_collector
def test_a_span_that_became_a_file_can_be_ingested(tmp_path: Path) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    written = tmp_path / "inbox" / "traces.jsonl"
    with collecting(tmp_path, "processors::batch::timeout=50ms", variant="files") as collector:
        exporter = OTLPSpanExporter(f"{collector.endpoint}/v1/traces")
        provider.add_span_processor(SimpleSpanProcessor(exporter))

        provider.get_tracer("test").start_span("chat gpt", attributes={"n": 2**53 + 1}).end()

        provider.shutdown()
        # A Collector that is told to end just after its start ends at once, with what it holds.
        wait_for(lambda: written.exists() and written.stat().st_size > 0)
    [span] = importers.read(tmp_path / "inbox")
    assert isinstance(span, SpanRecord)
    assert (span.name, span.attributes) == ("chat gpt", {"n": 2**53 + 1})


@needs_collector
def test_runs_reach_the_store_and_jaeger(tmp_path: Path) -> None:
    spans = run(1)
    with serving(tmp_path / "traces") as service, receivers.over_grpc() as jaeger:
        away = jaeger.endpoint.removeprefix("http://")
        settings = (*HASTE, "exporters::otlp_grpc/jaeger::sending_queue::batch::flush_timeout=50ms")
        with collecting(
            tmp_path, *settings, OTEL_TRAJ_RECEIVER=service.http, JAEGER_OTLP=away
        ) as collector:
            ask(collector.http, "POST", "/v1/traces", otlp.traces_to_protobuf(spans))
            wait_for(lambda: len(jaeger.spans()) == len(spans))
            wait_for(lambda: len(stored(tmp_path / "traces", "span_id")) == len(spans))

    told = sorted(span.span_id for span in spans)
    assert stored(tmp_path / "traces", "span_id") == told
    assert sorted(span.span_id for span in jaeger.spans()) == told


@needs_collector
def test_jaeger_that_is_away_does_not_keep_runs_from_the_store(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "traces") as service,
        collecting(
            tmp_path, *HASTE, OTEL_TRAJ_RECEIVER=service.http, JAEGER_OTLP=free_address()
        ) as collector,
    ):
        ask(collector.http, "POST", "/v1/traces", otlp.traces_to_protobuf(run(1)))

        wait_for(lambda: len(stored(tmp_path / "traces", "span_id")) == 4)


SECRETS = {
    "OpenAI": "sk-proj-" + "Ab1" * 12,
    "Anthropic": "sk-ant-api03-" + "x9" * 12,
    "Google": "AIza" + "Sy7" * 11 + "Ab",
    "AWS": "AKIA" + "Q7" * 8,
    "GitHub": "ghp_" + "a1" * 18,
    "GitLab": "glpat-" + "a1" * 10,
    "Slack": "xoxb-" + "12" * 8,
    "Hugging Face": "hf_" + "aB" * 17,
    "web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "private key": "-----BEGIN PRIVATE KEY-----\\nMIIB\\n-----END PRIVATE KEY-----",
}


@needs_collector
def test_credentials_do_not_pass_the_collector(tmp_path: Path) -> None:
    said = {"messages": [{"role": "user", "content": f"use {' '.join(SECRETS.values())} please"}]}
    [*_, span] = run(1, note=json.dumps(said), structured=said)
    with (
        serving(tmp_path / "traces") as service,
        collecting(tmp_path, *HASTE, NO_JAEGER, OTEL_TRAJ_RECEIVER=service.http) as collector,
    ):
        ask(collector.http, "POST", "/v1/traces", otlp.traces_to_protobuf([span]))
        wait_for(lambda: bool(stored(tmp_path / "traces", "span_id")))

    [attributes] = stored(tmp_path / "traces", "attributes")
    assert [name for name, secret in SECRETS.items() if secret in attributes] == []
    assert attributes.count("please") == 2


def test_every_variant_begins_with_how_it_is_run() -> None:
    for variant in VARIANTS:
        head = configuration(variant).partition("\n\n")[0]
        assert all(line.startswith("#") for line in head.splitlines())
        assert "otelcol-contrib --config " in head


def test_the_default_variant_sends_where_its_head_says_the_receiver_listens() -> None:
    text = configuration(RECEIVER)

    assert "${env:OTEL_TRAJ_RECEIVER:-http://127.0.0.1:14318}" in text
    assert "--otlp-http 127.0.0.1:14318" in text
