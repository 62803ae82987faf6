"""What files hold: images, fatbins, libraries, artifacts."""

from __future__ import annotations

from dataclasses import dataclass, field

from capably.arch import Target
from capably.compat import StrEnum
from capably.facts.finding import Finding
from capably.facts.machine import Toolkit
from capably.version import CudaVersion, PtxVersion

__all__ = [
    "Artifact",
    "ArtifactKind",
    "BareImages",
    "Compression",
    "Fatbin",
    "FatbinGroup",
    "FatbinKernels",
    "Image",
    "ImageKernels",
    "ImageKind",
    "Library",
    "Role",
]


class ImageKind(StrEnum):
    """What one image holds. Values are those of the JSON of ``capably scan``."""

    SASS = "sass"
    PTX = "ptx"
    LTOIR = "ltoir"
    TILEIR = "tileir"
    RELPTX = "relptx"
    UNKNOWN = "unknown"


class Compression(StrEnum):
    """How the payload of a fatbin entry is stored."""

    NONE = "none"
    LZ4 = "lz4"
    ZSTD = "zstd"
    UNKNOWN = "unknown"


class Role(StrEnum):
    """What a file is for in its distribution. Only the product decides what becomes of the distribution on a device."""

    PRODUCT = "product"
    PROFILER = "profiler"
    TEST = "test"
    LINK_INPUT = "link-input"
    COMPILER = "compiler"


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
            (1, 7) or (1, 8), which a cubin outside a fatbin states itself. None where nothing says it.
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
        prelinked: It was linked from relocatable code, as its wrapper says; None where nobody read that.
    """

    images: tuple[Image, ...]
    section: str = ".nv_fatbin"
    prelinked: bool | None = None

    @property
    def stub(self) -> bool:
        """No image holds a kernel: it counts for nothing."""
        return all(image.stub is True for image in self.images)

    @property
    def idle(self) -> bool:
        """No image that a driver may load holds a kernel: it counts for nothing.

        Link-time IR is input for a linker that the program calls.
        """
        return all(image.stub is True or image.kind is ImageKind.LTOIR for image in self.images)

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
        prelinked: As of `Fatbin`.
    """

    section: str
    images: tuple[ImageKernels, ...]
    bare: bool = False
    prelinked: bool | None = None

    @property
    def fatbin(self) -> Fatbin:
        """Itself, without the kernels: equal to the one in the groups of its library."""
        return Fatbin(tuple(part.image for part in self.images), self.section, self.prelinked)


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
        runtime: The CUDA major version of the runtime that is linked into it, or of a still newer one; None where it has
            none, or one older than 12.
        copies: Further paths with the same bytes; the library counts once.
        files: How many files it stands for: its fatbins are those of all of them. More than one only where an engine
            takes files of equal code together.
        sha256: Only where asked for.
        kernels: One for each fatbin, in the order of the file; None where not asked for.
    """

    path: str
    size_bytes: int
    fatbins: tuple[FatbinGroup, ...] = ()
    bare: tuple[BareImages, ...] = ()
    machine: str | None = None
    needed: tuple[str, ...] = ()
    runtime: int | None = None
    copies: tuple[str, ...] = ()
    files: int = 1
    sha256: str | None = None
    kernels: tuple[FatbinKernels, ...] | None = field(default=None, repr=False)

    @property
    def link_input(self) -> bool:
        """It holds relocatable code and link-time IR only, so it is input for a linker and nothing the driver loads."""
        real = [group.fatbin for group in self.fatbins if not group.fatbin.stub]
        return bool(real) and all(fatbin.relocatable or fatbin.idle for fatbin in real)


class ArtifactKind(StrEnum):
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
        compilers: Those that lie in it, whose paths are as those of libraries, with the versions that they state.
        requires: What the distribution requires, as its metadata have it: ``jaxlib<=0.10.2,>=0.10.2``.
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
    compilers: tuple[Toolkit, ...] = ()
    requires: tuple[str, ...] = ()
