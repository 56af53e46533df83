"""Recorded text on a terminal; see `otel_traj.safety`."""

from otel_traj.safety import escaped as escaped
from otel_traj.safety import visible as visible
from otel_traj.safety import visible_lines as visible_lines
