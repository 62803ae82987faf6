"""The rules, against documents, reports from the field and laws over generated facts."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from capably.arch import ComputeCapability, Target, TargetKind
from capably.cli.conform import read_image
from capably.codes import FINDINGS, REASONS, Grade, Outcome
from capably.doctor import diagnose
from capably.engine import Coverage, OutcomeCounts, Verdict, choose, emits_own_target, judge, judge_kernels, worth
from capably.facts import (
    Artifact,
    ArtifactKind,
    BareImages,
    Compression,
    Device,
    Driver,
    Fatbin,
    FatbinGroup,
    FatbinKernels,
    Finding,
    Image,
    ImageKernels,
    ImageKind,
    Library,
    PtxJit,
    System,
    Toolkit,
    ToolkitKind,
)
from capably.requirement import Requirement
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease, PtxVersion

DATA = Path(__file__).parent / "data"
CUDA_13 = Driver(cuda=CudaVersion(13, 0))


def device(capability: str) -> Device:
    return Device(ComputeCapability.parse(capability))


def driver(text: str, **kwargs: Any) -> Driver:
    return Driver(DriverRelease.parse(text), **kwargs)


def outcome(image: str | Image, capability: str, by: Driver | None = CUDA_13, **facts: Any) -> Outcome | None:
    image = read_image(image) if isinstance(image, str) else image
    return judge(replace(image, **facts), device(capability), by).outcome


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def library(*fatbins: tuple[str, ...], path: str = "pkg/_C.so", **facts: Any) -> Library:
    groups = tuple(FatbinGroup(Fatbin(tuple(map(read_image, images))), 1) for images in fatbins)
    return Library(path, 1, groups, **facts)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


# -- the 17 rules of the comparison in docs/rules.md: images built by CUDA 12.9, a driver of CUDA 13.0


@pytest.mark.parametrize("row", rows("rules17.jsonl"), ids=lambda row: f"{row['image']} on {row['device']}")
def test_the_seventeen_rules(row: dict[str, str]) -> None:
    image = read_image(row["image"])
    if image.kind is ImageKind.PTX:
        image = replace(image, ptx=PtxVersion(8, 8))
    verdict = judge(replace(image, toolkit=CudaVersion(12, 9)), device(row["device"]), CUDA_13)
    assert verdict.outcome == row["outcome"]


# -- what the driver adds


@pytest.mark.parametrize(
    ("image", "capability", "release", "expected", "code"),
    [
        ("sm_120", "12.0", "565.57.01", "fails", "driver-too-old-for-device"),
        ("sm_120", "12.0", "570.86.16", "runs", "exact-image"),
        ("sm_70", "7.0", "580.65.06", "runs", "exact-image"),
        ("sm_70", "7.0", "581.15", "runs", "exact-image"),  # Windows releases of R580
        ("sm_70", "7.0", "590.44.01", "fails", "driver-dropped-device"),
        ("sm_103", "10.3", "575.51.03", "fails", "driver-too-old-for-device"),  # no list of R575 names a B300
        ("sm_121", "12.1", "575.51.03", "fails", "driver-too-old-for-device"),
        (
            "sm_121",
            "12.1",
            "580.95.05",
            "runs",
            "exact-image",
        ),  # nor does this one name GB10; catboost#2967 trains there
        (
            "sm_110",
            "11.0",
            "575.51.03",
            "fails",
            "driver-too-old-for-device",
        ),  # by an inferred row too: doubt lies above
        ("compute_90@8.5", "9.0", "560.28.03", "compiles", "ptx-forward"),
        ("compute_90@8.5", "9.0", "550.54.14", "fails", "ptx-newer-than-driver"),
        ("compute_90@8.4", "9.0", "553.24", "compiles", "ptx-forward"),  # Windows releases of R550
        ("compute_90@9.9", "9.0", "700.10", "unknown", "ptx-beyond-tables"),
        ("compute_90@9.5", "9.0", "700.10", "compiles", "ptx-forward"),
        ("compute_90@9.5", "9.0", "615.10", "fails", "ptx-newer-than-driver"),
        ("compute_90@9.9", "9.0", "580.65.06", "fails", "ptx-newer-than-driver"),
        ("compute_70@9.1", "7.0", "580.65.06", "fails", "ptx-newer-than-any-driver"),  # R580 is Volta's last
        ("compute_35@7.8", "3.5", "470.42.01", "fails", "ptx-newer-than-any-driver"),
        ("compute_60@6.3", "6.0", "390.157", "fails", "ptx-newer-than-driver"),  # 6.3 came with R410
        ("compute_60@6.0", "6.0", "390.157", "unknown", "ptx-beyond-tables"),  # older than the tables
        ("compute_87@8.5", "8.7", "540.4.0", "unknown", "tegra-driver-unknown"),  # JetPack, numbered apart
        ("sm_87", "8.7", "540.4.0", "runs", "exact-image"),
        ("sm_999", "99.9", "550.54.14", "unknown", "device-beyond-tables"),
        ("compute_90@6.3", "9.0", "390.10", "fails", "driver-too-old-for-device"),
    ],
)
def test_what_a_driver_release_decides(image: str, capability: str, release: str, expected: str, code: str) -> None:
    verdict = judge(read_image(image), device(capability), driver(release))
    assert verdict.outcome == expected
    assert code in codes(verdict)


def test_a_release_and_its_cuda_version_are_the_same_driver() -> None:
    for branch in tables().branches:
        if branch.linux is None:
            continue
        for image, capability in itertools.product(
            ("sm_90", "compute_80@8.4", "compute_90@9.1"), ("9.0", "12.0", "7.0")
        ):
            by_release = judge(read_image(image), device(capability), Driver(branch.linux)).outcome
            assert by_release == judge(read_image(image), device(capability), Driver(cuda=branch.cuda)).outcome


@pytest.mark.parametrize(
    ("compression", "by", "expected"),
    [
        (Compression.ZSTD, driver("545.23.06"), "fails"),
        (Compression.ZSTD, driver("550.54.14"), "runs"),
        (Compression.ZSTD, Driver(cuda=CudaVersion(12, 3)), "fails"),
        (Compression.ZSTD, None, "unknown"),
        (Compression.LZ4, driver("525.60.13"), "runs"),
        (Compression.LZ4, None, "runs"),
        (Compression.UNKNOWN, driver("615"), "unknown"),
    ],
)
def test_compression_needs_a_driver_that_reads_it(compression: Compression, by: Driver | None, expected: str) -> None:
    assert outcome("sm_90", "9.0", by, compression=compression) == expected


def test_the_concatenated_container_is_unproven_before_the_branch_that_came_with_it() -> None:
    assert outcome("sm_90", "9.0", None, concatenated=True) == "unknown"
    assert outcome("sm_90", "9.0", driver("610.43.02"), concatenated=True) == "unknown"
    assert outcome("sm_90", "9.0", driver("615"), concatenated=True) == "runs"


def test_the_environment_can_switch_off_either_kind() -> None:
    forced, disabled = (replace(CUDA_13, jit=jit) for jit in (PtxJit.FORCED, PtxJit.DISABLED))
    assert outcome("sm_90", "9.0", forced) == "fails"
    assert outcome("compute_90@8.0", "9.0", forced) == "compiles"
    assert outcome("sm_90", "9.0", disabled) == "runs"
    assert outcome("compute_90@8.0", "9.0", disabled) == "fails"


# -- Tegra, the renamed target, horizons


@pytest.mark.parametrize(
    ("image", "capability", "facts", "expected"),
    [
        ("sm_80", "8.7", {"code_version": (1, 7)}, "fails"),  # ABI 7 of sm_80: CUDA 12.9 or older
        ("sm_80", "8.7", {"code_version": (1, 8)}, "unknown"),  # ABI 8 of sm_80: CUDA 13.0 or newer
        ("sm_80", "8.7", {}, "unknown"),
        ("sm_80", "8.7", {"toolkit": CudaVersion(12, 6)}, "fails"),
        ("sm_86", "8.8", {"toolkit": CudaVersion(12, 6)}, "fails"),
        ("sm_87", "8.7", {}, "runs"),
        ("sm_87", "8.9", {"code_version": (1, 7)}, "fails"),
        ("sm_62", "6.2", {}, "runs"),
        ("sm_60", "6.2", {}, "fails"),  # no toolkit that emits sm_60 mixes the two
        ("sm_89", "8.7", {}, "fails"),
        ("sm_101", "11.0", {}, "unknown"),
        ("sm_101a", "11.0", {}, "unknown"),
        ("sm_101", "10.3", {}, "fails"),
        ("compute_101@8.7", "11.0", {}, "compiles"),
        ("compute_101a@8.7", "11.0", {}, "compiles"),
        ("compute_101f@8.8", "11.0", {}, "compiles"),
        ("compute_101f@8.8", "10.3", {}, "fails"),
        ("compute_101@8.7", "10.0", {}, "fails"),
        ("compute_101@8.7", "10.3", {}, "unknown"),  # 10.1 is below 10.3, the 11.0 that it stands for is not
        ("compute_101@8.7", "12.0", {}, "compiles"),
        # Certain noes are so beyond the tables too: another major version, another number with `a`, a lower number.
        ("sm_120", "99.9", {}, "fails"),
        ("sm_120f", "99.9", {}, "fails"),
        ("sm_999", "12.0", {}, "fails"),
        ("sm_995", "99.9", {}, "unknown"),
        ("sm_995f", "99.9", {}, "unknown"),
        ("sm_995a", "99.9", {}, "fails"),
        ("sm_999", "99.5", {}, "fails"),
        ("compute_995f@8.8", "99.9", {}, "unknown"),
        ("compute_120f@8.8", "99.9", {}, "fails"),
        ("compute_999f@8.8", "99.5", {}, "fails"),
        ("sm_999", "99.9", {}, "unknown"),  # which drivers serve it is not known
        # 10.1 is a family of its own: ptxas 12.9 refuses .target sm_100f for sm_101f, and takes sm_101f for sm_101a.
        ("sm_100f", "10.1", {}, "fails"),
        ("sm_100", "10.1", {}, "fails"),
        ("sm_101f", "10.1", {}, "runs"),
        ("sm_101f", "10.3", {}, "fails"),
        ("compute_100f@8.8", "10.1", {}, "fails"),
        ("compute_999f@8.8", "99.9", {}, "unknown"),
        ("compute_90@8.0", "99.9", {}, "unknown"),
        ("compute_999@8.0", "12.0", {}, "fails"),
        ("compute_101@8.7", "10.1", {}, "compiles"),
        ("compute_101f@8.8", "10.1", {}, "compiles"),
        ("compute_110@9.0", "10.1", {}, "unknown"),
        ("sm_110", "10.1", {}, "unknown"),
        ("compute_90a@8.0", "9.0", {}, "compiles"),
    ],
)
def test_tegra_renamed_and_future_parts(image: str, capability: str, facts: dict[str, Any], expected: str) -> None:
    assert outcome(image, capability, **facts) == expected


def test_ptx_that_is_too_new_names_the_driver_that_takes_it() -> None:
    """PTX ISA 8.7 came with CUDA 12.8, and that with 570.26 on Linux, by their release notes."""
    verdict = judge(read_image("compute_90@8.7"), device("9.0"), driver("550.54.14"))
    (reason,) = [one for one in verdict.reasons if one.code == "ptx-newer-than-driver"]
    assert "8.4" in reason.message
    assert "CUDA 12.8 or newer (570.26 on Linux)" in reason.way_out


@pytest.mark.parametrize(
    ("what", "capability", "other"),
    [
        # 10.1 is called 11.0 since CUDA 13.0: what is named is the number that stands for it today ...
        (Image(ImageKind.SASS, Target.parse("sm_101")), "11.0", "11.0"),
        (Image(ImageKind.SASS, Target.parse("sm_110")), "10.1", "11.0"),
        (Image(ImageKind.PTX, Target.parse("compute_101"), ptx=PtxVersion(8, 7)), "10.3", "11.0"),
        # ... and in a requirement the number that the device is not called by here.
        (Requirement.parse("<11.0"), "10.1", "11.0"),
        (Requirement.parse("10.1"), "11.0", "10.1"),
        (Requirement.parse("11.0a"), "10.1", "11.0"),
    ],
)
def test_hardware_with_two_numbers_is_told_by_the_other_one(
    what: Image | Requirement, capability: str, other: str
) -> None:
    verdict = judge(what, device(capability), CUDA_13)
    assert verdict.outcome is Outcome.UNKNOWN
    (reason,) = [one for one in verdict.reasons if "renamed" in one.code]
    assert dict(reason.params)["renamed"] == other
    assert other in reason.message


@pytest.mark.parametrize(
    ("kind", "target", "expected", "code"),
    [
        (ImageKind.LTOIR, "lto_90", "unknown", "lto-ir-needs-linking"),
        (ImageKind.TILEIR, "sm_90", "unknown", "kind-unknown"),
        (ImageKind.UNKNOWN, None, "unknown", "kind-unknown"),
        (ImageKind.SASS, None, "unknown", "target-unknown"),
        (ImageKind.PTX, None, "unknown", "target-unknown"),
        (ImageKind.RELPTX, "compute_80", "unknown", "relocatable-ptx-unproven"),
    ],
)
def test_what_is_not_judged_is_unknown(kind: ImageKind, target: str | None, expected: str, code: str) -> None:
    image = Image(kind, Target.parse(target) if target else None, ptx=PtxVersion(8, 0))
    verdict = judge(image, device("9.0"), CUDA_13)
    assert verdict.outcome == expected
    assert code in codes(verdict)


def test_another_image_of_the_fatbin_decides_over_an_unknown_one() -> None:
    lto = Image(ImageKind.LTOIR, Target.parse("lto_90"))
    tile = Image(ImageKind.TILEIR, Target.parse("sm_90"))
    for unknown, beside in ((lto, "fails"), (tile, "unknown")):
        assert judge(Fatbin((unknown, read_image("sm_90"))), device("9.0")).outcome == "runs"
        assert judge(Fatbin((unknown, read_image("sm_80"))), device("9.0")).outcome == beside


def test_link_time_ir_is_no_code_that_a_driver_chooses() -> None:
    """As in warp, libcuvs and libmathdx: fatbins of LTO-IR for nvJitLink beside native ones."""
    lto = Image(ImageKind.LTOIR, Target.parse("lto_80"))
    native = Fatbin((read_image("sm_80"), read_image("sm_120")))
    both = Library("a.so", 1, (FatbinGroup(Fatbin((lto,), ".rodata"), 2), FatbinGroup(native, 3)))
    for capability, counts in (
        ("8.0", OutcomeCounts(runs=3)),
        ("12.0", OutcomeCounts(runs=3)),
        ("9.0", OutcomeCounts(fails=3)),
    ):
        judged = judge(both, device(capability), CUDA_13)
        assert judged.counts == counts
    alone = judge(Library("b.so", 1, (FatbinGroup(Fatbin((lto,)), 2),)), device("8.0"), CUDA_13)
    assert (alone.coverage, alone.counts.total) == (None, 0)
    assert judge(Fatbin((lto,)), device("8.0")).outcome is None
    chosen = judge(Fatbin((lto, read_image("sm_80"))), device("8.0"), CUDA_13).chosen
    assert chosen == read_image("sm_80")


def test_relocatable_images_belong_to_prelinked_fatbins_only() -> None:
    """nvcc writes version 2 into the wrapper of a fatbin that was linked from objects compiled with -rdc, else 1."""
    relocatable = FatbinGroup(Fatbin(tuple(map(read_image, ("rel:sm_80", "rel:compute_80@9.0"))), "__nv_relfatbin"), 1)
    plain, prelinked, unread = (
        FatbinGroup(Fatbin((read_image("sm_80"),), prelinked=is_so), count)
        for is_so, count in ((False, 2), (True, 1), (None, 1))
    )
    judged = judge(Library("mix.so", 1, (plain, prelinked, relocatable)), device("12.0"), CUDA_13)
    assert judged.counts == OutcomeCounts(fails=2, unknown=1)
    assert judge(Library("plain.so", 1, (plain, relocatable)), device("12.0"), CUDA_13).coverage is Coverage.NONE
    assert judge(Library("old.so", 1, (unread, relocatable)), device("12.0"), CUDA_13).counts == OutcomeCounts(
        unknown=1
    )
    # A program loads one itself that no wrapper names where others are named, as cuSPARSE does with those in .rodata.
    own = Library("own.so", 1, (plain, prelinked, unread, relocatable))
    assert judge(own, device("12.0"), CUDA_13).counts == OutcomeCounts(fails=3, unknown=1)
    kernels = tuple(
        FatbinKernels(
            group.fatbin.section,
            tuple(ImageKernels(image, ("k",)) for image in group.fatbin.images),
            prelinked=group.fatbin.prelinked,
        )
        for group in own.fatbins
        for _ in range(group.count)
    )
    (kernel,) = judge_kernels(replace(own, kernels=kernels), device("12.0"), CUDA_13)
    assert kernel.counts == OutcomeCounts(fails=3, unknown=1)


# -- stubs


def test_an_image_without_kernels_makes_nothing_run() -> None:
    stub = replace(read_image("sm_90"), stub=True)
    verdict = judge(Fatbin((stub, read_image("sm_80"))), device("9.0"), CUDA_13)
    assert verdict.outcome == "fails"
    assert verdict.reasons[0].code == "kernels-for-other-architectures-only"
    assert judge(stub, device("9.0"), CUDA_13).outcome == "fails"


def test_a_fatbin_of_stubs_counts_for_nothing() -> None:
    stubs = Fatbin(tuple(replace(read_image(image), stub=True) for image in ("sm_80", "sm_90")))
    assert judge(stubs, device("9.0")).outcome is None
    verdict = judge(Library("x.so", 1, (FatbinGroup(stubs, 7),)), device("9.0"))
    assert (verdict.coverage, verdict.counts.total) == (None, 0)


def test_kernels_that_could_not_be_read_are_no_yes() -> None:
    assert outcome("sm_90", "9.0", stub=None) == "unknown"
    assert outcome("sm_80", "9.0", stub=None) == "fails"


# -- libraries and artifacts


def test_relocatable_fatbins_beside_linked_ones_count_nothing_alone() -> None:
    """The layout of bitsandbytes: linked machine code, and PTX in the relocatable part only."""
    relocatable = Fatbin(tuple(map(read_image, ("rel:sm_80", "rel:sm_90", "rel:compute_90@8.4"))), "__nv_relfatbin")
    linked = Fatbin(tuple(map(read_image, ("sm_80", "sm_90"))))
    both = Library("x.so", 1, (FatbinGroup(linked, 1), FatbinGroup(relocatable, 6)))
    assert judge(both, device("9.0"), CUDA_13).counts == OutcomeCounts(runs=1)
    blackwell = judge(both, device("12.0"), CUDA_13)
    assert (blackwell.coverage, blackwell.counts) == (Coverage.UNKNOWN, OutcomeCounts(unknown=1))
    assert "relocatable-ptx-unproven" in codes(blackwell)
    volta = judge(both, device("7.0"), CUDA_13)
    assert volta.coverage is Coverage.NONE
    alone = Library("x.o", 1, (FatbinGroup(relocatable, 6),))
    assert alone.link_input
    assert judge(alone, device("9.0"), CUDA_13).coverage is None


def test_bare_images_are_listed_and_not_counted() -> None:
    ort = library(("sm_80",), bare=(BareImages(".rodata", read_image("sm_90"), 114),))
    assert judge(ort, device("9.0")).coverage is Coverage.NONE


@pytest.mark.parametrize(
    ("counts", "coverage"),
    [
        (OutcomeCounts(), None),
        (OutcomeCounts(runs=1), Coverage.FULL),
        (OutcomeCounts(compiles=1), Coverage.FULL),
        (OutcomeCounts(fails=2), Coverage.NONE),
        (OutcomeCounts(runs=1, fails=1), Coverage.PARTIAL),
        (OutcomeCounts(runs=1, fails=1, unknown=1), Coverage.PARTIAL),
        (OutcomeCounts(runs=1, unknown=1), Coverage.UNKNOWN),
        (OutcomeCounts(fails=1, unknown=1), Coverage.UNKNOWN),
        (OutcomeCounts(unknown=1), Coverage.UNKNOWN),
    ],
)
def test_coverage_is_what_undecided_facts_could_not_change(counts: OutcomeCounts, coverage: Coverage | None) -> None:
    assert counts.coverage is coverage


def test_an_artifact_adds_up_its_libraries_worst_first() -> None:
    good, bad = library(("sm_90",), path="a.so"), library(("sm_80",), path="b.so")
    verdict = judge(Artifact("w.whl", ArtifactKind.WHEEL, (good, bad)), device("9.0"))
    assert verdict.coverage is Coverage.PARTIAL
    assert [part.coverage for part in verdict.parts] == [Coverage.FULL, Coverage.NONE]
    assert verdict.reasons[0].subject.startswith("b.so: ")
    assert judge(Artifact("w.whl", ArtifactKind.WHEEL), device("9.0")).coverage is None


def test_libraries_with_equal_code_have_its_verdict_in_their_own_name_and_for_their_own_host() -> None:
    code = [("sm_80", "sm_90"), ("sm_90a",)]
    alike = [
        library(*code, path="pkg/a.so"),
        library(*code, path="pkg/b.so", machine="aarch64", needed=("libcudart.so.13",)),
        library(*code, path="pkg/c.so", machine="x86_64"),
    ]
    workstation = replace(device("9.0"), hosts=("x86_64",))
    by = driver("550")
    found = judge(Artifact("x.whl", ArtifactKind.WHEEL, tuple(alike)), workstation, by)
    for one, part in zip(alike, found.parts, strict=True):
        assert part.subject == one.path
        assert {reason.subject.partition(": ")[0] for reason in part.reasons} == {one.path}
        fatbins = (judge(group.fatbin, workstation, by) for group in one.fatbins)
        assert {replace(reason, subject="") for reason in part.reasons} == {
            replace(reason, subject="") for verdict in fatbins for reason in verdict.reasons
        }
    assert [part.counts for part in found.parts] == [OutcomeCounts(runs=2)] * 3
    assert [{finding.code for finding in part.findings} for part in found.parts] == [
        set(),
        {"host-platform", "cuda-major-newer-than-driver"},
        set(),
    ]


def test_the_image_that_is_taken_is_named_only_where_that_is_certain() -> None:
    def chosen(*images: str) -> str | None:
        found = judge(Fatbin(tuple(map(read_image, images))), device("9.0"), CUDA_13).chosen
        return None if found is None else str(found.target)

    assert chosen("sm_80", "sm_90", "compute_80@8.0") == "sm_90"
    assert chosen("sm_80", "compute_80@8.0") == "compute_80"
    assert chosen("sm_90", "sm_90a") is None  # both exact: which one is taken is not documented
    assert chosen("sm_80") is None
    assert chosen("compute_80", "compute_70@8.0") is None


def test_a_host_that_does_not_fit_is_a_finding_and_changes_no_outcome() -> None:
    thor = Device(ComputeCapability(11, 0), "Jetson AGX Thor", ("aarch64",))
    wheel = Artifact(
        "w.whl", ArtifactKind.WHEEL, (library(("sm_110",), machine="x86_64"),), platforms=("manylinux_2_28_x86_64",)
    )
    verdict = judge(wheel, thor, CUDA_13)
    assert verdict.coverage is Coverage.FULL
    assert [finding.code for finding in verdict.findings] == ["host-platform"]
    assert "aarch64" in verdict.findings[0].message
    alone = judge(wheel.libraries[0], thor, CUDA_13)
    assert [finding.code for finding in alone.findings] == ["host-platform"]
    for platforms in (("manylinux_2_28_aarch64",), ("any",)):
        arm = replace(wheel, platforms=platforms, libraries=(library(("sm_110",), machine="aarch64"),))
        assert judge(arm, thor, CUDA_13).findings == ()
    assert judge(wheel, Device(ComputeCapability(11, 0)), CUDA_13).findings == ()


def test_a_runtime_of_a_newer_major_version_is_a_finding() -> None:
    needs_13 = library(("sm_90",), needed=("libcudart.so.13", "libc.so.6"))
    old = judge(needs_13, device("9.0"), driver("550.54.14"))
    assert (old.coverage, [finding.code for finding in old.findings]) == (
        Coverage.FULL,
        ["cuda-major-newer-than-driver"],
    )
    assert judge(needs_13, device("9.0"), driver("580.65.06")).findings == ()
    assert judge(needs_13, device("9.0"), Driver(cuda=CudaVersion(12, 4))).findings != ()
    assert judge(needs_13, device("9.0")).findings == ()


def test_a_package_is_judged_by_the_library_that_it_would_load() -> None:
    paths = [f"bitsandbytes/libbitsandbytes_cuda{version}.so" for version in (118, 130)]
    libraries = (
        library(("sm_60",), path=paths[0]),
        library(("sm_90",), path=paths[1]),
        library(("sm_90",), path="x.so"),
    )
    bitsandbytes = Artifact("b.whl", ArtifactKind.WHEEL, libraries, name="bitsandbytes")
    chosen = choose(bitsandbytes, device("9.0"))
    assert [(name, [found.path for found in artifact.libraries]) for name, artifact in chosen] == [
        ("118", [paths[0], "x.so"]),
        ("130", [paths[1], "x.so"]),
    ]
    folders = (library(("sm_90a",), path="sgl_kernel/sm90/a.so"), library(("sm_100a",), path="sgl_kernel/sm100/a.so"))
    sgl = Artifact("s.whl", ArtifactKind.WHEEL, folders, name="sgl-kernel")
    assert [name for name, _ in choose(sgl, device("9.0"))] == ["sm90"]
    assert [name for name, _ in choose(sgl, device("8.9"))] == ["sm100"]
    same = replace(sgl, libraries=(replace(folders[0], copies=("sgl_kernel/sm100/a.so",)),))
    assert [name for name, _ in choose(same, device("10.0"))] == ["sm100"]
    ((name, without),) = choose(replace(sgl, libraries=folders[1:]), device("9.0"))
    assert (name, without.libraries) == ("sm90", ())
    assert [finding.code for finding in without.findings] == ["alternative-missing"]
    other = replace(bitsandbytes, name="other")
    assert choose(other, device("9.0")) == ((None, other),)
    assert choose(replace(bitsandbytes, libraries=()), device("9.0"))[0][0] is None


def test_a_verdict_is_not_a_boolean() -> None:
    with pytest.raises(TypeError, match="outcome"):
        bool(judge(read_image("sm_90"), device("9.0")))


def test_only_facts_can_be_judged() -> None:
    with pytest.raises(TypeError, match="cannot judge str"):
        judge("sm_90", device("9.0"))  # type: ignore[arg-type]


# -- laws

SEVERITY = [Outcome.RUNS, Outcome.COMPILES, Outcome.UNKNOWN, Outcome.FAILS]
YES = (Outcome.RUNS, Outcome.COMPILES)


@given(strategies.images(), strategies.devices, st.none() | strategies.drivers)
def test_the_outcome_of_an_image_is_the_worst_of_its_reasons(image: Image, here: Device, by: Driver | None) -> None:
    verdict = judge(image, here, by)
    assert verdict.outcome == max((reason.outcome for reason in verdict.reasons), key=SEVERITY.index)
    for reason in verdict.reasons:
        page = REASONS[reason.code]
        assert "{" not in reason.message + reason.way_out
        assert set(page.sources) <= set(reason.sources) <= set(tables().sources)
        assert reason.grade in Grade


@given(strategies.fatbins, strategies.devices, st.none() | strategies.drivers)
def test_every_no_says_what_to_do(fatbin: Fatbin, here: Device, by: Driver | None) -> None:
    verdict = judge(fatbin, here, by)
    if verdict.outcome in (Outcome.FAILS, Outcome.UNKNOWN):
        assert any(reason.way_out for reason in verdict.reasons if reason.outcome is verdict.outcome)


@given(strategies.fatbins, strategies.devices, st.none() | strategies.drivers, st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(fatbin: Fatbin, here: Device, by: Driver | None, random: Any) -> None:
    shuffled = random.sample(fatbin.images, len(fatbin.images))
    mixed = judge(replace(fatbin, images=tuple(shuffled)), here, by)
    straight = judge(fatbin, here, by)
    assert (mixed.outcome, set(codes(mixed))) == (straight.outcome, set(codes(straight)))


@given(strategies.images(), strategies.devices, st.none() | strategies.drivers, st.data())
def test_no_fact_taken_away_turns_an_answer_into_its_opposite(
    image: Image, here: Device, by: Driver | None, data: st.DataObject
) -> None:
    """Only the driver as a whole is left in: not knowing it means some driver that serves the device."""
    gone: dict[str, Any] = {data.draw(st.sampled_from(("ptx", "toolkit", "code_version", "stub", "target"))): None}
    known = judge(image, here, by).outcome
    less = judge(replace(image, **gone), here, by).outcome
    assert not (known in YES and less is Outcome.FAILS)
    assert not (known is Outcome.FAILS and less in YES)


@given(strategies.images(), strategies.devices, strategies.drivers)
def test_not_knowing_a_driver_that_serves_the_device_never_gives_the_opposite(
    image: Image, here: Device, by: Driver
) -> None:
    known = judge(image, here, by)
    told = {"machine-code-ignored", "ptx-jit-disabled"}
    if ({"driver-too-old-for-device", "driver-dropped-device"} | told) & set(codes(known)):
        return  # not a driver that serves the device, or one that was told not to load such code
    less = judge(image, here).outcome
    assert not (known.outcome in YES and less is Outcome.FAILS)
    assert not (known.outcome is Outcome.FAILS and less in YES)


@given(strategies.fatbins, strategies.images(), strategies.devices, st.none() | strategies.drivers)
def test_one_more_image_never_makes_a_fatbin_worse(
    fatbin: Fatbin, image: Image, here: Device, by: Driver | None
) -> None:
    before = judge(fatbin, here, by).outcome
    after = judge(replace(fatbin, images=(*fatbin.images, image)), here, by).outcome
    if before is not None:
        assert after is not None
        assert SEVERITY.index(after) <= SEVERITY.index(before)


@given(strategies.libraries, strategies.devices, st.none() | strategies.drivers)
def test_a_library_counts_each_linked_fatbin_with_kernels_once(found: Library, here: Device, by: Driver | None) -> None:
    verdict = judge(found, here, by)
    counted = sum(g.count for g in found.fatbins if not g.fatbin.idle and not g.fatbin.relocatable)
    assert verdict.counts.total == counted
    assert verdict.coverage is verdict.counts.coverage


@given(strategies.capabilities, strategies.capabilities)
def test_where_machine_code_runs_ptx_of_that_number_fits_too(code: ComputeCapability, here: ComputeCapability) -> None:
    by = tables().newest_driver(here)
    if judge(Image(ImageKind.SASS, Target(code)), Device(here), by).outcome is Outcome.RUNS:
        assert code <= here
        ptx = Image(ImageKind.PTX, Target(code, kind=TargetKind.VIRTUAL), ptx=PtxVersion(3, 0))
        assert judge(ptx, Device(here), by).outcome is not Outcome.FAILS


def test_no_code_is_without_a_use_and_every_page_is_whole() -> None:
    source = Path(__file__).parents[1] / "src/capably"
    used = "".join(
        path.read_text(encoding="utf-8")
        for path in (
            *source.glob("engine/*.py"),
            *source.glob("doctor/*.py"),
            *source.glob("gate/*.py"),
            *source.glob("plan/*.py"),
            *source.glob("audit/*.py"),
            *source.glob("scanner/*.py"),
            *source.glob("probe/*.py"),
        )
    )
    # The two codes of a feature in loading.json are put together from its name.
    made = {f"{name}-{end}" for name in tables().loading for end in ("driver-unknown", "needs-newer-driver")}
    for code, page in {**REASONS, **FINDINGS}.items():
        assert code == page.code
        assert page.title
        assert page.cause
        assert set(page.sources) <= set(tables().sources)
        assert f'"{code}"' in used or code in made
    for code, page in REASONS.items():
        assert page.sources or code in made, "the features of loading.json have sources of their own"


def test_what_was_not_read_makes_a_full_or_empty_answer_unknown() -> None:
    damage = Finding("damaged-archive-member", "b.so", "its checksum is wrong")
    note = Finding("bare-images", "a.so", "listed")
    good, bad = library(("sm_90",), path="a.so"), library(("sm_80",), path="b.so")
    for libraries, plain, doubtful in (
        ((good,), Coverage.FULL, Coverage.UNKNOWN),
        ((bad,), Coverage.NONE, Coverage.UNKNOWN),
        ((), None, Coverage.UNKNOWN),
        ((good, bad), Coverage.PARTIAL, Coverage.PARTIAL),
    ):
        artifact = Artifact("w.whl", ArtifactKind.WHEEL, libraries, (note,))
        assert judge(artifact, device("9.0")).coverage is plain
        assert judge(replace(artifact, findings=(note, damage)), device("9.0")).coverage is doubtful


# -- whether a compiler emits a target has one answer


def nvcc(cuda: str, **facts: Any) -> Toolkit:
    return Toolkit(ToolkitKind.NVCC, f"/usr/local/cuda-{cuda}/bin/nvcc", cuda=CudaVersion.parse(cuda), **facts)


@pytest.mark.parametrize(
    ("compiler", "capability", "expected"),
    [
        (nvcc("12.8"), "10.0", True),
        (nvcc("12.6"), "10.0", False),
        (nvcc("12.8"), "10.3", False),  # sm_100 runs there, and is not its own
        (nvcc("13.0"), "7.0", False),
        (nvcc("12.7"), "9.0", True),  # no toolkit of that version was public: it is as the one before
        (nvcc("99.9"), "9.0", None),
        (nvcc("9.2"), "9.0", None),
        (nvcc("12.9"), "11.0", None),  # it calls Jetson Thor 10.1: whether that is the same code is not proved
        (nvcc("13.0"), "10.1", None),
        (nvcc("13.0"), "11.0", True),
        (nvcc("99.9", targets=(Target.parse("compute_90"),)), "9.0", True),  # by its own list
        (nvcc("13.0", targets=(Target.parse("compute_90"),)), "7.5", False),
        (nvcc("13.0", targets=(Target.parse("sm_101a"),)), "11.0", None),
        (Toolkit(ToolkitKind.NVCC, "/x/nvcc"), "9.0", None),
    ],
)
def test_whether_a_compiler_has_a_target_for_a_device(
    compiler: Toolkit, capability: str, expected: bool | None
) -> None:
    assert emits_own_target(compiler, ComputeCapability.parse(capability)) is expected


def test_what_a_compiler_emits_and_what_requirements_say_of_it_agree() -> None:
    for row in tables().toolkits:
        compiler = Toolkit(ToolkitKind.NVCC, "", cuda=row.cuda)
        for capability in tables().architectures:
            judged = judge(Requirement.parse(str(capability)), Device(capability), toolkit=compiler).outcome
            emitted = emits_own_target(compiler, capability)
            assert emitted is not True or judged is Outcome.RUNS
            assert emitted is not None or judged is Outcome.UNKNOWN
            # A lower member of its family may do where there is no target of its own.
            family = tables().family(tables().number_today(capability))
            lower = family is not None and family.members[0] < capability
            assert emitted is not False or judged is Outcome.FAILS or lower, (row.cuda, capability)


def test_the_doctor_sends_nobody_to_a_compiler_of_which_the_engine_cannot_tell() -> None:
    """CUDA 12.9 calls Jetson Thor 10.1: the doctor said that it knows the GPU, the engine that this is unknown."""
    here = System(machine="aarch64", os="linux", toolkits=(nvcc("12.6", used_by=("torch",)), nvcc("12.9")))
    found = diagnose(here, (), [(device("11.0"), CUDA_13)]).diagnoses
    (lacking,) = (one for one in found if one.code == "compiler-cannot-emit")
    assert lacking.action is not None
    assert "cuda-12.9" not in lacking.action
    assert lacking.action.startswith("Install one of CUDA 13.0 to ")
    able = replace(here, toolkits=(*here.toolkits, nvcc("13.0")))
    (lacking,) = (
        one for one in diagnose(able, (), [(device("11.0"), CUDA_13)]).diagnoses if one.code == "compiler-cannot-emit"
    )
    assert lacking.action is not None
    assert "cuda-13.0" in lacking.action


def test_the_reasons_of_an_artifact_begin_with_the_library_that_is_worth_least() -> None:
    undecided = library(("compute_80@8.0",), path="undecided.so")
    partly = library(("sm_90",), ("sm_80",), path="partly.so")
    nothing = library(("sm_80",), path="nothing.so")
    whole = library(("sm_90",), path="whole.so")
    artifact = Artifact("x", ArtifactKind.DIRECTORY, (whole, partly, undecided, nothing), ())
    verdict = judge(artifact, device("9.0"), None)
    places = [reason.subject.partition(":")[0] for reason in verdict.reasons]
    assert list(dict.fromkeys(places)) == ["nothing.so", "undecided.so", "partly.so", "whole.so"]
    assert [worth(part.coverage) for part in verdict.parts] == [4, 3, 2, 1]
