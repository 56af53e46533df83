"""What docs/jaeger.md says of tokens and of large spans holds for a real Jaeger."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from otel_traj.store import TrajectoryStore
from tests.jaeger.running import documented, get, jaeger, needs_jaeger
from tests.server.serving import serving
from tests.store.runs import run, span, trace_id

pytestmark = [pytest.mark.slow, needs_jaeger]

STORAGE = ("--jaeger-storage", "127.0.0.1:0")


def test_a_store_that_asks_for_a_token_is_shown_to_a_jaeger_that_has_it(tmp_path: Path) -> None:
    store = tmp_path / "traces"
    large = dataclasses.replace(span(9, 0, None, "large"), attributes={"text": "x" * 6_000_000})
    TrajectoryStore.create(store).append([*run(1), large])
    with serving(store, *STORAGE, OTEL_TRAJ_TOKEN="abc") as service:
        text, endpoint = documented(service.addresses["storage"])
        shown = text.replace(
            "            insecure: true\n",
            "            insecure: true\n"
            "          headers:\n            authorization: Bearer abc\n",
        )
        without, having = tmp_path / "without", tmp_path / "having"
        without.mkdir()
        having.mkdir()
        with jaeger(without, text, endpoint) as stranger, jaeger(having, shown, endpoint) as known:
            assert get(stranger, "/api/services")[0] == 500
            assert get(known, "/api/services")[1]["data"] == ["shop"]
            status, answer = get(known, f"/api/traces/{trace_id(9)}")

    assert status == 200
    [tag] = [tag for tag in answer["data"][0]["spans"][0]["tags"] if tag["key"] == "text"]
    assert tag["value"].endswith("more characters)")
