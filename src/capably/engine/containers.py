"""What becomes of a fatbin, a library and an artifact: each follows from its parts."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace

from capably import facts
from capably.codes import FINDINGS, Outcome, Reason
from capably.engine.at_run_time import compilation
from capably.engine.dependencies import carriers
from capably.engine.hosts import cpu_build, distribution_findings, host_finding, library_findings, platform_finding
from capably.engine.image import ImageRules, judge_image, loading_reasons
from capably.engine.lacking import lacks, made_for, missing
from capably.engine.roles import role_of
from capably.engine.verdict import SEVERITY, Coverage, OutcomeCounts, Shares, Verdict, deciding_first, worst, worth
from capably.wording import join

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.facts import Artifact, Device, Driver, Fatbin, FatbinGroup, Finding, Image, Library, Toolkit

__all__ = ["chosen_image", "judge_artifact", "judge_fatbin", "judge_library"]


def judge_fatbin(fatbin: Fatbin, device: Device, driver: Driver | None, linked_from: tuple[Image, ...] = ()) -> Verdict:
    """The best of its images, and of the relocatable ones that it was linked from.

    Link-time IR among them decides nothing: the program links it, not the driver.
    """
    if fatbin.idle:
        without = "kernels" if fatbin.stub else "any that a driver loads"
        return Verdict(f"a fatbin of {len(fatbin.images)} images without {without}", device, driver)
    images = dict.fromkeys((*fatbin.images, *linked_from))
    parts = tuple(judge_image(image, device, driver) for image in images)
    outcomes = {
        part.image: part.outcome
        for part in parts
        if part.image is not None and part.outcome is not None and part.image.kind is not facts.ImageKind.LTOIR
    }
    outcome = min(outcomes.values(), key=SEVERITY.__getitem__)
    reasons = list(dict.fromkeys(reason for part in parts for reason in part.reasons))
    if outcome is Outcome.FAILS:
        loadable = (Outcome.RUNS, Outcome.COMPILES)
        empty = (image for image in images if image.stub and worst(loading_reasons(image, device, driver)) in loadable)
        if (image := next(empty, None)) is not None:
            rules = ImageRules(image, device, driver)
            reasons.insert(0, rules.reason("kernels-for-other-architectures-only", Outcome.FAILS))
    return Verdict(
        f"a fatbin of {len(fatbin.images)} images",
        device,
        driver,
        outcome,
        counts=OutcomeCounts(**{outcome.value: 1}),
        reasons=deciding_first(reasons, outcome),
        chosen=chosen_image(outcomes, device),
        parts=parts,
    )


def chosen_image(outcomes: dict[Image, Outcome], device: Device) -> Image | None:
    """The image that the driver takes, where that is certain.

    NVIDIA documents that an exact match of machine code is taken, and does not document the order among the
    rest; so it is certain for the only image that can be used, and for the only exact one.
    """
    usable = [image for image, outcome in outcomes.items() if outcome in (Outcome.RUNS, Outcome.COMPILES)]
    if any(outcome is Outcome.UNKNOWN for outcome in outcomes.values()):
        return None
    exact = [
        image
        for image in usable
        if image.kind is facts.ImageKind.SASS
        and image.target is not None
        and image.target.capability == device.capability
    ]
    return exact[0] if len(exact) == 1 else usable[0] if len(usable) == 1 else None


@functools.lru_cache(maxsize=256)
def _judge_code(
    fatbins: tuple[FatbinGroup, ...], device: Device, driver: Driver | None
) -> tuple[OutcomeCounts, tuple[tuple[Reason, int], ...], tuple[Verdict, ...], Shares]:
    """Of a library: its counts, each argument with the number of fatbins that it is about, its parts, what is missing.

    A wheel may hold thousands of files with the same code, which is judged once.
    """
    relocatable = [group for group in fatbins if group.fatbin.relocatable]
    linked = tuple(group for group in fatbins if not group.fatbin.relocatable)
    # What prelinked fatbins were linked from adds its images to them, and to no other. It counts nothing alone: a
    # file with nothing else is input for the linker, which the scanner reports.
    origins = tuple(
        dict.fromkeys(image for group in relocatable for image in group.fatbin.images if image.stub is not True)
    )
    # One that no wrapper names, in a file that has some, is nothing that the CUDA runtime knows: its program loads it
    # as it is. Of 3,012 fatbins of 17 wheels 279 are such, none of them beside relocatable ones (docs/rules.md).
    unread = all(group.fatbin.prelinked is None for group in linked)
    parts = [
        replace(
            judge_fatbin(group.fatbin, device, driver, origins if group.fatbin.prelinked or unread else ()),
            count=group.count,
        )
        for group in linked
    ]
    shares: Counter[Reason] = Counter()
    outcomes: Counter[Outcome] = Counter()
    for part in parts:
        if part.outcome is None:
            continue
        outcomes[part.outcome] += part.count
        for reason in part.reasons:
            shares[reason] += part.count
    counts = OutcomeCounts(**{outcome.value: count for outcome, count in outcomes.items()})
    judged = tuple(
        replace(part, general=general, lack=lacks(part, counts, exact=exact))
        for part, (general, exact) in zip(parts, made_for(linked), strict=True)
        if part.outcome is not None
    )
    overall = max(outcomes, key=SEVERITY.__getitem__, default=None)
    reasons = deciding_first(shares, overall)
    return (
        counts,
        tuple((reason, shares[reason]) for reason in reasons),
        judged,
        missing(((part, exact) for part, (_, exact) in zip(parts, made_for(linked), strict=True)), counts),
    )


def judge_library(library: Library, device: Device, driver: Driver | None) -> Verdict:
    """Its coverage by the counts of its fatbins, each argument with how many of them it is about."""
    counts, about, parts, lacking = _judge_code(library.fatbins, device, driver)
    named = library.path if library.files == 1 else f"{library.path} and {library.files - 1} more files of equal code"
    return Verdict(
        library.path,
        device,
        driver,
        coverage=counts.coverage,
        at_least=counts.at_least(),
        at_most=counts.at_most(),
        counts=counts,
        reasons=tuple(
            reason.about(f"{named}: {reason.subject} in {share} of {counts.total} fatbins") for reason, share in about
        ),
        findings=tuple(library_findings(library, device, driver)),
        parts=parts,
        shares=lacking,
    )


def judge_artifact(
    artifact: Artifact, device: Device, driver: Driver | None, toolkits: Iterable[Toolkit] = ()
) -> Verdict:
    """Its coverage by all that its product holds, those that lack most first, and by what its compiler makes.

    Files that are there for something else are judged for themselves, and decide nothing.
    """
    parts = tuple(
        replace(judge_library(library, device, driver), role=role_of(artifact, library))
        for library in artifact.libraries
    )
    product = [part for part in parts if part.role is facts.Role.PRODUCT]
    compiler = compilation(artifact, device, driver, toolkits)
    brought = sum((part.counts for part in product), OutcomeCounts())
    at_run_time = compiler is not None and compiler.kernels == "run-time"
    counts = OutcomeCounts() if at_run_time else brought
    lacking = Shares() if at_run_time else sum((part.shares for part in product), Shares())
    # What was not read can be anything, so it is undecided like what was.
    hidden = any(FINDINGS[found.code].hides for found in artifact.findings if found.code in FINDINGS)
    weighed = compiler.weighed(counts) if compiler else counts
    least, most = weighed.at_least(hidden=hidden), weighed.at_most(hidden=hidden)
    worst_first = [] if at_run_time else sorted(product, key=lambda part: worth(part.coverage))
    findings = list(artifact.findings)
    platform = platform_finding(artifact, device)
    if platform is not None:
        findings.append(platform)
    findings += distribution_findings(artifact, device, driver)
    for part in product:
        findings += [found for found in part.findings if not (platform and found.code == platform.code)]
    if compiler is not None:
        findings.append(compiler.finding)
    if (beside := _beside(artifact, parts)) is not None:
        findings.append(beside)
    if (cpu := cpu_build(artifact)) is not None:
        findings.append(cpu)
    elif not artifact.libraries and compiler is None and (elsewhere := carriers(artifact)) is not None:
        findings = [elsewhere if finding.code == "no-gpu-code" else finding for finding in findings]
    return Verdict(
        artifact.name or artifact.path,
        device,
        driver,
        coverage=least if least is most else Coverage.UNKNOWN,
        at_least=least,
        at_most=most,
        counts=counts,
        reasons=(*(compiler.reasons if compiler else ()), *(reason for part in worst_first for reason in part.reasons)),
        findings=tuple(dict.fromkeys(findings)),
        parts=parts,
        shares=lacking if at_run_time else replace(lacking, gaps_at_most=lacking.gaps_at_most + hidden),
        compiler=compiler,
    )


_OTHERS = {
    facts.Role.PROFILER: "of a profiler",
    facts.Role.TEST: "of tests",
    facts.Role.LINK_INPUT: "for the linker",
    facts.Role.COMPILER: "of a compiler",
}


def _beside(artifact: Artifact, parts: Iterable[Verdict]) -> Finding | None:
    """What an artifact holds beside its product, in one sentence; of input for the linker the scanner tells."""
    found = Counter[str]()
    for library, part in zip(artifact.libraries, parts, strict=True):
        if part.role in _OTHERS and not library.link_input:
            found[_OTHERS[part.role]] += library.files
    texts = [f"{count} file{'s'[: count != 1]} {what}" for what, count in found.items()]
    return host_finding("not-the-product", artifact.path, files=join(texts)) if texts else None
