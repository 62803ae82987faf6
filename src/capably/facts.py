"""What was observed: records without opinions.

Files are scanned into images, fatbins, libraries and artifacts; machines into devices and drivers. All
records are frozen and hashable, so that thousands of equal fatbins are one record and a count, and so that
an answer can be replayed from its facts.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from capably.arch import ComputeCapability, Target
from capably.version import CudaVersion, DriverRelease, PtxVersion

__all__ = [
    "Artifact",
    "ArtifactKind",
    "BareImages",
    "Compression",
    "Device",
    "Driver",
    "Fatbin",
    "FatbinGroup",
    "Finding",
    "Image",
    "ImageKind",
    "Library",
    "PtxJit",
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
    """

    path: str
    size_bytes: int
    fatbins: tuple[FatbinGroup, ...] = ()
    bare: tuple[BareImages, ...] = ()
    machine: str | None = None
    needed: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    sha256: str | None = None

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


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU that is there, or that is assumed to be.

    Attributes:
        capability: Its compute capability.
        name: Product name, where one was given.
        hosts: Processors of the machines that it comes in, where that is fixed (``("aarch64",)`` for a
            Jetson); empty where it is not.
        assumed: It was named, not found.
    """

    capability: ComputeCapability
    name: str | None = None
    hosts: tuple[str, ...] = ()
    assumed: bool = False


class PtxJit(enum.StrEnum):
    """What the environment tells the driver about compiling PTX."""

    ALLOWED = "allowed"
    FORCED = "forced"  # CUDA_FORCE_PTX_JIT=1: machine code is ignored
    DISABLED = "disabled"  # CUDA_DISABLE_PTX_JIT=1: PTX is ignored


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
