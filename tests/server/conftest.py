from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.serving import Serving, serving


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "traces"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One for all tests of a module, which therefore send traces of their own."""
    with serving(tmp_path_factory.mktemp("served") / "traces") as running:
        yield running
