"""Plans against NVIDIA's compilers: what is planned, they take, and make just that of it.

The wheels hold nvcc from CUDA 13.0 on, and ptxas alone before. Nothing is compiled by nvcc: it tells what it would do.
Two of each are fetched; with CAPABLY_EXHAUSTIVE=1 all of them are, and every plan for up to four GPUs is tried.
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

import pytest
import wheels

from capably.arch import Target, TargetKind
from capably.codes import Outcome
from capably.engine import judge
from capably.facts import Device
from capably.list_output import environment, spell
from capably.plan import PlanPolicy, plan, toolkit_named
from capably.probe.compilers import find_compilers
from capably.probe.machine import Machine
from capably.requirement import Requirement
from capably.tables import tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from capably.tables import KnownToolkit

pytestmark = [pytest.mark.network, pytest.mark.toolkit]

EXHAUSTIVE = bool(os.environ.get("CAPABLY_EXHAUSTIVE"))
NVCC = {
    "13.0": (
        "nvidia_cuda_nvcc-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03",
    ),
    "13.1": (
        "nvidia_cuda_nvcc-13.1.115-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "fe5c0604869dfbc837bdce9e1eef8e4f0e0d103c29e3875014ba3538c70efb74",
    ),
    "13.2": (
        "nvidia_cuda_nvcc-13.2.86-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "7d3f56c8d705bad35bbba69eb0470d90856fd5d4dc48c6a6173aaf1e9f887cf5",
    ),
    "13.3": (
        "nvidia_cuda_nvcc-13.3.73-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "f483af83166c4fa356a21606076d553b0b4ceaebbd9912e537545080db695bdd",
    ),
    "13.4": (
        "nvidia_cuda_nvcc-13.4.92-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "a1f3bfb27299e060b444d5df1f4bcd762501326cf0fd3141ed61756816ab9a0e",
    ),
    "13.5": (
        "nvidia_cuda_nvcc-13.5.37-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "f5c4f7ead5d964fb4af42bbf1e6d3ec3c1e6e9d83b53749f691d387e7fcaa3a7",
    ),
}
PTXAS = {
    "11.8": (
        "nvidia_cuda_nvcc_cu11-11.8.89-py3-none-manylinux2014_x86_64.whl",
        "f8e1e995166c884f2f5bf94975d7abb89175363b8712f7f81cd38d0df1b2cd85",
    ),
    "12.0": (
        "nvidia_cuda_nvcc_cu12-12.0.140-py3-none-manylinux1_x86_64.whl",
        "958d54df87d0c0b7207e7fed403d6eeda0890a01cc44cfeaccf87c7f90e9b165",
    ),
    "12.1": (
        "nvidia_cuda_nvcc_cu12-12.1.105-py3-none-manylinux1_x86_64.whl",
        "a0712a05ffd57d9f017580ffcc808b207f7f4ef7a5ca8ac1312318b153739a18",
    ),
    "12.2": (
        "nvidia_cuda_nvcc_cu12-12.2.140-py3-none-manylinux1_x86_64.whl",
        "c6ff4ae7a636eb6cab7621191e19ac3779690686bbcf52c04d8b1ca2944e1e27",
    ),
    "12.3": (
        "nvidia_cuda_nvcc_cu12-12.3.107-py3-none-manylinux1_x86_64.whl",
        "a3344b94f5e89023fa17e0bbf8fb0dd26d5ef6f4091a5aab08f215e4999eac62",
    ),
    "12.4": (
        "nvidia_cuda_nvcc_cu12-12.4.131-py3-none-manylinux2014_x86_64.whl",
        "e4c9a35435c3b0e36c6397c5696334c9ea6650e524736cbd1c5d345ea099bb04",
    ),
    "12.5": (
        "nvidia_cuda_nvcc_cu12-12.5.82-py3-none-manylinux2014_x86_64.whl",
        "b03e545b8e8c3ce7ebcd7fc44063180ff52ff01d064ece2127ed90a04ef12cd0",
    ),
    "12.6": (
        "nvidia_cuda_nvcc_cu12-12.6.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl",
        "d75d9d74599f4d7c0865df19ed21b739e6cb77a6497a3f73d6f61e8038a765e4",
    ),
    "12.8": (
        "nvidia_cuda_nvcc_cu12-12.8.93-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        "2d6dc36fb7cb5ac9c0b8825bc13d193c35487a315664007287d0126531238011",
    ),
    "12.9": (
        "nvidia_cuda_nvcc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0",
    ),
}
CAPABILITIES = sorted({product.capability for product in tables().products})
IMAGE = re.compile(r"--image3=kind=(elf|ptx),sm=([0-9]+[af]?),")


def some(pins: dict[str, tuple[str, str]], *versions: str) -> list[str]:
    return list(pins) if EXHAUSTIVE else list(versions)


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, str], str], Path]:
    """Unpacks one program of a wheel, and what stands beside it."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the compiler's wheels that are pinned here are those for Linux on x86_64")

    @functools.cache
    def unpack(pin: tuple[str, str], name: str) -> Path:
        directory = tmp_path_factory.mktemp("toolkit")
        with zipfile.ZipFile(wheels.wheel_path(*pin)) as archive:
            members = [m for m in archive.namelist() if re.search(rf"/bin/{name}(\\.profile)?$", m)]
            archive.extractall(directory, members)
        (found,) = directory.glob(f"nvidia/*/bin/{name}")
        found.chmod(0o755)
        return found

    return unpack


def emitter(version: str) -> KnownToolkit:
    found = toolkit_named(CudaVersion.parse(version))
    assert found is not None
    return found


def every_plan(version: str) -> Iterable[tuple[Target, ...]]:
    """The different sets of targets that plans for few GPUs consist of."""
    found = set()
    for policy in PlanPolicy:
        for size in range(1, 5 if EXHAUSTIVE else 3):
            for subset in itertools.combinations(CAPABILITIES, size):
                gpus = [(Device(c), tables().newest_driver(c)) for c in subset]
                found.add(plan(gpus, emitter(version), policy=policy).targets)
        gpus = [(Device(c), tables().newest_driver(c)) for c in CAPABILITIES]
        found.add(plan(gpus, emitter(version), policy=policy).targets)
    return sorted(found - {()}, key=str)


def would_make(nvcc: Path, flags: list[str], **variables: str) -> set[Target]:
    """The images that nvcc would put into a fatbin."""
    command = [str(nvcc), "--dryrun", "-fatbin", "k.cu", "-o", "k.fatbin", *flags]
    env = {name: value for name, value in os.environ.items() if not name.startswith("NVCC_")}
    done = subprocess.run(
        command, cwd=nvcc.parent, env={**env, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(done.stderr)
    kinds = {"elf": TargetKind.REAL, "ptx": TargetKind.VIRTUAL}
    targets = set()
    for kind, number in IMAGE.findall(done.stderr):
        base = Target.parse(f"sm_{number}")
        targets.add(Target(base.capability, base.suffix, kinds[kind]))
    return targets


@pytest.mark.parametrize("version", some(NVCC, "13.0", "13.5"))
def test_nvcc_makes_what_is_planned(
    version: str, tool: Callable[[tuple[str, str], str], Path], record_property: Callable[[str, object], None]
) -> None:
    nvcc = tool(NVCC[version], "nvcc")
    (nvcc.parent / "k.cu").write_text("__global__ void k() {}\n")
    cuda = CudaVersion.parse(version)
    plans = list(every_plan(version))
    for targets in plans:
        text = spell(targets, "nvcc-gencode", toolkit=cuda).text
        assert text is not None
        assert would_make(nvcc, text.split()) == set(targets)
    record_property("plans", len(plans))
    # By the environment it is the same, and one target can be asked for in short.
    assert would_make(nvcc, [], **environment(plans[-1], "nvcc-gencode", toolkit=cuda)) == set(plans[-1])
    both = tuple(map(Target.parse, ("sm_90", "compute_90")))
    assert would_make(nvcc, [], **environment(both, "nvcc-arch", toolkit=cuda)) == set(both)
    # What the tables say that it does not emit, it refuses.
    with pytest.raises(ValueError, match="Unsupported gpu architecture"):
        would_make(nvcc, ["-gencode", "arch=compute_70,code=sm_70"])


@pytest.mark.parametrize("version", some(PTXAS, "11.8", "12.9"))
def test_ptxas_assembles_what_is_planned(
    version: str, tool: Callable[[tuple[str, str], str], Path], tmp_path: Path
) -> None:
    ptxas = tool(PTXAS[version], "ptxas")
    cuda = CudaVersion.parse(version)
    isa = dict(tables().ptx)[cuda]

    def takes(name: str) -> bool:
        source = tmp_path / "k.ptx"
        source.write_text(f".version {isa}\n.target sm_{name}\n.address_size 64\n.visible .entry k() {{ ret; }}\n")
        done = subprocess.run(
            [str(ptxas), f"-arch=sm_{name}", str(source), "-o", str(tmp_path / "k.cubin")],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    planned = {str(target).split("_")[1] for targets in every_plan(version) for target in targets}
    assert [name for name in sorted(planned) if not takes(name)] == []
    # Of all targets there are, it takes those that the tables say and no others.
    every = {name for row in tables().toolkits for name in row.targets}
    assert {name for name in every if takes(name)} == set(emitter(version).targets)


@pytest.mark.parametrize("version", some({**PTXAS, **NVCC}, "11.8", "12.9", "13.0", "13.5"))
def test_a_compiler_that_is_not_run_says_the_same(
    tmp_path: Path, version: str, tool: Callable[[tuple[str, str], str], Path]
) -> None:
    """What its file holds is what it prints, and what the table has for that is what it lists."""
    for name in ("nvcc", "ptxas") if version in NVCC else ("ptxas",):
        program = tool({**PTXAS, **NVCC}[version], name)
        here = Machine(root=tmp_path, environ={}, paths=(str(program.parents[3]),), home=str(tmp_path))
        named = Machine(root=tmp_path, environ={"PATH": str(program.parent)}, paths=(), home=str(tmp_path))
        (read,), (asked,) = find_compilers(here), find_compilers(named)
        assert read.toolkit.version is not None
        assert read.toolkit.targets is None
        assert (read.toolkit.version, read.toolkit.cuda) == (asked.toolkit.version, asked.toolkit.cuda)
        listed = {f"{one.capability.number}{one.suffix}" for one in asked.toolkit.targets or ()}
        assert listed == set(emitter(version).targets)
        for row in tables().toolkits[-1].targets:
            code = Target.parse(f"sm_{row}")
            needed = Requirement.parse(f"{code.capability}{code.suffix}")
            verdicts = [judge(needed, Device(code.capability), toolkit=one.toolkit) for one in (read, asked)]
            assert verdicts[0].outcome is verdicts[1].outcome, row
            assert (verdicts[0].outcome is Outcome.RUNS) >= (row in emitter(version).targets), row
