"""Public names of `otel_traj_analysis`."""

from otel_traj_analysis import *
from otel_traj_analysis import __all__ as __all__
