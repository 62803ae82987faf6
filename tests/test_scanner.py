"""What is built is what is found, from disk and out of an archive."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import build
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.errors import LimitError, ScanError
from capably.facts import Artifact, ArtifactKind, Compression, Fatbin, FatbinGroup, Image, ImageKind
from capably.scanner import DEFAULT_LIMITS, Limits, scan
from capably.scanner.archive import named
from capably.version import CudaVersion, PtxVersion


def put(directory: Path, data: bytes, name: str = "lib.so") -> Path:
    path = directory / name
    path.write_bytes(data)
    return path


def both(directory: Path, data: bytes, name: str = "lib.so", limits: Limits | None = None) -> Artifact:
    """Scan *data* as a file and as a member, deflated and stored; all must agree."""
    limits = limits or DEFAULT_LIMITS
    path = put(directory, data, name)
    loose = scan(path, limits=limits)
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        archive = scan(build.zip_file(directory / "a.zip", {name: data}, compression=compression), limits=limits)
        assert archive.libraries == loose.libraries
        here = [f for f in loose.findings if f.code != "no-gpu-code"]
        assert [f for f in archive.findings if f.code != "no-gpu-code"] == here
    return loose


def codes(artifact: Artifact) -> list[str]:
    return [finding.code for finding in artifact.findings]


def parse(target: str | None) -> Target | None:
    return None if target is None else Target.parse(target)


def expected(entry: build.Entry, *, relocatable: bool = False) -> Image:
    """The facts of an entry of `build`, from its description."""
    kind = {1: "ptx", 2: "sass", 8: "ltoir", 0x40: "relptx", 0x80: "tileir"}.get(entry.kind, "unknown")
    stub = False
    toolkit = None
    if kind == "sass":
        stub = b".text." not in entry.payload
        relocatable = relocatable or entry.payload[16] == 1
        if entry.payload[8] == 7:
            toolkit = CudaVersion(*divmod(int.from_bytes(entry.payload[20:24], "little"), 10))
    elif kind in ("ptx", "relptx"):
        stub = b".entry" not in entry.payload
    return Image(
        kind=ImageKind(kind),
        target=parse(entry.target),
        relocatable=relocatable or kind == "relptx",
        stub=stub,
        compression=Compression(entry.compression),
        ptx=PtxVersion(*entry.code_version) if kind in ("ptx", "relptx") else None,
        code_version=entry.code_version,
        toolkit=toolkit,
    )


SM = st.sampled_from(["sm_52", "sm_75", "sm_80", "sm_90", "sm_90a", "sm_100", "sm_100a", "sm_100f", "sm_121"])
COMPRESSIONS: list[build.Compression] = ["none", "lz4", "zstd"]
PACKED = st.sampled_from(COMPRESSIONS)
KERNELS = st.sampled_from([(), ("k",), ("_Z4longIfEvPT_i", "b")])


@st.composite
def entries(draw: st.DrawFn) -> build.Entry:
    target = draw(SM)
    compression = draw(PACKED)
    kind = draw(st.sampled_from(["sass", "sass", "ptx", "ltoir", "relptx", "tileir"]))
    if kind == "sass":
        return build.sass(
            target,
            kernels=draw(KERNELS),
            toolkit=draw(st.sampled_from([(11, 8), (12, 6), (12, 9), (13, 0), (13, 5)])),
            relocatable=draw(st.booleans()),
            compression=compression,
            names_first=draw(st.booleans()),
            filler=draw(st.sampled_from([0, 70_000])),
            name=draw(st.sampled_from(["", "a.cu"])),
        )
    virtual = target.replace("sm", "compute")
    version = draw(st.sampled_from(["7.8", "8.7", "9.5"]))
    if kind == "ptx":
        return build.ptx_entry(
            virtual, version, entries=draw(KERNELS), compression=compression, options=draw(st.sampled_from(["", "-O1"]))
        )
    text = build.ptx(virtual, version, entries=draw(KERNELS)) + b"\0"
    if kind == "relptx":
        major, minor = map(int, version.split("."))
        return build.entry(kind, virtual, text, code_version=(major, minor), compression=compression)
    if kind == "tileir":
        return build.entry(kind, virtual, b"tile", compression=compression, code_version=(0, 0))
    return build.entry(kind, target.replace("sm", "lto"), b"\xed\x43\x4e\x7f" * 9, code_version=(1, 67))


FATBINS = st.lists(st.lists(entries(), max_size=4), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(real=FATBINS, relocatable=st.lists(st.lists(entries(), max_size=2), max_size=2), hidden=FATBINS)
def test_scan_of_build_is_identity(
    tmp_path: Path, real: list[list[build.Entry]], relocatable: list[list[build.Entry]], hidden: list[list[build.Entry]]
) -> None:
    sections = [
        build.section(".text", b"\x90" * 100 + build.fatbin([build.sass("sm_35")]), flags=0x6),
        build.section(".rodata", bytes(24) + b"".join(build.fatbin(f) + bytes(8) for f in hidden)),
        build.section("__nv_relfatbin", b"".join(map(build.fatbin, relocatable))),
        build.section(".nv_fatbin", b"".join(map(build.fatbin, real))),
        build.section(".bss", bytes(1 << 20), kind=8, flags=0x3),
    ]
    artifact = both(tmp_path, build.elf(sections, machine="aarch64", needed=("libc.so.6", "libcudart.so.12")))
    counts: Counter[Fatbin] = Counter()
    for name, found in ((".rodata", hidden), ("__nv_relfatbin", relocatable), (".nv_fatbin", real)):
        for images in found:
            linked = name == "__nv_relfatbin"
            counts[Fatbin(tuple(expected(e, relocatable=linked) for e in images), name)] += 1
    (library,) = artifact.libraries
    assert library.fatbins == tuple(FatbinGroup(fatbin, count) for fatbin, count in counts.items())
    assert (library.machine, library.needed) == ("aarch64", ("libc.so.6", "libcudart.so.12"))
    assert library.bare == ()
    with_kernels = [fatbin.images for fatbin in counts if any(image.stub is not True for image in fatbin.images)]
    for_a_linker = bool(with_kernels) and all(
        all(image.relocatable for image in images)
        or all(image.stub is True or image.kind is ImageKind.LTOIR for image in images)
        for images in with_kernels
    )
    link_time = any(image.kind is ImageKind.LTOIR for fatbin in counts for image in fatbin.images)
    noted = ["link-input"] if for_a_linker else ["link-time-ir"] if link_time else []
    assert [finding.code for finding in artifact.findings] == noted


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_concatenated_container(tmp_path: Path, compression: build.Compression) -> None:
    images = [
        build.sass("sm_100f", toolkit=(13, 4), name="x.cu"),
        build.sass("sm_120a", toolkit=(13, 4), kernels=()),
        build.ptx_entry("compute_90a", "9.4", options="-O3 -v  "),
        build.entry(0x100, None, b"nested" * 20),
    ]
    artifact = both(tmp_path, build.library(build.fatbin([build.concat(images, compression), build.sass("sm_80")])))
    (group,) = artifact.libraries[0].fatbins
    found = group.fatbin.images
    assert [str(i.target) for i in found] == ["sm_100f", "sm_120a", "compute_90a", "None", "sm_80"]
    assert [i.concatenated for i in found] == [True] * 4 + [False]
    assert [i.stub for i in found] == [False, True, False, False, False]
    assert {i.compression.value for i in found[:4]} == {compression}
    assert found[2].ptx == PtxVersion(9, 4)
    assert found[3].kind is ImageKind.UNKNOWN
    assert codes(artifact) == []


def test_damaged_container_is_a_finding(tmp_path: Path) -> None:
    images = [build.sass("sm_100")]
    good = build.concat(images)
    header = len(good) - len(good)  # the directory starts at 64
    for offset, value in ((64, 2**32 - 1), (68, 4), (68, 2**31), (64, 5), (72 + 4, 10**6), (72 + 20, 2**31)):
        raw = bytearray(good)
        raw[header + offset : header + offset + 4] = value.to_bytes(4, "little")
        artifact = both(tmp_path, build.library(build.fatbin([build.sass("sm_80"), bytes(raw)])))
        assert "damaged-fatbin" in codes(artifact), offset
        assert str(artifact.libraries[0].fatbins[0].fatbin.images[0].target) == "sm_80"
    raw = bytearray(good)
    raw[-20:] = bytes(20)
    artifact = both(tmp_path, build.library(build.fatbin([bytes(raw)])))
    assert codes(artifact) == ["damaged-image"]
    assert artifact.libraries[0].fatbins[0].fatbin.images[0].stub is None


def test_unknown_kinds_and_odd_archs(tmp_path: Path) -> None:
    rows = [
        build.entry(0x10, "sm_80", b"elf-like"),
        build.entry("index", "sm_80", b"index"),
        build.entry(4, "sm_10", b"old"),
        build.entry(0x4000, None, b"what"),
        build.entry("sass", "sm_80", b""),
        build.entry("ltoir", "lto_90", b""),
        build.entry("relptx", "compute_80", b"not text"),
    ]
    artifact = both(tmp_path, build.library(build.fatbin(rows)))
    images = artifact.libraries[0].fatbins[0].fatbin.images
    assert [i.kind.value for i in images] == ["unknown"] * 4 + ["sass", "ltoir", "relptx"]
    assert [str(i.target) for i in images[:4]] == ["sm_80", "None", "sm_10", "None"]
    assert [i.stub for i in images] == [False] * 4 + [True, True, False]


@pytest.mark.parametrize("flag", [0x1000, 0x4000])
def test_unknown_compression(tmp_path: Path, flag: int) -> None:
    artifact = both(tmp_path, build.library(build.fatbin([build.entry("sass", "sm_80", build.cubin(), flags=flag)])))
    image = artifact.libraries[0].fatbins[0].fatbin.images[0]
    assert (image.compression, image.stub) == (Compression.UNKNOWN, None)
    assert codes(artifact) == ["damaged-image"]


def test_equal_fatbins_are_one_group(tmp_path: Path) -> None:
    one = build.fatbin([build.sass("sm_80")])
    two = build.fatbin([build.sass("sm_90")])
    artifact = both(tmp_path, build.library(one, one, two, one))
    assert [group.count for group in artifact.libraries[0].fatbins] == [3, 1]


def test_rdc_library_and_link_input(tmp_path: Path) -> None:
    related = build.fatbin([build.sass("sm_80", relocatable=True), build.ptx_entry("compute_80")])
    linked = build.fatbin([build.sass("sm_80")])
    both_kinds = [build.section(".nv_fatbin", linked), build.section("__nv_relfatbin", related)]
    artifact = both(tmp_path, build.elf(both_kinds))
    assert codes(artifact) == []
    assert [g.fatbin.relocatable for g in artifact.libraries[0].fatbins] == [False, True]
    artifact = both(tmp_path, build.elf(both_kinds[1:], object_file=True), "k.o")
    assert codes(artifact) == ["link-input"]
    assert artifact.libraries[0].link_input


def test_link_time_ir_beside_other_code_is_said_to_be_there() -> None:
    # By nvcc 13.0: LTO-IR in .rodata, as libraries carry what they hand to nvJitLink, and a fatbin for the driver.
    artifact = scan(Path(__file__).parent / "data/checks/withlto.so")
    (finding,) = artifact.findings
    assert (finding.code, finding.path) == ("link-time-ir", "withlto.so")
    assert "lto_80 (1 image)" in finding.message
    assert not artifact.libraries[0].link_input


def test_hidden_bare_and_foreign_code(tmp_path: Path) -> None:
    sections = [
        build.section(
            ".cask_resource", bytes(8) + build.fatbin([build.sass("sm_100a", toolkit=(12, 9))]) + b"tab" * 50
        ),
        build.section(".rodata", b"x" * 100 + build.cubin("sm_90a", toolkit=(13, 0)) * 2 + b"y"),
        build.section(".data", b"text: " + build.ptx("compute_100f", "8.8").lstrip() + b"\0more", flags=0x3),
        build.section(".data2", b".version 8.0 of nothing, \x7fELF\x02\x01\x01\x33\x07 neither", flags=0x3),
        build.section(".debug", build.fatbin([build.sass("sm_30")]), flags=0),
        build.section(".hip_fatbin", b"__CLANG_OFFLOAD_BUNDLE__"),
        build.section(".llvm.offloading", b"\x10\xff\x10\xad", flags=0x80000000),
    ]
    artifact = both(tmp_path, build.elf(sections))
    (library,) = artifact.libraries
    assert [(g.fatbin.section, str(g.fatbin.images[0].target)) for g in library.fatbins] == [
        (".cask_resource", "sm_100a")
    ]
    assert [(b.section, str(b.image.target), b.count, b.image.stub) for b in library.bare] == [
        (".rodata", "sm_90a", 2, False),
        (".data", "compute_100f", 1, False),
    ]
    assert sorted(codes(artifact)) == ["bare-images", "foreign-gpu-code", "foreign-gpu-code"]


def test_magic_in_code_of_a_reader_is_nothing(tmp_path: Path) -> None:
    constant = build.fatbin([])[:8] + b"\x01" * 60
    sections = [
        build.section(".rodata", b"\x50\xed\x55\xba" * 7 + bytes(4) + constant + bytes(40)),
        build.section(".nv_fatbin", build.fatbin([build.sass("sm_80")])),
    ]
    artifact = both(tmp_path, build.elf(sections))
    assert codes(artifact) == []
    assert [g.fatbin.section for g in artifact.libraries[0].fatbins] == [".nv_fatbin"]


def test_fatbin_across_the_edge_of_a_section(tmp_path: Path) -> None:
    # Its stated size reaches from a section that is not searched into one that is.
    fake = bytearray(build.fatbin([build.sass("sm_35")]))
    fake[8:16] = (len(fake) + 400).to_bytes(8, "little")
    sections = [
        build.section(".text", bytes(fake), flags=0x6),
        build.section(".nv_fatbin", build.fatbin([build.sass("sm_80")]) * 3),
        build.section(".rodata", build.fatbin([build.sass("sm_75")])),
    ]
    artifact = both(tmp_path, build.elf(sections))
    assert [str(g.fatbin.images[0].target) for g in artifact.libraries[0].fatbins] == ["sm_80", "sm_75"]
    assert codes(artifact) == []


def test_stubs(tmp_path: Path) -> None:
    artifact = both(
        tmp_path,
        build.library(
            build.fatbin([build.sass("sm_80", kernels=(), compression="lz4"), build.sass("sm_90", kernels=())]),
            build.fatbin([build.ptx_entry(entries=(), compression="zstd")]),
            build.fatbin([]),
            build.fatbin([build.sass("sm_80", kernels=()), build.sass("sm_90")]),
        ),
    )
    assert [g.fatbin.stub for g in artifact.libraries[0].fatbins] == [True, True, True, False]


# Loose files


@pytest.mark.parametrize("toolkit", [(11, 8), (12, 9), (13, 0), (13, 5)])
@pytest.mark.parametrize("target", ["sm_75", "sm_90", "sm_90a", "sm_100", "sm_100a", "sm_100f", "sm_121f"])
def test_loose_cubin(tmp_path: Path, target: str, toolkit: tuple[int, int]) -> None:
    data = build.cubin(target, toolkit=toolkit)
    artifact = both(tmp_path, data, "k.cubin")
    (library,) = artifact.libraries
    (group,) = library.fatbins
    (image,) = group.fatbin.images
    assert group.fatbin.section == "file"
    assert library.machine is None
    assert (str(image.target), image.toolkit) == (target, CudaVersion(*toolkit))
    assert (image.kind, image.stub, image.relocatable) == (ImageKind.SASS, False, False)
    assert image.code_version == (1, data[8])


def test_loose_cubin_oddities(tmp_path: Path) -> None:
    # 0x800 below sm_90 means nothing: hand-assembled cubins of cuBLAS have it.
    data = bytearray(build.cubin("sm_61", toolkit=(10, 2), kernels=(), relocatable=True))
    data[49] |= 0x08
    artifact = both(tmp_path, bytes(data), "k.cubin")
    (image,) = artifact.libraries[0].fatbins[0].fatbin.images
    assert (str(image.target), image.stub, image.relocatable) == ("sm_61", True, True)
    assert codes(artifact) == []
    image = scan(put(tmp_path, build.cubin("sm_100", toolkit=None), "n.cubin")).libraries[0].fatbins[0].fatbin.images[0]
    assert (str(image.target), image.toolkit) == ("sm_100", None)
    data[8] = 9
    image = scan(put(tmp_path, bytes(data), "n.cubin")).libraries[0].fatbins[0].fatbin.images[0]
    assert (image.target, image.toolkit) == (None, None)
    data[8], data[48] = 7, 3
    assert scan(put(tmp_path, bytes(data), "n.cubin")).libraries[0].fatbins[0].fatbin.images[0].target is None


def test_damaged_cubins(tmp_path: Path) -> None:
    data = build.cubin("sm_90")
    shoff = int.from_bytes(data[40:48], "little")
    for at, value in ((40, len(data)), (58, 7), (60, 0xFFFF), (62, 99)):
        raw = bytearray(data)
        raw[at : at + (8 if at == 40 else 2)] = value.to_bytes(8 if at == 40 else 2, "little")
        artifact = both(tmp_path, bytes(raw), "k.cubin")
        assert codes(artifact) == ["damaged-image", "no-gpu-code"], at
    # No section table at all: nothing in it. The real number of sections and names may be in section 0.
    raw = bytearray(data)
    raw[40:48] = bytes(8)
    assert both(tmp_path, bytes(raw), "k.cubin").libraries[0].fatbins[0].fatbin.stub
    raw = bytearray(data)
    raw[60:62], raw[62:64] = bytes(2), b"\xff\xff"
    for count, good in ((int.from_bytes(data[60:62], "little"), True), (60_000, False), (10**6, False), (0, None)):
        raw[shoff + 32 : shoff + 40] = count.to_bytes(8, "little")
        raw[shoff + 40 : shoff + 44] = (1).to_bytes(4, "little")
        artifact = both(tmp_path, bytes(raw), "k.cubin")
        assert (codes(artifact) == []) is (good is not False)
    assert codes(both(tmp_path, data[:60], "k.cubin")) == ["damaged-image", "no-gpu-code"]


def test_a_32_bit_cubin(tmp_path: Path) -> None:
    import struct

    names = b"\0.shstrtab\0.text.k\0\0"
    body = names + bytes(-len(names) % 4)
    rows = [bytes(40), struct.pack("<10I", 1, 3, 0, 0, 52, len(names), 0, 0, 1, 0)]
    rows.append(struct.pack("<10I", 11, 1, 0, 0, 52, 4, 0, 0, 1, 0))
    head = b"\x7fELF\x01\x01\x01\x33\x07" + bytes(7)
    head += struct.pack("<HHIIIIIHHHHHH", 2, 190, 65, 0, 0, 52 + len(body), 30, 52, 0, 0, 40, 3, 1)
    (image,) = both(tmp_path, head + body + b"".join(rows), "o.cubin").libraries[0].fatbins[0].fatbin.images
    assert (str(image.target), image.stub, image.toolkit) == ("sm_30", False, CudaVersion(6, 5))


@pytest.mark.parametrize(
    ("text", "target", "version", "stub"),
    [
        (build.ptx("compute_90a", "8.0", comment="//\n// NVIDIA\n/* a */ /* .entry */"), "compute_90a", "8.0", False),
        (b"\xef\xbb\xbf.version 9.2\n.target sm_103a, debug\n.func f(){}", "compute_103a", "9.2", False),
        (b"// .entry x\n.version 8.7\n.target sm_80\n/* .entry */ // .func\n", "compute_80", "8.7", True),
        (b".version 8.7\n.target nonsense\n.entry k", None, "8.7", False),
        (b".version 8.7\n.target sm_05\n.entry k", None, "8.7", False),
    ],
)
def test_loose_ptx(tmp_path: Path, text: bytes, target: str | None, version: str, stub: bool) -> None:
    artifact = both(tmp_path, text, "k.ptx")
    (image,) = artifact.libraries[0].fatbins[0].fatbin.images
    assert (image.target, str(image.ptx), image.stub) == (parse(target), version, stub)
    assert image.kind is ImageKind.PTX


def test_loose_fatbin(tmp_path: Path) -> None:
    data = build.fatbin([build.sass("sm_80"), build.ptx_entry("compute_80")]) + build.fatbin([build.sass("sm_90")])
    artifact = both(tmp_path, data, "k.fatbin")
    assert [g.fatbin.section for g in artifact.libraries[0].fatbins] == ["file", "file"]
    assert codes(artifact) == []


def test_names_do_not_matter(tmp_path: Path) -> None:
    assert scan(put(tmp_path, build.cubin(), "k.txt")).libraries
    assert scan(put(tmp_path, build.ptx(), "k.so")).libraries


# Artifacts


def test_wheel(tmp_path: Path) -> None:
    path = build.wheel(
        tmp_path,
        "My-Pkg",
        "1.0",
        {"pkg/_C.so": build.library(build.fatbin([build.sass()])), "pkg/a.py": b"x", "pkg/in.zip": b"PK\x03\x04"},
        platform="manylinux_2_28_x86_64.manylinux2014_x86_64",
    )
    seen: list[tuple[str, int, int]] = []
    artifact = scan(path, progress=lambda *row: seen.append(row), with_sha256=True)
    assert artifact.kind is ArtifactKind.WHEEL
    assert (artifact.name, artifact.version) == ("my-pkg", "1.0")
    assert artifact.platforms == ("manylinux_2_28_x86_64", "manylinux2014_x86_64")
    assert artifact.files == 6
    assert artifact.path == str(path)
    assert ("pkg/_C.so", artifact.libraries[0].size_bytes, artifact.libraries[0].size_bytes) in seen
    import hashlib

    assert artifact.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with zipfile.ZipFile(path) as archive:
        assert artifact.libraries[0].sha256 == hashlib.sha256(archive.read("pkg/_C.so")).hexdigest()
    other = path.rename(tmp_path / "not a wheel name.whl")
    assert scan(other).kind is ArtifactKind.ARCHIVE


versions = st.one_of(
    st.from_regex(
        r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(\.?post[0-9]{0,2})?((a|b|rc|\.dev|-)[0-9]{1,2})?(\+cu[0-9]{1,3})?",
        fullmatch=True,
    ),
    st.text("0123456789.+abcpost", max_size=12),
)


@given(versions)
@example("1.14.1.post1")
@example("01.2")
@example("2.7.1+cu128")
def test_the_version_of_a_wheel_is_what_packaging_reads(version: str) -> None:
    name = f"Some.Name-{version}-py3-none-linux_x86_64.whl"
    read = named(Artifact("x", ArtifactKind.ARCHIVE, (), (), files=0), name)
    try:
        expected_name, expected, _, _ = parse_wheel_filename(name)
    except InvalidWheelFilename:
        assert read.version is None
    else:
        assert (read.name, read.version) == (expected_name, str(expected))


LOADED = {
    name: build.fatbin([build.sass(target)])
    for name, target in ((".rodata", "sm_80"), (".nv_fatbin", "sm_90"), (".data", "sm_75"))
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.permutations(list(LOADED)),
    st.lists(
        st.tuples(st.sampled_from([1, 2, 6]), st.integers(0, 1_500), st.integers(0, 1_500) | st.just(1 << 63)),
        max_size=4,
    ),
)
@example([".nv_fatbin", ".rodata", ".data"], [(1, 0, 120 + 2 * len(LOADED[".data"]))])  # all but the last section
def test_whatever_is_said_to_be_loaded_the_same_is_found(
    tmp_path: Path, names: list[str], segments: list[tuple[int, int, int]]
) -> None:
    sections = [build.section(name, LOADED[name]) for name in names]
    artifact = both(tmp_path, build.elf(sections, segments=tuple(segments)))
    assert artifact.libraries[0].fatbins == both(tmp_path, build.elf(sections)).libraries[0].fatbins
    assert [group.fatbin.section for group in artifact.libraries[0].fatbins] == names


def test_progress_within_a_large_member(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    data = build.library(build.fatbin([build.sass(filler=20 << 20)]))
    path = build.zip_file(tmp_path / "a.zip", {"l.so": data})
    scan(path, progress=lambda *row: seen.append(row))
    assert len(seen) >= 4
    assert [row[1] for row in seen] == sorted(row[1] for row in seen)


def test_copies_count_once(tmp_path: Path) -> None:
    one, two = (build.library(build.fatbin([build.sass(t)])) for t in ("sm_80", "sm_90"))
    members = {"c/lib.so": one, "b/lib.so.1": one, "a/lib.so": two, "c/lib.so.2": one}
    artifact = scan(build.zip_file(tmp_path / "a.zip", members))
    assert [(lib.path, lib.copies) for lib in artifact.libraries] == [
        ("a/lib.so", ()),
        ("b/lib.so.1", ("c/lib.so", "c/lib.so.2")),
    ]
    assert artifact.libraries[0].sha256 is None
    root = tmp_path / "tree"
    for name, data in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    assert scan(root).libraries == artifact.libraries
    assert scan(root).kind is ArtifactKind.DIRECTORY
    assert scan(root, with_sha256=True).libraries[0].sha256


def test_directory(tmp_path: Path) -> None:
    root = tmp_path / "r"
    (root / "sub").mkdir(parents=True)
    put(root / "sub", build.library(build.fatbin([build.sass()])), "l.so")
    put(root, b"text", "a.txt")
    build.zip_file(root / "n.zip", {"l.so": build.library(build.fatbin([build.sass()]))})
    (root / "link.so").symlink_to("sub/l.so")
    (root / "loop").symlink_to(root)
    (root / "broken").symlink_to("nowhere")
    import os

    os.mkfifo(root / "pipe")
    artifact = scan(root)
    assert [(lib.path, lib.copies) for lib in artifact.libraries] == [
        ("link.so", ("sub/l.so",)),
        ("n.zip!/l.so", ()),
    ]
    assert codes(artifact) == ["unreadable-file"]
    assert artifact.files == 5
    assert codes(scan(root, limits=Limits(members=2))) == ["unreadable-file", "limit-reached"]
    (root / "sub" / "deep").mkdir()
    assert "limit-reached" in codes(scan(root, limits=Limits(nesting=1)))
    with pytest.raises(ScanError, match="not a regular file"):
        scan(root / "pipe")


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    root = tmp_path / "r"
    root.mkdir()
    put(root, build.library(build.fatbin([build.sass()])), "x.so")
    (root / "itself").symlink_to("itself")
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "dangling.so").symlink_to("nowhere/x.so")
    (root / "through").symlink_to("x.so/y")
    (root / "null").symlink_to("/dev/null")  # no regular file, and no damage
    artifact = scan(root)
    assert [lib.path for lib in artifact.libraries] == ["x.so"]
    assert artifact.files == 1
    paths = [(finding.code, finding.path) for finding in artifact.findings]
    assert paths == [("unreadable-file", name) for name in ("dangling.so", "itself", "one", "through", "two")]
    assert "there is no such file" in artifact.findings[0].message
    with pytest.raises(ScanError):
        scan(root / "itself")


def test_no_gpu_code_says_what_was_looked_at(tmp_path: Path) -> None:
    artifact = scan(build.wheel(tmp_path, "a", "1", {"a.so": build.elf([]), "a.py": b""}))
    (finding,) = artifact.findings
    assert finding.code == "no-gpu-code"
    assert "5 files (1 ELF, 4 other)" in finding.message
    assert codes(scan(build.zip_file(tmp_path / "e.zip", {}))) == ["no-gpu-code"]
    assert "1 file (1 ELF)" in scan(put(tmp_path, build.elf([]))).findings[0].message


@pytest.mark.parametrize("data", [b"", b"hello", b"\x7fELF", b"\x7fELF\x01\x01\x01" + bytes(60), b"MZ" * 50])
def test_nothing_that_is_read(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ScanError, match=r"expected|empty"):
        scan(put(tmp_path, data, "x"))


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="no such file"):
        scan(tmp_path / "nowhere")
    with pytest.raises(ScanError):
        scan("a\0b")


def test_limits_are_checked() -> None:
    assert Limits(entries=5).entries == 5
    for name, value in (("entries", 0), ("seconds", -1.0), ("seconds", float("nan"))):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: value})  # type: ignore[arg-type]


def test_import_is_cheap() -> None:
    code = (
        "import sys, capably.scanner; "
        "heavy = {'zipfile', 'mmap', 'lz4', 'zstandard', 'isal', 'packaging'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_machines(tmp_path: Path) -> None:
    data = build.library(build.fatbin([build.sass()]))
    for number, name in ((62, "x86_64"), (183, "aarch64"), (243, "riscv"), (21, "ppc64le"), (40, "EM_40")):
        raw = bytearray(data)
        raw[18] = number
        assert both(tmp_path, bytes(raw)).libraries[0].machine == name


def test_targets_have_the_kind_of_their_image() -> None:
    kinds = {"sm_90": TargetKind.REAL, "compute_90": TargetKind.VIRTUAL, "lto_90": TargetKind.LTO}
    for text, kind in kinds.items():
        assert parse(text) == Target(ComputeCapability(9, 0), Suffix.NONE, kind)


def test_time_runs_out(tmp_path: Path) -> None:
    data = build.library(*[build.fatbin([build.sass()])] * 50)
    path = build.zip_file(tmp_path / "a.zip", {"a.so": data, "b.so": data})
    for place in (path, put(tmp_path, data)):
        with contextlib.suppress(LimitError):
            assert "limit-reached" in codes(scan(place, limits=Limits(seconds=1e-9)))
