"""What was observed: records without opinions.

Files are scanned into images, fatbins, libraries and artifacts; machines into systems with their devices,
drivers and toolkits. All records are frozen and hashable, so that thousands of equal fatbins are one record
and a count, and so that an answer can be replayed from its facts. `to_object` and `from_object` turn any of
them into plain JSON values and back.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from dataclasses import dataclass, field

from capably.arch import ComputeCapability, Target
from capably.errors import ParseError, RecordError
from capably.version import CudaVersion, DriverRelease, PtxVersion

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from typing import Any, TypeVar

__all__ = [
    "Artifact",
    "ArtifactKind",
    "BareImages",
    "Compression",
    "Confidence",
    "Device",
    "Driver",
    "DriverState",
    "Fatbin",
    "FatbinGroup",
    "FatbinKernels",
    "Finding",
    "Image",
    "ImageKernels",
    "ImageKind",
    "Library",
    "PtxJit",
    "Standing",
    "System",
    "Toolkit",
    "ToolkitKind",
    "Visibility",
    "from_object",
    "to_object",
]


class ImageKind(enum.StrEnum):
    """What one image holds. Values are those of the JSON of ``capably scan``."""

    SASS = "sass"
    PTX = "ptx"
    LTOIR = "ltoir"
    TILEIR = "tileir"
    RELPTX = "relptx"
    UNKNOWN = "unknown"


class Compression(enum.StrEnum):
    """How the payload of a fatbin entry is stored."""

    NONE = "none"
    LZ4 = "lz4"
    ZSTD = "zstd"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Image:
    """One piece of GPU code for one target.

    Attributes:
        kind: Machine code, PTX, link-time IR and so on.
        target: What it was compiled for, suffix included; None where the container does not say.
        relocatable: It still has to be linked (``-rdc``), so the driver does not load it as it is.
        stub: It holds no kernel (no ``.text.*`` section; PTX without ``.entry`` or ``.func``). None where
            that could not be read.
        compression: How it is stored in its fatbin.
        concatenated: It sits in the concatenated container of CUDA 13.4 (entry kind 0x100).
        ptx: The PTX ISA version of PTX; None for other kinds and where unknown.
        code_version: ``(major, minor)`` of the entry header. For SASS the generation of the cubin ABI:
            (1, 7) or (1, 8). None outside a fatbin.
        toolkit: The toolkit that made it, where a note or a record says so exactly.
    """

    kind: ImageKind
    target: Target | None
    relocatable: bool = False
    stub: bool | None = False
    compression: Compression = Compression.NONE
    concatenated: bool = False
    ptx: PtxVersion | None = None
    code_version: tuple[int, int] | None = None
    toolkit: CudaVersion | None = None


@dataclass(frozen=True, slots=True)
class Fatbin:
    """The images of one translation unit. The driver chooses among these and no others.

    Attributes:
        images: In the order of the file; may be empty.
        section: The host section that holds it, as named in the file; ``file`` for a loose one.
    """

    images: tuple[Image, ...]
    section: str = ".nv_fatbin"

    @property
    def stub(self) -> bool:
        """No image holds a kernel: it counts for nothing."""
        return all(image.stub is True for image in self.images)

    @property
    def relocatable(self) -> bool:
        """It is link input: every image is relocatable."""
        return bool(self.images) and all(image.relocatable for image in self.images)


@dataclass(frozen=True, slots=True)
class FatbinGroup:
    """Equal fatbins of one library, and how many there are."""

    fatbin: Fatbin
    count: int


@dataclass(frozen=True, slots=True)
class BareImages:
    """Equal images that lie in a data section outside any fatbin. Listed, never judged."""

    section: str
    image: Image
    count: int


@dataclass(frozen=True, slots=True)
class ImageKernels:
    """The kernels (``__global__`` functions) of one image, as columns: equal ones are stored once.

    Attributes:
        image: What it is; as in the fatbins of its library.
        names: Of the kernels, as the compiler mangled them, in the order of the file. None where they could not
            be read, or cannot be (LTO-IR, unknown kinds).
        registers: Of a thread, for each kernel; None where nothing says it. Empty for PTX, which has none yet.
        shared_bytes: Of static shared memory, of a block, for each kernel; empty for PTX.
        toolkit: That made the image, as its notes say; they know it in more cases than its header.
        stored_bytes: What the image takes in its file.
        size_bytes: When decompressed; 0 where that was not needed.
    """

    image: Image
    names: tuple[str, ...] | None
    registers: tuple[int | None, ...] = ()
    shared_bytes: tuple[int, ...] = ()
    toolkit: CudaVersion | None = None
    stored_bytes: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FatbinKernels:
    """One fatbin with the kernels of its images.

    Attributes:
        section: The host section that holds it.
        images: In the order of the file.
        bare: It is an image that lies outside any fatbin, so it is listed and never judged.
    """

    section: str
    images: tuple[ImageKernels, ...]
    bare: bool = False

    @property
    def fatbin(self) -> Fatbin:
        """Itself, without the kernels: equal to the one in the groups of its library."""
        return Fatbin(tuple(part.image for part in self.images), self.section)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know beside the answer: damage, a limit, a host that does not fit.

    Attributes:
        code: Key in `capably.reasons`.
        path: What it is about: a file, or a member of an archive.
        message: One sentence, for people.
    """

    code: str
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Library:
    """One file with GPU code.

    Attributes:
        path: Relative to the artifact, with ``/``; ``!/`` stands between an archive and what lies in it.
        size_bytes: Of the file, uncompressed.
        fatbins: Groups of equal fatbins over all sections.
        bare: Images outside any fatbin.
        machine: Host processor of an ELF or PE file (``x86_64``, ``aarch64``, ``EM_<n>``,
            ``PE_0x<n>``), or of the objects of a static library if it is one; None for files that no host loads.
        needed: Shared libraries that it names as needed (DT_NEEDED, import directory).
        copies: Further paths with the same bytes; the library counts once.
        sha256: Only where asked for.
        kernels: One for each fatbin, in the order of the file; None where not asked for.
    """

    path: str
    size_bytes: int
    fatbins: tuple[FatbinGroup, ...] = ()
    bare: tuple[BareImages, ...] = ()
    machine: str | None = None
    needed: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    sha256: str | None = None
    kernels: tuple[FatbinKernels, ...] | None = field(default=None, repr=False)

    @property
    def link_input(self) -> bool:
        """It holds relocatable code only, so it is input for the linker and nothing the driver loads."""
        real = [group.fatbin for group in self.fatbins if not group.fatbin.stub]
        return bool(real) and all(fatbin.relocatable for fatbin in real)


class ArtifactKind(enum.StrEnum):
    """What was scanned."""

    LIBRARY = "library"
    WHEEL = "wheel"
    ARCHIVE = "archive"
    DIRECTORY = "directory"
    DISTRIBUTION = "distribution"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a user named: a wheel, an installed distribution, a directory, a library.

    Attributes:
        path: As it was named.
        kind: What it turned out to be.
        libraries: The files in it that hold GPU code, by path.
        findings: What could not be read, and other things to know.
        name: Name of the distribution, normalised; None where there is none.
        version: Its version.
        platforms: Platform tags of the wheel: ``manylinux_2_28_x86_64``.
        files: How many files were looked at.
        sha256: Of the file, only where asked for.
    """

    path: str
    kind: ArtifactKind
    libraries: tuple[Library, ...] = ()
    findings: tuple[Finding, ...] = ()
    name: str | None = None
    version: str | None = None
    platforms: tuple[str, ...] = ()
    files: int = 0
    sha256: str | None = None


class Confidence(enum.StrEnum):
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

    @property
    def model(self) -> Device:
        """What is the same for equal products: enough to judge code, nothing that tells two of them apart."""
        return Device(self.capability, self.name, self.hosts, self.assumed)


class PtxJit(enum.StrEnum):
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
        on_bus: NVIDIA GPUs on the bus, as the kernel lists them; None where that is not how they are attached.
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


class ToolkitKind(enum.StrEnum):
    """A program or library that makes GPU code."""

    NVCC = "nvcc"
    PTXAS = "ptxas"
    NVRTC = "nvrtc"


@dataclass(frozen=True, slots=True)
class Toolkit:
    """A compiler that is installed.

    Attributes:
        kind: Which one.
        path: Where, without names of people.
        via: By which routes it was found, first the one that comes first: ``PATH``, ``CUDA_HOME``, ``wheel``.
        cuda: The CUDA version that it belongs to.
        version: In full, as it says itself or as its package does: ``13.0.88``.
        used_by: Who would use it as things are: ``shell``, ``torch``, ``triton``, ``jax``.
        targets: What it can emit, by its own list; None where it was not asked or did not answer.
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


# ---------------------------------------------------------------------------------------------------------
# Records as plain JSON values, and back

if TYPE_CHECKING:
    _Record = TypeVar("_Record")

# Written as people write them, and read by their own parsers.
_AS_TEXT = (ComputeCapability, Target, CudaVersion, DriverRelease, PtxVersion)


def to_object(record: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """*record* as dictionaries, lists, texts, numbers, booleans and None.

    Raises:
        TypeError: It holds something that is no record.

    >>> to_object(Device(ComputeCapability(9, 0), "H100"))["capability"]
    '9.0'
    """
    if isinstance(record, enum.Enum):
        return record.value
    if record is None or isinstance(record, (bool, int, str)):
        return record
    if isinstance(record, _AS_TEXT):
        return str(record)
    if isinstance(record, tuple):
        return [to_object(item) for item in record]
    if dataclasses.is_dataclass(record):
        return {field.name: to_object(getattr(record, field.name)) for field in dataclasses.fields(record)}
    raise TypeError(f"no record: {type(record).__name__}")


def from_object(kind: type[_Record], value: object) -> _Record:
    """The record of *kind* that *value* describes, the reverse of `to_object`.

    Strict: an unknown name, a missing one without a default, or a value of another type is refused.

    Raises:
        RecordError: *value* does not describe such a record; it names the place.

    >>> from_object(CudaVersion, "12.4")
    CudaVersion(major=12, minor=4)
    """
    result: _Record = _read(kind, value, "$")
    return result


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    """Name, type and whether it may be left out, for each field of a record."""
    import typing  # noqa: PLC0415 - it costs 8 ms, and records are read by few

    hints = typing.get_type_hints(kind)
    return tuple(
        (field.name, hints[field.name], field.default is not dataclasses.MISSING) for field in dataclasses.fields(kind)
    )


def _read(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401 - a type and a value of it
    import typing  # noqa: PLC0415 - as above

    origin = typing.get_origin(kind)
    if origin is types.UnionType:  # only ever `X | None`
        inner = next(option for option in typing.get_args(kind) if option is not types.NoneType)
        return None if value is None else _read(inner, value, place)
    if origin is tuple:
        if not isinstance(value, list):
            raise RecordError(place, "a list was expected")
        options = typing.get_args(kind)
        if options[-1] is not Ellipsis and len(options) != len(value):
            raise RecordError(place, f"a list of {len(options)} was expected")
        options = (options[0],) * len(value) if options[-1] is Ellipsis else options
        return tuple(
            _read(option, item, f"{place}[{index}]")
            for index, (option, item) in enumerate(zip(options, value, strict=True))
        )
    if kind in _AS_TEXT or issubclass(kind, enum.StrEnum):
        if not isinstance(value, str):
            raise RecordError(place, "a text was expected")
        try:
            return kind.parse(value) if kind in _AS_TEXT else kind(value)
        except ParseError as error:
            raise RecordError(place, str(error).splitlines()[0]) from error
        except ValueError as error:
            raise RecordError(place, str(error)) from error
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, place)
    if type(value) is not kind:  # True is an int, but no number of anything
        raise RecordError(place, f"{kind.__name__} was expected")
    return value


def _read_fields(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401 - as above
    if not isinstance(value, dict):
        raise RecordError(place, "an object was expected")
    left = dict(value)
    found = {}
    for name, option, optional in _fields(kind):
        if name in left:
            found[name] = _read(option, left.pop(name), f"{place}.{name}")
        elif not optional:
            raise RecordError(f"{place}.{name}", "is missing")
    if left:
        raise RecordError(f"{place}.{min(left, key=str)}", "is not known")
    try:
        return kind(**found)
    except ValueError as error:
        raise RecordError(place, str(error)) from error
