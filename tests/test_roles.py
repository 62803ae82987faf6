"""Which files of a distribution decide, which compiler makes its kernels, and what is no GPU code at all."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from build import elf, fatbin, library, ptx, ptx_entry, sass, section, wheel
from hypothesis import given
from hypothesis import strategies as st
from plain import unmeasured

from capably.arch import ComputeCapability
from capably.check import Gpu, judge_all
from capably.codes import Outcome
from capably.engine import Coverage, Ground, Headline, headline, judge
from capably.facts import (
    Artifact,
    ArtifactKind,
    Device,
    Driver,
    Role,
    System,
    Toolkit,
    ToolkitKind,
    from_object,
    to_object,
)
from capably.report.check_text import check_text
from capably.report.layout import Style
from capably.scanner import scan, scan_distribution
from capably.scanner.metadata import find_distributions
from capably.store import Store
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease

DATA = Path(__file__).parent / "data"
RECORDS = [json.loads(line) for line in lzma.decompress((DATA / "records.jsonl.xz").read_bytes()).decode().splitlines()]
V100, T4, H100, B300, RTX_5080, GB10 = (
    Device(ComputeCapability.parse(number)) for number in ("7.0", "7.5", "9.0", "10.3", "12.0", "12.1")
)
NEW_CODE, OLD_CODE = library(fatbin([sass("sm_120")])), library(fatbin([sass("sm_70")]))
PTXAS = "triton/backends/nvidia/bin/ptxas"
# What `ptxas --version` of real wheels printed, by release of Triton.
TRITON = {
    "3.3.1": {PTXAS: "12.4.99", f"{PTXAS}-blackwell": "12.8.61"},
    "3.9.0": {PTXAS: "12.9.86", f"{PTXAS}-blackwell": "13.4.59"},
}


def compiler(*versions: str) -> bytes:
    """A program that states its versions as ptxas and NVRTC do."""
    texts = (f"Cuda compilation tools, release {one.rpartition('.')[0]}, V{one}\n\0".encode() for one in versions)
    return elf([section(".rodata", b"text before\0" + b"".join(texts))])


def newest(device: Device) -> Driver:
    return tables().newest_driver(device.capability)


def checked(*arguments: str) -> list[dict[str, Any]]:
    """The results of `capably check`, as another program reads them."""
    said = subprocess.run(
        [sys.executable, "-m", "capably", "check", *arguments, "--json", "--no-cache"],
        capture_output=True,
        check=False,
        env=unmeasured(),
    )
    results: list[dict[str, Any]] = json.loads(said.stdout)["results"]
    return results


# -- roles


def test_only_the_product_of_a_wheel_decides(tmp_path: Path) -> None:
    members = {
        "pkg/_C.so": NEW_CODE,
        "pkg/lib/libcupti-0a1b2c3d.so.12.8.90": OLD_CODE,
        "pkg/lib/libcheckpoint.so": library(fatbin([sass("sm_75")])),
        "pkg/tests/data/old.ptx": ptx("sm_70"),
    }
    found = scan(wheel(tmp_path, "pkg", "1.0", members))
    verdict = judge(found, RTX_5080, newest(RTX_5080))
    assert verdict.coverage is Coverage.FULL
    assert (verdict.counts.runs, verdict.counts.total) == (1, 1)
    assert {part.subject: part.role for part in verdict.parts} == {
        "pkg/_C.so": Role.PRODUCT,
        "pkg/lib/libcheckpoint.so": Role.PROFILER,
        "pkg/lib/libcupti-0a1b2c3d.so.12.8.90": Role.PROFILER,
        "pkg/tests/data/old.ptx": Role.TEST,
    }
    assert any(
        one.message == "Also holds: 2 files of a profiler and 1 file of tests (decide nothing)"
        for one in verdict.findings
    )


@pytest.mark.parametrize("name", ["nvidia-cuda-cupti", "nvidia-cuda-cupti-cu12"])
def test_a_profiler_is_the_product_of_its_own_distribution(name: str, tmp_path: Path) -> None:
    found = scan(wheel(tmp_path, name, "12.8", {"nvidia/cuda_cupti/lib/libcupti.so.12": OLD_CODE}))
    assert judge(found, V100).coverage is Coverage.FULL
    assert judge(found, H100).coverage is Coverage.NONE


def test_a_file_that_somebody_names_is_no_test(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    named = tmp_path / "tests" / "libcupti.so"
    named.write_bytes(OLD_CODE)
    assert judge(scan(named), V100).coverage is Coverage.FULL
    assert judge(scan(tmp_path), V100).coverage is Coverage.FULL, "nor is one in a folder that somebody names"


def test_code_that_a_profiler_needs_does_not_stop_the_product(tmp_path: Path) -> None:
    needing = library(fatbin([sass("sm_80")]), needed=("libcudart.so.13",))
    members = {"pkg/_C.so": library(fatbin([sass("sm_80")])), "pkg/libcupti.so": needing}
    found = scan(wheel(tmp_path, "pkg", "1.0", members))
    assert not judge(found, Device(ComputeCapability(8, 0)), Driver(DriverRelease(535, 183))).blocked


def _named_by_somebody(artifact: Artifact) -> Artifact:
    """The same files without the distribution: all of them count."""
    return replace(artifact, kind=ArtifactKind.DIRECTORY, name=None)


def _taking_out_makes_no_yes(artifact: Artifact, device: Device, driver: Driver | None) -> None:
    without = replace(artifact, name="nobody-knows-it")  # no compiler of its own, which may bring what files lack
    all_of_it = judge(_named_by_somebody(artifact), device, driver)
    product = judge(without, device, driver)
    if all_of_it.coverage is Coverage.NONE:
        assert product.coverage in (Coverage.NONE, None)
    if not all_of_it.counts.usable:
        assert not product.counts.usable
    assert product.counts.usable <= all_of_it.counts.usable
    # With its name the package has its core library, and what that is for decides.
    named = replace(artifact, kind=ArtifactKind.DIRECTORY)
    whole, rest = judge(named, device, driver), judge(artifact, device, driver)
    if headline(named, whole).ground is Ground.CORE_FAILS and rest.compiler is None:
        assert headline(artifact, rest).headline in (Headline.NO, Headline.UNKNOWN)


@pytest.mark.parametrize("number", ["6.1", "7.0", "8.9", "9.0", "10.3", "12.1"])
def test_taking_files_out_turns_no_no_into_a_yes_in_any_record(number: str) -> None:
    assert len(RECORDS) == 116
    device = Device(ComputeCapability.parse(number))
    taken_out = 0
    for row in RECORDS:
        artifact = from_object(Artifact, row["record"])
        for driver in (None, Driver(DriverRelease(535, 183, 1))):
            _taking_out_makes_no_yes(artifact, device, driver)
        taken_out += any(part.role is not Role.PRODUCT for part in judge(artifact, device).parts)
    assert taken_out, "some hold more than their product"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["_C.so", "tests/a.so", "lib/libcupti.so.12", "b.a", "lib/libnvrtc.so.12", "test/x.so"]),
            st.sampled_from([path for row in RECORDS[:20] for path in row["record"]["libraries"][:1]]),
        ),
        min_size=1,
        unique_by=lambda pair: pair[0],
    ),
    st.sampled_from([V100, T4, H100, B300, RTX_5080, GB10]),
)
def test_taking_files_out_turns_no_no_into_a_yes(files: list[tuple[str, dict[str, Any]]], device: Device) -> None:
    libraries = [{**found, "path": f"pkg/{path}", "copies": []} for path, found in files]
    artifact = from_object(Artifact, {"path": "x", "kind": "wheel", "name": "pkg", "libraries": libraries})
    _taking_out_makes_no_yes(artifact, device, None)


# -- compilers at run time


def triton(folder: Path, version: str, **more: bytes) -> Artifact:
    members = {path: compiler(stated) for path, stated in TRITON[version].items()}
    members["triton/backends/nvidia/lib/cupti/libcupti.so"] = NEW_CODE
    return scan(wheel(folder, "triton", version, members | more))


# Whether the program made a cubin of an empty kernel for that target: those of the wheels of triton 3.3.1 (ptxas 12.4.99,
# ptxas-blackwell 12.8.61, which says "Value 'sm_103a' is not defined") and 3.9.0 (12.9.86, 13.4.59) were run on them.
@pytest.mark.parametrize(
    ("version", "device", "target", "coverage"),
    [
        ("3.3.1", V100, "sm_70", Coverage.FULL),
        ("3.3.1", H100, "sm_90a", Coverage.FULL),
        ("3.3.1", RTX_5080, "sm_120a", Coverage.FULL),
        ("3.3.1", B300, "sm_103a", Coverage.NONE),
        ("3.3.1", GB10, "sm_121a", Coverage.NONE),
        ("3.9.0", V100, "sm_70", Coverage.FULL),
        ("3.9.0", H100, "sm_90a", Coverage.FULL),
        ("3.9.0", B300, "sm_103a", Coverage.FULL),
        ("3.9.0", GB10, "sm_121a", Coverage.FULL),
    ],
)
def test_triton_is_judged_by_the_ptxas_that_it_takes(
    version: str, device: Device, target: str, coverage: Coverage, tmp_path: Path
) -> None:
    verdict = judge(triton(tmp_path, version), device, newest(device))
    assert verdict.coverage is coverage
    assert verdict.counts.total == 0, "the profiler decides nothing, and nothing is brought"
    assert verdict.compiler is not None
    assert str(verdict.compiler.target) == target
    assert verdict.compiler.outcome is (Outcome.RUNS if coverage is Coverage.FULL else Outcome.FAILS)


def test_code_of_a_newer_cuda_major_than_the_drivers_is_no_plain_yes_however_it_is_made(tmp_path: Path) -> None:
    found = triton(tmp_path, "3.9.0")
    old = Driver(DriverRelease(550, 54, 14))
    assert judge(found, H100, old).coverage is Coverage.UNKNOWN, "ptxas-blackwell 13.4 serves 9.0"
    assert judge(found, V100, old).coverage is Coverage.FULL, "ptxas 12.9 serves 7.0"


def test_json_says_which_compiler_makes_what(tmp_path: Path) -> None:
    members = {path: compiler(stated) for path, stated in TRITON["3.3.1"].items()}
    path = wheel(tmp_path, "triton", "3.3.1", members)
    (result,) = checked(str(path), "--gpu", "B300")
    assert result["compiler"] == {
        "name": "ptxas",
        "version": "12.8.61",
        "path": f"{PTXAS}-blackwell",
        "package": None,
        "target": "sm_103a",
        "kind": "sass",
        "outcome": "fails",
    }
    assert result["coverage"] == "none"
    assert "own-compiler-refuses" in {finding["code"] for finding in result["findings"]}


def test_a_compiler_that_states_no_version_or_two_is_unknown(tmp_path: Path) -> None:
    for stated in ((), ("12.4.99", "12.8.61")):
        found = triton(tmp_path, "3.3.1", **{PTXAS: compiler(*stated)})
        assert judge(found, H100, newest(H100)).coverage is Coverage.UNKNOWN
        assert judge(found, B300, newest(B300)).coverage is Coverage.NONE, "that one is another"


def test_a_release_that_nobody_has_looked_at_is_unknown(tmp_path: Path) -> None:
    found = replace(triton(tmp_path, "3.9.0"), version="99.9")
    assert {judge(found, device, newest(device)).coverage for device in (V100, H100, B300)} == {Coverage.UNKNOWN}


def test_the_version_lies_where_pieces_of_a_file_meet(tmp_path: Path) -> None:
    padded = compiler("12.9.86")
    for before in range((1 << 20) - 120, (1 << 20) + 8, 8):
        data = elf([section(".rodata", bytes(before) + padded)])
        (tmp_path / "ptxas").write_bytes(data)
        assert [one.version for one in scan(tmp_path).compilers] == ["12.9.86"], before


def package(name: str, version: str) -> Artifact:
    return Artifact("x", ArtifactKind.WHEEL, name=name, version=version)


def nvrtc(cuda: str) -> Toolkit:
    return Toolkit(ToolkitKind.NVRTC, "/usr/local/cuda/lib64/libnvrtc.so", cuda=CudaVersion.parse(cuda))


def test_cupy_is_judged_by_every_nvrtc_that_it_may_load() -> None:
    old = Driver(DriverRelease(570, 86, 10))
    cuda11 = package("cupy-cuda11x", "13.4.1")
    # cupy asks NVRTC for machine code of the newest target that it takes it to know: xsuite#684.
    assert judge(cuda11, RTX_5080, old).coverage is Coverage.NONE
    assert judge(cuda11, V100, old).coverage is Coverage.FULL
    assert judge(cuda11, H100, old).coverage is Coverage.UNKNOWN, "CUDA 11.8 only"
    assert judge(cuda11, H100, old, toolkits=[nvrtc("11.8")]).coverage is Coverage.FULL
    assert judge(cuda11, H100, old, toolkits=[nvrtc("11.7")]).coverage is Coverage.NONE
    assert judge(cuda11, H100, old, toolkits=[nvrtc("12.4")]).coverage is Coverage.UNKNOWN, "it loads none of CUDA 12"
    asked = judge(package("cupy-cuda12x", "14.2.0"), RTX_5080, old)
    assert asked.compiler is not None
    assert "CUDA 12.8 to 12.9" in asked.compiler.finding.message


def test_what_a_package_brings_and_what_it_compiles_both_count(tmp_path: Path) -> None:
    runs_by_ptx = library(fatbin([sass("sm_80"), ptx_entry("sm_80")]))
    found = scan(wheel(tmp_path, "cupy-cuda11x", "13.4.1", {"cupy/cuda/cub.so": runs_by_ptx}))
    verdict = judge(found, RTX_5080, Driver(DriverRelease(570, 86, 10)))
    assert (verdict.counts.compiles, verdict.counts.total) == (1, 1)
    assert verdict.coverage is Coverage.PARTIAL
    assert "own-compiler-in-vain" in {finding.code for finding in verdict.findings}


def test_files_for_other_gpus_decide_nothing_where_nvcc_does(tmp_path: Path) -> None:
    found = scan(wheel(tmp_path, "flashinfer-python", "0.7.2", {"flashinfer/a.ptx": ptx("sm_103a")}))
    assert judge(found, H100, newest(H100)).coverage is Coverage.UNKNOWN
    nvcc = Toolkit(ToolkitKind.NVCC, "/usr/local/cuda/bin/nvcc", cuda=CudaVersion(12, 8))
    assert judge(found, H100, newest(H100), toolkits=[nvcc]).coverage is Coverage.FULL
    assert judge(found, B300, newest(B300), toolkits=[nvcc]).coverage is Coverage.NONE, "12.8 does not know sm_103a"


def test_check_asks_the_machine_that_is_named_for_its_compiler(tmp_path: Path) -> None:
    path = wheel(tmp_path, "flashinfer-python", "0.7.2", {"flashinfer/a.ptx": ptx("sm_103a")})
    nvcc = Toolkit(ToolkitKind.NVCC, "/usr/local/cuda/bin/nvcc", cuda=CudaVersion(12, 8), version="12.8.61")
    record = tmp_path / "system.json"
    record.write_text(json.dumps(to_object(System(toolkits=(nvcc,)))), encoding="utf-8")
    (alone,) = checked(str(path), "--gpu", "H100")
    (there,) = checked(str(path), "--gpu", "H100", "--system", str(record))
    assert (alone["coverage"], there["coverage"]) == ("unknown", "full")
    assert (there["compiler"]["version"], there["compiler"]["target"]) == ("12.8.61", "sm_90a")


def test_warp_takes_machine_code_where_its_nvrtc_knows_the_gpu_and_ptx_elsewhere(tmp_path: Path) -> None:
    found = scan(wheel(tmp_path, "warp-lang", "1.10.1", {"warp/bin/warp.so": compiler("12.8.61")}))
    made = {str(device.capability): judge(found, device, newest(device)).compiler for device in (H100, GB10)}
    assert {number: str(one.target) for number, one in made.items() if one} == {"9.0": "sm_90", "12.1": "compute_75"}
    assert {one.outcome for one in made.values() if one} == {Outcome.RUNS, Outcome.COMPILES}


# -- what is no GPU code, or has it elsewhere


VERSION_FILE = """from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip']
__version__ = '{version}'
debug = False
cuda: Optional[str] = {cuda}
git_version = 'abc'
hip: Optional[str] = None
"""


@pytest.mark.parametrize(
    ("version", "cuda", "cpu"),
    [("2.7.1+cpu", "None", True), ("2.7.1+cu126", "'12.6'", False), ("2.7.1+rocm6.3", "None", False)],
)
def test_a_build_for_the_cpu_is_named_as_one(version: str, cuda: str, cpu: bool, tmp_path: Path) -> None:
    text = VERSION_FILE.format(version=version, cuda=cuda).encode()
    path = wheel(tmp_path, "torch", "2.7.1", {"torch/version.py": text})
    (result,) = checked(str(path), "--gpu", "H100")
    assert ("cpu-build" in {finding["code"] for finding in result["findings"]}) is cpu
    installed = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(path), str(installed)], check=True)
    (distribution,) = find_distributions([str(installed)])
    store = Store(tmp_path / "store")
    for _ in range(2):  # the second answer may be a remembered one
        found = scan_distribution(distribution, store=store)
        assert any(finding.code == "cpu-build" for finding in judge(found, H100).findings) is cpu


def test_a_build_for_the_cpu_is_told_by_its_version_alone() -> None:
    verdict = judge(package("torch", "2.7.1+cpu"), H100)
    assert [finding.code for finding in verdict.blocked] == ["cpu-build"]


def test_a_package_without_code_says_who_has_it(tmp_path: Path) -> None:
    jax = wheel(
        tmp_path,
        "jax",
        "0.10.2",
        {"jax/__init__.py": b""},
        requires=("jaxlib<=0.10.2,>=0.10.1", 'jax-cuda12-plugin[with-cuda]<=0.10.2; extra == "cuda12"', "numpy>=2"),
    )
    cuvs = wheel(tmp_path, "cuvs-cu12", "26.10.0", {"cuvs/__init__.py": b""}, requires=("libcuvs-cu12==26.10.*",))
    for path, said in ((jax, "with the extra `cuda12` it requires jax-cuda12-plugin"), (cuvs, "libcuvs-cu12")):
        (result,) = checked(str(path), "--gpu", "H100")
        codes = {finding["code"]: finding["message"] for finding in result["findings"]}
        assert result["coverage"] is None
        assert said in codes["code-in-dependencies"]
        assert "no-gpu-code" not in codes


def test_a_dependency_that_is_named_for_cuda_may_have_the_code(tmp_path: Path) -> None:
    """nvidia-nvcomp-cu12 6.0.0.12 holds bindings only; what it requires is in no table. A runtime has no code."""
    requires = ("nvidia-libnvcomp-cu12==6.0.0.12", "nvidia-cuda-runtime-cu12", "numpy", 'cupy-cuda12x; extra == "cupy"')
    path = wheel(tmp_path, "nvidia-nvcomp-cu12", "6.0.0.12", {"nvidia/nvcomp/__init__.py": b""}, requires=requires)
    (result,) = checked(str(path), "--gpu", "H100")
    (finding,) = result["findings"]
    assert finding["code"] == "code-in-dependencies"
    assert finding["message"].endswith(
        ": it requires nvidia-libnvcomp-cu12, which may have it; with the extra `cupy` it requires cupy-cuda12x"
    )
    runtime = wheel(
        tmp_path, "a", "1", {"a/__init__.py": b""}, requires=("nvidia-cuda-runtime-cu12", "nvidia-nvtx-cu12")
    )
    (result,) = checked(str(runtime), "--gpu", "H100")
    assert [finding["code"] for finding in result["findings"]] == ["no-gpu-code"]


@pytest.mark.parametrize(
    ("device", "driver", "said"),
    [
        (V100, None, "no"),
        (T4, None, "yes-compiled"),
        (B300, None, "yes-compiled"),
        (T4, Driver(DriverRelease(535, 54, 3)), "yes-compiled"),
        (T4, Driver(DriverRelease(525, 60, 13)), "no"),
    ],
)
def test_a_package_that_writes_ptx_itself_is_judged_by_that(device: Device, driver: Driver | None, said: str) -> None:
    """libdrjit-core.so of drjit 1.5.0: "compute capability of device too low (need >= 7.5)", "at least 12.2 / R535"."""
    found = package("drjit", "1.5.0")
    assert headline(found, judge(found, device, driver or newest(device))).headline == said


def test_a_fork_of_a_compiler_of_its_own_is_no_package_without_code() -> None:
    for name, version in (("taichi", "1.7.4"), ("gstaichi", "4.6.0")):
        found = package(name, version)
        assert headline(found, judge(found, T4, newest(T4))).headline == "unknown"


def test_the_headlines_of_triton(tmp_path: Path) -> None:
    """3.9.0 serves Volta by ptxas 12.9, Hopper by 13.4: never a plain yes there below R580."""
    found = triton(tmp_path, "3.9.0")
    for device in (V100, H100):
        assert headline(found, judge(found, device, newest(device))).headline == "yes-compiled"
        assert headline(found, judge(found, device, Driver(DriverRelease(580, 65, 6)))).headline == "yes-compiled"
    old = Driver(DriverRelease(575, 51, 3))
    assert headline(found, judge(found, H100, old)).headline == "unknown"
    assert headline(found, judge(found, V100, old)).headline == "yes-compiled"


def test_a_compiler_for_another_host_is_not_told_of(tmp_path: Path) -> None:
    """It does not install there, so that what it would compile is no news."""
    found = replace(triton(tmp_path, "3.9.0"), platforms=("manylinux_2_28_x86_64",))
    spark = Device(GB10.capability, "GB10", ("aarch64",))
    text = " ".join(check_text(judge_all([("x", found)], [Gpu(spark, newest(spark))]), Style()).split())
    assert text.startswith("GB10 12.1 triton 3.9.0 no !host ! triton 3.9.0: no on GB10 (12.1): built for another host")
    assert "compile" not in text.partition("!host whatever")[0]


def test_records_with_compilers_and_requirements_are_read_back(tmp_path: Path) -> None:
    found = triton(tmp_path, "3.9.0")
    assert len(found.compilers) == 2
    assert from_object(Artifact, to_object(found)) == found
