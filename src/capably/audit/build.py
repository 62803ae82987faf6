"""How a wheel was built: for which driver, by which toolkits, and how large it became."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from capably.arch import TargetKind
from capably.audit.questions import images, known_devices, promised_driver, starts
from capably.audit.report import RemarkSeverity, joined, remark_of
from capably.engine import choose, judge
from capably.facts import Device
from capably.tables import tables
from capably.units import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.arch import Target
    from capably.audit.candidate import Candidate
    from capably.audit.report import Remark
    from capably.codes import Reason
    from capably.facts import Library
    from capably.version import CudaVersion

__all__ = ["behind_driver", "copies", "cuda_major", "sizes", "toolkits"]

# Arguments of the engine that are about the driver alone, and what to call them in a release.
_DRIVER_CHECKS = {
    "ptx-newer-than-driver": "ptx-beyond-driver",
    "zstd-needs-newer-driver": "compression-beyond-driver",
    "concatenated-needs-newer-driver": "compression-beyond-driver",
}


def behind_driver(candidate: Candidate) -> Iterator[Remark]:
    """Images that the oldest promised driver cannot take, on the devices that they are made for."""
    if candidate.policy.driver is None:
        return
    for library in candidate.artifact.libraries:
        found: dict[tuple[str, str, str], tuple[int, set[Target]]] = {}
        for image, count in images(library):
            if image.target is None or image.relocatable:
                continue
            device = Device(image.target.capability, assumed=True)
            driver = promised_driver(device, candidate.policy.driver)
            if not starts(judge(library, device, driver)):
                continue  # it needs a newer driver anyway
            for reason in judge(image, device, driver).reasons:
                if reason.code in _DRIVER_CHECKS:
                    # What differs among images of one kind is their target, and these are listed.
                    problem = reason.message.replace(str(image.target), "the image")
                    key = _DRIVER_CHECKS[reason.code], problem, _needed(reason)
                    number, targets = found.get(key, (0, set()))
                    found[key] = number + count, targets | {image.target}
        for (code, problem, needs), (count, targets) in found.items():
            native = any(target.kind is TargetKind.REAL for target in targets)
            yield remark_of(
                code,
                RemarkSeverity.ERROR if native else RemarkSeverity.WARNING,  # PTX is there for other GPUs beside
                library.path,
                count=count,
                targets=joined(sorted(targets)),
                problem=problem,
                needs=needs,
            )


def _needed(reason: Reason) -> str:
    """The driver without which *reason* holds: by its release where that is known, else by what it supports."""
    params = dict(reason.params)
    if "first" in params:
        return f"R{params['first']}"
    cuda = params.get("needed", "")
    return f"CUDA {cuda if cuda[:1].isdigit() else f'newer than {tables().ptx[-1][0]}'}"


def toolkits(candidate: Candidate) -> Iterator[Remark]:
    """Code by another compiler than the policy names."""
    wanted = candidate.policy.toolkits
    if not wanted:
        return
    named = " or ".join(f"CUDA {toolkit}" for toolkit in wanted)
    for library in candidate.artifact.libraries:
        total = sum(count for _, count in images(library))
        counts: Counter[CudaVersion] = Counter()
        for image, count in images(library):
            if image.toolkit is not None:
                counts[image.toolkit] += count
        if total and not counts:
            yield remark_of("toolkit-unknown", RemarkSeverity.UNKNOWN, library.path, total=total, wanted=named)
        odd = {toolkit: count for toolkit, count in counts.items() if toolkit not in wanted}
        if odd:
            listed = ", ".join(f"{count} by CUDA {toolkit}" for toolkit, count in sorted(odd.items()))
            yield remark_of(
                "toolkit-differs", RemarkSeverity.ERROR, library.path, made=listed, total=counts.total(), wanted=named
            )


def cuda_major(candidate: Candidate) -> Iterator[Remark]:
    """Libraries that need the runtime of another CUDA major version than the rest."""
    artifact, devices = candidate.artifact, known_devices()
    several = len(choose(artifact, devices[0])) > 1  # it is the user's torch that decides
    promised = set() if several else {toolkit.major for toolkit in candidate.policy.toolkits}
    said: set[str] = set()
    for reduced in {name: some for device in devices for name, some in choose(artifact, device)}.values():
        majors = {library.path: _majors(library) for library in reduced.libraries}
        often = [major for found in majors.values() for major in found]
        if not often:
            continue
        wanted = promised or {max(sorted(set(often)), key=often.count)}
        for path, found in majors.items():
            other = found - wanted
            if other and path not in said:
                said.add(path)
                whose = "the policy's toolkit is" if promised else "the others are of"
                yield remark_of(
                    "other-cuda-major",
                    RemarkSeverity.ERROR,
                    path,
                    needed=" and ".join(f"CUDA {major}" for major in sorted(other)),
                    wanted=f"{whose} {' or '.join(f'CUDA {major}' for major in sorted(wanted))}",
                )


def copies(candidate: Candidate) -> Iterator[Remark]:
    """Libraries that are there several times, byte for byte."""
    for library in candidate.artifact.libraries:
        if library.copies:
            yield remark_of(
                "identical-copies",
                RemarkSeverity.WARNING,
                library.path,
                count=len(library.copies) + 1,
                copies=joined(library.copies, 3),
                wasted=size_text(library.size_bytes * len(library.copies)),
            )


def sizes(candidate: Candidate) -> Iterator[Remark]:
    """What is larger than it may be: the wheel, or a library of it."""
    policy = candidate.policy
    measured = [("", candidate.title, candidate.size_bytes, policy.artifact_bytes)]
    measured += [(lib.path, lib.path, lib.size_bytes, policy.library_bytes) for lib in candidate.artifact.libraries]
    for path, subject, size, limit in measured:
        if size is not None and limit is not None and size > limit:
            told = [size_text(size), size_text(limit)]
            if told[0] == told[1]:  # a little too much
                told = [f"{size:,} bytes", f"{limit:,} bytes"]
            yield remark_of("size-over-limit", RemarkSeverity.ERROR, path, subject=subject, size=told[0], limit=told[1])


def _majors(library: Library) -> set[int]:
    """The CUDA major versions whose runtime libraries a library names as needed."""
    return {
        runtime.cuda_major
        for runtime in tables().runtimes
        if runtime.of == "library" and any(runtime.pattern.fullmatch(name) for name in library.needed)
    }
