"""`OTEL_TRACES_EXPORTER=trajectory`: for programs of which one can set the environment and no more.

The SDK makes the exporter without arguments and feeds it batches, children first, that are no
traces; so it writes what it gets to the write-ahead log of a store, and whoever reads the store
puts the traces together. The program's process imports nothing that this takes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_traj import wal
from otel_traj.capture.guard import guard
from otel_traj.capture.lines import Lines
from otel_traj.capture.sealing import SealStarter
from otel_traj.redaction import choose


class TrajectorySpanExporter(SpanExporter):
    """Writes spans to the store `OTEL_TRAJ_STORE`, else `./traces`, redacted on the way.

    `OTEL_TRAJ_REDACT` says what is replaced, credentials by default. Spans are durable when
    `export` returns. Nothing raises into the program: what cannot be written is logged once, and
    the SDK is told `FAILURE`.
    """

    def __init__(self) -> None:
        """Choose the store; nothing is written before the first span."""
        self._store = Path(os.environ.get("OTEL_TRAJ_STORE") or "traces").absolute()
        self._writer = wal.WalWriter(self._store)
        self._lines: Lines | None = None
        self._seals = SealStarter(self._store)
        self._bytes_written = 0

    @guard("write spans to the store")
    def _write(self, spans: Sequence[ReadableSpan]) -> bool:
        if self._lines is None:
            redaction = choose()  # one that cannot be understood: nothing is written
            wal.initialise(self._store)
            self._lines = Lines(redaction)
        body = b"".join(self._lines.of_span(span, None) for span in spans)
        self._writer.append(body)
        self._bytes_written += len(body)
        return True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch; it is on disk on return."""
        is_written = not spans or self._write(spans)
        with guard("look after the store"):
            self._seals.after_tick(self._bytes_written)
        return SpanExportResult.SUCCESS if is_written else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here; the SDK's processor exports what it holds before it asks."""
        return True

    def shutdown(self) -> None:
        """Let go of the log, and have it turned into Parquet by a process that outlives this."""
        with guard("start sealing"):
            self._writer.close()
            if self._bytes_written:
                self._seals.start()
                self._seals.leave()
                self._bytes_written = 0
