"""Build a small OpenTelemetry Collector to try collector-config.yaml with: needs Go, takes minutes.

python tests/collector/build.py

The binary is kept in the user's cache; `test_config.py` uses it, or a collector that
OTEL_TRAJ_COLLECTOR names, or `otelcol-contrib` on PATH, and is skipped without any.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "v0.161.0"
CORE = "go.opentelemetry.io/collector"
CONTRIB = "github.com/open-telemetry/opentelemetry-collector-contrib"
COMPONENTS = {
    "receivers": [f"{CORE}/receiver/otlpreceiver"],
    "processors": [
        f"{CORE}/processor/batchprocessor",
        f"{CORE}/processor/memorylimiterprocessor",
        f"{CONTRIB}/processor/redactionprocessor",
        f"{CONTRIB}/processor/tailsamplingprocessor",
    ],
    "exporters": [
        f"{CORE}/exporter/debugexporter",
        f"{CORE}/exporter/otlpexporter",
        f"{CORE}/exporter/otlphttpexporter",
        f"{CONTRIB}/exporter/fileexporter",
    ],
    "extensions": [f"{CONTRIB}/extension/storage/filestorage"],
}
SET = 2
"""Of components: raised with them, so that a binary of fewer is not taken from the cache."""

CACHED = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    / "otel-traj"
    / f"otelcol-{VERSION}-{SET}"
)


def find() -> Path | None:
    """A collector that has the file exporter, or None."""
    named = os.environ.get("OTEL_TRAJ_COLLECTOR") or shutil.which("otelcol-contrib")
    if named:
        return Path(named)
    return CACHED if CACHED.exists() else None


def build() -> Path:
    """Compile the components of the configuration into one binary."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "builder.yaml"
        lines = ["dist:", "  name: otelcol", f"  output_path: {folder}/build"]
        for kind, modules in COMPONENTS.items():
            lines.append(f"{kind}:")
            lines += [f"  - gomod: {module} {VERSION}" for module in modules]
        manifest.write_text("\n".join(lines) + "\n")
        builder = f"{CORE}/cmd/builder@{VERSION}"
        subprocess.run(["go", "run", builder, "--config", str(manifest)], check=True)
        CACHED.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(Path(folder) / "build" / "otelcol", CACHED)
    return CACHED


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
