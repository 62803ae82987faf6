"""PE files (.dll, .pyd, .exe) and COFF objects (.obj): which parts may hold GPU code, and what the file needs.

Source: Microsoft "PE Format"; sections as in files of nvcc 11.7 to 13.0 for Windows.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

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
    from collections.abc import Callable, Iterator

    from capably.scanner.limits import Limits

__all__ = ["coff_ranges", "is_coff", "is_pe", "pe_ranges", "read_coff", "read_pe"]

_MACHINES = {0x14C: "x86", 0x1C4: "arm", 0x8664: "x86_64", 0xAA64: "aarch64"}
_FOREIGN = {".hip_fat": "code for GPUs by AMD", ".llvm.of": "offloading images of LLVM"}
# machine, sections, time, symbol table, symbols, size of the optional header, characteristics
_HEADER = struct.Struct("<HHIIIHH")
# Objects of more than 65,279 sections (/bigobj): machine, sections, symbol table, symbols
_BIG_HEADER = struct.Struct("<6xH36xIII")
_BIG_START = b"\0\0\xff\xff"
_BIG_CLASS = bytes.fromhex("c7a1bad1eebaa94baf20faf66aa4dcb8")
# name, virtual size and address, raw size and offset, offset and number of relocations, characteristics
_SECTION = struct.Struct("<8sIIIII4xH2xI")
# Value and number of the section.
_SYMBOL, _BIG_SYMBOL = struct.Struct("<8xIh4x"), struct.Struct("<8xIi4x")
_RELOCATION = struct.Struct("<II2x")  # where, symbol
_MOST_SYMBOLS = 16 << 20  # bytes of them that are read of an object
_CODE, _INITIALISED, _INFO, _REMOVE, _EXECUTE = 0x20, 0x40, 0x200, 0x800, 0x20000000
_WRAPPERS = WRAPPER_SECTIONS[1].encode()
_IMPORTS = 1  # index of the data directory
_LONG_NAME = re.compile(rb"/(?:([0-9]{1,7})|/([A-Za-z0-9+/]{6}))\0*")
_PRINTABLE = re.compile(rb"[\x21-\x7e]{1,8}\0*")


class _Row(NamedTuple):
    """A row of the section table."""

    name: bytes
    size: int
    address: int
    raw_size: int
    raw_offset: int
    relocations: int
    relocation_count: int
    flags: int


@dataclass(slots=True, eq=False, repr=False)
class _Headers:
    """The headers of either kind of file.

    Attributes:
        machine: The number of the processor.
        count: Sections as stated.
        rows: Those that are there.
        strings: Offset of the string table; 0 if there is none.
        symbols: Offset of the symbols.
        symbol: How a symbol is stored.
        wide: A PE file of 64 bits.
        base: The address at which a PE file wants to be loaded.
        align: What its sections are aligned to when it is loaded.
        imports: Address of the import directory; 0 if there is none.
    """

    machine: int
    count: int
    strings: int
    symbols: int = 0
    symbol: struct.Struct = _SYMBOL
    wide: bool = False
    base: int = 0
    align: int = 0
    imports: int = 0
    rows: list[_Row] = field(default_factory=list)


def is_pe(head: bytes) -> bool:
    """Whether a file begins like a PE file; its headers lie in the first bytes of all that load."""
    if head[:2] != b"MZ" or len(head) < 64:
        return False
    start = int.from_bytes(head[60:64], "little")
    return head[start : start + 4] == b"PE\0\0"


def is_coff(head: bytes) -> bool:
    """Whether a file begins like a COFF object, which has no magic number."""
    if head[:4] == _BIG_START:
        return head[12:28] == _BIG_CLASS and len(head) >= 56
    if len(head) < 60:
        return False
    machine, count, _, symbols, _, optional, _ = _HEADER.unpack_from(head)
    if machine not in _MACHINES or optional or not 0 < count <= 0xFEFF:
        return False
    behind = 20 + 40 * count
    name, _, _, _, offset, _, _, _ = _SECTION.unpack_from(head, 20)
    return (not symbols or symbols >= behind) and (not offset or offset >= behind) and bool(_PRINTABLE.fullmatch(name))


def pe_ranges(head: bytes) -> list[tuple[int, int]]:
    """Which bytes of a PE file `read_pe` is going to ask for, as far as its first bytes tell."""
    ranges = [(0, 1 << 20)]
    headers, _ = _pe_headers(lambda offset, size: head[offset : offset + size], 4096)
    if headers is not None:
        imports = _file_offset(headers.rows, headers.imports)
        if imports is not None:
            # The names lie behind the directory as a rule.
            ranges.append((max(0, imports - (64 << 10)), imports + (1 << 20)))
        if headers.strings:
            ranges.append((headers.strings, headers.strings + (1 << 20)))
        named = (row for row in headers.rows if row.name == _WRAPPERS)
        ranges += [(row.raw_offset, row.raw_offset + min(row.raw_size, 1 << 20)) for row in named]
    return ranges


def coff_ranges(head: bytes) -> list[tuple[int, int]]:
    """Which bytes of a COFF object `read_coff` is going to ask for."""
    strings = _coff_headers(head)[0].strings if is_coff(head) else 0
    return [(0, 4 << 20), (strings, strings + (4 << 20))]


def read_pe(read: Callable[[int, int], bytes], size: int, limits: Limits) -> Layout:
    """Read the headers of a PE file, of 32 or 64 bits.

    Where no section can be read the whole file is one region, named `UNKNOWN_SECTION`.

    Args:
        read: Gives the bytes at an offset, fewer at the end of the file.
        size: Of the file.
        limits: Bounds for sections and names.
    """
    headers, start = _pe_headers(read, limits.sections)
    layout = Layout()
    if headers is None:
        layout.problems.append(("truncated-file", "It ends within its PE header."))
        layout.regions = [Region(UNKNOWN_SECTION, 0, size, named=False)]
        return layout
    _fill(layout, headers, read, size, limits, image=True)
    if any(row.raw_offset < start and row.raw_size and row.raw_offset for row in headers.rows):
        layout.problems.append(("damaged-pe", "It has sections that begin within its headers."))
    layout.needed = lambda: _needed(headers, read, limits)
    if headers.wide:
        layout.prelinked = lambda: prelinked_fatbins(_wrappers(headers, read, limits))
    return layout


def read_coff(read: Callable[[int, int], bytes], size: int, limits: Limits) -> Layout:
    """Read the headers of a COFF object. See `read_pe`."""
    layout = Layout()
    head = read(0, 60)
    if not is_coff(head):
        layout.problems.append(("truncated-file", "It ends within its COFF header."))
        return layout
    headers, table = _coff_headers(head)
    headers.rows = _rows(read, table, min(headers.count, limits.sections))
    _fill(layout, headers, read, size, limits, image=False)
    layout.prelinked = lambda: prelinked_fatbins(_object_wrappers(headers, read, limits))
    return layout


def _pe_headers(read: Callable[[int, int], bytes], most: int) -> tuple[_Headers | None, int]:
    """The headers, and the offset behind them."""
    start = int.from_bytes(read(60, 4), "little")
    head = read(start, 24 + 256)
    if len(head) < 24:
        return None, 0
    machine, count, _, symbols, symbol_count, optional, _ = _HEADER.unpack_from(head, 4)
    headers = _Headers(machine, count, symbols + symbol_count * _SYMBOL.size if symbols else 0)
    kind = int.from_bytes(head[24:26], "little")
    directories = {0x10B: 96, 0x20B: 112}.get(kind)
    headers.wide = kind == 0x20B
    headers.align = int.from_bytes(head[24 + 32 : 24 + 36], "little")
    headers.base = int.from_bytes(head[24 + 24 : 24 + 32], "little")
    if directories is not None and optional >= directories + 8 * (_IMPORTS + 1):
        stated = int.from_bytes(head[24 + directories - 4 : 24 + directories], "little")
        if stated > _IMPORTS:
            at = 24 + directories + 8 * _IMPORTS
            headers.imports = int.from_bytes(head[at : at + 4], "little")
    table = start + 24 + optional
    headers.rows = _rows(read, table, min(count, most))
    return headers, table + 40 * len(headers.rows)


def _coff_headers(head: bytes) -> tuple[_Headers, int]:
    """The headers without their rows, and the offset of these."""
    if head[:4] == _BIG_START:
        machine, count, symbols, symbol_count = _BIG_HEADER.unpack_from(head)
        strings = symbols + symbol_count * _BIG_SYMBOL.size
        return _Headers(machine, count, strings if symbols else 0, symbols, _BIG_SYMBOL), 56
    machine, count, _, symbols, symbol_count, _, _ = _HEADER.unpack_from(head)
    return _Headers(machine, count, symbols + symbol_count * _SYMBOL.size if symbols else 0, symbols), 20


def _rows(read: Callable[[int, int], bytes], offset: int, count: int) -> list[_Row]:
    table = read(offset, count * 40)
    return [_Row(*fields) for fields in _SECTION.iter_unpack(table[: len(table) // 40 * 40])]


def _fill(
    layout: Layout,
    headers: _Headers,
    read: Callable[[int, int], bytes],
    size: int,
    limits: Limits,
    *,
    image: bool,
) -> None:
    layout.machine = _MACHINES.get(headers.machine, f"PE_{headers.machine:#06x}")
    if headers.count > limits.sections:
        layout.problems.append(
            ("limit-reached", f"It has {headers.count} sections; the first {limits.sections} were read.")
        )
    elif len(headers.rows) < headers.count:
        layout.problems.append(
            ("truncated-file", f"It should have {headers.count} sections; {len(headers.rows)} of them are there.")
        )
    if not headers.rows:
        layout.regions = [Region(UNKNOWN_SECTION, 0, size, named=False)]
        return
    found: list[Region] = []
    outside = False
    for row, name in zip(headers.rows, _names(headers, read, layout), strict=True):
        length = min(row.raw_size, row.size) if image and row.size else row.raw_size
        if not length or not row.raw_offset:
            continue
        # The linker sorts by what follows the `$` and drops it.
        base = name.partition("$")[0]
        if (foreign := _FOREIGN.get(base[:8])) is not None:
            layout.problems.append(
                ("foreign-gpu-code", f"Its section {name} holds {foreign}, which is not looked into.")
            )
            continue
        named = base in FATBIN_SECTIONS
        if not named and (not row.flags & _INITIALISED or row.flags & (_CODE | _EXECUTE | _INFO | _REMOVE)):
            continue
        end = row.raw_offset + length
        if end > size:
            outside = True
            end = size
        if row.raw_offset < end:
            # Sections of an object are packed without regard to alignment, and each says its own.
            origin, align = (0, headers.align) if image else (row.raw_offset, 1 << (row.flags >> 20 & 15) >> 1)
            found.append(Region(base if named else name, row.raw_offset, end, named, origin, align))
    if outside:
        layout.problems.append(("truncated-file", f"It has sections that end behind its {size} bytes."))
    layout.regions = without_overlaps(found)


def _names(headers: _Headers, read: Callable[[int, int], bytes], layout: Layout) -> list[str]:
    """The names of all sections: eight bytes, or an offset in the string table."""
    long = {row.name: _name_offset(row.name) for row in headers.rows if row.name.startswith(b"/")}
    offsets = [offset for offset in long.values() if offset is not None]
    strings = b""
    if offsets and headers.strings:
        strings = read(headers.strings, min(max(offsets) + 4096, 16 << 20))
    result = []
    for row in headers.rows:
        offset = long.get(row.name)
        if offset is None:
            result.append(text_at(row.name, 0, 8))
        elif 4 <= offset < len(strings):
            result.append(text_at(strings, offset, 512))
        else:
            result.append(UNKNOWN_SECTION)
    if UNKNOWN_SECTION in result:
        layout.problems.append(("damaged-pe", "The names of its sections cannot be read."))
    return result


def _name_offset(name: bytes) -> int | None:
    match = _LONG_NAME.fullmatch(name)
    if match is None:
        return None
    if match[1] is not None:
        return int(match[1])
    import base64  # noqa: PLC0415 - for objects with very many names only

    return int.from_bytes(base64.b64decode(b"AA" + match[2]), "big")


def _file_offset(rows: list[_Row], address: int) -> int | None:
    """Where in the file the byte at an address lies, by the last section that begins before it."""
    if not address:
        return None
    table = sorted((row.address, row.raw_size, row.raw_offset) for row in rows)
    return offset_at(table, address)


def _needed(headers: _Headers, read: Callable[[int, int], bytes], limits: Limits) -> tuple[str, ...]:
    """The names in the import directory: rows of 20 bytes, the fourth word of each the address of a name."""
    start = _file_offset(headers.rows, headers.imports)
    if start is None:
        return ()
    table = sorted((row.address, row.raw_size, row.raw_offset) for row in headers.rows)
    offsets: list[int] = []
    rows = read(start, 20 * limits.needed)
    for position in range(0, len(rows) // 20 * 20, 20):
        address = int.from_bytes(rows[position + 12 : position + 16], "little")
        if not address:
            break
        if (offset := offset_at(table, address)) is not None:
            offsets.append(offset)
    if not offsets:
        return ()
    # One request for all names; they lie together unless somebody scattered them.
    low = min(offsets)
    span = min(max(offsets) + 512, low + (1 << 20)) - low
    text = read(low, span)
    names = (text_at(text, offset - low, 512) for offset in offsets if offset - low < len(text))
    return tuple(dict.fromkeys(name for name in names if name))


def _wrapper_rows(
    headers: _Headers, read: Callable[[int, int], bytes], limits: Limits
) -> Iterator[tuple[_Row, list[tuple[int, int, int]]]]:
    """Each section for wrappers, and what it holds by `wrappers`."""
    for row, name in zip(headers.rows, _names(headers, read, Layout()), strict=True):
        if name.partition("$")[0] in WRAPPER_SECTIONS and row.raw_offset:
            data = read(row.raw_offset, min(row.raw_size, limits.entries * WRAPPER_BYTES))
            yield row, list(wrappers(data))


def _wrappers(headers: _Headers, read: Callable[[int, int], bytes], limits: Limits) -> Iterator[tuple[int, int | None]]:
    """Versions and offsets of the fatbins that the wrappers of a PE file name, by their addresses."""
    placed = sorted((row.address, row.raw_size, row.raw_offset) for row in headers.rows if row.raw_offset)
    for _, found in _wrapper_rows(headers, read, limits):
        for _, version, pointer in found:
            yield version, offset_at(placed, pointer - headers.base)


def _object_wrappers(
    headers: _Headers, read: Callable[[int, int], bytes], limits: Limits
) -> Iterator[tuple[int, int | None]]:
    """As `_wrappers`, of an object: to each pointer a relocation adds the address of a symbol, of a section."""
    step = headers.symbol.size
    for row, found in _wrapper_rows(headers, read, limits):
        pointers = {offset + POINTER: (version, pointer) for offset, version, pointer in found}
        table = read(row.relocations, row.relocation_count * _RELOCATION.size) if row.relocations else b""
        rows = _RELOCATION.iter_unpack(table[: len(table) // _RELOCATION.size * _RELOCATION.size])
        wanted = [(*pointers[place], symbol) for place, symbol in rows if place in pointers]
        if not wanted:
            continue
        first = min(symbol for _, _, symbol in wanted)
        span = (max(symbol for _, _, symbol in wanted) + 1 - first) * step
        if span > _MOST_SYMBOLS:
            continue
        symbols = read(headers.symbols + first * step, span)
        for version, pointer, symbol in wanted:
            at = (symbol - first) * step
            if at + step <= len(symbols):
                value, home = headers.symbol.unpack_from(symbols, at)
                if 0 < home <= len(headers.rows):
                    yield version, headers.rows[home - 1].raw_offset + value + pointer
