"""The directly-follows graph as a drawing: where boxes and arrows stand, in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Any, Final, TypeAlias

import graphlay

from otel_traj_analysis import values

Row = Mapping[str, Any]
Point: TypeAlias = tuple[float, float]

START: Final = "start"
END: Final = "end"

_MOST_NODES: Final = 18
_MOST_ARCS: Final = 36
_LONGEST: Final = 26
"""Characters of a name; the rest is in the title of its box."""

_CHARACTER: Final = 7.9
"""Width of one in the monospace font of the page, at 13 px."""
_HEIGHT: Final = 30.0
_MARGIN: Final = 14.0
_CORNER: Final = 30.0
_THINNEST, _THICKEST = 1.0, 7.0


@dataclass(frozen=True, slots=True)
class Box:
    """A call, or the start or end of runs. `x` and `y` are its upper left corner.

    `call` is the name as recorded, None of start and end; `name` is that made harmless.
    """

    call: str | None
    name: str
    label: str
    is_end: bool
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arc: `path` as SVG has it, the number of times, and where that is written.

    `row` is its place among the arcs that are to be drawn.
    """

    row: int
    title: str
    path: str
    width: float
    label: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes and arrows with the size of the sheet; `n_left_out` arcs are not drawn."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    n_left_out: int


def draw(arcs: Sequence[Row], n: int) -> Drawing | None:
    """Draw arcs of `process_map`; None where there are none.

    Args:
        arcs: Rows, the most frequent first.
        n: How many there are in all.
    """
    chosen = _chosen(arcs)
    if not chosen:
        return None
    graph = graphlay.Graph()
    names = {node: _label(node) for _, arc in chosen for node in _ends(arc)}
    for node, label in names.items():
        graph.node(node, width=_CHARACTER * len(label) + 24, height=_HEIGHT)
    most = max(arc["n"] for _, arc in chosen)
    for _, arc in chosen:
        written = {"width": _CHARACTER * len(f"{arc['n']:,}") + 6, "height": 16.0}
        graph.edge(
            *_ends(arc),
            weight=float(arc["n"]),
            thickness=_thickness(arc["n"], most),
            label_size=written,
        )
    laid = graphlay.layout(graph, preset="process_map", options={"routing": {"style": "diagonal"}})
    low, high = laid.bounds["min"], laid.bounds["max"]
    dx, dy = 2 * _MARGIN - low["x"], _MARGIN - low["y"]
    return Drawing(
        width=high["x"] - low["x"] + 4 * _MARGIN,
        height=high["y"] - low["y"] + 2 * _MARGIN,
        boxes=tuple(
            _box(node, label, place, dx, dy)
            for (node, label), place in zip(names.items(), laid.nodes, strict=True)
        ),
        arrows=tuple(
            _arrow(row, arc, edge, _thickness(arc["n"], most), dx, dy)
            for (row, arc), edge in zip(chosen, laid.edges, strict=True)
        ),
        n_left_out=n - len(chosen),
    )


def _chosen(arcs: Sequence[Row]) -> list[tuple[int, Row]]:
    """The most frequent arcs with their places, as long as they are between few enough calls."""
    nodes: set[Any] = set()
    chosen: list[tuple[int, Row]] = []
    for row, arc in enumerate(arcs):
        ends = set(_ends(arc))
        if len(nodes | ends) <= _MOST_NODES and len(chosen) < _MOST_ARCS:
            nodes |= ends
            chosen.append((row, arc))
    return chosen


def _ends(arc: Row) -> tuple[tuple[str, str], tuple[str, str]]:
    """Both ends; a call named like the start of runs is another node than that."""
    source, target = arc["source"], arc["target"]
    return (
        ("call", source) if source is not None else ("run", START),
        ("call", target) if target is not None else ("run", END),
    )


def _label(node: tuple[str, str]) -> str:
    name = values.text("", node[1])
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _thickness(n: int, most: int) -> float:
    return round(_THINNEST + (_THICKEST - _THINNEST) * sqrt(n / most), 1)


def _box(node: tuple[str, str], label: str, place: Mapping[str, Any], dx: float, dy: float) -> Box:
    width, height = place["size"]["width"], place["size"]["height"]
    x, y = place["center"]["x"] - width / 2 + dx, place["center"]["y"] - height / 2 + dy
    is_end = node[0] == "run"
    call = None if is_end else node[1]
    name = values.text("", node[1])
    return Box(call, name, label, is_end, round(x, 1), round(y, 1), width, height)


def _arrow(
    row: int, arc: Row, laid: Mapping[str, Any], width: float, dx: float, dy: float
) -> Arrow:
    line = [(round(point["x"] + dx, 1), round(point["y"] + dy, 1)) for point in laid["points"]]
    anchor = laid["label_anchor"]
    x, y = (round(anchor["x"] + dx, 1), round(anchor["y"] + dy, 1)) if anchor else _middle(line)
    source, target = (values.text("", node[1]) for node in _ends(arc))
    title = f"{source} → {target}: {arc['n']:,} times in {arc['n_runs']:,} runs"
    return Arrow(row, title, _rounded(line), width, f"{arc['n']:,}", x, y)


def _middle(line: Sequence[Point]) -> Point:
    """The point half-way along a line of straight pieces."""
    pieces = list(pairwise(line))
    lengths = [((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5 for (ax, ay), (bx, by) in pieces]
    left = sum(lengths) / 2
    for ((ax, ay), (bx, by)), length in zip(pieces, lengths, strict=True):
        if left <= length and length:
            part = left / length
            return round(ax + part * (bx - ax), 1), round(ay + part * (by - ay), 1)
        left -= length
    return line[-1]


def _rounded(line: Sequence[Point]) -> str:
    """A line of straight pieces as an SVG path with round corners."""
    path = [f"M{line[0][0]} {line[0][1]}"]
    for before, corner, after in zip(line, line[1:], line[2:], strict=False):
        (ax, ay), (bx, by) = _towards(corner, before), _towards(corner, after)
        path.append(f"L{ax} {ay}Q{corner[0]} {corner[1]} {bx} {by}")
    return "".join([*path, f"L{line[-1][0]} {line[-1][1]}"])


def _towards(start: Point, end: Point) -> Point:
    """The point where the curve of a corner ends, at most half-way to the next corner."""
    (ax, ay), (bx, by) = start, end
    length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
    part = min(0.5, _CORNER / length) if length else 0.0
    return round(ax + part * (bx - ax), 1), round(ay + part * (by - ay), 1)
