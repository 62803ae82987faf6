"""The table of ``capably check``: artifacts by GPUs, whichever way fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.report.cells import cell_of
from capably.report.layout import Cell, fits, table
from capably.report.safe import wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.check.entries import Entry
    from capably.check.grid import Gpu
    from capably.report.layout import Style

__all__ = ["matrix"]

_LABEL = 30


def matrix(entries: Sequence[Entry], names: Sequence[str], gpus: Sequence[Gpu], style: Style) -> Iterator[str]:
    """The table; *names* are those of the GPUs, printable."""
    # Names are broken only where there is no room for them in one line.
    for room in (_LABEL, 12):
        upright = _upright(entries, names, gpus, style, room)
        if fits(upright, style.width):
            yield from table(upright, style)
            return
    across = _transposed(entries, names, gpus, style)
    if fits(across, style.width):
        yield from table(across, style, fixed=2)
        return
    upright = _upright(entries, names, gpus, style, 12)
    yield from min(list(table(upright, style)), list(table(across, style, fixed=2)), key=len)


def _physical(cells: Sequence[Sequence[Cell]], *, bottom: bool = False) -> list[list[Cell]]:
    """One row of cells of several lines each as rows of single-line cells."""
    height = max(map(len, cells))
    padded = [[*([Cell("")] * (height - len(cell)))] for cell in cells]
    full = [[*pad, *cell] if bottom else [*cell, *pad] for cell, pad in zip(cells, padded, strict=True)]
    return [list(row) for row in zip(*full, strict=True)]


def _upright(
    entries: Sequence[Entry], names: Sequence[str], gpus: Sequence[Gpu], style: Style, room: int
) -> list[list[Cell]]:
    """Artifacts as rows, GPUs as columns whose names take *room* columns at most."""
    header = [
        [*(Cell(text, "strong") for text in wrap(name, room)), Cell(str(gpu.device.capability), "dim")]
        for name, gpu in zip(names, gpus, strict=True)
    ]
    rows = _physical([[Cell("")], *header], bottom=True)
    for entry in entries:
        title = Cell(style.clip(entry.label, _LABEL), "strong")
        if any(line.alternatives for line in entry.lines):
            rows.append([title, *map(cell_of, entry.whole)])
        for line in entry.lines:
            texts = wrap(style.safe(", ".join(line.alternatives)), _LABEL, "  ")
            lead = [Cell(text) for text in texts] if line.alternatives else [title]
            rows += _physical([lead, *([cell_of(fare)] for fare in line.fares)])
    return rows


def _transposed(entries: Sequence[Entry], names: Sequence[str], gpus: Sequence[Gpu], style: Style) -> list[list[Cell]]:
    """GPUs as rows, artifacts as columns."""
    columns_ = [(entry, line) for entry in entries for line in entry.lines]
    header = []
    for entry, line in columns_:
        texts = [*_title(entry, style), *wrap(style.safe(", ".join(line.alternatives)), 16)]
        header.append([Cell(text, "strong") for text in texts])
    rows = _physical([[Cell("")], [Cell("")], *header], bottom=True)
    for index, (name, gpu) in enumerate(zip(names, gpus, strict=True)):
        lead = [Cell(style.clip(name, 28), "strong"), Cell(str(gpu.device.capability).rjust(4), "dim")]
        rows.append([*lead, *(cell_of(line.fares[index]) for _, line in columns_)])
    return rows


def _title(entry: Entry, style: Style) -> list[str]:
    """The name above a column: the version goes below it."""
    if entry.label == entry.rows[0].called and entry.rows[0].artifact.name is not None:
        return [style.clip(text, 22) for text in entry.label.split(" ")]
    return [style.clip(entry.label, 26)]
