"""What a machine is: devices, drivers, toolkits, systems."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from capably.arch import ComputeCapability, Target
from capably.compat import StrEnum
from capably.facts.finding import Finding
from capably.version import CudaVersion, DriverRelease

__all__ = [
    "Confidence",
    "Device",
    "Driver",
    "DriverState",
    "PtxJit",
    "Standing",
    "System",
    "Toolkit",
    "ToolkitKind",
    "Visibility",
]


class Confidence(StrEnum):
    """How sure a fact about the machine is, best first."""

    EXACT = "exact"  # whoever decides it was asked: the driver
    PARSED = "parsed"  # follows from documented rules
    ASSUMED = "assumed"  # likely, but only a real driver could settle it


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU that is there, or that is assumed to be.

    Only the capability decides about GPU code; everything behind `assumed` identifies or describes a device
    that was found, and is None where nobody said it.

    Attributes:
        capability: Its compute capability.
        name: Product name, where one was given.
        hosts: Processors of the machines that it comes in, where that is fixed (``("aarch64",)`` for a
            Jetson); empty where it is not.
        assumed: It was named, not found.
        ordinal: CUDA's number for it in the process that asked.
        uuid: ``GPU-…`` or, for a slice, ``MIG-…``.
        pci: ``0000:41:00.0``; that of the whole GPU for a slice.
        memory_bytes: Of the device, or of the slice.
        multiprocessors: As CUDA counts them.
        integrated: It shares its memory with the host.
        mig_mode: The GPU is partitioned.
        mig_profile: For a slice, what it is: ``1g.5gb``.
        via: Who said so: ``cuda``, ``nvml`` or both (``cuda+nvml``).
        confidence: Of the ordinal. What the device is was always asked of a driver library.

    Raises:
        TypeError: *capability* is a text, a tuple or whatever else, which no rule could compare.

    >>> Device("9.0")
    Traceback (most recent call last):
        ...
    TypeError: capability is '9.0': write ComputeCapability.parse("9.0") or ComputeCapability(9, 0)
    """

    capability: ComputeCapability
    name: str | None = None
    hosts: tuple[str, ...] = ()
    assumed: bool = False
    ordinal: int | None = None
    uuid: str | None = None
    pci: str | None = None
    memory_bytes: int | None = None
    multiprocessors: int | None = None
    integrated: bool | None = None
    mig_mode: bool | None = None
    mig_profile: str | None = None
    via: str | None = None
    confidence: Confidence | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.capability, ComputeCapability):
            raise TypeError(
                f'capability is {self.capability!r}: write ComputeCapability.parse("9.0") or ComputeCapability(9, 0)'
            )

    def __hash__(self) -> int:
        """Of what tells most devices apart: they are asked for by the hundred thousand, and 14 fields take their time."""
        return hash((self.capability.major, self.capability.minor, self.name, self.ordinal, self.memory_bytes))

    @property
    def model(self) -> Device:
        """What is the same for equal products: enough to judge code, nothing that tells two of them apart."""
        return Device(self.capability, self.name, self.hosts, self.assumed)


class PtxJit(StrEnum):
    """What the environment tells the driver about compiling PTX."""

    ALLOWED = "allowed"
    FORCED = "forced"  # CUDA_FORCE_PTX_JIT=1: machine code is ignored
    DISABLED = "disabled"  # CUDA_DISABLE_PTX_JIT=1: PTX is ignored


class Standing(enum.Enum):
    """Where a driver stands beside the branches that the tables know."""

    OLDER = "older"
    KNOWN = "known"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver that would load the code.

    At least one of the two numbers is known; the tables give the other where they can.

    Attributes:
        release: Of the driver: 550.54.14.
        cuda: The newest CUDA version that it supports: 12.4.
        assumed: It was not found on a machine.
        jit: What the environment says about compiling PTX.

    Raises:
        ValueError: Neither number is given.
    """

    release: DriverRelease | None = None
    cuda: CudaVersion | None = None
    assumed: bool = False
    jit: PtxJit = PtxJit.ALLOWED

    def __post_init__(self) -> None:
        if self.release is None and self.cuda is None:
            raise ValueError("a driver needs a release or a CUDA version")


@dataclass(frozen=True, slots=True)
class DriverState:
    """How the parts of an installed driver are. None where nobody could say.

    Attributes:
        kernel_module: Release of the loaded kernel module.
        user_library: Release of the libcuda that is found first, from its file name.
        cuda: What that libcuda says that it supports.
        library_path: Where it is, without names of people.
        nvml: Release that NVML names.
        compat: The libcuda is that of a forward-compatibility package.
        error: What cuInit returned, other than 0; the number of a CUresult.
        nvml_error: What nvmlInit returned, other than 0; the number of an nvmlReturn_t.
        nodes: Device files of GPUs are there.
        on_bus: NVIDIA GPUs on the bus, as the kernel lists them; None where it shows no bus, or that is not how they
            are attached.
    """

    kernel_module: DriverRelease | None = None
    user_library: DriverRelease | None = None
    cuda: CudaVersion | None = None
    library_path: str | None = None
    nvml: DriverRelease | None = None
    compat: bool = False
    error: int | None = None
    nvml_error: int | None = None
    nodes: bool | None = None
    on_bus: int | None = None


@dataclass(frozen=True, slots=True)
class Visibility:
    """What decides which devices a process sees, and in which order.

    Attributes:
        visible_devices: ``CUDA_VISIBLE_DEVICES``; None where it is not set.
        device_order: ``CUDA_DEVICE_ORDER``; None where it is not set.
        confidence: Of the list of devices.
        via: Who told: ``cuda`` (the driver was asked), ``rules`` (documented rules were applied).
    """

    visible_devices: str | None = None
    device_order: str | None = None
    confidence: Confidence = Confidence.PARSED
    via: str = "rules"


class ToolkitKind(StrEnum):
    """A program or library that makes GPU code."""

    NVCC = "nvcc"
    PTXAS = "ptxas"
    NVRTC = "nvrtc"


@dataclass(frozen=True, slots=True)
class Toolkit:
    """A compiler that was found: on a machine, or among the files of an artifact.

    Attributes:
        kind: Which one.
        path: Where, without names of people; in an artifact relative to that.
        via: By which routes it was found, first the one that comes first: ``PATH``, ``CUDA_HOME``, ``wheel``.
        cuda: The CUDA version that it belongs to.
        version: In full, as it says itself, or as its file or its package does: ``13.0.88``.
        used_by: Who would use it as things are: ``shell``, ``torch``, ``triton``, ``jax``.
        targets: What it can emit, by its own list; None where it was not run or did not answer. The tables tell it then,
            by `cuda`.
        host_gcc: The newest GCC that it accepts, where its headers say so.
    """

    kind: ToolkitKind
    path: str
    via: tuple[str, ...] = ()
    cuda: CudaVersion | None = None
    version: str | None = None
    used_by: tuple[str, ...] = ()
    targets: tuple[Target, ...] | None = None
    host_gcc: int | None = None


@dataclass(frozen=True, slots=True)
class System:
    """One machine as one process sees it: what `capably doctor --save` writes and `--system` replays.

    No host name, no user name and no path outside of the environment and of where systems keep software is
    in it.

    Attributes:
        schema: Of this record.
        machine: Its processor, as in platform tags: ``x86_64``.
        os: ``linux``, ``win32``, ``darwin``.
        os_release: Distribution and version: ``ubuntu 24.04``.
        libc: ``glibc 2.39``.
        python: Version of the interpreter.
        wsl: It is the Windows Subsystem for Linux.
        container: What kind of container it is; None outside of one.
        jetson: It is a Tegra system, whose GPU is not on the PCI bus.
        driver: What would load code; None where none is installed, or none answers.
        driver_state: How its parts are.
        devices: Those that this process would see, as CUDA numbers them.
        fleet: All that the machine has, as far as the driver libraries list them, by PCI address.
        visibility: What decided between the two.
        absence: Code of the finding that says why no device is visible; None where one is.
        toolkits: The compilers.
        environment: Variables that matter, with their values.
        distributions: Installed distributions that matter, with their versions.
        findings: What was noticed, that about the absence first.
    """

    schema: int = 1
    machine: str = ""
    os: str = ""
    os_release: str | None = None
    libc: str | None = None
    python: str = ""
    wsl: bool = False
    container: str | None = None
    jetson: bool = False
    driver: Driver | None = None
    driver_state: DriverState = DriverState()
    devices: tuple[Device, ...] = ()
    fleet: tuple[Device, ...] = ()
    visibility: Visibility = Visibility()
    absence: str | None = None
    toolkits: tuple[Toolkit, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    distributions: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
