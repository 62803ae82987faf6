"""The one place that decides whether GPU code runs on a device.

Facts and tables come in, verdicts with all their reasons come out. Nothing here looks at a file, a machine
or a clock. The outcome of an image is the worst of its reasons; that of a fatbin is the best of its images;
the coverage of a library follows from the counts of its fatbins.
"""

from __future__ import annotations

import enum
import functools
import operator
import re
from collections import Counter
from dataclasses import dataclass, replace

from capably import facts
from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.errors import ParseError, UnknownNameError
from capably.facts import Device, Driver, Finding, PtxJit, Standing
from capably.reasons import FINDINGS, REASONS, Grade, Outcome, Reason
from capably.requirement import (
    Clause,
    CodeFor,
    Comparison,
    Generation,
    Limit,
    NamedFeature,
    OneOf,
    Requirement,
    Version,
)

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import NoReturn

    # What files hold is named through `facts` where it is needed at run time: a gate needs none of it, and is waited for.
    from capably.facts import (  # noqa: TC004 - see above
        Artifact,
        Fatbin,
        FatbinGroup,
        FatbinKernels,
        Image,
        ImageKernels,
        Library,
    )
    from capably.knowledge import Alternatives, Feature, Tables
    from capably.version import CudaVersion

__all__ = [
    "Coverage",
    "KernelVerdict",
    "OutcomeCounts",
    "Verdict",
    "choose",
    "judge",
    "judge_kernels",
    "reaches",
    "starts",
]


@functools.cache
def tables() -> Tables:
    """The tables, on first use: to compare two numbers takes none of them, and a gate is waited for."""
    from capably import knowledge  # noqa: PLC0415 - see above

    return knowledge.tables()


class Coverage(enum.StrEnum):
    """How much of a library, artifact or environment is usable on a device."""

    FULL = "full"  # every fatbin has something that loads or compiles
    PARTIAL = "partial"  # some have, some have not
    NONE = "none"  # no fatbin has
    UNKNOWN = "unknown"  # undecided facts could change the answer


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """How many fatbins have which outcome; those of stubs only are not counted."""

    runs: int = 0
    compiles: int = 0
    fails: int = 0
    unknown: int = 0

    def __add__(self, other: OutcomeCounts) -> OutcomeCounts:
        return OutcomeCounts(
            self.runs + other.runs,
            self.compiles + other.compiles,
            self.fails + other.fails,
            self.unknown + other.unknown,
        )

    @property
    def total(self) -> int:
        """All fatbins that were judged."""
        return self.runs + self.compiles + self.fails + self.unknown

    @property
    def usable(self) -> int:
        """Those with something that loads or compiles."""
        return self.runs + self.compiles

    @property
    def coverage(self) -> Coverage | None:
        """What the counts amount to; None where nothing was judged.

        >>> OutcomeCounts(runs=3, unknown=1).coverage, OutcomeCounts(runs=3, fails=1, unknown=1).coverage
        (<Coverage.UNKNOWN: 'unknown'>, <Coverage.PARTIAL: 'partial'>)
        """
        if not self.total:
            return None
        if self.usable and self.fails:
            return Coverage.PARTIAL
        if self.unknown:
            return Coverage.UNKNOWN
        return Coverage.FULL if self.usable else Coverage.NONE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of GPU code on a device, and why.

    Attributes:
        subject: What was judged.
        device: On which device.
        driver: By which driver; None where it is not known.
        outcome: Of an image or a fatbin. None for anything with several fatbins, and for a fatbin of stubs.
        coverage: Of a library or an artifact. None for anything else, and where there is no GPU code.
        counts: Fatbins by outcome.
        reasons: Every argument, for and against, those that decide first.
        chosen: The image that the driver takes, where that is certain.
        findings: What else decides whether it works there; never part of the outcome.
        parts: What it was put together from: of an artifact its libraries, of a library its kinds of fatbins
            that count, of a fatbin all images that the driver has for it.
        image: The image, for the verdict of one.
        count: Of a part of a library: how many fatbins are of that kind.
    """

    subject: str
    device: Device
    driver: Driver | None
    outcome: Outcome | None = None
    coverage: Coverage | None = None
    counts: OutcomeCounts = OutcomeCounts()
    reasons: tuple[Reason, ...] = ()
    chosen: Image | None = None
    findings: tuple[Finding, ...] = ()
    parts: tuple[Verdict, ...] = ()
    image: Image | None = None
    count: int = 1

    def __bool__(self) -> NoReturn:
        """A verdict has four outcomes, which are not two.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a verdict is neither true nor false; ask for .outcome or .coverage")


@dataclass(frozen=True, slots=True)
class KernelVerdict:
    """What becomes of one kernel of a library on a device.

    Attributes:
        name: As the compiler mangled it.
        counts: The fatbins that hold it for any target, by what becomes of it in them.
        targets: What it is there for, over these fatbins, in the order of the file.
        left_out: Some image of a fatbin of it loads there and does not hold it.
    """

    name: str
    counts: OutcomeCounts
    targets: tuple[Target, ...]
    left_out: bool


def judge(
    what: Image | Fatbin | Library | Artifact | Requirement,
    device: Device | Target,
    driver: Driver | None = None,
    *,
    toolkit: facts.Toolkit | None = None,
    installed: Iterable[tuple[str, str]] | None = None,
) -> Verdict:
    """What becomes of *what* on *device*, loaded by *driver*; or whether *device* meets a requirement.

    Args:
        what: An image, a fatbin, a library or an artifact, as `capably.scan` reads them, or a requirement.
        device: The device; only its capability matters for GPU code, its hosts for the findings. A requirement
            can also be held against a target: what code for it may rely on.
        driver: None means that the driver is not known: what depends on it is `unknown`.
        toolkit: For a requirement: a device meets it only if this compiler makes native code that does.
        installed: For a requirement: names and versions of the installed distributions; None where nobody looked.

    Returns:
        The verdict. The rules and their sources are those of `capably.reasons.REASONS`. Of a requirement that is
        met the outcome is `runs`.

    Raises:
        TypeError: *what* is none of these, or code is to be judged on a target.
        UnknownNameError: A requirement names a feature that the tables do not know.
        ParseError: It names a product, such as ``H100``, instead of a capability.

    >>> from capably.facts import Image, ImageKind
    >>> h100 = Device(ComputeCapability.parse("9.0"))
    >>> verdict = judge(Image(ImageKind.SASS, Target.parse("sm_80")), h100)
    >>> verdict.outcome, verdict.reasons[0].code
    (<Outcome.FAILS: 'fails'>, 'no-image-for-device')
    """
    if isinstance(what, Requirement):
        return _judge_requirement(what, device, driver, toolkit, None if installed is None else tuple(installed))
    if not isinstance(device, Device):
        raise TypeError(f"code is judged on a capably.Device, such as those of capably.devices(), not on {device!r}")
    match what:
        case facts.Image():
            return _judge_image(what, device, driver)
        case facts.Fatbin():
            return _judge_fatbin(what, device, driver)
        case facts.Library():
            return _judge_library(what, device, driver)
        case facts.Artifact():
            return _judge_artifact(what, device, driver)
        case _:  # a caller without a type checker
            raise TypeError(
                f"cannot judge {type(what).__name__}: it takes what capably.scan() returns, a part of it, or a requirement"
            )


def choose(artifact: Artifact, device: Device) -> tuple[tuple[str | None, Artifact], ...]:
    """The alternatives of *artifact* that a process on *device* may load, each with its libraries only.

    Some packages hold several libraries and load one. Where the device decides which, that one is returned;
    where something else does (the CUDA version of torch), each is.

    Returns:
        Pairs of an alternative's name and the artifact reduced to it; ``((None, artifact),)`` for a package
        that has no alternatives.
    """
    known = tables()
    for row in known.alternatives:
        if artifact.name == row.distribution:
            return _alternatives(artifact, device, row)
    return ((None, artifact),)


def _alternatives(artifact: Artifact, device: Device, row: Alternatives) -> tuple[tuple[str | None, Artifact], ...]:
    groups: dict[str, list[Library]] = {}
    shared: list[Library] = []
    for library in artifact.libraries:
        # A library that was stored under several names belongs to each alternative that names it.
        names = {m["alternative"] for path in (library.path, *library.copies) if (m := row.pattern.fullmatch(path))}
        for name in names:
            groups.setdefault(name, []).append(library)
        if not names:
            shared.append(library)
    if not groups:
        return ((None, artifact),)
    if row.chosen_by == "capability":
        choices = dict(row.choices)
        name = choices.get(str(device.capability), choices.get("*", ""))
        if name not in groups:
            missing = _finding("alternative-missing", artifact.path, name=name, there=", ".join(sorted(groups)))
            return ((name, replace(artifact, libraries=tuple(shared), findings=(*artifact.findings, missing))),)
        groups = {name: groups[name]}
    return tuple(
        (name, replace(artifact, libraries=(*libraries, *shared))) for name, libraries in sorted(groups.items())
    )


# ---------------------------------------------------------------------------------------------------------
# One image


@functools.lru_cache(maxsize=65536)
def _judge_image(image: Image, device: Device, driver: Driver | None) -> Verdict:
    """Every argument about one image, stub or not."""
    reasons = _loading_reasons(image, device, driver)
    if image.stub is not False and _outcome(reasons) is not Outcome.FAILS:
        facts = _Facts(image, device, driver)
        code, outcome = ("stub", Outcome.FAILS) if image.stub else ("kernels-undetermined", Outcome.UNKNOWN)
        reasons = (*reasons, facts.reason(code, outcome))
    outcome = _outcome(reasons)
    return Verdict(_describe(image), device, driver, outcome, reasons=_sorted(reasons, outcome), image=image)


@functools.lru_cache(maxsize=65536)
def _loading_reasons(image: Image, device: Device, driver: Driver | None) -> tuple[Reason, ...]:
    """Every argument about whether one image loads, whatever it holds."""
    facts = _Facts(image, device, driver)
    return (*facts.target_reasons(), *facts.driver_reasons())


_SEVERITY = {Outcome.RUNS: 0, Outcome.COMPILES: 1, Outcome.UNKNOWN: 2, Outcome.FAILS: 3}


def _outcome(reasons: Iterable[Reason]) -> Outcome:
    """What the arguments about one image amount to: the worst of them."""
    return max((reason.outcome for reason in reasons), key=_SEVERITY.__getitem__)


def _describe(image: Image) -> str:
    kind = {
        facts.ImageKind.SASS: "machine code",
        facts.ImageKind.PTX: f"PTX {image.ptx}" if image.ptx else "PTX",
        facts.ImageKind.LTOIR: "LTO-IR",
        facts.ImageKind.TILEIR: "Tile IR",
        facts.ImageKind.RELPTX: "relocatable PTX",
        facts.ImageKind.UNKNOWN: "an unknown kind",
    }[image.kind]
    relocatable = "relocatable " if image.relocatable and image.kind is not facts.ImageKind.RELPTX else ""
    return f"{image.target} ({relocatable}{kind})" if image.target else f"an image of {relocatable}{kind}"


@dataclass(frozen=True, slots=True)
class _Facts:
    """One image on one device by one driver: the rules, each as a method that yields its arguments."""

    image: Image
    device: Device
    driver: Driver | None

    @property
    def known(self) -> Tables:
        return tables()

    def reason(
        self,
        code: str,
        outcome: Outcome,
        sources: tuple[str, ...] = (),
        grade: Grade = Grade.DOCUMENTED,
        **params: object,
    ) -> Reason:
        texts = {
            "capability": self.device.capability,
            "target": self.image.target or "the image",
            "target_capability": self.image.target.capability if self.image.target else "?",
            "wanted": _wanted(self.device.capability),
            **({"driver": self.driver_name} if self.driver else {}),
            **params,
        }
        page = REASONS[code]
        used = f"{page.message} {page.way_out}"
        return Reason(
            code,
            outcome,
            _describe(self.image),
            tuple(sorted((name, str(value)) for name, value in texts.items() if f"{{{name}}}" in used)),
            tuple(dict.fromkeys((*page.sources, *sources))),
            grade,
        )

    @property
    def driver_name(self) -> str:
        if self.driver is None:
            return "the driver"
        release = f"driver {self.driver.release}" if self.driver.release else "a driver"
        return f"{release} (CUDA {self.known.driver_cuda(self.driver)})"

    # -- what the target says

    def target_reasons(self) -> Iterator[Reason]:
        image = self.image
        match image.kind:
            case facts.ImageKind.SASS:
                if image.target is None:
                    yield self.reason("target-unknown", Outcome.UNKNOWN)
                elif image.relocatable:
                    yield self.reason("relocatable-only", Outcome.FAILS)
                else:
                    yield self.sass(image.target)
                    if self.driver is not None and self.driver.jit is PtxJit.FORCED:
                        yield self.reason("machine-code-ignored", Outcome.FAILS)
            case facts.ImageKind.PTX | facts.ImageKind.RELPTX:
                if image.target is None:
                    yield self.reason("target-unknown", Outcome.UNKNOWN)
                    return
                by_target = self.ptx(image.target)
                yield by_target
                doubts = [*self.ptx_driver()]
                if image.relocatable or image.kind is facts.ImageKind.RELPTX:
                    doubts.append(self.reason("relocatable-ptx-unproven", Outcome.UNKNOWN, grade=Grade.INFERRED))
                # A doubt is no argument where the target already settles it.
                settled = by_target.outcome is Outcome.FAILS
                yield from (doubt for doubt in doubts if not (settled and doubt.outcome is Outcome.UNKNOWN))
            case facts.ImageKind.LTOIR:
                yield self.reason("lto-ir-needs-linking", Outcome.UNKNOWN)
            case facts.ImageKind.TILEIR | facts.ImageKind.UNKNOWN:
                yield self.reason("kind-unknown", Outcome.UNKNOWN, kind=image.kind)

    def sass(self, target: Target) -> Reason:
        """Binary compatibility of machine code."""
        here = self.device.capability
        if target.capability == here:
            return self.reason("exact-image", Outcome.RUNS)
        number = self.today(target.capability)
        if number == self.today(here):
            return self.reason("renamed-target-unproven", Outcome.UNKNOWN, renamed=number)
        family = self.known.family(number)
        if family is None or self.known.family(here) is None:
            return self.reason("beyond-tables", Outcome.UNKNOWN, horizon=self.known.horizon)
        if here not in family.members:
            return self.reason("no-image-for-device", Outcome.FAILS, family.sources, family.grade)
        if target.suffix is Suffix.ARCH_SPECIFIC:
            return self.reason("arch-specific-exact-only", Outcome.FAILS, family.sources, family.grade)
        if here < number:
            return self.reason("image-newer-than-device", Outcome.FAILS, family.sources, family.grade)
        if self.isolated(target.capability) or self.isolated(here):
            return self.tegra(target)
        code = "family-covers" if family.specific else "same-major-lower-minor"
        return self.reason(code, Outcome.RUNS, family.sources, family.grade, members=_reach(family.members, number))

    def today(self, capability: ComputeCapability) -> ComputeCapability:
        """The number that stands for that hardware since CUDA 13.0."""
        architecture = self.known.architectures.get(capability)
        return capability if architecture is None else architecture.renamed or capability

    def isolated(self, capability: ComputeCapability) -> bool:
        architecture = self.known.architectures.get(capability)
        return architecture is not None and architecture.isolated

    def tegra(self, target: Target) -> Reason:
        """Machine code that crosses between Tegra and desktop: a matter of the toolkit that made it."""
        last = self._newest_possible_toolkit(target)
        limit = self.known.last_isolating_toolkit
        if last is not None and last <= limit:
            built = str(self.image.toolkit) if self.image.toolkit else f"{last} or older"
            return self.reason("tegra-isolated", Outcome.FAILS, built=built)
        return self.reason("tegra-sbsa-unsettled", Outcome.UNKNOWN, grade=Grade.INFERRED)

    def _newest_possible_toolkit(self, target: Target) -> CudaVersion | None:
        """The newest toolkit that can have made this machine code; None where nothing bounds it."""
        if self.image.toolkit is not None:
            return self.image.toolkit
        bounds = [
            row.last
            for row in self.known.code_versions
            if row.version == self.image.code_version
            and row.last is not None
            and (row.below is None or target.capability.number < row.below)
        ]
        emitting = self.known.emitting_toolkits(target)
        if emitting is not None and emitting[1] < self.known.toolkits[-1].cuda:
            bounds.append(emitting[1])  # dropped by a newer toolkit
        return min(bounds, default=None)

    def ptx(self, target: Target) -> Reason:
        """For which devices PTX compiles, whatever the driver."""
        # One piece of hardware has had two numbers (10.1, since CUDA 13.0 11.0): targets and devices are
        # compared by the numbers of one time.
        here, now = self.device.capability, self.today(self.device.capability)
        number = self.today(target.capability)
        if target.suffix is Suffix.ARCH_SPECIFIC:
            if now == number:
                return self.reason("ptx-exact", Outcome.COMPILES)
            return self.reason("ptx-arch-specific-exact-only", Outcome.FAILS)
        if target.suffix is Suffix.FAMILY_SPECIFIC:
            family = self.known.family(number)
            if family is None or self.known.family(now) is None:
                return self.reason("beyond-tables", Outcome.UNKNOWN, horizon=self.known.horizon)
            fits = now in family.members and now >= number
            return self.reason(
                "ptx-family" if fits else "ptx-family-mismatch",
                Outcome.COMPILES if fits else Outcome.FAILS,
                family.sources,
                family.grade,
                members=_reach(family.members, number),
            )
        fits, fitted = now >= number, here >= target.capability
        if fits != fitted:  # 10.3 lies between 10.1 and 11.0
            return self.reason("renamed-target-unproven", Outcome.UNKNOWN, renamed=max(now, number))
        if fits:
            return self.reason("ptx-forward", Outcome.COMPILES)
        return self.reason("ptx-target-newer-than-device", Outcome.FAILS)

    def ptx_driver(self) -> Iterator[Reason]:
        """Whether the driver compiles PTX of this version."""
        if self.driver is None:
            yield self.reason("ptx-driver-unknown", Outcome.UNKNOWN)
            return
        if self.driver.jit is PtxJit.DISABLED:
            yield self.reason("ptx-jit-disabled", Outcome.FAILS)
        version = self.image.ptx
        if version is None:
            yield self.reason("ptx-version-unknown", Outcome.UNKNOWN)
            return
        if self.driver.cuda is None and self.isolated(self.device.capability):
            yield self.reason("tegra-driver-unknown", Outcome.UNKNOWN, grade=Grade.INFERRED)
            return
        accepted = self.known.accepted_ptx(self.driver)
        if accepted is not None and version <= accepted:
            return
        oldest_cuda, oldest = self.known.ptx[0]
        newest_cuda, newest = self.known.ptx[-1]
        branch, standing = self.known.branch(self.driver)
        cuda = self.driver.cuda or branch.cuda
        if (accepted is None and version < oldest) or cuda > newest_cuda or standing is Standing.NEWER:
            # Older than the tables and PTX of those days, or newer than the tables: what it compiles is not known.
            horizon = f"CUDA {oldest_cuda} to {newest_cuda}"
            yield self.reason("ptx-beyond-tables", Outcome.UNKNOWN, ptx=version, horizon=horizon)
            return
        needed = self.known.cuda_of_ptx(version)
        release = self.known.release_of_cuda(needed) if needed else None
        last = self._last_cuda()
        if needed is not None and last is not None and needed > last:
            yield self.reason("ptx-newer-than-any-driver", Outcome.FAILS, ptx=version, last=last)
            return
        yield self.reason(
            "ptx-newer-than-driver",
            Outcome.FAILS,
            grade=branch.grade,
            ptx=version,
            accepted=f"up to {accepted}" if accepted else f"older than {oldest}",
            needed=needed or f"behind {newest_cuda}, which brings PTX ISA {newest},",
            release=f" ({release} on Linux)" if release else "",
        )

    def _last_cuda(self) -> CudaVersion | None:
        """The CUDA version behind which no driver serves this device; None where support goes on."""
        served = self.known.driver_ranges.get(self.device.capability)
        if served is None or (served.last is None and served.newest_cuda is None):
            return None
        return self.known.driver_cuda(self.known.newest_driver(self.device.capability))

    # -- what the driver says, whatever the target

    def driver_reasons(self) -> Iterator[Reason]:
        if self.image.compression is facts.Compression.UNKNOWN:
            yield self.reason("compression-unknown", Outcome.UNKNOWN)
        yield from self.feature(self.image.compression)
        if self.image.concatenated:
            yield from self.feature("concatenated")
        if self.driver is None:
            return
        if self.device.capability not in self.known.architectures:
            yield self.reason("device-beyond-tables", Outcome.UNKNOWN, horizon=self.known.horizon)
            return
        served = self.known.driver_ranges.get(self.device.capability)
        number = self._branch_number()
        if served is None or number is None:
            return
        if served.first is not None and number < served.first:
            certain = served.first_grade is not Grade.INFERRED
            yield self.reason(
                "driver-too-old-for-device" if certain else "driver-device-unproven",
                Outcome.FAILS if certain else Outcome.UNKNOWN,
                served.sources,
                served.first_grade,
                first=served.first,
            )
        if served.last is not None and number > self._last_of_branch(served.last):
            certain = served.last_grade is not Grade.INFERRED
            yield self.reason(
                "driver-dropped-device" if certain else "driver-drop-unproven",
                Outcome.FAILS if certain else Outcome.UNKNOWN,
                served.sources,
                served.last_grade,
                last=served.last,
            )

    def _branch_number(self) -> int | None:
        """The number that driver branches are compared by; None for the drivers of Tegra parts, numbered apart.

        Of a driver older than the tables that is named by its CUDA version only, it is an upper bound.
        """
        if self.driver is None or self.isolated(self.device.capability):
            return None
        branch, standing = self.known.branch(self.driver)
        if self.driver.release is not None:
            return self.driver.release.branch
        return branch.number - 1 if standing is Standing.OLDER else branch.number

    def _last_of_branch(self, branch: int) -> int:
        """The highest first number of a release of that branch: Windows counts on until the next branch."""
        later = [row.number for row in self.known.branches if row.number > branch]
        return later[0] - 1 if later else branch

    def feature(self, name: str) -> Iterator[Reason]:
        """Whether the driver reads images stored in that way, where a table says what it needs."""
        feature = self.known.loading.get(name)
        if feature is None:
            return
        number = self._branch_number()
        if number is not None and number >= feature.first:
            return
        unknown = number is None
        yield self.reason(
            f"{feature.name}-driver-unknown" if unknown else f"{feature.name}-needs-newer-driver",
            Outcome.UNKNOWN if unknown else Outcome(feature.below),
            feature.sources,
            feature.grade,
            first=feature.first,
        )


def _reach(members: tuple[ComputeCapability, ...], number: ComputeCapability) -> str:
    """The devices of a family that code for *number* reaches."""
    return ", ".join(str(member) for member in members if member >= number)


@functools.cache
def _wanted(device: ComputeCapability) -> str:
    """The targets that would serve *device*, and the toolkits that emit them, as text.

    >>> _wanted(ComputeCapability(10, 3))
    'sm_103 (CUDA 12.9 or newer) or sm_100 (CUDA 12.8 or newer), or plain PTX of at most compute_103'
    """
    known = tables()
    newest = known.toolkits[-1].cuda
    driver_side = known.architectures.get(device)
    family = known.family(device)
    members = [device] if family is None else [member for member in family.members if member <= device]
    if driver_side is not None and driver_side.isolated:
        members = [device]
    texts = []
    for member in reversed(members):
        architecture = known.architectures.get(member)
        if member != device and architecture is not None and architecture.isolated:
            continue
        target = Target(member)
        span = known.emitting_toolkits(target)
        if span is None:
            texts.append(str(target))
        elif span[1] < newest:
            texts.append(f"{target} (CUDA {span[1]} or older)")
        elif span[0] > known.toolkits[0].cuda:
            texts.append(f"{target} (CUDA {span[0]} or newer)")
        else:
            texts.append(f"{target} (any CUDA up to {newest})")
    shown = texts if len(texts) <= 2 else [texts[0], texts[-1]]
    ptx = Target(device, kind=TargetKind.VIRTUAL)
    return f"{' or '.join(shown)}, or plain PTX of at most {ptx}"


# ---------------------------------------------------------------------------------------------------------
# A fatbin, a library, an artifact


def _judge_fatbin(
    fatbin: Fatbin, device: Device, driver: Driver | None, linked_from: tuple[Image, ...] = ()
) -> Verdict:
    """The best of its images, and of the relocatable ones that it was linked from."""
    if fatbin.stub:
        return Verdict(f"a fatbin of {len(fatbin.images)} images without kernels", device, driver)
    images = dict.fromkeys((*fatbin.images, *linked_from))
    parts = tuple(_judge_image(image, device, driver) for image in images)
    outcomes = {part.image: part.outcome for part in parts if part.image is not None and part.outcome is not None}
    outcome = min(outcomes.values(), key=_SEVERITY.__getitem__)
    reasons = list(dict.fromkeys(reason for part in parts for reason in part.reasons))
    if outcome is Outcome.FAILS:
        loadable = (Outcome.RUNS, Outcome.COMPILES)
        empty = (
            image for image in images if image.stub and _outcome(_loading_reasons(image, device, driver)) in loadable
        )
        if (image := next(empty, None)) is not None:
            facts = _Facts(image, device, driver)
            reasons.insert(0, facts.reason("kernels-for-other-architectures-only", Outcome.FAILS))
    return Verdict(
        f"a fatbin of {len(fatbin.images)} images",
        device,
        driver,
        outcome,
        counts=OutcomeCounts(**{outcome.value: 1}),
        reasons=_sorted(reasons, outcome),
        chosen=_chosen(outcomes, device),
        parts=parts,
    )


def _chosen(outcomes: dict[Image, Outcome], device: Device) -> Image | None:
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


def _sorted(reasons: Iterable[Reason], outcome: Outcome | None) -> tuple[Reason, ...]:
    """Those that agree with the outcome first; otherwise in the order in which they were weighed."""
    return tuple(sorted(reasons, key=lambda reason: reason.outcome is not outcome))


@functools.lru_cache(maxsize=256)
def _judge_code(
    fatbins: tuple[FatbinGroup, ...], device: Device, driver: Driver | None
) -> tuple[OutcomeCounts, tuple[tuple[Reason, int], ...], tuple[Verdict, ...]]:
    """Of a library: its counts, each argument with the number of fatbins that it is about, and its parts.

    A wheel may hold thousands of files with the same code, which is judged once.
    """
    relocatable = [group for group in fatbins if group.fatbin.relocatable]
    linked = [group for group in fatbins if not group.fatbin.relocatable]
    # What linked fatbins were linked from adds its images to them. It counts nothing alone: a file with
    # nothing else is input for the linker, which the scanner reports.
    origins = tuple(
        dict.fromkeys(image for group in relocatable for image in group.fatbin.images if image.stub is not True)
    )
    parts = [replace(_judge_fatbin(group.fatbin, device, driver, origins), count=group.count) for group in linked]
    shares: Counter[Reason] = Counter()
    outcomes: Counter[Outcome] = Counter()
    for part in parts:
        if part.outcome is None:
            continue
        outcomes[part.outcome] += part.count
        for reason in part.reasons:
            shares[reason] += part.count
    counts = OutcomeCounts(**{outcome.value: count for outcome, count in outcomes.items()})
    worst = max(outcomes, key=_SEVERITY.__getitem__, default=None)
    reasons = _sorted(shares, worst)
    return (
        counts,
        tuple((reason, shares[reason]) for reason in reasons),
        tuple(part for part in parts if part.outcome is not None),
    )


def _judge_library(library: Library, device: Device, driver: Driver | None) -> Verdict:
    counts, shares, parts = _judge_code(library.fatbins, device, driver)
    return Verdict(
        library.path,
        device,
        driver,
        coverage=counts.coverage,
        counts=counts,
        reasons=tuple(
            reason.about(f"{library.path}: {reason.subject} in {share} of {counts.total} fatbins")
            for reason, share in shares
        ),
        findings=tuple(_host_findings(library, device, driver)),
        parts=parts,
    )


@functools.lru_cache(maxsize=4096)
def reaches(image: Image, device: Device) -> bool:
    """Whether PTX is for *device* by its target; which driver compiles it is another question.

    Of GPUs to come the driver is not known yet, but each will have one.

    >>> from capably.facts import Image, ImageKind
    >>> to_come = Device(ComputeCapability(99, 9))
    >>> [reaches(Image(ImageKind.PTX, Target.parse(name)), to_come) for name in ("compute_90", "compute_90a")]
    [True, False]
    """
    return any(reason.outcome is Outcome.COMPILES for reason in judge(image, device).reasons)


def judge_kernels(library: Library, device: Device, driver: Driver | None = None) -> tuple[KernelVerdict, ...]:
    """What becomes of each kernel of *library* on *device*; the fatbins are judged as `judge` does.

    A kernel fares as the best image of its fatbin that holds it. Where another image may be the one that the driver
    takes, or holds names that could not be read, that is undecided.

    Args:
        library: Scanned with its kernels.
        device: On which device.
        driver: None means that the driver is not known.

    Returns:
        One for each different name, in the order of the file. Kernels of images outside any fatbin are not judged,
        nor those of link input.

    Raises:
        ValueError: It was scanned without its kernels.
    """
    if library.kernels is None:
        raise ValueError(f"{library.path} was scanned without its kernels")

    def fate(part: ImageKernels) -> _Fate:
        return _fate(part.image, part.names is not None, device, driver)

    origins: list[_Fate] = []
    origins_of: dict[str, list[int]] = {}
    for found in library.kernels:
        if not found.bare and found.fatbin.relocatable:
            for part in found.images:
                if part.image.stub is not True:
                    for name in part.names or ():
                        origins_of.setdefault(name, []).append(len(origins))
                    origins.append(fate(part))
    beside = _Choice(device).having(origins)
    counts: dict[str, Counter[str]] = {}
    targets: dict[str, dict[Target, None]] = {}
    left_out: set[str] = set()
    for found in library.kernels:
        if found.bare or found.fatbin.relocatable or found.fatbin.stub:
            continue
        own = [fate(part) for part in found.images]
        choice = beside.having(own)
        for (mine, linked), names in _held(found, origins_of).items():
            holders = [*map(own.__getitem__, mine), *map(origins.__getitem__, linked)]
            outcome, lacking = choice.of_kernels(holders)
            here = dict.fromkeys(one.image.target for one in holders if one.image.target is not None)
            for name in names:
                counts.setdefault(name, Counter())[outcome.value] += 1
                targets.setdefault(name, {}).update(here)
            if lacking:
                left_out.update(names)
    return tuple(
        KernelVerdict(name, OutcomeCounts(**found), tuple(targets[name]), name in left_out)
        for name, found in counts.items()
    )


def _held(
    found: FatbinKernels, origins_of: dict[str, list[int]]
) -> dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]]:
    """Kernels of a fatbin, together where the same images hold them: its own, and those that it was linked from."""
    holders: dict[str, list[int]] = {}
    for index, part in enumerate(found.images):
        for name in part.names or ():
            holders.setdefault(name, []).append(index)
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for name, mine in holders.items():  # other kernels of its origins were taken out by the linker
        groups.setdefault((tuple(mine), tuple(origins_of.get(name, ()))), []).append(name)
    return groups


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of an image, and whether it loads whatever it holds."""

    image: Image
    outcome: Outcome
    read: bool  # its kernels are known
    loads: bool

    @property
    def usable(self) -> bool:
        return self.outcome in (Outcome.RUNS, Outcome.COMPILES)


@functools.lru_cache(maxsize=65536)
def _fate(image: Image, read: bool, device: Device, driver: Driver | None) -> _Fate:
    loading = _outcome(_loading_reasons(image, device, driver))
    outcome = _judge_image(image, device, driver).outcome or Outcome.UNKNOWN
    return _Fate(image, outcome, read, loading in (Outcome.RUNS, Outcome.COMPILES))


class _Choice:
    """The images among which the driver chooses for one fatbin.

    They are counted: a file may hold a hundred thousand, each with a kernel that the others lack.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.outcomes: dict[Image, Outcome] = {}
        self.numbers: Counter[Image] = Counter()
        self.usable = 0
        self.loading = 0  # of those whose kernels are known
        self.unread = False
        self.chosen: Image | None = None

    def having(self, fates: Iterable[_Fate]) -> _Choice:
        """The same images and some more."""
        more = _Choice(self.device)
        more.outcomes = self.outcomes | {one.image: one.outcome for one in fates}
        more.numbers = self.numbers + Counter(one.image for one in fates)
        more.usable = self.usable + sum(one.usable for one in fates)
        more.loading = self.loading + sum(one.loads and one.read for one in fates)
        more.unread = self.unread or any(not one.read and one.outcome is not Outcome.FAILS for one in fates)
        more.chosen = _chosen(more.outcomes, self.device)
        return more

    def of_kernels(self, holders: Sequence[_Fate]) -> tuple[Outcome, bool]:
        """What becomes of the kernels that *holders* hold, and whether an image that loads lacks them."""
        best = min((one.outcome for one in holders), key=_SEVERITY.__getitem__)
        lacking = self.loading > sum(one.loads for one in holders)
        usable = sum(one.usable for one in holders)
        if not usable:
            return (Outcome.UNKNOWN if self.unread else best), lacking
        # The driver takes one image of a fatbin: where that may be one without the kernel, nothing is certain.
        taken = self.chosen is not None and self.numbers[self.chosen] == sum(
            one.image == self.chosen for one in holders
        )
        return (best if taken or usable == self.usable else Outcome.UNKNOWN), lacking


def starts(cuda_major: int, driver: Driver) -> bool:
    """Whether *driver* starts programs of that CUDA major version, whatever their GPU code.

    >>> starts(12, Driver(cuda=tables().toolkits[-1].cuda))
    True
    """
    # By the CUDA version, which drivers of Tegra parts have too; the first branch of a major version is that of its
    # first minor version, or for 11 the one that minor version compatibility reaches back to.
    return tables().driver_cuda(driver).major >= cuda_major


def _coverage(counts: OutcomeCounts, findings: Iterable[Finding]) -> Coverage | None:
    """What the counts amount to, where something was perhaps not read: more could only make it partial."""
    hidden = any(FINDINGS[finding.code].hides for finding in findings if finding.code in FINDINGS)
    return Coverage.UNKNOWN if hidden and counts.coverage is not Coverage.PARTIAL else counts.coverage


def _judge_artifact(artifact: Artifact, device: Device, driver: Driver | None) -> Verdict:
    parts = tuple(_judge_library(library, device, driver) for library in artifact.libraries)
    counts = sum((part.counts for part in parts), OutcomeCounts())
    order = {Coverage.NONE: 0, Coverage.PARTIAL: 1, Coverage.UNKNOWN: 2, Coverage.FULL: 3}
    worst_first = sorted(parts, key=lambda part: 4 if part.coverage is None else order[part.coverage])
    findings = list(artifact.findings)
    platform = _platform_finding(artifact, device)
    if platform is not None:
        findings.append(platform)
    for part in parts:
        findings += [found for found in part.findings if not (platform and found.code == platform.code)]
    return Verdict(
        artifact.name or artifact.path,
        device,
        driver,
        coverage=_coverage(counts, artifact.findings),
        counts=counts,
        reasons=tuple(reason for part in worst_first for reason in part.reasons),
        findings=tuple(dict.fromkeys(findings)),
        parts=parts,
    )


# ---------------------------------------------------------------------------------------------------------
# What else decides, beside the GPU code


def _finding(code: str, path: str, **params: object) -> Finding:
    return Finding(code, path, FINDINGS[code].message.format_map({"subject": path, **params}))


_SPELLINGS = {"aarch64": ("arm64",), "x86_64": ("amd64",)}  # in platform tags of macOS and Windows


def _platform_finding(artifact: Artifact, device: Device) -> Finding | None:
    """A wheel whose platform tags name no host that this device comes in."""
    tags = [tag for tag in artifact.platforms if tag != "any"]
    spelled = (name for host in device.hosts for name in (host, *_SPELLINGS.get(host, ())))
    if not device.hosts or not tags or any(tag.endswith(name) for name in spelled for tag in tags):
        return None
    return _finding(
        "host-platform",
        artifact.path,
        built=", ".join(tags),
        device=device.name or device.capability,
        hosts=" or ".join(device.hosts),
    )


def _host_findings(library: Library, device: Device, driver: Driver | None) -> Iterator[Finding]:
    if device.hosts and library.machine is not None and library.machine not in device.hosts:
        yield _finding(
            "host-platform",
            library.path,
            built=library.machine,
            device=device.name or device.capability,
            hosts=" or ".join(device.hosts),
        )
    if driver is None or not library.needed:
        return
    known = tables()
    for runtime in known.runtimes:
        named = any(runtime.pattern.fullmatch(name) for name in library.needed)
        if named and not starts(runtime.cuda_major, driver):
            yield _finding(
                "cuda-major-newer-than-driver",
                library.path,
                needed=runtime.cuda_major,
                first=runtime.first,
                driver=f"{driver.release or 'a driver'} (CUDA {known.driver_cuda(driver)})",
            )


# ---------------------------------------------------------------------------------------------------------
# A requirement

_COMPARE = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


@functools.lru_cache(maxsize=4096)
def _judge_requirement(
    requirement: Requirement,
    subject: Device | Target,
    driver: Driver | None,
    toolkit: facts.Toolkit | None,
    installed: tuple[tuple[str, str], ...] | None,
) -> Verdict:
    """The best of its alternatives; each is as good as the worst of its conditions."""
    needs = _Needs(subject, driver, toolkit, installed)
    for clauses in requirement.alternatives:  # also of those that are not needed for the answer
        for clause in clauses:
            if isinstance(clause, NamedFeature):
                needs.feature(clause.name)
    judged = [needs.alternative(clauses) for clauses in requirement.alternatives]
    outcome = min((outcome for outcome, _ in judged), key=_SEVERITY.__getitem__)
    # The alternative that comes closest first: fewest conditions that stand against it.
    judged.sort(key=lambda one: (_SEVERITY[one[0]], sum(reason.outcome is not Outcome.RUNS for reason in one[1])))
    reasons = tuple(dict.fromkeys(reason for _, found in judged for reason in found))
    return Verdict(str(requirement), needs.device, driver, outcome, reasons=_sorted(reasons, outcome))


@dataclass(frozen=True, slots=True)
class _Needs:
    """Conditions on one device, or on code for one target."""

    subject: Device | Target
    driver: Driver | None
    toolkit: facts.Toolkit | None
    installed: tuple[tuple[str, str], ...] | None

    @property
    def known(self) -> Tables:
        return tables()

    @property
    def device(self) -> Device:
        return self.subject if isinstance(self.subject, Device) else Device(self.subject.capability, assumed=True)

    @property
    def here(self) -> ComputeCapability:
        return self.subject.capability

    def feature(self, name: str) -> Feature:
        try:
            return self.known.features[name]
        except KeyError:
            if instead := self.known.instead_of_product(name):
                raise ParseError("feature", name, 0, len(name), instead) from None
            import difflib  # noqa: PLC0415 - only for the error

            close = difflib.get_close_matches(name, self.known.features, n=3, cutoff=0.5)
            raise UnknownNameError("feature", name, tuple(close), tuple(sorted(self.known.features))) from None

    def reason(  # noqa: PLR0917 - what every reason has
        self,
        code: str,
        outcome: Outcome,
        clause: str,
        found: object = "",
        sources: tuple[str, ...] = (),
        grade: Grade = Grade.DOCUMENTED,
        **params: object,
    ) -> Reason:
        texts = {"clause": clause, "capability": self.here, "found": found, "target": self.subject, **params}
        page = REASONS[code]
        used = f"{page.message} {page.way_out}"
        return Reason(
            code,
            outcome,
            clause,
            tuple(sorted((name, str(value)) for name, value in texts.items() if f"{{{name}}}" in used)),
            tuple(dict.fromkeys((*page.sources, *sources))),
            grade,
        )

    def alternative(self, clauses: tuple[Clause, ...]) -> tuple[Outcome, list[Reason]]:
        reasons = [self.clause(clause) for clause in clauses]
        outcome = _outcome(reasons)
        if outcome is not Outcome.FAILS and self.toolkit is not None:
            doubt = self.emitted(clauses, self.toolkit)
            if doubt is not None:
                reasons.append(doubt)
        return _outcome(reasons), reasons

    def clause(self, clause: Clause) -> Reason:
        match clause:
            case Comparison():
                return self.comparison(clause)
            case OneOf():
                return self.one_of(clause)
            case CodeFor():
                return self.code_for(clause.target, str(clause))
            case NamedFeature():
                return self.named(clause)
            case Limit():
                return self.limit(clause)
            case Version():
                return self.version(clause)

    def met(self, clause: str, found: object = None, sources: tuple[str, ...] = ()) -> Reason:
        text = f"compute capability {self.here}" if found is None else found
        return self.reason("requirement-met", Outcome.RUNS, clause, text, sources)

    def beyond(self, clause: str) -> Reason:
        return self.reason("requirement-beyond-tables", Outcome.UNKNOWN, clause, horizon=self.known.horizon)

    # -- the compute capability

    def renamed(self, clause: str) -> Reason:
        """One piece of hardware has had two numbers, and the condition holds for one of them."""
        others = (
            one for one in self.known.architectures if one != self.here and self.today(one) == self.today(self.here)
        )
        return self.reason("requirement-renamed", Outcome.UNKNOWN, clause, renamed=", ".join(map(str, others)))

    def comparison(self, clause: Comparison) -> Reason:
        compare, upward = _COMPARE[clause.operator], clause.operator.startswith(">")
        held = compare(self.here, clause.capability)
        # A new number is the higher one: what is high enough by the old one is so by both, and waits for no table.
        if held is not upward and compare(self.today(self.here), clause.capability) is not held:
            return self.renamed(str(clause))
        if held:
            return self.met(str(clause))
        return self.reason("device-too-old" if upward else "device-too-new", Outcome.FAILS, str(clause))

    def one_of(self, clause: OneOf) -> Reason:
        if any(_is(self.here, member) for member in clause.members):
            if clause.excluded:
                return self.reason("device-excluded", Outcome.FAILS, str(clause))
            return self.met(str(clause))
        today = self.today(self.here)
        if any(
            _is(today, member) or (isinstance(member, ComputeCapability) and self.today(member) == today)
            for member in clause.members
        ):
            return self.renamed(str(clause))
        if clause.excluded:
            return self.met(str(clause))
        return self.reason(self._beside(clause.members), Outcome.FAILS, str(clause))

    def _beside(self, members: tuple[ComputeCapability | Generation, ...]) -> str:
        """Whether the device is older or newer than all of *members*, or in between."""
        lowest = min((m.major, 0 if isinstance(m, Generation) else m.minor) for m in members)
        highest = max((m.major, 9 if isinstance(m, Generation) else m.minor) for m in members)
        here = (self.here.major, self.here.minor)
        return "device-too-old" if here < lowest else "device-too-new" if here > highest else "device-not-listed"

    def today(self, capability: ComputeCapability) -> ComputeCapability:
        architecture = self.known.architectures.get(capability)
        return capability if architecture is None else architecture.renamed or capability

    def code_for(self, target: Target, clause: str) -> Reason:
        """Whether code for *target*, which has a suffix, is for this device; or such code is what a target makes."""
        reach = self._reach(target)
        if reach is None:
            if self.here < target.capability:
                return self.reason("device-too-old", Outcome.FAILS, clause)
            return self.beyond(clause)
        if self.here not in reach:
            if self.today(target.capability) == self.today(self.here):
                return self.renamed(clause)
            if self.here not in self.known.architectures:
                return self.beyond(clause)
            return self.reason(self._beside(reach), Outcome.FAILS, clause)
        if isinstance(self.subject, Target) and not _covers(self.subject.suffix, target.suffix):
            return self.reason("target-without-feature-code", Outcome.FAILS, clause)
        return self.met(clause)

    def _reach(self, target: Target) -> tuple[ComputeCapability, ...] | None:
        """The devices of code with a suffix; None where the tables do not say."""
        if self.known.emitting_toolkits(target) is None:
            return None
        if target.suffix is Suffix.ARCH_SPECIFIC:
            return (target.capability,)
        family = self.known.family(target.capability)
        if family is None or not family.specific:
            return None
        return tuple(member for member in family.members if member >= target.capability)

    def named(self, clause: NamedFeature) -> Reason:
        """A feature stands for the requirement in the tables; the reason is that of the alternative that comes closest."""
        feature = self.feature(clause.name)
        text = f"{feature.name} ({feature.title}): {feature.requires}"
        inner = [_Needs(self.subject, None, None, None).alternative(c) for c in feature.requires.alternatives]
        outcome, _ = min(inner, key=lambda one: _SEVERITY[one[0]])
        if outcome is Outcome.RUNS and self.here not in self.known.architectures:
            return self.beyond(text)  # which features a device has is known of those in the tables
        if outcome is Outcome.RUNS:
            return self.reason(
                "requirement-met", outcome, text, f"compute capability {self.here}", feature.sources, feature.grade
            )
        codes = {reason.code for _, reasons in inner for reason in reasons if reason.outcome is outcome}
        if "requirement-renamed" in codes:
            return self.renamed(text)
        if "requirement-beyond-tables" in codes:
            return self.beyond(text)
        # Older than one alternative and newer than another: it is beside them all.
        lacking = "target-without-feature-code"
        code = codes.pop() if len(codes) == 1 else lacking if lacking in codes else "device-not-listed"
        return self.reason(code, outcome, text, "", feature.sources, feature.grade)

    # -- quantities

    def limit(self, clause: Limit) -> Reason:
        sources: tuple[str, ...] = ()
        found: int | None
        if clause.what == "smem":
            row = self.known.shared_memory.get(self.here)
            found, sources = (row.block_bytes, row.sources) if row else (None, ())
        elif clause.what == "sms":
            found = self.device.multiprocessors
        else:
            found = self.device.memory_bytes
        if found is None:
            return self.reason("quantity-unknown", Outcome.UNKNOWN, str(clause))
        text = clause.shown(found) if clause.what != "memory" else f"{found >> 20} MiB"
        if _COMPARE[clause.operator](found, clause.amount):
            return self.met(str(clause), f"it has {text}", sources)
        return self.reason("quantity-too-small", Outcome.FAILS, str(clause), text, sources)

    # -- versions

    def version(self, clause: Version) -> Reason:
        match clause.what:
            case "driver":
                return self.driver_release(clause)
            case "cuda":
                return self.driver_cuda(clause)
            case "toolkit":
                if self.toolkit is None or self.toolkit.cuda is None:
                    return self.unknown(clause, "no compiler was given")
                cuda = self.toolkit.cuda
                return self.compared(clause, (cuda.major, cuda.minor), f"{self.toolkit.kind} {cuda}")
            case _:
                return self.distribution(clause)

    def compared(self, clause: Version, numbers: tuple[int, ...], found: str) -> Reason:
        if _COMPARE[clause.operator](_padded(numbers, len(clause.numbers)), clause.numbers):
            return self.met(str(clause), f"it is {found}")
        return self.reason("version-not-met", Outcome.FAILS, str(clause), f"it is {found}")

    def unknown(self, clause: Version, why: str) -> Reason:
        return self.reason("version-unknown", Outcome.UNKNOWN, str(clause), why)

    def driver_release(self, clause: Version) -> Reason:
        if self.driver is None:
            return self.unknown(clause, "the driver is not known")
        release = self.driver.release
        if release is not None:
            return self.compared(clause, (release.branch, release.minor, release.patch), f"driver {release}")
        # By the CUDA version, the branch is known; which of its releases it is, is not.
        branch, standing = self.known.branch(self.driver)
        architecture = self.known.architectures.get(self.here)
        isolated = architecture is not None and architecture.isolated
        later = (row.number for row in self.known.branches if row.number > branch.number)
        within = branch.number <= clause.numbers[0] < next(later, branch.number + 1)  # 551 to 553 are Windows' of R550
        if standing is not Standing.KNOWN or isolated or within:
            return self.unknown(clause, f"of the driver only CUDA {self.driver.cuda} is known")
        return self.compared(clause, (branch.number,), f"a driver of R{branch.number} (CUDA {self.driver.cuda})")

    def driver_cuda(self, clause: Version) -> Reason:
        if self.driver is None:
            return self.unknown(clause, "the driver is not known")
        cuda = self.driver.cuda
        if cuda is None:
            branch, standing = self.known.branch(self.driver)
            if standing is not Standing.KNOWN:
                return self.unknown(clause, f"what driver {self.driver.release} supports is not in the tables")
            cuda = branch.cuda
        return self.compared(clause, (cuda.major, cuda.minor), f"a driver of CUDA {cuda}")

    def distribution(self, clause: Version) -> Reason:
        name = clause.what.partition(":")[2]
        if self.installed is None:
            return self.unknown(clause, "nobody looked at what is installed")
        version = dict(self.installed).get(name)
        if version is None:
            return self.reason("version-not-met", Outcome.FAILS, str(clause), f"{name} is not installed")
        plain = re.match(r"[0-9]{1,9}(?:\.[0-9]{1,9})*", version)
        rest = version[plain.end() :] if plain else version
        numbers = tuple(int(number) for number in plain[0].split(".")) if plain else ()
        same = _padded(numbers, len(clause.numbers)) == clause.numbers
        # What comes before a release (4.8rc1) or stands in no order (an epoch) is told by the numbers only if they differ.
        if not numbers or rest.startswith("!") or (same and re.match(r"[._-]?(?:a|b|c|rc|alpha|beta|pre|dev)", rest)):
            return self.unknown(clause, f"it is {name} {version}")
        return self.compared(clause, numbers, f"{name} {version}")

    # -- the compiler

    def emitted(self, clauses: tuple[Clause, ...], toolkit: facts.Toolkit) -> Reason | None:
        """What stands against native code by *toolkit* that runs here and meets the conditions; None where nothing does."""
        text = ",".join(map(str, clauses))
        name = f"{toolkit.kind} {toolkit.cuda or toolkit.version or ''}".rstrip()
        targets = self._emitted_by(toolkit)
        if targets is None:
            return self.reason("toolkit-undecided", Outcome.UNKNOWN, text, name)
        outcomes = {self._made(target, toolkit.cuda, clauses) for target in targets}
        if Outcome.RUNS in outcomes:
            return None
        if Outcome.UNKNOWN in outcomes:
            return self.reason("toolkit-undecided", Outcome.UNKNOWN, text, name)
        makers = [
            row
            for row in self.known.toolkits
            if any(self._made(Target.parse(emitted), row.cuda, clauses) is Outcome.RUNS for emitted in row.targets)
        ]
        needed, wanted = "no known toolkit does", "a GPU or a requirement for which there is one"
        if makers:
            last = makers[-1].cuda
            wanted = (
                f"CUDA {makers[0].cuda} or newer"
                if last == self.known.toolkits[-1].cuda
                else f"CUDA {makers[0].cuda} to {last}"
            )
            needed = f"that takes {wanted}"
        return self.reason("toolkit-cannot-emit", Outcome.FAILS, text, name, needed=needed, wanted=wanted)

    def _emitted_by(self, toolkit: facts.Toolkit) -> tuple[Target, ...] | None:
        """What *toolkit* emits: by its own list, else by the tables; None beyond them."""
        if toolkit.targets is not None:
            return tuple(Target(t.capability, t.suffix) for t in toolkit.targets)
        rows = [row for row in self.known.toolkits if toolkit.cuda is not None and row.cuda <= toolkit.cuda]
        if not rows or toolkit.cuda is None or toolkit.cuda > self.known.toolkits[-1].cuda:
            return None
        return tuple(map(Target.parse, rows[-1].targets))

    def _serves(self, target: Target, clauses: tuple[Clause, ...]) -> bool:
        """Whether code for *target* can be what the conditions ask for."""
        entry = _Needs(target, None, None, None)
        for clause in clauses:
            if isinstance(clause, Limit | Version):
                continue
            if isinstance(clause, CodeFor) and clause.target.suffix is not target.suffix:
                return False  # asked for by its suffix
            if entry.clause(clause).outcome is Outcome.FAILS:
                return False
        return True

    def _made(self, target: Target, cuda: CudaVersion | None, clauses: tuple[Clause, ...]) -> Outcome:
        """What becomes here of code for *target*, made by CUDA *cuda*, if it can be what the conditions ask for."""
        if isinstance(self.subject, Target):  # which meets them itself, or would not be asked about
            return Outcome.RUNS if target == self.subject else Outcome.FAILS
        if not self._serves(target, clauses):
            return Outcome.FAILS
        image = facts.Image(facts.ImageKind.SASS, target, toolkit=cuda)
        return _outcome([_Facts(image, self.device, None).sass(target)])


def _is(capability: ComputeCapability, member: ComputeCapability | Generation) -> bool:
    return capability.major == member.major if isinstance(member, Generation) else capability == member


def _covers(has: Suffix, needed: Suffix) -> bool:
    """Whether code with one suffix may use what code with the other may: `a` everything that `f` may."""
    return has is needed or (has is Suffix.ARCH_SPECIFIC and needed is Suffix.FAMILY_SPECIFIC)


def _padded(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return (*numbers, *(0,) * length)[:length]
