"""What answers look like: golden texts, widths, hostile names, and JSON that fits its schema."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import build
import pytest
from goldens import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from schemas import fits_schema
from strategies import KNOWN, devices, drivers, images, libraries

from capably.arch import ComputeCapability, Target, TargetKind
from capably.check import Gpu, Grid, judge_all
from capably.check.story import story
from capably.codes import REASONS, Outcome
from capably.engine import Coverage, judge
from capably.engine.advice import change_for, change_for_builds
from capably.escaping import printable
from capably.facts import (
    Artifact,
    ArtifactKind,
    BareImages,
    Compression,
    Device,
    Driver,
    Fatbin,
    FatbinGroup,
    Finding,
    Image,
    ImageKind,
    Library,
    PtxJit,
)
from capably.report.check_text import check_text
from capably.report.gpus_text import gpus_text
from capably.report.layout import Cell, Style, fits, table
from capably.report.machine import check_document, dumps, gpus_document, scan_document, schema
from capably.report.safe import clip, columns, wrap
from capably.report.scan_text import scan_text
from capably.scanner import scan
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease, PtxVersion

if TYPE_CHECKING:
    from pathlib import Path


def image(target: str, *, stub: bool | None = False, ptx: str = "8.1", **fields: object) -> Image:
    parsed = Target.parse(target)
    if parsed.kind is TargetKind.VIRTUAL:
        return Image(ImageKind.PTX, parsed, stub=stub, ptx=PtxVersion.parse(ptx), **fields)  # type: ignore[arg-type]
    return Image(ImageKind.SASS, parsed, stub=stub, code_version=(1, 7), **fields)  # type: ignore[arg-type]


def fatbins(count: int, *targets: str | Image, section: str = ".nv_fatbin") -> FatbinGroup:
    found = tuple(image(target) if isinstance(target, str) else target for target in targets)
    return FatbinGroup(Fatbin(found, section), count)


def library(path: str, *groups: FatbinGroup, needed: tuple[str, ...] = ()) -> Library:
    return Library(path, 45_100_000, groups, machine="x86_64", needed=needed)


def wheel(name: str, version: str, *found: Library, findings: tuple[Finding, ...] = ()) -> Artifact:
    path = f"/dist/{name}-{version}-cp312-cp312-manylinux_2_28_x86_64.whl"
    platforms = ("manylinux_2_28_x86_64",)
    return Artifact(path, ArtifactKind.WHEEL, found, findings, name, version, platforms, files=30)


ATTENTION = wheel(
    "attention",
    "3.1",
    library("attention/_C.so", fatbins(33, "sm_80", "sm_90", "compute_90"), needed=("libcudart.so.12",)),
    library("attention/_hopper.so", fatbins(11, "sm_90a", image("sm_80", stub=True))),
)
VISION = wheel("vision", "0.22.1", library("vision/_C.so", fatbins(12, "sm_50", "sm_70", "sm_75", "sm_86", "sm_90")))
QUANT = replace(
    wheel(
        "bitsandbytes",
        "0.50.2",
        *(
            library(f"bitsandbytes/libbitsandbytes_cuda{version}.so", fatbins(1, "sm_80", *targets))
            for version, targets in {"118": (), "121": (), "128": ("sm_120",)}.items()
        ),
    ),
    findings=(Finding("bare-images", "bitsandbytes/x.so", "cubins that lie bare in `.rodata`"),),
)
PURE = Artifact("requests", ArtifactKind.DISTRIBUTION, name="requests", version="2.32.3", files=40)
SPLIT = wheel(
    "splitting",
    "1.0",
    library("splitting/a.so", fatbins(2, "sm_90"), fatbins(1, "sm_80"), fatbins(1, "compute_90")),
    library("splitting/b.so", fatbins(3, "sm_80"), fatbins(1, image("sm_90", stub=None))),
    *(library(f"splitting/kernels/{number}.so", fatbins(1, "sm_70")) for number in range(5)),
)


def gpu(name: str, driver: Driver | None = None) -> Gpu:
    (product, *_) = tables().find_products(name)
    device = Device(product.capability, product.name, product.hosts, assumed=True)
    return Gpu(device, driver or tables().newest_driver(device.capability))


def judged(*artifacts: Artifact, on: str, driver: Driver | None = None) -> Grid:
    return judge_all([(artifact.path, artifact) for artifact in artifacts], [gpu(n, driver) for n in on.split(",")])


EVERY = "V100,T4,A100,H100,B200,RTX 5090,Jetson AGX Thor"
OLD = Driver(release=DriverRelease(470, 57), cuda=None)
CASES = {
    "check-few": judged(ATTENTION, VISION, on="V100,H100"),
    "check-many": judged(ATTENTION, VISION, PURE, on=EVERY),
    "check-blocks": judged(ATTENTION, VISION, PURE, QUANT, SPLIT, on=f"{EVERY},L4,A40,GB10"),
    "check-old-driver": judged(ATTENTION, on="T4,H100,GB10", driver=OLD),
    "check-cuda-driver": judged(VISION, on="T4", driver=Driver(cuda=CudaVersion(12, 4))),
    "check-alternatives": judged(QUANT, on="A100,RTX 5090"),
    "check-split": judged(SPLIT, on="H100,T4"),
    "check-unread": judged(
        replace(VISION, findings=(Finding("damaged-elf", "vision/io.so", "Its headers contradict each other."),)),
        on="T4",
    ),
    "check-twice": judged(VISION, VISION, replace(VISION, path="/dist/other.whl"), on="T4"),
    "check-nothing": judged(on="T4"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_text_of_check(name: str) -> None:
    golden(name, check_text(CASES[name], Style()))


def test_the_text_of_check_with_all_reasons_in_ascii() -> None:
    text = check_text(judged(ATTENTION, QUANT, on="A100,Jetson AGX Thor"), Style(ascii_only=True), verbose=True)
    assert text.isascii()
    golden("check-verbose", text)


def test_the_text_of_check_in_colour_says_the_same() -> None:
    for answer in CASES.values():
        coloured = check_text(answer, Style(colour=True))
        assert re.sub("\x1b\\[[0-9]*m", "", coloured) == check_text(answer, Style())
    golden("check-colour", check_text(CASES["check-few"], Style(colour=True)))


@pytest.mark.parametrize("answer", CASES.values(), ids=CASES)
@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_asked(answer: Grid, verbose: bool, width: int) -> None:
    for line in check_text(answer, Style(width), verbose=verbose).splitlines():
        assert columns(line) <= width or line.lstrip().startswith("https://")
        assert line == line.rstrip()


@pytest.mark.parametrize("answer", CASES.values(), ids=CASES)
def test_the_json_of_check_fits_its_schema(answer: Grid) -> None:
    document = check_document(answer)
    fits_schema(document, "check")
    fits_schema(json.loads(dumps(document)))


def cell(answer: Grid) -> str:
    """The only cell of a matrix of one artifact and one GPU."""
    row = next(line for line in check_text(answer, Style()).splitlines() if line.startswith("x 1  "))
    return row.removeprefix("x 1").strip()


@pytest.mark.parametrize(
    ("groups", "word"),
    [
        ((fatbins(1, "sm_90"),), "yes"),
        ((fatbins(1, "compute_80"),), "yes by PTX"),
        ((fatbins(1, "sm_90"), fatbins(1, "compute_80")), "yes by PTX"),
        # What the library is for is its most frequent set of targets.
        ((fatbins(1, "sm_90"), fatbins(999, "sm_80")), "partly"),
        ((fatbins(999, "sm_90"), fatbins(1, "sm_80")), "likely"),
        ((fatbins(7, "sm_90"), fatbins(5, "sm_80")), "likely"),
        ((fatbins(1, "sm_80"),), "no"),
        ((fatbins(1, image("sm_90", stub=None)),), "unknown"),
        ((fatbins(1, image("sm_90", stub=True)),), "no GPU code"),
        ((fatbins(1, image("sm_90", relocatable=True)),), "no GPU code"),
    ],
)
def test_the_word_of_a_cell(groups: tuple[FatbinGroup, ...], word: str) -> None:
    answer = judged(wheel("x", "1", library("x.so", *groups)), on="H100")
    assert cell(answer) == word
    legend = check_text(answer, Style()).partition("driver  ")[2]
    assert re.search(rf"\n{word}  \w", legend)


@pytest.mark.parametrize("groups", [(fatbins(1, "sm_110"),), (fatbins(1, "compute_80"),)])
def test_a_plain_yes_is_never_shown_where_the_host_does_not_fit(groups: tuple[FatbinGroup, ...]) -> None:
    answer = judged(wheel("x", "1", library("x.so", *groups)), on="Jetson AGX Thor")
    assert cell(answer).endswith(" !host")
    text = check_text(answer, Style())
    assert "! x 1: no on Jetson AGX Thor (11.0): built for another host processor" in text
    assert re.search(r"\n!host  +whatever its GPU code", text)


def test_a_plain_yes_is_never_shown_where_the_runtime_is_too_new() -> None:
    answer = judged(
        wheel("x", "1", library("x.so", fatbins(1, "sm_75"), needed=("libcudart.so.13",))), on="T4", driver=OLD
    )
    assert cell(answer) == "no !driver"
    assert "! x 1: no on T4 (7.5): the CUDA runtime is newer than the driver" in check_text(answer, Style())


def test_the_blocked_gpus_are_all_named() -> None:
    text = " ".join(check_text(judged(VISION, on="Jetson AGX Thor,GB10"), Style()).split())
    assert "Jetson AGX Thor and GB10 come in aarch64 machines only" in text


def test_an_alternative_that_is_missing_is_marked() -> None:
    found = wheel("sgl-kernel", "1", library("sgl_kernel/sm90/common_ops.so", fatbins(1, "sm_90")))
    answer = judged(found, on="H100,B200")
    text = check_text(answer, Style())
    assert "sm100       -     no !missing" in text
    assert "on B200 (10.0)" in text
    assert "no GPU code found" not in text
    assert [bool(result.verdict.blocked) for _, result in answer.results] == [False, True]


def test_names_are_not_broken_where_there_is_room() -> None:
    answer = judged(VISION, on="Jetson AGX Thor,RTX 5090")
    assert "Jetson AGX Thor" in check_text(answer, Style(80)).splitlines()[0]


def test_what_was_not_read_makes_the_answer_unknown_and_is_said() -> None:
    hidden = replace(VISION, findings=(Finding("damaged-elf", "vision/io.so", "Its headers contradict each other."),))
    text = check_text(judged(hidden, on="T4,H100"), Style())
    assert "12 of 12 fatbins that were read load" in text
    assert "not everything was read (a damaged ELF file, see below)" in text
    assert "12 do not load" in check_text(judged(hidden, on="B200"), Style())


def test_own_libraries_are_named_before_bundled_ones() -> None:
    found = wheel(
        "x",
        "1",
        library("x.libs/libbig.so", fatbins(9, "sm_70")),
        library("x/_C.so", fatbins(1, "sm_70"), fatbins(1, "sm_90")),
    )
    text = check_text(judged(found, on="H100"), Style(), verbose=True)
    assert text.index("x/_C.so (1 of 2)") < text.index("x.libs/libbig.so (9 of 9)")


def test_scan_tells_equal_findings_once_and_paths_in_full() -> None:
    path = "a" * 100 + ".so"
    same = tuple(Finding("damaged-elf", f"{n}.so", "Its headers contradict each other.") for n in "abc")
    found = replace(VISION, path=path, findings=same)
    text = scan_text([(path, found)], Style())
    assert text.splitlines()[0] == path
    assert text.count("a damaged ELF file") == 1
    assert "the like in 2 other files" in " ".join(text.split())


def test_every_field_of_the_json_is_described() -> None:
    def fields(node: object) -> list[object]:
        if isinstance(node, list):
            return [field for item in node for field in fields(item)]
        if not isinstance(node, dict):
            return []
        properties = node.get("properties", {})
        return [*properties.values(), *(field for value in node.values() for field in fields(value))]

    assert all(isinstance(field, dict) and field["description"] for field in fields(schema()["$defs"]))


@pytest.mark.parametrize(
    ("artifact", "said"),
    [
        (PURE, "no GPU code found in 40 files"),
        (replace(PURE, files=1), "no GPU code found in the file"),
        (wheel("x", "1", library("x.o", fatbins(1, image("sm_90", relocatable=True)))), "input for the linker"),
        (wheel("x", "1", library("x.so", fatbins(1, image("sm_90", stub=True)))), "without any kernel"),
        (
            wheel("x", "1", Library("x.so", 1, bare=(BareImages(".rodata", image("sm_90"), 1),))),
            "outside of any container",
        ),
    ],
)
def test_nothing_to_judge_is_explained(artifact: Artifact, said: str) -> None:
    (result,) = check_document(judged(artifact, on="T4"))["results"]
    assert result["coverage"] is None
    assert [finding["code"] for finding in result["findings"]] == ["no-gpu-code"]
    assert said in result["findings"][0]["message"]


def test_a_finding_of_the_scanner_is_not_repeated() -> None:
    found = replace(PURE, findings=(Finding("no-gpu-code", PURE.path, "no GPU code in 40 files"),))
    (result,) = check_document(judged(found, on="T4"))["results"]
    assert len(result["findings"]) == 1


def test_an_unknown_finding_is_shown_by_its_code() -> None:
    found = replace(VISION, findings=(Finding("new-code", "a/b.so", "odd"), Finding("new-code", "a/c.so", "even")))
    text = check_text(judged(found, on="T4"), Style())
    assert "! vision 0.22.1: new code\n  what  a/b.so: odd\n        a/c.so: even\n" in text


def test_the_most_telling_reason_stands_alone() -> None:
    """A driver that knows no Hopper is the reason, not the images for other GPUs beside the one for Hopper."""
    (_, result) = next(judged(VISION, on="H100", driver=OLD).results)
    told = story(result)
    assert [argument.code for argument in told.arguments] == ["driver-too-old-for-device"]
    assert result.advice.steps == ("Install a driver of branch R520 (CUDA 11.8) or newer.",)


def test_a_driver_that_may_not_serve_the_device_is_told_beside_the_reason() -> None:
    """No list of R535 names an H200, and it compiles up to PTX 8.2."""
    newer = wheel("newer", "1.0", library("newer/_C.so", fatbins(33, "sm_80", image("compute_80", ptx="8.4"))))
    by = Driver(release=DriverRelease(535, 183, 1), cuda=None)
    (_, result) = next(judged(newer, on="H200", driver=by).results)
    told = story(result)
    assert {"ptx-newer-than-driver", "driver-device-unproven"} <= {argument.code for argument in told.arguments}
    assert result.advice.steps[0].startswith("Install a driver of branch R550 (CUDA 12.4) or newer")


def test_kernels_that_are_for_another_architecture_are_named() -> None:
    (_, result) = next(judged(ATTENTION, on="A100").results)
    told = story(result)
    assert [(argument.code, argument.kernels) for argument in told.arguments] == [
        ("kernels-for-other-architectures-only", ("sm_90a",))
    ]
    assert told.places == (("attention/_hopper.so", 11, 11),)


def test_a_partial_answer_says_that_it_may_be_meant_so() -> None:
    for name in ("A100", "B200"):
        text = " ".join(check_text(judged(ATTENTION, on=name), Style()).split())
        assert "then nothing is missing" in text
        assert "use a build that targets" not in text.casefold()  # it has code for them, but for the parts for sm_90a
    assert "nothing is missing" not in check_text(judged(ATTENTION, on="V100"), Style())


def test_relocatable_code_is_the_last_thing_told() -> None:
    relocatable = fatbins(1, image("sm_70", relocatable=True), section="__nv_relfatbin")
    artifact = wheel("x", "1", library("x.so", fatbins(1, "sm_70"), relocatable))
    (_, result) = next(judged(artifact, on="H100").results)
    assert [argument.code for argument in story(result).arguments] == ["no-image-for-device"]


# -- a way out, when it is followed


def found_in(path: Path, on: str, driver: str) -> tuple[Coverage | None, str]:
    """What is told of a file on one GPU: the coverage, and what to do about it as one line."""
    answer = judged(scan(path), on=on, driver=Driver(DriverRelease.parse(driver)))
    (_, result) = next(answer.results)
    (_, _, do) = check_text(answer, Style()).partition("\n  do ")
    return result.verdict.coverage, " ".join(re.split(r"\n\n", do)[0].split())


def test_a_driver_and_a_build_are_told_where_neither_alone_helps(tmp_path: Path) -> None:
    """A wheel for older GPUs on one that its driver does not know, as torch 2.7.1 for CUDA 12.6 on an RTX 5090."""
    code = build.fatbin([build.sass(target) for target in ("sm_80", "sm_90", "sm_90a")])
    found = build.wheel(tmp_path, "older", "1.0", {"older/_C.so": build.library(code)})
    another = "se a build that targets sm_120 (CUDA 12.8 or newer), or plain PTX of at most compute_120."
    assert found_in(found, "RTX 5090", "R550") == (
        Coverage.NONE,
        f"Install a driver of branch R570 (CUDA 12.8) or newer, and u{another}",
    )
    assert found_in(found, "RTX 5090", "R570") == (
        Coverage.NONE,
        f"U{another}",
    )
    code = build.fatbin([build.sass("sm_90"), build.sass("sm_120")])
    mended = build.wheel(tmp_path, "newer", "1.0", {"newer/_C.so": build.library(code)})
    assert [found_in(mended, "RTX 5090", driver)[0] for driver in ("R550", "R570")] == [Coverage.NONE, Coverage.FULL]


def test_no_driver_is_advised_for_ptx_that_is_for_another_gpu(tmp_path: Path) -> None:
    found = tmp_path / "y.ptx"
    found.write_bytes(build.ptx("compute_90a", "8.4"))
    coverage, do = found_in(found, "A100", "R535")
    assert coverage is Coverage.NONE
    assert do.startswith("Use a build that targets sm_80")
    coverage, do = found_in(found, "H100", "R535")
    assert coverage is Coverage.NONE
    assert do.startswith("Install a driver of branch R550 (CUDA 12.4) or newer, or use a build that targets sm_90 ")
    assert found_in(found, "H100", "R550")[0] is Coverage.FULL


def one_for_each(tmp_path: Path, *, plain: int) -> Path:
    """A library of CUDA 13 with fatbins of one target each, as NVIDIA's own have, and one with newer PTX."""
    targets = ["sm_75"] * 20 + ["sm_100"] * 60 + ["sm_80"] * plain
    new = build.fatbin([build.sass("sm_80"), build.ptx_entry("compute_75", "9.3")])
    code = [*(build.fatbin([build.sass(target)]) for target in targets), new]
    return build.wheel(
        tmp_path, "blas", "13.0", {"blas/libblas.so.13": build.library(*code, needed=("libcudart.so.13",))}
    )


def test_the_driver_that_is_advised_also_starts_it(tmp_path: Path) -> None:
    """R570 would know the device, R580 starts programs of CUDA 13, R610 compiles one fatbin in two hundred more."""
    found = one_for_each(tmp_path, plain=119)
    coverage, do = found_in(found, "B200", "550.54.14")
    assert coverage is Coverage.NONE
    assert do == (
        "Install a driver of branch R580 (CUDA 13.0) or newer: 60 of 200 fatbins load then. The others may be the "
        "same kernels for other GPUs."
    )
    assert found_in(found, "B200", "R580")[0] is Coverage.PARTIAL


def test_what_mends_next_to_nothing_is_not_advised(tmp_path: Path) -> None:
    """Nor is a build for a target that the file holds already."""
    found = one_for_each(tmp_path, plain=119)
    for driver in ("R580", "R610"):
        coverage, do = found_in(found, "T4", driver)
        assert coverage is Coverage.PARTIAL
        assert do.startswith("What does not load may be the same kernels for other GPUs")
        assert "Install" not in do
        assert "a build that targets" not in do
    few = one_for_each(tmp_path, plain=0)
    assert (
        "Install a driver of branch R610 (CUDA 13.3) or newer: 21 of 81 fatbins load then."
        in found_in(few, "T4", "R580")[1]
    )


def test_a_setting_is_undone_before_a_driver_is_installed() -> None:
    forwards = wheel("x", "1", library("x.so", fatbins(1, "compute_80")))
    ways = [
        next(judged(forwards, on="H100", driver=driver).results)[1].advice.steps
        for driver in (
            Driver(DriverRelease(580), jit=PtxJit.DISABLED),
            Driver(DriverRelease(520), jit=PtxJit.DISABLED),
        )
    ]
    build = "or use a build that targets sm_90 (CUDA 11.8 or newer), or plain PTX of at most compute_90."
    assert ways == [
        (f"Unset CUDA_DISABLE_PTX_JIT, {build}",),
        (f"Unset CUDA_DISABLE_PTX_JIT and install a driver of branch R530 (CUDA 12.1) or newer, {build}",),
    ]


@given(libraries, devices, drivers)
def test_a_driver_is_advised_only_where_more_loads_by_it(found: Library, device: Device, driver: Driver) -> None:
    """And once it is there, no other is."""
    ((_, result),) = judge_all([("x", wheel("x", "1", found))], [Gpu(device, driver)]).results
    mended = change_for(result.artifact, result.verdict)
    if mended is not None:
        change, then = mended
        assert judge(result.artifact, device, change.driver) == then
        before, after = result.verdict.counts, then.counts
        assert after.usable == after.total or 100 * (after.usable - before.usable) >= after.total
        assert after.usable > before.usable
        assert len(then.blocked) <= len(result.verdict.blocked)
        assert change_for(result.artifact, then) is None


@st.composite
def _nearly_loading(draw: st.DrawFn) -> tuple[Library, Device]:
    """A library for a device or one close to it, and the device: much of it is a matter of the driver."""
    here = draw(st.sampled_from(KNOWN))
    near = st.sampled_from([one for one in KNOWN if abs(KNOWN.index(one) - KNOWN.index(here)) <= 1])
    plain = st.builds(
        image,
        st.builds(lambda kind, number: f"{kind}_{number.number}", st.sampled_from(("sm", "compute")), near),
        ptx=st.sampled_from(("6.0", "7.8", "8.4", "9.0")),
        stub=st.sampled_from((False, False, False, True, None)),
        compression=st.sampled_from((Compression.NONE, Compression.ZSTD)),
    )
    groups = draw(st.lists(st.builds(fatbins, st.integers(1, 300), plain, plain), min_size=1, max_size=3))
    needed = draw(st.sampled_from(((), ("libcudart.so.12",), ("libcudart.so.13",))))
    return library("x.so", *groups, needed=needed), Device(here)


@given(_nearly_loading(), drivers)
def test_no_other_driver_loads_more_than_the_one_that_is_advised(found: tuple[Library, Device], by: Driver) -> None:
    """Whatever is left aside in the search for it: here each driver judges the whole file."""
    code, here = found
    artifact = wheel("x", "1", code)
    verdict = judge(artifact, here, by)
    mended = change_for(artifact, verdict)
    advised = verdict if mended is None else mended[1]
    newer, _ = tables().other_drivers(by, here.capability)
    others = [judge(artifact, here, replace(one, jit=jit)) for one in (by, *newer) for jit in {by.jit, PtxJit.ALLOWED}]
    fewest = min(len(one.blocked) for one in (verdict, *others))
    best = max(one.counts.usable for one in (verdict, *others) if len(one.blocked) == fewest)
    total = verdict.counts.total
    assert (best - advised.counts.usable) * 100 < max(total, 1)
    assert advised.counts.usable == total or best < total
    assert mended is None or len(advised.blocked) == fewest


@given(devices, drivers)
def test_what_a_build_needs_beside_it_makes_its_code_load(device: Device, driver: Driver) -> None:
    exact = Image(ImageKind.SASS, Target(device.capability))
    change = change_for_builds(device, driver)
    if judge(exact, device, driver).outcome is Outcome.RUNS:
        assert change is None
    elif change is not None:
        assert judge(exact, device, change.driver).outcome is Outcome.RUNS


# -- scan and gpus


SCANNED = (
    replace(
        ATTENTION,
        sha256="0" * 64,
        findings=(Finding("damaged-elf", "attention/io.so", "Its headers contradict each other."),),
    ),
    Artifact(
        "build/kernels.o",
        ArtifactKind.LIBRARY,
        (
            Library(
                "build/kernels.o",
                900,
                (
                    fatbins(
                        2,
                        image("sm_90", relocatable=True, toolkit=CudaVersion(12, 8)),
                        image("compute_90", relocatable=True, compression=Compression.ZSTD),
                        image("compute_90", relocatable=True, ptx="8.7"),
                        Image(ImageKind.UNKNOWN, None, relocatable=True, stub=None, concatenated=True),
                        section="__nv_relfatbin",
                    ),
                ),
                (BareImages(".rodata", image("sm_90"), 3),),
                copies=("build/copy.o",),
                sha256="1" * 64,
            ),
        ),
        files=1,
    ),
)


def test_the_text_of_scan() -> None:
    golden("scan", scan_text([(artifact.path, artifact) for artifact in SCANNED], Style()))
    assert scan_text([(artifact.path, artifact) for artifact in SCANNED], Style(ascii_only=True)).isascii()


def test_scan_tells_of_many_that_hold_the_same_together() -> None:
    many = [replace(library(f"k/gemm{n}.cubin", fatbins(1, "sm_100f")), size_bytes=1000 * (n + 1)) for n in range(7)]
    few = [library(f"k/fmha{n}.cubin", fatbins(1, "sm_90a")) for n in range(4)]
    found = wheel("cubins", "1", *many[:3], library("k/_C.so", fatbins(2, "sm_100f")), *few, *many[3:])
    text = scan_text([("cubins.whl", found)], Style())
    golden("scan-many", text)
    paths = [one.path for one in found.libraries]
    assert [path for path in paths if path not in text] == [one.path for one in many[3:]]
    verbose = scan_text([("cubins.whl", found)], Style(), verbose=True).splitlines()
    assert [line for line in verbose if line.startswith("k/")] == paths


def test_the_json_of_scan() -> None:
    document = scan_document([(artifact.path, artifact) for artifact in SCANNED])
    fits_schema(document, "scan")
    fits_schema(document)
    linked, objects = (found["libraries"][0] for found in document["artifacts"])
    assert (linked["fatbins"], linked["stub_fatbins"]) == (33, 0)
    assert [(row["target"], row["count"], row.get("bare")) for row in objects["images"]] == [
        ("sm_90", 2, None),
        ("compute_90", 4, None),
        (None, 2, None),
        ("sm_90", 3, True),
    ]
    assert objects["images"][1]["details"] == {
        "ptx": {"8.1": 2, "8.7": 2},
        "compression": {"zstd": 2, "none": 2},
        "relocatable": 4,
    }


def test_the_text_of_gpus() -> None:
    golden("gpus-orin", gpus_text(tables().find_products("Jetson AGX Orin"), Style(), details=True))
    golden("gpus-v100", gpus_text(tables().find_products("V100"), Style(), details=True))
    several = gpus_text(tables().products[:2], Style(), details=True)
    assert several.count("  capability  ") == 2
    everything = gpus_text(tables().products, Style(), details=False)
    assert max(map(columns, everything.splitlines())) <= 80
    assert "GeForce RTX 5090" in everything


def test_the_json_of_gpus() -> None:
    document = gpus_document(tables().products)
    fits_schema(document, "gpus")
    assert len(document["gpus"]) == len(tables().products)


def test_a_product_beyond_the_other_tables_is_still_shown() -> None:
    product = replace(tables().products[0], name="Future", capability=ComputeCapability(99, 9))
    assert "capability   99.9\n" in gpus_text([product], Style(), details=True)
    assert gpus_text([product], Style(), details=False).startswith("99.9\n")
    fits_schema(gpus_document([product]), "gpus")


# -- whatever comes


_names = st.one_of(st.text(st.characters(codec="ascii"), max_size=90), st.text(max_size=90))
_ascii = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=120)
_findings = st.builds(Finding, st.sampled_from(["damaged-elf", "odd-code", "no-gpu-code"]), _names, _names)


def artifacts(names: st.SearchStrategy[str]) -> st.SearchStrategy[Artifact]:
    found = st.builds(
        lambda library, path, copies: replace(library, path=path, copies=tuple(copies)),
        libraries,
        names,
        st.lists(names, max_size=2),
    )
    return st.builds(
        Artifact,
        names,
        st.sampled_from(ArtifactKind),
        st.lists(found, max_size=3).map(tuple),
        st.lists(_findings, max_size=2).map(tuple),
        st.none() | names,
        st.none() | names,
        st.just(("manylinux_2_28_x86_64",)),
    )


columns_of_gpus = st.lists(
    st.builds(
        lambda device, name, driver: Gpu(replace(device, name=name, hosts=("aarch64",), assumed=True), driver),
        devices,
        st.none() | _ascii,
        drivers,
    ),
    min_size=1,
    max_size=9,
)


def _paths(found: list[Artifact]) -> set[str]:
    """What stands on a line of its own in full."""
    libraries = [library for artifact in found for library in artifact.libraries]
    copies = [f"same as {copy}" for library in libraries for copy in library.copies]
    return {name.strip() for name in (*(a.path for a in found), *(library.path for library in libraries), *copies)}


@settings(max_examples=60)
@given(st.lists(artifacts(_ascii), max_size=4), columns_of_gpus, st.booleans(), st.booleans())
def test_any_answer_fits_80_columns(found: list[Artifact], gpus: list[Gpu], colour: bool, verbose: bool) -> None:
    answer = judge_all([(artifact.path, artifact) for artifact in found], gpus)
    text = re.sub("\x1b\\[[0-9]*m", "", check_text(answer, Style(colour=colour), verbose=verbose))
    for line in text.splitlines():
        assert columns(line) <= 80 or line.lstrip().startswith("https://")
    scanned = scan_text([(artifact.path, artifact) for artifact in found], Style()) if found else ""
    assert all(columns(line) <= 80 for line in scanned.splitlines() if line.strip() not in _paths(found))


@settings(max_examples=60)
@given(st.lists(artifacts(_names), max_size=3), columns_of_gpus)
def test_any_answer_fits_its_schema(found: list[Artifact], gpus: list[Gpu]) -> None:
    pairs = [(artifact.path, artifact) for artifact in found]
    fits_schema(check_document(judge_all(pairs, gpus)), "check")
    fits_schema(scan_document(pairs), "scan")


@settings(max_examples=60)
@given(st.lists(artifacts(_names), min_size=1, max_size=3), columns_of_gpus, st.booleans())
def test_nothing_in_a_name_reaches_the_terminal(found: list[Artifact], gpus: list[Gpu], ascii_only: bool) -> None:
    pairs = [(artifact.path, artifact) for artifact in found]
    style = Style(ascii_only=ascii_only)
    for text in (check_text(judge_all(pairs, gpus), style, verbose=True), scan_text(pairs, style)):
        assert all(character == "\n" or character.isprintable() for character in text)
        assert not ascii_only or text.isascii()


@given(images())
def test_every_argument_of_the_engine_can_be_told(found: Image) -> None:
    artifact = wheel("x", "1", library("x.so", FatbinGroup(Fatbin((found,)), 1)))
    for _, result in judged(artifact, on="H100,Jetson AGX Thor").results:
        for argument in story(result).arguments:
            assert argument.message(["9.0", "10.0"])
            assert argument.code in REASONS


HOSTILE = "\x1b[31m[red]evil[/red]\r\n\u202egnp.exe\x07\x9b2J"


def test_hostile_names_are_spelled_out() -> None:
    found = replace(
        VISION,
        path=HOSTILE,
        name=HOSTILE,
        libraries=(replace(VISION.libraries[0], path=HOSTILE, copies=(HOSTILE,)),),
        findings=(Finding("damaged-elf", HOSTILE, f"{HOSTILE} is odd"),),
    )
    golden("check-hostile", check_text(judged(found, on="RTX 5090,Jetson AGX Thor"), Style()))
    golden("scan-hostile", scan_text([(HOSTILE, found)], Style()))
    assert dumps(check_document(judged(found, on="T4"))).isprintable() is False  # newlines of the layout
    assert "\x1b" not in dumps(check_document(judged(found, on="T4")))


# -- the pieces


def test_printable_leaves_text_alone() -> None:
    assert printable("plain [red] text") == "plain [red] text"
    assert printable("日本語 é") == "日本語 é"
    assert printable("\U0001f600\U000e0001", ascii_only=True) == "\\U0001f600\\U000e0001"


def test_widths_count_cells() -> None:
    assert columns("日本") == 4
    assert columns("e\u0301") == 1
    assert clip("日本語日本語", 7) == "日…本語"
    assert clip("abcdef", 2) == "ab"
    assert list(wrap("日本語", 4)) == ["日本", "語"]


@given(st.text(max_size=60), st.integers(6, 30))
def test_wrapping_loses_nothing_and_stays_inside(text: str, width: int) -> None:
    safe = printable(text)
    lines = list(wrap(safe, width, "- "))
    assert all(columns(line) <= width for line in lines)
    assert "".join("".join(line[2:] for line in lines).split()) == "".join(safe.split())


def test_a_lead_that_leaves_no_room_does_not_wrap_for_ever() -> None:
    """One holds the name of a GPU, which may be as long as a driver likes."""
    lines = list(wrap("some words", 20, "n" * 100))
    assert lines[0].startswith("n" * 100)
    assert "".join(lines)[100:].replace(" ", "") == "somewords"
    assert len(lines) == 2
    assert len("".join(wrap("w" * 1_000, 60, "n" * 60_000))) < 64_000


@given(st.text(max_size=60), st.integers(4, 30), st.booleans())
def test_clipping_stays_inside(text: str, width: int, ascii_only: bool) -> None:
    safe = printable(text, ascii_only=ascii_only)
    assert columns(clip(safe, width, ascii_only=ascii_only)) <= width


def test_a_table_that_is_too_wide_comes_in_blocks() -> None:
    rows = [[Cell("name"), *(Cell(f"column {number}") for number in range(4))]]
    assert not fits(rows, 30)
    assert list(table(rows, Style(30))) == ["name  column 0  column 1", "", "name  column 2  column 3"]
