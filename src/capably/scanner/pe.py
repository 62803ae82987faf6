"""PE files (.dll, .pyd, .exe) and COFF objects (.obj): which parts may hold GPU code, and what the file needs.

Source: Microsoft "PE Format"; sections as in files of nvcc 11.7 to 13.0 for Windows.
"""

from __future__ import annotations

import bisect
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from capably.scanner.layout import FATBIN_SECTIONS, UNKNOWN_SECTION, Layout, Region, text_at, without_overlaps

if TYPE_CHECKING:
    from collections.abc import Callable

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
# name, virtual size and address, raw size and offset, characteristics
_SECTION = struct.Struct("<8sIIII12xI")
_SYMBOL, _BIG_SYMBOL = 18, 20
_CODE, _INITIALISED, _INFO, _REMOVE, _EXECUTE = 0x20, 0x40, 0x200, 0x800, 0x20000000
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
    flags: int


@dataclass(slots=True, eq=False, repr=False)
class _Headers:
    """The headers of either kind of file.

    Attributes:
        machine: The number of the processor.
        count: Sections as stated.
        rows: Those that are there.
        strings: Offset of the string table; 0 if there is none.
        imports: Address of the import directory; 0 if there is none.
    """

    machine: int
    count: int
    strings: int
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
    name, _, _, _, offset, _ = _SECTION.unpack_from(head, 20)
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
    return layout


def _pe_headers(read: Callable[[int, int], bytes], most: int) -> tuple[_Headers | None, int]:
    """The headers, and the offset behind them."""
    start = int.from_bytes(read(60, 4), "little")
    head = read(start, 24 + 256)
    if len(head) < 24:
        return None, 0
    machine, count, _, symbols, symbol_count, optional, _ = _HEADER.unpack_from(head, 4)
    headers = _Headers(machine, count, symbols + symbol_count * _SYMBOL if symbols else 0)
    kind = int.from_bytes(head[24:26], "little")
    directories = {0x10B: 96, 0x20B: 112}.get(kind)
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
        strings = symbols + symbol_count * _BIG_SYMBOL
        return _Headers(machine, count, strings if symbols else 0), 56
    machine, count, _, symbols, symbol_count, _, _ = _HEADER.unpack_from(head)
    return _Headers(machine, count, symbols + symbol_count * _SYMBOL if symbols else 0), 20


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
            # Sections of an object are packed without regard to alignment.
            found.append(Region(base if named else name, row.raw_offset, end, named, 0 if image else row.raw_offset))
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
    return _lookup(table, address)


def _lookup(table: list[tuple[int, int, int]], address: int) -> int | None:
    index = bisect.bisect_right(table, (address, 1 << 32, 0)) - 1
    if index < 0 or address - table[index][0] >= table[index][1]:
        return None
    return table[index][2] + address - table[index][0]


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
        if (offset := _lookup(table, address)) is not None:
            offsets.append(offset)
    if not offsets:
        return ()
    # One request for all names; they lie together unless somebody scattered them.
    low = min(offsets)
    span = min(max(offsets) + 512, low + (1 << 20)) - low
    text = read(low, span)
    names = (text_at(text, offset - low, 512) for offset in offsets if offset - low < len(text))
    return tuple(dict.fromkeys(name for name in names if name))
