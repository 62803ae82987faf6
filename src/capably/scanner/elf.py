"""ELF files of a host: which parts may hold GPU code, and what the file needs.

Source: System V ABI, "Object Files"; sections as written by nvcc 11.8 to 13.5.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from capably.scanner.layout import FATBIN_SECTIONS, UNKNOWN_SECTION, Layout, Region, text_at, without_overlaps

if TYPE_CHECKING:
    from collections.abc import Callable

    from capably.scanner.limits import Limits

__all__ = ["elf_end", "elf_ranges", "read_elf"]

_FOREIGN = {
    ".hip_fatbin": "code for GPUs by AMD",
    ".llvm.offloading": "offloading images of LLVM",
}
_DECISIVE = tuple(name.encode() + b"\0" for name in (*FATBIN_SECTIONS, *_FOREIGN))
_MACHINES = {21: "ppc64le", 62: "x86_64", 183: "aarch64", 243: "riscv"}
_SECTION = struct.Struct("<IIQQQQII16x")
_STRTAB, _DYNAMIC, _NOBITS = 3, 6, 8
_ALLOC, _EXEC = 0x2, 0x4
_PT_LOAD, _PT_DYNAMIC = 1, 2
_KEPT_FIRST, _KEPT_BEFORE, _KEPT_BEHIND = 4 << 20, 48 << 20, 16 << 20
_MOST_SEGMENTS, _MOST_BEHIND = 64, 4  # libraries have a dozen; patchelf puts one or two behind the section table


def _segments(head: bytes) -> list[tuple[int, int, int]] | None:
    """Kind, offset and size of each segment; None where the beginning of the file does not tell all."""
    if len(head) < 64:
        return None
    (phoff,) = struct.unpack_from("<Q", head, 32)
    (count,) = struct.unpack_from("<H", head, 56)
    if count > _MOST_SEGMENTS or phoff + count * 56 > len(head):
        return None
    rows = (struct.unpack_from("<I4xQ16xQ", head, phoff + i * 56) for i in range(count))
    return [(kind, offset, size) for kind, offset, size in rows]


def elf_ranges(head: bytes) -> list[tuple[int, int]]:
    """Which bytes of an ELF file `read_elf` is going to ask for, as far as its first bytes tell.

    Args:
        head: The beginning of the file, program headers included.

    Returns:
        Pairs of start and end, as offsets in the file.
    """
    # The names of needed libraries are in .dynstr, in the first segment (1.7 MB into vLLM's); patchelf moves it into a
    # segment of its own behind the section table (11 MB in PyTorch's). The names of sections lie between what is loaded
    # and that table; LLVM's linker puts the symbol names of a library that is not stripped between these two (36 MB in
    # Triton's).
    first, loaded, room = _KEPT_FIRST, 0, _KEPT_BEHIND
    ranges: list[tuple[int, int]] = []
    dynamic: list[tuple[int, int]] = []
    shoff = struct.unpack_from("<Q", head, 40)[0] if len(head) >= 64 else 0
    for kind, offset, size in _segments(head) or ():
        if kind == _PT_DYNAMIC:
            dynamic = [(offset, offset + min(size, 64 << 10))]
        elif kind == _PT_LOAD and offset >= shoff > 0:
            if room > 0 and len(ranges) < _MOST_BEHIND:
                ranges.append((offset, offset + min(size, room)))
                room -= size
        elif kind == _PT_LOAD:
            loaded = max(loaded, offset + size)
            if offset == 0:
                first = min(_KEPT_FIRST, size)
    if shoff:
        ranges.append((max(0, shoff - _KEPT_BEFORE, min(loaded, shoff)), shoff + (4 << 20)))
    return [(0, first), *dynamic, *ranges]


def elf_end(head: bytes) -> int | None:
    """Where the part of an ELF file ends that is loaded, as far as its first bytes tell.

    Symbols and what is for debuggers lie behind it, 308 of the 477 MB of Triton's library.

    Args:
        head: The beginning of the file, program headers included.
    """
    return max((offset + size for kind, offset, size in _segments(head) or () if kind == _PT_LOAD), default=None)


def read_elf(read: Callable[[int, int], bytes], size: int, limits: Limits) -> Layout:
    """Read the headers of an ELF64 file.

    Where there is no section table the whole file is one region, named `UNKNOWN_SECTION`.

    Args:
        read: Gives the bytes at an offset, fewer at the end of the file.
        size: Of the file.
        limits: Bounds for sections and names.
    """
    layout = Layout()
    whole = [Region(UNKNOWN_SECTION, 0, size, named=False)]
    header = read(0, 64)
    if len(header) < 64:
        layout.problems.append(("truncated-file", "It ends within its ELF header."))
        return layout
    machine, _, _, _, shoff, _, _, _, _, shsize, count, names_index = struct.unpack_from("<HIQQQIHHHHHH", header, 18)
    layout.machine = _MACHINES.get(machine, f"EM_{machine}")
    if not shoff:
        layout.regions = whole
        return layout
    if shsize != 64:
        layout.problems.append(("damaged-elf", f"Its section headers are said to have {shsize} bytes, not 64."))
        layout.regions = whole
        return layout
    first = read(shoff, 64)
    if len(first) == 64:
        # More than 65,279 sections: the real numbers are in section 0.
        fields = _SECTION.unpack(first)
        count = count or fields[5]
        names_index = fields[6] if names_index == 0xFFFF else names_index
    if not count and len(first) == 64:
        layout.regions = whole
        return layout
    if len(first) < 64 or shoff + count * 64 > size:
        layout.problems.append(
            ("truncated-file", f"Its section table should end at byte {shoff + count * 64}; the file has {size} bytes.")
        )
        layout.regions = whole
        return layout
    if count > limits.sections:
        layout.problems.append(("limit-reached", f"It has {count} sections; the first {limits.sections} were read."))
        count = limits.sections
    table = read(shoff, count * 64)
    if len(table) < count * 64:  # the file shrinks while it is read
        layout.problems.append(("truncated-file", "Its section table is cut off."))
        layout.regions = whole
        return layout
    sections = list(_SECTION.iter_unpack(table))
    _collect_regions(sections, _names(read, size, sections, names_index, layout), size, layout)
    layout.needed = lambda: _needed(read, sections, size, limits)
    return layout


_Row = tuple[int, int, int, int, int, int, int, int]


def _names(
    read: Callable[[int, int], bytes], size: int, sections: list[_Row], index: int, layout: Layout
) -> bytes | None:
    """The table of names; None where it cannot be read."""
    if index >= len(sections) or sections[index][1] == _NOBITS or sections[index][4] + sections[index][5] > size:
        layout.problems.append(("damaged-elf", "The names of its sections cannot be read."))
        return None
    # Names of 70,000 sections were never longer than this; what lies behind stays without a name.
    return read(sections[index][4], min(sections[index][5], 16 << 20))


def _collect_regions(sections: list[_Row], strings: bytes | None, size: int, layout: Layout) -> None:
    found: list[Region] = []
    outside = False
    for start, kind, flags, _, offset, length, _, _ in sections:
        if kind in (0, _NOBITS) or not length:
            continue
        named = strings is not None and strings.startswith(_DECISIVE, start)
        if not named and (not flags & _ALLOC or flags & _EXEC):
            continue  # most of the 70,000 sections of an object: their names are not read
        name = UNKNOWN_SECTION if strings is None else text_at(strings, start, 512)
        if name in _FOREIGN:
            layout.problems.append(
                ("foreign-gpu-code", f"Its section {name} holds {_FOREIGN[name]}, which is not looked into.")
            )
            continue
        named = name in FATBIN_SECTIONS
        end = offset + length
        if end > size:
            outside = True
            end = size
        if offset < end:
            found.append(Region(name, offset, end, named))
    if outside:
        layout.problems.append(("truncated-file", f"It has sections that end behind its {size} bytes."))
    layout.regions = without_overlaps(found)


def _needed(read: Callable[[int, int], bytes], sections: list[_Row], size: int, limits: Limits) -> tuple[str, ...]:
    dynamic = next((row for row in sections if row[1] == _DYNAMIC), None)
    if dynamic is None or dynamic[6] >= len(sections):
        return ()
    if dynamic[4] >= size:
        return ()
    table = read(dynamic[4], min(dynamic[5], 64 << 10))
    offsets: list[int] = []
    strings = sections[dynamic[6]]
    for tag, value in struct.iter_unpack("<QQ", table[: len(table) // 16 * 16]):
        if tag == 0 or len(offsets) >= limits.needed:
            break
        if tag == 1:  # DT_NEEDED
            offsets.append(value)
        elif tag == 5 and value and strings[3] != value:  # DT_STRTAB, which is what the loader of libraries uses
            # Old patchelf reorders sections and leaves the link of .dynamic as it was.
            strings = next((row for row in sections if row[1] == _STRTAB and row[3] == value), strings)
    if strings[1] == _NOBITS or strings[4] >= size:
        return ()
    offsets = [offset for offset in offsets if offset < strings[5]]
    if not offsets:
        return ()
    # One request for all names; they lie together unless somebody scattered them.
    low = min(offsets)
    span = min(max(offsets) + 4096, strings[5], low + (1 << 20)) - low
    text = read(strings[4] + low, span)
    return tuple(text_at(text, offset - low, 4096) for offset in offsets if offset - low < span)
