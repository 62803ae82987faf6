"""Text that came from files: measured and cut to size. What makes it safe to print is in `capably.escaping`."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from capably.escaping import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["clip", "columns", "printable", "wrap"]


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def columns(text: str) -> int:
    """How many terminal columns printable *text* takes.

    >>> columns("abc"), columns("語")
    (3, 2)
    """
    return len(text) if text.isascii() else sum(map(_cells, text))


def clip(text: str, width: int, *, ascii_only: bool = False) -> str:
    """*text* cut in the middle to at most *width* columns: both ends of a path tell more than its middle.

    >>> clip("/very/long/path/to/libfoo.so", 16, ascii_only=True)
    '/very/...bfoo.so'
    """
    if columns(text) <= width:
        return text
    mark = "..." if ascii_only else "…"
    room = width - columns(mark)
    if room < 2:
        return _head(text, width)
    # The end of a path names the file, so it gets the larger half.
    head = _head(text, room // 2)
    tail = _head(text[::-1], room - columns(head))[::-1]
    return head + mark + tail


def _head(text: str, width: int) -> str:
    taken = 0
    for index, character in enumerate(text):
        taken += _cells(character)
        if taken > width:
            return text[:index]
    return text


def wrap(text: str, width: int, first: str = "", rest: str | None = None) -> Iterator[str]:
    """Lines of at most *width* columns; *first* leads the first one and *rest* the others.

    Words are kept whole unless one alone is too long for a line.

    >>> list(wrap("one two three", 9, "- "))
    ['- one two', '  three']
    """
    # Under a lead that holds a name nothing is as wide as it: there would be no room, line after line.
    rest = " " * min(columns(first), width // 2) if rest is None else _head(rest, width // 2)
    lead, line = first, ""
    for word in text.split(" "):
        left = word
        if line and columns(lead) + columns(line) + 1 + columns(left) > width:
            yield lead + line
            lead, line = rest, ""
        while left and columns(lead) + columns(left) > width:
            part = _head(left, max(width - columns(lead), 2))
            yield lead + part
            lead, left = rest, left[len(part) :]
        line = f"{line} {left}" if line else left
    if line:
        yield lead + line
