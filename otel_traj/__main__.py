"""`python -m otel_traj` is the command `otel-traj`."""

from otel_traj.cli import main

main()
