"""Public names of `otel_traj_exporters`."""

from otel_traj_exporters import *
from otel_traj_exporters import __all__ as __all__
