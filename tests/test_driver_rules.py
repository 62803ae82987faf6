"""What a driver decides about GPU code: its kernel module, the part of it that programs load, and not knowing it.

The facts are those of NVIDIA's documents and lists and of public reports, as each test names them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from capably.arch import ComputeCapability, Target
from capably.cli.conform import read_image
from capably.cli.targets import read_driver
from capably.codes import Grade
from capably.engine import Verdict, judge, starts
from capably.facts import Artifact, ArtifactKind, Compression, Device, Driver, Fatbin, FatbinGroup, Library
from capably.gpu_names import named_devices
from capably.plan import plan, toolkit_named
from capably.plan.judging import outcome_of
from capably.version import CudaVersion, DriverRelease


def device(text: str) -> Device:
    (found,) = named_devices([text])
    return found


def verdict(image: str, on: str, by: str | None, **facts: Any) -> Verdict:
    return judge(replace(read_image(image), **facts), device(on), read_driver(by) if by else None)


def codes(found: Verdict) -> list[str]:
    return [reason.code for reason in found.reasons]


# -- a package for forward compatibility: libcuda of the branch of its CUDA version, the kernel module of its own release


@pytest.mark.parametrize(
    ("image", "on", "by", "expected"),
    [
        # CUDA 13.1 is R590, which dropped Maxwell, Pascal and Volta.
        ("sm_70", "7.0", "580.65.06 (CUDA 13.0)", "runs"),
        ("sm_70", "7.0", "580.65.06 (CUDA 13.1)", "fails"),
        ("sm_61", "6.1", "535.183.01 (CUDA 13.1)", "fails"),
        ("sm_70", "7.0", "590.44.01 (CUDA 13.0)", "fails"),  # and so did its kernel module
        ("compute_75@9.0", "9.0", "535.183.01 (CUDA 13.0)", "compiles"),
        ("compute_75@9.1", "9.0", "535.183.01 (CUDA 13.0)", "fails"),
        # The kernel module starts no hardware that came after it, whatever is loaded above it.
        ("sm_120", "12.0", "535.183.01 (CUDA 13.0)", "fails"),
        ("sm_120", "12.0", "570.86.16 (CUDA 13.0)", "runs"),
        # And libcuda has to know the device too.
        ("sm_120", "12.0", "570.86.16 (CUDA 12.4)", "fails"),
        # Releases of Windows between two branches are of the lower one, and newer ones than the tables their own.
        ("sm_90", "9.0", "553.24 (CUDA 12.4)", "runs"),
        ("compute_75@9.5", "9.0", "700.10 (CUDA 13.0)", "fails"),
    ],
)
def test_the_kernel_module_starts_the_hardware_and_libcuda_does_the_rest(
    image: str, on: str, by: str, expected: str
) -> None:
    assert verdict(image, on, by).outcome == expected


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("535.183.01", "fails"),
        ("535.183.01 (CUDA 12.2)", "fails"),
        ("535.183.01 (CUDA 12.4)", "runs"),
        ("550.54.14", "runs"),
        ("550.54.14 (CUDA 12.3)", "fails"),
        ("12.3", "fails"),
        ("12.4", "runs"),
    ],
)
def test_libcuda_decompresses(by: str, expected: str) -> None:
    assert verdict("sm_90", "9.0", by, compression=Compression.ZSTD).outcome == expected


# -- Tegra: drivers numbered apart (540.4.0 of JetPack 6.2.1 is CUDA 12.6 in nvidia-smi: jetson-containers#1403)


@pytest.mark.parametrize(
    ("by", "expected"),
    [("540.4.0", "unknown"), ("540.4.0 (CUDA 12.6)", "runs"), ("12.4", "runs"), ("11.4", "fails"), (None, "unknown")],
)
def test_on_tegra_the_cuda_version_says_whether_zstd_is_read(by: str | None, expected: str) -> None:
    assert verdict("sm_87", "8.7", by, compression=Compression.ZSTD).outcome == expected


@pytest.mark.parametrize(
    ("major", "by", "expected"),
    [(12, "540.4.0", None), (13, "540.4.0", None), (12, "540.4.0 (CUDA 12.6)", True), (13, "12.6", False)],
)
def test_on_tegra_the_cuda_version_says_which_programs_start(major: int, by: str, expected: bool | None) -> None:
    orin = Device(ComputeCapability(8, 7))
    assert starts(major, read_driver(by), orin) is expected
    needs = Library("a.so", 1, needed=(f"libcudart.so.{major}",))
    found = [finding.code for finding in judge(needs, orin, read_driver(by)).findings]
    assert found == (["cuda-major-newer-than-driver"] if expected is False else [])


def test_the_driver_of_a_tegra_part_is_not_told_a_cuda_version_of_its_number() -> None:
    (reason,) = (r for r in verdict("compute_87@8.5", "8.7", "540.4.0").reasons if r.code == "tegra-driver-unknown")
    assert "what driver 540.4.0 compiles" in reason.message


# -- first branches: chip lists of open-gpu-kernel-modules


@pytest.mark.parametrize(
    ("on", "by", "expected"),
    [
        ("B300", "575.57.08", "fails"),
        ("B300", "535.183.01", "fails"),
        ("B300", "580.65.06", "runs"),  # the list of 580.82.07 is the first; another of its branch is no evidence
        ("GB300", "570.211.01", "fails"),
        ("DGX Spark", "575.51.03", "fails"),
        ("DGX Spark", "580.95.05", "runs"),
        ("H100", "515.65.01", "fails"),
        ("H100", "520.61.05", "runs"),
        # Products that came later than their capability: the older lists do not name them, which proves nothing.
        ("H200", "535.183.01", "unknown"),
        ("H200", "550.54.14", "runs"),
        ("H200", "515.65.01", "fails"),
        ("GH200", "525.60.13", "unknown"),
        ("GH200", "535.54.03", "runs"),
        ("NVIDIA L4", "520.61.05", "unknown"),
        ("NVIDIA L4", "525.60.13", "runs"),
        ("RTX 4070 SUPER", "545.23.06", "unknown"),
        ("RTX 4090", "520.56.06", "runs"),
        ("RTX PRO 6000 Blackwell Server Edition", "570.86.16", "unknown"),
        ("9.0", "535.183.01", "runs"),  # without a name it is any of them
    ],
)
def test_below_the_first_branch_it_fails_and_doubt_lies_above(on: str, by: str, expected: str) -> None:
    found = device(on)
    own = f"sm_{found.capability.number}"
    judged = verdict(own, on, by)
    assert judged.outcome == expected
    if expected == "unknown":
        (doubt,) = (reason for reason in judged.reasons if reason.outcome == "unknown")
        assert (doubt.code, doubt.grade) == ("driver-device-unproven", Grade.INFERRED)
        assert "open-gpu-kernel-modules-lists" in doubt.sources
        assert doubt.way_out.startswith("Install a driver of branch R5")


def test_a_driver_that_is_told_by_its_cuda_version_says_nothing_of_its_kernel_module() -> None:
    """The sources of R575 know the chips; ptxas 12.9 has their targets, and reports have that version on a B300."""
    assert verdict("compute_100f@8.8", "10.3", "12.9").outcome == "compiles"
    assert verdict("compute_120f@8.8", "12.1", "12.9").outcome == "compiles"
    assert verdict("sm_103", "10.3", "12.8").outcome == "fails"


# -- no driver given: what every driver that serves the device does is certain


@pytest.mark.parametrize(
    ("image", "on", "facts", "expected"),
    [
        ("sm_120", "12.0", {"compression": Compression.ZSTD}, "runs"),  # never older than R570
        ("sm_100", "10.0", {"compression": Compression.ZSTD}, "runs"),
        ("sm_90", "9.0", {"compression": Compression.ZSTD}, "unknown"),  # R520 serves it
        ("compute_90@8.7", "12.0", {}, "compiles"),  # R570 compiles up to 8.7
        ("compute_90@8.8", "12.0", {}, "unknown"),
        ("compute_90@9.0", "12.1", {}, "compiles"),
        ("compute_75@6.3", "7.5", {}, "compiles"),  # R410
        ("compute_70@9.1", "7.0", {}, "fails"),  # R580, its last, compiles up to 9.0
        ("compute_70@9.0", "7.0", {}, "unknown"),
        ("compute_90", "12.0", {}, "unknown"),
        ("compute_87@7.4", "8.7", {}, "unknown"),  # no list says which driver of a Tegra part was the first
        ("sm_107", "10.7", {"concatenated": True}, "runs"),
        ("sm_120", "12.0", {"concatenated": True}, "unknown"),
    ],
)
def test_what_every_driver_of_the_device_does_is_certain(
    image: str, on: str, facts: dict[str, Any], expected: str
) -> None:
    assert verdict(image, on, None, **facts).outcome == expected


def test_a_driver_without_a_name_is_some_driver_that_serves_the_device() -> None:
    """Machine code is judged by its target then: no driver is newer or older than it."""
    assert verdict("sm_90", "9.0", None, toolkit=CudaVersion(13, 5)).outcome == "runs"
    assert judge(read_image("sm_90"), device("9.0"), Driver(DriverRelease(520))).outcome == "runs"


# -- machine code of a newer CUDA major version than the driver's: compatibility ends there (CUDA Compatibility guide)


@pytest.mark.parametrize(
    ("image", "on", "by", "facts", "expected"),
    [
        # By the toolkit that made it.
        ("sm_90", "9.0", "535.183.01", {"toolkit": CudaVersion(13, 5)}, "unknown"),
        ("sm_90", "9.0", "12.9", {"toolkit": CudaVersion(13, 0)}, "unknown"),
        ("sm_90", "9.0", "580.65.06", {"toolkit": CudaVersion(13, 5)}, "runs"),  # minor versions are compatible
        ("sm_90", "9.0", "525.60.13", {"toolkit": CudaVersion(12, 9)}, "runs"),
        ("sm_80", "8.0", "470.182.03", {"toolkit": CudaVersion(12, 1)}, "unknown"),  # triton#2971: refused
        ("sm_80", "8.0", "470.182.03", {"toolkit": CudaVersion(11, 8)}, "runs"),
        ("sm_80", "8.0", "470.182.03", {}, "runs"),  # nothing says that it is newer
        # A record of the toolkit goes before what the code version and the target say.
        ("sm_90", "9.0", "535.183.01", {"toolkit": CudaVersion(12, 9), "code_version": (1, 8)}, "runs"),
        # By the code version: 1.8 (ABI 8) below 10.0 came with CUDA 13.0, above it with the first targets.
        ("sm_90", "9.0", "535.183.01", {"code_version": (1, 8)}, "unknown"),
        ("sm_90", "9.0", "535.183.01", {"code_version": (1, 7)}, "runs"),
        ("sm_100", "10.0", "570.133.20", {"code_version": (1, 8)}, "runs"),
        # By the first toolkit that has the target: ptxas 12.0 brought sm_90a, 13.0 sm_110.
        ("sm_90a", "9.0", "520.61.05", {}, "unknown"),
        ("sm_90", "9.0", "520.61.05", {}, "runs"),
        ("sm_90a", "9.0", "525.60.13", {}, "runs"),
        # The part that programs load decides, also above an older kernel module.
        ("sm_90", "9.0", "535.183.01 (CUDA 13.0)", {"toolkit": CudaVersion(13, 5)}, "runs"),
        ("sm_90", "9.0", "580.65.06 (CUDA 12.9)", {"toolkit": CudaVersion(13, 0)}, "unknown"),
        # A major version that no driver is known of.
        ("sm_90", "9.0", "580.65.06", {"toolkit": CudaVersion(14, 0)}, "unknown"),
        # A Tegra part by its CUDA version, and without one nothing is newer.
        ("sm_87", "8.7", "12.6", {"toolkit": CudaVersion(13, 0)}, "unknown"),
        ("sm_87", "8.7", "540.4.0", {"toolkit": CudaVersion(13, 0)}, "runs"),
        # What does not fit anyway fails all the same.
        ("sm_80", "9.0", "535.183.01", {"toolkit": CudaVersion(13, 0)}, "fails"),
        # PTX is measured by its own version.
        ("compute_80@8.0", "9.0", "535.183.01", {"toolkit": CudaVersion(13, 0)}, "compiles"),
    ],
)
def test_machine_code_of_a_newer_major_version_is_no_plain_yes(
    image: str, on: str, by: str, facts: dict[str, Any], expected: str
) -> None:
    judged = verdict(image, on, by, **facts)
    assert judged.outcome == expected
    assert ("machine-code-newer-than-driver" in codes(judged)) is (expected == "unknown")


@pytest.mark.parametrize(
    ("image", "on", "by", "made", "way_out"),
    [
        ("sm_90", "9.0", "535.183.01", "13.5", "Use a build made by CUDA 12, or install a driver of CUDA 13.0 or newer (R580)."),
        ("sm_80", "8.0", "470.182.03", "12.1", "Use a build made by CUDA 11, or install a driver of CUDA 12.0 or newer (R525)."),
        ("sm_87", "8.7", "12.6", "13.0", "Use a build made by CUDA 12, or install a driver of CUDA 13.0 or newer."),
        # CUDA 10.2 is the last that the software of Jetson TX2 brings.
        ("sm_62", "6.2", "10.2", "12.0", "Use a build made by CUDA 10."),
    ],
)  # fmt: skip
def test_the_way_out_is_a_build_of_the_driver_s_major_version_or_a_driver_that_there_is(
    image: str, on: str, by: str, made: str, way_out: str
) -> None:
    judged = verdict(image, on, by, toolkit=CudaVersion.parse(made))
    (doubt,) = (reason for reason in judged.reasons if reason.outcome == "unknown")
    assert (doubt.code, doubt.way_out, doubt.grade) == ("machine-code-newer-than-driver", way_out, Grade.INFERRED)
    assert {"cuda-compatibility-guide", "triton-2971"} <= set(doubt.sources)
    assert f"made by CUDA {made.partition('.')[0]} or newer" in doubt.message


def test_a_plan_promises_no_machine_code_to_a_driver_of_an_older_major_version() -> None:
    """A toolkit of CUDA 13 is blocked there by its runtime; one that nothing of is needed at run time is not."""
    gpu = (device("H100"), read_driver("535.183.01"))
    thirteen, twelve = toolkit_named(CudaVersion(13, 0)), toolkit_named(CudaVersion(12, 9))
    assert thirteen is not None
    assert twelve is not None
    assert outcome_of(Target.parse("sm_90"), CudaVersion(13, 0), gpu) == "unknown"
    assert not plan([gpu], thirteen).complete
    assert plan([gpu], twelve).complete


def test_a_library_that_names_no_runtime_is_no_plain_yes_either() -> None:
    code = Fatbin((replace(read_image("sm_90"), code_version=(1, 8)),))
    alone = Library("plugin.so", 1, (FatbinGroup(code, 3),), needed=("libc.so.6",))
    assert judge(alone, device("H100"), read_driver("535.183.01")).coverage == "unknown"
    assert judge(alone, device("H100"), read_driver("580.65.06")).coverage == "full"


@pytest.mark.parametrize(
    ("name", "version", "by", "needed"),
    [
        # The installation page of cuda-bindings 13 wants 580.65.06; cutlass#2866 has 570.133.20 and 575 with it.
        ("cuda-bindings", "13.0.3", "570.133.20", "CUDA 13"),
        ("cuda-python", "13.1.0", "575.57.08", "CUDA 13"),
        ("cuda-bindings", "13.0.3", "580.65.06", None),
        ("cuda-bindings", "13.0.3", None, None),
        # The pages of 12.x name two different drivers.
        ("cuda-bindings", "12.9.2", "470.57.02", None),
        # Of cuda-core a release serves two major versions; and a number that begins alike is another.
        ("cuda-core", "13.0.0", "570.133.20", None),
        ("cuda-bindings", "130.0", "570.133.20", None),
        ("nvidia-cuda-runtime", "13.5.37", "570.133.20", "CUDA 13"),
        ("nvidia-cuda-runtime-cu12", "12.0.146", "515.65.01", "CUDA 12"),
        ("nvidia-cuda-runtime-cu12", "12.9.79", "525.60.13", None),
        ("nvidia-cuda-runtime-cu11", "11.8.89", "440.33.01", "CUDA 11"),
    ],
)
def test_a_distribution_that_is_for_a_newer_major_version_is_stopped(
    name: str, version: str, by: str | None, needed: str | None
) -> None:
    named = Artifact(f"{name}.whl", ArtifactKind.WHEEL, name=name, version=version)
    found = judge(named, device("T4"), read_driver(by) if by else None)
    assert [one.code for one in found.blocked] == (["cuda-major-newer-than-driver"] if needed else [])
    assert all(f"needs the {needed} runtime" in one.message for one in found.blocked)
    assert not judge(replace(named, name=None), device("T4"), read_driver("390.48")).blocked


@pytest.mark.parametrize(
    ("target", "outcome"), [("compute_100f@8.8", "fails"), ("compute_90a@8.0", "fails"), ("compute_90@8.0", "unknown")]
)
def test_ptx_of_a_family_is_no_good_for_another_major_version_that_nobody_knows(target: str, outcome: str) -> None:
    """PTX ISA: `f` stays inside its family, and a family inside its major version, whatever comes."""
    assert judge(read_image(target), Device(ComputeCapability(99, 9))).outcome == outcome
