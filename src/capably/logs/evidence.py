"""What is known beside a message, as the tests of causes ask it."""

from __future__ import annotations

import itertools
import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, TypeVar

from capably.arch import ComputeCapability, Target, TargetKind
from capably.archlist import applying, read
from capably.compat import StrEnum
from capably.engine import emits
from capably.errors import ParseError
from capably.facts import Device, Image, ImageKind, ToolkitKind
from capably.logs.recognition import DISTRIBUTIONS
from capably.requirement import Requirement
from capably.tables import tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from capably.facts import Driver, Toolkit
    from capably.logs.origins import Known
    from capably.logs.recognition import SeenMessage

__all__ = [
    "MOST_SHOWN",
    "UNDECIDED",
    "Facts",
    "State",
    "Tested",
    "excluded",
    "holds",
    "image_of",
    "likely",
    "needed_by",
    "read_as",
]

_T = TypeVar("_T")


class State(StrEnum):
    """What the facts say about a cause."""

    HOLDS = "holds"
    LIKELY = "likely"  # facts point to it and do not prove it
    OPEN = "open"
    EXCLUDED = "excluded"


Tested = tuple[State, tuple[str, ...]]
UNDECIDED: Tested = (State.OPEN, ())


def holds(*evidence: str) -> Tested:
    """The cause holds, by *evidence*."""
    return State.HOLDS, evidence


def likely(*evidence: str) -> Tested:
    """The facts point to the cause, and do not prove it."""
    return State.LIKELY, evidence


def excluded(*evidence: str) -> Tested:
    """The cause is excluded, by *evidence*."""
    return State.EXCLUDED, evidence


# Messages of FlashInfer behind which may be that it left a GPU out because of the toolkit.
_WITH_FLOOR = ("flashinfer-sm75", "flashinfer-toolkit-floor")


class Facts:
    """What is known beside the message itself."""

    def __init__(
        self,
        found: SeenMessage,
        all_found: tuple[SeenMessage, ...],
        modules: frozenset[str],
        known: Known,
    ) -> None:
        self.found = found
        self.code = found.message.code
        self.codes = frozenset(one.message.code for one in all_found)
        self.modules = modules
        self.known = known
        self.system = known.system
        self.artifacts = known.artifacts
        self.params = dict(found.params)
        self._before = {one.message.code: dict(one.params) for one in all_found}
        self.others = {name: value for one in all_found for name, value in one.params}

    @cached_property
    def speaker(self) -> str | None:
        """The program whose own words the log has, as a module; None where it is not known."""
        return self.known.speaker

    @property
    def speaker_distribution(self) -> str | None:
        """The distribution of that program, where it is not known to be installed."""
        return DISTRIBUTIONS.get(self.speaker or "")

    @cached_property
    def torch(self) -> dict[str, str]:
        """What torch said of a GPU that it has no code for, in this message or before it."""
        return self._before.get("torch-incompatible", {})

    @property
    def devices(self) -> tuple[Device, ...]:
        """The GPUs where the message comes from, as far as they are known."""
        return self.known.devices

    @property
    def all_devices(self) -> bool:
        """They are all that there are: a log that names one may come from a machine with others."""
        return self.known.all_devices

    @property
    def driver(self) -> Driver | None:
        """The driver where the message comes from."""
        return self.known.driver

    @property
    def driver_cuda(self) -> CudaVersion | None:
        """The CUDA version of that driver; the release of one for a Tegra part does not tell it."""
        driver = self.driver
        if driver is None:
            return None
        known = [tables().cuda_of_driver(driver, device.capability) for device in self.devices]
        if not known and driver.cuda is None and self.system is not None and self.system.jetson:
            return None
        return known[0] if known else tables().driver_cuda(driver)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that are known to be set."""
        return self.known.environment

    @property
    def distributions(self) -> Mapping[str, str]:
        """The distributions that are known to be there, with their versions."""
        return self.known.distributions

    @property
    def unset_counts(self) -> bool:
        """Whether a variable that is not known is not set: those of this machine's shell need not be the program's."""
        return self.known.environment_complete

    @property
    def shown_devices(self) -> str:
        """The GPUs in words, and who says so."""
        return f"{self.known.says_devices}: {self.listed_devices}"

    @property
    def listed_devices(self) -> str:
        """The GPUs in words."""
        names = dict.fromkeys(f"{device.name or 'GPU'} ({device.capability})" for device in self.devices)
        return ", ".join(names)

    def absence(self, *codes: str) -> Tested:
        """Whether no device is visible for one of these reasons."""
        if self.answered is not None:
            return excluded(f"the message says: a driver of CUDA {self.answered} answered")
        if self.system is None:
            return UNDECIDED
        if self.devices:
            return excluded(self.shown_devices) if self.all_devices else (State.OPEN, (self.shown_devices,))
        if self.system.absence is None:
            return UNDECIDED
        self.known.note("gpu")
        message = next((one.message for one in self.system.findings if one.code == self.system.absence), "")
        said = f"{self.system.absence}: {message}" if message else self.system.absence
        if self.system.absence in _NOT_LOOKED:
            return State.OPEN, (said,)
        return holds(said) if self.system.absence in codes else excluded(said)

    @cached_property
    def answered(self) -> CudaVersion | None:
        """That of the driver that answered, where the message has its number (11040 is CUDA 11.4)."""
        number = int(self.params.get("driver", "0"))
        return CudaVersion(number // 1000, number % 1000 // 10) if number else None

    # -- compilers

    @cached_property
    def target(self) -> Target | None:
        """What the message says that was compiled for."""
        text = self.params.get("target", "")
        return read_as(Target.parse, text.replace("lto_", "compute_")) if "_" in text else None

    @cached_property
    def floor(self) -> CudaVersion | None:
        """The oldest toolkit that would do, where the message or the program says so."""
        if self.by_flashinfer:
            newest_first = [row.cuda for row in reversed(tables().toolkits)]
            taken = list(itertools.takewhile(lambda cuda: not self.refused(cuda), newest_first))
            return taken[-1] if 0 < len(taken) < len(newest_first) else None
        said = self.others if self.code in _WITH_FLOOR else self.params
        if "cuda" in said:
            return read_as(CudaVersion.parse, said["cuda"])
        known = tables().emitting_toolkits(self.target) if self.target else None
        return known[0] if known else None

    @cached_property
    def flashinfer(self) -> tuple[str, ...]:
        """The version of FlashInfer that printed the message: the installed one; else each that is known."""
        for name in ("flashinfer-python", "flashinfer"):
            version = self.distributions.get(name, "")
            if re.match("[0-9]", version):
                return (version,)
        return tuple(".".join(map(str, row.since)) for row in tables().dialects if row.dialect == "flashinfer")

    @cached_property
    def by_flashinfer(self) -> bool:
        """Whether the floor of the toolkit is FlashInfer's own, and the log does not say it."""
        return self.code in _WITH_FLOOR and "cuda" not in self.others

    def refused(self, cuda: CudaVersion) -> bool:
        """Whether FlashInfer leaves out a GPU because nvcc is of that version: one that is here, or else any."""
        capabilities = {device.capability for device in self.devices} or tables().architectures
        return any(_left_out(version, capability, cuda) for version in self.flashinfer for capability in capabilities)

    @property
    def unseen(self) -> bool:
        """Whether FlashInfer would ask for a toolkit for some GPUs, and which are meant is not known."""
        return self.by_flashinfer and not self.devices

    @cached_property
    def lowest(self) -> Requirement:
        """What FlashInfer's own check asks of a GPU, or of an entry of a list."""
        return Requirement.parse(applying("flashinfer", self.flashinfer[-1]).requires or ">=1.0")

    @cached_property
    def compilers(self) -> tuple[Toolkit, ...]:
        """Those of the kind that spoke, the one that is used first."""
        kind = _KINDS.get(self.code, ToolkitKind.NVCC)
        found = [one for one in self.known.toolkits if one.kind is kind]
        return tuple(sorted(found, key=lambda one: (not one.used_by, "triton" not in one.used_by)))

    def emits(self, compiler: Toolkit) -> bool | None:
        """Whether *compiler* would do; None where that is not known."""
        if self.target is not None:
            return emits(compiler, self.target)
        return None if compiler.cuda is None or self.floor is None else compiler.cuda >= self.floor


@lru_cache(maxsize=1 << 14)  # each message of a log asks again, for each toolkit
def _left_out(version: str, capability: ComputeCapability, toolkit: CudaVersion) -> bool:
    return read(None, "flashinfer", version, devices=[capability], toolkit=toolkit).error is not None


# Which compiler a message is of; nvcc where it is none of these.
_KINDS = {
    "ptxas-target": ToolkitKind.PTXAS,
    "ptx-version": ToolkitKind.PTXAS,
    "nvrtc-target": ToolkitKind.NVRTC,
}


def read_as(parse: Callable[[str], _T], text: str) -> _T | None:
    """What a message says, where it is what it looks like to a pattern: `sm_00` is no target."""
    try:
        return parse(text)
    except ParseError:
        return None


def image_of(target: Target) -> Image:
    """Code for *target* alone."""
    return Image(ImageKind.PTX if target.kind is TargetKind.VIRTUAL else ImageKind.SASS, target)


MOST_SHOWN = 6


def needed_by(facts: Facts) -> Requirement | None:
    """What the message says that a GPU has to be."""
    if facts.found.message.requires is not None:
        return facts.found.message.requires
    text = facts.params.get("floor") or facts.params.get("needed")
    target = read_as(Target.parse, text) if text else None
    return Requirement.parse(f">={target.capability}") if target is not None else None


# The probe's own failures, which say nothing about the driver.
_NOT_LOOKED = ("platform-not-probed", "probe-failed")
