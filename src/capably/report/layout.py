"""Colour, and tables that fit a width. Everything reads the same without colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.escaping import printable
from capably.report.safe import clip, columns, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["HARD_SPACE", "Cell", "Style", "fits", "table"]

_SGR = {"good": "32", "fair": "36", "warn": "33", "bad": "31", "doubt": "35", "dim": "2", "strong": "1"}
_GAP = 2
HARD_SPACE = "\N{NO-BREAK SPACE}"
"""No line ends at this one. It cannot come from a file, where it would have been spelled out."""


@dataclass(frozen=True, slots=True)
class Style:
    """What the terminal takes.

    Attributes:
        width: Columns.
        colour: Escape sequences for colours may be written.
        ascii_only: Nothing but ASCII may be written.
    """

    width: int = 80
    colour: bool = False
    ascii_only: bool = False

    def paint(self, text: str, tone: str) -> str:
        """*text* in the colour of *tone*, or as it is."""
        return f"\x1b[{_SGR[tone]}m{text}\x1b[0m" if self.colour and tone and text else text

    def safe(self, text: str) -> str:
        """*text* from outside, fit to print."""
        return printable(text, ascii_only=self.ascii_only)

    def clip(self, text: str, width: int) -> str:
        """*text* from outside, fit to print and at most *width* columns."""
        return clip(self.safe(text), width, ascii_only=self.ascii_only)

    def wrap(self, text: str, first: str = "", rest: str | None = None, tone: str = "") -> Iterator[str]:
        """Lines of printable *text*; only the lead of the first line is painted."""
        lines = (line.replace(HARD_SPACE, " ") for line in wrap(text, self.width, first, rest))
        for index, line in enumerate(lines):
            yield self.paint(first, tone) + line[len(first) :] if index == 0 and tone else line


@dataclass(frozen=True, slots=True)
class Cell:
    """Printable text and its tone."""

    text: str
    tone: str = ""


def _widths(rows: Sequence[Sequence[Cell]]) -> list[int]:
    return [max(columns(cell.text) for cell in column) for column in zip(*rows, strict=True)]


def fits(rows: Sequence[Sequence[Cell]], width: int) -> bool:
    """Whether the table is no wider than *width* columns."""
    widths = _widths(rows)
    return sum(widths) + _GAP * (len(widths) - 1) <= width


def table(rows: Sequence[Sequence[Cell]], style: Style, fixed: int = 1) -> Iterator[str]:
    """A table without lines, in blocks of columns where it is too wide.

    Args:
        rows: Of equal length; header rows included.
        style: How wide, and whether in colour.
        fixed: How many columns are repeated at the left of each block.
    """
    widths = _widths(rows)
    lead = sum(widths[:fixed]) + _GAP * fixed
    blocks: list[list[int]] = [[]]
    used = lead
    for index in range(fixed, len(widths)):
        if blocks[-1] and used + widths[index] > style.width:
            blocks.append([])
            used = lead
        blocks[-1].append(index)
        used += widths[index] + _GAP
    for number, block in enumerate(blocks):
        if number:
            yield ""
        for row in rows:
            line = ""
            pending = 0
            for index in (*range(fixed), *block):
                cell = row[index]
                line += " " * pending + style.paint(cell.text, cell.tone)
                pending = widths[index] - columns(cell.text) + _GAP
            if line.strip():
                yield line.rstrip()
