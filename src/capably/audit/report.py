"""What is said about a release: remarks with the gaps that they are about, what changed, and the report of it all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.arch import Target
from capably.codes import FINDINGS
from capably.compat import StrEnum
from capably.engine import Coverage, OutcomeCounts, Verdict
from capably.facts import Artifact, Device, Driver

if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = [
    "BaselineComparison",
    "CoverageChange",
    "Gap",
    "Remark",
    "RemarkSeverity",
    "Report",
    "gap_of",
    "joined",
    "remark_of",
]


class RemarkSeverity(StrEnum):
    """How bad a remark is."""

    ERROR = "error"  # a definite breach of what was asked for
    UNKNOWN = "unknown"  # whether it is one cannot be told
    WARNING = "warning"  # most likely not what was meant
    NOTE = "note"  # good to know


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
        code: Key in `capably.codes.FINDINGS`.
        severity: How bad it is.
        path: A library in the artifact; empty for the artifact as a whole.
        message: One sentence.
        way_out: What to do; may be empty.
        gaps: For which GPUs, where it is about some.
        allowed: Why it is allowed all the same; None where it is not.
    """

    code: str
    severity: RemarkSeverity
    path: str
    message: str
    way_out: str = ""
    gaps: tuple[Gap, ...] = ()
    allowed: str | None = None


@dataclass(frozen=True, slots=True)
class CoverageChange:
    """What one GPU can do with two releases."""

    device: Device
    before: Coverage | None
    after: Coverage | None
    counts_before: OutcomeCounts
    counts_after: OutcomeCounts


@dataclass(frozen=True, slots=True)
class BaselineComparison:
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
    changes: tuple[CoverageChange, ...]
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
    comparison: BaselineComparison | None = None
    size_bytes: int | None = None
    elsewhere: tuple[Device, ...] = ()

    def count(self, severity: RemarkSeverity) -> int:
        """How many remarks of that severity are not allowed."""
        return sum(remark.severity is severity and remark.allowed is None for remark in self.remarks)


def remark_of(
    code: str, severity: RemarkSeverity, path: str, gaps: tuple[Gap, ...] = (), subject: str = "", **params: object
) -> Remark:
    """A remark in the words of the page of *code*; *subject* is what they speak of, where that is not *path*."""
    page = FINDINGS[code]
    texts = {"subject": subject or path, **params}
    return Remark(code, severity, path, page.message.format_map(texts), page.way_out.format_map(texts), gaps)


def gap_of(  # noqa: PLR0917 - as `Gap` has them
    device: Device,
    driver: Driver,
    counts: OutcomeCounts,
    found: Iterable[Verdict],
    kernels: tuple[str, ...] = (),
    since: Driver | None = None,
) -> Gap:
    """The gap that the fatbins with the verdicts *found* are."""
    verdicts = sorted(found, key=lambda verdict: -verdict.count)
    return Gap(device, driver, counts, sum(verdict.count for verdict in verdicts), tuple(verdicts), kernels, since)


def joined(texts: Iterable[object], most: int = 8) -> str:
    """*texts* with commas, of which *most* are told.

    >>> joined("abcd", most=2)
    'a, b, 2 more'
    """
    listed = [str(text) for text in texts]
    more = [f"{len(listed) - most} more"] if len(listed) > most else []
    return ", ".join(listed[:most] + more)
