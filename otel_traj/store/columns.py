"""Derived rows in columns: made where a trace is derived, put in order where files are written.

Bringing rows into columns takes as long as writing them, and columns are sent to another process in
a tenth of the time that rows take. So a worker sends columns of many trajectories, and each of
these knows which stretches of them are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from typing import Any, Final

import pyarrow as pa

from otel_traj.model import Assembly
from otel_traj.store import rows

PART_ROWS: Final = 4_000
"""Rows that are brought into columns at once: those of a long run take as much memory again."""

MEMBERS: Final[Mapping[str, Callable[[Assembly], Sequence[Any]]]] = {
    "steps": lambda assembly: assembly.trajectory.steps,
    "trajectory_spans": lambda assembly: assembly.spans,
    "file_changes": lambda assembly: assembly.trajectory.file_changes,
}
"""Table -> the rows of a trajectory, beside its header."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows `start` to `stop` of some columns."""

    columns: pa.Table
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def rows(self) -> pa.Table:
        """These rows alone."""
        return self.columns.slice(self.start, len(self))

    def of(self, trajectory_id: str) -> Stretch:
        """The same rows of a trajectory under another id."""
        index = self.columns.column_names.index("trajectory_id")
        ids = pa.array([trajectory_id] * len(self), pa.string())
        return Stretch(self.rows().set_column(index, "trajectory_id", ids), 0, len(self))


@dataclass(frozen=True, slots=True)
class InColumns(Assembly):
    """A trajectory of which only the header is a value; `stretches` are the rows of `MEMBERS`."""

    stretches: Mapping[str, Stretch] = field(default_factory=dict)


def in_columns(assemblies: Iterable[Assembly], *, rev: int) -> list[Assembly]:
    """The same trajectories with their rows in columns, all of revision `rev`.

    Those of more than `PART_ROWS` spans are left as they are.
    """
    given = list(assemblies)
    short = [assembly for assembly in given if len(assembly.spans) <= PART_ROWS]
    stretches = {name: iter(_stretches(name, short, rev)) for name in MEMBERS}
    return [
        _bare(assembly, {name: next(own) for name, own in stretches.items()})
        if len(assembly.spans) <= PART_ROWS
        else assembly
        for assembly in given
    ]


def _stretches(name: str, assemblies: Iterable[Assembly], rev: int) -> Iterator[Stretch]:
    members = [MEMBERS[name](assembly) for assembly in assemblies]
    columns = rows.derived_table(name, [*chain.from_iterable(members)], rev=rev)
    start = 0
    for own in members:
        yield Stretch(columns, start, start + len(own))
        start += len(own)


def _bare(assembly: Assembly, stretches: Mapping[str, Stretch]) -> InColumns:
    header = replace(assembly.trajectory, steps=(), file_changes=())
    return InColumns(header, (), assembly.annotations, stretches)


def members_of(name: str, assembly: Assembly) -> Sequence[Any]:
    """The rows of a table, as values or as one `Stretch`."""
    if isinstance(assembly, InColumns):
        return (assembly.stretches[name],) if assembly.stretches[name] else ()
    return MEMBERS[name](assembly)


def span_keys(assembly: Assembly) -> Iterator[tuple[str, str]]:
    """(trace_id, span_id) of each span of a trajectory."""
    if not isinstance(assembly, InColumns):
        return ((span.trace_id, span.span_id) for span in assembly.spans)
    own = assembly.stretches["trajectory_spans"].rows()
    return zip(own["trace_id"].to_pylist(), own["span_id"].to_pylist(), strict=True)


def under_id(assembly: Assembly, trajectory_id: str) -> Assembly:
    """The same trajectory under another id, but for its annotations."""
    old = assembly.trajectory
    header = replace(
        old,
        trajectory_id=trajectory_id,
        steps=tuple(replace(s, trajectory_id=trajectory_id) for s in old.steps),
        file_changes=tuple(replace(c, trajectory_id=trajectory_id) for c in old.file_changes),
    )
    spans = tuple(replace(s, trajectory_id=trajectory_id) for s in assembly.spans)
    if not isinstance(assembly, InColumns):
        return replace(assembly, trajectory=header, spans=spans)
    stretches = {name: own.of(trajectory_id) for name, own in assembly.stretches.items()}
    return replace(assembly, trajectory=header, stretches=stretches)


def count(members: Iterable[Any]) -> int:
    """How many rows values and stretches are."""
    return sum(len(one) if isinstance(one, Stretch) else 1 for one in members)


def tables_of(name: str, members: Iterable[Any], *, rev: int | None) -> Iterator[pa.Table]:
    """The columns of rows that are values (of revision `rev`) and stretches, in their order."""
    for are_stretches, group in groupby(members, key=lambda one: isinstance(one, Stretch)):
        own = list(group)
        if are_stretches:
            yield joined(own)
            continue
        for start in range(0, len(own), PART_ROWS):
            yield rows.derived_table(name, own[start : start + PART_ROWS], rev=rev)


def joined(stretches: Sequence[Stretch]) -> pa.Table:
    """The rows of all stretches in their order; there are some."""
    starts: dict[int, int] = {}
    parts: list[pa.Table] = []
    n_rows = 0
    order: list[int] = []
    for stretch in stretches:
        start = starts.get(id(stretch.columns))
        if start is None:
            start = starts[id(stretch.columns)] = n_rows
            parts.append(stretch.columns)
            n_rows += stretch.columns.num_rows
        order += range(start + stretch.start, start + stretch.stop)
    whole = pa.concat_tables(parts)
    return whole if order == list(range(n_rows)) else whole.take(pa.array(order, pa.int64()))
