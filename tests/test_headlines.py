"""Would it work there: headlines, bounds, gaps and what `--fail-on` makes of them, on recorded scans of real wheels.

The expectations are not the engine's: they are what is known of these releases, by what they were built for.
"""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from schemas import fits_schema
from strategies import devices, drivers, libraries

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.check import Gpu, Grid, judge_all
from capably.check.failing import LEVELS, breaches, exit_code
from capably.codes import Outcome
from capably.engine import Compilation, Coverage, Headline, best_share, headline, judge
from capably.facts import (
    Artifact,
    ArtifactKind,
    Compression,
    Device,
    Driver,
    Fatbin,
    FatbinGroup,
    Finding,
    Image,
    ImageKind,
    Library,
)
from capably.facts.objects import from_object
from capably.report.check_text import check_text
from capably.report.layout import Style
from capably.report.machine import check_document
from capably.tables import tables
from capably.version import DriverRelease, PtxVersion

RECORDS = Path(__file__).parent / "data/scanned_wheels.jsonl"


@functools.cache
def wheels() -> dict[str, Artifact]:
    lines = map(json.loads, RECORDS.read_text(encoding="utf-8").splitlines())
    return {
        f"{line['name']} {line['version']}": from_object(Artifact, {**line["record"], "path": line["filename"]})
        for line in lines
    }


def gpu(name: str, driver: Driver | None = None) -> Gpu:
    (product, *_) = tables().find_products(name)
    device = Device(product.capability, product.name, product.hosts, assumed=True)
    return Gpu(device, driver or tables().newest_driver(device.capability))


def judged(package: str, names: str) -> Grid:
    return judge_all([(package, wheels()[package])], [gpu(name) for name in names.split(",")])


# The table of the design, and what is known besides: releases of onnxruntime-gpu 1.31 hold sm_75 to sm_90a and sm_120a,
# torch 1.13.1 is of before Hopper (its core was split in two), FlashInfer compiles at run time.
TABLE = {
    "vllm 0.11.0": {"V100": "likely", "T4": "likely", "H100": "likely", "RTX 5090": "likely"},
    "vllm 0.33.0": {"V100": "no", "T4": "likely", "H100": "likely", "RTX 5090": "likely"},
    "torch 2.7.1": {"V100": "likely", "RTX 5090": "no"},
    "xformers 0.0.35": {"V100": "no", "B200": "yes-compiled", "H100": "yes"},
    "nvidia-cufft 12.5.0.14": {"H100": "yes", "B200": "yes", "V100": "no"},
    "bitsandbytes 0.50.2": {"T4": "yes", "V100": "unknown"},
    "torch 2.15.0": {"RTX 5090": "likely"},
    "torch 2.8.0": {"GTX 1080": "no"},
    "torch 1.13.1": {"V100": "likely", "H100": "no"},
    "onnxruntime-gpu 1.31.1": {"V100": "no", "T4": "likely", "H100": "likely", "RTX 5090": "likely", "B200": "no"},
    "flashinfer-python 0.7.2.post1": {"T4": "unknown", "H100": "unknown", "B300": "unknown"},
}
CELLS = [(package, name, said) for package, row in TABLE.items() for name, said in row.items()]


@pytest.mark.parametrize(("package", "name", "said"), CELLS, ids=[f"{package} on {name}" for package, name, _ in CELLS])
def test_the_headlines_of_releases(package: str, name: str, said: str) -> None:
    document = check_document(judged(package, name))
    assert {result["headline"] for result in document["results"]} == {said}
    fits_schema(document, "check")


@pytest.mark.parametrize(
    ("package", "name", "usable", "total"),
    [("torch 2.15.0", "RTX 5090", 510, 568), ("torch 2.8.0", "GTX 1080", 107, 462)],
)
def test_a_share_tells_nothing_about_whether_it_works(package: str, name: str, usable: int, total: int) -> None:
    """Both traps: 90 % of what works, and 23 % that are all linear algebra of what does not."""
    ((_, result),) = judged(package, name).results
    assert (result.verdict.counts.usable, result.verdict.counts.total) == (usable, total)
    assert result.verdict.coverage is Coverage.PARTIAL
    assert (result.conclusion.headline is Headline.NO) == (package == "torch 2.8.0")


def test_what_is_missing_is_said_in_one_paragraph_that_leads() -> None:
    text = " ".join(check_text(judged("vllm 0.11.0", "RTX 5090"), Style(100)).split())
    assert text.startswith("RTX 5090 12.0 vllm 0.11.0 likely vllm 0.11.0: likely on RTX 5090 (12.0): the main part")
    assert "_C.abi3.so loads; missing: _vllm_fa3_C.abi3.so (332 of 332); apparently for other GPUs: " in text
    assert "_flashmla_C.abi3.so (9 of 9)" in text
    assert "369 do not (332 gaps, 37 for other GPUs)" in text


def test_what_its_compiler_needs_is_said_once_and_marks_nothing() -> None:
    """The headline rests on the compiler: a finding beside it would say the same again."""
    text = " ".join(check_text(judged("flashinfer-python 0.7.2.post1", "T4,H100,B300"), Style(100)).split())
    assert text.count("it compiles kernels when they are first used") == 1
    assert "!" not in text
    assert "7.5: this GPU needs CUDA 10.0 or newer" in text
    assert "10.3: this GPU needs CUDA 12.9 or newer" in text
    assert "do Check the version of that compiler" in text


def test_where_it_works_there_is_nothing_to_do() -> None:
    """cuFFT lacks parts for each GPU, and needs none of them: one block for all GPUs, each with its share."""
    text = " ".join(check_text(judged("nvidia-cufft 12.5.0.14", "T4,H100,B200"), Style(100)).split())
    assert text.count("it picks the code for the GPU that it finds") == 1
    assert "9.0: 73% of its fatbins load (8529 of 11654; the most on any GPU is 78%)" in text
    assert " do " not in text
    assert " why " not in text


def test_a_main_part_that_is_missing_is_not_said_to_be_for_others() -> None:
    """Most of the fatbins are for three targets, one of these has nothing for the GPU: it is what the library is for."""
    groups = (
        FatbinGroup(fatbin("sm_70", "sm_80"), 4),
        FatbinGroup(fatbin("sm_70", "sm_80", "compute_90"), 2),
    )
    text = " ".join(
        check_text(judge_all([("x", artifact(Library("x.so", 1, groups)))], [gpu("B200")]), Style()).split()
    )
    assert "x 1: partly on B200 (10.0): some of the main part of its libraries does not load: x.so (4 of 6)" in text
    assert "apparently for other GPUs" not in text


def test_a_profiler_that_holds_bare_code_is_not_told_of() -> None:
    """What a file is that decides nothing is told where all is."""
    bare = Finding("bare-images", "x/lib/libcupti.so.12", "Cubins or PTX outside any fatbin, in .rodata: 4.")
    product = Library("x/_C.so", 1, (FatbinGroup(fatbin("sm_90"), 1),))
    profiler = Library("x/lib/libcupti.so.12", 1, (FatbinGroup(fatbin("sm_80"), 1),))
    found = replace(artifact(product, profiler), kind=ArtifactKind.WHEEL, findings=(bare,))
    grid = judge_all([("x", found)], [gpu("H100")])
    assert "outside any fatbin" not in check_text(grid, Style())
    assert "outside any fatbin" in check_text(grid, Style(), verbose=True)
    own = replace(found, findings=(replace(bare, path="x/_C.so"),))
    assert "outside any fatbin" in check_text(judge_all([("x", own)], [gpu("H100")]), Style())


def test_a_hint_never_advises_what_the_package_has() -> None:
    """All that vllm 0.33.0 lacks on an H100 is for other GPUs; it holds sm_90 and sm_90a."""
    grid = judged("vllm 0.33.0", "H100")
    ((_, result),) = grid.results
    assert result.advice.steps == ()
    assert "a build that targets" not in check_text(grid, Style())
    assert result.verdict.shares.gaps == 0


def test_a_hint_about_a_part_is_said_of_that_part() -> None:
    ((_, result),) = judged("vllm 0.11.0", "RTX 5090").results
    (step,) = result.advice.steps
    assert step.startswith("If _vllm_fa3_C.abi3.so is needed, use a build in which it targets sm_120")


def test_no_driver_is_advised_beyond_the_last_one_for_the_gpu() -> None:
    old = Driver(release=DriverRelease(450, 80))
    last = tables().newest_driver(gpu("V100").device.capability)
    grid = judge_all([("t", wheels()["torch 2.7.1"])], [gpu("V100", old)])
    ((_, result),) = grid.results
    (step,) = result.advice.steps
    assert last.release is not None
    assert f"or newer, up to R{last.release.branch}: " in step


def test_counts_are_said_of_each_gpu_of_a_sentence() -> None:
    """By machine code on one, by PTX on the other, and the same missing on both."""
    library = Library("x.so", 1, (FatbinGroup(fatbin("sm_80", "compute_80"), 2), FatbinGroup(fatbin("sm_70"), 1)))
    grid = judge_all([("x", artifact(library))], [gpu("A100"), gpu("B200")])
    text = " ".join(check_text(grid, Style(100)).split())
    assert "8.0: 2 of 3 fatbins load as machine code; 1 does not (apparently for other GPUs)" in text
    assert "10.0: 2 of 3 fatbins load by PTX; 1 does not (apparently for other GPUs)" in text


def test_builds_that_disagree_say_what_decides() -> None:
    grid = judged("bitsandbytes 0.50.2", "T4,V100")
    text = " ".join(check_text(grid, Style(100)).split())
    assert "unknown on V100 (7.0): by the CUDA version of the installed torch: yes with 118, 121" in text
    own = {
        result["alternative"]: result["alternative_headline"]
        for result in check_document(grid)["results"]
        if result["capability"] == "7.0"
    }
    assert (own["128"], own["130"]) == ("yes", "no")


@pytest.mark.parametrize(("package", "share"), [("vllm 0.33.0", 425 / 549), ("xformers 0.0.35", 1.0)])
def test_the_best_share_is_that_of_the_best_served_gpu(package: str, share: float) -> None:
    """H100 has the most of vllm 0.33.0: 425 of 549, by `cuobjdump` and the rules."""
    found = best_share(wheels()[package])
    assert found is not None
    assert abs(found - share) < 1e-3


def test_the_best_share_is_not_below_that_of_any_gpu() -> None:
    for package in TABLE:
        best = best_share(wheels()[package])
        for capability in tables().architectures:
            counts = judge(wheels()[package], Device(capability), tables().newest_driver(capability)).counts
            assert best is not None
            assert counts.usable <= (best + 1e-4) * counts.total


def test_a_yes_is_never_shown_where_a_finding_blocks() -> None:
    (_, result), *_ = judged("xformers 0.0.35", "GB10").results  # a wheel for x86-64
    assert result.conclusion.headline is Headline.NO
    assert "no !host" in check_text(judged("xformers 0.0.35", "GB10"), Style())


# -- a package that brings kernels and compiles others: what it brings by what its compiler makes

H100 = Device(ComputeCapability(9, 0))
RUNNING, COMPILING = ("sm_90",), ("compute_80",)
FOR_OTHERS, FOR_EXACT = ("sm_70",), ("sm_100a",)
UNDECIDED = ("compute_80", "lost")
# What is brought, as fatbins of libraries, and what is known of it; CuPy has no core library.
BROUGHT: dict[str, tuple[str, tuple[tuple[tuple[str, ...], ...], ...]]] = {
    "yes": ("yes", ((RUNNING,),)),
    "yes by PTX": ("yes-compiled", ((COMPILING,),)),
    "likely": ("likely", ((RUNNING, RUNNING, FOR_EXACT),)),
    "partly": ("partly", ((RUNNING,), (FOR_OTHERS,))),
    "no": ("no", ((FOR_OTHERS,),)),
    "unknown": ("unknown", ((UNDECIDED,),)),
    "none": ("", ()),
}
# By what the compiler makes: machine code that loads, PTX that the driver compiles, something else, what nobody knows.
BOTH = {
    "yes": ("yes-compiled", "yes-compiled", "partly", "unknown"),
    "yes by PTX": ("yes-compiled", "yes-compiled", "partly", "unknown"),
    "likely": ("likely", "likely", "partly", "unknown"),
    "partly": ("partly", "partly", "partly", "partly"),
    "no": ("partly", "partly", "no", "unknown"),
    "unknown": ("unknown", "unknown", "unknown", "unknown"),
    "none": ("yes-compiled", "yes-compiled", "no", "unknown"),
}
MADE = (Outcome.RUNS, Outcome.COMPILES, Outcome.FAILS, Outcome.UNKNOWN)


def brought(name: str, what: str) -> Artifact:
    def code(targets: tuple[str, ...]) -> Fatbin:
        found = fatbin(targets[0])
        if targets[1:]:  # how it is stored is not known
            return replace(found, images=tuple(replace(one, compression=Compression.UNKNOWN) for one in found.images))
        return found

    libraries = tuple(
        Library(f"p/{number}.so", 1, tuple(FatbinGroup(code(one), 1) for one in fatbins))
        for number, fatbins in enumerate(BROUGHT[what][1])
    )
    return Artifact("p.whl", ArtifactKind.WHEEL, libraries, name=name, version="0")


def with_compiler(artifact: Artifact, made: Outcome) -> str | None:
    verdict = judge(artifact, H100, tables().newest_driver(H100.capability))
    assert verdict.compiler is None
    told = Compilation("nvrtc", "both", made, Finding("own-compiler-unknown", artifact.path, ""))
    return headline(artifact, replace(verdict, compiler=told)).headline


@pytest.mark.parametrize(
    ("what", "made", "said"), [(w, m, s) for w, row in BOTH.items() for m, s in zip(MADE, row, strict=True)]
)
def test_a_package_that_brings_kernels_and_compiles_others_needs_both(what: str, made: Outcome, said: str) -> None:
    alone = brought("nobody-knows-it", what)
    assert (headline(alone, judge(alone, H100, tables().newest_driver(H100.capability))).headline or "") == BROUGHT[
        what
    ][0]
    assert with_compiler(alone, made) == said


def test_what_was_not_read_of_such_a_package_is_no_yes() -> None:
    hidden = replace(brought("nobody-knows-it", "none"), findings=(HIDDEN,))
    assert {with_compiler(hidden, made) for made in MADE} == {"unknown"}


@pytest.mark.parametrize("made", MADE)
def test_without_its_core_it_is_a_no_whatever_is_compiled(made: Outcome) -> None:
    core = Library("xformers/_C.so", 1, (FatbinGroup(fatbin("sm_70"), 1),))
    beside = Library("xformers/other.so", 1, (FatbinGroup(fatbin("sm_90"), 1),))
    found = Artifact("x.whl", ArtifactKind.WHEEL, (core, beside), name="xformers", version="0")
    assert with_compiler(found, made) == "no"


# -- --fail-on


HIDDEN = Finding("damaged-elf", "other.so", "Its headers contradict each other.")
FAILING = {
    ("xformers 0.0.35", "H100"): (0, 0, 0, 0),
    ("xformers 0.0.35", "V100"): (1, 1, 1, 1),
    ("vllm 0.33.0", "H100"): (0, 0, 1, 1),  # all that is missing is for other GPUs
    ("vllm 0.11.0", "RTX 5090"): (0, 1, 1, 1),  # flash-attention 3 has nothing
    ("torch 2.7.1", "V100"): (0, 0, 1, 1),
    ("bitsandbytes 0.50.2", "V100"): (3, 3, 3, 1),  # by the build that torch's CUDA chooses
    ("nvidia-cufft 12.5.0.14", "H100"): (0, 0, 1, 1),
    ("onnxruntime-gpu 1.31.1", "RTX 5090"): (0, 0, 1, 1),
    ("flashinfer-python 0.7.2.post1", "H100"): (3, 3, 3, 1),  # by a compiler of the machine
}


@pytest.mark.parametrize(("cell", "codes"), FAILING.items(), ids=[" on ".join(cell) for cell in FAILING])
def test_the_exit_codes_of_fail_on_by_level(cell: tuple[str, str], codes: tuple[int, ...]) -> None:
    found = [("one", result.verdict) for _, result in judged(*cell).results]
    assert tuple(exit_code(level, found) for level in LEVELS) == codes


@pytest.mark.parametrize("name", ["V100", "T4", "H100", "RTX 5090"])
def test_the_exit_codes_are_what_the_bounds_say(name: str) -> None:
    """Of every recorded wheel, by the bounds in the JSON: a breach where the best is one, 3 where the worst alone is."""
    breach = {"none": {"none"}, "partial": {"none", "partial"}, "unknown": {"none", "partial", "unknown"}}
    seen = set()
    for package in wheels():
        grid = judged(package, name)
        (*results,) = check_document(grid)["results"]
        if len(results) != 1 or results[0]["coverage"] is None:
            continue  # of several builds one is loaded
        (result,) = results
        found = [("one", one.verdict) for _, one in grid.results]
        for level, bad in breach.items():
            best = result["coverage"] if level == "unknown" else result["at_most"]
            said = 1 if best in bad or found[0][1].blocked else 3 if result["at_least"] in bad else 0
            assert exit_code(level, found) == said, (package, level)
            seen.add((level, said))
    assert len(seen) > 4, "some of each"


def test_what_was_not_read_stands_between_only_where_it_can_decide() -> None:
    """A package of which one library could not be read: that it is not full is certain where something fails."""
    codes = {}
    for name in ("H100", "V100"):
        part = replace(wheels()["xformers 0.0.35"], findings=(HIDDEN,))
        verdict = judge(part, gpu(name).device, gpu(name).driver)
        codes[name] = [exit_code(level, [("one", verdict)]) for level in LEVELS]
        fails = verdict.counts.fails > 0
        assert (verdict.at_least, verdict.at_most) == (
            (Coverage.NONE, Coverage.PARTIAL) if fails else (Coverage.PARTIAL, Coverage.FULL)
        )
    assert codes["H100"] == [0, 3, 3, 1]
    assert codes["V100"] == [3, 1, 1, 1]


# -- laws


def fatbin(*names: str) -> Fatbin:
    targets = [Target.parse(name) for name in names]
    return Fatbin(
        tuple(
            Image(
                ImageKind.PTX if t.kind is TargetKind.VIRTUAL else ImageKind.SASS,
                t,
                ptx=PtxVersion(7, 0) if t.kind is TargetKind.VIRTUAL else None,
            )
            for t in targets
        )
    )


def artifact(*found: Library, hidden: bool = False) -> Artifact:
    return Artifact("x", ArtifactKind.WHEEL, found, (HIDDEN,) if hidden else (), "x", "1")


several = st.lists(libraries, min_size=1, max_size=3).map(
    lambda found: tuple(replace(one, path=f"x/{number}.so") for number, one in enumerate(found))
)
ORDER = [Coverage.NONE, Coverage.PARTIAL, Coverage.FULL]


def covered(usable: int, fails: int) -> Coverage:
    return Coverage.PARTIAL if usable and fails else Coverage.FULL if usable else Coverage.NONE


@given(several, devices, drivers, st.booleans())
def test_the_bounds_enclose_every_way_of_deciding(
    found: tuple[Library, ...], device: Device, driver: Driver, hidden: bool
) -> None:
    verdict = judge(artifact(*found, hidden=hidden), device, driver)
    counts = verdict.counts
    assume(counts.total)
    ways = {
        covered(counts.usable + load + more, counts.fails + counts.unknown - load + less)
        for load in {0, counts.unknown // 2, counts.unknown}
        for more, less in ((0, 0), (hidden, 0), (0, hidden), (hidden, hidden))
    }
    assert verdict.at_least is not None
    assert verdict.at_most is not None
    assert {verdict.at_least, verdict.at_most} <= ways
    assert all(ORDER.index(verdict.at_least) <= ORDER.index(way) <= ORDER.index(verdict.at_most) for way in ways)
    assert verdict.coverage is (verdict.at_least if len(ways) == 1 else Coverage.UNKNOWN)


@given(several, devices, drivers)
def test_gaps_lie_within_their_bounds_however_it_is_decided(
    found: tuple[Library, ...], device: Device, driver: Driver
) -> None:
    verdict = judge(artifact(*found), device, driver)
    assert verdict.shares.gaps + verdict.shares.specialised == verdict.counts.fails
    least = most = 0
    for library, part in zip(found, verdict.parts, strict=True):
        kinds = [group for group in library.fatbins if not group.fatbin.relocatable and not group.fatbin.idle]
        options = [
            (True, False) if one.outcome is Outcome.UNKNOWN else (one.outcome is not Outcome.FAILS,)
            for one in part.parts
        ]
        gaps = [
            sum(
                group.count
                for group, loads in zip(kinds, way, strict=True)
                if not loads and not any(way) and not exact(group.fatbin)
            )
            for way in itertools.product(*options)
        ]
        least, most = least + min(gaps, default=0), most + max(gaps, default=0)
    assert verdict.shares.gaps_at_least <= least
    assert most <= verdict.shares.gaps_at_most
    assert all(verdict.shares.gaps_at_least == least for part in [verdict] if not verdict.counts.unknown)


def exact(one: Fatbin) -> bool:
    """All its kernels that a driver may load are for exact targets."""
    held = [image for image in one.images if image.stub is not True and image.kind is not ImageKind.LTOIR]
    return all(image.target is not None and image.target.suffix is not Suffix.NONE for image in held)


@given(several, devices, drivers, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_libraries_and_fatbins_does_not_matter(
    found: tuple[Library, ...], device: Device, driver: Driver, hidden: bool, random: object
) -> None:
    shuffled = [replace(one, fatbins=tuple(random.sample(one.fatbins, len(one.fatbins)))) for one in found]  # type: ignore[attr-defined]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = artifact(*found, hidden=hidden), artifact(*shuffled, hidden=hidden)
    one, other = judge(first, device, driver), judge(second, device, driver)
    assert headline(first, one) == headline(second, other)
    assert (one.at_least, one.at_most, one.counts, one.shares) == (
        other.at_least,
        other.at_most,
        other.counts,
        other.shares,
    )
    assert best_share(first) == best_share(second)


plain = st.builds(
    Image,
    st.just(ImageKind.SASS),
    st.builds(Target, st.sampled_from(sorted(tables().architectures)), st.sampled_from(Suffix)),
)
plain_libraries = st.lists(
    st.builds(FatbinGroup, st.builds(Fatbin, st.lists(plain, min_size=1, max_size=4).map(tuple)), st.integers(1, 9)),
    min_size=1,
    max_size=4,
    unique_by=lambda group: group.fatbin,
).map(lambda groups: Library("x/a.so", 1, tuple(groups)))


@given(plain_libraries, plain, devices, drivers, st.data())
def test_one_more_image_never_lowers_a_bound(
    library: Library, image: Image, device: Device, driver: Driver, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(library.fatbins) - 1))
    groups = list(library.fatbins)
    groups[index] = replace(groups[index], fatbin=Fatbin((*groups[index].fatbin.images, image)))
    before = judge(artifact(library), device, driver)
    after = judge(artifact(replace(library, fatbins=tuple(groups))), device, driver)
    for bound in ("at_least", "at_most"):
        assert ORDER.index(getattr(before, bound)) <= ORDER.index(getattr(after, bound))


@given(several, devices, drivers, st.booleans(), st.sampled_from(("x", "torch", "vllm", "xformers")))
def test_a_headline_claims_no_more_than_is_certain(
    found: tuple[Library, ...], device: Device, driver: Driver, hidden: bool, name: str
) -> None:
    core = {"torch": "torch/lib/libtorch_cuda.so", "vllm": "vllm/_C.abi3.so", "xformers": "xformers/_C.so"}
    named = (replace(found[0], path=core.get(name, found[0].path)), *found[1:])
    package = replace(artifact(*named, hidden=hidden), name=name)
    verdict = judge(package, device, driver)
    said = headline(package, verdict).headline
    counts, own = verdict.counts, verdict.parts[0]
    general = [one for one in own.parts if one.general]
    usable = (Outcome.RUNS, Outcome.COMPILES)
    if said in (Headline.YES, Headline.YES_COMPILED):
        assert not counts.fails
        assert not counts.unknown
        assert not hidden
    if said is Headline.LIKELY and name in core and general:
        assert all(one.outcome in usable for one in general)
    if said is Headline.NO:
        nothing = not counts.usable and not counts.unknown and not hidden
        assert verdict.blocked or nothing or all(one.outcome is Outcome.FAILS for one in general)
    assert (said is None) == (not counts.total and not hidden and not verdict.blocked)


@given(several, devices, drivers, st.booleans())
def test_each_level_includes_the_ones_before(
    found: tuple[Library, ...], device: Device, driver: Driver, hidden: bool
) -> None:
    verdict = judge(artifact(*found, hidden=hidden), device, driver)
    assume(verdict.coverage is not None)
    answers = [breaches(level, verdict) for level in LEVELS]
    rank = {False: 0, None: 1, True: 2}
    assert [rank[answer] for answer in answers] == sorted(rank[answer] for answer in answers)
