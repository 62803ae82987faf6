"""The CUDA runtime that is linked into a library, which no name of a needed library tells."""

from __future__ import annotations

import random
import subprocess
import zipfile
from pathlib import Path

import build
import pytest
import ways
import wheels

from capably.arch import ComputeCapability
from capably.cli.targets import read_driver
from capably.engine import judge
from capably.facts import Device
from capably.scanner import scan

INSUFFICIENT = b"\0CUDA driver version is insufficient for CUDA runtime version\0"
TWELVE, THIRTEEN = b"\0cudaGetDeviceProperties_v2\0", b"\0cudaLogsRegisterCallback\0"
RUNTIMES = {
    12: (
        "nvidia_cuda_runtime_cu12-12.9.79-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3",
    ),
    13: (
        "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    ),
}


def host(constants: bytes, *, name: str = ".rodata", needed: tuple[str, ...] = ()) -> bytes:
    return build.elf(
        [build.section(name, constants), build.section(".nv_fatbin", build.fatbin([build.sass("sm_75")]))],
        needed=needed,
    )


def runtime_of(data: bytes, directory: Path) -> int | None:
    """The same by all ways to read a file."""
    (found,) = ways.read(data, directory, random.Random(2)).libraries  # noqa: S311 - to be repeated
    return found.runtime


@pytest.mark.parametrize(
    ("constants", "expected"),
    [
        (INSUFFICIENT + TWELVE, 12),
        (THIRTEEN + bytes(40_000) + INSUFFICIENT, 13),
        (INSUFFICIENT, None),  # CUDA 11, of whatever minor version
        (TWELVE, None),  # a name alone: whoever wraps the runtime has it
        (INSUFFICIENT + TWELVE + THIRTEEN, None),
        (INSUFFICIENT[1:-1] + b", it says" + TWELVE, None),
        # Across the edges of the pieces in which constants are read, from wherever they begin.
        *((bytes((1 << 20) - cut) + THIRTEEN + bytes(1 << 20) + INSUFFICIENT, 13) for cut in (1, 12, 25, 100)),
        *((bytes((1 << 20) - cut) + INSUFFICIENT + TWELVE, 12) for cut in (1, 30, 61)),
    ],
)
def test_a_runtime_is_known_by_its_texts(constants: bytes, expected: int | None, tmp_path: Path) -> None:
    assert runtime_of(host(b"x" + constants), tmp_path) == expected


def test_a_runtime_is_looked_for_where_constants_are_and_none_is_named(tmp_path: Path) -> None:
    texts = INSUFFICIENT + THIRTEEN
    assert runtime_of(host(texts, name=".data"), tmp_path) is None
    assert runtime_of(host(texts, needed=("libcudart-0a1b2c3d.so.13.0.96",)), tmp_path) is None
    assert runtime_of(host(texts, needed=("libcuda.so.1",)), tmp_path) == 13
    code = build.section(".nv_fatb", build.fatbin([build.sass("sm_75")]))
    assert runtime_of(build.pe([build.section(".rdata", texts), code]), tmp_path) == 13


@pytest.mark.parametrize(
    ("constants", "by", "stopped"),
    [
        (INSUFFICIENT + THIRTEEN, "570.133.20", True),
        (INSUFFICIENT + THIRTEEN, "580.65.06", False),
        (INSUFFICIENT + THIRTEEN, None, False),
        (INSUFFICIENT + TWELVE, "515.65.01", True),
        (INSUFFICIENT + TWELVE, "525.60.13", False),
        (INSUFFICIENT, "470.57.02", False),
    ],
)
def test_a_linked_runtime_stops_a_driver_of_an_older_major_version(
    constants: bytes, by: str | None, stopped: bool, tmp_path: Path
) -> None:
    found = scan(build.wheel(tmp_path, "pkg", "1.0", {"pkg/_C.so": host(constants)}))
    verdict = judge(found, Device(ComputeCapability(7, 5)), read_driver(by) if by else None)
    assert [one.code for one in verdict.blocked] == ["cuda-major-newer-than-driver"] * stopped
    assert [one.path for one in verdict.blocked] == ["pkg/_C.so"] * stopped


@pytest.mark.network
@pytest.mark.parametrize("major", RUNTIMES)
def test_a_runtime_that_a_linker_puts_into_a_library_is_found(major: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheels.wheel_path(*RUNTIMES[major])) as archive:
        (inside,) = (name for name in archive.namelist() if name.endswith("/libcudart_static.a"))
        runtime = Path(archive.extract(inside, tmp_path))
    (tmp_path / "code.fatbin").write_bytes(build.fatbin([build.sass("sm_75")]))
    (tmp_path / "code.s").write_text('.section .nv_fatbin,"a"\n.incbin "code.fatbin"\n', encoding="utf-8")
    (tmp_path / "hidden.map").write_text("{ local: *; };", encoding="utf-8")
    libraries = [f"-Wl,--whole-archive,{runtime},--no-whole-archive", "-ldl", "-lrt", "-lpthread"]
    command = ["gcc", "-shared", "-s", "-Wl,--version-script=hidden.map", "-o", "plugin.so", "code.s", *libraries]
    subprocess.run(command, cwd=tmp_path, check=True)
    (found,) = scan(tmp_path / "plugin.so").libraries
    assert not any("cudart" in name for name in found.needed)
    assert found.runtime == major
