"""What was observed: records without opinions.

Files are scanned into images, fatbins, libraries and artifacts; machines into devices and drivers. All
records are frozen and hashable, so that thousands of equal fatbins are one record and a count, and so that
an answer can be replayed from its facts.
"""

from __future__ import annotations

import enum
from dataclasses import MISSING, dataclass, fields
from functools import cache, lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from capably.arch import ComputeCapability, Target
from capably.version import CudaVersion, DriverRelease, PtxVersion

if TYPE_CHECKING:
    from collections.abc import Callable

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
    "from_json",
    "to_json",
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


# -- JSON

_Record = TypeVar("_Record")
_MOST_TEXTS = 4_096


def to_json(record: object) -> Any:  # noqa: ANN401 - what `json` takes has no type
    """A record of this module as what `json.dumps` takes.

    Records are objects without the fields that have their default, version numbers are arrays of numbers,
    targets and capabilities are texts.

    Raises:
        ValueError: It is no such record.
    """
    kind: Any = type(record)
    if kind not in _RECORDS:
        raise ValueError(f"not a record: {kind.__name__}")
    return _codec(kind)[0](record)


def from_json(kind: type[_Record], value: object) -> _Record:
    """The record that `to_json` made *value* of.

    Args:
        kind: Its class.
        value: What `json.loads` gave.

    Raises:
        ValueError: It is not such a record: a field is missing, unknown or of another type.
    """
    asked: Any = kind
    if asked not in _RECORDS:
        raise ValueError(f"not a kind of record: {asked.__name__}")
    try:
        result: _Record = _codec(asked)[1](value)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a record: {type(error).__name__}: {error}") from None
    return result


if TYPE_CHECKING:
    _Coder = Callable[[Any], Any]

_RECORDS: frozenset[type] = frozenset(
    (Artifact, BareImages, Device, Driver, Fatbin, FatbinGroup, Finding, Image, Library)
)
_NUMBERS: tuple[type, ...] = (CudaVersion, DriverRelease, PtxVersion)
_TEXTS: tuple[type, ...] = (ComputeCapability, Target)


@cache
def _codec(kind: Any) -> tuple[_Coder, _Coder]:  # noqa: ANN401 - an annotation may be anything
    """What writes and what reads a value that is annotated with *kind*."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _optional(*_codec(inner))
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return _many(*_codec(arguments[0]))
        return _fixed(tuple(_codec(argument) for argument in arguments))
    if kind in (bool, int, str):
        exactly = _exactly(kind)
        return exactly, exactly
    if kind in _TEXTS:
        parse = lru_cache(_MOST_TEXTS)(kind.parse)
        text = _exactly(str)

        def read_text(value: Any) -> Any:  # noqa: ANN401 - as above
            result = parse(text(value))
            if str(result) != value:
                raise ValueError(f"not as it is written: {value}")
            return result

        return str, lru_cache(_MOST_TEXTS)(read_text)
    if issubclass(kind, enum.Enum):
        members = {member.value: member for member in kind}
        return (lambda member: member.value), members.__getitem__
    if kind in _NUMBERS:
        names = tuple(field.name for field in fields(kind))
        _, read = _fixed((_codec(int),) * len(names))
        return (lambda value: [getattr(value, name) for name in names]), (lambda value: kind(*read(value)))
    return _object(kind)


def _exactly(kind: type) -> _Coder:
    def check(value: Any) -> Any:  # noqa: ANN401 - as above
        if type(value) is not kind:
            raise ValueError(f"expected {kind.__name__}, not {type(value).__name__}")
        return value

    return check


def _optional(write: _Coder, read: _Coder) -> tuple[_Coder, _Coder]:
    return (lambda value: None if value is None else write(value)), (
        lambda value: None if value is None else read(value)
    )


def _many(write: _Coder, read: _Coder) -> tuple[_Coder, _Coder]:
    array = _exactly(list)
    return (lambda values: [write(value) for value in values]), (
        lambda values: tuple([read(value) for value in array(values)])
    )


def _fixed(codecs: tuple[tuple[_Coder, _Coder], ...]) -> tuple[_Coder, _Coder]:
    array = _exactly(list)

    def write(values: Any) -> Any:  # noqa: ANN401 - as above
        return [codec[0](value) for codec, value in zip(codecs, values, strict=True)]

    def read(values: Any) -> Any:  # noqa: ANN401 - as above
        return tuple(codec[1](value) for codec, value in zip(codecs, array(values), strict=True))

    return write, read


def _object(kind: Any) -> tuple[_Coder, _Coder]:  # noqa: ANN401 - a dataclass
    hints = get_type_hints(kind)
    rows = [(field.name, field.default, *_codec(hints[field.name])) for field in fields(kind)]
    readers = {name: read for name, _, _, read in rows}
    required = frozenset(name for name, default, _, _ in rows if default is MISSING)
    mapping = _exactly(dict)

    def write(record: Any) -> Any:  # noqa: ANN401 - as above
        return {
            name: encode(value)
            for name, default, encode, _ in rows
            if (value := getattr(record, name)) != default or default is MISSING
        }

    def read(value: Any) -> Any:  # noqa: ANN401 - as above
        if not required <= mapping(value).keys():
            raise ValueError(f"a {kind.__name__} lacks {', '.join(sorted(required - value.keys()))}")
        return kind(**{name: readers[name](item) for name, item in value.items()})

    return write, read
