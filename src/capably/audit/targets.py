"""What a wheel is made for: targets that are claimed, left over or left out, and PTX for GPUs to come."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from capably.arch import Suffix, Target, TargetKind, by_kind
from capably.audit.policy import Ptx
from capably.audit.questions import (
    TO_COME,
    counted,
    judged,
    known_devices,
    promised_driver,
    reaches_others,
    starts,
    targets_of,
)
from capably.audit.report import RemarkSeverity, gap_of, joined, remark_of
from capably.codes import Outcome
from capably.engine import Coverage, choose, judge, reaches
from capably.facts import Device, Image, ImageKind, Library
from capably.gpu_names import full_name
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capably.audit.candidate import Candidate
    from capably.audit.report import Remark
    from capably.engine import Verdict
    from capably.facts import Artifact, Driver

__all__ = ["claimed", "forward", "stray", "uneven"]


def claimed(candidate: Candidate) -> Iterator[Remark]:
    """Targets that the project says it builds for and that are not there."""
    there = targets_of(candidate.artifact.libraries)
    for target in candidate.policy.targets:
        device = Device(target.capability, assumed=True)
        if target not in there:
            if there:
                yield remark_of(
                    "target-missing",
                    RemarkSeverity.ERROR,
                    "",
                    subject=candidate.title,
                    target=target,
                    instead=_instead(candidate.artifact, device),
                )
            continue
        for library in candidate.artifact.libraries:
            if any(True for _ in counted(library)) and target not in targets_of([library]):
                verdict = judge(library, device, promised_driver(device, candidate.policy.driver))
                if verdict.counts.fails:
                    instead = _instead(replace(candidate.artifact, libraries=(library,)), device)
                    yield remark_of(
                        "target-missing", RemarkSeverity.ERROR, library.path, target=target, instead=instead
                    )


def _instead(artifact: Artifact, device: Device) -> str:
    """What devices of a target that is not there get instead."""
    counts = judge(artifact, device, promised_driver(device, None)).counts
    where = f"devices of {device.capability}"
    if not counts.usable:
        loads = f"whether any of it loads on {where} is not known"
        return loads if counts.unknown else f"nothing in it loads on {where}"
    if counts.fails or counts.unknown:
        return f"{counts.usable} of {counts.total} fatbins load on {where} by other targets"
    how = "PTX that the driver compiles" if counts.compiles else "machine code for other targets"
    return f"{where} are served by {how}"


def stray(candidate: Candidate) -> Iterator[Remark]:
    """Targets that nobody asked for."""
    for library in candidate.artifact.libraries:
        counts: Counter[Target] = Counter()
        for group in counted(library):
            for target in {i.target for i in group.fatbin.images if i.target is not None and i.stub is not True}:
                counts[target] += group.count
        total = sum(group.count for group in counted(library))
        if candidate.policy.targets:
            odd = {target for target in counts if target not in candidate.policy.targets}
            severity = RemarkSeverity.WARNING
        else:
            # The default of a compiler that was told nothing is below everything that was meant.
            most = [target.capability for target, count in counts.items() if 2 * count >= total]
            odd = {t for t, count in counts.items() if most and 10 * count <= total and t.capability < min(most)}
            severity = RemarkSeverity.NOTE
        if odd:
            listed = ", ".join(f"{target} in {counts[target]} of {total}" for target in sorted(odd, key=by_kind))
            yield remark_of("stray-target", severity, library.path, targets=listed)


def uneven(candidate: Candidate) -> Iterator[Remark]:
    """Holes in the range of a library, and fatbins that were left behind by the others."""
    promised = {device.capability for device in candidate.policy.gpus}
    others = [device for device in known_devices() if device.capability not in promised]  # of these it is said
    drivers = {device: tables().newest_driver(device.capability) for device in others}
    wheel = replace(candidate.artifact, libraries=())
    started = [device for device, driver in drivers.items() if starts(judge(wheel, device, driver))]
    loaded = {d: {lib.path for _, some in choose(candidate.artifact, d) for lib in some.libraries} for d in started}
    fares: dict[Library, dict[Device, tuple[Driver, Verdict]]] = {}
    for library in candidate.artifact.libraries:
        # Of thousands of files with one code, for one host, that code is asked about once.
        alike = Library("", 0, library.fatbins, machine=library.machine, needed=library.needed)
        if alike not in fares:
            parts = {device: (drivers[device], judge(alike, device, drivers[device])) for device in started}
            fares[alike] = {
                d: (driver, part) for d, (driver, part) in parts.items() if part.counts.total and starts(part)
            }
        on = {device: found for device, found in fares[alike].items() if library.path in loaded[device]}
        yield from _holes(library, on)
        yield from _behind(library, on)


def _holes(library: Library, on: dict[Device, tuple[Driver, Verdict]]) -> Iterator[Remark]:
    """GPUs on which nothing of *library* loads, between others on which all of it does."""
    served = [device.capability for device, (_, part) in on.items() if part.coverage is Coverage.FULL]
    missed = [
        gap_of(device, driver, part.counts, [one for _, one in judged(library, part)])
        for device, (driver, part) in on.items()
        if part.coverage is Coverage.NONE and served and min(served) < device.capability < max(served)
    ]
    if missed:
        holes = joined(full_name(gap.device) for gap in missed)
        yield remark_of(
            "hole-in-range",
            RemarkSeverity.WARNING,
            library.path,
            tuple(missed),
            holes=holes,
            lowest=min(served),
            highest=max(served),
        )


def _behind(library: Library, on: dict[Device, tuple[Driver, Verdict]]) -> Iterator[Remark]:
    """GPUs on which most of *library* loads, but some fatbins are only for older ones."""
    gaps = []
    for device, (driver, part) in on.items():
        if 2 * part.counts.runs < part.counts.total:
            continue
        late = [
            one
            for group, one in judged(library, part)
            if one.outcome is Outcome.FAILS
            and all(i.target is not None and i.target.capability < device.capability for i in group.fatbin.images)
        ]
        if late:
            gaps.append(gap_of(device, driver, part.counts, late))
    if gaps:
        most = max(gap.missing for gap in gaps)
        yield remark_of(
            "fatbin-behind",
            RemarkSeverity.WARNING,
            library.path,
            tuple(gaps),
            count=most,
            total=gaps[0].counts.total,
            device=joined(full_name(gap.device) for gap in gaps),
        )


def forward(candidate: Candidate) -> Iterator[Remark]:
    """PTX for GPUs to come."""
    for library in candidate.artifact.libraries:
        ptx = [
            (
                group.count,
                [i for i in group.fatbin.images if i.kind in (ImageKind.PTX, ImageKind.RELPTX) and not i.stub],
            )
            for group in counted(library)
            if not group.fatbin.relocatable
        ]
        bound = [(count, held) for count, held in ptx if not any(reaches(image, TO_COME) for image in held)]
        total = sum(count for count, _ in ptx)
        shipped = sum(count for count, held in ptx if held)
        without = sum(count for count, _ in bound)
        yield from _exact(library, bound, total)
        if candidate.policy.ptx is Ptx.REQUIRED and without:
            # Whether a driver links relocatable PTX is not known.
            relocatable = (group.fatbin for group in counted(library) if group.fatbin.relocatable)
            linkable = any(reaches(image, TO_COME) for fatbin in relocatable for image in fatbin.images)
            severity = RemarkSeverity.UNKNOWN if linkable else RemarkSeverity.ERROR
            yield remark_of("ptx-missing", severity, library.path, count=without, total=total)
        if candidate.policy.ptx is Ptx.FORBIDDEN and shipped:
            yield remark_of("ptx-shipped", RemarkSeverity.ERROR, library.path, count=shipped, total=total)


def _exact(library: Library, bound: Iterable[tuple[int, list[Image]]], total: int) -> Iterator[Remark]:
    """PTX for one device alone, in fatbins whose PTX is for none to come."""
    found: Counter[Target] = Counter()
    for count, held in bound:
        for target in {image.target for image in held if image.target is not None}:
            if target.suffix is not Suffix.NONE and not reaches_others(target):
                found[target] += count
    for target, count in sorted(found.items()):
        plain = Target(target.capability, kind=TargetKind.VIRTUAL)
        beyond = (device for device in known_devices() if reaches(Image(ImageKind.PTX, plain), device))
        newer = [device.capability for device in beyond if device.capability != target.capability]
        yield remark_of(
            "arch-specific-ptx",
            RemarkSeverity.WARNING,
            library.path,
            target=target,
            count=count,
            total=total,
            capability=target.capability,
            plain=plain,
            newer=f" ({joined(newer, 12)} among them)" if newer else "",
        )
