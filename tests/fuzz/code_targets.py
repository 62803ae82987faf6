"""The parsers of GPU code and of what it lies in."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tempfile
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import build
import ways
import wrapped
import zstandard
from mutation import around, chosen_by, scratch_directory, target

from capably.facts import Compression
from capably.report.names import demangled, families
from capably.scanner import DEFAULT_LIMITS, ptx
from capably.scanner.content import BytesContent, Content
from capably.scanner.cubin import CubinError, read_header
from capably.scanner.elf import elf_end, elf_ranges, read_elf
from capably.scanner.fatbin import Found, Mode, cubin_image, ptx_image, walk
from capably.scanner.files import scan_archive
from capably.scanner.forms import HEAD_BYTES, Form, classify
from capably.scanner.job import Job
from capably.scanner.kernels import KernelReader, cubin_kernels, ptx_kernels
from capably.scanner.library import read_library
from capably.scanner.limits import Budget
from capably.scanner.payload import Payload, PayloadError, lz4_prefix
from capably.scanner.pe import coff_ranges, is_coff
from capably.scanner.source import BytesSource, StreamSource
from capably.scanner.tally import Tally
from capably.scanner.walk import scan_tar, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

# What is mutated


def fatbins() -> list[bytes]:
    return [
        build.fatbin([build.sass("sm_80")]),
        build.fatbin([build.sass("sm_90a", compression="lz4"), build.ptx_entry("compute_90", compression="lz4")]),
        build.fatbin([build.sass("sm_100f", compression="zstd"), build.ptx_entry("compute_90", compression="zstd")]),
        build.fatbin([build.sass("sm_75")]) + build.fatbin([build.ptx_entry(options="-O1")]) + bytes(8),
        build.fatbin([build.entry("ltoir", "lto_90", b"\x01" * 64), build.sass("sm_90", relocatable=True, name="x")]),
        b"\x00" * 8 + build.cubin("sm_86") + build.ptx() + b"\0" + build.fatbin([]) * 3,
        build.table_first(build.cubin("sm_86")) + build.fatbin([]) + bytes(240) + build.fatbin([]) + bytes(255),
    ]


def containers() -> list[bytes]:
    images = [build.sass("sm_80"), build.sass("sm_90a", name="a.cu"), build.ptx_entry(options="-lineinfo")]
    return [
        build.fatbin([build.concat(images)]),
        build.fatbin([build.concat(images, "lz4"), build.sass("sm_75")]),
        build.fatbin([build.concat(images, "none")]),
        build.fatbin([build.concat([build.sass("sm_100f", kernels=())] * 5)]),
    ]


def elves() -> list[bytes]:
    code = build.fatbin([build.sass("sm_80")])
    return [
        build.library(code, needed=("libcudart.so.12", "libc.so.6")),
        build.elf(
            [build.section("__nv_relfatbin", code), build.section(".text", bytes(64), flags=6)], object_file=True
        ),
        build.elf([build.section(f".s{i}", bytes(8)) for i in range(40)], machine="aarch64", needed=("x.so",)),
        build.elf([build.section(".hip_fatbin", bytes(64)), build.section(".data", code)]),
        *(make((1, 2, 1, 1)) for make in (wrapped.shared, wrapped.relocated, wrapped.an_object)),
    ]


def cubins() -> list[bytes]:
    return [
        build.cubin("sm_80", toolkit=(11, 8)),
        build.cubin("sm_90a", toolkit=(12, 6)),
        build.cubin("sm_90a", toolkit=(13, 5)),
        build.cubin("sm_100f", toolkit=(12, 9), kernels=("a", "b")),
        build.cubin("sm_121a", toolkit=(12, 9), kernels=()),
        build.cubin("sm_75", names_first=False, relocatable=True),
        build.table_first(build.cubin("sm_90a", toolkit=(13, 5))),
    ]


def texts() -> list[bytes]:
    return [
        build.ptx("compute_90a"),
        build.ptx("compute_100f", "9.0", comment="// one\n/* two */"),
        build.ptx("compute_75", entries=(), comment='/* .entry */ // .func "'),
        b"\xef\xbb\xbf" + build.ptx() + b'.global .b8 s[4] = ".entry";\n.func f() {}',
    ]


def zips() -> list[bytes]:
    library = build.library(build.fatbin([build.sass("sm_80"), build.ptx_entry()]), needed=("libc.so.6",))
    cubin = build.cubin("sm_90a")
    result = []
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, data in {"a/x.so": library, "a/y.cubin": cubin, "a/z.cubin": cubin, "a/p.py": b"pass\n"}.items():
                archive.writestr(zipfile.ZipInfo(name), data, method)
        result.append(out.getvalue())
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("big", "w", force_zip64=True) as member,
    ):
        member.write(library)
    return [*result, out.getvalue()]


def sections() -> list[build.Section]:
    return [
        build.section(".text", bytes(64), flags=6),
        build.section(".nv_fatbin", build.fatbin([build.sass("sm_80"), build.ptx_entry()])),
        build.section(".rdata", build.cubin("sm_75")),
        build.section("__nv_relfatbin", build.fatbin([build.sass("sm_90", relocatable=True)])),
    ]


def dlls() -> list[bytes]:
    return [
        build.pe(sections(), needed=("cudart64_12.dll", "KERNEL32.dll")),
        build.pe(sections()[1:3], machine="aarch64", wide=False, needed=("x.dll",), stub=128),
        build.pe([build.section(".hip_fat", bytes(64)), *sections()]),
        build.pe([build.section(f".s{i}", bytes(8)) for i in range(40)]),
        wrapped.windows((1, 1, 2, 1)),
    ]


def objects() -> list[bytes]:
    return [
        build.coff(sections()),
        build.coff(sections(), big=True),
        build.coff(sections()[:2], far=True, machine="aarch64"),
        build.coff([build.section(".nv_fatb$x", build.fatbin([build.sass()])), build.section(".rdata", bytes(9))]),
        wrapped.windows_object((1, 2, 1, 1)),
        wrapped.big_windows_object((1, 2, 1, 1)),
    ]


def static_libraries() -> list[bytes]:
    elf_object = build.elf(sections(), object_file=True)
    rows = [("a.o", elf_object), ("a_name_that_is_long.o", build.coff(sections())), ("b.o", build.cubin("sm_80"))]
    return [
        build.ar(rows),
        build.ar(rows, "bsd"),
        build.ar(rows, "msvc"),
        build.ar([("odd.txt", b"odd"), ("in.a", build.ar(rows[:1])), ("z.a", build.ar(rows[:1], "bsd"))]),
    ]


def tars() -> list[bytes]:
    library = build.library(build.fatbin([build.sass("sm_80")]))
    long = build.tar_header(b"././@LongLink", 9, kind=b"L") + b"x/long.so".ljust(512, b"\0")
    return [
        build.tar(build.tar_member("a/x.so", library), build.tar_member("a.txt", b"text")),
        build.tar(long, build.tar_member("x", library), build.tar_member("l", b"", kind=b"2")),
        build.tar(build.pax({"path": "p/x.so", "size": str(len(library))}), build.tar_member("x", library)),
        build.tar(build.tar_member("a.a", static_libraries()[0], magic=b""), build.tar_member("z.zip", zips()[0])),
    ]


PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: gzip.compress(data, 1, mtime=0),
    lambda data: bz2.compress(data, 1),
    lambda data: lzma.compress(data, preset=0),
    zstandard.ZstdCompressor(level=1).compress,
)


def packed_tars() -> list[bytes]:
    data = tars()
    return [
        gzip.compress(data[0], mtime=0),
        bz2.compress(data[1]),
        lzma.compress(data[2]),
        zstandard.ZstdCompressor().compress(data[3]),
        gzip.compress(data[0][:700], mtime=0) + gzip.compress(data[0][700:], mtime=0) + bytes(100),
        *data * 3,  # packed after they were changed
    ]


def blocks() -> list[bytes]:
    return [build.pack(data, "lz4")[0] for data in (*cubins(), *texts(), bytes(5000), bytes(range(256)))]


def frames() -> list[bytes]:
    return [build.pack(data, "zstd")[0] for data in (*cubins(), *texts(), bytes(300_000))]


# The parsers


@target(fatbins, hot=around(b"\x50\xed\x55\xba", 96))
def fatbin(data: bytes) -> bool:
    return any([found.images is not None for mode in Mode for found in walk_all(data, mode)])  # noqa: C419 - all modes


@target(containers, hot=around(b"\x50\xed\x55\xba", 320))
def concat(data: bytes) -> bool:
    found = walk_all(data, Mode.FATBINS)
    return any(image.concatenated for item in found for image in item.images or ())


def walk_all(data: bytes, mode: Mode) -> list[Found]:
    """From memory, and as a stream in uneven pieces, which has to find the same."""
    align = 256 if len(data) % 2 else 0
    result = list(walk(BytesSource(data), 0, len(data), mode, Budget(DEFAULT_LIMITS), align=align))
    pieces = iter([data[i : i + 97] for i in range(0, len(data), 97)])
    again = list(walk(StreamSource(pieces), 0, len(data), mode, Budget(DEFAULT_LIMITS), align=align))
    assert again == result, "a stream gives something else"
    return result


def _hot_of_elf(data: bytes) -> list[tuple[int, int]]:
    return [(0, 64), (max(0, len(data) - 640), len(data)), *around(b"\xb1\x43\x62\x46", 24)(data)]


@target(elves, hot=_hot_of_elf)
def elf(data: bytes) -> bool:
    elf_ranges(data)
    elf_end(data)
    layout = read_elf(lambda offset, size: data[offset : offset + size], len(data), DEFAULT_LIMITS)
    layout.needed()
    layout.prelinked()
    edges = [edge for region in layout.regions for edge in (region.start, region.end)]
    assert edges == sorted(edges), "regions overlap"
    return bool(layout.regions) and not layout.problems


@target(cubins, CubinError, hot=lambda data: [(0, 64), (max(0, len(data) - 640), len(data))])
def cubin(data: bytes) -> bool:
    read_header(data)
    cubin_image(data, Budget(DEFAULT_LIMITS))
    return True


@target(cubins, CubinError, hot=around(b"NVIDIA Corp\0", 160, 16))
def notes(data: bytes) -> bool:
    cubin_image(data, Budget(DEFAULT_LIMITS))
    return True


def tables() -> list[bytes]:
    return [
        *(
            build.cubin(target, kernels=("_Z1af", "b" * 40), functions=("f",), shared=64)
            for target in ("sm_75", "sm_90a")
        ),
        build.cubin("sm_100f", toolkit=(12, 9), kernels=tuple(f"k{number}" for number in range(40)), registers=None),
        build.cubin("sm_80", toolkit=(13, 1), kernels=(), relocatable=True),
    ]


@target(tables, CubinError, hot=lambda data: [(40, 64), (max(0, len(data) - 1_200), len(data))])
def kernels_of_a_cubin(data: bytes) -> bool:
    found, registers, shared, _ = cubin_kernels(data, DEFAULT_LIMITS.sections)
    assert len(registers) == len(shared) == len(found)
    assert sum(map(len, found)) <= max(len(data), 1 << 20), "names grow out of nothing"
    return bool(found)


@target(texts)
def kernels_of_ptx(data: bytes) -> bool:
    found = ptx_kernels(data)
    assert len(set(found)) == len(found)
    assert all(name in data for name in found)
    return bool(found)


def names() -> list[bytes]:
    return [
        b"_ZN4vllm25paged_attention_v1_kernelIfhLi32ELi8ELi128ELNS_18Fp8KVCacheDataTypeE1ELb0EEEvPT_PKS2_PKT0_S8_ifPKi",
        b"_ZN7cutlass13device_kernelINS_4gemm6kernel13GemmUniversalIN4cute5tupleIJiiiEEENS4_1CILi2EEEEEEEvNT_6ParamsE",
        b"_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_11FillFunctorIdEESt5arrayIPcLm1EEEEviT0_T1_",
        b"_Z1f1aIiiES_IS0_S0_ES_IS1_S1_ES_IS2_S2_ES_IS3_S3_ES_IS4_S4_ES_IS5_S5_E",
        b"_ZN12_GLOBAL__N_16kernelIZNS_3runEvEUlfE_EEvT_",
    ]


@target(names, hot=lambda data: [(0, len(data))])
def names_of_kernels(data: bytes) -> bool:
    name = data.decode("utf-8", "backslashreplace")
    text = demangled(name)
    assert len(text) <= max(len(name), 1 << 16)
    same = families([name, name + "x", name[:-1]])
    assert sum(len(family.members) for family in same) == 3
    return text != name or len(same) < 3


@target(lambda: fatbins() + containers(), hot=around(b"\x50\xed\x55\xba", 320))
def kernels_of_a_library(data: bytes) -> bool:
    """From memory and from a stream, which has to give the same; nothing else changes where kernels are read."""
    found = []
    for content, with_kernels in ((BytesContent(data), True), (Streamed(data), True), (BytesContent(data), False)):
        with Job(DEFAULT_LIMITS, None, with_sha256=False) as job:
            job.kernels = KernelReader(DEFAULT_LIMITS) if with_kernels else None
            found.append(read_library("x", content, data[:HEAD_BYTES], Form.FATBIN, job))
    assert found[0] == found[1], "a stream gives something else"
    whole = found[0]
    if whole is None:
        return False
    assert found[2] == replace(whole, kernels=None), "reading kernels changes what is found"
    return any(part.names for one in whole.kernels or () for part in one.images)


@target(texts)
def ptx_text(data: bytes) -> bool:
    ptx.has_code(data)
    return ptx_image(data) is not None


@target(zips, hot=lambda data: [*around(b"PK", 46)(data), (max(0, len(data) - 60), len(data))])
def zip_file(data: bytes) -> bool:
    file = scratch()
    os.ftruncate(file.fileno(), 0)
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    os.write(file.fileno(), data)
    job = Job(DEFAULT_LIMITS, None, with_sha256=len(data) % 2 == 0)
    return bool(scan_archive("x.zip", "x.zip", file, len(data), job).libraries)


@cache
def scratch() -> io.FileIO:
    memory = Path("/dev/shm")  # noqa: S108 - only where it is faster
    number, path = tempfile.mkstemp(dir=memory if memory.is_dir() else None)
    Path(path).unlink()
    return io.FileIO(number, "r+")


def read_both(data: bytes, form: Form) -> bool:
    """As a file and as a stream in uneven pieces, which has to find the same libraries."""
    assert classify(data[:HEAD_BYTES]) in Form
    found = []
    for content in (BytesContent(data), Streamed(data)):
        job = Job(DEFAULT_LIMITS, None, with_sha256=False)
        found.append(read_library("x", content, data[:HEAD_BYTES], form, job))
    assert found[0] == found[1], "a stream gives something else"
    return found[0] is not None


class Streamed:
    """A content that can be had only once in a row."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data
        self._stream = self.source()

    def stream(self) -> StreamSource:
        return self._stream

    def source(self) -> StreamSource:
        return StreamSource(iter([self._data[i : i + 997] for i in range(0, len(self._data), 997)]))

    def finish(self) -> None:
        self.size = self._stream.drain()

    def read(self, offset: int, size: int) -> bytes:
        kept = self._stream.kept(offset, min(size, max(0, self.size - offset)))
        return self.source().read(offset, size) if kept is None else kept


@target(
    dlls, hot=lambda data: [(0, 64), *around(b"PE\0\0", 24 + 240 + 160)(data), *around(b"\xb1\x43\x62\x46", 24)(data)]
)
def pe(data: bytes) -> bool:
    return read_both(data, Form.PE)


@target(objects, hot=lambda data: [(0, 60 + 160), (max(0, len(data) - 300), len(data))])
def coff(data: bytes) -> bool:
    coff_ranges(data)
    return is_coff(data) and read_both(data, Form.COFF)


@target(static_libraries, hot=around(b"`\n", 100, 58))
def ar(data: bytes) -> bool:
    return read_both(data, Form.AR)


@target(tars, hot=around(b"ustar", 4, 257))
def tar(data: bytes) -> bool:
    return scan_both(repaired(data), scan_tar)


@target(packed_tars, hot=around(b"ustar", 4, 257))
def packed(data: bytes) -> bool:
    if classify(data) is not Form.PACKED:
        data = PACKERS[len(data) // 2 % len(PACKERS)](repaired(data))

    def scan_packed(label: str, prefix: str, content: Content, tally: Tally, depth: int) -> None:
        with unpacked(label, content, tally.job) as inner:
            if inner is not None:
                scan_tar(label, prefix, inner, tally, depth)

    return scan_both(data, scan_packed)


def scan_both(data: bytes, scan: Callable[[str, str, Content, Tally, int], None]) -> bool:
    found = []
    for content in (BytesContent(data), Streamed(data)):
        tally = Tally(Job(DEFAULT_LIMITS, None, with_sha256=True))
        with tally.guard("x"):
            scan("x", "", content, tally, 0)
        found.append((tally.libraries("x"), tally.files))
    assert found[0] == found[1], "a stream gives something else"
    return found[0][1] > 0


def repaired(data: bytes) -> bytes:
    """With the checksums of the headers of every other input put right: without that hardly one gets far."""
    if len(data) % 2:
        return data
    raw = bytearray(data)
    for start in range(0, len(raw) - 511, 512):
        if raw[start + 257 : start + 262] == b"ustar":
            raw[start + 148 : start + 156] = b" " * 8
            raw[start + 148 : start + 156] = b"%06o\0 " % sum(raw[start : start + 512])
    return bytes(raw)


@target(blocks, PayloadError)
def lz4(data: bytes) -> bool:
    for size in (256 * len(data), 4096):
        payload = Payload(BytesSource(data), 0, len(data), Compression.LZ4, size, Budget(DEFAULT_LIMITS))
        assert len(payload.prefix(512)) <= 512
        try:
            full = payload.full()
        except PayloadError:
            continue
        assert full.startswith(lz4_prefix(data, 512)), "the two decoders differ"
    return True


@target(frames, PayloadError)
def zstd(data: bytes) -> bool:
    payload = Payload(BytesSource(data), 0, len(data), Compression.ZSTD, 0, Budget(DEFAULT_LIMITS))
    payload.full()
    payload.prefix(512)
    return True


def magics_and_tables(data: bytes) -> list[tuple[int, int]]:
    return [(0, min(len(data), 64)), (max(0, len(data) - 640), len(data)), *around(b"\x50\xed\x55\xba", 96)(data)]


@target(list, hot=magics_and_tables, compose=ways.compose, cost=5)
def all_ways(data: bytes) -> bool:
    """From disk and out of three of the archives that a file may lie in, which has to give the same."""
    rng = chosen_by(data)
    return bool(ways.read(data, scratch_directory(), rng, ways=3, limits=rng.choice(ways.LIMITS)).libraries)


@target(list, hot=magics_and_tables, compose=ways.compose, cost=8)
def kernels_by_all_ways(data: bytes) -> bool:
    found = ways.read(data, scratch_directory(), chosen_by(data), ways=3, with_kernels=True)
    return any(part.names for library in found.libraries for one in library.kernels or () for part in one.images)
