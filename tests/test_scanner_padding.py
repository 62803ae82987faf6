"""Zeros between fatbins, up to what their section is aligned to, are no damage, by every way; anything else is."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from pathlib import Path

import build
import pytest
import ways

CHECKS = Path(__file__).parent / "data/checks"
ONE = build.fatbin([build.sass("sm_80")])
rng = random.Random(1)  # noqa: S311 - to be repeated


def codes(data: bytes, directory: Path) -> list[str]:
    found = ways.read(data, directory, rng)
    assert [group.count for group in found.libraries[0].fatbins] == [2]
    return [finding.code for finding in found.findings]


def library(between: bytes, behind: bytes = b"", *, align: int) -> bytes:
    return build.elf([build.Section(".nv_fatbin", ONE + between + ONE + behind, align=align)])


@pytest.mark.parametrize("align", [128, 256, 4096, 1 << 16])
def test_zeros_up_to_the_alignment_are_padding(tmp_path: Path, align: int) -> None:
    assert codes(library(bytes(-len(ONE) % align), align=align), tmp_path) == []
    assert codes(library(bytes(align - 1), bytes(align - 1), align=align), tmp_path) == []


@pytest.mark.parametrize(
    ("between", "behind", "align"),
    [
        (bytes(256), b"", 256),  # more than any alignment needs
        (bytes(65), b"", 8),
        (b"", bytes(256), 256),
        (bytes(100) + b"x" + bytes(100), b"", 256),
        (b"", bytes(200) + b"x", 256),
        (bytes(1 << 17), b"", 1 << 62),  # an alignment that no host has
    ],
)
def test_other_gaps_are_damage(tmp_path: Path, between: bytes, behind: bytes, align: int) -> None:
    data = bytearray(library(between, behind, align=8))
    struct.pack_into("<Q", data, int.from_bytes(data[40:48], "little") + 64 + 48, align)
    assert codes(bytes(data), tmp_path) == ["damaged-fatbin"]


def test_padding_in_objects_and_libraries_for_windows(tmp_path: Path) -> None:
    def coff(align: int) -> bytes:
        data = bytearray(build.coff([build.Section(".nv_fatbin", ONE + bytes(200) + ONE)]))
        flags = int.from_bytes(data[56:60], "little") | align << 20
        data[56:60] = flags.to_bytes(4, "little")
        return bytes(data)

    assert codes(coff(9), tmp_path) == []  # IMAGE_SCN_ALIGN_256BYTES
    assert codes(coff(4), tmp_path) == ["damaged-fatbin"]
    sections = [build.section(".nv_fatb", ONE + bytes(200) + ONE)]
    assert codes(build.pe(sections, align=0x1000), tmp_path) == []
    assert codes(build.pe(sections), tmp_path) == ["damaged-fatbin"]


def test_padding_of_a_real_linker(tmp_path: Path) -> None:
    # Two objects whose section is aligned to 256, linked: what aarch64's tools do.
    assert codes((CHECKS / "pad.so").read_bytes(), tmp_path) == []
    if shutil.which("ld") is None or shutil.which("objcopy") is None:
        pytest.skip("needs the linker of binutils")
    for name in "ab":
        (tmp_path / name).write_bytes(ONE)
        (tmp_path / f"{name}.s").write_text(
            f'.section .nv_fatbin,"a"\n.balign 256\n.incbin "{tmp_path / name}"\n.section .note.GNU-stack,"",@progbits\n'
        )
        subprocess.run(["as", f"{tmp_path / name}.s", "-o", f"{tmp_path / name}.o"], check=True)
    made = tmp_path / "linked.so"
    subprocess.run(["ld", "-shared", tmp_path / "a.o", tmp_path / "b.o", "-o", made], check=True)
    assert codes(made.read_bytes(), tmp_path) == []
