"""Real commands in this process, real stores in `tmp_path`, and golden files."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_traj import importers
from otel_traj.cli import main
from otel_traj.store import TrajectoryStore

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line as the shell would, without a terminal, 80 cells wide."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("OTEL_TRAJ_STORE", raising=False)

    def run(*arguments: str | Path) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, out, err)

    return run


@pytest.fixture(scope="session")
def corpus_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the five recorded runs; tests only read it."""
    store = TrajectoryStore.create(tmp_path_factory.mktemp("corpus") / "traces")
    store.append(importers.read(CORPUS))
    return store.path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of one recorded run, to be changed by a test."""
    store = TrajectoryStore.create(tmp_path / "traces")
    store.append(importers.read(CORPUS / "openai__otel-genai-openai"))
    return store.path


@pytest.fixture
def empty_store(tmp_path: Path) -> Path:
    """A store without a single record."""
    return TrajectoryStore.create(tmp_path / "empty").path


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with a golden file, or write it; see golden/README.md."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("REGENERATE_GOLDEN"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
