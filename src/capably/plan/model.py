"""What a plan is: the targets to compile for, and what serves each GPU."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.arch import Suffix, Target, TargetKind
from capably.codes import Outcome
from capably.compat import StrEnum
from capably.engine import Verdict
from capably.facts import Device, Driver, Finding, Image, ImageKind
from capably.requirement import Requirement
from capably.tables import KnownToolkit, tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from capably.list_output import Entry
    from capably.version import PtxVersion

__all__ = ["Plan", "PlanPolicy", "Served", "compiled", "entries"]


class PlanPolicy(StrEnum):
    """What a plan is for."""

    NATIVE = "native"  # machine code for every GPU
    EACH = "each"  # what every GPU would get if it were the only one: machine code, else PTX
    PTX = "ptx"  # machine code where the toolkit has it, and PTX for GPUs to come
    SIZE = "size"  # the fewest images, even if some GPUs have PTX only


@dataclass(frozen=True, slots=True)
class Served:
    """One GPU, and what the plan does for it.

    Attributes:
        device: The GPU.
        driver: By which driver; marked as assumed where nobody named one.
        verdict: Of the planned images as one fatbin, on this device: the proof. Images that cannot hold what is
            needed there are left out of it. For a GPU that is not covered, of all images that the policy could have
            taken: why none of them would do; or of the requirement, where the GPU does not meet it.
        covered: Whether what the policy promises certainly holds.
        blocked: Why nothing that this toolkit builds starts there, whatever its targets; empty where that is not so.
        toolkits: For a GPU that is not covered: the toolkits that would cover it, in rising order.
        unsaid: For a GPU that is not covered: targets that would cover it and that the tool cannot be asked for.
        unmet: The GPU does not meet the requirement, or it is not known whether it does.
        ptx: For a GPU that is not covered: PTX of this toolkit would do there.
    """

    device: Device
    driver: Driver
    verdict: Verdict
    covered: bool
    blocked: tuple[Finding, ...] = ()
    toolkits: tuple[CudaVersion, ...] = ()
    unsaid: tuple[Target, ...] = ()
    unmet: bool = False
    ptx: bool = False

    @property
    def outcome(self) -> Outcome:
        """What becomes of the planned code there; for a GPU that is not covered, of the best that there is for it."""
        return self.verdict.outcome or Outcome.FAILS

    @property
    def by(self) -> tuple[Target, ...]:
        """The planned targets that the outcome rests on, in the order of the plan."""
        parts = (part for part in self.verdict.parts if part.outcome is self.outcome and part.image is not None)
        return tuple(part.image.target for part in parts if part.image is not None and part.image.target is not None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build, and what it does.

    Attributes:
        toolkit: The CUDA version of the compiler.
        policy: What the plan is for.
        needs: What the code needs of a GPU; None where nothing was said.
        targets: Real ones in rising order, then PTX. Empty where nothing can be covered.
        served: One for each GPU that was asked for, in that order.
        findings: What could not be had, and which toolkit would have it.
        toolkits: Where GPUs are left uncovered: the toolkits that would cover all of them.
    """

    toolkit: CudaVersion
    policy: PlanPolicy
    needs: Requirement | None
    targets: tuple[Target, ...]
    served: tuple[Served, ...]
    findings: tuple[Finding, ...] = ()
    toolkits: tuple[CudaVersion, ...] = ()

    @property
    def complete(self) -> bool:
        """Every GPU is certainly covered."""
        return all(one.covered for one in self.served)

    @property
    def unsettled(self) -> bool:
        """Some GPU is not covered, and of each of those it is unknown rather than certain that it is not."""
        left = [one for one in self.served if not one.covered]
        return bool(left) and all(one.outcome is Outcome.UNKNOWN and not one.blocked for one in left)

    def covers(self, target: Target) -> tuple[Served, ...]:
        """The GPUs that rest on *target*."""
        return tuple(one for one in self.served if one.covered and target in one.by)


def compiled(target: Target, cuda: CudaVersion) -> Image:
    """The image that the compiler of *cuda* makes for *target*.

    >>> from capably.version import CudaVersion
    >>> compiled(Target.parse("compute_90"), CudaVersion(12, 8)).ptx
    PtxVersion(major=8, minor=7)
    """
    if target.kind is TargetKind.VIRTUAL:
        return Image(ImageKind.PTX, target, ptx=_ptx_version(cuda), toolkit=cuda)
    return Image(ImageKind.SASS, target, toolkit=cuda)


def _ptx_version(cuda: CudaVersion) -> PtxVersion | None:
    """The PTX ISA version that a toolkit writes; None beyond the tables."""
    return next((ptx for version, ptx in tables().ptx if version == cuda), None)


@functools.cache
def entries(toolkit: KnownToolkit) -> tuple[Entry, ...]:
    """Every target of *toolkit*, each by itself, as nvcc can be asked for it.

    PTX with the suffix `a` is left out: it is for one capability, where machine code loads as well.
    """
    real = sorted(map(Target.parse, toolkit.targets))
    virtual = [
        Target(target.capability, target.suffix, TargetKind.VIRTUAL)
        for target in real
        if target.suffix is not Suffix.ARCH_SPECIFIC
    ]
    return tuple((target,) for target in (*real, *virtual))
