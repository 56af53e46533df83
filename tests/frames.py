"""What the log of a store holds."""

from pathlib import Path

from otel_traj import wal


def bodies(store: Path) -> list[bytes]:
    """The bodies of all whole frames, segments oldest first."""
    return [
        frame.body
        for segment in wal.segments(store)
        for frame in wal.frames(segment)
        if isinstance(frame, wal.Frame)
    ]
