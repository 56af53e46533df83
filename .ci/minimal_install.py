"""Run in an environment with otel-traj and no extra: what needs one must say which."""

import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import otel_traj
import otel_traj_analysis
from otel_traj import analysis, exporters
from otel_traj.store import TrajectoryStore

COMMAND = str(Path(sysconfig.get_path("scripts")) / "otel-traj")
SHIPPED = Path(otel_traj_analysis.__file__).parent
OUTCOMES = (str(SHIPPED / "sql" / "outcomes.sql"), str(SHIPPED / "cases" / "outcomes.yaml"))
OPTIONAL = ("openai", "opentelemetry-instrumentation", "pyyaml", "uvicorn", "deltalake", "scipy")
STORE = Path(tempfile.mkdtemp()) / "traces"

# Command -> the extra without which it cannot work.
NEEDS = {
    (COMMAND, "demo"): "demo",
    (COMMAND, "serve", "--store", str(STORE)): "server",
    (COMMAND, "publish", "--store", str(STORE)): "delta",
    (sys.executable, "-P", "-m", "otel_traj_analysis.cases", *OUTCOMES): "analysis",
    (COMMAND, "analyze", "success_patterns", "--store", str(STORE)): "analysis",
}


def main() -> None:
    for package in OPTIONAL:
        with suppress(PackageNotFoundError):
            sys.exit(f"{package} {version(package)} is installed: this tests nothing")
    assert otel_traj.__all__
    assert analysis.names()
    exporters.load("parquet")
    TrajectoryStore.create(STORE)
    for arguments, extra in NEEDS.items():
        ran = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert ran.returncode == 2, ran
        assert f"pip install 'otel-traj[{extra}]'" in ran.stderr, ran
        assert "Traceback" not in ran.stderr, ran
        print(ran.stderr.strip())


if __name__ == "__main__":
    main()
