"""Hostile and damaged input: a result or a ScanError, within bounds, and the rest is still read."""

from __future__ import annotations

import contextlib
import random
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import build
import pytest
import zstandard
from test_scanner import both, codes, put

from capably.errors import LimitError, ScanError, TruncatedError
from capably.facts import Artifact, Compression
from capably.scanner import Limits, scan
from capably.scanner.elf import elf_ranges
from capably.scanner.fatbin import MAGIC
from capably.scanner.limits import Budget
from capably.scanner.payload import Payload, PayloadError, lz4_prefix
from capably.scanner.source import BytesSource, FileSource, StreamSource

GOOD = build.fatbin([build.sass("sm_80")])
Edit = Callable[[bytearray, list[int]], None]
CRASHERS = sorted((Path(__file__).parent / "crashers").glob("*.bin"))


def patched(data: bytes, offset: int, layout: str, value: int) -> bytes:
    raw = bytearray(data)
    struct.pack_into(layout, raw, offset, value)
    return bytes(raw)


def targets(artifact: Artifact) -> list[str]:
    return [
        str(image.target)
        for library in artifact.libraries
        for group in library.fatbins
        for _ in range(group.count)
        for image in group.fatbin.images
    ]


# Fatbin and entry headers


@pytest.mark.parametrize("size", [0, 8, 15, 20, 72, 0xFFFF])
def test_fatbin_header_size(tmp_path: Path, size: int) -> None:
    artifact = both(tmp_path, build.library(GOOD, patched(GOOD, 6, "<H", size), build.fatbin([build.sass("sm_90")])))
    assert "damaged-fatbin" in codes(artifact)
    assert targets(artifact) == ["sm_80", "sm_90"]


def test_other_version_and_header_size_are_read_in_their_section(tmp_path: Path) -> None:
    data = struct.pack("<IHHQ8x", 0xBA55ED50, 3, 24, len(GOOD) - 16) + GOOD[16:]
    artifact = both(tmp_path, build.library(data))
    assert targets(artifact) == ["sm_80"]
    assert codes(artifact) == []
    assert targets(both(tmp_path, build.elf([build.section(".rodata", data)]))) == []


def test_half_a_header_out_of_line_hides_nothing_of_a_data_section(tmp_path: Path) -> None:
    data = build.elf([build.section(".data", bytes(2) + GOOD[:14] + GOOD)])
    assert targets(both(tmp_path, data)) == ["sm_80"]


@pytest.mark.parametrize("size", [2**64 - 1, 2**63, 10**6])
def test_fatbin_size_behind_the_end(tmp_path: Path, size: int) -> None:
    artifact = both(tmp_path, build.library(GOOD, patched(GOOD, 8, "<Q", size)))
    assert targets(artifact) == ["sm_80", "sm_80"]
    assert "damaged-fatbin" in codes(artifact)


def test_fatbin_size_that_swallows_the_next(tmp_path: Path) -> None:
    other = build.fatbin([build.sass("sm_90")])
    artifact = both(tmp_path, build.library(patched(GOOD, 8, "<Q", len(GOOD) + 100), other, other))
    assert targets(artifact) == ["sm_80", "sm_90", "sm_90"]
    assert codes(artifact) == ["damaged-fatbin"]
    artifact = both(tmp_path, build.library(patched(GOOD, 8, "<Q", 72), other))
    assert targets(artifact) == ["sm_90"]
    assert codes(artifact) == ["damaged-fatbin"]


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [(4, "<I", 0), (4, "<I", 68), (4, "<I", 2**32 - 8), (8, "<Q", 2**64 - 8), (8, "<Q", 10**6), (16, "<I", 2**31)],
)
def test_entry_header(tmp_path: Path, offset: int, layout: str, value: int) -> None:
    bad = patched(build.fatbin([build.sass("sm_75"), build.sass("sm_90")]), 16 + offset, layout, value)
    artifact = both(tmp_path, build.library(GOOD, bad, GOOD))
    assert targets(artifact) == ["sm_80", "sm_80"]
    assert set(codes(artifact)) == {"damaged-fatbin"}


def test_zero_sized_entries_end(tmp_path: Path) -> None:
    bad = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 640) + bytes(640)
    assert "damaged-fatbin" in codes(both(tmp_path, build.library(bad, GOOD)))


def test_names_and_options_out_of_bounds_do_not_matter(tmp_path: Path) -> None:
    for offset in (20, 32, 36):
        artifact = both(tmp_path, build.library(patched(GOOD, 16 + offset, "<I", 2**32 - 1)))
        assert (targets(artifact), codes(artifact)) == (["sm_80"], [])


def test_lost_magic_is_noticed(tmp_path: Path) -> None:
    artifact = both(tmp_path, build.library(GOOD, patched(GOOD, 0, "<I", 7), GOOD))
    assert (targets(artifact), codes(artifact)) == (["sm_80"] * 2, ["damaged-fatbin"])
    for data in (bytes(500), b"junk" * 99, GOOD + bytes(200), bytes(72) + GOOD):
        assert "damaged-fatbin" in codes(both(tmp_path, build.library(data)))
    assert codes(both(tmp_path, build.library(bytes(40) + GOOD, GOOD[:8]))) == ["damaged-fatbin"]


@pytest.mark.parametrize("count", [300, 3000])
def test_more_entries_than_the_limit(tmp_path: Path, count: int) -> None:
    for data in (
        build.library(build.fatbin([]) * count),
        build.library(build.fatbin([build.entry(0x20, None, b"")] * count)),
        build.library(build.fatbin([build.concat([build.ptx_entry()] * count)])),
        build.elf([build.section(".text", build.fatbin([]) * count, flags=6), build.section(".nv_fatbin", GOOD)]),
    ):
        artifact = both(tmp_path, data, limits=Limits(entries=200))
        assert "limit-reached" in codes(artifact) or targets(artifact) == ["sm_80"]
        assert len(targets(artifact)) <= 202


def test_many_empty_fatbins_are_quick(tmp_path: Path) -> None:
    started = time.process_time()
    artifact = scan(put(tmp_path, build.library(build.fatbin([]) * 100_000)))
    assert artifact.libraries[0].fatbins[0].count == 100_000
    assert time.process_time() - started < 20


def test_many_rejects_fall_back_to_sections(tmp_path: Path) -> None:
    bad = build.fatbin([])[:6] + b"\xff" * 10
    sections = [build.section(".text", bad * 2_000, flags=6), build.section(".nv_fatbin", GOOD)]
    assert targets(both(tmp_path, build.elf(sections))) == ["sm_80"]
    assert set(codes(both(tmp_path, build.library(bad * 2_000)))) == {"damaged-fatbin", "no-gpu-code"}


def test_findings_are_bounded(tmp_path: Path) -> None:
    bad = build.fatbin([])[:6] + b"\xff" * 10
    artifact = scan(put(tmp_path, build.library(bad * 500)), limits=Limits(findings=10))
    assert [finding.code for finding in artifact.findings[-2:]] == ["limit-reached", "no-gpu-code"]
    assert len(artifact.findings) == 11
    assert len(scan(put(tmp_path, build.library(bad * 500))).findings) == 21


def test_overlapping_cubins_cost_little(tmp_path: Path) -> None:
    cubin = patched(build.cubin(), 62, "<H", 77)
    cubin = patched(cubin, 40, "<Q", 900_000)
    artifact = both(tmp_path, build.elf([build.section(".rodata", cubin[:64] * 15_000)]))
    assert artifact.libraries == ()
    inner = patched(build.cubin(), 40, "<Q", 10**12)
    assert both(tmp_path, build.elf([build.section(".rodata", inner)])).libraries == ()


def test_bare_ptx_without_end(tmp_path: Path) -> None:
    text = build.ptx() + b" " * 300_000
    artifact = both(tmp_path, build.elf([build.section(".rodata", text)]))
    assert artifact.libraries[0].bare[0].image.stub is False


# Payloads


def test_payload_bombs(tmp_path: Path) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(100 << 20))
    entry = build.entry("sass", "sm_80", bomb, flags=0x8000)
    limits = Limits(image_bytes=1 << 20, ratio_from_bytes=1 << 20)
    cubin_bomb = build.sass("sm_80", kernels=(), filler=0)
    big = build.entry("sass", "sm_80", cubin_bomb.payload + bytes(50 << 20), compression="zstd")
    for item, code in ((entry, "damaged-image"), (big, "limit-reached")):
        artifact = both(tmp_path, build.library(build.fatbin([item])), limits=limits)
        assert codes(artifact) == [code]
        assert artifact.libraries[0].fatbins[0].fatbin.images[0].stub is None
    for compression in ("none", "lz4"):
        item = build.entry("ptx", "compute_80", b".version 8.0" + bytes(2 << 20), compression=compression)
        artifact = both(tmp_path, build.library(build.fatbin([item])), limits=limits)
        assert codes(artifact) == ["limit-reached"]


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_payloads_that_are_not_what_they_say(tmp_path: Path, compression: build.Compression) -> None:
    rows = [
        build.entry("sass", "sm_80", b"junk" * 40, compression=compression),
        build.entry("ptx", "compute_80", b"junk" * 40, compression=compression),
        build.entry("sass", "sm_80", build.cubin(kernels=())[:-40], compression=compression),
        build.entry("sass", "sm_80", build.cubin()[:20], compression=compression),
    ]
    artifact = both(tmp_path, build.library(build.fatbin(rows)))
    assert [i.stub for i in artifact.libraries[0].fatbins[0].fatbin.images] == [None] * 4
    assert codes(artifact) == ["damaged-image"] * 4


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_broken_compressed_payloads(tmp_path: Path, compression: build.Compression) -> None:
    for payload in (build.cubin(kernels=()), build.ptx(entries=()) + bytes(100)):
        kind, target = ("sass", "sm_80") if payload[0] == 0x7F else ("ptx", "compute_80")
        good = build.fatbin([build.entry(kind, target, payload, compression=compression)])
        for cut in range(80, len(good) - 8, 13):
            raw = bytearray(good)
            raw[cut] ^= 0x55
            artifact = both(tmp_path, build.library(bytes(raw)))
            assert set(codes(artifact)) <= {"damaged-image"}
    for size in (0, 10, 2**40):
        item = build.fatbin([build.sass(kernels=(), compression="lz4")])
        assert codes(both(tmp_path, build.library(patched(item, 16 + 56, "<Q", size)))) == ["damaged-image"]


def test_lz4_prefix() -> None:
    import lz4.block

    source = random.Random(1)  # noqa: S311 - repeatable on purpose
    for size in (0, 1, 13, 300, 5_000):
        for data in (bytes(size), source.randbytes(size), (b"abcdefg" * size)[:size] + source.randbytes(20) * 40):
            packed = lz4.block.compress(data, store_size=False)
            for limit in (1, 64, 512, 10**6):
                assert lz4_prefix(packed, limit) == data[:limit]
    with pytest.raises(PayloadError):
        lz4_prefix(b"\x10a\x02\x00", 64)
    with pytest.raises(PayloadError):
        lz4_prefix(b"\x10a\x00\x00", 64)
    assert lz4_prefix(b"\xf0\xff", 9) == b""


def test_payload_of_unknown_compression() -> None:
    payload = Payload(BytesSource(b"abc"), 0, 3, Compression.UNKNOWN, 0, Budget(Limits()))
    for method in (payload.full, lambda: payload.prefix(3)):
        with pytest.raises(PayloadError):
            method()


def test_zstd_of_many_blocks_is_read_in_steps() -> None:
    data = random.Random(2).randbytes(600_000)  # noqa: S311 - repeatable on purpose
    packed = zstandard.ZstdCompressor().compress(data)
    payload = Payload(BytesSource(packed), 0, len(packed), Compression.ZSTD, 0, Budget(Limits()))
    assert payload.prefix(100) == data[:100]
    assert payload.prefix(590_000) == data[:590_000]
    assert payload.full() == data


# Host ELF files


def test_elf_headers(tmp_path: Path) -> None:
    data = build.library(GOOD, needed=("libc.so.6",))
    shoff = int.from_bytes(data[40:48], "little")
    for raw, expected in (
        (patched(data, 58, "<H", 40), ["damaged-elf"]),
        (patched(data, 62, "<H", 200), ["damaged-elf"]),
        (patched(data, 40, "<Q", 2**63), ["truncated-file"]),
        (patched(data, 40, "<Q", len(data) - 32), ["truncated-file"]),
        (patched(data, 60, "<H", 5_000), ["truncated-file"]),
        (patched(data, 40, "<Q", 0), []),
        (patched(patched(data, 60, "<H", 0), shoff + 32, "<Q", 0), []),
    ):
        artifact = both(tmp_path, raw)
        assert codes(artifact) == expected
        assert targets(artifact) == ["sm_80"]
        section = artifact.libraries[0].fatbins[0].fatbin.section
        assert section == "(unknown)"


def test_elf_counts_in_section_zero(tmp_path: Path) -> None:
    data = build.library(GOOD)
    shoff = int.from_bytes(data[40:48], "little")
    count, names = struct.unpack_from("<HH", data, 60)
    raw = patched(patched(data, 60, "<H", 0), 62, "<H", 0xFFFF)
    raw = patched(patched(raw, shoff + 32, "<Q", count), shoff + 40, "<I", names)
    artifact = both(tmp_path, raw)
    assert (targets(artifact), codes(artifact)) == (["sm_80"], [])
    assert artifact.libraries[0].fatbins[0].fatbin.section == ".nv_fatbin"


def test_sections_that_overlap_or_lie_outside(tmp_path: Path) -> None:
    data = build.elf([build.section(".rodata", GOOD), build.section(".nv_fatbin", GOOD), build.section(".x", b"1")])
    shoff = int.from_bytes(data[40:48], "little")
    first, second, third = (shoff + 64 * i for i in (1, 2, 3))
    # All three begin at the first and end where the second does: each byte counts once.
    raw = patched(data, first + 32, "<Q", 2 * len(GOOD))
    raw = patched(patched(raw, third + 24, "<Q", 64 + 16), third + 32, "<Q", len(GOOD))
    artifact = both(tmp_path, raw)
    assert targets(artifact) == ["sm_80", "sm_80"]
    assert [g.fatbin.section for g in artifact.libraries[0].fatbins] == [".rodata", ".nv_fatbin"]
    artifact = both(tmp_path, patched(data, second + 32, "<Q", 10**9))
    assert "truncated-file" in codes(artifact)
    assert targets(artifact)[:2] == ["sm_80", "sm_80"]
    assert codes(both(tmp_path, patched(data, second + 24, "<Q", 2**63))) == ["truncated-file"]
    assert "limit-reached" in codes(both(tmp_path, data, limits=Limits(sections=3)))


def test_needed_is_bounded(tmp_path: Path) -> None:
    data = build.library(GOOD, needed=tuple(f"lib{i}.so" for i in range(50)))
    assert len(both(tmp_path, data, limits=Limits(needed=7)).libraries[0].needed) == 7
    shoff = int.from_bytes(data[40:48], "little")
    for row, offset, layout, value in (
        (3, 40, "<I", 99), (3, 24, "<Q", 2**60), (2, 24, "<Q", 2**60), (2, 4, "<I", 8), (2, 32, "<Q", 0), (3, 32, "<Q", 0),
    ):  # fmt: skip
        artifact = both(tmp_path, patched(data, shoff + 64 * row + offset, layout, value))
        assert artifact.libraries[0].needed == ()


def test_a_large_layout_is_streamed_again(tmp_path: Path) -> None:
    # Names of needed libraries far from both ends are not kept; patchelf moves the section table to the front.
    filler = random.Random(3).randbytes(3 << 20)  # noqa: S311 - repeatable on purpose
    sections = [build.section(".a", filler), build.section(".nv_fatbin", GOOD)]
    data = build.elf(sections, needed=("libc.so.6",))
    data += bytes(6 << 20)
    assert both(tmp_path, data).libraries[0].needed == ("libc.so.6",)
    header = bytearray(data[:64])
    shoff = int.from_bytes(header[40:48], "little")
    phdr = struct.pack("<IIQQQQQQ", 2, 4, 64, 64, 64, 64, 64, 8)
    moved = patched(patched(bytes(header), 32, "<Q", len(data)), 56, "<H", 3) + data[64:] + phdr
    assert both(tmp_path, moved).libraries[0].needed == ("libc.so.6",)
    assert shoff
    near = patched(patched(build.library(GOOD), 32, "<Q", 64), 56, "<H", 2)
    near = near[:64] + patched(GOOD, 0, "<I", 2) + near[64 + len(GOOD) :]
    scan(build.zip_file(tmp_path / "p.zip", {"a.so": near}))


def test_what_has_no_bytes_in_the_file_is_no_part_of_it(tmp_path: Path) -> None:
    """Of nearly every library `.bss` would end far behind the file, and its offset is that of something else."""
    zeros = build.section(".bss", bytes(1 << 20), kind=8, flags=3)
    for table_first in (False, True):
        sections = [zeros, build.section(".nv_fatbin", GOOD), zeros]
        artifact = both(tmp_path, build.elf(sections, needed=("libc.so.6",), table_first=table_first))
        assert (targets(artifact), codes(artifact)) == (["sm_80"], [])
        assert artifact.libraries[0].needed == ("libc.so.6",)
    # Names of sections that are said to have no bytes are none, whatever lies there.
    data = build.elf([build.section(".nv_fatbin", GOOD)])
    names = int.from_bytes(data[40:48], "little") + 64 * 2
    assert codes(both(tmp_path, patched(data, names + 4, "<I", 8))) == ["damaged-elf"]
    # Where the rest of a section is said to lie, somebody else's code is.
    hidden = build.elf([build.Section(".nv_fatbin", GOOD, 8), build.section(".text", GOOD, flags=6)])
    assert both(tmp_path, hidden).libraries == ()


def test_tables_that_end_the_file(tmp_path: Path) -> None:
    names = b"\0libc.so.6\0libcuda.so.1\0"
    dynamic = struct.pack("<6Q", 1, 1, 1, 11, 0, 0)
    rows = [
        build.section(".nv_fatbin", GOOD),
        build.Section(".dynamic", dynamic, 6, 3, link=3),
        build.Section(".dynstr", names, 3, 2),
    ]
    data = build.elf(rows, table_first=True)
    assert data.endswith(b".shstrtab\0")
    artifact = both(tmp_path, data)
    assert (targets(artifact), codes(artifact)) == (["sm_80"], [])
    assert artifact.libraries[0].needed == ("libc.so.6", "libcuda.so.1")
    # Without its last byte the table of names does not fit.
    assert codes(both(tmp_path, data[:-1])) == ["damaged-elf"]
    # The names of needed libraries at the very end, and those of sections before them.
    shoff = int.from_bytes(data[40:48], "little")
    place = len(data)
    moved = patched(data + names, shoff + 64 * 3 + 24, "<Q", place)
    assert both(tmp_path, moved).libraries[0].needed == ("libc.so.6", "libcuda.so.1")
    assert both(tmp_path, moved[:-1]).libraries[0].needed == ("libc.so.6", "libcuda.so.1")
    assert both(tmp_path, moved[: place + 12]).libraries[0].needed == ("libc.so.6", "l")
    assert both(tmp_path, moved[:place]).libraries[0].needed == ()


def test_the_loader_finds_names_by_address_whatever_the_link_says(tmp_path: Path) -> None:
    """Old patchelf reorders sections and leaves the link of `.dynamic` as it was."""
    right, wrong = b"\0libright.so\0", b"\0libwrong.so\0"

    def needed(address: int, *, kind: int = 3) -> tuple[str, ...]:
        rows = [
            build.section(".nv_fatbin", GOOD),
            build.Section(".strtab", wrong, 3, 0, address=0x7000),
            build.Section(".dynstr", right, kind, 2, address=0x1000),
            build.Section(".dynamic", struct.pack("<6Q", 1, 1, 5, address, 0, 0), 6, 3, link=2),
        ]
        return both(tmp_path, build.elf(rows)).libraries[0].needed

    assert needed(0x1000) == ("libright.so",)
    assert needed(0x7000) == ("libwrong.so",)
    assert needed(0) == ("libwrong.so",), "without an address the link is all there is"
    assert needed(0x9000) == ("libwrong.so",), "as where no section is there"
    assert needed(0x1000, kind=1) == ("libwrong.so",), "or none with names"


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    data = build.elf([build.section(".nv_fatbin", GOOD), *[build.section(f".{n}", b"") for n in range(20)]])
    shoff = int.from_bytes(data[40:48], "little")
    for size, expected in (
        (shoff + 64 * 9, "Its section table is cut off."),
        (shoff + 8, "Its section table should end"),
        (20, "It ends within its ELF header."),
    ):
        path = put(tmp_path, data)

        def shrink(name: str, done: int, total: int, path: Path = path, size: int = size) -> None:
            del name, done, total
            with path.open("r+b") as file:
                file.truncate(size)

        artifact = scan(path, progress=shrink)
        assert [finding.code for finding in artifact.findings if finding.code != "no-gpu-code"] == ["truncated-file"]
        assert artifact.findings[0].message.startswith(expected)
        assert targets(artifact) == (["sm_80"] if size > shoff else [])


@pytest.mark.parametrize("kind", ["lib", "cubin", "fatbin", "object"])
def test_truncated_anywhere(tmp_path: Path, kind: str) -> None:
    first = build.fatbin([build.sass("sm_80", compression="lz4"), build.ptx_entry()])
    fatbins = first + GOOD
    data = {
        "lib": build.elf([build.section(".nv_fatbin", fatbins)], needed=("libc.so.6",)),
        "object": build.elf([build.section("__nv_relfatbin", fatbins)], object_file=True),
        "cubin": build.cubin("sm_100", toolkit=(13, 0)),
        "fatbin": fatbins,
    }[kind]
    whole = targets(both(tmp_path, data))
    for size in [*range(1, 200, 3), *range(200, len(data), max(1, len(data) // 80)), len(data) - 1]:
        path = put(tmp_path, data[:size])
        try:
            artifact = scan(path)
        except ScanError:
            continue
        both(tmp_path, data[:size])
        # A loose file that ends before the second magic is whole, padded by less than a magic's four bytes.
        assert artifact.findings or (kind == "fatbin" and 0 <= size - len(first) < 4)
        found = targets(artifact)
        assert found == whole[: len(found)]


# Archives


def raw_zip(path: Path, edit: Edit) -> Artifact:
    build.zip_file(path, {"a.so": build.library(GOOD), "b.so": build.library(build.fatbin([build.sass("sm_90")]))})
    raw = bytearray(path.read_bytes())
    edit(raw, [i for i in range(len(raw)) if raw[i : i + 4] == b"PK\x01\x02"])
    path.write_bytes(raw)
    return scan(path)


def test_damaged_members(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"

    def change(at: int, layout: str, value: int) -> Edit:
        def edit(raw: bytearray, records: list[int]) -> None:
            struct.pack_into(layout, raw, records[0] + at, value)

        return edit

    for at, layout, value, code, found in (
        (8, "<H", 1, "encrypted-member", ["sm_90"]),
        (10, "<H", 14, "unreadable-file", ["sm_90"]),
        (16, "<I", 7, "damaged-archive-member", ["sm_80", "sm_90"]),
        (24, "<I", 700, "damaged-archive-member", ["sm_80", "sm_90"]),
        (24, "<I", 7_000, "damaged-archive-member", ["sm_80", "sm_90"]),
        (20, "<I", 200, "damaged-archive-member", None),
        (20, "<I", 0, "damaged-archive-member", None),
        (42, "<I", 5, "damaged-archive-member", None),
    ):
        artifact = raw_zip(path, change(at, layout, value))
        assert code in codes(artifact), at
        if found is not None:
            assert targets(artifact) == found, at

    def behind(raw: bytearray, records: list[int]) -> None:
        struct.pack_into("<I", raw, records[1] + 20, 10**6)

    assert targets(raw_zip(path, behind)) == ["sm_80"]

    def bits(raw: bytearray, records: list[int]) -> None:
        del records
        raw[80:120] = b"\xff" * 40

    assert "damaged-archive-member" in codes(raw_zip(path, bits))


@pytest.mark.parametrize("name", ["a.so", "\N{LATIN SMALL LETTER E WITH ACUTE}.so", "e" * 300 + ".so"])
def test_members_that_their_own_header_calls_otherwise_are_found_as_zipfile_does(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    members = {name: build.library(GOOD), "b.so": build.library(build.fatbin([build.sass("sm_90")])), "empty": b""}
    build.zip_file(path, members)
    good = path.read_bytes()
    starts = [at for at in range(len(good)) if good[at : at + 4] == b"PK\x03\x04"]
    refused = 0
    for edit in range(7):
        raw = bytearray(good)
        if edit in (1, 2, 3):  # another letter of one's name
            raw[starts[edit - 1] + 30] ^= 1
        elif edit == 4:  # of all
            for start in starts:
                raw[start + 31] ^= 1
        elif edit == 5:  # whether the name is UTF-8, which is no matter where it is ASCII
            raw[starts[0] + 7] ^= 8
        elif edit == 6:  # a name that is longer than in the directory: what follows it counts
            struct.pack_into("<H", raw, starts[2] + 26, 200)
        path.write_bytes(raw)
        expected = []
        with zipfile.ZipFile(path) as file:
            for member in file.namelist():
                try:
                    file.open(member).close()
                except (zipfile.BadZipFile, UnicodeDecodeError):
                    expected.append(member)
        artifact = scan(path)
        assert set(codes(artifact)) <= {"damaged-archive-member"}
        assert {finding.path for finding in artifact.findings} == set(expected)
        assert sorted(targets(artifact)) == ["sm_80", "sm_90"], "they are read all the same"
        refused += len(expected)
    assert refused >= 7
    path.write_bytes(good[: starts[0] + 30] + b"x" + good[starts[0] + 31 :])
    (finding,) = scan(path).findings
    assert len(finding.message) < 300


def test_overlapping_and_repeated_members(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"

    def overlap(raw: bytearray, records: list[int]) -> None:
        struct.pack_into("<I", raw, records[1] + 42, 0)

    artifact = raw_zip(path, overlap)
    assert codes(artifact) == ["damaged-archive-member"]
    assert targets(artifact) == ["sm_80"]
    members = [("a.so", build.library(GOOD)), ("a.so", build.library(build.fatbin([build.sass("sm_90")])))]
    with pytest.warns(UserWarning, match="Duplicate"):
        build.zip_file(path, members)
    artifact = scan(path)
    assert (codes(artifact), targets(artifact)) == (["damaged-archive-member"], ["sm_90"])


@pytest.mark.parametrize("name", ["/etc/x.so", "../x.so", "a/../../x.so", "a\x1b[31m.so", "C:x.so", "a\nb.so"])
def test_unsafe_names(tmp_path: Path, name: str) -> None:
    artifact = scan(build.zip_file(tmp_path / "a.zip", {name: build.library(GOOD)}))
    assert codes(artifact) == ["unsafe-name"]
    assert artifact.libraries[0].path == name


def test_zip_bombs(tmp_path: Path) -> None:
    data = build.elf([build.section(".rodata", bytes(30 << 20))])
    path = build.zip_file(tmp_path / "a.zip", {"a.so": data, "b.so": build.library(GOOD)})
    artifact = scan(path, limits=Limits(ratio=100, ratio_from_bytes=1 << 20))
    assert "limit-reached" in codes(artifact)
    assert targets(artifact) == ["sm_80"]
    assert "limit-reached" in codes(scan(path, limits=Limits(member_bytes=1 << 20)))
    artifact = scan(path, limits=Limits(total_bytes=10 << 20))
    assert codes(artifact).count("limit-reached") == 2
    assert targets(artifact) == []


def test_central_directories(tmp_path: Path) -> None:
    path = build.zip_file(tmp_path / "a.zip", {f"{i}.txt": b"" for i in range(50)})
    with pytest.raises(LimitError, match="members"):
        scan(path, limits=Limits(members=49))
    with pytest.raises(LimitError, match="central directory"):
        scan(path, limits=Limits(directory_bytes=100))
    raw = path.read_bytes()
    with pytest.raises(TruncatedError):
        scan(put(tmp_path, raw[:-30], "t.zip"))
    with pytest.raises(TruncatedError):
        scan(put(tmp_path, patched(raw, len(raw) - 10, "<I", 10**8), "t.zip"))
    with pytest.raises(ScanError):
        scan(put(tmp_path, patched(raw, len(raw) - 10, "<I", 100), "t.zip"))


def test_a_member_that_lies_outside_the_archive(tmp_path: Path) -> None:
    raw = build.zip_file(tmp_path / "a.zip", {"a.so": build.library(GOOD), "b.txt": b"b"}).read_bytes()
    end = raw.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<I", raw, end + 16)[0]
    for moved in (patched(raw, end + 16, "<I", start + 5), patched(raw, raw.index(b"PK\x01\x02") + 42, "<I", 1 << 30)):
        messages = [finding.message for finding in scan(put(tmp_path, moved, "m.zip")).findings]
        assert "Its header lies outside the archive." in messages
        assert not any("overlaps" in message for message in messages)


def test_what_is_kept_of_an_elf_file_is_bounded() -> None:
    segments = tuple((kind, n << 20, 1 << 19) for n in range(32) for kind in (1, 2))
    for start in (0, 1 << 19):
        head = build.elf([], segments=tuple((kind, at + start, size) for kind, at, size in segments))
        ranges = elf_ranges(patched(head, 40, "<Q", 1 << 10))
        assert len(ranges) <= 7
        assert sum(stop - first for first, stop in ranges) < 80 << 20


def test_the_time_is_up_for_what_holds_nothing_but_magics(tmp_path: Path) -> None:
    path = put(tmp_path, build.library(MAGIC * 10_000))
    assert "limit-reached" in codes(scan(path, limits=Limits(seconds=1e-9)))


def test_zip64(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(zipfile.ZipInfo("a.so"), "w", force_zip64=True) as member,
    ):
        member.write(build.library(GOOD))
    assert targets(scan(path)) == ["sm_80"]


def test_loose_files_above_the_limit(tmp_path: Path) -> None:
    for data in (build.cubin(), build.ptx()):
        artifact = both(tmp_path, data, limits=Limits(image_bytes=50))
        assert codes(artifact) == ["limit-reached", "no-gpu-code"]


# Sources


def test_stream_source() -> None:
    data = bytes(range(256)) * 40
    stream = StreamSource(iter([data[i : i + 100] for i in range(0, len(data), 100)]))
    stream.keep(50, 350)
    assert stream.read(0, 10) == data[:10]
    stream.keep(5, 20)
    assert stream.read(95, 300) == data[95:395]
    assert stream.window(1000, 150)[1][1000 - stream.window(1000, 150)[0] :][:150] == data[1000:1150]
    assert stream.kept(60, 200) == data[60:260]
    assert stream.kept(6, 4) == data[6:10]
    assert stream.kept(400, 10) is None
    with pytest.raises(AssertionError, match="go back"):
        stream.read(0, 1)
    assert stream.read(len(data) - 5, 50) == data[-5:]
    assert stream.read(len(data) + 500, 1) == b""
    assert stream.drain() == len(data)


def test_file_source_reads_on_after_a_short_read(tmp_path: Path) -> None:
    path = put(tmp_path, b"0123456789")

    class Slow:
        def __init__(self) -> None:
            self.file = path.open("rb")

        def seek(self, offset: int) -> None:
            self.file.seek(offset)

        def read(self, size: int) -> bytes:
            return self.file.read(min(size, 3))

    slow = Slow()
    try:
        assert FileSource(slow).read(1, 8) == b"12345678"  # type: ignore[arg-type]
        assert FileSource(slow).read(5, 80) == b"56789"  # type: ignore[arg-type]
    finally:
        slow.file.close()


# Mutations


def seeds() -> list[bytes]:
    rows = [build.sass("sm_90a", compression="zstd"), build.sass("sm_80", kernels=(), compression="lz4")]
    text = build.ptx_entry(compression="lz4", options="-O1", entries=())
    container = build.concat([build.sass("sm_100f", toolkit=(13, 4), name="x"), build.ptx_entry()])
    plain = build.fatbin([*rows, text, container]) + build.fatbin([build.sass("sm_75")])
    host = build.elf(
        [
            build.section(".rodata", bytes(8) + plain + build.cubin("sm_100a", toolkit=(13, 0)) + build.ptx() + b"\0"),
            build.section(".nv_fatbin", plain),
            build.section(".text", plain, flags=6),
        ],
        needed=("libc.so.6",),
    )
    return [plain, host, build.cubin("sm_100f", toolkit=(13, 0)), build.ptx(comment="// a\n/* b */")]


def mutate(source: random.Random, data: bytes) -> bytes:
    raw = bytearray(data)
    for _ in range(source.choice([1, 1, 2, 5])):
        at = source.randrange(len(raw))
        match source.randrange(5):
            case 0:
                raw[at] = source.randrange(256)
            case 1:
                value = source.choice([0, 1, 7, 8, 63, 2**16 - 1, 2**31, 2**32 - 1, len(data)])
                raw[at & ~3 : (at & ~3) + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")
            case 2:
                del raw[at:]
            case 3:
                piece = raw[at : at + source.randrange(1, 400)]
                raw[at:at] = piece
            case _:
                raw[at : at + 8] = source.choice([bytes(8), b"\xff" * 8, b"\x50\xed\x55\xba\x01\0\x10\0"])
        if not raw:
            break
    return bytes(raw)


def test_mutations_give_a_result_or_an_error(tmp_path: Path) -> None:
    source = random.Random(20_261_122)  # noqa: S311 - repeatable on purpose
    limits = Limits(image_bytes=1 << 20, ratio_from_bytes=1 << 20, entries=2_000)
    base = seeds()
    for round_ in range(3_000):
        data = mutate(source, source.choice(base))
        started = time.process_time()
        try:
            if round_ % 2:
                scan(put(tmp_path, data), limits=limits)
            else:
                both(tmp_path, data, limits=limits)
        except ScanError:
            pass
        assert time.process_time() - started < 5


def test_mutated_archives_give_a_result_or_an_error(tmp_path: Path) -> None:
    source = random.Random(7)  # noqa: S311 - repeatable on purpose
    path = build.wheel(tmp_path, "a", "1", {"a.so": seeds()[1], "b.cubin": build.cubin(), "c.py": b"pass"})
    data = path.read_bytes()
    for _ in range(1_000):
        try:
            scan(put(tmp_path, mutate(source, data), path.name))
        except ScanError:
            continue


@pytest.mark.parametrize("crasher", CRASHERS, ids=lambda path: path.stem)
def test_inputs_that_once_broke_it(crasher: Path, tmp_path: Path) -> None:
    with contextlib.suppress(ScanError):
        both(tmp_path, crasher.read_bytes())
