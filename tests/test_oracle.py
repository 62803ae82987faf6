"""The engine against an oracle of documents, and the oracle against NVIDIA's compilers.

A sample of the judgements and of the compilers' answers; with CAPABLY_EXHAUSTIVE=1 all of them.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import oracle
import pytest
import wheels
from oracle import By, Code
from test_plan_toolkits import NVCC, PTXAS

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.engine import judge
from capably.facts import Compression, Device, Driver, Image, ImageKind
from capably.plan import PlanPolicy, plan, toolkit_named
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease, PtxVersion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXHAUSTIVE = bool(os.environ.get("CAPABLY_EXHAUSTIVE"))

RELEASES = (
    390,
    410,
    418,
    450,
    470,
    496,
    511,
    520,
    525,
    535,
    545,
    553,
    565,
    570,
    575,
    580,
    581,
    590,
    595,
    615,
    620,
    700,
)
CUDAS = ((9, 2), (10, 0), (10, 2), (11, 0), (11, 4), (11, 8), (12, 0), (12, 3), (12, 4), (12, 8), (12, 9), (13, 0), (13, 1), (13, 5), (14, 0))  # fmt: skip
BOTH = (
    *itertools.product((470, 535, 580), ((12, 2), (12, 4), (12, 8), (13, 0), (13, 1), (13, 5))),
    *((570, (12, 4)), (570, (12, 9)), (580, (12, 9)), (590, (13, 0)), (540, (12, 6)), (700, (13, 0)), (700, (14, 0)), (390, (12, 4))),
)  # fmt: skip
BYS = [By(), *(By(release) for release in RELEASES), *(By(cuda=cuda) for cuda in CUDAS), *(By(*both) for both in BOTH)]
MADE = [
    (None, None),
    *((toolkit, None) for toolkit in ((10, 2), (11, 8), (12, 0), (12, 9), (13, 0), (13, 5), (14, 0))),
    (None, (1, 7)),
    (None, (1, 8)),
    ((12, 9), (1, 8)),
]
ISAS = (None, (6, 0), (6, 3), (7, 4), (7, 8), (8, 0), (8, 4), (8, 5), (8, 7), (8, 8), (9, 0), (9, 1), (9, 5), (9, 6))


def capability(number: int) -> ComputeCapability:
    return ComputeCapability(*divmod(number, 10))


def driver(by: By) -> Driver | None:
    if not by.known:
        return None
    release = DriverRelease(by.release, 10) if by.release is not None else None
    return Driver(release, CudaVersion(*by.cuda) if by.cuda else None)


def image(code: Code) -> Image:
    kind = TargetKind.VIRTUAL if code.ptx else TargetKind.REAL
    return Image(
        ImageKind.PTX if code.ptx else ImageKind.SASS,
        Target(capability(code.number), Suffix(code.suffix), kind),
        compression=Compression.ZSTD if code.zstd else Compression.LZ4,
        ptx=PtxVersion(*code.isa) if code.isa else None,
        toolkit=CudaVersion(*code.toolkit) if code.toolkit else None,
        code_version=code.code_version,
    )


def codes() -> Iterator[Code]:
    for target, zstd in itertools.product(oracle.TARGETS, (False, True)):
        for toolkit, version in MADE:
            yield Code(target, toolkit=toolkit, code_version=version, zstd=zstd)
        for isa in ISAS:
            yield Code(target, ptx=True, isa=isa, zstd=zstd)


def test_the_engine_says_what_the_oracle_says() -> None:
    """Targets x kinds x toolkits or PTX versions x compressions x devices x drivers."""
    step = 1 if EXHAUSTIVE else 211  # prime to all lengths, so that each value of each kind comes
    every = itertools.product(codes(), oracle.DEVICES, BYS)
    judged, differing = 0, []
    for code, device, by in itertools.islice(every, 0, None, step):
        judged += 1
        said = judge(image(code), Device(capability(device)), driver(by)).outcome
        if said != (wanted := oracle.expected(code, device, by)):
            differing.append((code, device, by, str(said), wanted))
    assert differing == []
    assert judged > (2_000_000 if EXHAUSTIVE else 10_000)


@pytest.mark.parametrize("needs", ["native", "size"])
def test_a_plan_covers_what_the_oracle_says_can_be_covered(needs: str) -> None:
    """One GPU, one driver, one toolkit: covered if, by the oracle, code of that toolkit loads there, and started by its runtime."""
    toolkits = [row.cuda for row in tables().toolkits]
    every = list(itertools.product(toolkits, oracle.DEVICES, (by for by in BYS if by.known)))
    judged, differing = 0, []
    for cuda, device, by in every[:: 1 if EXHAUSTIVE else 307]:
        emitter = toolkit_named(cuda)
        assert emitter is not None
        made = (cuda.major, cuda.minor)
        isa = next(ptx for _, row, ptx in reversed(oracle.BRANCHES) if row <= made)
        kinds = (False,) if needs == "native" else (False, True)
        names = [name for name in oracle.TARGETS if oracle.toolkits_of(name)[0] <= made <= oracle.toolkits_of(name)[1]]
        known = by.cuda if device in oracle.TEGRA else by.libcuda()[1] or (10, 0)
        starts = known is None or known[0] >= cuda.major  # CUDA Compatibility guide
        covered = starts and any(
            oracle.expected(Code(name, ptx, isa if ptx else None, made), device, by) in (oracle.RUNS, oracle.COMPILES)
            for name in names
            for ptx in kinds
        )
        by_driver = driver(by)
        assert by_driver is not None
        found = plan([(Device(capability(device)), by_driver)], emitter, policy=PlanPolicy(needs))
        judged += 1
        if found.complete is not covered:
            differing.append((str(cuda), device, by, found.complete, covered))
    assert differing == []
    assert judged > (40_000 if EXHAUSTIVE else 100)


# -- the oracle against the compilers


@functools.cache
def tool(version: str, name: str, folder: Path) -> Path:
    """A program of a wheel, unpacked."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the compiler's wheels that are pinned here are those for Linux on x86_64")
    place = folder / version
    with zipfile.ZipFile(wheels.wheel_path(*{**PTXAS, **NVCC}[version])) as archive:
        (member,) = [m for m in archive.namelist() if re.search(rf"/bin/{name}$", m)]
        found = place / name
        place.mkdir(exist_ok=True)
        found.write_bytes(archive.read(member))
    found.chmod(0o755)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compilers")


def accepted(*command: str | Path) -> bool:
    return subprocess.run([*map(str, command)], capture_output=True, check=False).returncode == 0


def assembled(ptxas: Path, isa: str, target: str, arch: str, out: Path, *options: str) -> bool:
    source = out.with_suffix(".ptx")
    source.write_text(f".version {isa}\n.target sm_{target}\n.address_size 64\n.visible .entry k() {{ ret; }}\n")
    return accepted(ptxas, f"-arch=sm_{arch}", *options, source, "-o", out)


def numbers(version: str) -> list[int]:
    """The devices that a toolkit has targets for."""
    made = oracle._version(version)
    return [one for one, (first, last) in oracle.MADE_BY.items() if first <= made <= last]


def of_device(device: int) -> str:
    """The target that has all that a device can: with `a` where there is one."""
    return f"{device}a" if device >= 90 else str(device)


@pytest.mark.network
@pytest.mark.toolkit
@pytest.mark.parametrize(("version", "isa"), [("11.8", "7.8"), ("12.9", "8.8"), ("13.5", "9.5")])
def test_ptxas_compiles_for_a_device_what_the_oracle_says(version: str, isa: str, folder: Path) -> None:
    ptxas, made = tool(version, "ptxas", folder), oracle._version(version)
    there = [one for one in oracle.TARGETS if oracle.toolkits_of(one)[0] <= made <= oracle.toolkits_of(one)[1]]
    pairs = list(itertools.product(there, numbers(version)))
    for target, device in pairs[:: 1 if EXHAUSTIVE else 7]:
        said = oracle.on_target(Code(target, ptx=True), device)
        took = assembled(
            ptxas, isa, target, of_device(device) if version != "11.8" else str(device), folder / "k.cubin"
        )
        assert said == oracle.UNKNOWN or took is (said == oracle.COMPILES), (target, device, took)


@pytest.mark.network
@pytest.mark.toolkit
@pytest.mark.parametrize(("version", "isa"), [("13.0", "9.0"), ("13.5", "9.5")])
def test_nvlink_links_for_a_device_what_the_oracle_says(version: str, isa: str, folder: Path) -> None:
    """Of pairs across Tegra, 13.0 refuses what 13.5 takes; and 13.0 takes `a` for the plain target, which is no device."""
    ptxas, nvlink, made = tool(version, "ptxas", folder), tool(version, "nvlink", folder), oracle._version(version)
    there = [one for one in oracle.TARGETS if oracle.toolkits_of(one)[0] <= made <= oracle.toolkits_of(one)[1]]
    for target in there[:: 1 if EXHAUSTIVE else 3]:
        cubin = folder / "linked.cubin"
        assert assembled(ptxas, isa, target, target, cubin, "-c")
        for device in numbers(version):
            took = accepted(nvlink, f"-arch=sm_{of_device(device)}", cubin, "-o", folder / "out.cubin")
            said = oracle.on_target(Code(target), device)
            across = said == oracle.UNKNOWN
            assert took is (version == "13.5" if across else said == oracle.RUNS), (target, device, took)
