"""What is asked of GPUs: whether there is anything to judge, whether it starts there, and what of it loads."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from capably.audit.policy import Ptx, matches
from capably.audit.questions import counted, judged
from capably.audit.report import Gap, Remark, RemarkSeverity, gap_of, joined, remark_of
from capably.codes import FINDINGS, Outcome
from capably.engine import OutcomeCounts, Verdict, judge
from capably.facts import Driver, Library
from capably.gpu_names import full_name, short_name
from capably.tables import tables
from capably.version import DriverRelease

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.audit.allowances import Allowances
    from capably.audit.candidate import Candidate
    from capably.audit.policy import Allowance
    from capably.facts import Device, Fatbin, FatbinGroup, Finding

__all__ = ["blocked", "gaps", "unread"]

# What to do before a release about what would stop its users.
_FOR_RELEASES = {
    "host-platform": "Build a wheel for that processor too, or take the GPU out of the policy.",
    "cuda-major-newer-than-driver": "Promise a driver that new, or build with an older toolkit; or allow it, with a reason.",
    "alternative-missing": "Add that build, or take the GPU out of the policy.",
}
# Code that cannot be judged where it lies.
_NEVER_JUDGED = ("link-input", "bare-images")


def unread(candidate: Candidate) -> Iterator[Remark]:
    """What the scanner says, where it is more than what kind of file something is; and where it found nothing."""
    artifact, policy = candidate.artifact, candidate.policy
    findings = [(finding, FINDINGS[finding.code]) for finding in artifact.findings if finding.code in FINDINGS]
    held = [group for library in artifact.libraries for group in counted(library)]
    promised = policy.gpus or policy.targets or policy.ptx is Ptx.REQUIRED
    nothing = bool(promised) and all(group.fatbin.relocatable for group in held)
    for finding, page in findings:
        # Beside code that counts these are no news; alone they are neither a yes nor a no.
        undecided = page.hides or (nothing and finding.code in _NEVER_JUDGED)
        if undecided or not page.harmless:
            severity = RemarkSeverity.UNKNOWN if undecided else RemarkSeverity.WARNING
            yield Remark(finding.code, severity, candidate.within(finding), finding.message, page.way_out)
    if nothing and not held and not any(library.bare for library in artifact.libraries):
        page = FINDINGS["no-gpu-code"]
        message = page.message.format(files=artifact.files) + ", and the policy promises some"
        hidden = any(page.hides for _, page in findings)
        yield Remark(
            "no-gpu-code", RemarkSeverity.UNKNOWN if hidden else RemarkSeverity.ERROR, "", message, page.way_out
        )


def blocked(candidate: Candidate) -> Iterator[Remark]:
    """Why a wheel does not even start there, whatever its GPU code."""
    seen: dict[tuple[str, str], tuple[Finding, list[Gap]]] = {}
    for finding, device, driver in candidate.blocking():
        gap = Gap(device, driver, OutcomeCounts(), 0)
        seen.setdefault((finding.code, candidate.within(finding)), (finding, []))[1].append(gap)
    for (code, path), (finding, there) in seen.items():
        yield Remark(code, RemarkSeverity.ERROR, path, finding.message, _FOR_RELEASES[code], tuple(there))


class _Kind:
    """Equal fatbins of a library, told apart by the kernels in them where these were read."""

    def __init__(self, library: Library, group: FatbinGroup, verdict: Verdict, members: Sequence[int]) -> None:
        self.library = library
        self.group = group
        self.members = members
        self.verdict = verdict if verdict.count == len(members) else replace(verdict, count=len(members))

    @property
    def names(self) -> set[str]:
        """Of the kernels in it, where they were read."""
        read = [self.library.kernels[member] for member in self.members] if self.library.kernels is not None else []
        return {name for one in read for part in one.images for name in part.names or ()}

    def split(self, allowance: Allowance) -> tuple[_Kind, _Kind]:
        """Those that *allowance* speaks of, and the others."""
        members: dict[bool, list[int]] = {True: [], False: []}
        for member in self.members:
            members[self._excused(member, allowance.kernels)].append(member)
        some, rest = (_Kind(self.library, self.group, self.verdict, members[excused]) for excused in (True, False))
        return some, rest

    def _excused(self, member: int, patterns: tuple[str, ...]) -> bool:
        """Whether all kernels of one fatbin match; kernels that could not be read do not."""
        if not patterns:
            return True
        if self.library.kernels is None:
            return False
        names = [part.names for part in self.library.kernels[member].images if part.image.stub is not True]
        return bool(names) and all(some is not None and all(matches(patterns, name) for name in some) for some in names)


def _kinds(library: Library, verdict: Verdict, outcome: Outcome) -> list[_Kind]:
    """The fatbins of *library* with that outcome."""
    members: dict[Fatbin, list[int]] = {}
    for index, one in enumerate(library.kernels or ()):
        if not one.bare:
            members.setdefault(one.fatbin, []).append(index)
    return [
        _Kind(library, group, one, range(group.count) if library.kernels is None else members[group.fatbin])
        for group, one in judged(library, verdict)
        if one.outcome is outcome
    ]


def gaps(candidate: Candidate, allowances: Allowances) -> Iterator[Remark]:
    """Libraries that do not do on a GPU what was promised; what *allowances* excuse, apart."""
    libraries = {library.path: library for library in candidate.artifact.libraries}
    stopped: dict[Device, set[str]] = {}
    for finding, device, _ in candidate.blocking():
        stopped.setdefault(device, set()).add(candidate.within(finding))
    found: dict[tuple[str, str, str | None], list[Gap]] = {}
    for (device, driver), verdicts in zip(candidate.gpus, candidate.verdicts, strict=True):
        still = stopped.get(device, set())
        # A library of several alternatives is said once; what does not start needs no code.
        parts = {part.subject: part for _, verdict in verdicts for part in verdict.parts if "" not in still}
        for path, part in parts.items():
            if path not in still:
                for code, allowed, gap in _lacking(candidate, allowances, libraries[path], (device, driver), part):
                    found.setdefault((code, path, allowed), []).append(gap)
    for (code, path, allowed), missing in found.items():
        yield replace(_gap_remark(code, path, missing), allowed=allowed)


def _gap_remark(code: str, path: str, missing: Sequence[Gap]) -> Remark:
    """One remark about equal gaps of several GPUs, with the driver that would do as its way out."""
    severity = RemarkSeverity.UNKNOWN if code == "gpu-coverage-unknown" else RemarkSeverity.ERROR
    names = joined(full_name(gap.device) for gap in missing)
    plain = (short_name(gap.device) or str(gap.device.capability) for gap in missing)
    remark = remark_of(code, severity, path, tuple(missing), device=names, asked=",".join(plain))
    needed = {
        gap.device: gap.since.release for gap in missing if gap.since is not None and gap.since.release is not None
    }
    if not needed:
        return remark
    needs = max(needed.values())
    if len(needed) == len(missing):
        way_out = f"Promise a driver of {needs} or newer, or build for older drivers; or allow it, with a reason."
    else:
        names = joined(map(full_name, needed))
        way_out = f"{remark.way_out} On {names} a driver of {needs} or newer loads it as it is."
    return replace(remark, way_out=way_out)


def _lacking(
    candidate: Candidate, allowances: Allowances, library: Library, gpu: tuple[Device, Driver], part: Verdict
) -> Iterator[tuple[str, str | None, Gap]]:
    """Codes of what is missing, each with the reason for which it is allowed, if it is."""
    device, driver = gpu
    counts = part.counts
    lacking = {Outcome.FAILS: counts.fails, Outcome.UNKNOWN: counts.unknown}
    if device in candidate.policy.native:
        lacking[Outcome.COMPILES] = counts.compiles
    for outcome, number in lacking.items():
        if not number:
            continue
        code = {
            Outcome.FAILS: "gpu-partly-covered" if counts.usable + counts.unknown else "gpu-not-covered",
            Outcome.UNKNOWN: "gpu-coverage-unknown",
            Outcome.COMPILES: "gpu-without-machine-code",
        }[outcome]
        left = _kinds(library, part, outcome)
        for allowance in allowances.about(code, library.path, device):
            split = [kind.split(allowance) for kind in left]
            if excused := [some for some, _ in split if some.members]:
                allowances.use(allowance)
                yield code, allowance.reason, _gap_of_kinds(device, driver, counts, excused)
            left = [rest for _, rest in split if rest.members]
        if left:
            since = None
            if candidate.policy.driver is not None:
                missing = (*(g for g in library.fatbins if g.fatbin.relocatable), *(kind.group for kind in left))
                since = _loads_since(missing, device, driver, native=device in candidate.policy.native)
            yield code, None, _gap_of_kinds(device, driver, counts, left, since)


@functools.lru_cache(maxsize=1024)
def _loads_since(fatbins: tuple[FatbinGroup, ...], device: Device, driver: Driver, *, native: bool) -> Driver | None:
    """The oldest driver behind *driver* that does with all of *fatbins* what is asked; None where none does."""
    code = Library("", 0, fatbins)
    wanted = {Outcome.RUNS} if native else {Outcome.RUNS, Outcome.COMPILES}
    number = tables().branch(driver)[0].number
    for branch in tables().branches:
        later = Driver(DriverRelease(branch.number))
        if branch.number > number and all(one.outcome in wanted for one in judge(code, device, later).parts):
            return later
    return None


def _gap_of_kinds(
    device: Device, driver: Driver, counts: OutcomeCounts, kinds: Sequence[_Kind], since: Driver | None = None
) -> Gap:
    """The gap that *kinds* are, with the kernels in them."""
    names = sorted({name for kind in kinds for name in kind.names})
    return gap_of(device, driver, counts, [kind.verdict for kind in kinds], tuple(names), since)
