"""What the engine answers: a verdict, the counts of outcomes that it rests on, and how outcomes and coverage compare."""

from __future__ import annotations

from dataclasses import dataclass

from capably.arch import Target
from capably.codes import FINDINGS, Outcome, Reason
from capably.compat import StrEnum
from capably.facts import Device, Driver, Finding
from capably.version import CudaVersion

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from capably.facts import (  # a gate needs nothing of what files hold, and is waited for
        Image,  # noqa: TC004
        ImageKind,  # noqa: TC004
        Role,  # noqa: TC004
    )

__all__ = [
    "SEVERITY",
    "Compilation",
    "Coverage",
    "Lack",
    "OutcomeCounts",
    "Shares",
    "Verdict",
    "deciding_first",
    "worst",
    "worth",
]

SEVERITY = {Outcome.RUNS: 0, Outcome.COMPILES: 1, Outcome.UNKNOWN: 2, Outcome.FAILS: 3}


class Coverage(StrEnum):
    """How much of a library, artifact or environment is usable on a device."""

    FULL = "full"  # every fatbin has something that loads or compiles
    PARTIAL = "partial"  # some have, some have not
    NONE = "none"  # no fatbin has
    UNKNOWN = "unknown"  # undecided facts could change the answer


_WORTH = {None: 0, Coverage.NONE: 1, Coverage.UNKNOWN: 2, Coverage.PARTIAL: 3, Coverage.FULL: 4}


def worth(coverage: Coverage | None) -> int:
    """How much a coverage is worth, to compare two: what is not decided may be all or nothing, and is between.

    No GPU code at all (None) is worth least. `--fail-on` of the command line orders by something else: how sure it is
    that something is missing.

    >>> sorted(Coverage, key=worth)
    [<Coverage.NONE: 'none'>, <Coverage.UNKNOWN: 'unknown'>, <Coverage.PARTIAL: 'partial'>, <Coverage.FULL: 'full'>]
    """
    return _WORTH[coverage]


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
        least = self.at_least()
        return least if least is self.at_most() else Coverage.UNKNOWN

    def at_least(self, *, hidden: bool = False) -> Coverage | None:
        """The coverage if nothing that is undecided loads; *hidden*: there may be more than was judged.

        >>> OutcomeCounts(runs=3, unknown=1).at_least(), OutcomeCounts(runs=3, unknown=1).at_most()
        (<Coverage.PARTIAL: 'partial'>, <Coverage.FULL: 'full'>)
        """
        return _covered(self.usable, self.fails + self.unknown + hidden)

    def at_most(self, *, hidden: bool = False) -> Coverage | None:
        """The coverage if all that is undecided loads; *hidden* as above."""
        return _covered(self.usable + self.unknown + hidden, self.fails)


def _covered(usable: int, lacking: int) -> Coverage | None:
    if usable and lacking:
        return Coverage.PARTIAL
    return Coverage.FULL if usable else Coverage.NONE if lacking else None


class Lack(StrEnum):
    """What it means that a fatbin has nothing for a device."""

    SPECIALITY = "speciality"  # for others: something else of its library loads, or it is for exact architectures only
    GAP = "gap"  # nothing of its library loads


@dataclass(frozen=True, slots=True)
class Shares:
    """What is missing of a library or an artifact, in fatbins.

    Attributes:
        gaps: Those that lack anything for the device in a library of which nothing else is known to load.
        specialised: Those that are for other devices by what they are.
        gaps_at_least: The gaps that there are however the undecided parts are decided.
        gaps_at_most: The gaps that there can be at most.
    """

    gaps: int = 0
    specialised: int = 0
    gaps_at_least: int = 0
    gaps_at_most: int = 0

    def __add__(self, other: Shares) -> Shares:
        return Shares(
            self.gaps + other.gaps,
            self.specialised + other.specialised,
            self.gaps_at_least + other.gaps_at_least,
            self.gaps_at_most + other.gaps_at_most,
        )


@dataclass(frozen=True, slots=True)
class Compilation:
    """What the compiler of a package makes for a device at run time.

    Attributes:
        name: What kind of compiler it is: ``ptxas``, ``nvrtc`` …
        kernels: Of the package: all are made at ``run-time``, or it brings some (``both``).
        outcome: `runs` where the machine code loads, `compiles` where the driver compiles the PTX, `fails` where the
            compiler refuses the target or what it makes does not load.
        finding: The same in words.
        cuda: The toolkit that it is of; None where that is not known.
        version: In full, where it states it.
        path: Where it lies in the package; None where it does not.
        brought_by: What brings it, where the package does not.
        target: What it is asked for; None where that is not known.
        kind: Machine code or PTX; likewise.
        reasons: About what it makes.
    """

    name: str
    kernels: str
    outcome: Outcome
    finding: Finding
    cuda: CudaVersion | None = None
    version: str | None = None
    path: str | None = None
    brought_by: str | None = None
    target: Target | None = None
    kind: ImageKind | None = None
    reasons: tuple[Reason, ...] = ()

    def weighed(self, counts: OutcomeCounts) -> OutcomeCounts:
        """*counts* of the code that the package brings, with what its compiler makes as one part more.

        Where all kernels are made at run time, that is the only part.
        """
        made = OutcomeCounts(**{self.outcome.value: 1})
        return made if self.kernels == "run-time" else counts + made


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of GPU code on a device, and why.

    Attributes:
        subject: What was judged.
        device: On which device.
        driver: By which driver; None where it is not known.
        outcome: Of an image or a fatbin. None for anything with several fatbins, and for a fatbin of stubs.
        coverage: Of a library or an artifact: what all ways to decide what is undecided have in common, else unknown.
            None for anything else, and where there is no GPU code.
        at_least: The coverage if nothing that is undecided, or was not read, loads there.
        at_most: The coverage if all of that does.
        counts: Fatbins by outcome.
        reasons: Every argument, for and against, those that decide first.
        chosen: The image that the driver takes, where that is certain.
        findings: What else decides whether it works there; never part of the outcome.
        parts: What it was put together from: of an artifact its libraries, of a library its kinds of fatbins
            that count, of a fatbin all images that the driver has for it.
        image: The image, for the verdict of one.
        count: Of a part of a library: how many fatbins are of that kind.
        general: Of a part of a library: it is for the targets that the library is for.
        lack: Of a part of a library that fails: what that means.
        shares: Of a library or an artifact: what is missing.
        role: Of a part of an artifact: what the file is for. All but the product decides nothing.
        compiler: Of a package that compiles at run time: what its compiler makes for the device.
    """

    subject: str
    device: Device
    driver: Driver | None
    outcome: Outcome | None = None
    coverage: Coverage | None = None
    at_least: Coverage | None = None
    at_most: Coverage | None = None
    counts: OutcomeCounts = OutcomeCounts()
    reasons: tuple[Reason, ...] = ()
    chosen: Image | None = None
    findings: tuple[Finding, ...] = ()
    parts: tuple[Verdict, ...] = ()
    image: Image | None = None
    count: int = 1
    general: bool = False
    lack: Lack | None = None
    shares: Shares = Shares()
    role: Role | None = None
    compiler: Compilation | None = None

    @property
    def blocked(self) -> tuple[Finding, ...]:
        """Why nothing of it is of use there, whatever the GPU code says; empty where that is not so."""
        return tuple(one for one in self.findings if one.code in FINDINGS and FINDINGS[one.code].blocks)

    @property
    def unread(self) -> tuple[Finding, ...]:
        """What was not read, so that there may be more GPU code than was judged."""
        return tuple(one for one in self.findings if one.code in FINDINGS and FINDINGS[one.code].hides)

    def __bool__(self) -> NoReturn:
        """A verdict has four outcomes, which are not two.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a verdict is neither true nor false; ask for .outcome or .coverage")


def worst(reasons: Iterable[Reason]) -> Outcome:
    """What the arguments about one image amount to: the worst of them."""
    return max((reason.outcome for reason in reasons), key=SEVERITY.__getitem__)


def deciding_first(reasons: Iterable[Reason], outcome: Outcome | None) -> tuple[Reason, ...]:
    """Those that agree with the outcome first; otherwise in the order in which they were weighed."""
    return tuple(sorted(reasons, key=lambda reason: reason.outcome is not outcome))
