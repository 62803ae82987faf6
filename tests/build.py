"""Writes files with GPU code from descriptions: cubins, PTX, fatbins, ELF files, wheels.

It knows the layouts by itself and shares no code with the scanner, so that `scan(build(x)) == x` says
something. Targets are given as everybody writes them: ``sm_90a``, ``compute_100f``, ``lto_90``. All numbers
are little-endian; sizes and offsets are in bytes.

    lib = elf([section(".nv_fatbin", fatbin([sass("sm_90a"), ptx_entry("compute_90", "8.7")]))])
    wheel(tmp_path / "x-1.0-py3-none-any.whl", {"x/_C.so": lib})
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import lz4.block
import zstandard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Compression = Literal["none", "lz4", "zstd"]

KINDS = {"ptx": 1, "sass": 2, "ltoir": 8, "index": 0x20, "relptx": 0x40, "tileir": 0x80, "concat": 0x100}
MACHINES = {"x86_64": 62, "aarch64": 183, "riscv": 243, "ppc64le": 21}


def align8(value: int) -> int:
    return (value + 7) & ~7


def pad8(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def split_target(target: str) -> tuple[str, int, str]:
    match = re.fullmatch(r"(sm|compute|lto)_([0-9]{2,3})([af]?)", target)
    assert match, target
    return match[1], int(match[2]), match[3]


def cubin(
    target: str = "sm_90",
    *,
    kernels: tuple[str, ...] = ("k",),
    toolkit: tuple[int, int] | None = (12, 6),
    relocatable: bool = False,
    abi: int | None = None,
    names_first: bool = True,
    filler: int = 0,
    functions: tuple[str, ...] = (),
    registers: int | None = 32,
    shared: int = 0,
) -> bytes:
    """A cubin as ptxas writes it.

    Args:
        target: ``sm_XY[a|f]``.
        kernels: One ``.text.`` section each; none makes a stub.
        toolkit: That made it; None leaves it out.
        relocatable: Of type ET_REL.
        abi: 7 or 8; without it as the toolkit would.
        names_first: The section names at 0x40, as in all real ones.
        filler: Bytes of code in each kernel.
        functions: Names of functions for the device, which are no kernels.
        registers: Of a thread of each kernel; None leaves the record out.
        shared: Static shared memory of each kernel.
    """
    _, number, suffix = split_target(target)
    if abi is None:
        abi = 8 if (toolkit or (0, 0)) >= (13, 0) or number >= 100 else 7
    release = toolkit or (0, 0)
    flags, version = number, release[0] * 10 + release[1]
    if abi == 7:
        flags |= number << 16 | 0x500 | (0x800 if suffix == "a" else 0)
    else:
        flags = 0x06000000 | number << 8 | (2 if number >= 100 else 4)
        version = 1
        if suffix == "a" and toolkit is not None and release < (13, 0):
            flags |= 8
    # Section 2, behind the empty one and the names of sections; the symbols follow it.
    strings, symbols, counts = b"\0", bytes(24), b""
    rows: list[tuple[str, int, bytes]] = [(".strtab", 3, b""), (".symtab", 2, b"")]
    if abi == 8:
        compat = bytes([2, 2, 1, 0]) + (bytes([2, 9, 1, 0]) if suffix == "a" and release >= (13, 0) else b"")
        rows.append((".nv.compat", 0x70000086, compat))
        option = f" -arch sm_{number}{suffix}" if suffix == "f" else ""
        text = f"ptxas\0Cuda compilation tools, release {release[0]}.{release[1]}, V\0{option} -m 64\0"
        if toolkit is not None:
            rows.append((".note.nv.tkinfo", 7, note(2000, struct.pack("<6I", 2, 0, 0, 0, 0, 0) + text.encode())))
            if release >= (13, 0):
                value = struct.pack("<HHI", 2, number, release[0] * 10 + release[1])
                rows.append((".note.nv.cuinfo", 7, note(1000, value)))
    about = {}  # sh_info: what a section belongs to
    for index, kernel in enumerate((*functions, *kernels), 1):
        is_kernel = index > len(functions)
        name_at, strings = len(strings), strings + kernel.encode() + b"\0"
        home = 2 + len(rows) + is_kernel
        symbols += struct.pack("<IBBHQQ", name_at, 0x12, 0x10 if is_kernel else 0, home, 0, 16 + filler)
        if is_kernel:
            counts += struct.pack("<BBHII", 4, 0x11, 8, index, 0)  # the size of its frame
            counts += struct.pack("<BBHII", 4, 0x2F, 8, index, registers) if registers is not None else b""
            about[len(rows)] = home
            rows.append((f".nv.info.{kernel}", 0x70000000, bytes(8)))
            rows.append((f".text.{kernel}", 1, bytes(16 + filler)))
            if shared:
                about[len(rows)] = home
                rows.append((f".nv.shared.{kernel}", 8, bytes(shared)))
    if counts:
        rows.append((".nv.info", 0x70000000, counts))
    rows[:2] = [(".strtab", 3, strings), (".symtab", 2, symbols)]
    names = b"\0.shstrtab\0"
    offsets = []
    for name, _, _ in rows:
        offsets.append(len(names))
        names += name.encode() + b"\0"
    body = pad8(names) + bytes(8) if names_first else bytes(8)
    names_at = 0x40
    table = [bytes(64)]
    placed = []
    for index, (name_at, (_, kind, data)) in enumerate(zip(offsets, rows, strict=True)):
        placed.append((name_at, kind, 0x40 + len(body), len(data), 2 if kind == 2 else 0, about.get(index, 0)))
        body += pad8(data) if kind != 8 else b""
    if not names_first:
        names_at = 0x40 + len(body)
        body += pad8(names)
    table.append(struct.pack("<IIQQQQIIQQ", 1, 3, 0, 0, names_at, len(names), 0, 0, 1, 0))
    table += [
        struct.pack("<IIQQQQIIQQ", n, k, 0, 0, offset, size, link, info, 1, 0)
        for n, k, offset, size, link, info in placed
    ]
    ident = b"\x7fELF\x02\x01\x01" + bytes([0x33 if abi == 7 else 0x41, abi]) + bytes(7)
    header = struct.pack(
        "<HHIQQQIHHHHHH", 1 if relocatable else 2, 190, version, 0, 0, 0x40 + len(body), flags, 64, 56, 0, 64,
        len(table), 1,
    )  # fmt: skip
    return ident + header + body + b"".join(table)


def table_first(cubin: bytes) -> bytes:
    """The same cubin with its section table right behind its header, as NVIDIA's linker library writes some."""
    start, count = int.from_bytes(cubin[40:48], "little"), int.from_bytes(cubin[60:62], "little")
    table = bytearray(cubin[start : start + 64 * count])
    for row in range(64, 64 * count, 64):
        (offset,) = struct.unpack_from("<Q", table, row + 24)
        struct.pack_into("<Q", table, row + 24, offset + len(table) if offset < start else offset)
    header = bytearray(cubin[:64])
    struct.pack_into("<Q", header, 40, 64)
    struct.pack_into("<Q", header, 32, 0)  # of ptxas's cubins the program headers follow the table
    header[56:58] = bytes(2)
    return bytes(header + table) + cubin[64:start] + cubin[start + 64 * count :]


def note(kind: int, value: bytes) -> bytes:
    """An ELF note of NVIDIA."""
    return struct.pack("<III", 12, len(value), kind) + b"NVIDIA Corp\0" + value


def ptx(
    target: str = "compute_90", version: str = "8.7", *, entries: tuple[str, ...] = ("k",), comment: str = ""
) -> bytes:
    """PTX text without its NUL."""
    _, number, suffix = split_target(target)
    code = "".join(f".visible .entry {name}()\n{{\n\tret;\n}}\n" for name in entries)
    return f"{comment}\n.version {version}\n.target sm_{number}{suffix}\n.address_size 64\n{code}".encode()


@dataclass(frozen=True)
class Entry:
    """A fatbin entry: its fields, and `raw` to write it."""

    kind: int
    target: str | None
    payload: bytes
    compression: Compression = "none"
    code_version: tuple[int, int] = (1, 7)
    name: str = ""
    options: str = ""
    flags: int = 0

    @property
    def all_flags(self) -> int:
        suffix = split_target(self.target)[2] if self.target else ""
        packed = {"none": 0, "lz4": 0x2000, "zstd": 0x8000}[self.compression]
        return 0x11 | packed | {"": 0, "a": 0x100000, "f": 0x200000}[suffix] | self.flags

    def header(self, second: int, third: int, packed: int, size: int) -> bytes:
        """The header with its name and options; *second* None means its own size."""
        name = self.name.encode()
        extra = name + b"\0" if name else b""
        options_at = 0
        if self.options:
            options_at = 64 + align8(len(extra))
            text = self.options.encode()
            extra = pad8(extra) + struct.pack("<II", options_at + 8, len(text)) + text + b"\0"
        extra = pad8(extra)
        arch = split_target(self.target)[1] if self.target else 0
        return (
            struct.pack(
                "<HHIQIIHHIIIQQQ", self.kind, 0x0101, second or 64 + len(extra), third, packed, options_at,
                self.code_version[1], self.code_version[0], arch, 64 if name else 0, len(name), self.all_flags,
                0, size,
            )
            + extra
        )  # fmt: skip

    def raw(self) -> bytes:
        data, size = pack(self.payload, self.compression)
        stored = pad8(data)
        packed = len(data) if self.compression != "none" else 0
        return self.header(0, len(stored), packed, size) + stored


def pack(data: bytes, compression: Compression) -> tuple[bytes, int]:
    """Compressed bytes and the size that the header states."""
    if compression == "lz4":
        return lz4.block.compress(data, store_size=False), len(data)
    if compression == "zstd":
        return zstandard.ZstdCompressor().compress(data), len(data)
    return data, 0


def entry(
    kind: int | str,
    target: str | None,
    payload: bytes,
    *,
    compression: Compression = "none",
    code_version: tuple[int, int] = (1, 7),
    name: str = "",
    options: str = "",
    flags: int = 0,
) -> Entry:
    """Any entry; *kind* as a number or by a name of `KINDS`, *flags* beside those that follow from the rest."""
    number = KINDS[kind] if isinstance(kind, str) else kind
    return Entry(number, target, payload, compression, code_version, name, options, flags)


def sass(
    target: str = "sm_90",
    *,
    kernels: tuple[str, ...] = ("k",),
    toolkit: tuple[int, int] = (12, 6),
    relocatable: bool = False,
    compression: Compression = "none",
    name: str = "",
    names_first: bool = True,
    filler: int = 0,
) -> Entry:
    """An entry with a cubin in it."""
    data = cubin(
        target, kernels=kernels, toolkit=toolkit, relocatable=relocatable, names_first=names_first, filler=filler
    )
    return entry("sass", target, data, compression=compression, code_version=(1, data[8]), name=name)


def ptx_entry(
    target: str = "compute_90",
    version: str = "8.7",
    *,
    entries: tuple[str, ...] = ("k",),
    compression: Compression = "none",
    options: str = "",
) -> Entry:
    """An entry with PTX in it."""
    major, minor = map(int, version.split("."))
    text = ptx(target, version, entries=entries) + b"\0"
    return entry("ptx", target, text, compression=compression, code_version=(major, minor), options=options)


def concat(images: Sequence[Entry], compression: Compression = "zstd", *, count: int | None = None) -> bytes:
    """The container entry of CUDA 13.4, as bytes; the compression of *images* is ignored."""
    blob = b""
    directory = b""
    for image in images:
        bare = Entry(image.kind, image.target, b"", "none", image.code_version, image.name, image.options)
        data = pad8(image.payload)
        # The second word is the place in the blob, which is 0 for the first image.
        header = bytearray(bare.header(1, len(data), 0, 0))
        struct.pack_into("<I", header, 4, len(blob))
        directory += bytes(header)
        blob += data
    directory = struct.pack("<II", len(images) if count is None else count, 8 + len(directory)) + directory
    data, size = pack(blob, compression)
    flags = 0x11 | {"none": 0, "lz4": 0x2000, "zstd": 0x8000}[compression]
    packed = len(data) if compression != "none" else 0
    head = struct.pack(
        "<HHIQIIHHIIIQQQ", 0x100, 0x0101, 64 + len(directory), len(pad8(data)), packed, 64, 1, 0, 0, 0, 0, flags, 0,
        size,
    )  # fmt: skip
    return head + directory + pad8(data)


def fatbin(entries: Sequence[Entry | bytes]) -> bytes:
    """A fatbin; entries may be given as bytes."""
    body = b"".join(item if isinstance(item, bytes) else item.raw() for item in entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


@dataclass(frozen=True)
class Section:
    """A section of a host ELF file; of kind 8 (`.bss`) it has a size and no bytes in the file."""

    name: str
    data: bytes
    kind: int = 1
    flags: int = 0x2
    link: int = 0
    align: int = 8
    address: int = 0
    info: int = 0
    relocations: tuple[tuple[int, int, int], ...] = ()
    """Of a COFF object: place, number of the section that it points to, and the value of the symbol there."""


def section(name: str, data: bytes, *, kind: int = 1, flags: int = 0x2) -> Section:
    """A section; allocated by default (flag 2), 4 makes it executable."""
    return Section(name, data, kind, flags)


def elf(
    sections: list[Section],
    *,
    machine: str | int = "x86_64",
    needed: tuple[str, ...] = (),
    object_file: bool = False,
    segments: tuple[tuple[int, int, int], ...] = (),
    table_first: bool = False,
) -> bytes:
    """A 64-bit ELF file with *sections* in that order, then .dynstr, .dynamic and .shstrtab.

    *segments* are kind, offset and size; their headers follow that of the file. With *table_first* the section table
    follows these, and the names of sections are the end of the file.
    """
    rows = list(sections)
    if needed:
        strings = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
        offsets = [strings.index(b"\0" + name.encode() + b"\0") + 1 for name in needed]
        rows.append(Section(".dynstr", strings, 3))
        dynamic = b"".join(struct.pack("<QQ", 1, offset) for offset in offsets) + bytes(16)
        rows.append(Section(".dynamic", dynamic, 6, 0x3, link=len(rows)))
    names = b"\0"
    body = b""
    table = [bytes(64)]
    rows.append(Section(".shstrtab", b"", 3, 0))
    table_at = 64 + 56 * len(segments)
    start = table_at + 64 * (len(rows) + 1 if table_first else 0)
    for row in rows:
        name_at = len(names)
        names += row.name.encode() + b"\0"
        data = names if row.name == ".shstrtab" else row.data
        body += bytes(-(start + len(body)) % row.align)
        place = start + len(body)
        table.append(
            struct.pack("<IIQQQQIIQQ", name_at, row.kind, row.flags, row.address, place, len(data), row.link, row.info,
                        row.align, 0)
        )  # fmt: skip
        body += b"" if row.kind == 8 else data
    if needed:  # sh_link counts from section 1
        fixed = bytearray(table[len(rows) - 1])
        struct.pack_into("<I", fixed, 40, len(rows) - 2)
        table[len(rows) - 1] = bytes(fixed)
    if not table_first:
        body = pad8(body)
        table_at = start + len(body)
    number = MACHINES[machine] if isinstance(machine, str) else machine
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", 1 if object_file else 3, number, 1, 0, 64 if segments else 0, table_at, 0, 64, 56,
        len(segments), 64, len(table), len(rows),
    )  # fmt: skip
    header += b"".join(struct.pack("<IIQQQQQQ", kind, 4, at, at, at, size, size, 8) for kind, at, size in segments)
    rest = [b"".join(table), body]
    return header + b"".join(rest if table_first else reversed(rest))


def wrapper(version: int, address: int) -> bytes:
    """What a host hands to the CUDA runtime of a fatbin."""
    return struct.pack("<IIQQ", 0x466243B1, version, address, 0)


def library(*fatbins: bytes, machine: str = "x86_64", needed: tuple[str, ...] = ()) -> bytes:
    """A shared library with fatbins in `.nv_fatbin`."""
    return elf([section(".nv_fatbin", b"".join(fatbins))], machine=machine, needed=needed)


def zip_file(
    path: Path, members: dict[str, bytes] | list[tuple[str, bytes]], *, compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    """A zip with *members* in their order."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return path


def wheel(
    directory: Path,
    name: str,
    version: str,
    members: dict[str, bytes],
    *,
    platform: str = "manylinux_2_28_x86_64",
    compression: int = zipfile.ZIP_DEFLATED,
    requires: tuple[str, ...] = (),
) -> Path:
    """A wheel in *directory*, with METADATA, WHEEL and RECORD, that pip can install."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    full = dict(members)
    full[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {text}\n" for text in requires)
    ).encode()
    full[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: build\nRoot-Is-Purelib: false\nTag: py3-none-{platform}\n".encode()
    )
    rows = []
    for path, data in full.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(data)}")
    full[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    return zip_file(directory / f"{stem}-py3-none-{platform}.whl", full, compression=compression)


PE_MACHINES = {"x86_64": 0x8664, "aarch64": 0xAA64, "x86": 0x14C, "arm": 0x1C4}


def pe_flags(row: Section) -> int:
    """The characteristics that fit an ELF section: code, initialised data, or none of it."""
    if row.flags & 4:
        return 0x60000020
    if row.kind == 8:
        return 0xC0000080
    return 0x40000040 if row.flags & 2 else 0x42100000


def pe(
    sections: list[Section],
    *,
    machine: str | int = "x86_64",
    needed: tuple[str, ...] = (),
    wide: bool = True,
    stub: int = 64,
    base: int = 0,
    align: int = 0,
) -> bytes:
    """A PE file with *sections* in that order, their names cut to eight bytes, then `.idata`.

    Args:
        sections: As for `elf`.
        machine: Its processor.
        needed: Libraries in the import directory.
        wide: PE32+, else PE32.
        stub: Bytes before the PE header.
        base: Where it wants to be loaded, the first section 4 KiB behind that.
        align: What it says that its sections are aligned to.
    """
    rows = [(row.name.encode()[:8], pe_flags(row), row.data) for row in sections]
    optional = bytearray(240 if wide else 224)
    struct.pack_into("<H", optional, 0, 0x20B if wide else 0x10B)
    directories = 112 if wide else 96
    struct.pack_into("<I", optional, directories - 4, 16)
    if wide:
        struct.pack_into("<QI", optional, 24, base, align)
    place = stub + 24 + len(optional) + 40 * (len(rows) + bool(needed))
    address = 0x1000
    for _, _, data in rows:
        address += -(-max(len(data), 1) // 0x1000) * 0x1000
    if needed:
        table = b""
        names = b""
        names_at = address + 20 * (len(needed) + 1)
        for name in needed:
            table += struct.pack("<5I", 0, 0, 0, names_at + len(names), 0)
            names += name.encode() + b"\0"
        rows.append((b".idata", 0xC0000040, table + bytes(20) + names))
        struct.pack_into("<II", optional, directories + 8, address, len(table) + 20)
    head = b"MZ" + bytes(58) + struct.pack("<I", stub) + bytes(stub - 64) + b"PE\0\0"
    number = PE_MACHINES[machine] if isinstance(machine, str) else machine
    head += struct.pack("<HHIIIHH", number, len(rows), 0, 0, 0, len(optional), 0x2022) + bytes(optional)
    body = b""
    address = 0x1000
    base = -(-place // 512) * 512
    for label, flags, data in rows:
        raw = b"" if flags & 0x80 else data + bytes(-len(data) % 512)
        head += struct.pack(
            "<8sIIIIIIHHI", label, len(data), address, len(raw), base + len(body) if raw else 0, 0, 0, 0, 0, flags
        )
        body += raw
        address += -(-max(len(data), 1) // 0x1000) * 0x1000
    return head + bytes(base - len(head)) + body


def coff(sections: list[Section], *, machine: str | int = "x86_64", big: bool = False, far: bool = False) -> bytes:
    """A COFF object; long names lie in its string table, and its sections begin anywhere.

    Args:
        sections: As for `elf`.
        machine: Its processor.
        big: As ``/bigobj`` writes it.
        far: Offsets of names in base 64, as for string tables above 10 MB.
    """
    number = PE_MACHINES[machine] if isinstance(machine, str) else machine
    start = (56 if big else 20) + 40 * len(sections) + 3
    strings = b""
    table = b""
    body = b""
    symbols = bytes(20 if big else 18)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for row in sections:
        name = row.name.encode()
        if len(name) > 8:
            at = 4 + len(strings)
            strings += name + b"\0"
            digits = bytes(alphabet[at >> shift & 63] for shift in range(30, -1, -6))
            name = b"//" + digits if far else b"/%d" % at
        data = b"" if row.kind == 8 else row.data
        place = start + len(body) if data else 0
        body += data + b"\xcc"
        relocations = start + len(body) if row.relocations else 0
        for at, target, value in row.relocations:
            body += struct.pack("<IIH", at, len(symbols) // (20 if big else 18), 1)
            symbols += struct.pack("<8sIiHBB" if big else "<8sIhHBB", b"s", value, target, 0, 3, 0)
        count = len(row.relocations)
        table += struct.pack("<8sIIIIIIHHI", name, 0, 0, len(data), place, relocations, 0, count, 0, pe_flags(row))
    symbols_at = start + len(body)
    number_of = len(symbols) // (20 if big else 18)
    if big:
        head = struct.pack("<HHHHI", 0, 0xFFFF, 2, number, 0) + bytes.fromhex("c7a1bad1eebaa94baf20faf66aa4dcb8")
        head += bytes(16) + struct.pack("<III", len(sections), symbols_at, number_of)
    else:
        head = struct.pack("<HHIIIHH", number, len(sections), 0, symbols_at, number_of, 0, 0)
    tail = symbols + struct.pack("<I", 4 + len(strings)) + strings
    return head + table + bytes(3) + body + tail


def ar_header(name: bytes, size: int | bytes) -> bytes:
    number = size if isinstance(size, bytes) else b"%d" % size
    return name.ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"644".ljust(8) + number.ljust(10) + b"`\n"


def ar(members: list[tuple[str, bytes]], style: Literal["gnu", "bsd", "msvc"] = "gnu", *, thin: bool = False) -> bytes:
    """A static library as GNU ar, BSD ar or Microsoft's lib write it, with its tables of symbols."""
    long = [name for name, _ in members if len(name) > 15]
    ends = b"\0" if style == "msvc" else b"/\n"
    names = b"".join(name.encode() + ends for name in long)
    rows: list[tuple[bytes, bytes]] = [(b"/", bytes(4))]
    if style == "bsd":
        rows = [(b"__.SYMDEF SORTED"[:16], bytes(8)), (b"#1/20", b"__.SYMDEF_64\0\0\0\0\0\0\0\0" + bytes(4))]
    else:
        rows += [(b"/", bytes(5)), (b"/<ECSYMBOLS>/", bytes(4))] if style == "msvc" else [(b"/SYM64/", bytes(8))]
        if long:
            rows.append((b"//", names))
    for name, data in members:
        if style == "bsd":
            padded = name.encode() + bytes(-len(name) % 4 + 4)
            rows.append((b"#1/%d" % len(padded), padded + data))
        elif name in long:
            before = long[: long.index(name)]
            rows.append((b"/%d" % sum(len(other) + len(ends) for other in before), data))
        else:
            rows.append((name.encode() + b"/", data))
    result = b"!<thin>\n" if thin else b"!<arch>\n"
    for label, data in rows:
        result += ar_header(label, len(data))
        result += data + b"\n" * (len(data) % 2)
    return result


def tar_header(
    name: bytes, size: int | bytes, *, kind: bytes = b"0", magic: bytes = b"ustar\x0000", link: bytes = b"",
    prefix: bytes = b"",
) -> bytes:  # fmt: skip
    """The header of a member; *size* as a number or as 12 bytes."""
    number = size if isinstance(size, bytes) else b"%011o\0" % size
    head = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + number + b"00000000000\0"
    tail = kind + link.ljust(100, b"\0") + magic.ljust(8, b"\0") + bytes(80) + prefix.ljust(155, b"\0") + bytes(12)
    total = sum(head) + sum(tail) + 8 * 32
    return head + b"%06o\0 " % total + tail


def tar_member(name: str, data: bytes, *, kind: bytes = b"0", magic: bytes = b"ustar\x0000") -> bytes:
    return tar_header(name.encode(), len(data), kind=kind, magic=magic) + data + bytes(-len(data) % 512)


def pax(records: dict[str, str], *, kind: bytes = b"x") -> bytes:
    """An extended header; each row begins with its own length."""
    data = b""
    for key, value in records.items():
        row = f" {key}={value}\n".encode()
        length = len(row) + 1
        while len(str(length)) + len(row) != length:
            length += 1
        data += str(length).encode() + row
    return tar_header(b"pax", len(data), kind=kind) + data + bytes(-len(data) % 512)


def tar(*parts: bytes) -> bytes:
    """A tar archive of members and headers, with its end."""
    return b"".join(parts) + bytes(1024)
