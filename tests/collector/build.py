"""Build small OpenTelemetry Collectors to try the shipped configurations with: with Go, in minutes.

python tests/collector/build.py         the one that everything but Kafka is tried with
python tests/collector/build.py kafka   the one that has Kafka
python tests/collector/build.py node    no Collector: OpenTelemetry's SDK for Node, with npm

All are kept in the user's cache; tests use them, or a collector that OTEL_TRAJ_COLLECTOR names, or
`otelcol-contrib` on PATH, and are skipped without any.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CORE: Final = "go.opentelemetry.io/collector"
CONTRIB: Final = "github.com/open-telemetry/opentelemetry-collector-contrib"


CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "otel-traj"


@dataclass(frozen=True)
class Distribution:
    """A set of components, compiled into one binary.

    Attributes:
        name: Of the binary in the cache. Ends with a number that is raised with the components, so
            that a binary of fewer is not taken for it.
        version: Of all components.
        components: Kind, as the builder calls it -> Go modules.
    """

    name: str
    version: str
    components: Mapping[str, Sequence[str]]

    @property
    def path(self) -> Path:
        """Where the binary is, or would be."""
        return CACHE / self.name

    def find(self) -> Path | None:
        """The binary, or another collector that has all components, or None."""
        named = os.environ.get("OTEL_TRAJ_COLLECTOR") or shutil.which("otelcol-contrib")
        if named:
            return Path(named)
        return self.path if self.path.exists() else None

    def build(self) -> Path:
        """Compile it."""
        with tempfile.TemporaryDirectory() as folder:
            manifest = Path(folder) / "builder.yaml"
            lines = ["dist:", "  name: otelcol", f"  output_path: {folder}/build"]
            for kind, modules in self.components.items():
                lines.append(f"{kind}:")
                lines += [f"  - gomod: {module} {self.version}" for module in modules]
            manifest.write_text("\n".join(lines) + "\n")
            builder = f"{CORE}/cmd/builder@{self.version}"
            subprocess.run(["go", "run", builder, "--config", str(manifest)], check=True)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(folder) / "build" / "otelcol", self.path)
        return self.path


COLLECTOR: Final = Distribution(
    "otelcol-v0.161.0-3",
    "v0.161.0",
    {
        "receivers": [f"{CORE}/receiver/otlpreceiver"],
        "processors": [
            f"{CORE}/processor/batchprocessor",
            f"{CORE}/processor/memorylimiterprocessor",
            f"{CONTRIB}/processor/probabilisticsamplerprocessor",
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
    },
)

KAFKA: Final = Distribution(
    "otelcol-kafka-v0.155.0-1",
    "v0.155.0",  # the newest of which Go's module proxy has all that the Kafka components need
    {
        "receivers": [
            f"{CORE}/receiver/otlpreceiver",
            f"{CONTRIB}/receiver/kafkareceiver",
        ],
        "processors": [
            f"{CORE}/processor/memorylimiterprocessor",
            f"{CONTRIB}/processor/redactionprocessor",
        ],
        "exporters": [
            f"{CORE}/exporter/otlphttpexporter",
            f"{CONTRIB}/exporter/kafkaexporter",
        ],
        "extensions": [f"{CONTRIB}/extension/storage/filestorage"],
    },
)


def find() -> Path | None:
    """A collector with the components of `COLLECTOR`, or None."""
    return COLLECTOR.find()


NODE_MODULES: Final = CACHE / "node-sdk-2.12" / "node_modules"
_NODE_PACKAGES: Final = (
    "@opentelemetry/api@1.9",
    "@opentelemetry/resources@2.12",
    "@opentelemetry/sdk-trace-node@2.12",
    "@opentelemetry/exporter-trace-otlp-http@0.223",
    "@opentelemetry/otlp-transformer@0.223",
)


def build_node() -> Path:
    """Install what an agent on Node needs; where `require` finds it."""
    folder = NODE_MODULES.parent
    folder.mkdir(parents=True, exist_ok=True)
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
    subprocess.run([*install, *_NODE_PACKAGES], check=True)
    return NODE_MODULES


def main(wanted: str) -> Path:
    """Make what is wanted if it is not there yet."""
    if wanted == "node":
        return NODE_MODULES if NODE_MODULES.exists() else build_node()
    distribution = KAFKA if wanted == "kafka" else COLLECTOR
    return distribution.find() or distribution.build()


if __name__ == "__main__":
    sys.stdout.write(f"{main(' '.join(sys.argv[1:]))}\n")
