"""Packed requests: unpacked whole or refused, and never far beyond the limit."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from otel_traj.errors import InputError
from otel_traj.server import refusals
from otel_traj.server.encodings import Coding, unpack
from otel_traj.server.refusals import Refusal

LIMIT = 100_000


def zstd_stream(body: bytes) -> bytes:
    """As encoders write that do not know the size beforehand."""
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(body) + stream.flush()


PACKERS: list[tuple[Coding, Callable[[bytes], bytes]]] = [
    ("identity", bytes),
    ("gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("zstd", zstandard.compress),
    ("zstd", zstd_stream),
]
PACKED = PACKERS[1:]


@pytest.mark.parametrize(("coding", "pack"), PACKERS)
@pytest.mark.parametrize("body", [b"", b"a request", b"\0" * LIMIT])
def test_what_was_packed_is_unpacked(
    coding: Coding, pack: Callable[[bytes], bytes], body: bytes
) -> None:
    assert unpack(pack(body), coding, LIMIT) == body


@pytest.mark.parametrize(("coding", "pack"), PACKED)
def test_parts_that_follow_one_another_are_one_request(
    coding: Coding, pack: Callable[[bytes], bytes]
) -> None:
    assert unpack(pack(b"one, ") + pack(b"two"), coding, LIMIT) == b"one, two"


@pytest.mark.parametrize(("coding", "pack"), PACKED)
@pytest.mark.parametrize("cut", [1, 5, 20])
def test_what_is_cut_off_is_refused(
    coding: Coding, pack: Callable[[bytes], bytes], cut: int
) -> None:
    whole = pack(bytes(range(256)) * 10)

    with pytest.raises(InputError):
        unpack(whole[:-cut], coding, LIMIT)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_what_is_not_packed_is_refused(coding: Coding) -> None:
    with pytest.raises(InputError):
        unpack(b"not packed at all", coding, LIMIT)


@pytest.mark.parametrize(("coding", "pack"), PACKERS)
def test_a_bomb_is_refused_before_it_takes_memory(
    coding: Coding, pack: Callable[[bytes], bytes]
) -> None:
    bomb = pack(b"\0" * (LIMIT + 1) if coding == "identity" else b"\0" * 100_000_000)
    tracemalloc.start()

    with pytest.raises(Refusal) as refused:
        unpack(bomb, coding, LIMIT)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.kind is refusals.TOO_LARGE
    assert peak < 40_000_000


@pytest.mark.parametrize(("coding", "pack"), PACKED)
def test_a_request_of_countless_empty_parts_is_refused(
    coding: Coding, pack: Callable[[bytes], bytes]
) -> None:
    """Without a bound on them, a few megabytes would take a thread for minutes."""
    with pytest.raises(InputError, match="more than 10,000 parts"):
        unpack(pack(b"") * 100_000, coding, LIMIT)
