"""Retention: which trajectories stay, by age, number, bytes, outcome and agent."""

from __future__ import annotations

from typing import Final

PIN: Final = "traj.pin"
"""Name of the annotation that keeps a trajectory whatever its age."""

PINNED_BY: Final = "pin"
"""Its source, so that nobody else's word takes it back."""
