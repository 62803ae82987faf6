"""What the headers of a host file say: which parts of it may hold GPU code, and what it needs."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "FATBIN_SECTIONS",
    "RELOCATABLE_SECTIONS",
    "UNKNOWN_SECTION",
    "Layout",
    "Region",
    "offset_at",
    "text_at",
    "without_overlaps",
]

# In PE files names have eight bytes, so there they are cut.
RELOCATABLE_SECTIONS = ("__nv_relfatbin", "__nv_rel")
FATBIN_SECTIONS = (".nv_fatbin", ".nv_fatb", *RELOCATABLE_SECTIONS)
UNKNOWN_SECTION = "(unknown)"


class Region(NamedTuple):
    """A part of a file that is searched for GPU code.

    Attributes:
        section: Its name in the file.
        start: Offset of its first byte in the file.
        end: Offset behind its last.
        named: It is there for fatbins: whatever is wrong in it is worth a finding.
        origin: From where alignment counts.
        align: What its section is aligned to, in bytes; 0 where nothing says it.
    """

    section: str
    start: int
    end: int
    named: bool
    origin: int = 0
    align: int = 0


@dataclass(slots=True, eq=False, repr=False)
class Layout:
    """What the headers of a file say.

    Attributes:
        regions: In the order of the file, without overlaps.
        machine: The host processor.
        needed: Reads the names of the libraries it needs. They may lie where a stream has to be run again
            for them, so nobody asks this of a file without GPU code.
        prelinked: Reads whether fatbins were linked from relocatable code, by their offsets, as far as the file says
            it. Nobody asks this of a file without fatbins, either.
        problems: Findings as pairs of code and message.
    """

    regions: list[Region] = field(default_factory=list)
    machine: str | None = None
    needed: Callable[[], tuple[str, ...]] = tuple
    prelinked: Callable[[], Mapping[int, bool]] = dict
    problems: list[tuple[str, str]] = field(default_factory=list)


def text_at(strings: bytes, start: int, most: int) -> str:
    """The text that ends at the next NUL, or after *most* bytes."""
    stop = strings.find(b"\0", start, start + most)
    return strings[start : stop if stop >= 0 else start + most].decode("utf-8", "backslashreplace")


def offset_at(placed: list[tuple[int, int, int]], address: int) -> int | None:
    """Where in the file the byte at an address lies; None where no part is loaded there.

    Args:
        placed: Address, size and offset of each part, sorted.
        address: As the file gives them.
    """
    index = bisect.bisect_right(placed, (address, 1 << 64, 0)) - 1
    if index < 0 or address - placed[index][0] >= placed[index][1]:
        return None
    return placed[index][2] + address - placed[index][0]


def without_overlaps(found: list[Region]) -> list[Region]:
    """Cut regions so that each byte lies in one: two sections on the same bytes would count code twice.

    Sections for fatbins go first, else the one that begins first, else the longer.
    """
    result: list[Region] = []
    for named in (True, False):
        taken = sorted(result, key=lambda region: region.start)
        index = 0
        covered = 0
        for region in sorted(
            (region for region in found if region.named is named), key=lambda region: (region.start, -region.end)
        ):
            start = max(region.start, covered)
            while index < len(taken) and taken[index].end <= start:
                index += 1
            at = index
            while start < region.end:
                stop = min(taken[at].start, region.end) if at < len(taken) else region.end
                if start < stop:
                    result.append(region._replace(start=start, end=stop))
                start = max(start, stop if at >= len(taken) else taken[at].end)
                at += 1
            covered = max(covered, region.end)
    return sorted(result, key=lambda region: region.start)
