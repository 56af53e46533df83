"""Two runs side by side: which steps belong together, what differs, and where that began.

Steps are laid side by side by what they *do* (`key_of`): the tool and its arguments, the calls that
a model asks for, what a user says. What then came of it, and how it was worded, is compared within
a pair. What is not recorded on one side is not called a difference.

Pure: two trajectories in, values out; no store, no clock.
"""

from otel_traj.comparison.alignment import Alignment, Key, align, similarity
from otel_traj.comparison.divergence import Cause, Divergence, is_decisive
from otel_traj.comparison.messages import Change, MessageDifference, compare_messages, content_of
from otel_traj.comparison.runs import RunDifference, compare
from otel_traj.comparison.steps import Aspect, StepDifference, key_of, keys_of, told_calls
from otel_traj.comparison.texts import TextDifference, compare_texts

__all__ = [
    "Alignment",
    "Aspect",
    "Cause",
    "Change",
    "Divergence",
    "Key",
    "MessageDifference",
    "RunDifference",
    "StepDifference",
    "TextDifference",
    "align",
    "compare",
    "compare_messages",
    "compare_texts",
    "content_of",
    "is_decisive",
    "key_of",
    "keys_of",
    "similarity",
    "told_calls",
]
