"""What a trace was derived with is freed at once: sealers do not search for lost cycles."""

import gc
from collections.abc import Iterator

import pytest

from otel_traj.assembly import assemble_alone
from tests.store.runs import chat, root, tool


@pytest.fixture
def nothing_lost() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("nothing_lost")
def test_a_trace_derived_by_itself_leaves_no_cycles() -> None:
    spans = [(chat if position % 2 else tool)(1, position) for position in range(1, 100)]

    alone = assemble_alone([root(1), *spans], (), known_ids={}, open_traces=())

    assert len(alone.found) == 1
    assert gc.collect() == 0
