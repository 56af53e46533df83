"""A table for eyes: columns aligned, one line per row, harmless on a terminal.

Widths come from the first rows, so that rows can stream. On a terminal the widest columns give way
until the table fits; where even that is not enough, each row becomes a block with one line per
column. Elsewhere nothing is cut, so that `grep` finds what is there.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, TextIO

import click
from rich.cells import cell_len, set_cell_size

from otel_traj.safety import visible
from otel_traj.store.results import BATCH, Rows, plain_text

GAP: Final = "  "
NARROWEST: Final = 8
"""A column that has to give way keeps at least this many cells."""


def terminal_width() -> int:
    """Cells per line: what COLUMNS says, else the terminal, else 80."""
    return shutil.get_terminal_size().columns


def write_table(found: Rows, out: TextIO, *, flexible: Collection[str] = ()) -> int:
    """Write rows with a header line; returns how many.

    Args:
        found: Iterated once.
        out: Cut to its width where it is a terminal.
        flexible: Columns that give way before any other does; by default all do.
    """
    available = terminal_width() if out.isatty() else None
    names = [visible(name) for name in found.names]
    values = ([_cell(value, available) for value in row] for row in found.values)
    first = list(itertools.islice(values, BATCH))
    rows: Iterator[list[str]] = itertools.chain(first, values)
    widths = [max(map(cell_len, column)) for column in zip(names, *first, strict=True)]
    if available is not None:
        if not _can_fit(widths, available):
            return _write_blocks(names, rows, out, available)
        widths = _fitted(widths, available, [name in flexible for name in found.names])
        rows = ([cut(*each) for each in zip(row, widths, strict=True)] for row in rows)
        names = [cut(*each) for each in zip(names, widths, strict=True)]
    out.write(_bold(_line(names, widths, found.is_number), out) + "\n")
    out.write(GAP.join("─" * width for width in widths) + "\n")
    n = 0
    for row in rows:
        out.write(_line(row, widths, found.is_number) + "\n")
        n += 1
    return n


def cut(text: str, width: int) -> str:
    """A text in at most `width` cells; the sign `…` says that it went on."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def _cell(value: Any, available: int | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float) and (value == 0 or 1e-4 <= abs(value) < 1e15):
        text = f"{value:.6f}".rstrip("0")  # 0.1 + 0.2 is 0.3 to the eye
        return text + "0" if text.endswith(".") else text
    text = plain_text(value)
    return visible(text if available is None else text[: available + 1])


def _line(cells: Sequence[str], widths: Sequence[int], is_number: Sequence[bool]) -> str:
    parts = []
    for cell, width, is_right in zip(cells, widths, is_number, strict=True):
        padding = " " * (width - cell_len(cell))
        parts.append(padding + cell if is_right else cell + padding)
    return GAP.join(parts).rstrip()


def _can_fit(widths: Sequence[int], available: int) -> bool:
    least = sum(min(width, NARROWEST) for width in widths)
    return least + len(GAP) * (len(widths) - 1) <= available


def _fitted(widths: Sequence[int], available: int, gives_way: Sequence[bool]) -> list[int]:
    """Narrow the widest columns, cell by cell, until all fit."""
    fitted = [min(width, available) for width in widths]
    surplus = sum(fitted) + len(GAP) * (len(fitted) - 1) - available
    columns = range(len(fitted))
    flexible = [at for at in columns if gives_way[at] and fitted[at] > NARROWEST]
    while surplus > 0:
        if not flexible:
            flexible = [at for at in columns if fitted[at] > NARROWEST]
        widest = max(flexible, key=fitted.__getitem__)
        fitted[widest] -= 1
        surplus -= 1
        flexible = [at for at in flexible if fitted[at] > NARROWEST]
    return fitted


def _write_blocks(
    names: Sequence[str], rows: Iterator[Sequence[str]], out: TextIO, available: int
) -> int:
    label = max(map(cell_len, names))
    n = 0
    for n, row in enumerate(rows, start=1):
        title = f"── row {n} "
        out.write(_bold(title + "─" * (available - cell_len(title)), out) + "\n")
        for name, cell in zip(names, row, strict=True):
            out.write(cut(f"{set_cell_size(name, label)}{GAP}{cell}", available) + "\n")
    return n


def _bold(text: str, out: TextIO) -> str:
    return click.style(text, bold=True) if out.isatty() else text
