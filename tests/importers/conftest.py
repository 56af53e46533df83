from pathlib import Path

import pytest

CORPUS = Path(__file__).parents[1] / "data" / "corpus"


@pytest.fixture
def corpus() -> Path:
    """Recorded runs, one folder each; see its README."""
    return CORPUS
