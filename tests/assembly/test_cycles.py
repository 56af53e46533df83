"""What a trace was derived with is freed at once: sealers do not search for lost cycles."""

import gc
from collections.abc import Iterator

import pytest

from bench.assembly_speed import run_of
from otel_traj.assembly import assemble_alone


@pytest.fixture
def nothing_lost() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("nothing_lost")
def test_a_trace_derived_by_itself_leaves_no_cycles() -> None:
    alone = assemble_alone(run_of(100, 1), (), known_ids={}, open_traces=())

    assert len(alone.found) == 1
    assert gc.collect() == 0
