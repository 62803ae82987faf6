"""Cubins outside fatbins: where they end, and what their own headers tell."""

from __future__ import annotations

import random
import zipfile
from collections import Counter
from pathlib import Path

import build
import pytest
import ways
import wheels

from capably.cli.targets import read_driver
from capably.engine import judge
from capably.gpu_names import named_devices
from capably.scanner import scan

CHECKS = Path(__file__).parent / "data/checks"
IKET = (
    "nvidia_cutlass_dsl_libs_base-4.8.1-cp311-cp311-manylinux_2_28_x86_64.whl",
    "04f60d4815d40b8588dc12bc58572923619f1b9547936195e80634a9468c0fb2",
)
rng = random.Random(1)  # noqa: S311 - to be repeated


def found(data: bytes, directory: Path) -> Counter[str]:
    library = ways.read(data, directory, rng).libraries[0]
    return Counter({str(bare.image.target): bare.count for bare in library.bare})


def rodata(*pieces: bytes) -> bytes:
    return build.elf([build.section(".rodata", b"".join(build.pad8(piece) for piece in pieces) + bytes(64))])


def test_cubins_whose_sections_lie_behind_their_table(tmp_path: Path) -> None:
    # The end of the table was taken for their end, so their names lay outside and they were passed over.
    targets = ("sm_75", "sm_90a", "sm_100a", "sm_120")
    cubins = [build.cubin(target, kernels=("one", "two"), toolkit=(12, 9)) for target in targets]
    first = [build.table_first(cubin) for cubin in cubins]
    assert all(cubin[40] == 64 for cubin in first)
    assert found(rodata(*first, *cubins), tmp_path) == dict.fromkeys(targets, 2)
    real = (CHECKS / "h90.cubin").read_bytes()  # by ptxas 13.5
    assert found(rodata(b"x" * 40, build.table_first(real), real), tmp_path) == {"sm_90": 2}


def test_what_lies_in_such_a_cubin_is_not_found_once_more(tmp_path: Path) -> None:
    inner = build.cubin("sm_75")
    outer = build.table_first(build.cubin("sm_80", kernels=("k" * len(inner),)))
    at = outer.index(b"k" * len(inner))
    assert found(rodata(outer[:at] + inner + outer[at + len(inner) :]), tmp_path) == {"sm_80": 1}


def test_kernels_of_a_cubin_whose_table_comes_first(tmp_path: Path) -> None:
    data = rodata(build.table_first(build.cubin("sm_80", kernels=("one", "two"), registers=40)))
    kernels = ways.read(data, tmp_path, rng, ways=4, with_kernels=True).libraries[0].kernels or ()
    assert [(part.names, part.registers) for one in kernels for part in one.images] == [(("one", "two"), (40, 40))]


def test_a_cubin_that_claims_more_than_there_is(tmp_path: Path) -> None:
    cut = build.table_first(build.cubin("sm_80"))[:-40]
    data = build.elf([build.section(".rodata", build.cubin("sm_75") + cut)])
    assert found(data, tmp_path) == {"sm_75": 1}


@pytest.mark.network
def test_cubins_of_a_real_library_that_begin_with_their_table(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheels.wheel_path(*IKET)) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("/libiket_cubin_info.so"))
        (tmp_path / "lib.so").write_bytes(wheel.read(name))
    (library,) = scan(tmp_path / "lib.so").libraries
    # By readelf: e_machine 190, e_shoff 64, and the architecture in e_flags.
    assert {str(bare.image.target): (bare.section, bare.count) for bare in library.bare} == {
        f"sm_{number}": (".rodata", 1) for number in (90, 100, 103, 107, 110, 120, 121)
    }


@pytest.mark.parametrize(("abi", "coverage"), [(7, "full"), (8, "unknown")])
def test_a_cubin_without_notes_is_of_the_toolkits_of_its_abi(tmp_path: Path, abi: int, coverage: str) -> None:
    # Nothing but its ABI says that it is of CUDA 13, which a driver of CUDA 12.2 need not load.
    cubin = build.cubin("sm_80", toolkit=None, abi=abi)
    (tmp_path / "k.cubin").write_bytes(cubin)
    artifact = scan(tmp_path / "k.cubin")
    ((group,),) = [library.fatbins for library in artifact.libraries]
    assert [image.code_version for image in group.fatbin.images] == [(1, abi)]
    (a100,) = named_devices(["A100"])
    assert judge(artifact, a100, read_driver("535.183.01")).coverage == coverage
    (tmp_path / "host.so").write_bytes(rodata(cubin))
    (bare,) = scan(tmp_path / "host.so").libraries[0].bare
    assert bare.image.code_version == (1, abi)
