"""ELF files of a host: which parts may hold GPU code, and what the file needs.

Source: System V ABI, "Object Files"; sections as written by nvcc 11.8 to 13.5.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from capably.scanner.layout import (
    FATBIN_SECTIONS,
    UNKNOWN_SECTION,
    Layout,
    Region,
    offset_at,
    text_at,
    without_overlaps,
)
from capably.scanner.wrappers import POINTER, WRAPPER_BYTES, WRAPPER_SECTIONS, prelinked_fatbins, wrappers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from capably.scanner.limits import Limits

__all__ = ["elf_end", "elf_ranges", "read_elf"]

_FOREIGN = {
    ".hip_fatbin": "code for GPUs by AMD",
    ".llvm.offloading": "offloading images of LLVM",
}
_DECISIVE = tuple(name.encode() + b"\0" for name in (*FATBIN_SECTIONS, *_FOREIGN))
_MACHINES = {21: "ppc64le", 62: "x86_64", 183: "aarch64", 243: "riscv"}
# name, type, flags, address, offset, size, link, info, alignment
_SECTION = struct.Struct("<IIQQQQIIQ8x")
_WRAPPERS = WRAPPER_SECTIONS[0].encode() + b"\0"
_STRTAB, _RELA, _DYNAMIC, _NOBITS = 3, 4, 6, 8
_RELOCATABLE = 1  # type of the file
_ALLOC, _EXEC = 0x2, 0x4
_WRITABLE = 0x2  # of a segment
_PT_LOAD, _PT_DYNAMIC = 1, 2
_KEPT_FIRST, _KEPT_BEFORE, _KEPT_BEHIND, _KEPT_DATA = 4 << 20, 48 << 20, 16 << 20, 1 << 20
_RELOCATION = struct.Struct("<QQq")  # where, symbol and type, addend
_MOST_RELOCATIONS = 16 << 20  # bytes of them that are read; XLA has 6 MB
_SYMBOL = struct.Struct("<6xHQ8x")  # section and value
_MOST_SYMBOLS = 16 << 20  # bytes of them that are read of an object
_MOST_SEGMENTS, _MOST_BEHIND, _MOST_DATA = (
    64,
    4,
    4,
)  # libraries have a dozen; patchelf puts one or two behind the section table


def _segments(head: bytes) -> list[tuple[int, int, int, int]] | None:
    """Kind, flags, offset and size of each segment; None where the beginning of the file does not tell all."""
    if len(head) < 64:
        return None
    (phoff,) = struct.unpack_from("<Q", head, 32)
    (count,) = struct.unpack_from("<H", head, 56)
    if count > _MOST_SEGMENTS or phoff + count * 56 > len(head):
        return None
    rows = (struct.unpack_from("<IIQ16xQ", head, phoff + i * 56) for i in range(count))
    return [(kind, flags, offset, size) for kind, flags, offset, size in rows]


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
    # Triton's). Linkers put the wrappers of fatbins last in the segment of variables, in all of 130 libraries.
    first, loaded, room = _KEPT_FIRST, 0, _KEPT_BEHIND
    ranges: list[tuple[int, int]] = []
    dynamic: list[tuple[int, int]] = []
    data: list[tuple[int, int]] = []
    shoff = struct.unpack_from("<Q", head, 40)[0] if len(head) >= 64 else 0
    for kind, flags, offset, size in _segments(head) or ():
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
            if flags & _WRITABLE and len(data) < _MOST_DATA:
                data.append((max(offset, offset + size - _KEPT_DATA), offset + size))
    if shoff:
        ranges.append((max(0, shoff - _KEPT_BEFORE, min(loaded, shoff)), shoff + (4 << 20)))
    return [(0, first), *dynamic, *data, *ranges]


def elf_end(head: bytes) -> int | None:
    """Where the part of an ELF file ends that is loaded, as far as its first bytes tell.

    Symbols and what is for debuggers lie behind it, 308 of the 477 MB of Triton's library.

    Args:
        head: The beginning of the file, program headers included.
    """
    return max((offset + size for kind, _, offset, size in _segments(head) or () if kind == _PT_LOAD), default=None)


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
    kind, machine, _, _, _, shoff, _, _, _, _, shsize, count, names_index = struct.unpack_from(
        "<HHIQQQIHHHHHH", header, 16
    )
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
    names = _names(read, size, sections, names_index, layout)
    _collect_regions(sections, names, size, layout)
    layout.needed = lambda: _needed(read, sections, size, limits)
    if names is not None:
        places = _object_wrappers if kind == _RELOCATABLE else _wrappers
        layout.prelinked = lambda: prelinked_fatbins(places(read, sections, names, limits))
    return layout


_Row = tuple[int, int, int, int, int, int, int, int, int]


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
    for start, kind, flags, _, offset, length, _, _, align in sections:
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
            found.append(Region(name, offset, end, named, align=align))
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


def _wrapper_sections(
    read: Callable[[int, int], bytes], sections: list[_Row], names: bytes, limits: Limits
) -> Iterator[tuple[int, _Row, list[tuple[int, int, int]]]]:
    """Index and row of each section for wrappers, and what it holds, by `wrappers`."""
    for index, row in enumerate(sections):
        if row[1] not in (0, _NOBITS) and names.startswith(_WRAPPERS, row[0]):
            yield index, row, list(wrappers(read(row[4], min(row[5], limits.entries * WRAPPER_BYTES))))


def _wrappers(
    read: Callable[[int, int], bytes], sections: list[_Row], names: bytes, limits: Limits
) -> Iterator[tuple[int, int | None]]:
    """Versions and offsets of the fatbins that the wrappers of a library or a program name, by their addresses."""
    placed = sorted(
        (row[3], row[5], row[4]) for row in sections if row[2] & _ALLOC and row[1] not in (0, _NOBITS) and row[5]
    )
    for _, row, found in _wrapper_sections(read, sections, names, limits):
        # The linker of LLVM leaves what is to be relocated empty; what others write is what the relocation says.
        relocated: Mapping[int, int] = {}
        if any(not pointer or offset_at(placed, pointer) is None for _, _, pointer in found):
            relocated = _relocated(read, sections, row)
        for offset, version, pointer in found:
            yield version, offset_at(placed, relocated.get(row[3] + offset + POINTER, pointer))


def _relocated(read: Callable[[int, int], bytes], sections: list[_Row], within: _Row) -> dict[int, int]:
    """What is written to addresses in a section when it is loaded, without symbols."""
    start, stop = within[3], within[3] + within[5]
    left = _MOST_RELOCATIONS
    result: dict[int, int] = {}
    for row in sections:
        if row[1] != _RELA or not row[2] & _ALLOC:
            continue
        table = read(row[4], min(row[5], left) // _RELOCATION.size * _RELOCATION.size)
        left -= len(table)
        rows = _RELOCATION.iter_unpack(table[: len(table) // _RELOCATION.size * _RELOCATION.size])
        result |= {place: addend for place, what, addend in rows if start <= place < stop and not what >> 32}
    return result


def _object_wrappers(
    read: Callable[[int, int], bytes], sections: list[_Row], names: bytes, limits: Limits
) -> Iterator[tuple[int, int | None]]:
    """As `_wrappers`, of an object, whose pointers are relocations: a symbol, of a section, and what to add."""
    for index, _, found in _wrapper_sections(read, sections, names, limits):
        versions = {offset + POINTER: version for offset, version, _ in found}
        for row in sections:
            if row[1] != _RELA or row[7] != index or row[6] >= len(sections):
                continue
            # Each wrapper has two pointers.
            table = read(row[4], min(row[5], 2 * len(found) * _RELOCATION.size))
            rows = _RELOCATION.iter_unpack(table[: len(table) // _RELOCATION.size * _RELOCATION.size])
            wanted = [(versions[place], what >> 32, addend) for place, what, addend in rows if place in versions]
            if not wanted:
                continue
            # One request for all symbols: those of sections come first.
            first = min(symbol for _, symbol, _ in wanted)
            span = (max(symbol for _, symbol, _ in wanted) + 1 - first) * _SYMBOL.size
            if span > _MOST_SYMBOLS:
                continue
            symbols = read(sections[row[6]][4] + first * _SYMBOL.size, span)
            for version, symbol, addend in wanted:
                at = (symbol - first) * _SYMBOL.size
                if at + _SYMBOL.size <= len(symbols):
                    home, value = _SYMBOL.unpack_from(symbols, at)
                    if 0 < home < len(sections):
                        yield version, sections[home][4] + value + addend
