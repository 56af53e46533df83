"""`python -m otel_traj.cli` is the command `otel-traj`."""

from otel_traj.cli import main

main()
