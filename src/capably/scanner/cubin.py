"""Cubins: ELF files of the machine EM_CUDA.

Two layouts are in use, told apart by the ABI version in the identification: 7 (toolkits up to 12.9 for
architectures up to 9.0) and 8 (all of CUDA 13, and 10.0 and later from 12.8 on). Sources: output of ptxas
11.7 to 13.5 for every target; names by cuobjdump 13.5.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from capably.arch import ComputeCapability, Suffix, Target
from capably.version import CudaVersion

__all__ = ["EM_CUDA", "Cubin", "CubinError", "CubinHeader", "has_kernel_prefix", "read_cubin", "read_header"]

EM_CUDA = 190
_NV_COMPAT = 0x70000086
_NOTE = 7
# name, type, offset, size and link of a section
_WIDE = struct.Struct("<II8x8xQQI20x")
_NARROW = struct.Struct("<II4x4xIII12x")
_ARCH_OPTION = re.compile(rb"-arch[= ]{1,4}sm_([0-9]{2,3})([af]?)(?![0-9A-Za-z_])")
_RELEASE = re.compile(rb"release ([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")


class CubinError(Exception):
    """A cubin cannot be read. The text is a sentence part: "its section table lies outside"."""


@dataclass(frozen=True, slots=True)
class CubinHeader:
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


@dataclass(frozen=True, slots=True)
class Cubin:
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


def has_kernel_prefix(data: bytes) -> bool:
    """Whether the beginning of a cubin proves that it has a ``.text.*`` section.

    NVIDIA's tools put the section names first, at 0x40, and those of code before most others: in 1,026 of
    1,026 cubins with kernels of seven wheels the name lies in the first 176 bytes. False proves nothing.
    """
    if not data.startswith(b"\0.shstrtab\0", 0x40):
        return False
    # The names end at the first empty one, where the symbol names begin.
    stop = data.find(b"\0\0", 0x41)
    return data.find(b"\0.text.", 0x40, stop if stop >= 0 else len(data)) >= 0


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
    kernels = False
    rows, names = _sections(data, header, sections)
    for name, kind, offset, size, _ in rows:
        if not kernels and names.startswith(b".text.", name):
            kernels = True
        # All others are of no interest, and a cubin has dozens of them.
        if kind not in (_NV_COMPAT, _NOTE) or target is None or offset + size > len(data):
            continue
        if kind == _NV_COMPAT:
            if target.suffix is Suffix.NONE and _accelerated(data[offset : offset + size]):
                target = Target(target.capability, Suffix.ARCH_SPECIFIC)
        elif names.startswith(b".note.nv.tkinfo\0", name):
            note = data[offset : offset + min(size, 64 << 10)]
            match = _ARCH_OPTION.search(note)
            if match and target.suffix is Suffix.NONE and int(match[1]) == target.capability.number:
                target = Target(target.capability, Suffix(match[2].decode()))
            release = _RELEASE.search(note)
            if toolkit is None and release:
                toolkit = _toolkit(int(release[1]) * 10 + int(release[2]))
        elif names.startswith(b".note.nv.cuinfo\0", name) and header.abi == 8 and size >= 32:
            # Note header (12 bytes), owner "NVIDIA Corp\0", then u16 version, u16 virtual SM, u32 toolkit.
            toolkit = _toolkit(int.from_bytes(data[offset + 28 : offset + 32], "little")) or toolkit
    return Cubin(target, header.relocatable, kernels, toolkit)


_Row = tuple[int, int, int, int, int]


def _sections(data: bytes, header: CubinHeader, most: int) -> tuple[list[_Row], bytes]:
    """Name, type, offset, size and link of each section, the names as offsets in the bytes behind them."""
    layout = _WIDE if header.wide else _NARROW
    step = layout.size
    count, index = header.section_count, header.names_index
    if not header.section_offset:
        return [], b""
    if header.section_offset + max(count, 1) * step > len(data):
        raise CubinError("its section table lies outside")
    first = layout.unpack_from(data, header.section_offset)
    # More than 65,279 sections: the real numbers are in section 0.
    count = count or first[3]
    index = first[4] if index == 0xFFFF else index
    if count > most:
        raise CubinError(f"it has more than {most} sections")
    if header.section_offset + count * step > len(data):
        raise CubinError("its section table lies outside")
    rows = list(layout.iter_unpack(data[header.section_offset : header.section_offset + count * step]))
    if not rows:
        return [], b""
    if index >= count or rows[index][2] + rows[index][3] > len(data):
        raise CubinError("its section names lie outside")
    start, size = rows[index][2], rows[index][3]
    return rows, data[start : start + size]


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


def _toolkit(number: int) -> CudaVersion | None:
    """126 is CUDA 12.6; None for numbers that no toolkit has."""
    return CudaVersion(*divmod(number, 10)) if 60 <= number < 1000 else None
