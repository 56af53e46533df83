"""The classes of earlier systems, for programs that move over: one module per system.

    from otel_traj.compat.replay_buffer import Trajectory, get_replay_buffer, record_trajectory
    from otel_traj.compat.episodes import TrajectoryLogger
    from otel_traj.compat.meta_agent import MetaAgent, trace_agent_execution

Names, shapes and validation are theirs. What happens is ours: they record through
`otel_traj.capture` into a store and read from the store, so that everything they tell is rows of
`trajectories`, `steps` and `file_changes`. `docs/moving.md` shows each beside the code it replaces.
"""
