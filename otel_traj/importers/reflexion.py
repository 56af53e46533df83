"""Logs of Reflexion: several trials per task, and what the agent told itself between them.

Of ALFWorld, the results of an environment in a trial:

    {"name": "env_0", "is_success": true, "memory": ["..."], "trial": 0, "arm": "base"}

`trial` and `arm` stand in the names of the original files; without them, equal results of two
trials are one run. Of HotpotQA, the texts of its ReAct agents: `reflexion_text` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_traj.importers.parts import Records
from otel_traj.importers.transcript import Transcript, rest

NAME: Final = "Reflexion results"

_Object = Mapping[str, Any]


def fits(value: _Object) -> bool:
    """The results of one environment."""
    return {"name", "is_success", "memory"} <= value.keys()


def pieces(value: _Object) -> Iterator[tuple[str, Records]]:
    """The run."""
    yield "", _run(value)


def _run(value: _Object) -> Records:
    transcript = Transcript("reflexion", value, trial=value.get("trial"))
    transcript.describe(task_id=str(value["name"]), arm=value.get("arm"))
    transcript.initial_state({"memory": value["memory"]})
    transcript.keep(rest(value, "name", "memory", "trial", "arm"))
    transcript.outcome("success" if value["is_success"] else "failure")
    yield from transcript.records()
