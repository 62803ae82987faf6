"""Kernels: names, registers and shared memory, from cubins and PTX, however they are stored."""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Any

import build
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from test_scanner import both

from capably import tables as knowledge
from capably.arch import ComputeCapability
from capably.engine import Coverage, judge_kernels
from capably.facts import Artifact, Compression, Device, ImageKernels, ImageKind, Library, from_object, to_object
from capably.scanner import Limits, scan
from capably.scanner.cubin import CubinError
from capably.scanner.kernels import KernelReader, cubin_kernels
from capably.scanner.limits import DEFAULT_LIMITS, Budget
from capably.scanner.payload import Payload
from capably.scanner.source import BytesSource
from capably.version import CudaVersion

if TYPE_CHECKING:
    from pathlib import Path

names = st.from_regex(r"[A-Za-z_$][A-Za-z0-9_$]{0,40}", fullmatch=True)


def tables(artifact: Artifact) -> list[ImageKernels]:
    (library,) = artifact.libraries
    assert library.kernels is not None
    return [image for fatbin in library.kernels for image in fatbin.images]


def read(directory: Path, data: bytes, name: str = "lib.so", **options: Any) -> list[ImageKernels]:
    """From a file and from a wheel, where the bytes come as a stream: both have to give the same."""
    path = directory / name
    path.write_bytes(data)
    artifact = scan(path, with_kernels=True, **options)
    archive = directory / "x.zip"
    build.zip_file(archive, {name: data})
    assert scan(archive, with_kernels=True, **options).libraries == artifact.libraries
    plain = scan(path, **options)
    assert [image.kernels for image in plain.libraries] == [None] * len(plain.libraries)
    return tables(artifact)


@given(
    kernels=st.lists(names, unique=True, max_size=20),
    functions=st.lists(names, unique=True, max_size=3),
    target=st.sampled_from(["sm_75", "sm_90a", "sm_100f"]),
    toolkit=st.sampled_from([(11, 8), (12, 6), (12, 9), (13, 1)]),
    registers=st.one_of(st.none(), st.integers(1, 255)),
    shared=st.sampled_from([0, 16, 48 << 10]),
)
def test_kernels_of_a_built_cubin(  # noqa: PLR0917 - hypothesis passes them by name
    kernels: list[str],
    functions: list[str],
    target: str,
    toolkit: tuple[int, int],
    registers: int | None,
    shared: int,
) -> None:
    data = build.cubin(
        target,
        kernels=tuple(kernels),
        functions=tuple(f"_{name}" for name in functions),
        toolkit=toolkit,
        registers=registers,
        shared=shared,
    )
    found, counts, sizes, made_by = cubin_kernels(data, 70_000)
    assert found == [name.encode() for name in kernels]
    assert counts == (registers,) * len(kernels)
    assert sizes == (shared,) * len(kernels)
    assert made_by == CudaVersion(*toolkit)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_kernels_of_a_library(tmp_path: Path, compression: build.Compression) -> None:
    images = [
        build.sass("sm_80", kernels=("_Z1av", "_Z1bv"), compression=compression, filler=100_000),
        build.sass("sm_90a", kernels=("_Z1av",), compression=compression),
        build.sass("sm_75", kernels=(), compression=compression),
        build.ptx_entry("compute_90", compression=compression),
        build.entry("ltoir", "lto_90", b"\x01" * 64),
    ]
    found = read(tmp_path, build.library(build.fatbin(images) * 2, build.fatbin([build.concat(images[:2])])))
    assert [(str(part.image.target), part.names) for part in found] == [
        *[
            ("sm_80", ("_Z1av", "_Z1bv")),
            ("sm_90a", ("_Z1av",)),
            ("sm_75", ()),
            ("compute_90", ("k",)),
            ("lto_90", None),
        ]
        * 2,
        ("sm_80", ("_Z1av", "_Z1bv")),
        ("sm_90a", ("_Z1av",)),
    ]
    assert found[0].registers == (32, 32)
    assert found[0].names is found[5].names  # equal ones are stored once


def test_each_fatbin_is_one_of_the_groups_of_its_library(tmp_path: Path) -> None:
    data = build.elf(
        [
            build.section(".nv_fatbin", build.fatbin([build.sass("sm_80")]) * 3 + build.fatbin([build.sass("sm_90")])),
            build.section("__nv_relfatbin", build.fatbin([build.sass("sm_80", relocatable=True)])),
            build.section(".rodata", build.cubin("sm_86", kernels=("bare",))),
        ]
    )
    path = tmp_path / "lib.so"
    path.write_bytes(data)
    (library,) = scan(path, with_kernels=True).libraries
    assert library.kernels is not None
    counts: dict[object, int] = {}
    for found in library.kernels:
        if not found.bare:
            counts[found.fatbin] = counts.get(found.fatbin, 0) + 1
    assert counts == {group.fatbin: group.count for group in library.fatbins}
    assert [found.images[0].names for found in library.kernels if found.bare] == [("bare",)]
    assert from_object(Library, to_object(library)) == library


def test_loose_files(tmp_path: Path) -> None:
    assert read(tmp_path, build.cubin(kernels=("a", "b")), "a.cubin")[0].names == ("a", "b")
    text = build.ptx(entries=("c", "d"), comment="// .entry no\n/* .entry no */") + b'.file 1 ".entry no"'
    assert read(tmp_path, text, "a.ptx")[0].names == ("c", "d")


def symbols_of(data: bytes) -> int:
    """Where the row of ``.symtab`` lies in the section table."""
    (shoff,) = struct.unpack_from("<Q", data, 40)
    return int(shoff) + 3 * 64


def damaged(data: bytes, offset: int, layout: str, value: int) -> bytes:
    raw = bytearray(data)
    struct.pack_into(layout, raw, offset, value)
    return bytes(raw)


@pytest.mark.parametrize(
    ("place", "layout", "value"),
    [(24, "<Q", 2**40), (32, "<Q", 25), (40, "<I", 999), (24 - 64, "<Q", 2**63), (32 - 64, "<Q", 1)],
)
def test_damaged_symbols_are_a_finding(tmp_path: Path, place: int, layout: str, value: int) -> None:
    whole = build.cubin("sm_90", kernels=("kernel",), filler=100_000)
    bad = damaged(whole, symbols_of(whole) + place, layout, value)
    with pytest.raises(CubinError):
        cubin_kernels(bad, 70_000)
    for compression in ("none", "lz4"):
        entry = build.entry("sass", "sm_90", bad, compression=compression)
        path = tmp_path / "lib.so"
        path.write_bytes(build.library(build.fatbin([entry, build.sass("sm_80")])))
        artifact = scan(path, with_kernels=True)
        assert [part.names for part in tables(artifact)] == [None, ("k",)]
        assert [finding.code for finding in artifact.findings] == ["damaged-image"]


def test_names_that_overlap_are_refused() -> None:
    """A thousand symbols that all name the whole string table would make a gigabyte of one megabyte."""
    long = "x" * 60_000
    data = bytearray(build.cubin("sm_90", kernels=(long, *(f"k{i}" for i in range(100)))))
    start = struct.unpack_from("<Q", data, symbols_of(bytes(data)) + 24)[0]
    for index in range(1, 102):
        struct.pack_into("<I", data, start + 24 * index, 1)
    with pytest.raises(CubinError, match="overlap"):
        cubin_kernels(bytes(data), 70_000)


def test_bombs_are_a_finding(tmp_path: Path) -> None:
    zeros = build.cubin("sm_90", kernels=("k",), filler=8 << 20)
    limits = Limits(image_bytes=1 << 20)
    for compression in ("lz4", "zstd"):
        path = tmp_path / "lib.so"
        path.write_bytes(build.library(build.fatbin([build.entry("sass", "sm_90", zeros, compression=compression)])))
        artifact = scan(path, limits=limits, with_kernels=True)
        assert [finding.code for finding in artifact.findings] == ["limit-reached"]
        assert [part.names for part in tables(artifact)] == [None]


@pytest.mark.parametrize("limits", [Limits(kernels=3), Limits(name_bytes=3)])
def test_too_many_kernels_are_a_finding(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(build.library(build.fatbin([build.sass("sm_90", kernels=("a", "b", "c", "d"))])))
    artifact = scan(path, limits=limits, with_kernels=True)
    assert [finding.code for finding in artifact.findings] == ["limit-reached"]
    assert [part.names for part in tables(artifact)] == [None]


def test_reading_kernels_changes_nothing_else(tmp_path: Path) -> None:
    data = build.library(build.fatbin([build.sass("sm_90", compression="zstd"), build.ptx_entry()]) * 3)
    plain = both(tmp_path, data)
    path = tmp_path / "other.so"
    path.write_bytes(data)
    assert scan(path, with_kernels=True).libraries[0].fatbins == plain.libraries[0].fatbins


def lying(entry: build.Entry, size: int) -> bytes:
    """An entry whose header states another size for the decompressed image."""
    raw = bytearray(build.fatbin([entry]))
    struct.pack_into("<Q", raw, 16 + 56, size)
    return bytes(raw)


@pytest.mark.parametrize(
    ("size", "codes"),
    [
        (1, ["damaged-image"]),
        (4096, ["damaged-image"]),
        (2**40, ["damaged-image"]),  # one byte of LZ4 makes 255 at most, so this is a lie
        (2**64 - 1, ["damaged-image"]),
        (0, ["damaged-image"]),
    ],
)
def test_lies_about_the_size_of_lz4_are_a_finding(tmp_path: Path, size: int, codes: list[str]) -> None:
    bad = build.sass("sm_90", kernels=("lie",), compression="lz4", filler=200_000)
    path = tmp_path / "lib.so"
    path.write_bytes(build.library(lying(bad, size), build.fatbin([build.sass("sm_80")])))
    artifact = scan(path, with_kernels=True)
    assert [finding.code for finding in artifact.findings] == codes
    assert [part.names for part in tables(artifact)] == [None, ("k",)]


@pytest.mark.parametrize("size", [0, 1, 2**40, 2**64 - 1])
def test_of_zstd_no_stated_size_is_believed(tmp_path: Path, size: int) -> None:
    entry = build.sass("sm_90", kernels=("there",), compression="zstd", filler=200_000)
    path = tmp_path / "lib.so"
    path.write_bytes(build.library(lying(entry, size)))
    artifact = scan(path, with_kernels=True)
    assert not artifact.findings
    assert [part.names for part in tables(artifact)] == [("there",)]


def frame(data: bytes, stated: int | None = None) -> bytes:
    """A zstd frame, and what it says about its size in place of the truth."""
    made = zstandard.ZstdCompressor(level=1, write_content_size=True).compress(data)
    if stated is None:
        return made
    # The descriptor says with its two highest bits how the size is stored: 2 is four bytes (RFC 8878, 3.1.1.1).
    assert made[4] >> 6 == 2
    return made[:5] + struct.pack("<I", stated) + made[9:]


@pytest.mark.parametrize("stated", [None, 0xFFFFFFFF, 70_000])
def test_a_frame_that_grows_a_thousandfold_is_a_finding(tmp_path: Path, stated: int | None) -> None:
    """96 MiB of zeros are 12 kB, whatever the frame claims that they are."""
    head = build.cubin("sm_90", kernels=("bomb",))
    packed = frame(head + bytes((96 << 20) - len(head)), stated)
    assert len(packed) < 20_000
    bomb = bytearray(build.fatbin([build.entry("sass", "sm_90", packed)]))
    struct.pack_into("<Q", bomb, 16 + 40, 0x8011)  # the flags: zstd
    path = tmp_path / "lib.so"
    path.write_bytes(build.library(bytes(bomb), build.fatbin([build.sass("sm_80")])))
    artifact = scan(path, with_kernels=True)
    assert {finding.code for finding in artifact.findings} <= {"limit-reached", "damaged-image"}
    assert artifact.findings
    assert [part.names for part in tables(artifact)] == [None, ("k",)]


def test_many_bombs_end_the_call_with_a_finding(tmp_path: Path) -> None:
    """Each is within the limits; what may be decompressed by one call is bounded too."""
    bomb = build.sass("sm_90", kernels=("k",), compression="lz4", filler=1 << 20)
    path = tmp_path / "x.zip"
    build.zip_file(
        path, {"a.so": build.library(build.fatbin([bomb] * 64)), "b.so": build.library(build.fatbin([bomb]))}
    )
    artifact = scan(path, limits=Limits(total_bytes=8 << 20), with_kernels=True)
    assert "limit-reached" in {finding.code for finding in artifact.findings}


def test_many_entries_are_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(build.library(build.fatbin([build.sass("sm_90")] * 100)))
    artifact = scan(path, limits=Limits(entries=50), with_kernels=True)
    assert {finding.code for finding in artifact.findings} == {"limit-reached"}
    assert 0 < len(tables(artifact)) <= 51


def test_what_could_not_be_read_makes_no_kernel_a_yes_or_a_no(tmp_path: Path) -> None:
    """The image for the device may hold the kernel, or not."""
    bad = build.sass("sm_90", kernels=("k",), compression="lz4", filler=200_000)
    raw = bytearray(build.fatbin([bad, build.sass("sm_80", kernels=("k",))]))
    struct.pack_into("<Q", raw, 16 + 56, 2**40)
    path = tmp_path / "lib.so"
    path.write_bytes(build.library(bytes(raw)))
    (library,) = scan(path, with_kernels=True).libraries
    capability = ComputeCapability.parse("9.0")
    (one,) = judge_kernels(library, Device(capability), knowledge.tables().newest_driver(capability))
    assert one.counts.coverage is Coverage.UNKNOWN


class FailingDisk(BytesSource):
    """A source whose bytes cannot be read."""

    def read(self, offset: int, size: int) -> bytes:
        raise OSError(5, "Input/output error", f"{size} bytes at {offset}")


def test_an_image_that_a_disk_does_not_give_leaves_room_for_others() -> None:
    reader = KernelReader(DEFAULT_LIMITS)
    large = 300 << 20  # more than is held at a time
    budget = Budget(DEFAULT_LIMITS)
    with pytest.raises(OSError, match="Input/output"):
        reader.take(ImageKind.SASS, Payload(FailingDisk(b""), 0, large, Compression.NONE, 0, budget), stub=False)
    data = build.cubin(kernels=("a",))
    other = Payload(BytesSource(data), 0, len(data), Compression.NONE, 0, budget)
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(reader.take(ImageKind.SASS, other, stub=False).result().names), daemon=True
    )
    thread.start()
    thread.join(60)
    assert found == [("a",)], "it waits for what nobody gives back"


def test_progress_within_a_file(tmp_path: Path) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(build.library(build.fatbin([build.sass("sm_90", filler=100_000)] * 30)))
    told: list[tuple[str, int, int]] = []
    scan(path, with_kernels=True, progress=lambda *step: told.append(step))
    size = path.stat().st_size
    assert {step[0] for step in told} == {"lib.so"}
    assert {step[2] for step in told} == {size}
    assert len({step[1] // 100_000 for step in told}) >= 30
    assert told[-1][1] == size
