"""What a project promises of its wheels, and what it knows about and ships all the same."""

from __future__ import annotations

import fnmatch
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.arch import Target
from capably.codes import FINDINGS
from capably.compat import StrEnum
from capably.facts import Device, Driver
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = ["ALLOWABLE", "BLOCKERS", "CHECKS", "GAPS", "Allowance", "AuditPolicy", "Ptx", "matches"]


class Ptx(StrEnum):
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
            and (not self.libraries or matches(self.libraries, path))
            and (not self.gpus or (device is not None and device.capability in {g.capability for g in self.gpus}))
        )


@dataclass(frozen=True, slots=True)
class AuditPolicy:
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


@functools.lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text))


def matches(patterns: Iterable[str], text: str) -> bool:
    """Whether one of the shell *patterns* is that of *text*, in its letters as they are."""
    return any(_pattern(pattern).match(text) for pattern in patterns)
