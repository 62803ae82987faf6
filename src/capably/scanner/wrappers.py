"""What a host says of each of its fatbins: the wrapper that it hands to the CUDA runtime, in a section of its own.

A wrapper has 24 bytes: a magic number, a version, the address of the fatbin and one more. Version 1 is a fatbin as it
was compiled, version 2 one that was linked from relocatable code, which the driver may link again. Sources:
fatbinary_section.h of the CUDA toolkits; files of nvcc 11.8 to 13.5, where each fatbin of the sections for them has one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["POINTER", "WRAPPER_BYTES", "WRAPPER_SECTIONS", "prelinked_fatbins", "wrappers"]

WRAPPER_SECTIONS = (".nvFatBinSegment", ".nvFatBi")  # in PE files names have eight bytes
WRAPPER_BYTES = 24
POINTER = 8
"""Where in a wrapper the address of the fatbin is."""

_WRAPPER = struct.Struct("<IIQ8x")
_MAGIC = 0x466243B1
_PRELINKED = {1: False, 2: True}


def wrappers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset, version and pointer of each wrapper in a section."""
    for offset in range(0, len(data) // WRAPPER_BYTES * WRAPPER_BYTES, WRAPPER_BYTES):
        magic, version, pointer = _WRAPPER.unpack_from(data, offset)
        if magic == _MAGIC:
            yield offset, version, pointer


def prelinked_fatbins(found: Iterable[tuple[int, int | None]]) -> dict[int, bool]:
    """Whether each fatbin was linked from relocatable code, by its offset in the file.

    One of an unknown version, or with wrappers that contradict each other, is left out.

    Args:
        found: Version of each wrapper, and the offset of its fatbin as far as that is known.
    """
    result: dict[int, bool | None] = {}
    for version, offset in found:
        if offset is not None:
            said = _PRELINKED.get(version)
            result[offset] = said if result.get(offset, said) is said else None
    return {offset: said for offset, said in result.items() if said is not None}
