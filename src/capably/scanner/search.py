"""Where certain bytes are, in much data that hardly ever has them.

What Python has for that, on machine code and tables of numbers, in ns a byte (CPython 3.11, x86-64): for one byte that
is rarer than one in 900 `bytes.find` is the fastest by far, at 0.05; for several `bytes.rfind`, at 0.16 to 0.25; a
regular expression takes 0.3, and `bytes.find` for several 0.3 to 0.5. So the rarest byte of a needle is looked for
first, until it has turned up too often, and then whether the needle is there at all, from the end.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from capably.scanner.limits import Budget
    from capably.scanner.source import Source

__all__ = ["Needle", "Search", "find", "first_match"]

_RARE = 900
_TRIES = 16
_SHORT = 4 << 10  # what a regular expression is through with before Python has called anything a dozen times
# Bytes that are searched for all needles before more are: they stay in the cache, and another thread need not wait for
# the interpreter's lock as long as a search of megabytes takes.
_SPAN = 256 << 10


class Needle(NamedTuple):
    """Bytes to look for.

    Attributes:
        text: The bytes.
        rarest: The index of the one that other data has least.
    """

    text: bytes
    rarest: int = 0


def find(data: bytes, what: Needle, start: int, stop: int) -> int:
    """As ``data.find(what.text, start, stop)``."""
    needle, at = what
    byte = needle[at]
    position, last = start + at, max(stop - len(needle) + at + 1, 0)
    due = position - _TRIES * _RARE
    while position >= due:
        position = data.find(byte, position, last)
        if position < 0:
            return -1
        if data.startswith(needle, position - at):
            return position - at
        position += 1
        due += _RARE
    if data.rfind(needle, position - at, stop) < 0:
        return -1
    match = _pattern(needle).search(data, position - at, stop)
    return -1 if match is None else match.start()


@lru_cache(maxsize=16)
def _pattern(needle: bytes) -> re.Pattern[bytes]:
    return re.compile(re.escape(needle))


def first_match(pattern: re.Pattern[bytes], first: bytes, data: bytes, start: int, stop: int) -> re.Match[bytes] | None:
    """As ``pattern.search(data, start, stop)`` for a pattern whose matches all begin with the byte *first*."""
    position = start
    due = position - _TRIES * _RARE
    while position >= due and stop - position > _SHORT:
        position = data.find(first, position, stop)
        if position < 0:
            return None
        if (match := pattern.match(data, position, stop)) is not None:
            return match
        position += 1
        due += _RARE
    return pattern.search(data, position, stop)


class Search:
    """The next place of each of several needles, the most frequent one first.

    Each byte is searched once per needle at most, for all but the first only as far as another was found: what
    lies within a fatbin is hardly searched at all.
    """

    def __init__(self, source: Source, end: int, needles: tuple[Needle, ...], budget: Budget) -> None:
        self._source = source
        self._end = end
        self._needles = needles
        self._longest = max(len(needle.text) for needle in needles)
        self._budget = budget
        self._base = 0
        self._data = b""
        self._next: list[int] = []  # where each was found
        self._clear: list[int] = []  # before which it is not

    def find(self, position: int) -> tuple[int, int] | None:
        """Offset and index of the first needle at or behind *position*."""
        while position < self._end:
            # So close to the edge of what is at hand that a needle may lie across it, more is needed first.
            if not self._next or not self._base <= position <= self._base + len(self._data) - self._longest:
                self._budget.check_time()
                self._base, self._data = self._source.window(position, self._longest)
                self._next = [-1] * len(self._needles)
                self._clear = [0] * len(self._needles)
            relative = position - self._base
            stop = min(len(self._data), self._end - self._base, relative + _SPAN)
            best, which = stop, -1
            for i, needle in enumerate(self._needles):
                hit = self._next[i]
                if hit < relative:
                    behind = min(stop, best + len(needle.text) - 1)
                    hit = self._next[i] = find(self._data, needle, max(relative, self._clear[i]), behind)
                    if hit < 0:
                        self._clear[i] = behind - len(needle.text) + 1
                if 0 <= hit < best:
                    best, which = hit, i
            if which >= 0:
                return self._base + best, which
            # A needle may lie across the edge, so its length less one is looked at again.
            edge = self._base + stop - self._longest + 1
            if self._base + stop >= self._end or edge <= position:
                return None
            position = edge
        return None
