"""The ways by which a file may come to be read, which all have to give the same, and files that are awkward to read.

    rng = random.Random(1)
    read(compose(rng), directory, rng)

On disk the section table is read first and then what it names; a compressed member is walked blindly, and what was
found is attributed to sections afterwards; bytes come in pieces of any size, to one thread or to several.
"""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import re
import struct
import zipfile
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import build
import pytest
import wrapped
import zstandard

from capably.errors import ScanError
from capably.facts import Finding, Library
from capably.scanner import (
    DEFAULT_LIMITS,
    Limits,
    archive,
    content,
    elf,
    library,
    parallel,
    scan,
    search,
    source,
    tarball,
    unpack,
)
from capably.scanner.forms import ARCHIVES, HEAD_BYTES, Form, classify

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from capably.facts import Artifact

NAME = "lib.bin"
MAGIC = b"\x50\xed\x55\xba"
STRICT = MAGIC + b"\x01\x00\x10\x00"
# Of one file, so that what it lies in does not count against them.
LIMITS = (
    *[DEFAULT_LIMITS] * 12,
    Limits(entries=5),
    Limits(entries=30),
    Limits(sections=4),
    Limits(image_bytes=700),
    Limits(findings=3),
)
_HEADERS = 600  # bytes that tell what a file is, a tar archive too
STEPS = (1, 7, 61, 64, 97, 997, 4096)


# Files that are awkward to read


@cache
def fatbins() -> tuple[bytes, ...]:
    sass, ptx, fatbin = build.sass, build.ptx_entry, build.fatbin
    return (
        fatbin([]),
        fatbin([sass("sm_80")]),
        fatbin([sass("sm_75", kernels=())]),
        fatbin([sass("sm_90a", compression="lz4"), ptx("compute_90", compression="lz4")]),
        fatbin([sass("sm_100f", compression="zstd", name="a.cu"), ptx("compute_90", compression="zstd")]),
        fatbin([sass("sm_90", relocatable=True), build.entry("ltoir", "lto_90", b"\x01" * 24)]),
        fatbin([ptx(entries=()), sass("sm_86", names_first=False)]),
        fatbin([build.concat([sass("sm_80"), ptx(options="-O1")])]),
        fatbin([build.concat([sass("sm_100f", kernels=("a", "b"))], "none")]),
        fatbin([build.entry(0x20, None, b""), build.entry("sass", "sm_80", b"\x7fELF no cubin")]),
        fatbin([sass("sm_80", filler=70_000, compression="zstd"), sass("sm_90", filler=70_000, compression="lz4")]),
        fatbin([sass("sm_120", filler=9_000, names_first=False)]),
        fatbin([build.entry("ptx", "compute_80", build.ptx(entries=()) + b"// much\n" * 700 + b".entry late() {}\0")]),
        struct.pack("<IHHQ8x", 0xBA55ED50, 3, 24, 0),
    )


@cache
def bare() -> tuple[bytes, ...]:
    return (
        build.cubin("sm_86"),
        build.cubin("sm_100a", kernels=()),
        build.cubin("sm_75", names_first=False, toolkit=None),
        build.table_first(build.cubin("sm_90", kernels=("a", "b"))),
        build.ptx().lstrip() + b"\0",
        build.ptx("compute_100f", "9.0").lstrip(),
        build.ptx(entries=()).lstrip() + b"\0",
        b".version 8.0\n.target sm_80\0",
    )


def _stray(rng: random.Random) -> bytes:
    """What looks like the beginning of something."""
    size = rng.choice((0, 8, 16, 24, 64, 80, 1 << 10, 1 << 20, 1 << 63))
    return rng.choice(
        (
            MAGIC,
            MAGIC[: rng.randrange(1, 4)],
            MAGIC + bytes([rng.randrange(256) for _ in range(rng.randrange(13))]),
            STRICT,
            STRICT + size.to_bytes(8, "little"),
            struct.pack("<IHHQ", 0xBA55ED50, 1, rng.choice((0, 8, 16, 20, 24, 64, 72)), size),
            STRICT + size.to_bytes(8, "little") + struct.pack("<HHI", 2, 0x0101, 64),
            b"\x7fELF\x02\x01\x01",
            b"\x7fELF\x02\x01\x01\x33\x07" + bytes(rng.randrange(60)),
            b".version ",
            b".version 8.0\n.target sm_9",
        )
    )


def _pieces(rng: random.Random) -> list[bytes]:
    """What the bytes of sections are made of, one after the other: some of it odd, or most, or nothing."""
    result: list[bytes] = []
    size = 0
    count = rng.randrange(1, 9)
    # What is odd in many places is walked by its sections by any way, so mostly it is in one.
    odd = [rng.randrange(count)] if rng.randrange(3) else range(0, count, rng.choice((1, 2, 3)))
    for number in range(count):
        if number in odd:
            piece = rng.choice((_gap, _stray, _gap_with_stray, _gap_with_stray, _bare, _cut))(rng)
        else:
            piece = rng.choice(fatbins()) * rng.choice((1, 1, 1, 2, 3))
        # Counted from the start of the file where sections lie back to back.
        padding = bytes(-(size + len(piece)) % 8) if rng.randrange(8) else b""
        result += [piece, padding] if padding else [piece]
        size += len(piece) + len(padding)
    return result


def _bare(rng: random.Random) -> bytes:
    return rng.choice(bare())


def _gap(rng: random.Random) -> bytes:
    return rng.choice((b"\0", b"\0", b"\xcc", b"\x90")) * rng.choice(
        (1, 2, 3, 4, 7, 8, 12, 15, 16, 24, 64, 72, 100, 255, 256)
    )


def _gap_with_stray(rng: random.Random) -> bytes:
    return bytes(rng.randrange(16)) + _stray(rng) + bytes(rng.randrange(8))


def _cut(rng: random.Random) -> bytes:
    piece = rng.choice((*fatbins(), *bare()))
    return piece[: rng.randrange(len(piece))]


_KINDS = (*[(".nv_fatbin", 2)] * 6, ("__nv_relfatbin", 2), (".rodata", 2), (".data", 3), (".data", 3), (".text", 6),
          (".debug_str", 0), (".hip_fatbin", 2), (".data.rel.ro.local", 3))  # fmt: skip


def _sections(rng: random.Random) -> list[build.Section]:
    """Sections in any order whose edges lie between pieces, or nearly so."""
    pieces = _pieces(rng)
    body = b"".join(pieces)
    places = [0]
    for piece in pieces:
        places.append(places[-1] + len(piece))
    edges = {0, len(body)}
    for _ in range(rng.choice((0, 1, 2, 3, 3, 12))):
        edge = rng.choice(places)
        if not rng.randrange(4):
            edge += rng.choice((-16, -9, -8, -7, -4, -2, -1, 1, 2, 3, 4, 5, 8, 12, 16, 20))
        edges.add(max(0, min(edge, len(body))))
    cuts = sorted(edges)
    result = []
    for start, stop in itertools.pairwise(cuts):
        name, flags = rng.choice(_KINDS)
        kind = 8 if not rng.randrange(30) else 1
        result.append(build.Section(name, body[start:stop], kind, flags, align=rng.choice((1, 1, 1, 8, 16, 256))))
    return result or [build.section(".data", b"")]


def _host(rng: random.Random) -> bytes:
    kind = rng.randrange(10)
    if kind >= 8:
        versions = tuple(rng.choice((1, 1, 1, 2, 2, 3)) for _ in range(4))
        return _moved(rng.choice(wrapped.KINDS)(versions), rng)
    sections = _sections(rng)
    if rng.randrange(2):  # as nearly every library has
        sections.append(build.section(".bss", bytes(rng.choice((8, 4096, 1 << 20))), kind=8, flags=3))
    needed = rng.choice(((), ("libcudart.so.12",), ("a.dll", "b.so")))
    if kind < 5:
        machine = rng.choice(("x86_64", "aarch64"))
        data = build.elf(sections, machine=machine, needed=needed, object_file=kind == 0)
        if rng.randrange(2):  # what is said to be loaded, which may be less than there is, or more
            segments = tuple(
                (rng.choice((1, 1, 1, 2, 6)), rng.choice((0, rng.randrange(len(data)))), rng.randrange(len(data) + 99))
                for _ in range(rng.randrange(1, 5))
            )
            data = build.elf(sections, machine=machine, needed=needed, object_file=kind == 0, segments=segments)
        return _moved(data, rng)
    if kind == 5:
        return _moved(build.pe(sections, needed=needed, wide=bool(rng.randrange(2))), rng)
    return _moved(build.coff(sections, big=kind == 6, far=not rng.randrange(4)), rng)


def _moved(data: bytes, rng: random.Random) -> bytes:
    """With some of the offsets and sizes in its section table changed, now and then: sections overlap, or have gaps."""
    if rng.randrange(5):
        return data
    raw = bytearray(data)
    if raw[:4] == b"\x7fELF":
        table, step, layout = int.from_bytes(raw[40:48], "little"), 64, "<Q"
        fields: tuple[int, ...] = (24, 32)
        count = int.from_bytes(raw[60:62], "little")
        if not rng.randrange(12):
            raw[40:48] = bytes(8)
    else:
        step, fields, layout = 40, (8, 16, 20), "<I"
        if raw[:2] == b"MZ":
            start = int.from_bytes(raw[60:64], "little")
            count = int.from_bytes(raw[start + 6 : start + 8], "little")
            table = start + 24 + int.from_bytes(raw[start + 20 : start + 22], "little")
        else:
            big = raw[:4] == b"\0\0\xff\xff"
            table = 56 if big else 20
            count = int.from_bytes(raw[44:48] if big else raw[2:4], "little")
    for _ in range(rng.randrange(1, 4)):
        place = table + step * rng.randrange(count) + rng.choice(fields)
        (value,) = struct.unpack_from(layout, raw, place)
        if rng.randrange(4):
            value += rng.choice((-64, -16, -12, -8, -4, -1, 1, 4, 8, 12, 16, 24, 64, 80))
        else:
            value = rng.choice((0, 64, len(raw) // 2, len(raw), len(raw) + 8, 1 << 31))
        struct.pack_into(layout, raw, place, max(0, value) % (1 << 32))
    return bytes(raw)


def compose(rng: random.Random) -> bytes:
    """A library, an object, a static library or a loose file that is as awkward as one may be, mostly without damage."""
    kind = rng.randrange(16)
    if kind < 11:
        return _host(rng)
    if kind < 13:
        names = ("a.o", "a_name_that_is_long.o", "b.o", "in.a")
        rows = [(name, compose(rng) if rng.randrange(3) else _loose(rng)) for name in names[: rng.randrange(1, 4)]]
        return build.ar(rows, rng.choice(("gnu", "bsd", "msvc")))
    return _loose(rng)


def _loose(rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(bare())
    return rng.choice(fatbins()) + b"".join(_pieces(rng) if kind > 1 else ())


# The ways


@contextmanager
def in_pieces(step: int, *, threads: int = 1, headers: int = _HEADERS) -> Iterator[None]:
    """Bytes come in pieces of this size behind so many, nothing is too small to be a stream, or to be read in a thread."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (archive, "_FIRST"),
            (archive, "_INPUT"),
            (archive, "_OUTPUT"),
            (unpack, "_OUTPUT"),
            (source, "_WINDOW"),
        ):
            patch.setattr(module, name, step)
        patch.setattr(unpack, "_INPUT", max(step, 2))  # the first two bytes tell the compression
        patch.setattr(search, "_SPAN", max(step, 16))  # longer than what is looked for
        for module in (archive, tarball, library):  # what is looked at first comes in one piece: a header and no more
            patch.setattr(module, "HEAD_BYTES", max(step, headers))
        patch.setattr(content, "_SMALL", 0)
        for name in ("_KEPT_FIRST", "_KEPT_BEFORE"):  # so that some of a stream has to be had once more
            patch.setattr(elf, name, 2 * step)
        if threads > 1:
            patch.setattr(parallel, "workers", lambda: threads)
            for name in ("_PARALLEL_BYTES", "_PARALLEL_MEMBER", "_AHEAD_BYTES"):
                patch.setattr(archive, name, 0)
        yield


def zipped(data: bytes, name: str = NAME, method: int = zipfile.ZIP_DEFLATED, others: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method, compresslevel=1) as made:
        for number in range(others):
            made.writestr(zipfile.ZipInfo(f"{number}.txt"), b"text" * 40 * number, method)
        made.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def stored(data: bytes, name: str = NAME) -> bytes:
    return zipped(data, name, zipfile.ZIP_STORED)


def tarred(data: bytes, name: str = NAME) -> bytes:
    return build.tar(build.tar_member("before.txt", b"text"), build.tar_member(name, data))


def static(data: bytes, name: str = NAME) -> bytes:
    return build.ar([(name, data)])


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def in_two_members(data: bytes) -> bytes:
    return gzipped(data[:700]) + gzipped(data[700:])


class _Pipe(io.BytesIO):
    """Cannot be sought, so that sizes and checksums of members come behind them."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise OSError(offset, whence)


def zipped_into_a_pipe(data: bytes) -> bytes:
    out = _Pipe()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made,
        made.open(NAME, "w", force_zip64=True) as member,
    ):
        member.write(data)
    return out.getvalue()


@dataclass(frozen=True)
class Way:
    """Something that a file lies in.

    Attributes:
        wrap: Makes it.
        prefix: How what is in it is named.
        pieces: The bytes come in pieces.
        threads: How many read it.
        static: It is a static library.
    """

    wrap: Callable[[bytes], bytes]
    prefix: str = ""
    pieces: bool = False
    threads: int = 1
    static: bool = False


WAYS = {
    "file": Way(bytes),
    "file in pieces": Way(bytes, pieces=True),
    "deflated": Way(zipped),
    "deflated, in pieces": Way(zipped, pieces=True),
    "stored": Way(stored),
    "stored, in pieces": Way(stored, pieces=True),
    "deflated into a pipe, in pieces": Way(zipped_into_a_pipe, pieces=True),
    "tar": Way(tarred),
    "tar.gz": Way(lambda data: gzipped(tarred(data))),
    "tar.gz in pieces": Way(lambda data: gzipped(tarred(data)), pieces=True),
    "tar.gz of two members, in pieces": Way(lambda data: in_two_members(tarred(data)), pieces=True),
    "tar.zst in pieces": Way(lambda data: zstandard.ZstdCompressor(1).compress(tarred(data)), pieces=True),
    "tar.bz2 in pieces": Way(lambda data: bz2.compress(tarred(data), 1), pieces=True),
    "tar.xz in pieces": Way(lambda data: lzma.compress(tarred(data), preset=0), pieces=True),
    "deflated in stored": Way(lambda data: stored(zipped(data), "z"), "z!/"),
    "stored in deflated": Way(lambda data: zipped(stored(data), "z"), "z!/"),
    "stored in stored, in pieces": Way(lambda data: stored(stored(data), "z"), "z!/", pieces=True),
    "tar in deflated, in pieces": Way(lambda data: zipped(tarred(data), "t"), "t!/", pieces=True),
    "tar.gz in stored": Way(lambda data: stored(gzipped(tarred(data)), "t"), "t!/"),
    "stored in tar": Way(lambda data: tarred(stored(data), "z"), "z!/"),
    "deflated in tar.gz, in pieces": Way(lambda data: gzipped(tarred(zipped(data), "z")), "z!/", pieces=True),
    "static": Way(static, "lib.a!/", static=True),
    "static, deflated, in pieces": Way(lambda data: zipped(static(data), "lib.a"), "lib.a!/", pieces=True, static=True),
    "static in tar.gz, in pieces": Way(
        lambda data: gzipped(tarred(static(data), "lib.a")), "lib.a!/", pieces=True, static=True
    ),
    "in threads": Way(lambda data: zipped(data, others=3), pieces=True, threads=3),
}


@dataclass(frozen=True)
class Seen:
    """What was found in a file, whatever it lies in."""

    libraries: tuple[Library, ...]
    findings: tuple[Finding, ...]
    forms: frozenset[str]


def seen(path: Path, prefix: str = "", *, limits: Limits = DEFAULT_LIMITS, with_kernels: bool = False) -> Seen:
    """Scan *path*, and leave out what its container tells."""
    try:
        found = scan(path, limits=limits, with_kernels=with_kernels)
    except ScanError:
        return Seen((), (), frozenset({"other"}))
    return told(found, prefix)


def told(found: Artifact, prefix: str) -> Seen:
    """The facts about one file without the names of what it lies in."""

    def plain(name: str) -> str:
        return NAME if name == prefix.removesuffix("!/") else name.removeprefix(prefix)

    forms: frozenset[str] = frozenset()
    findings = []
    for finding in found.findings:
        if finding.code == "no-gpu-code":
            forms = frozenset(re.findall(r"[0-9]+ ([^,()]+)(?=[,)])", finding.message))
        else:
            findings.append(replace(finding, path=plain(finding.path)))
    libraries = tuple([replace(library, path=plain(library.path)) for library in found.libraries])
    return Seen(libraries, tuple(findings), forms - {"zip", "tar", "compressed", "other"} or frozenset({"other"}))


def in_static(one: Seen) -> Seen:
    """What a static library tells of a member: not what that needs, and not what was linked into it."""
    return Seen(
        tuple([replace(library, size_bytes=0, needed=(), runtime=None) for library in one.libraries]),
        one.findings,
        frozenset(),
    )


def read(
    data: bytes,
    directory: Path,
    rng: random.Random,
    *,
    ways: int = len(WAYS),
    limits: Limits = DEFAULT_LIMITS,
    with_kernels: bool = False,
) -> Seen:
    """What is found in *data*, as a file on disk and by some other ways, which have to give the same.

    Args:
        data: The file.
        directory: Where to write it, and what it lies in.
        rng: Chooses the ways, and how large the pieces are.
        ways: How many other ways.
        limits: How much to read of it.
        with_kernels: Whether to read the kernels too.
    """
    path = directory / NAME
    path.write_bytes(data)
    expected = seen(path, limits=limits, with_kernels=with_kernels)
    if classify(data[:HEAD_BYTES]) in ARCHIVES:  # of which each counts what is in it in its own way
        return expected
    form = classify(data[:HEAD_BYTES])
    # The head of PTX may lie behind any number of comments.
    short = form is classify(data[:_HEADERS]) and (form is not Form.AR or b".version" not in data)
    headers = _HEADERS if short else HEAD_BYTES
    for name in sorted(WAYS) if ways >= len(WAYS) else rng.sample(sorted(WAYS), ways):
        way = WAYS[name]
        path = directory / (NAME if way.wrap is bytes else "lib.a" if way.static else "x")
        path.write_bytes(way.wrap(data))
        # Of a file of some size pieces of a byte take long and tell nothing new.
        step = rng.choice(STEPS if len(data) < 1_000 else STEPS[2:])
        with in_pieces(step, threads=way.threads, headers=headers) if way.pieces else nullcontext():
            got = seen(path, way.prefix, limits=limits, with_kernels=with_kernels)
        if way.static:
            assert in_static(got) == in_static(expected), f"{name}, by {step} bytes"
        else:
            assert got == expected, f"{name}, by {step} bytes"
    return expected
