"""Cubins: ELF files of the machine EM_CUDA.

Two layouts are in use, told apart by the ABI version in the identification: 7 (toolkits up to 12.9 for
architectures up to 9.0) and 8 (all of CUDA 13, and 10.0 and later from 12.8 on). Sources: output of ptxas
11.7 to 13.5 for every target; names by cuobjdump 13.5.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from capably.arch import ComputeCapability, Suffix, Target
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "EM_CUDA",
    "Cubin",
    "CubinError",
    "CubinHeader",
    "Row",
    "SectionTable",
    "has_kernel_prefix",
    "noted_toolkit",
    "read_cubin",
    "read_header",
    "section_table",
    "whole_size",
]

Row = tuple[int, int, int, int, int, int]

EM_CUDA = 190
_NV_COMPAT = 0x70000086
_NOTE = 7
_TELLING = (_NV_COMPAT, _NOTE)
# Code and data, symbols, strings, relocations and notes; what NVIDIA notes of kernels.
_STORED = frozenset((1, 2, 3, 4, _NOTE, 9, 0x70000000, _NV_COMPAT))
# name, type, offset, size, link and info of a section
_WIDE = struct.Struct("<II8x8xQQII16x")
_NARROW = struct.Struct("<II4x4xIIII8x")
_ARCH_OPTION = re.compile(rb"-arch[= ]{1,4}sm_([0-9]{2,3})([af]?)(?![0-9A-Za-z_])")
_RELEASE = re.compile(rb"release ([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")


class CubinError(Exception):
    """A cubin cannot be read. The text is a sentence part: "its section table lies outside"."""


class CubinHeader(NamedTuple):
    """The header of a cubin.

    Attributes:
        wide: A 64-bit file; old toolkits wrote 32-bit ones too.
        abi: 7 or 8; others are unknown.
        relocatable: It is of type ET_REL.
        version: ``e_version``.
        flags: ``e_flags``.
        section_offset: Of the section table, from the start of the cubin.
        section_count: Number of sections as stated here; 0 may mean "see section 0".
        names_index: Section with the names.
        end: Where the tables named by the header end; the cubin is at least that long.
    """

    wide: bool
    abi: int
    relocatable: bool
    version: int
    flags: int
    section_offset: int
    section_count: int
    names_index: int
    end: int

    @property
    def target(self) -> Target | None:
        """What it was compiled for, as far as the header tells: without ``f``, and from CUDA 13 without ``a``."""
        suffix = Suffix.NONE
        if self.abi == 7:
            number = self.flags & 0xFF
            # Hand-assembled cubins of cuBLAS for 5.0 to 6.1 have this bit set, where it means nothing.
            if self.flags & 0x800 and number >= 90:
                suffix = Suffix.ARCH_SPECIFIC
        elif self.abi == 8:
            number = self.flags >> 8 & 0xFF
            if self.flags & 0x8:
                suffix = Suffix.ARCH_SPECIFIC
        else:
            return None
        return Target(ComputeCapability.from_number(number), suffix) if number >= 10 else None

    @property
    def toolkit(self) -> CudaVersion | None:
        """The toolkit as stated in ``e_version`` under ABI 7 (0x7e is 12.6); None for others."""
        return _toolkit(self.version) if self.abi == 7 and self.version < 130 else None


class Cubin(NamedTuple):
    """What a whole cubin tells.

    Attributes:
        target: What it was compiled for, with its suffix as far as any record tells.
        relocatable: It still has to be linked.
        kernels: It has a ``.text.*`` section.
        toolkit: The toolkit that made it.
    """

    target: Target | None
    relocatable: bool
    kernels: bool
    toolkit: CudaVersion | None


def read_header(data: bytes) -> CubinHeader:
    """Read the first 64 bytes of a cubin.

    Raises:
        CubinError: Not the header of a cubin.
    """
    if len(data) < 52 or data[:4] != b"\x7fELF" or data[5] != 1 or data[4] not in (1, 2):
        raise CubinError("it is not a little-endian ELF file")
    wide = data[4] == 2
    if wide and len(data) < 64:
        raise CubinError("its header is cut off")
    layout = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
    kind, machine, version, _, phoff, shoff, flags, _, phsize, phnum, shsize, shnum, names = struct.unpack_from(
        layout, data, 16
    )
    if machine != EM_CUDA:
        raise CubinError("it is not code for a GPU by NVIDIA")
    if shnum and shsize != (64 if wide else 40):
        raise CubinError("its section headers have an unknown size")
    end = max(64 if wide else 52, shoff + shnum * shsize if shoff else 0, phoff + phnum * phsize if phoff else 0)
    return CubinHeader(wide, data[8], kind == 1, version, flags, shoff, shnum, names, end)


def has_kernel_prefix(data: bytes) -> bool | None:
    """Whether the beginning of a cubin proves that it has a ``.text.*`` section.

    NVIDIA's tools put the section names first, at 0x40, and those of code before most others: in 1,026 of
    1,026 cubins with kernels of seven wheels the name lies in the first 176 bytes. In 342 of NPP's it comes later,
    in 300 of these within 16 KB and in all within 128 KB.

    Returns:
        False where the names are over, which proves nothing; None where more of them may follow.
    """
    if not data.startswith(b"\0.shstrtab\0", 0x40):
        return False
    # The names end at the first empty one, where the symbol names begin.
    stop = data.find(b"\0\0", 0x41)
    if data.find(b"\0.text.", 0x40, stop if stop >= 0 else len(data)) >= 0:
        return True
    return None if stop < 0 else False


def read_cubin(data: bytes, sections: int) -> Cubin:
    """Read a whole cubin.

    Args:
        data: All its bytes; more may follow.
        sections: How many sections to read at most.

    Raises:
        CubinError: It is damaged. Sections may lie outside the file (types of the debugger without bytes do
            in valid cubins) as long as nothing has to be read from them.
    """
    header = read_header(data)
    target = header.target
    toolkit = header.toolkit
    table = section_table(data, header, sections)
    rows = list(table.rows())
    names, names_end = table.names, table.names_end
    kernels = False
    # `is_named` without a call: there are dozens of sections, and FlashInfer's wheel has 16,000 cubins.
    for row in rows:
        if data.startswith(b".text.", names + row[0], names_end):
            kernels = True
            break
    # All others are of no interest.
    rows = [row for row in rows if row[1] in _TELLING]
    for name, kind, offset, size, _, _ in rows:
        if target is None or offset + size > len(data):
            continue
        if kind == _NV_COMPAT:
            if target.suffix is Suffix.NONE and _accelerated(data[offset : offset + size]):
                target = Target(target.capability, Suffix.ARCH_SPECIFIC)
        elif table.is_named(name, b".note.nv.tkinfo\0"):
            note = data[offset : offset + min(size, 64 << 10)]
            match = _ARCH_OPTION.search(note)
            if match and target.suffix is Suffix.NONE and int(match[1]) == target.capability.number:
                target = Target(target.capability, Suffix(match[2].decode()))
    if toolkit is None and target is not None:
        toolkit = noted_toolkit(data, header, table, rows)
    return Cubin(target, header.relocatable, kernels, toolkit)


def whole_size(data: bytes, header: CubinHeader, sections: int) -> int:
    """How long a cubin is by its section table, which NVIDIA's tools put last, and others first.

    Args:
        data: As much of it as its header tells of.
        header: Its header.
        sections: How many sections to read at most.

    Raises:
        CubinError: It has no table there.
    """
    start, count = header.section_offset, header.section_count
    step = 64 if header.wide else 40
    if not start:
        return header.end
    if count > sections or start + count * step > len(data):
        raise CubinError("its section table lies outside")
    rows = SectionTable(data, header.wide, start, count).rows()
    # Other types may have no bytes in the file.
    return max((offset + size for _, kind, offset, size, _, _ in rows if kind in _STORED), default=0)


def noted_toolkit(data: bytes, header: CubinHeader, table: SectionTable, rows: Iterable[Row]) -> CudaVersion | None:
    """The toolkit that the notes among *rows* name (CUDA 12.8 and later write some); None where they do not."""
    toolkit = None
    for name, kind, offset, size, _, _ in rows:
        if kind != _NOTE or offset + size > len(data):
            continue
        if table.is_named(name, b".note.nv.tkinfo\0"):
            release = _RELEASE.search(data[offset : offset + min(size, 64 << 10)])
            if toolkit is None and release:
                toolkit = _toolkit(int(release[1]) * 10 + int(release[2]))
        elif table.is_named(name, b".note.nv.cuinfo\0") and header.abi == 8 and size >= 32:
            # Note header (12 bytes), owner "NVIDIA Corp\0", then u16 version, u16 virtual SM, u32 toolkit.
            toolkit = _toolkit(int.from_bytes(data[offset + 28 : offset + 32], "little")) or toolkit
    return toolkit


class SectionTable(NamedTuple):
    """Where a cubin has its section table and the names of the sections.

    Attributes:
        data: The cubin.
        wide: As in its header.
        start: Offset of the table; 0 where there is none.
        sections: How many rows it has.
        names: Offset of the names.
        names_end: Where these end.
    """

    data: bytes
    wide: bool
    start: int = 0
    sections: int = 0
    names: int = 0
    names_end: int = 0

    @property
    def step(self) -> int:
        """Bytes of a row."""
        return 64 if self.wide else 40

    def rows(self) -> Iterator[Row]:
        """Name (an offset in the names), type, offset, size, link and info of each section."""
        layout = _WIDE if self.wide else _NARROW
        return layout.iter_unpack(self.data[self.start : self.start + self.sections * self.step])

    def row(self, index: int) -> Row:
        """Those of one."""
        layout = _WIDE if self.wide else _NARROW
        row: Row = layout.unpack_from(self.data, self.start + index * self.step)
        return row

    def is_named(self, name: int, prefix: bytes) -> bool:
        """Whether the name at an offset begins so."""
        return self.data.startswith(prefix, self.names + name, self.names_end)


def section_table(data: bytes, header: CubinHeader, most: int) -> SectionTable:
    """Find the section table of a cubin.

    Args:
        data: The cubin.
        header: Its header.
        most: How many sections to read at most.

    Raises:
        CubinError: The table or the names lie outside, or there are too many sections.
    """
    start, count, index = header.section_offset, header.section_count, header.names_index
    if not start:
        return SectionTable(data, header.wide)
    result = SectionTable(data, header.wide, start, max(count, 1))
    if start + result.sections * result.step > len(data):
        raise CubinError("its section table lies outside")
    first = result.row(0)
    # More than 65,279 sections: the real numbers are in section 0.
    count = count or first[3]
    index = first[4] if index == 0xFFFF else index
    if count > most:
        raise CubinError(f"it has more than {most} sections")
    if start + count * result.step > len(data):
        raise CubinError("its section table lies outside")
    if not count:
        return SectionTable(data, header.wide)
    if index >= count:
        raise CubinError("its section names lie outside")
    _, _, names, size, _, _ = result.row(index)
    if names + size > len(data):
        raise CubinError("its section names lie outside")
    return SectionTable(data, header.wide, start, count, names, names + size)


def _accelerated(records: bytes) -> bool:
    """Whether a ``.nv.compat`` section has attribute 9 (ACCELERATOR_TARGET) with value 1."""
    position = 0
    while position + 3 <= len(records):
        form, attribute = records[position], records[position + 1]
        if attribute == 9 and form in (2, 3):
            return records[position + 2] == 1
        if form == 4:
            position += 4 + int.from_bytes(records[position + 2 : position + 4], "little")
        else:
            position += 4
    return False


@lru_cache(maxsize=64)
def _toolkit(number: int) -> CudaVersion | None:
    """126 is CUDA 12.6; None for numbers that no toolkit has."""
    return CudaVersion(*divmod(number, 10)) if 60 <= number < 1000 else None
