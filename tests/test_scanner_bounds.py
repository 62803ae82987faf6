"""Small files that unpack to much: what they take of memory and time is bounded over everything that is in them."""

from __future__ import annotations

import bz2
import gzip
import importlib
import importlib.util
import io
import lzma
import os
import struct
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import build
import pytest
import zstandard
from plain import unmeasured
from test_scanner import codes, put

from capably.errors import LimitError
from capably.scanner import Limits, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from capably.facts import Artifact

LIBRARY = build.library(build.fatbin([build.sass("sm_80")]))
OTHER = build.library(build.fatbin([build.sass("sm_90")]))
MEGABYTE = 1 << 20
deflate = importlib.import_module("isal.isal_zlib" if importlib.util.find_spec("isal") else "zlib")  # ten times as fast


def packed(engine: Any, parts: Iterable[bytes]) -> bytes:
    return b"".join([engine.compress(part) for part in parts]) + bytes(engine.flush())


def zst(*parts: bytes, window: int = 27) -> bytes:
    """One frame that needs a window of two to that power, whatever its size."""
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=window)
    return packed(zstandard.ZstdCompressor(compression_params=parameters).compressobj(), parts)


def xz(*parts: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 64 * MEGABYTE}]
    return packed(lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters), parts)


def gz(*parts: bytes) -> bytes:
    return packed(deflate.compressobj(1, deflate.DEFLATED, 31), parts)


def nested(levels: int, pack: Callable[..., bytes], padding: int) -> bytes:
    """Archives in archives, each behind so many bytes that fill a window."""
    before, end = build.tar_member("z", bytes(padding)), build.tar()
    data = build.tar_member("a.so", LIBRARY)
    for _ in range(levels):
        data = build.tar_member("n", pack(before, data, end))
    return pack(data, end)


def long_name(name: bytes) -> bytes:
    """The header of GNU tar for it."""
    size = len(name) + 1
    return build.tar_header(b"././@LongLink", size, kind=b"L", magic=b"ustar  \0") + name + bytes(512 - len(name) % 512)


def named(name: bytes, data: bytes) -> bytes:
    return long_name(name) + build.tar_member("short", data)


def zip_names(count: int, size: int) -> bytes:
    """A zip of empty members whose names are no text and stand in its directory only."""
    names = [b"%06d" % number + b"\xff" * (size - 6) for number in range(count)]
    local = struct.pack("<4s2B4HL2L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"l"
    central = b"".join(
        struct.pack(
            "<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0x800, 0, 0, 0, 0, 0, 0, size, 0, 0, 0, 0, 0, len(local) * number
        )
        + name
        for number, name in enumerate(names)
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(central), len(local) * count, 0)
    return local * count + central + end


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method, compresslevel=1) as made:
        for name, data in members.items():
            made.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def deep_names() -> bytes:
    """Each name is told of with those of all archives around it."""
    data = build.tar(*[build.tar_member(str(number), LIBRARY) for number in range(1_000)])
    for _ in range(20):
        data = build.tar(named(b"x" * 60_000, data))
    return gz(data)


def tables_in_tables() -> bytes:
    """Static libraries in each other, each with a table of names of 15 MB."""
    parts = [LIBRARY]
    table = (os.urandom(100) + bytes(20_000)) * 800
    for _ in range(22):
        inside = build.ar_header(b"a/", sum(map(len, parts)))
        parts = [b"!<arch>\n", build.ar_header(b"//", len(table)), table, inside, *parts]
    size = sum(map(len, parts))
    return gz(build.tar_header(b"l.a", size), *parts, bytes(-size % 512 + 1024))


ROWS = b"7 a=bb\n" * (MEGABYTE // 7)
ATTACKS: dict[str, Callable[[], bytes]] = {
    "windows of zstd": lambda: nested(8, zst, 60 * MEGABYTE),
    "windows of xz": lambda: nested(7, xz, 50 * MEGABYTE),
    "names of GNU tar": lambda: gz(*(named(b"%06d" % n + b"x" * 60_000, LIBRARY) for n in range(5_000))),
    "names of pax": lambda: gz(
        *(build.pax({"path": f"{n}" + "x" * 60_000}) + build.tar_member("x", LIBRARY) for n in range(5_000))
    ),
    "one name of pax for all": lambda: gz(
        build.pax({"path": "g" * 65_000}, kind=b"g"), *[build.tar_header(b"x", 0) * 1_000] * 150
    ),
    "rows of pax": lambda: gz(
        *[build.tar_header(b"p", len(ROWS), kind=b"x") + ROWS + bytes(-len(ROWS) % 512) + build.tar_header(b"x", 0)]
        * 120
    ),
    "links in a tar": lambda: gz(*[build.tar_header(b"l", 0, kind=b"2") * 1_000] * 500),
    "names in a zip": lambda: gz(build.tar(build.tar_member("z.zip", zip_names(3_000, 64_000)))),
    "names of archives around": deep_names,
    "a zip held in memory": lambda: gz(
        build.tar(build.tar_member("z", zipped({"z": (os.urandom(1_000) + bytes(300_000)) * 1_000}, 0)))
    ),
    "a cubin held in memory": lambda: zipped({"a.cubin": build.cubin() + bytes(200 * MEGABYTE)}),
    "tables of static libraries": tables_in_tables,
    "empty streams": lambda: (
        gzip.compress(build.tar(build.tar_member("a.so", LIBRARY))) + gzip.compress(b"") * 1_000_000
    ),
    "all levels together": lambda: nested(40, gz, 40 * MEGABYTE),
}

# The peak of the process itself: `ru_maxrss` counts that of the one that started it, too.
CHILD = """
import re, sys, time
from capably.cli import main
report, scanned = sys.argv[1:]
codes = [main(["scan", "--no-cache", scanned, *options]) for options in ((), ("--json",))]
peak = re.search(r"VmHWM:\\s*([0-9]+) kB", open("/proc/self/status").read())[1]
open(report, "w").write(f"{max(codes)} {int(peak) >> 10} {time.process_time() / 2}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("attack", ATTACKS)
def test_small_files_take_little_memory_and_time(tmp_path: Path, attack: str) -> None:
    path = put(tmp_path, ATTACKS[attack](), "attack")
    report = tmp_path / "report"
    command = [sys.executable, "-c", CHILD, str(report), str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=unmeasured(), capture_output=True, check=False)
    assert not done.returncode, done.stderr[-2_000:]
    code, megabytes, seconds = report.read_text().split()
    assert int(code) in (0, 2), done.stderr[-2_000:]
    assert int(megabytes) < 300
    assert float(seconds) < 5
    assert len(done.stdout) < 4 * MEGABYTE
    text, _, document = done.stdout.decode().partition("\n{")
    assert "limit" in text
    assert '"limit-reached"' in document
    assert max(map(len, text.split("\n"))) < 300, "a name is never more than a line"


# Windows of decompressors


def paths(artifact: Artifact) -> list[str]:
    return [library.path for library in artifact.libraries]


def test_windows_count_over_all_levels(tmp_path: Path) -> None:
    inner = build.tar(build.tar_member("a.so", LIBRARY))
    two = zst(build.tar(build.tar_member("n", zst(inner, window=20)), build.tar_member("b.so", OTHER)), window=20)
    path = put(tmp_path, two)
    assert paths(scan(path, limits=Limits(nested_bytes=2 * MEGABYTE))) == ["b.so", "n!/a.so"]
    less = scan(path, limits=Limits(nested_bytes=2 * MEGABYTE - 1))
    assert paths(less) == ["b.so"], "what follows the archive that is too much is read"
    assert [(finding.code, finding.path) for finding in less.findings] == [
        ("limit-reached", "n"),
        ("unreadable-file", "n"),
    ]
    none = scan(put(tmp_path, zst(inner, window=20), "one"), limits=Limits(nested_bytes=MEGABYTE))
    assert codes(none) == []


@pytest.mark.parametrize(
    ("data", "needed"),
    [
        (gzip.compress(build.tar(build.tar_member("a.so", LIBRARY))), 64 << 10),
        (bz2.compress(build.tar(build.tar_member("a.so", LIBRARY))), 4 << 20),
        (xz(build.tar(build.tar_member("a.so", LIBRARY))), 64 << 20),
        (zst(build.tar(build.tar_member("a.so", LIBRARY)), window=23), 8 << 20),
        (
            lzma.compress(
                build.tar(build.tar_member("a.so", LIBRARY)),
                lzma.FORMAT_XZ,
                filters=[{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "dict_size": 3 << 20}],
            ),
            3 << 20,
        ),
    ],
    ids=["gzip", "bzip2", "xz", "zstd", "xz with a filter"],
)
def test_each_compression_counts_as_much_as_it_takes(tmp_path: Path, data: bytes, needed: int) -> None:
    inside = put(tmp_path, build.tar(build.tar_member("n", data)), "whole")
    assert paths(scan(inside, limits=Limits(nested_bytes=needed))) == ["n!/a.so"]
    assert "limit-reached" in codes(scan(inside, limits=Limits(nested_bytes=needed - 1)))


def test_siblings_have_the_memory_one_after_the_other(tmp_path: Path) -> None:
    one = zst(build.tar(build.tar_member("a.so", LIBRARY)), window=20)
    archive = build.tar(*[build.tar_member(str(number), one) for number in range(9)])
    assert codes(scan(put(tmp_path, archive), limits=Limits(nested_bytes=MEGABYTE))) == []


def test_frames_of_zstd_follow_each_other_with_windows_of_their_own(tmp_path: Path) -> None:
    data = build.tar(build.tar_member("a.so", LIBRARY), build.tar_member("b.so", OTHER))
    skipped = struct.pack("<II", 0x184D2A5A, 5) + b"skips"
    checked = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False)
    parts = [
        zst(data[:700], window=20),
        skipped,
        skipped,
        zst(b""),
        checked.compress(data[700:900]),
        zst(data[900:], window=24),
    ]
    whole = b"".join(parts)
    assert paths(scan(put(tmp_path, whole))) == ["a.so", "b.so"]
    assert codes(scan(put(tmp_path, whole + skipped))) == []
    assert codes(scan(put(tmp_path, whole), limits=Limits(nested_bytes=MEGABYTE)))[0] == "limit-reached"
    for cut in (1, 3, 9, len(parts[-1]) - 7):
        assert codes(scan(put(tmp_path, whole[:-cut])))[:1] == ["truncated-file"], cut
    assert codes(scan(put(tmp_path, whole + skipped[:-2]))) == ["truncated-file"]


def test_all_that_lies_in_a_file_counts_together(tmp_path: Path) -> None:
    """No level unpacks to much more than it is, yet all of them do."""
    data = build.tar(build.tar_member("a.so", LIBRARY), build.tar_member("z", bytes(1 << 16)))
    for _ in range(20):
        data = gzip.compress(build.tar(build.tar_member("n", data), build.tar_member("z", bytes(1 << 16))))
    path = put(tmp_path, data)
    limits = Limits(ratio=200, ratio_from_bytes=1 << 18, file_from_bytes=1 << 20)
    assert len(data) * 200 < 21 << 16
    assert "limit-reached" in codes(scan(path, limits=limits))
    assert codes(scan(path, limits=Limits(ratio=200, ratio_from_bytes=1 << 18))) == []
    (tmp_path / "d").mkdir()
    for name in ("a", "b", "c"):
        put(tmp_path / "d", data if name == "b" else gzip.compress(build.tar(build.tar_member("l", LIBRARY))), name)
    assert {"a!/l", "c!/l"} <= {
        path for library in scan(tmp_path / "d", limits=limits).libraries for path in (library.path, *library.copies)
    }, "another file has its own"


# Names

ROOM = Limits(path_bytes=50)


@pytest.mark.parametrize("kind", ["tar", "pax", "zip", "ar"])
def test_names_that_are_too_long_are_told_of_and_the_rest_is_read(tmp_path: Path, kind: str) -> None:
    fits, over = "f" * 50, "o" * 51
    if kind == "ar":
        members = [(fits[5:], LIBRARY), (over[5:], OTHER)]
        artifact = scan(put(tmp_path, build.ar(members), "a.a"), limits=Limits(path_bytes=50))
        shown = "a.a!/" + over[5:]
    elif kind == "zip":
        artifact = scan(build.zip_file(tmp_path / "a.zip", {over: OTHER, fits: LIBRARY}), limits=ROOM)
        shown = over
    else:
        rows = ((over, OTHER), (fits, LIBRARY))
        heads = [long_name(name.encode()) if kind == "tar" else build.pax({"path": name}) for name, _ in rows]
        parts = [head + build.tar_member("x", data) for head, (_, data) in zip(heads, rows, strict=True)]
        artifact = scan(put(tmp_path, build.tar(*parts)), limits=ROOM)
        shown = over[:50]
    assert [(finding.code, finding.path) for finding in artifact.findings] == [("limit-reached", shown)]
    assert "too long" in artifact.findings[0].message
    (library,) = artifact.libraries
    assert {str(image.target) for group in library.fatbins for image in group.fatbin.images} == {"sm_80"}


def test_a_name_counts_with_the_archives_that_it_is_in(tmp_path: Path) -> None:
    inner = build.tar(build.tar_member("b" * 20, LIBRARY))
    path = put(tmp_path, build.tar(build.tar_member("a" * 28, inner)))
    assert codes(scan(path, limits=ROOM)) == []
    assert codes(scan(path, limits=Limits(path_bytes=49))) == ["limit-reached", "no-gpu-code"]


def test_names_in_findings_are_cut(tmp_path: Path) -> None:
    (finding,) = scan(build.zip_file(tmp_path / "a.zip", {"n" * 60_000: b"", "a.so": LIBRARY})).findings
    assert finding.code == "limit-reached"
    assert len(finding.path) < 300


@pytest.mark.parametrize("kind", ["tar", "links", "headers", "sparse", "ar", "directory", "needed", "sections"])
def test_names_count_together(tmp_path: Path, kind: str) -> None:
    some = range(200)
    if kind == "directory":
        for number in some:
            put(tmp_path, b"", f"{number}")
        path = tmp_path
    elif kind == "tar":
        path = put(tmp_path, build.tar(*[build.tar_member(f"{number}", b"") for number in some]))
    elif kind == "links":
        path = put(tmp_path, build.tar(build.tar_header(b"l", 0, kind=b"2") * 200))
    elif kind == "headers":
        path = put(tmp_path, build.tar(build.pax({"comment": "c" * 100}) * 200))
    elif kind == "sparse":
        head = bytearray(build.tar_header(b"s", 0, kind=b"S", magic=b"ustar  \0"))
        head[482] = 1
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        path = put(tmp_path, bytes(head) + (bytes(504) + b"\1" + bytes(7)) * 200)
    elif kind == "ar":
        path = put(tmp_path, build.ar([(f"{number}.o", b"") for number in some]))
    elif kind == "needed":
        path = put(tmp_path, build.library(build.fatbin([build.sass()]), needed=tuple(f"lib{n}.so" * 9 for n in some)))
    else:
        rows = [build.section(f".{number}" * 20, build.fatbin([build.sass()])) for number in some]
        path = put(tmp_path, build.elf(rows))
    assert "limit-reached" not in codes(scan(path))
    assert "limit-reached" in codes(scan(path, limits=Limits(names_bytes=8_000)))


def test_names_of_a_zip_count_together(tmp_path: Path) -> None:
    members = {f"{number}": b"" for number in range(200)}
    path = build.zip_file(tmp_path / "a.zip", members)
    with pytest.raises(LimitError, match="names"):
        scan(path, limits=Limits(names_bytes=8_000))
    inside = build.zip_file(tmp_path / "b.zip", {"a.so": LIBRARY, "z.zip": path.read_bytes()})
    artifact = scan(inside, limits=Limits(names_bytes=8_000))
    assert (paths(artifact), codes(artifact)) == (["a.so"], ["limit-reached"])


def test_a_directory_of_a_zip_is_read_in_pieces_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"{number}" * 30: LIBRARY if number == 77 else b"" for number in range(150)}
    path = build.zip_file(tmp_path / "a.zip", members)
    expected = scan(path)
    assert paths(expected) == ["77" * 30]
    for step in (1, 7, 46, 1000):
        monkeypatch.setattr("capably.scanner.directory._STEP", step)
        monkeypatch.setattr("capably.scanner.directory._LONGEST_RECORD", 46 + 300)
        assert scan(path) == expected


def test_findings_that_are_not_kept_leave_nothing_behind() -> None:
    from capably.scanner.findings import Findings

    findings = Findings(10)
    for number in range(1_000):
        findings.add("unsafe-name", f"{number}", "It is.")
    assert len(findings.take()) == 10
    assert len(findings._alike) <= 10
