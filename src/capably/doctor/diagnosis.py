"""What a diagnosis is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.codes import FINDINGS
from capably.compat import StrEnum
from capably.engine import Advice, Coverage, Verdict
from capably.facts import Artifact, Device

if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = [
    "Area",
    "Diagnosis",
    "Evidence",
    "Examination",
    "Installed",
    "JudgedPackage",
    "Severity",
    "device_name",
    "device_origin",
    "diagnosis_of",
]


class Severity(StrEnum):
    """How much a diagnosis matters, worst first."""

    ERROR = "error"  # something does not work
    WARNING = "warning"  # something may not work
    NOTE = "note"  # good to know


class Area(StrEnum):
    """What a diagnosis is about, in the order in which causes are looked for."""

    DRIVER = "driver"
    INSTALLATION = "installation"
    COMPILER = "compiler"
    DEVICES = "devices"
    ARCHITECTURE = "architecture"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fact, and where it is from."""

    fact: str
    via: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One cause.

    Attributes:
        code: Key in `capably.codes.FINDINGS`.
        severity: How much it matters.
        area: What it is about.
        subject: The package, file, compiler or driver.
        message: The cause, as one sentence.
        evidence: What shows it.
        action: What mends it, as one sentence; empty where nothing has to be done.
        command: What to type, for that or to find out more.
        gpus: Which of the GPUs it is about, as indexes; empty where it is about none in particular.
        sources: Keys in ``data/sources.json``.
    """

    code: str
    severity: Severity
    area: Area
    subject: str
    message: str
    evidence: tuple[Evidence, ...] = ()
    action: str = ""
    command: str | None = None
    gpus: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed distribution.

    Attributes:
        artifact: What was found in it.
        requires: Its requirements, as the metadata have them.
        libraries: Names of the shared libraries that it brings.
    """

    artifact: Artifact
    requires: tuple[str, ...] = ()
    libraries: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Of the distribution."""
        return self.artifact.name or self.artifact.path

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.artifact.version}" if self.artifact.version else self.name


@dataclass(frozen=True, slots=True)
class JudgedPackage:
    """One distribution, or one alternative of it, on one GPU: what the engine says, and advises."""

    installed: Installed
    alternative: str | None
    artifact: Artifact
    gpu: int
    verdict: Verdict
    advice: Advice

    @property
    def at_run_time(self) -> bool:
        """Its kernels are compiled when they are used, and by what is not decided: what is prebuilt does not matter."""
        made = self.verdict.compiler
        return made is not None and made.kernels == "run-time" and self.verdict.coverage is Coverage.UNKNOWN


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found.

    Attributes:
        diagnoses: Worst first.
        judged: Distributions with GPU code by GPU.
        holding: Those with GPU code, whether there was a GPU to judge them on or not.
    """

    diagnoses: tuple[Diagnosis, ...]
    judged: tuple[JudgedPackage, ...]
    holding: tuple[Installed, ...] = ()


def diagnosis_of(
    code: str,
    severity: Severity,
    area: Area,
    subject: str,
    evidence: Iterable[Evidence] = (),
    *,
    command: str | None = None,
    action: str | None = None,
    gpus: tuple[int, ...] = (),
    title: str | None = None,
    **params: object,
) -> Diagnosis:
    """A diagnosis from the page of its code, with *params* filled in; `title` is how the subject is called."""
    page = FINDINGS[code]
    texts = {"subject": title or subject, **params}
    way_out = page.way_out.format_map(texts) if action is None else action
    message = page.message.format_map(texts)
    return Diagnosis(code, severity, area, subject, message, tuple(evidence), way_out, command, gpus, page.sources)


def device_name(device: Device) -> str:
    """A device by its name and its compute capability."""
    return f"{device.name} ({device.capability})" if device.name else str(device.capability)


def device_origin(device: Device) -> str:
    """Who says that a device is there."""
    return "named, not found" if device.assumed else device.via or "driver"
