"""Trajectories of AI agents from OpenTelemetry spans."""
