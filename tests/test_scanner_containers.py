"""PE, COFF, static libraries, tar archives, and archives in archives: what is built is what is found."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import itertools
import lzma
import random
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections import Counter
from typing import TYPE_CHECKING

import build
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_scanner import FATBINS, both, codes, entries, expected, put
from test_scanner_hostile import GOOD, mutate, patched, targets

from capably.errors import LimitError, ScanError
from capably.facts import Artifact, ArtifactKind, Fatbin, FatbinGroup
from capably.scanner import DEFAULT_LIMITS, Limits, scan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIBRARY = build.library(GOOD)
OTHER = build.library(build.fatbin([build.sass("sm_90")]))
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def everywhere(directory: Path, data: bytes, name: str = "lib.dll", limits: Limits | None = None) -> Artifact:
    """Scan *data* loose, in a zip (`both`), and in tar archives, plain, compressed and in a zip; all must agree."""
    limits = limits or DEFAULT_LIMITS
    loose = both(directory, data, name, limits)
    archive = build.tar(build.tar_member(name, data))
    here = [f for f in loose.findings if f.code != "no-gpu-code"]
    for packed in (archive, gzip.compress(archive, 1)):
        found = scan(put(directory, packed, "a.tar"), limits=limits)
        assert found.libraries == loose.libraries
        assert [f for f in found.findings if f.code != "no-gpu-code"] == here
        path = build.zip_file(directory / "b.zip", {"a.tar": packed})
        found = scan(path, limits=limits)
        assert [lib.fatbins for lib in found.libraries] == [lib.fatbins for lib in loose.libraries]
        assert [lib.bare for lib in found.libraries] == [lib.bare for lib in loose.libraries]
        assert [lib.path for lib in found.libraries] == [f"a.tar!/{lib.path}" for lib in loose.libraries]
    return loose


HOSTS: dict[str, Callable[[list[build.Section]], bytes]] = {
    "pe": lambda sections: build.pe(sections, machine="aarch64", needed=("KERNEL32.dll", "cudart64_12.dll")),
    "pe32": lambda sections: build.pe(sections, machine="x86", wide=False, needed=("a.dll",), stub=128),
    "coff": build.coff,
    "coff, far names": lambda sections: build.coff(sections, far=True),
    "bigobj": lambda sections: build.coff(sections, big=True),
    "gnu": lambda sections: build.ar([("a.o", build.elf(sections, object_file=True))]),
    "bsd": lambda sections: build.ar([("a long name of an object.o", build.elf(sections, object_file=True))], "bsd"),
    "msvc": lambda sections: build.ar([("x\\a long name of an object.obj", build.coff(sections))], "msvc"),
}
MACHINES = {"pe": "aarch64", "pe32": "x86"}
NEEDED = {"pe": ("KERNEL32.dll", "cudart64_12.dll"), "pe32": ("a.dll",)}


@pytest.mark.parametrize("host", HOSTS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(real=FATBINS, relocatable=st.lists(st.lists(entries(), max_size=2), max_size=2), hidden=FATBINS)
def test_scan_of_build_is_identity(
    tmp_path: Path,
    host: str,
    real: list[list[build.Entry]],
    relocatable: list[list[build.Entry]],
    hidden: list[list[build.Entry]],
) -> None:
    sections = [
        build.section(".text", b"\x90" * 101 + build.fatbin([build.sass("sm_35")]), flags=0x6),
        build.section(".rdata", bytes(24) + b"".join(build.fatbin(f) + bytes(8) for f in hidden)),
        build.section("__nv_relfatbin", b"".join(map(build.fatbin, relocatable))),
        build.section(".nv_fatbin", b"".join(map(build.fatbin, real))),
        build.section(".bss", bytes(1 << 20), kind=8, flags=0x3),
    ]
    artifact = everywhere(tmp_path, HOSTS[host](sections))
    counts: Counter[Fatbin] = Counter()
    names = {"__nv_relfatbin": "__nv_rel", ".nv_fatbin": ".nv_fatb"} if host.startswith("pe") else {}
    for name, found in ((".rdata", hidden), ("__nv_relfatbin", relocatable), (".nv_fatbin", real)):
        for images in found:
            linked = name == "__nv_relfatbin"
            counts[Fatbin(tuple(expected(e, relocatable=linked) for e in images), names.get(name, name))] += 1
    (library,) = artifact.libraries
    assert library.fatbins == tuple(FatbinGroup(fatbin, count) for fatbin, count in counts.items())
    assert library.machine == MACHINES.get(host, "x86_64")
    assert library.needed == NEEDED.get(host, ())
    assert library.bare == ()


# PE


def test_pe_names_and_machines(tmp_path: Path) -> None:
    section = build.section(".nv_fatbin", GOOD)
    for machine, name in (("x86_64", "x86_64"), ("aarch64", "aarch64"), ("arm", "arm"), (0x1C0, "PE_0x01c0")):
        artifact = everywhere(tmp_path, build.pe([section], machine=machine))
        assert (artifact.libraries[0].machine, codes(artifact)) == (name, [])
        assert artifact.libraries[0].fatbins[0].fatbin.section == ".nv_fatb"
        assert artifact.kind is ArtifactKind.LIBRARY
    foreign = build.pe([build.section(".hip_fatbin", b"x"), section])
    assert codes(everywhere(tmp_path, foreign)) == ["foreign-gpu-code"]
    hidden = build.pe([build.section(".rdata", build.cubin("sm_90a") + b"\0" + build.ptx().lstrip() + b"\0")])
    assert codes(everywhere(tmp_path, hidden)) == ["bare-images"]
    assert "1 PE" in scan(put(tmp_path, build.pe([]))).findings[-1].message


def test_pe_headers(tmp_path: Path) -> None:
    data = build.pe([build.section(".nv_fatbin", GOOD), build.section(".data", OTHER)], needed=("a.dll", "b.dll"))
    table = 64 + 24 + 240
    for raw in (patched(data, 60, "<I", 2**32 - 1), patched(data, 60, "<I", len(data) - 3), data[:70], data[:40]):
        with contextlib.suppress(ScanError):  # 70 bytes still show that it is one
            assert codes(scan(put(tmp_path, raw))) == ["truncated-file", "no-gpu-code"]
    for at, layout, value, code, found in (
        (table + 20, "<I", 2**32 - 1, "truncated-file", 0),  # the offset of the data
        (table + 16, "<I", 2**32 - 1, None, 1),  # its raw size is more than its size in memory
        (table + 20, "<I", 0, None, 0),
        (table + 8, "<I", 0, "damaged-fatbin", 1),  # nothing but its raw size: the padding shows
        (table + 20, "<I", 70, "damaged-pe", 0),
        (70, "<H", 0xFFFF, "truncated-file", 1),  # 65,535 sections
        (70, "<H", 0, None, 1),
        (84, "<H", 0xFFFF, "truncated-file", 1),  # the size of the optional header
        (84, "<H", 0, None, 0),
        (88, "<H", 0x107, None, 1),
        (88 + 112 + 8, "<I", 2**32 - 1, None, 1),  # the address of the imports
        (88 + 108, "<I", 1, None, 1),
        (table, "<Q", 0x39392F, "damaged-pe", 0),  # a long name without a string table
        (table, "<Q", 0x78782F, None, 0),
    ):
        artifact = everywhere(tmp_path, patched(data, at, layout, value))
        if code:
            assert code in codes(artifact), (at, value)
        assert targets(artifact).count("sm_80") >= found, (at, value)
    both_names = both(tmp_path, data, limits=Limits(sections=1))
    assert codes(both_names) == ["limit-reached"]


def test_pe_sections_that_overlap(tmp_path: Path) -> None:
    data = build.pe([build.section(".rdata", GOOD), build.section(".nv_fatbin", GOOD)])
    row = 64 + 24 + 240
    start = int.from_bytes(data[row + 60 : row + 64], "little")
    artifact = everywhere(tmp_path, patched(data, row + 20, "<I", start))
    assert [(g.fatbin.section, g.count) for g in artifact.libraries[0].fatbins] == [(".nv_fatb", 1)]


def test_pe_imports(tmp_path: Path) -> None:
    names = tuple(f"lib{i}.dll" for i in range(50))
    data = build.pe([build.section(".nv_fatbin", GOOD)], needed=names)
    assert everywhere(tmp_path, data).libraries[0].needed == names
    assert len(everywhere(tmp_path, data, limits=Limits(needed=7)).libraries[0].needed) == 7
    at = data.index(b"lib0.dll") - 20 * 51
    lost = patched(patched(data, at + 12, "<I", 2**31), at + 32, "<I", 7)
    assert everywhere(tmp_path, lost).libraries[0].needed == names[2:]
    assert everywhere(tmp_path, patched(data, at + 12, "<I", 0)).libraries[0].needed == ()


def test_a_pe_file_of_mingw_has_long_names(tmp_path: Path) -> None:
    data = build.pe([build.section("/4", GOOD)])
    data = patched(patched(data, 64 + 12, "<I", len(data)), 64 + 16, "<I", 0) + struct.pack("<I", 99) + b".nv_fatbin\0"
    assert everywhere(tmp_path, data).libraries[0].fatbins[0].fatbin.section == ".nv_fatbin"


# COFF


def test_coff(tmp_path: Path) -> None:
    section = build.section(".nv_fatbin$x", GOOD)
    artifact = everywhere(tmp_path, build.coff([section]), "a.obj")
    assert artifact.libraries[0].fatbins[0].fatbin.section == ".nv_fatbin"
    for machine in ("aarch64", "arm", "x86"):
        assert everywhere(tmp_path, build.coff([section], machine=machine)).libraries[0].machine == machine
    related = build.coff([build.section("__nv_relfatbin", GOOD)])
    assert codes(everywhere(tmp_path, related, "a.obj")) == ["link-input"]
    data = build.coff([section])
    for at, layout, value, code in (
        (8, "<I", 2**32 - 1, "damaged-pe"),
        (8, "<I", 0, "damaged-pe"),
        (12, "<I", 2**32 - 1, "damaged-pe"),
        (2, "<H", 0x200, "limit-reached"),
        (36, "<I", 2**32 - 1, "truncated-file"),
        (40, "<I", 2**32 - 1, "truncated-file"),
    ):
        with contextlib.suppress(ScanError):
            assert code in codes(both(tmp_path, patched(data, at, layout, value), limits=Limits(sections=50))), at
    big = build.coff([section], big=True)
    assert "limit-reached" in codes(everywhere(tmp_path, patched(big, 44, "<I", 2**32 - 1), limits=Limits(sections=9)))
    assert "truncated-file" in codes(everywhere(tmp_path, patched(big, 44, "<I", 60_000)))
    for raw in (
        data[:30],
        patched(data, 0, "<H", 0x1234),
        patched(data, 16, "<H", 9),
        patched(data, 20, "<Q", 1),
        big[:50],
    ):
        with pytest.raises(ScanError):
            scan(put(tmp_path, raw))


# Static libraries


def test_a_static_library_is_one_library(tmp_path: Path) -> None:
    section = build.section(".nv_fatbin", GOOD)
    members = [
        ("a.o", build.elf([section], object_file=True)),
        ("odd", b"x" * 33),
        ("b.obj", build.coff([section, build.section(".rdata", build.cubin("sm_75", kernels=("x",)))])),
        ("a name longer than fifteen bytes.o", build.elf([build.section("__nv_relfatbin", GOOD)], object_file=True)),
        ("k.cubin", build.cubin("sm_86")),
        ("k.fatbin", GOOD),
        ("k.ptx", build.ptx()),
        ("in.a", build.ar([("c.o", LIBRARY)])),
        ("n.zip", b"PK\x03\x04"),
        ("", b""),
    ]
    for style in ("gnu", "bsd", "msvc"):
        artifact = everywhere(tmp_path, build.ar(members, style), "libx.a")
        (library,) = artifact.libraries
        assert artifact.kind is ArtifactKind.LIBRARY
        assert (library.path, library.machine) == ("libx.a", "x86_64")
        counts = Counter[str]()
        for group in library.fatbins:
            counts[group.fatbin.section] += group.count
        assert counts == {".nv_fatbin": 3, "__nv_relfatbin": 1, "file": 3}
        assert codes(artifact) == ["bare-images"]
        assert not library.link_input
    mixed = build.ar([members[0], ("x.o", build.elf([section], machine="aarch64"))])
    assert everywhere(tmp_path, mixed).libraries[0].machine is None
    linkable = everywhere(tmp_path, build.ar([members[3]]))
    assert codes(linkable) == ["link-input"]
    assert codes(everywhere(tmp_path, build.ar([]))) == ["no-gpu-code"]


@pytest.mark.parametrize(
    "size", [b"-8", b"+8", b"0x10", b"1e3", b"", b" 8", b"8 8", b"9999999999", b"\xb2", b"4294967296"]
)
def test_ar_sizes(tmp_path: Path, size: bytes) -> None:
    data = build.ar([("a.o", LIBRARY)]) + build.ar_header(b"b.o/", size) + LIBRARY
    artifact = everywhere(tmp_path, data)
    assert targets(artifact)[:1] == ["sm_80"]
    assert set(codes(artifact)) & {"damaged-archive-member", "truncated-file"}


def test_hostile_static_libraries(tmp_path: Path) -> None:
    good = build.ar([("a.o", LIBRARY)])
    for data, code in (
        (build.ar([("../x.o", LIBRARY)], thin=True), "unreadable-file"),
        (good + bytes(60), "damaged-archive-member"),
        (good + b"junk", "truncated-file"),
        (good + build.ar_header(b"b.o", 8)[:58] + b"xx12345678", "damaged-archive-member"),
        (good + build.ar_header(b"b.o", 0) * 300, "limit-reached"),
        (build.ar([("a\x1b[31m.o", LIBRARY)]), "unsafe-name"),
        (build.ar([("/../../../etc/a long passwd", LIBRARY)], "bsd"), "unsafe-name"),
        (good + build.ar_header(b"#1/9999999999999", 4) + b"abcd", None),
        (good + build.ar_header(b"/999999", 4) + b"abcd", None),
        (good + build.ar_header(b"//", 0) * 5, None),
        (good + b"\n", None),
    ):
        artifact = everywhere(tmp_path, data, limits=Limits(members=200))
        assert codes(artifact)[:1] == ([code] if code else []), data[:100]
    nested = LIBRARY
    for _ in range(6):
        nested = build.ar([("a.o", nested)])
    assert targets(everywhere(tmp_path, nested)) == ["sm_80"]
    assert codes(both(tmp_path, nested, limits=Limits(nesting=3))) == ["limit-reached", "no-gpu-code"]
    many = build.ar([(f"{i}.o", build.library(build.fatbin([]) * 90)) for i in range(9)])
    assert codes(both(tmp_path, many, limits=Limits(entries=200))) == ["limit-reached"]
    broken = build.ar([("a.o", LIBRARY), ("b.o", patched(LIBRARY, 64, "<I", 7))])
    (finding,) = everywhere(tmp_path, broken).findings
    assert finding.path == "lib.dll!/b.o"


def test_static_libraries_that_end_early(tmp_path: Path) -> None:
    data = build.ar([("a.o", LIBRARY), ("b.o", OTHER)])
    for size in range(100, len(data) - 1, 97):
        artifact = scan(put(tmp_path, data[:size]))
        assert artifact.findings, size
        assert len(targets(artifact)) <= 2


# Tar archives


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_as_python_writes_it(tmp_path: Path, packer: str, form: int) -> None:
    deep = "d" * 80 + "/" + "e" * 90 + "/lib.so"
    members = {"pkg/a.so": LIBRARY, deep: OTHER, "./pkg/copy.so": LIBRARY, "pkg/a.py": b"pass", "umläut.so": OTHER}
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("pkg/other")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    path = put(tmp_path, PACKERS[packer](data.getvalue()), "x-1.0.tar.gz")
    artifact = scan(path, with_sha256=True)
    assert artifact.kind is ArtifactKind.ARCHIVE
    assert [(lib.path, lib.copies) for lib in artifact.libraries] == [
        (deep, ("umläut.so",)),
        ("pkg/a.so", ("pkg/copy.so",)),
    ]
    import hashlib

    assert artifact.libraries[1].sha256 == hashlib.sha256(LIBRARY).hexdigest()
    assert artifact.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (artifact.files, codes(artifact)) == (5, [])
    plain = scan(path)
    assert [lib.copies for lib in plain.libraries] == [lib.copies for lib in artifact.libraries]
    assert scan(build.zip_file(tmp_path / "o.zip", {"x.tgz": path.read_bytes()})).libraries[1].path == "x.tgz!/pkg/a.so"


def test_a_tar_without_magic(tmp_path: Path) -> None:
    data = build.tar(build.tar_member("a.so", LIBRARY, kind=b"\0", magic=b""), build.tar_member("d/", b"", kind=b"\0"))
    assert targets(scan(put(tmp_path, data))) == ["sm_80"]


def test_large_members_of_streams(tmp_path: Path) -> None:
    large = build.library(build.fatbin([build.sass(filler=20 << 20), build.sass("sm_80")]))
    related = build.ar([("large.o", large), ("b.o", OTHER)])
    data = build.tar(*(build.tar_member(name, large) for name in ("a.so", "b.so")), build.tar_member("c.a", related))
    for packed in (data, gzip.compress(data, 1)):
        artifact = scan(put(tmp_path, packed))
        assert [(lib.path, lib.copies) for lib in artifact.libraries] == [("a.so", ("b.so",)), ("c.a", ())]
        assert targets(artifact) == ["sm_90", "sm_80", "sm_90", "sm_80", "sm_90"]
        assert codes(artifact) == []
    cut = gzip.compress(data[: 30 << 20], 1)
    artifact = scan(put(tmp_path, cut))
    assert [lib.path for lib in artifact.libraries][:1] == ["a.so"]
    assert "truncated-file" in codes(artifact)
    damaged = large[:200] + b"\x50\xed\x55\xba\x01\0\x10\0" + large[208:]
    artifact = scan(put(tmp_path, gzip.compress(build.tar(build.tar_member("a.so", damaged)), 1)))
    loose = scan(put(tmp_path, damaged, "a.so"))
    assert (artifact.libraries, artifact.findings) == (loose.libraries, loose.findings)


def test_tar_headers(tmp_path: Path) -> None:
    first, last = build.tar_member("a.so", LIBRARY), build.tar_member("z.so", OTHER)
    size = b"\x80" + len(OTHER).to_bytes(11, "big")
    padded = OTHER + bytes(-len(OTHER) % 512)

    def rows(*parts: bytes) -> tuple[list[str], list[str]]:
        artifact = scan(put(tmp_path, build.tar(first, *parts, last)))
        packed = scan(put(tmp_path, gzip.compress(build.tar(first, *parts, last))))
        assert (artifact.libraries, artifact.findings) == (packed.libraries, packed.findings)
        names = [name for lib in artifact.libraries for name in (lib.path, *lib.copies)]
        return names, codes(artifact)

    def header(name: str = "b.so", number: int | bytes = len(OTHER), kind: bytes = b"0") -> bytes:
        return build.tar_header(name.encode(), number, kind=kind)

    assert rows() == (["a.so", "z.so"], [])
    assert rows(header(number=size), padded) == (["a.so", "b.so", "z.so"], [])
    for number in (b"-0000000012\0", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"99999999999\0", b"hello world\0"):
        assert rows(header(number=number), padded) == (["a.so"], ["damaged-archive-member"])
    assert rows(header(number=b"\x80" + (1 << 60).to_bytes(11, "big")), b"x" * 512) == (["a.so"], ["truncated-file"])
    assert rows(header(number=8**11 - 1), b"x" * 512)[1] == ["truncated-file"]
    assert rows(header()[:148] + b"0000000\0" + header()[156:]) == (["a.so"], ["damaged-archive-member"])
    assert rows(header(kind=b"S"), padded) == (["a.so", "z.so"], ["unreadable-file"])
    more = bytearray(header(kind=b"S"))
    more[482] = 1
    more[148:156] = b"%06o\0 " % (sum(more) - sum(more[148:156]) + 256)
    assert rows(bytes(more), bytes(504) + b"\1" + bytes(7), bytes(512), padded)[1] == ["unreadable-file"]
    assert rows(build.pax({"GNU.sparse.major": "1"}), header(), padded) == (["a.so", "z.so"], ["unreadable-file"])
    assert rows(build.pax({"path": "new/name.so"}), header(), padded)[0] == ["a.so", "new/name.so", "z.so"]
    longer = build.pax({"size": str(len(OTHER)), "comment": "x"})
    assert rows(longer, header(number=0), padded)[0] == ["a.so", "b.so", "z.so"]
    assert rows(build.pax({"comment": "git"}, kind=b"g"), header(), padded)[1] == []
    for lie in ("-5", "1e9", "", "9" * 19):
        assert rows(build.pax({"size": lie}), header(), padded) == (["a.so"], ["damaged-archive-member"])
    assert rows(build.pax({"size": "9" * 18}), header(), padded)[1] == ["truncated-file"]
    for junk in (b"99 a=b\n", b"junk", b"7 a=bcd", b"0 =\n", b"3 a=b\n", b"-1 a=b\n"):
        extended = build.tar_header(b"p", len(junk), kind=b"x") + junk.ljust(512, b"\0")
        assert rows(extended, header(), padded) == (["a.so", "b.so", "z.so"], ["damaged-archive-member"])
    assert rows(build.tar_member("x", bytes((1 << 20) + 1), kind=b"x"), header(), padded)[1] == ["limit-reached"]
    assert rows(build.tar_member("x", b"l" * 300 + b"\0", kind=b"L"), header(), padded)[0][1] == "l" * 300
    assert rows(build.tar_member("x", b"target", kind=b"K"), header(kind=b"2"))[0] == ["a.so", "z.so"]
    assert rows(build.tar_header(b"b.so", len(OTHER), prefix=b"pre/fix"), padded)[0] == ["a.so", "pre/fix/b.so", "z.so"]
    for name in ("/etc/x.so", "../x.so", "a\x1b[31m.so"):
        assert rows(build.tar_member(name, OTHER))[1] == ["unsafe-name"]
    assert rows(build.tar_member("a.so", OTHER))[1] == ["damaged-archive-member"]


def test_tars_without_an_end(tmp_path: Path) -> None:
    data = build.tar_member("a.so", LIBRARY) + build.tar_member("b.so", OTHER)
    assert codes(scan(put(tmp_path, data))) == ["truncated-file"]
    for size in range(600, len(data), 397):
        for packed in (data[:size], gzip.compress(data[:size]), gzip.compress(data)[: size // 3]):
            with contextlib.suppress(ScanError):
                assert "truncated-file" in codes(scan(put(tmp_path, packed)))


@pytest.mark.parametrize("packer", [name for name in PACKERS if name != "none"])
def test_damaged_compression(tmp_path: Path, packer: str) -> None:
    noise = random.Random(3).randbytes(300_000)  # noqa: S311 - repeatable on purpose
    data = PACKERS[packer](build.tar(build.tar_member("a.so", LIBRARY), build.tar_member("noise", noise)))
    changed = bytearray(data)
    changed[len(data) - 100_000 : len(data) - 99_900] = bytes(100)
    for raw in (bytes(changed), data[: len(data) - 90_000], data[:-2], data[:5]):
        with contextlib.suppress(ScanError):
            assert (
                set(codes(scan(put(tmp_path, raw)))) & {"damaged-archive-member", "truncated-file"} or packer == "zstd"
            )
    ends = codes(scan(put(tmp_path, data + bytes(700))))
    assert ends == (["damaged-archive-member"] if packer == "zstd" else [])
    assert targets(scan(put(tmp_path, data + bytes(700)))) == ["sm_80"]
    with pytest.raises(ScanError, match="no tar archive"):
        scan(put(tmp_path, PACKERS[packer](LIBRARY)))
    with pytest.raises(ScanError, match=r"damaged|no tar archive"):
        scan(put(tmp_path, data[:10] + b"\xff" * 60))
    small = bytearray(PACKERS["gzip"](build.tar(build.tar_member("a.so", LIBRARY))))
    small[-6] ^= 1  # the checksum
    with pytest.raises(ScanError, match="damaged"):
        scan(put(tmp_path, bytes(small)))
    path = build.zip_file(tmp_path / "a.zip", {"x.tgz": bytes(small), "b.so": OTHER})
    assert {(f.path, "damaged" in f.message) for f in scan(path).findings} == {("x.tgz", True)}


def test_compressed_tar_of_several_streams(tmp_path: Path) -> None:
    data = build.tar(build.tar_member("a.so", LIBRARY), build.tar_member("b.so", OTHER))
    for packer in (name for name in PACKERS if name != "none"):
        pack = PACKERS[packer]
        artifact = scan(put(tmp_path, pack(data[:1000]) + pack(data[1000:])))
        assert (targets(artifact), codes(artifact)) == (["sm_80", "sm_90"], []), packer


def test_tar_bombs(tmp_path: Path) -> None:
    bomb = build.tar_header(b"a.bin", 64 << 20) + bytes(64 << 20)
    for packer in ("gzip", "bzip2", "xz", "zstd"):
        path = put(tmp_path, PACKERS[packer](build.tar(build.tar_member("a.so", LIBRARY))[:-1024] + bomb))
        started = time.process_time()
        artifact = scan(path, limits=Limits(ratio=10, ratio_from_bytes=1 << 20))
        assert time.process_time() - started < 5
        assert "limit-reached" in codes(artifact), packer
        assert targets(artifact) == ["sm_80"]
        assert codes(scan(path, limits=Limits(total_bytes=10 << 20))).count("limit-reached") >= 1
    files = build.tar(*(build.tar_member(f"{i}", b"") for i in range(50)))
    assert codes(scan(put(tmp_path, files), limits=Limits(members=20))) == ["limit-reached", "no-gpu-code"]


# Archives in archives


def test_a_directory_of_artifacts(tmp_path: Path) -> None:
    root = tmp_path / "dist"
    root.mkdir()
    wheel = build.wheel(root, "my-pkg", "1.0", {"my_pkg/_C.so": LIBRARY, "my_pkg/copy.so": LIBRARY})
    put(root, gzip.compress(build.tar(build.tar_member("my-pkg/a.so", OTHER))), "my-pkg-1.0.tar.gz")
    put(root, gzip.compress(b"no archive"), "x.gz")
    put(root, build.ar([("a.o", OTHER)]), "lib.a")
    artifact = scan(root)
    assert [(lib.path, lib.copies) for lib in artifact.libraries] == [
        ("lib.a", ()),
        ("my-pkg-1.0.tar.gz!/my-pkg/a.so", ()),
        (f"{wheel.name}!/my_pkg/_C.so", (f"{wheel.name}!/my_pkg/copy.so",)),
    ]
    assert (codes(artifact), artifact.files) == ([], 10)
    assert [lib.copies for lib in scan(root, with_sha256=True).libraries] == [lib.copies for lib in artifact.libraries]


def packed(kind: str, name: str, data: bytes) -> bytes:
    if kind.startswith("zip"):
        stream = io.BytesIO()
        with zipfile.ZipFile(
            stream, "w", zipfile.ZIP_STORED if kind == "zip, stored" else zipfile.ZIP_DEFLATED
        ) as file:
            file.writestr(zipfile.ZipInfo(name), data, file.compression)
        return stream.getvalue()
    return PACKERS[kind](build.tar(build.tar_member(name, data)))


@pytest.mark.parametrize(
    "kinds", list(itertools.product(["zip", "zip, stored", "none", "gzip"], ["zip", "zip, stored", "none", "zstd"]))
)
def test_nesting(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    data = LIBRARY
    name = "lib.so"
    path = name
    for i, kind in enumerate((*kinds, "bzip2")):
        data = packed(kind, name, data)
        name = f"{i}.bin"
        path = path if i == 2 else f"{name}!/{path}"
    artifact = scan(put(tmp_path, data))
    assert [lib.path for lib in artifact.libraries] == [path]
    assert (targets(artifact), codes(artifact), artifact.files) == (["sm_80"], [], 3)
    assert scan(put(tmp_path, data), limits=Limits(nesting=2)).libraries == artifact.libraries
    deep = scan(put(tmp_path, data), limits=Limits(nesting=1))
    assert codes(deep) == ["limit-reached", "no-gpu-code"]
    (tmp_path / "d").mkdir()
    put(tmp_path / "d", data, "x")
    assert [lib.path for lib in scan(tmp_path / "d").libraries] == [f"x!/{path}"]


@pytest.mark.parametrize("kind", ["zip", "zip, stored", "none", "gzip"])
def test_deep_nesting_ends(tmp_path: Path, kind: str) -> None:
    data = packed(kind, "lib.so", LIBRARY)
    for _ in range(64):
        data = packed(kind, "a", data)
    assert codes(scan(put(tmp_path, data))) == []
    assert codes(scan(put(tmp_path, packed(kind, "a", data)))) == ["limit-reached", "no-gpu-code"]


def test_broken_archives_in_archives(tmp_path: Path) -> None:
    inner = packed("zip", "lib.so", LIBRARY)
    rows = {
        "a.zip": inner[:-30],
        "b.zip": patched(inner, len(inner) - 10, "<I", 100),
        "c.so": OTHER,
        "d.zip": packed("zip", "lib.so", LIBRARY * 9),
    }
    artifact = scan(build.zip_file(tmp_path / "o.zip", rows))
    assert [(f.code, f.path) for f in artifact.findings] == [("truncated-file", "a.zip"), ("unreadable-file", "b.zip")]
    assert [lib.path for lib in artifact.libraries] == ["c.so", "d.zip!/lib.so"]
    path = build.zip_file(tmp_path / "o.zip", {"a.zip": inner, "c.so": OTHER})
    artifact = scan(path, limits=Limits(nested_bytes=50))
    assert [(f.code, f.path) for f in artifact.findings] == [("limit-reached", "a.zip")]
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as file:
        for i in range(30):
            file.writestr(f"{i}", b"")
    path = build.zip_file(tmp_path / "o.zip", {"a.zip": many.getvalue(), "z.so": OTHER})
    artifact = scan(path, limits=Limits(members=20))
    assert [(f.code, f.path) for f in artifact.findings] == [("limit-reached", "a.zip")]
    assert targets(artifact) == ["sm_90"]
    path = build.zip_file(
        tmp_path / "o.zip", {f"{i}.tar": build.tar(*[build.tar_member("x", b"")] * 9) for i in range(9)}
    )
    assert "Only the first 20 files" in str(scan(path, limits=Limits(members=20)).findings)
    twice = build.zip_file(tmp_path / "o.zip", {"a.tar": build.tar(build.tar_member("l.so", LIBRARY)), "l.so": LIBRARY})
    for hashed in (False, True):
        assert len(scan(twice, with_sha256=hashed).libraries) == 2


def test_time_runs_out_within(tmp_path: Path) -> None:
    for data in (build.tar(build.tar_member("a.so", LIBRARY)), build.ar([("a.o", LIBRARY)])):
        for path in (
            put(tmp_path, data),
            put(tmp_path, gzip.compress(data)),
            build.zip_file(tmp_path / "z", {"a": data}),
        ):
            with contextlib.suppress(ScanError):
                assert "limit-reached" in codes(scan(path, limits=Limits(seconds=1e-9)))


# Mutations


def seeds() -> dict[str, bytes]:
    rows = [build.sass("sm_90a", compression="zstd"), build.ptx_entry(compression="lz4")]
    plain = build.fatbin(rows) + build.fatbin([build.sass("sm_75")])
    sections = [
        build.section(".rdata", bytes(8) + plain + build.cubin("sm_100a", toolkit=(13, 0))),
        build.section(".nv_fatbin", plain),
        build.section(".text", plain, flags=6),
    ]
    coff = build.coff(sections)
    member = build.pax({"path": "long/name.so", "size": str(len(LIBRARY))})
    tar = build.tar(
        build.tar_member("a.dll", build.pe(sections)), member, build.tar_member("b.so", LIBRARY),
        build.tar_member("l", b"n" * 120 + b"\0", kind=b"L"), build.tar_member("c.a", build.ar([("a", LIBRARY)])),
    )  # fmt: skip
    return {
        "pe": build.pe(sections, needed=("a.dll", "b.dll")),
        "coff": coff,
        "bigobj": build.coff(sections, big=True),
        "ar": build.ar([("a.o", LIBRARY), ("a very long name of one.obj", coff), ("k.ptx", build.ptx())]),
        "bsd": build.ar([("a.o", LIBRARY), ("in.a", build.ar([("b.o", OTHER)]))], "bsd"),
        "tar": tar,
        "tar.gz": gzip.compress(tar, mtime=0),
        "tar.xz": lzma.compress(tar),
        "tar.zst": PACKERS["zstd"](tar),
        "nested": packed("zip", "a.tar", packed("gzip", "b.zip", packed("zip, stored", "a.tar", tar))),
    }


SEEDS = seeds()


@pytest.mark.parametrize("kind", SEEDS)
def test_mutations_give_a_result_or_an_error(tmp_path: Path, kind: str) -> None:
    source = random.Random(kind)  # noqa: S311 - repeatable on purpose
    limits = Limits(image_bytes=1 << 20, ratio_from_bytes=1 << 20, entries=2_000, members=200)
    single = kind in ("pe", "coff", "bigobj", "ar", "bsd")
    for round_ in range(1_000):
        data = SEEDS[kind]
        if round_ % 3 == 0:  # near its headers
            cut = min(len(data), 700)
            data = mutate(source, data[:cut]) + data[cut:]
        else:
            data = mutate(source, data)
        started = time.process_time()
        with contextlib.suppress(ScanError):
            if round_ % 5 or not single:
                scan(put(tmp_path, data), limits=limits)
            else:
                both(tmp_path, data, limits=limits)
        assert time.process_time() - started < 5


def test_extended_headers_of_a_tar_are_not_hoarded(tmp_path: Path) -> None:
    """Each may hold a megabyte of keys; three of them mean something."""
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(40):
            info = tarfile.TarInfo(f"{number}.txt")
            info.pax_headers = {f"KEY.{number}.{i}": "v" * 60 for i in range(4_000)}
            archive.addfile(info)
    path = tmp_path / "keys.tar"
    path.write_bytes(blob.getvalue())
    tracemalloc.start()
    scan(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20, "forty headers of 300 KB are never held together"


def test_a_zip_is_bounded_by_the_directory_that_zipfile_reads(tmp_path: Path) -> None:
    """With a zip64 locator `zipfile` believes the zip64 record, whatever the sizes in the end record."""
    path = tmp_path / "wide.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(300):
            archive.writestr(f"{number}.txt", "")
    data = bytearray(path.read_bytes())
    end = data.rfind(b"PK\x05\x06")
    size, start = struct.unpack_from("<II", data, end + 12)
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 300, 300, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    struct.pack_into("<HHII", data, end + 8, 1, 1, 46, start)
    path.write_bytes(bytes(data[:end]) + wide + locator + bytes(data[end:]))
    assert len(zipfile.ZipFile(path).namelist()) == 300
    with pytest.raises(LimitError):
        scan(path, limits=Limits(members=100))
