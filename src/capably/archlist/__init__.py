"""Lists of architectures as tools read them: what a text asks for, and how to write it.

Every tool has a dialect of its own, and several change it from version to version: the same text is two
targets for one tool, an error for the next and half of it dropped by a third. Reading here answers as the
tool does, faults included; what it knows about versions is the table ``dialects``.

A reading says what is *asked for*. Whether a compiler can make it is told where the tool itself finds out;
what code for it runs on is a question for `capably.engine.judge`.

Each tool has a module with its readers and writers; what they share is in `capably.archlist.reading`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Target, TargetKind
from capably.archlist import cmake, flashinfer, nvcc, others, torch
from capably.archlist.reading import (
    ListError,
    Note,
    NoteKind,
    Problem,
    Reader,
    Reading,
    Stop,
    dotted,
    numbered,
    version_numbers,
)
from capably.archlist.torch import entries
from capably.errors import DialectError, ParseError, UnknownNameError
from capably.tables import DialectVersion, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from capably.version import CudaVersion

__all__ = [
    "DIALECTS",
    "VARIABLES",
    "ListError",
    "Note",
    "NoteKind",
    "Problem",
    "Reading",
    "applying",
    "convert",
    "entries",
    "read",
    "refusal",
    "write",
]

# Dialect -> where its text comes from.
VARIABLES = {
    "torch-python": "TORCH_CUDA_ARCH_LIST",
    "torch-cmake": "TORCH_CUDA_ARCH_LIST",
    "cmake": "CMAKE_CUDA_ARCHITECTURES",
    "flashinfer": "FLASHINFER_CUDA_ARCH_LIST",
    "nvcc-arch": "nvcc -arch",
    "nvcc-gencode": "nvcc -gencode",
    "flash-attn": "FLASH_ATTN_CUDA_ARCHS",
    "bitsandbytes": "COMPUTE_CAPABILITY",
    "cupy": "CUPY_NVCC_GENERATE_CODE",
    "triton": "TRITON_OVERRIDE_ARCH",
}
DIALECTS = tuple(VARIABLES)
_READERS: dict[str, Callable[[Reader], list[Target]]] = {
    "torch-python": torch.read_python,
    "torch-cmake": torch.read_cmake,
    "cmake": cmake.read,
    "flashinfer": flashinfer.read,
    "nvcc-arch": nvcc.read_arch,
    "nvcc-gencode": nvcc.read_gencode,
    "flash-attn": others.read_flash_attn,
    "bitsandbytes": others.read_bitsandbytes,
    "cupy": others.read_cupy,
    "triton": others.read_triton,
}
# Each gives a text that may say it. `write` reads it back, so that none of them needs to know what its tool refuses.
_WRITERS: dict[str, Callable[[Sequence[Target]], str]] = {
    "torch-python": torch.write,
    "torch-cmake": torch.write,
    "cmake": cmake.write,
    "flashinfer": flashinfer.write,
    "nvcc-arch": nvcc.write_arch,
    "nvcc-gencode": nvcc.write_gencode,
    "flash-attn": others.write_flash_attn,
    "bitsandbytes": others.write_bitsandbytes,
    "cupy": others.write_cupy,
    "triton": others.write_triton,
}


def read(
    text: str | None,
    dialect: str,
    version: str | None = None,
    *,
    devices: Iterable[ComputeCapability] | None = None,
    build_list: Iterable[str] | None = None,
    toolkit: CudaVersion | None = None,
) -> Reading:
    """What the tool makes of *text*.

    Args:
        text: The list; None if the variable is not set.
        dialect: One of `DIALECTS`.
        version: Of the tool. None means the newest known; one beyond those that are known is read as the
            nearest, and a note says so.
        devices: Capabilities of the visible GPUs in order, for tools that detect them. None means that they
            are not known, and reads as none, with a note.
        build_list: What the installed torch was built for (``sm_90``, ``compute_90``), for its detection.
        toolkit: Version of nvcc, where it matters. None means that it is not known: the newest is assumed
            where something has to be, and what only nvcc would refuse is not refused.

    Raises:
        UnknownNameError: There is no such dialect.
        ParseError: *version* is no version.

    >>> [str(target) for target in read("8.0;9.0+PTX", "torch-python").targets]
    ['sm_80', 'compute_90', 'sm_90']
    >>> read("8.0,9.0", "torch-python", "2.15.0").error.code
    <ListError.UNKNOWN_ARCH: 'unknown-arch'>
    """
    row = applying(dialect, version)
    numbers = version_numbers(version)
    known = [other for other in tables().dialects if other.dialect == dialect]
    reader = Reader(
        text,
        row,
        version or ".".join(map(str, numbers or ())),
        None if devices is None else tuple(devices),
        None if build_list is None else tuple(build_list),
        toolkit,
    )
    if numbers is not None:
        newest = max((version_numbers(other) or () for row in known for other in row.read), default=numbers)
        if numbers < known[0].since or numbers[:2] > newest[:2]:
            reader.note(
                NoteKind.ASSUMED, f"{dialect} {version} is not among the versions that were read; taken as the nearest"
            )
    try:
        targets = _READERS[dialect](reader)
    except Stop as stop:
        return Reading(dialect, version, text, None, stop.problem, tuple(reader.notes))
    return Reading(dialect, version, text, tuple(targets), None, tuple(reader.notes))


def refusal(tool: str, version: str | None, text: str | None, devices: Iterable[ComputeCapability] = ()) -> str:
    """Why a condition of the tool itself stops it, in one sentence; empty where none does, or none is known.

    Args:
        tool: Its dialect.
        version: Of the tool.
        text: The list that decides for it; None without one.
        devices: The visible GPUs, for a tool that asks them.

    Raises:
        UnknownNameError: There is no such dialect.
        ParseError: *version* is no version.

    >>> refusal("flashinfer", "0.2.5", "7.0 9.0+PTX").partition(":")[0]
    'its own check stops with `FlashInfer requires sm75+`, whatever the GPU is'
    """
    row = applying(tool, version)
    if row.requires is None or tool != "flashinfer":
        return ""
    try:
        asked = tuple(devices) if text is None else tuple(target.capability for target in entries(text))
    except ParseError:
        return ""  # it stops before that
    return flashinfer.refusal(row, asked, listed=text is not None)


def applying(dialect: str, version: str | None = None) -> DialectVersion:
    """How *version* of the tool reads lists: by the row of the newest version that is not newer, else by the oldest.

    Raises:
        UnknownNameError: There is no such dialect.
        ParseError: *version* is no version.
    """
    if dialect not in VARIABLES:
        import difflib  # noqa: PLC0415 - only for the error

        close = difflib.get_close_matches(dialect, DIALECTS, n=3)
        raise UnknownNameError("dialect", dialect, tuple(close), tuple(DIALECTS))
    numbers = version_numbers(version)
    known = [row for row in tables().dialects if row.dialect == dialect]
    if numbers is None:
        return known[-1]
    return ([row for row in known if row.since <= numbers] or known[:1])[-1]


def write(
    targets: Iterable[Target], dialect: str, version: str | None = None, *, toolkit: CudaVersion | None = None
) -> str:
    """The text that asks the tool for *targets* and nothing else.

    Raises:
        DialectError: The tool cannot be asked for that: by number, by suffix, for PTX alone, or for several.
        UnknownNameError: There is no such dialect.
        ParseError: *version* is no version.

    >>> write([Target.parse("sm_90"), Target.parse("compute_90")], "torch-python")
    '9.0+PTX'
    """
    wanted = tuple(dict.fromkeys(targets))
    if "unread" in applying(dialect, version).rules:
        raise DialectError(dialect, tuple(map(str, wanted)), f"{dialect} {version} does not read {VARIABLES[dialect]}")
    if not wanted:
        raise DialectError(dialect, (), "it names at least one target")
    other = tuple(target for target in wanted if target.kind is TargetKind.LTO)
    if other:
        raise DialectError(dialect, tuple(map(str, other)), "LTO-IR is not asked for by a list of architectures")
    text = _WRITERS[dialect](wanted)
    reading = read(text, dialect, version, toolkit=toolkit)
    if reading.error is not None:
        bad = text[reading.error.start : reading.error.end]
        named = (target for target in wanted if dotted(target) in bad or numbered(target) in bad)
        blamed = tuple(map(str, named)) or tuple(map(str, wanted))
        raise DialectError(dialect, blamed, reading.error.message)
    got = reading.targets or ()
    if set(got) != set(wanted):
        missing = tuple(str(target) for target in wanted if target not in got)
        dropped = [note.message for note in reading.notes if note.kind is NoteKind.DROPPED]
        makes = "; ".join(dropped) or f"`{text}` asks for {', '.join(map(str, got)) or 'nothing'}"
        raise DialectError(dialect, missing or tuple(map(str, wanted)), makes)
    return text


def convert(
    text: str,
    source: str,
    dialect: str,
    *,
    source_version: str | None = None,
    version: str | None = None,
    toolkit: CudaVersion | None = None,
) -> str:
    """*text* of one dialect in the words of another.

    Raises:
        ParseError: The tool of *source* stops at it; the span is where.
        DialectError: The other cannot say it.
        UnknownNameError: There is no such dialect.

    >>> convert("8.0;9.0+PTX", "torch-python", "cmake")
    '80-real;90'
    """
    reading = read(text, source, source_version, toolkit=toolkit)
    if reading.error is not None or reading.targets is None:
        problem = reading.error
        start, end = (problem.start, problem.end) if problem else (0, len(text))
        raise ParseError(f"list of {source}", text, start, end, problem.message if problem else "targets")
    return write(reading.targets, dialect, version, toolkit=toolkit)
