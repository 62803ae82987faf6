"""Whether a release holds what its project promises: findings about a wheel, by a policy.

The facts of an artifact and a policy come in, remarks come out. What a GPU can do with an image is asked of the
engine, device by device; there is no rule about architectures here. Nothing is read and nothing is run.
"""

from __future__ import annotations

import enum
import fnmatch
import functools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.engine import Coverage, OutcomeCounts, Verdict, choose, judge, reaches
from capably.facts import Artifact, Device, Driver, Image, ImageKind, Library
from capably.knowledge import tables
from capably.naming import full_name, named_devices, short_name
from capably.reasons import FINDINGS, Outcome
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.facts import Fatbin, FatbinGroup, Finding

__all__ = [
    "ALLOWABLE",
    "BLOCKERS",
    "CHECKS",
    "GAPS",
    "Allowance",
    "Change",
    "Comparison",
    "Gap",
    "Policy",
    "Ptx",
    "Remark",
    "Report",
    "Severity",
    "audit",
    "starting_policy",
]


class Severity(enum.StrEnum):
    """How bad a remark is."""

    ERROR = "error"  # a definite breach of what was asked for
    UNKNOWN = "unknown"  # whether it is one cannot be told
    WARNING = "warning"  # most likely not what was meant
    NOTE = "note"  # good to know


class Ptx(enum.StrEnum):
    """What a policy says about PTX for GPUs to come."""

    REQUIRED = "required"
    FORBIDDEN = "forbidden"


GAPS = ("gpu-not-covered", "gpu-partly-covered", "gpu-coverage-unknown", "gpu-without-machine-code")
"""The codes of what some GPU lacks."""
CHECKS = (
    *GAPS,
    "target-missing",
    "stray-target",
    "hole-in-range",
    "fatbin-behind",
    "arch-specific-ptx",
    "ptx-missing",
    "ptx-shipped",
    "ptx-beyond-driver",
    "compression-beyond-driver",
    "toolkit-differs",
    "toolkit-unknown",
    "other-cuda-major",
    "identical-copies",
    "size-over-limit",
    "coverage-lost",
    "allowance-unused",
)
"""The codes of everything that is looked for, in the order of answers."""
BLOCKERS = tuple(code for code, page in FINDINGS.items() if page.blocks)
"""What keeps a whole build from starting on a GPU, whatever its GPU code."""
ALLOWABLE = (*CHECKS[:-1], *BLOCKERS)
"""The codes that a policy can allow."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Something that a project knows about and ships all the same.

    Attributes:
        reason: Why, for whoever reads the answer.
        codes: The findings that are allowed; by default all gaps in what a GPU can run.
        libraries: Shell patterns for the paths of libraries; empty means any.
        kernels: Shell patterns for the names of kernels, as the compiler mangled them. A gap is allowed where all
            kernels of a fatbin match one. Empty means any.
        gpus: For which GPUs; empty means any.
        place: Where in the policy it stands.
    """

    reason: str
    codes: tuple[str, ...] = GAPS
    libraries: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    gpus: tuple[Device, ...] = ()
    place: str = "allow"

    def allows(self, code: str, path: str, device: Device | None = None) -> bool:
        """Whether it speaks of that finding in that library, on that device."""
        return (
            code in self.codes
            and (not self.libraries or _matches(self.libraries, path))
            and (not self.gpus or (device is not None and device.capability in {g.capability for g in self.gpus}))
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What a project promises of its wheels.

    Attributes:
        require: GPUs on which everything has to run, as machine code or as PTX that the promised driver compiles.
        native: GPUs on which everything has to run as machine code.
        targets: Those that the project says it builds for.
        ptx: Whether there has to be PTX for GPUs to come, or must not be.
        driver: The oldest driver that is promised to do. For a GPU that no driver so old serves, the oldest that
            does counts.
        toolkits: One of which made all code.
        artifact_bytes: The size of the wheel at most.
        library_bytes: The size of any library at most, unpacked.
        allow: What is known and shipped all the same.
    """

    require: tuple[Device, ...] = ()
    native: tuple[Device, ...] = ()
    targets: tuple[Target, ...] = ()
    ptx: Ptx | None = None
    driver: Driver | None = None
    toolkits: tuple[CudaVersion, ...] = ()
    artifact_bytes: int | None = None
    library_bytes: int | None = None
    allow: tuple[Allowance, ...] = ()

    @property
    def reads_kernels(self) -> bool:
        """Whether names of kernels decide anything, so that they have to be read."""
        return any(allowance.kernels for allowance in self.allow)

    @property
    def gpus(self) -> tuple[Device, ...]:
        """All GPUs that something is promised for."""
        return tuple(dict.fromkeys((*self.require, *self.native)))


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing for one GPU.

    Attributes:
        device: The GPU.
        driver: The oldest driver that is promised for it.
        counts: Of the fatbins that were judged.
        missing: How many of them the remark is about.
        fatbins: The verdicts about these, one for each kind, the most numerous first.
        kernels: Names of the kernels in these fatbins, as the compiler mangled them, where kernels were read.
        since: The oldest driver with which nothing of it would be missing; None where no driver helps.
    """

    device: Device
    driver: Driver
    counts: OutcomeCounts
    missing: int
    fatbins: tuple[Verdict, ...] = ()
    kernels: tuple[str, ...] = ()
    since: Driver | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a release.

    Attributes:
        code: Key in `capably.reasons.FINDINGS`.
        severity: How bad it is.
        path: A library in the artifact; empty for the artifact as a whole.
        message: One sentence.
        way_out: What to do; may be empty.
        gaps: For which GPUs, where it is about some.
        allowed: Why it is allowed all the same; None where it is not.
    """

    code: str
    severity: Severity
    path: str
    message: str
    way_out: str = ""
    gaps: tuple[Gap, ...] = ()
    allowed: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What one GPU can do with two releases."""

    device: Device
    before: Coverage | None
    after: Coverage | None
    counts_before: OutcomeCounts
    counts_after: OutcomeCounts


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a release gained and lost beside an older one.

    Attributes:
        baseline: The older one.
        changes: For each GPU that fares differently.
        targets_gained: Targets of images with kernels that are new.
        targets_lost: Those that are gone.
        libraries_gained: Paths of libraries with GPU code that are new.
        libraries_lost: Those that are gone.
        baseline_bytes: Size of the older one; None where it is no file.
    """

    baseline: Artifact
    changes: tuple[Change, ...]
    targets_gained: tuple[Target, ...]
    targets_lost: tuple[Target, ...]
    libraries_gained: tuple[str, ...]
    libraries_lost: tuple[str, ...]
    baseline_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The answer about one artifact.

    Attributes:
        artifact: What was looked at.
        gpus: What something is promised for, each with the oldest driver that is promised for it.
        verdicts: Of the artifact on each of them, by alternative.
        remarks: The worst first; what is allowed last.
        comparison: With an older release; None where none was given.
        size_bytes: Of the artifact; None where it is no file.
        elsewhere: GPUs that something is promised for, and that another wheel of the release is for.
    """

    artifact: Artifact
    gpus: tuple[tuple[Device, Driver], ...]
    verdicts: tuple[tuple[tuple[str | None, Verdict], ...], ...]
    remarks: tuple[Remark, ...]
    comparison: Comparison | None = None
    size_bytes: int | None = None
    elsewhere: tuple[Device, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many remarks of that severity are not allowed."""
        return sum(remark.severity is severity and remark.allowed is None for remark in self.remarks)


def audit(
    artifact: Artifact,
    policy: Policy,
    *,
    size_bytes: int | None = None,
    baseline: tuple[Artifact, int | None] | None = None,
    beside: Sequence[Artifact] = (),
) -> Report:
    """Everything that is to be said about *artifact* under *policy*.

    Args:
        artifact: As `capably.scan` reads it; with kernels where `Policy.reads_kernels`.
        policy: What is promised.
        size_bytes: Of the artifact, where it is a file.
        baseline: An older release and its size.
        beside: Other wheels of the same release: what comes in machines of another processor, one of them may be for.

    >>> report = audit(Artifact("x.whl", "wheel"), Policy(require=named_devices(["H100"])))
    >>> [(remark.code, str(remark.severity)) for remark in report.remarks]
    [('no-gpu-code', 'error')]
    """
    found = _Audit(artifact, policy, size_bytes, beside)
    remarks = [*found.run()]
    comparison = None
    if baseline is not None:
        comparison = found.compare(*baseline)
        remarks += found.allowing(found.lost(comparison))
    remarks += found.unused()
    order = {severity: place for place, severity in enumerate(Severity)}
    ranks = {code: place for place, code in enumerate(CHECKS)}
    remarks.sort(key=lambda r: (r.allowed is not None, order[r.severity], ranks.get(r.code, -1), r.path))
    return Report(artifact, found.gpus, found.verdicts, tuple(remarks), comparison, size_bytes, found.elsewhere)


# ---------------------------------------------------------------------------------------------------------
# Questions to the engine


# No GPU has this number: what compiles for it compiles for all that are to come.
_TO_COME = Device(ComputeCapability(99, 9), "GPUs to come", assumed=True)


@functools.cache
def _known_devices() -> tuple[Device, ...]:
    """One device for each capability that there are products of, in rising order; by name where one is typical."""
    typical = {device.capability: device for device in named_devices(["all"])}
    capabilities = sorted({product.capability for product in tables().products})
    return tuple(typical.get(found) or named_devices([str(found)])[0] for found in capabilities)


@functools.lru_cache(maxsize=1024)
def promised_driver(device: Device, floor: Driver | None) -> Driver:
    """The oldest driver that *floor* promises for *device*: of those not older than it, the first that serves the device.

    >>> from capably.naming import full_name, named_devices, short_name
    >>> str(promised_driver(named_devices(["T4"])[0], Driver(DriverRelease(525))).release)
    'R525'
    >>> str(promised_driver(named_devices(["RTX 5090"])[0], Driver(DriverRelease(525))).release)
    'R570'
    """
    if floor is None:
        return tables().newest_driver(device.capability)
    own = Image(ImageKind.SASS, Target(device.capability))
    number = tables().branch(floor)[0].number
    later = [Driver(DriverRelease(b.number), assumed=True) for b in tables().branches if b.number > number]
    outcomes = {driver: judge(own, device, driver).outcome for driver in (floor, *later)}
    # What certainly serves it, else what may.
    for wanted in (Outcome.RUNS, Outcome.UNKNOWN):
        for driver, outcome in outcomes.items():
            if outcome is wanted:
                return driver
    return floor


def _groups(library: Library, verdict: Verdict) -> Iterator[tuple[FatbinGroup, Verdict]]:
    """The fatbins of *library* that count, each kind with its part of the verdict about the library."""
    counted = (group for group in library.fatbins if not group.fatbin.relocatable and not group.fatbin.stub)
    return zip(counted, verdict.parts, strict=True)


def _counted(library: Library) -> Iterator[FatbinGroup]:
    return (group for group in library.fatbins if not group.fatbin.stub)


def _images(library: Library) -> Iterator[tuple[Image, int]]:
    """Images with kernels of the fatbins of a library, and how many there are."""
    for group in _counted(library):
        for image in group.fatbin.images:
            if image.stub is not True:
                yield image, group.count


def _targets(libraries: Iterable[Library]) -> set[Target]:
    return {image.target for library in libraries for image, _ in _images(library) if image.target is not None}


@functools.lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text))


def _matches(patterns: Iterable[str], text: str) -> bool:
    return any(_pattern(pattern).match(text) for pattern in patterns)


def _joined(texts: Iterable[object], most: int = 8) -> str:
    listed = [str(text) for text in texts]
    more = [f"{len(listed) - most} more"] if len(listed) > most else []
    return ", ".join(listed[:most] + more)


def _size(count: int) -> str:
    """Bytes as people say them, in decimal units like package indexes.

    >>> _size(123_456_789), _size(999)
    ('123.5 MB', '999 bytes')
    """
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def _remark(
    code: str, severity: Severity, path: str, gaps: tuple[Gap, ...] = (), subject: str = "", **params: object
) -> Remark:
    page = FINDINGS[code]
    texts = {"subject": subject or path, **params}
    return Remark(code, severity, path, page.message.format_map(texts), page.way_out.format_map(texts), gaps)


# ---------------------------------------------------------------------------------------------------------
# The checks

# What to do before a release about what would stop its users.
_FOR_RELEASES = {
    "host-platform": "Build a wheel for that processor too, or take the GPU out of the policy.",
    "cuda-major-newer-than-driver": "Promise a driver that new, or build with an older toolkit; or allow it, with a reason.",
    "alternative-missing": "Add that build, or take the GPU out of the policy.",
}
# Code that cannot be judged where it lies.
_NEVER_JUDGED = ("link-input", "bare-images")
# Arguments of the engine that are about the driver alone, and what to call them in a release.
_DRIVER_CHECKS = {
    "ptx-newer-than-driver": "ptx-beyond-driver",
    "zstd-needs-newer-driver": "compression-beyond-driver",
    "concatenated-needs-newer-driver": "compression-beyond-driver",
}


class _Kind:
    """Equal fatbins of a library, told apart by the kernels in them where these were read."""

    def __init__(self, library: Library, group: FatbinGroup, verdict: Verdict, members: Sequence[int]) -> None:
        self.library = library
        self.group = group
        self.members = members
        self.verdict = replace(verdict, count=len(members))

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
        return bool(names) and all(
            some is not None and all(_matches(patterns, name) for name in some) for some in names
        )


def _kinds(library: Library, verdict: Verdict, outcome: Outcome) -> list[_Kind]:
    """The fatbins of *library* with that outcome."""
    members: dict[Fatbin, list[int]] = {}
    for index, one in enumerate(library.kernels or ()):
        if not one.bare:
            members.setdefault(one.fatbin, []).append(index)
    return [
        _Kind(library, group, one, range(group.count) if library.kernels is None else members[group.fatbin])
        for group, one in _groups(library, verdict)
        if one.outcome is outcome
    ]


class _Audit:
    """One artifact under one policy."""

    def __init__(self, artifact: Artifact, policy: Policy, size_bytes: int | None, beside: Sequence[Artifact]) -> None:
        self.artifact = artifact
        self.policy = policy
        self.size_bytes = size_bytes
        self.title = artifact.name or artifact.path
        self.elsewhere = tuple(
            device
            for device in policy.gpus
            if _other_host(artifact, device) and not all(_other_host(other, device) for other in beside)
        )
        here = (device for device in policy.gpus if device not in self.elsewhere)
        self.gpus = tuple((device, promised_driver(device, policy.driver)) for device in here)
        self.verdicts = tuple(
            tuple((name, judge(reduced, device, driver)) for name, reduced in choose(artifact, device))
            for device, driver in self.gpus
        )
        self.used: set[int] = set()
        self.stopped: set[tuple[str, Device]] = set()
        self.library = {library.path: library for library in artifact.libraries}

    def run(self) -> Iterator[Remark]:
        yield from self.unread()
        yield from self.allowing(self.blocked())
        yield from self.gaps()
        checks = (
            self.claimed, self.stray, self.uneven, self.forward, self.behind_driver, self.toolkits, self.cuda_major,
            self.copies, self.sizes,
        )  # fmt: skip
        for check in checks:
            yield from self.allowing(check())

    def unread(self) -> Iterator[Remark]:
        """What the scanner says, where it is more than what kind of file something is; and where it found nothing."""
        findings = [(finding, FINDINGS[finding.code]) for finding in self.artifact.findings if finding.code in FINDINGS]
        counted = [group for library in self.artifact.libraries for group in _counted(library)]
        promised = self.policy.gpus or self.policy.targets or self.policy.ptx is Ptx.REQUIRED
        nothing = bool(promised) and all(group.fatbin.relocatable for group in counted)
        for finding, page in findings:
            # Beside code that counts these are no news; alone they are neither a yes nor a no.
            undecided = page.hides or (nothing and finding.code in _NEVER_JUDGED)
            if undecided or not page.harmless:
                severity = Severity.UNKNOWN if undecided else Severity.WARNING
                yield Remark(finding.code, severity, _within(self.artifact, finding), finding.message, page.way_out)
        if nothing and not counted and not any(library.bare for library in self.artifact.libraries):
            page = FINDINGS["no-gpu-code"]
            message = page.message.format(files=self.artifact.files) + ", and the policy promises some"
            hidden = any(page.hides for _, page in findings)
            yield Remark("no-gpu-code", Severity.UNKNOWN if hidden else Severity.ERROR, "", message, page.way_out)

    def blocked(self) -> Iterator[Remark]:
        """Why a wheel does not even start there, whatever its GPU code."""
        seen: dict[tuple[str, str], tuple[Finding, list[Gap]]] = {}
        for (device, driver), verdicts in zip(self.gpus, self.verdicts, strict=True):
            for finding in dict.fromkeys(found for _, verdict in verdicts for found in verdict.findings):
                if finding.code in BLOCKERS:
                    path = _within(self.artifact, finding)
                    self.stopped.add((path, device))
                    gap = Gap(device, driver, OutcomeCounts(), 0)
                    seen.setdefault((finding.code, path), (finding, []))[1].append(gap)
        for (code, path), (finding, gaps) in seen.items():
            yield Remark(code, Severity.ERROR, path, finding.message, _FOR_RELEASES[code], tuple(gaps))

    # -- what is required of GPUs

    def gaps(self) -> Iterator[Remark]:
        """Libraries that do not do on a GPU what was promised."""
        found: dict[tuple[str, str, str | None], list[Gap]] = {}
        seen: set[tuple[str, Device]] = set()
        for (device, driver), verdicts in zip(self.gpus, self.verdicts, strict=True):
            for _, verdict in verdicts:
                for part in verdict.parts:
                    # A library of several alternatives is said once; what does not start needs no code.
                    if (part.subject, device) in seen or {("", device), (part.subject, device)} & self.stopped:
                        continue
                    seen.add((part.subject, device))
                    for code, allowed, gap in self._gap(self.library[part.subject], device, driver, part):
                        found.setdefault((code, part.subject, allowed), []).append(gap)
        for (code, path, allowed), gaps in found.items():
            severity = Severity.UNKNOWN if code == "gpu-coverage-unknown" else Severity.ERROR
            names = _joined(full_name(gap.device) for gap in gaps)
            plain = (short_name(gap.device) or str(gap.device.capability) for gap in gaps)
            remark = _remark(code, severity, path, tuple(gaps), device=names, asked=",".join(plain))
            needs = _newest(gap.since for gap in gaps)
            if needs is not None:
                way_out = (
                    f"Promise a driver of {needs} or newer, or build for older drivers; or allow it, with a reason."
                )
                remark = replace(remark, way_out=way_out)
            elif helped := [gap for gap in gaps if gap.since is not None]:
                names, needs = _joined(full_name(gap.device) for gap in helped), _newest(gap.since for gap in helped)
                way_out = f"{remark.way_out} On {names} a driver of {needs} or newer loads it as it is."
                remark = replace(remark, way_out=way_out)
            yield replace(remark, allowed=allowed)

    def _gap(
        self, library: Library, device: Device, driver: Driver, part: Verdict
    ) -> Iterator[tuple[str, str | None, Gap]]:
        """Codes of what is missing, each with the reason for which it is allowed, if it is."""
        counts = part.counts
        lacking = {Outcome.FAILS: counts.fails, Outcome.UNKNOWN: counts.unknown}
        if device in self.policy.native:
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
            for index, allowance in enumerate(self.policy.allow):
                if not allowance.allows(code, library.path, device):
                    continue
                split = [kind.split(allowance) for kind in left]
                if excused := [some for some, _ in split if some.members]:
                    self.used.add(index)
                    yield code, allowance.reason, _gap_of_kinds(device, driver, counts, excused)
                left = [rest for _, rest in split if rest.members]
            if left:
                gap = _gap_of_kinds(device, driver, counts, left)
                yield code, None, replace(gap, since=self._loads_since(device, driver, left))

    def _loads_since(self, device: Device, driver: Driver, kinds: Sequence[_Kind]) -> Driver | None:
        """The oldest driver behind the promised one that does with all of *kinds* what is asked; None without either."""
        if self.policy.driver is None:
            return None
        library = kinds[0].library
        wanted = {Outcome.RUNS} if device in self.policy.native else {Outcome.RUNS, Outcome.COMPILES}
        missing = {kind.group.fatbin for kind in kinds}
        number = tables().branch(driver)[0].number
        for branch in tables().branches:
            later = Driver(DriverRelease(branch.number))
            if branch.number > number and all(
                one.outcome in wanted
                for group, one in _groups(library, judge(library, device, later))
                if group.fatbin in missing
            ):
                return later
        return None

    # -- targets

    def claimed(self) -> Iterator[Remark]:
        """Targets that the project says it builds for and that are not there."""
        there = _targets(self.artifact.libraries)
        for target in self.policy.targets:
            device = Device(target.capability, assumed=True)
            if target not in there:
                if there:
                    yield _remark(
                        "target-missing",
                        Severity.ERROR,
                        "",
                        subject=self.title,
                        target=target,
                        instead=self._instead(target, device),
                    )
                continue
            for library in self.artifact.libraries:
                if any(True for _ in _counted(library)) and target not in _targets([library]):
                    verdict = judge(library, device, promised_driver(device, self.policy.driver))
                    if verdict.counts.fails:
                        instead = self._instead(target, device, library)
                        yield _remark("target-missing", Severity.ERROR, library.path, target=target, instead=instead)

    def _instead(self, target: Target, device: Device, library: Library | None = None) -> str:
        """What devices of a target that is not there get instead."""
        libraries = self.artifact.libraries if library is None else (library,)
        verdict = judge(replace(self.artifact, libraries=libraries), device, promised_driver(device, None))
        where = f"devices of {target.capability}"
        counts = verdict.counts
        if not counts.usable:
            loads = f"whether any of it loads on {where} is not known"
            return loads if counts.unknown else f"nothing in it loads on {where}"
        if counts.fails or counts.unknown:
            return f"{counts.usable} of {counts.total} fatbins load on {where} by other targets"
        how = "PTX that the driver compiles" if counts.compiles else "machine code for other targets"
        return f"{where} are served by {how}"

    def stray(self) -> Iterator[Remark]:
        """Targets that nobody asked for."""
        for library in self.artifact.libraries:
            counts: dict[Target, int] = {}
            for group in _counted(library):
                for target in {i.target for i in group.fatbin.images if i.target is not None and i.stub is not True}:
                    counts[target] = counts.get(target, 0) + group.count
            total = sum(group.count for group in _counted(library))
            if self.policy.targets:
                odd = {target for target in counts if target not in self.policy.targets}
                severity = Severity.WARNING
            else:
                # The default of a compiler that was told nothing is below everything that was meant.
                most = [target.capability for target, count in counts.items() if 2 * count >= total]
                odd = {t for t, count in counts.items() if most and 10 * count <= total and t.capability < min(most)}
                severity = Severity.NOTE
            if odd:
                listed = ", ".join(f"{target} in {counts[target]} of {total}" for target in sorted(odd, key=_by_kind))
                yield _remark("stray-target", severity, library.path, targets=listed)

    def uneven(self) -> Iterator[Remark]:
        """Holes in the range of a library, and fatbins that were left behind by the others."""
        promised = {device.capability for device in self.policy.gpus}
        others = [device for device in _known_devices() if device.capability not in promised]  # of these it is said
        loaded = {d: {lib.path for _, some in choose(self.artifact, d) for lib in some.libraries} for d in others}
        for library in self.artifact.libraries:
            alone = replace(self.artifact, libraries=(library,))
            on = {}
            for device in others:
                driver = tables().newest_driver(device.capability)
                verdict = judge(alone, device, driver)
                stopped = any(finding.code in BLOCKERS for finding in verdict.findings)
                if verdict.counts.total and not stopped and library.path in loaded[device]:
                    on[device] = driver, verdict.parts[0]
            yield from self._holes(library, on)
            yield from self._behind(library, on)

    def _holes(self, library: Library, on: dict[Device, tuple[Driver, Verdict]]) -> Iterator[Remark]:
        served = [device.capability for device, (_, part) in on.items() if part.coverage is Coverage.FULL]
        missed = [
            _gap_of(device, driver, part.counts, [one for _, one in _groups(library, part)])
            for device, (driver, part) in on.items()
            if part.coverage is Coverage.NONE and served and min(served) < device.capability < max(served)
        ]
        if missed:
            holes = _joined(full_name(gap.device) for gap in missed)
            yield _remark(
                "hole-in-range",
                Severity.WARNING,
                library.path,
                tuple(missed),
                holes=holes,
                lowest=min(served),
                highest=max(served),
            )

    def _behind(self, library: Library, on: dict[Device, tuple[Driver, Verdict]]) -> Iterator[Remark]:
        gaps = []
        for device, (driver, part) in on.items():
            if 2 * part.counts.runs < part.counts.total:
                continue
            late = [
                one
                for group, one in _groups(library, part)
                if one.outcome is Outcome.FAILS
                and all(i.target is not None and i.target.capability < device.capability for i in group.fatbin.images)
            ]
            if late:
                gaps.append(_gap_of(device, driver, part.counts, late))
        if gaps:
            most = max(gap.missing for gap in gaps)
            yield _remark(
                "fatbin-behind",
                Severity.WARNING,
                library.path,
                tuple(gaps),
                count=most,
                total=gaps[0].counts.total,
                device=_joined(full_name(gap.device) for gap in gaps),
            )

    # -- PTX

    def forward(self) -> Iterator[Remark]:
        """PTX for GPUs to come."""
        for library in self.artifact.libraries:
            exact: dict[Target, int] = {}
            without, total, shipped = 0, 0, 0
            # Whether a driver links relocatable PTX is not known.
            linkable = any(
                reaches(image, _TO_COME)
                for group in _counted(library)
                if group.fatbin.relocatable
                for image in group.fatbin.images
            )
            for group in _counted(library):
                if group.fatbin.relocatable:
                    continue
                ptx = [i for i in group.fatbin.images if i.kind in (ImageKind.PTX, ImageKind.RELPTX) and not i.stub]
                total += group.count
                shipped += group.count * bool(ptx)
                if any(reaches(image, _TO_COME) for image in ptx):
                    continue
                without += group.count
                for target in {image.target for image in ptx if image.target is not None}:
                    if target.suffix is not Suffix.NONE and not _reaches_others(target):
                        exact[target] = exact.get(target, 0) + group.count
            for target, count in sorted(exact.items()):
                newer = [d for d in _known_devices() if d.capability > target.capability]
                yield _remark(
                    "arch-specific-ptx",
                    Severity.WARNING,
                    library.path,
                    target=target,
                    count=count,
                    total=total,
                    capability=target.capability,
                    plain=Target(target.capability, kind=TargetKind.VIRTUAL),
                    newer=f" ({_joined((d.capability for d in newer), 12)} among them)" if newer else "",
                )
            if self.policy.ptx is Ptx.REQUIRED and without:
                severity = Severity.UNKNOWN if linkable else Severity.ERROR
                yield _remark("ptx-missing", severity, library.path, count=without, total=total)
            if self.policy.ptx is Ptx.FORBIDDEN and shipped:
                yield _remark("ptx-shipped", Severity.ERROR, library.path, count=shipped, total=total)

    # -- the promised driver

    def behind_driver(self) -> Iterator[Remark]:
        """Images that the oldest promised driver cannot take, on the devices that they are made for."""
        if self.policy.driver is None:
            return
        for library in self.artifact.libraries:
            found: dict[tuple[str, str, str], tuple[int, set[Target]]] = {}
            for image, count in _images(library):
                if image.target is None or image.relocatable:
                    continue
                device = Device(image.target.capability, assumed=True)
                driver = promised_driver(device, self.policy.driver)
                if any(finding.code in BLOCKERS for finding in judge(library, device, driver).findings):
                    continue  # it needs a newer driver anyway
                for reason in judge(image, device, driver).reasons:
                    code = _DRIVER_CHECKS.get(reason.code)
                    if code is not None:
                        params = dict(reason.params)
                        needed = params.get("needed", "")
                        known = needed if needed[:1].isdigit() else f"newer than {tables().ptx[-1][0]}"
                        needs = f"R{params['first']}" if "first" in params else f"CUDA {known}"
                        # What differs among images of one kind is their target, and these are listed.
                        key = code, reason.message.replace(str(image.target), "the image"), needs
                        number, targets = found.get(key, (0, set()))
                        found[key] = number + count, targets | {image.target}
            for (code, problem, needs), (count, targets) in found.items():
                native = any(target.kind is TargetKind.REAL for target in targets)
                yield _remark(
                    code,
                    Severity.ERROR if native else Severity.WARNING,  # PTX is there for other GPUs beside
                    library.path,
                    count=count,
                    targets=_joined(sorted(targets)),
                    problem=problem,
                    needs=needs,
                )

    # -- how it was built

    def toolkits(self) -> Iterator[Remark]:
        """Code by another compiler than the policy names."""
        wanted = self.policy.toolkits
        if not wanted:
            return
        named = " or ".join(f"CUDA {toolkit}" for toolkit in wanted)
        for library in self.artifact.libraries:
            counts: dict[CudaVersion, int] = {}
            known = total = 0
            for image, count in _images(library):
                total += count
                if image.toolkit is not None:
                    known += count
                    counts[image.toolkit] = counts.get(image.toolkit, 0) + count
            if total and not known:
                yield _remark("toolkit-unknown", Severity.UNKNOWN, library.path, total=total, wanted=named)
            odd = {toolkit: count for toolkit, count in counts.items() if toolkit not in wanted}
            if odd:
                listed = ", ".join(f"{count} by CUDA {toolkit}" for toolkit, count in sorted(odd.items()))
                yield _remark(
                    "toolkit-differs",
                    Severity.ERROR,
                    library.path,
                    made=listed,
                    total=known,
                    wanted=named,
                )

    def cuda_major(self) -> Iterator[Remark]:
        """Libraries that need the runtime of another CUDA major version than the rest."""
        said: set[str] = set()
        for reduced in dict.fromkeys(some for device in _known_devices() for _, some in choose(self.artifact, device)):
            majors = {library.path: _majors(library) for library in reduced.libraries}
            several = len({*choose(self.artifact, _known_devices()[0])}) > 1  # it is the user's torch that decides
            wanted = set() if several else {toolkit.major for toolkit in self.policy.toolkits}
            if not wanted:
                often = [major for found in majors.values() for major in found]
                if not often:
                    continue
                wanted = {max(sorted(set(often)), key=often.count)}
            for path, found in majors.items():
                other = found - wanted
                if other and path not in said:
                    said.add(path)
                    whose = "the policy's toolkit is" if self.policy.toolkits and not several else "the others are of"
                    yield _remark(
                        "other-cuda-major",
                        Severity.ERROR,
                        path,
                        needed=" and ".join(f"CUDA {major}" for major in sorted(other)),
                        wanted=f"{whose} {' or '.join(f'CUDA {major}' for major in sorted(wanted))}",
                    )

    def copies(self) -> Iterator[Remark]:
        for library in self.artifact.libraries:
            if library.copies:
                yield _remark(
                    "identical-copies",
                    Severity.WARNING,
                    library.path,
                    count=len(library.copies) + 1,
                    copies=_joined(library.copies, 3),
                    wasted=_size(library.size_bytes * len(library.copies)),
                )

    def sizes(self) -> Iterator[Remark]:
        limit = self.policy.artifact_bytes
        if limit is not None and self.size_bytes is not None and self.size_bytes > limit:
            yield _remark(
                "size-over-limit",
                Severity.ERROR,
                "",
                subject=self.title,
                size=_size(self.size_bytes),
                limit=_size(limit),
            )
        limit = self.policy.library_bytes
        for library in self.artifact.libraries:
            if limit is not None and library.size_bytes > limit:
                yield _remark(
                    "size-over-limit", Severity.ERROR, library.path, size=_size(library.size_bytes), limit=_size(limit)
                )

    # -- an older release

    def compare(self, baseline: Artifact, baseline_bytes: int | None) -> Comparison:
        changes: list[Change] = []
        for device in dict.fromkeys((*self.policy.gpus, *_known_devices())):
            driver = promised_driver(device, self.policy.driver)
            before, after = (_as_loaded(one, device, driver) for one in (baseline, self.artifact))
            if any(_other_host(one, device) for one in (baseline, self.artifact)):
                continue
            change = Change(device, before.coverage, after.coverage, before.counts, after.counts)
            seen = any(other.device.capability == device.capability for other in changes)
            if not seen and _worth(change.before, change.counts_before) != _worth(change.after, change.counts_after):
                changes.append(change)
        old, new = _targets(baseline.libraries), _targets(self.artifact.libraries)
        old_paths = {path for library in baseline.libraries for path in (library.path, *library.copies)}
        new_paths = {path for library in self.artifact.libraries for path in (library.path, *library.copies)}
        return Comparison(
            baseline,
            tuple(changes),
            tuple(sorted(new - old, key=_by_kind)),
            tuple(sorted(old - new, key=_by_kind)),
            tuple(sorted(new_paths - old_paths)),
            tuple(sorted(old_paths - new_paths)),
            baseline_bytes,
        )

    def lost(self, comparison: Comparison) -> Iterator[Remark]:
        """GPUs that an older release served better."""
        found: dict[tuple[Severity, str, str], list[Gap]] = {}
        for change in comparison.changes:
            before, after = _worth(change.before, change.counts_before), _worth(change.after, change.counts_after)
            if after < before:
                # A library that holds more may well serve a smaller share, and PTX still runs.
                severity = Severity.ERROR if after[0] < before[0] else Severity.WARNING
                severity = Severity.UNKNOWN if Coverage.UNKNOWN in (change.before, change.after) else severity
                shares = _share(change.before, change.counts_before), _share(change.after, change.counts_after)
                driver = promised_driver(change.device, self.policy.driver)
                missing = change.counts_after.total - change.counts_after.usable
                gap = Gap(change.device, driver, change.counts_after, missing)
                found.setdefault((severity, *shares), []).append(gap)
        older = " ".join(filter(None, (comparison.baseline.name, comparison.baseline.version)))
        for (severity, before_, after_), gaps in found.items():
            yield _remark(
                "coverage-lost",
                severity,
                "",
                tuple(gaps),
                subject=self.title,
                device=_joined(full_name(gap.device) for gap in gaps),
                before=before_,
                after=after_,
                baseline=older or comparison.baseline.path,
            )

    # -- what is allowed

    def allowing(self, remarks: Iterable[Remark]) -> Iterator[Remark]:
        """*remarks*, marked where the policy allows them."""
        for remark in remarks:
            devices: list[Device | None] = [gap.device for gap in remark.gaps] or [None]
            reasons: dict[Device | None, str] = {}
            for index, allowance in enumerate(self.policy.allow):
                spoken = [device for device in devices if allowance.allows(remark.code, remark.path, device)]
                if spoken and not allowance.kernels:
                    self.used.add(index)
                    reasons = {**dict.fromkeys(spoken, allowance.reason), **reasons}
            allowed = "; ".join(dict.fromkeys(reasons.values())) if len(reasons) == len(devices) else None
            yield replace(remark, allowed=allowed)

    def unused(self) -> Iterator[Remark]:
        """What the policy allows and does not occur any more."""
        for index, allowance in enumerate(self.policy.allow):
            if index not in self.used:
                yield _remark(
                    "allowance-unused", Severity.WARNING, "", subject=allowance.place, reason=allowance.reason
                )


def _newest(drivers: Iterable[Driver | None]) -> DriverRelease | None:
    """The newest of the drivers that each of several gaps needs; None where one of them is helped by no driver."""
    releases = [driver.release if driver is not None else None for driver in drivers]
    known = [release for release in releases if release is not None]
    return max(known) if known and len(known) == len(releases) else None


def _by_kind(target: Target) -> tuple[bool, Target]:
    """Machine code first."""
    return target.kind is TargetKind.VIRTUAL, target


def _within(artifact: Artifact, finding: Finding) -> str:
    """The path of a finding, empty for the artifact as a whole."""
    return "" if finding.path in (artifact.path, artifact.name) else finding.path


def _other_host(artifact: Artifact, device: Device) -> bool:
    """Whether *artifact* is for another processor than the machines that *device* comes in."""
    return any(finding.code == "host-platform" for finding in judge(artifact, device).findings)


def _gap_of(device: Device, driver: Driver, counts: OutcomeCounts, found: Iterable[Verdict]) -> Gap:
    verdicts = sorted(found, key=lambda verdict: -verdict.count)
    return Gap(device, driver, counts, sum(verdict.count for verdict in verdicts), tuple(verdicts))


def _gap_of_kinds(device: Device, driver: Driver, counts: OutcomeCounts, kinds: list[_Kind]) -> Gap:
    names = sorted({name for kind in kinds for name in kind.names})
    return replace(_gap_of(device, driver, counts, [kind.verdict for kind in kinds]), kernels=tuple(names))


@functools.lru_cache(maxsize=1024)
def _reaches_others(target: Target) -> bool:
    """Whether PTX for *target* is for any other device than that of its own number."""
    image = Image(ImageKind.PTX, target)
    return any(reaches(image, device) for device in _known_devices() if device.capability != target.capability)


def _majors(library: Library) -> set[int]:
    """The CUDA major versions whose runtime libraries a library names as needed."""
    return {
        runtime.cuda_major
        for runtime in tables().runtimes
        if any(runtime.pattern.fullmatch(name) for name in library.needed)
    }


def _as_loaded(artifact: Artifact, device: Device, driver: Driver) -> Verdict:
    """On *device*, the alternative that it decides for; all libraries where something else decides."""
    chosen = choose(artifact, device)
    return judge(chosen[0][1] if len(chosen) == 1 else artifact, device, driver)


def _worth(coverage: Coverage | None, counts: OutcomeCounts) -> tuple[int, float]:
    """For comparing: how much is usable, then which share of it, as machine code where all is."""
    worth = {Coverage.FULL: 3, Coverage.PARTIAL: 2, Coverage.UNKNOWN: 1, Coverage.NONE: 0, None: 0}[coverage]
    if coverage is Coverage.FULL:
        return worth, float(not counts.compiles)
    return worth, counts.usable / counts.total if coverage is Coverage.PARTIAL else 0.0


def _share(coverage: Coverage | None, counts: OutcomeCounts) -> str:
    match coverage:
        case None:
            return "without GPU code"
        case Coverage.FULL:
            return "full, as machine code" if not counts.compiles else "full, some of it as PTX"
        case Coverage.PARTIAL:
            return f"partial ({counts.usable} of {counts.total} fatbins)"
        case _:
            return str(coverage)


# ---------------------------------------------------------------------------------------------------------
# A policy to start from


_SERVED = 0.1
"""Of the fatbins, how many have to load for a GPU to be taken as meant. Files without flags, and what a dependency
brings along, are fewer; libraries that hold one fatbin for each architecture have more."""


def starting_policy(artifact: Artifact, *, size_bytes: int | None = None) -> Policy:
    """What a good wheel keeps, as a policy that it passes; a person has to say whether that is what is meant.

    Required are the capabilities that a tenth of its fatbins or more serve; what is missing there is allowed, with a
    reason that is still to be written. Targets are claimed where every library has them or does without. The driver is
    the oldest branch by which all of this holds.
    """
    served = []
    for device in _known_devices():
        verdict = _as_loaded(artifact, device, tables().newest_driver(device.capability))
        blocked = any(finding.code in BLOCKERS for finding in verdict.findings)
        if not blocked and verdict.counts.usable and verdict.counts.usable >= _SERVED * verdict.counts.total:
            served.append(device)
    libraries = artifact.libraries
    counted = [group for library in libraries for group in _counted(library) if not group.fatbin.relocatable]
    forward = bool(counted) and all(any(reaches(i, _TO_COME) for i in group.fatbin.images) for group in counted)
    toolkits = {image.toolkit for library in libraries for image, _ in _images(library) if image.toolkit is not None}
    policy = Policy(
        require=tuple(served),
        targets=tuple(sorted(_targets(libraries), key=_by_kind)),
        ptx=Ptx.REQUIRED if forward else None,
        toolkits=tuple(sorted(toolkits)),
        artifact_bytes=None if size_bytes is None else _rounded_up(size_bytes),
    )
    if any(True for _ in _Audit(artifact, policy, None, ()).claimed()):
        policy = replace(policy, targets=())
    policy = replace(policy, driver=_oldest_driver(artifact, policy))
    return replace(policy, allow=tuple(_allowances(audit(artifact, policy, size_bytes=size_bytes))))


def _rounded_up(size_bytes: int) -> int:
    """A tenth more, in whole megabytes."""
    return -(-size_bytes * 11 // 10_000_000) * 1_000_000


def _oldest_driver(artifact: Artifact, policy: Policy) -> Driver | None:
    """The oldest branch that makes nothing worse; None where there is nothing to decide it."""

    def wrong(driver: Driver | None) -> set[tuple[str, str, int]]:
        found = _Audit(artifact, replace(policy, driver=driver), None, ())
        remarks = (*found.blocked(), *found.gaps(), *found.behind_driver())
        return {(r.code, r.path, sum(gap.missing for gap in r.gaps)) for r in remarks}

    if not policy.require:
        return None
    best = wrong(None)
    oldest = None
    # The runtime is often linked in, so that no file names it as needed; it is of the toolkit all the same.
    names = (f"libcudart.so.{cuda.major}{'.0' if cuda.major == 11 else ''}" for cuda in policy.toolkits)
    runtime = Library("the CUDA runtime", 0, needed=tuple(names))
    for branch in reversed(tables().branches):
        driver = Driver(DriverRelease(branch.number))
        starts = not any(f.code in BLOCKERS for f in judge(runtime, policy.require[0], driver).findings)
        if starts and wrong(driver) == best:
            oldest = driver
        elif oldest is not None:  # the newest may have dropped some of the GPUs
            break
    return oldest


def _allowances(report: Report) -> Iterator[Allowance]:
    """What the policy has to allow for all remarks but notes, as narrow as it can be."""
    found: dict[tuple[str, tuple[Device, ...]], list[str]] = {}
    for remark in report.remarks:
        if remark.severity is not Severity.NOTE and remark.code in ALLOWABLE:
            paths = found.setdefault((remark.code, tuple(gap.device for gap in remark.gaps)), [])
            if remark.path and (pattern := _escaped(remark.path)) not in paths:
                paths.append(pattern)
    for (code, gpus), paths in found.items():
        yield Allowance("TODO: say why", (code,), libraries=tuple(paths), gpus=gpus)


def _escaped(path: str) -> str:
    """A shell pattern that matches *path* alone."""
    return re.sub(r"([*?[])", r"[\1]", path)
