"""What `serve` refuses to start with, where it only shows a store, or shows it to others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from otel_traj.errors import ConfigurationError
from otel_traj.server import service
from otel_traj.server.listeners import Address
from otel_traj.server.service import Settings

LOOPBACK, ANYWHERE = Address("127.0.0.1", 1), Address("0.0.0.0", 1)
NOTHING = Settings(store=Path("traces"), otlp_grpc=None, otlp_http=None, http=None)
SHOWING = ("http", "jaeger_http", "jaeger_storage")


def showing(listener: str, address: Address) -> Settings:
    """Nothing but one listener."""
    given: dict[str, Any] = {listener: address}
    return replace(NOTHING, **given)


@pytest.mark.parametrize("listener", SHOWING)
def test_a_store_may_be_shown_without_anything_being_received(listener: str) -> None:
    assert service.check(showing(listener, LOOPBACK)) is None


@pytest.mark.parametrize("listener", SHOWING)
def test_whoever_can_reach_it_would_read_the_store(listener: str) -> None:
    exposed = showing(listener, ANYWHERE)

    with pytest.raises(ConfigurationError, match=r"reaches 0\.0\.0\.0:1 could read the store"):
        service.check(exposed)
    assert "can read the store" in str(service.check(replace(exposed, is_open=True)))
    assert "crosses the network in clear" in str(service.check(replace(exposed, token="x")))


def test_whoever_can_reach_all_of_it_would_do_both() -> None:
    exposed = replace(NOTHING, otlp_http=ANYWHERE, jaeger_storage=ANYWHERE)

    with pytest.raises(ConfigurationError, match="could write into and read the store"):
        service.check(exposed)


def test_a_service_that_listens_nowhere_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="every listener is off"):
        service.check(NOTHING)
