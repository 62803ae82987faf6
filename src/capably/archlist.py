"""Lists of architectures as tools read them: what a text asks for, and how to write it.

Every tool has a dialect of its own, and several change it from version to version: the same text is two
targets for one tool, an error for the next and half of it dropped by a third. Reading here answers as the
tool does, faults included; what it knows about versions is the table ``dialects``.

A reading says what is *asked for*. Whether a compiler can make it is told where the tool itself finds out;
what code for it runs on is a question for `capably.engine.judge`.
"""

from __future__ import annotations

import difflib
import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.errors import DialectError, ParseError, UnknownNameError
from capably.knowledge import DialectVersion, Toolkit, tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

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


class ListError(enum.StrEnum):
    """Why a tool stops at a list. The values are permanent."""

    UNKNOWN_ARCH = "unknown-arch"  # an entry that it does not know
    EMPTY_ENTRY = "empty-entry"  # two separators in a row, or one at an end
    EMPTY_LIST = "empty-list"  # set, and nothing in it
    BAD_ENTRY = "bad-entry"  # an entry that is not of its form
    NO_DEVICE = "no-device"  # automatic detection without a GPU
    NO_USABLE_BUILD_LIST = "no-usable-build-list"  # detection needs torch's own list, and that has no machine code
    COMPILER_REJECTS = "compiler-rejects"  # well formed, but the compiler does not take it
    IMPORT_FAILS = "import-fails"  # the package cannot be imported
    INVALID_TARGET_PASSED_ON = "invalid-target-passed-on"  # accepted, and fails in the compiler later


class NoteKind(enum.StrEnum):
    """What a note is about."""

    DROPPED = "dropped"  # asked for, and left out without a word
    SURPRISE = "surprise"  # not what the text looks like
    LATER = "later"  # accepted here, and refused by something that comes later
    ASSUMED = "assumed"  # a fact that was not given, and what was taken for it


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a list that its targets do not tell; *start* and *end* are the place in the text."""

    kind: NoteKind
    message: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Where and why a tool stops.

    Attributes:
        code: What kind of fault.
        message: What the tool says or does, and why.
        way_out: What to write instead; may be empty.
        start: Index of the first character that matters.
        end: Index behind the last one; both are 0 where there is no text.
    """

    code: ListError
    message: str
    way_out: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a tool makes of a list.

    Attributes:
        dialect: Whose reading it is.
        version: Of the tool, as it was given; None for the newest known.
        text: The list; None where it is not set.
        targets: What it asks for, in the tool's own order. Empty means that the tool adds no option, so that
            the compiler's default holds. None where it stops.
        error: Why it stops; None where it does not.
        notes: What it drops, and what else surprises.
    """

    dialect: str
    version: str | None
    text: str | None
    targets: tuple[Target, ...] | None
    error: Problem | None = None
    notes: tuple[Note, ...] = ()


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
    numbers = _version_numbers(version)
    known = [other for other in tables().dialects if other.dialect == dialect]
    reader = _Reader(
        text,
        row,
        version or ".".join(map(str, numbers or ())),
        None if devices is None else tuple(devices),
        None if build_list is None else tuple(build_list),
        toolkit,
    )
    if numbers is not None:
        newest = max((_version_numbers(other) or () for row in known for other in row.read), default=numbers)
        if numbers < known[0].since or numbers[:2] > newest[:2]:
            reader.note(
                NoteKind.ASSUMED, f"{dialect} {version} is not among the versions that were read; taken as the nearest"
            )
    try:
        targets = _READERS[dialect](reader)
    except _Stop as stop:
        return Reading(dialect, version, text, None, stop.problem, tuple(reader.notes))
    return Reading(dialect, version, text, tuple(targets), None, tuple(reader.notes))


def applying(dialect: str, version: str | None = None) -> DialectVersion:
    """How *version* of the tool reads lists: by the row of the newest version that is not newer, else by the oldest.

    Raises:
        UnknownNameError: There is no such dialect.
        ParseError: *version* is no version.
    """
    if dialect not in VARIABLES:
        close = difflib.get_close_matches(dialect, DIALECTS, n=3)
        raise UnknownNameError("dialect", dialect, tuple(close), tuple(DIALECTS))
    numbers = _version_numbers(version)
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
        named = (target for target in wanted if _dotted(target) in bad or _numbered(target) in bad)
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


def entries(text: str) -> tuple[Target, ...]:
    """The targets that a list names in torch's notation, one for each entry: no tool's reading of it.

    What some version of a tool does not know is none of its business; for what a tool makes of a list, `read`.
    A name stands for its members, by the newest torch that knows it. ``+PTX`` adds no entry.

    Raises:
        ParseError: It is not a list: an empty entry, or one that is neither a number nor a name.

    >>> [str(target) for target in entries("7.0;9.0a+PTX Turing")]
    ['sm_70', 'sm_90a', 'sm_75']
    """
    names = {name: members for row in tables().dialects if row.dialect == "torch-python" for name, members in row.names}
    found: list[Target] = []
    for piece in _split(text, "; \t\n"):
        entry = piece.text.removesuffix("+PTX")
        match = re.fullmatch(r"([0-9]{1,2})\.([0-9])([af]?)", entry, re.ASCII)
        if match is not None and int(match[1]):
            found.append(Target(ComputeCapability(int(match[1]), int(match[2])), Suffix(match[3])))
        elif entry in names:
            found += entries(names[entry])
        else:
            raise ParseError("list of architectures", text, piece.start, max(piece.end, piece.start + 1), _entry(entry))
    return tuple(dict.fromkeys(found))


def _entry(text: str) -> str:
    """What should stand in place of an entry that is none."""
    if not text:
        return "an entry on each side of a separator, and none at an end"
    if text.upper().endswith("+PTX"):
        return "`+PTX` once, in capitals"
    target = _lenient(text)
    if target is not None:
        return f"a number with a dot, such as `{_dotted(target)}`"
    return "numbers such as `9.0`, `9.0a` or `9.0+PTX`, with `;` or a space between them"


# ---------------------------------------------------------------------------------------------------------
# What all readers share


class _Stop(Exception):  # noqa: N818 - it ends a reading and never leaves this module
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Piece:
    """One entry of a list, and where it is."""

    text: str
    start: int
    end: int


@dataclass(slots=True)
class _Reader:
    """What a reader is given, and what it notes."""

    text: str | None
    row: DialectVersion
    version: str
    devices: tuple[ComputeCapability, ...] | None
    build_list: tuple[str, ...] | None
    toolkit: CudaVersion | None
    notes: dict[Note, None] = field(default_factory=dict)  # in order, each once

    def note(self, kind: NoteKind, message: str, piece: _Piece | None = None) -> None:
        start, end = (piece.start, piece.end) if piece else (0, len(self.text or ""))
        self.notes[Note(kind, message, start, end)] = None

    def stop(self, code: ListError, message: str, piece: _Piece | None = None, way_out: str = "") -> NoReturn:
        length = len(self.text or "")
        start, end = (piece.start, piece.end) if piece else (0, length)
        if start == end:  # an entry without a character is shown by the separator beside it
            start, end = max(0, start - (start == length)), min(length, end + (end < length))
        raise _Stop(Problem(code, message, way_out, start, end))

    def seen(self) -> tuple[ComputeCapability, ...]:
        """The devices that detection finds."""
        if self.devices is None:
            self.note(NoteKind.ASSUMED, "it looks for GPUs; none were given, so none are taken to be visible")
        return self.devices or ()

    def nvcc(self) -> Toolkit:
        """The toolkit that compiles; the newest known where none is given."""
        known = tables().toolkits
        if self.toolkit is None:
            self.note(NoteKind.ASSUMED, f"no toolkit was given; taken as CUDA {known[-1].cuda}")
            return known[-1]
        found = [toolkit for toolkit in known if toolkit.cuda <= self.toolkit] or [known[0]]
        if found[-1].cuda != self.toolkit:
            self.note(NoteKind.ASSUMED, f"CUDA {self.toolkit} is not in the tables; taken as CUDA {found[-1].cuda}")
        return found[-1]

    def listed(self, name: str, cuda: CudaVersion) -> list[str]:
        """What a word stands for with that toolkit."""
        entries = dict(self.row.lists).get(name, "").split()
        return [
            entry for entry, first, before in map(_ranged, entries) if first <= cuda and (not before or cuda < before)
        ]

    def later(self, targets: Iterable[Target]) -> None:
        """Note those that the given toolkit does not know, for tools that do not look."""
        if self.toolkit is None:
            return
        toolkit = self.nvcc()
        for target in targets:
            if not toolkit.emits(target):
                self.note(NoteKind.LATER, f"nvcc {toolkit.cuda} does not know {target}, and refuses it later")


def _ranged(entry: str) -> tuple[str, CudaVersion, CudaVersion | None]:
    """``9.0@11.8-12.0``: an entry, the first toolkit that it holds for, and the first that it no longer does."""
    text, _, span = entry.partition("@")
    first, _, before = span.partition("-")
    return text, CudaVersion.parse(first or "0"), CudaVersion.parse(before) if before else None


def _version_numbers(version: str | None) -> tuple[int, ...] | None:
    """The numbers that a version begins with; what follows (``+cpu``, ``.post1``, ``rc1``) changes no dialect."""
    if version is None:
        return None
    match = re.match(r"\s*v?([0-9]{1,6}(?:\.[0-9]{1,6}){0,3})", version)
    if match is None:
        raise ParseError("version", version, 0, max(1, len(version)), "numbers such as `2.15.0`")
    return tuple(int(part) for part in match[1].split("."))


def _split(text: str, separators: str) -> Iterator[_Piece]:
    start = 0
    for index, character in enumerate(text):
        if character in separators:
            yield _Piece(text[start:index], start, index)
            start = index + 1
    yield _Piece(text[start:], start, len(text))


_NUMBER = re.compile(r"([1-9][0-9]?)([0-9])([af]?)", re.ASCII)


def _target(kind: TargetKind, number: str) -> Target | None:
    """``90a`` as a target; None where it is none."""
    match = _NUMBER.fullmatch(number)
    if match is None:
        return None
    return Target(ComputeCapability(int(match[1]), int(match[2])), Suffix(match[3]), kind)


def _both(target: Target) -> tuple[Target, Target]:
    return (
        Target(target.capability, target.suffix, TargetKind.REAL),
        Target(target.capability, target.suffix, TargetKind.VIRTUAL),
    )


def _numbered(target: Target) -> str:
    return f"{target.capability.number}{target.suffix}"


def _dotted(target: Target) -> str:
    return f"{target.capability}{target.suffix}"


def _unique(targets: Iterable[Target]) -> list[Target]:
    return list(dict.fromkeys(targets))


def _shown(text: str) -> str:
    """*text* for a message: on one line, and without what a terminal would obey."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


# ---------------------------------------------------------------------------------------------------------
# torch, Python: torch/utils/cpp_extension.py, _get_cuda_arch_flags


def _read_torch_python(reader: _Reader) -> list[Target]:
    text = reader.text
    if not text or (text == "native" and "native" in reader.row.rules):
        pieces = _detect_torch_python(reader)
    else:
        pieces = list(_expanded(text, reader.row.names))
    targets: list[Target] = []
    for piece in pieces:
        number, plus, rest = piece.text.partition("+")
        if number not in reader.row.numbers or plus + rest not in ("", "+PTX"):
            _stop_torch_python(reader, piece)
        target = _target(TargetKind.REAL, number.replace(".", ""))
        assert target is not None  # noqa: S101 - a number of the table
        targets += _both(target) if plus else [target]
    reader.later(targets)
    # In the order of the texts of torch's flags.
    return sorted(set(targets), key=lambda target: (f"compute_{_numbered(target)},code=", str(target)))


def _expanded(text: str, names: Sequence[tuple[str, str]]) -> Iterator[_Piece]:
    """The entries after names were replaced wherever they stand, each with its place in the text as given."""
    characters = [(";" if c == " " else c, i, i + 1) for i, c in enumerate(text)]
    for name, meaning in names:
        replaced, rest = [], 0
        for found in re.finditer(re.escape(name), "".join(c for c, _, _ in characters)):
            start, end = characters[found.start()][1], characters[found.end() - 1][2]
            replaced += [*characters[rest : found.start()], *((c, start, end) for c in meaning)]
            rest = found.end()
        characters = replaced + characters[rest:]
    entry: list[tuple[str, int, int]] = []
    place = 0
    for character in [*characters, (";", len(text), len(text))]:
        if character[0] == ";":
            if entry:
                yield _Piece("".join(c for c, _, _ in entry), entry[0][1], entry[-1][2])
            else:
                yield _Piece("", place, place)
            entry, place = [], min(character[2], len(text))
        else:
            entry.append(character)


def _stop_torch_python(reader: _Reader, piece: _Piece) -> NoReturn:
    said = f"torch raises `ValueError: Unknown CUDA arch ({_shown(piece.text)}) or GPU not supported`"
    if not piece.text:
        reader.stop(
            ListError.EMPTY_ENTRY,
            f"{said}: an entry is empty",
            piece,
            "put one `;` or one space between entries, and none at the ends",
        )
    why, way_out = _why_unknown(reader, piece.text)
    reader.stop(ListError.UNKNOWN_ARCH, f"{said}: {why}", piece, way_out)


_OTHER_SEPARATORS = re.compile(r"[^0-9A-Za-z.+_()\-]")


def _foreign(character: str, separator: str) -> tuple[str, str]:
    """What is wrong with a character that no entry has, and what to write instead."""
    if character in "'\"":
        return "a quotation mark is part of the list", "set the variable to the text without quotation marks"
    if character == "=":
        return "more than the list is there", "give only what stands behind `=`"
    name = "a comma" if character == "," else f"`{_shown(character)}`"
    return f"{name} does not separate entries", f"separate entries by {separator}"


def _why_unknown(reader: _Reader, text: str) -> tuple[str, str]:
    """Why an entry of torch's list is not known, and what to write instead."""
    base = text.removesuffix("+PTX")
    if other := _OTHER_SEPARATORS.search(text):
        return _foreign(other[0], "`;`")
    if "+PTX" in base:
        return "it has PTX twice" if text != base else "PTX is in the wrong place", "write `+PTX` once, behind a number"
    if "+ptx" in text.lower() and "+PTX" not in text:
        return "PTX is in lower case", "write `+PTX`"
    if not base:
        return "nothing stands before `+PTX`", "write a number before it"
    for row in tables().dialects:
        if row.dialect == reader.row.dialect and (base in row.numbers or text in dict(row.names)):
            word = "from" if row.since > reader.row.since else "no longer after"
            return f"this torch does not know it ({word} torch {'.'.join(map(str, row.since))})", ""
    target = _lenient(base)
    if target is None:
        names = ", ".join(name for name, _ in reader.row.names)
        return "it is neither a number with a dot nor a name that torch knows", f"names are {names}"
    if _dotted(target) in reader.row.numbers:
        return "numbers are written with a dot", f"write `{_dotted(target)}`"
    if target.suffix is Suffix.FAMILY_SPECIFIC:
        return "it has no targets with `f`", "pass -gencode flags to nvcc yourself, which turns this list off"
    return "it is not in torch's table", ""


def _lenient(text: str) -> Target | None:
    try:
        return Target.parse(text)
    except ParseError:
        return None


def _detect_torch_python(reader: _Reader) -> list[_Piece]:
    devices = reader.seen()
    if not devices:
        reader.stop(
            ListError.NO_DEVICE,
            "no list is set, torch detects no GPU, and fails with `IndexError: list index out of range`",
            way_out="set TORCH_CUDA_ARCH_LIST where no GPU is visible",
        )
    found: list[ComputeCapability] = []
    if reader.build_list is None:
        reader.note(NoteKind.ASSUMED, "torch's own build list was not given; it is taken to reach the newest GPU here")
        found = list(dict.fromkeys(devices))
    else:
        names = [entry.split("_")[1] for entry in reader.build_list if "sm_" in entry]
        suffixed = next((name for name in names if not name.isdigit()), None)
        if suffixed and "plain-build-list" in reader.row.rules:
            reader.stop(
                ListError.NO_USABLE_BUILD_LIST,
                f"this torch was built for sm_{suffixed}, which it cannot read: `ValueError: invalid literal for int()`",
                way_out="set TORCH_CUDA_ARCH_LIST",
            )
        built = [_digits(name) for name in names]
        if not built:
            reader.stop(
                ListError.NO_USABLE_BUILD_LIST,
                "this torch was built without machine code: `ValueError: max() arg is an empty sequence`",
                way_out="set TORCH_CUDA_ARCH_LIST",
            )
        highest = max(built)
        for device in devices:
            kept = min(highest, device)
            if kept != device:
                reader.note(
                    NoteKind.SURPRISE, f"{device} is built as {kept}, the highest that this torch was built for"
                )
            if kept not in found:
                found.append(kept)
    ordered = sorted(found, key=str)
    if ordered[-1] != max(found):
        reader.note(
            NoteKind.SURPRISE, f"PTX goes to {ordered[-1]}, not to {max(found)}: the numbers are sorted as texts"
        )
    whole = len(reader.text or "")
    return [_Piece(f"{device}{'+PTX' * (device == ordered[-1])}", 0, whole) for device in ordered]


def _digits(text: str) -> ComputeCapability:
    return ComputeCapability.from_number(int("".join(re.findall(r"[0-9]+", text)) or "10"))


# ---------------------------------------------------------------------------------------------------------
# torch, CMake: select_compute_arch.cmake, CUDA_SELECT_NVCC_ARCH_FLAGS


def _read_torch_cmake(reader: _Reader) -> list[Target]:
    text = (reader.text or "").strip(";")  # CMake drops what is empty at the ends before it compares with words
    one = r"[0-9]" if "one-digit-major" in reader.row.rules else r"[0-9]+"
    suffix = "[af]?" if "family" in reader.row.rules else "a?"
    numbers = re.compile(rf"({one}\.[0-9]{suffix})(?:\(({one}\.[0-9])\))?", re.ASCII)
    whole = _Piece(reader.text or "", 0, len(reader.text or ""))
    pieces = [piece for piece in _split(whole.text, "; \t") if piece.text]
    if not text or text == "Auto":
        pieces = [_Piece(entry, 0, whole.end) for entry in _detect_torch_cmake(reader)]
    elif text in ("All", "Common"):
        cuda = reader.nvcc().cuda
        pieces = [_Piece(entry, 0, whole.end) for entry in reader.listed(text, cuda)]
    names = dict(reader.row.names)
    real: list[str] = []
    virtual: list[str] = []
    for piece in _first_of_each(pieces):
        entry = piece.text.removesuffix("+PTX")
        match = numbers.fullmatch(entry)
        if match is not None:
            made = [entry]
            ptx = [match[1], match[2]] if match[2] else [entry]
            if match[2] and match[2] != match[1]:
                reader.note(
                    NoteKind.SURPRISE, f"{match[1]} is compiled from compute_{match[2].replace('.', '')}", piece
                )
        elif entry in names:
            made, ptx = (part.split() for part in names[entry].split("|"))
        else:
            _stop_torch_cmake(reader, piece, entry)
        real += [name.replace(".", "") for name in made]
        if piece.text.endswith("+PTX"):
            virtual += [name.replace(".", "") for name in ptx]
    for name in real:  # `8.6a(8.0)` falls into two names, of which the second is none
        if re.search(r"[af]\(", name):
            _passed_on(reader, TargetKind.REAL, name[name.index("(") :], whole)
    real = [name.partition("(")[0] for name in dict.fromkeys(real)]
    targets = [_passed_on(reader, TargetKind.REAL, name, whole) for name in real]
    targets += [_passed_on(reader, TargetKind.VIRTUAL, name, whole) for name in dict.fromkeys(virtual)]
    if not targets:
        reader.note(NoteKind.SURPRISE, "nothing is asked for: nvcc builds for its own default")
    reader.later(targets)
    return targets


def _first_of_each(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    seen = set()
    for piece in pieces:
        if piece.text not in seen:
            seen.add(piece.text)
            yield piece


def _passed_on(reader: _Reader, kind: TargetKind, name: str, piece: _Piece) -> Target:
    """The target that a flag names; stops where it names none, which only the compiler finds out."""
    target = _target(kind, name)
    if target is None:
        reader.stop(
            ListError.INVALID_TARGET_PASSED_ON,
            f"it is passed on as {kind}_{_shown(name)}, which is no target: nvcc refuses it",
            piece,
        )
    return target


def _stop_torch_cmake(reader: _Reader, piece: _Piece, entry: str) -> NoReturn:
    why, way_out = _why_unknown(reader, piece.text)
    reader.stop(ListError.UNKNOWN_ARCH, f"CMake stops at the unknown name `{_shown(entry)}`: {why}", piece, way_out)


def _detect_torch_cmake(reader: _Reader) -> list[str]:
    cuda = reader.nvcc().cuda
    devices = reader.seen()
    if not devices:
        reader.note(NoteKind.SURPRISE, f"no GPU is detected: it builds for what it calls common, by CUDA {cuda}")
        return reader.listed("Common", cuda)
    limits = reader.listed("limit", cuda)
    limit = ComputeCapability.parse(limits[-1]) if limits else None
    found = []
    for device in devices:
        above = limit is not None and (device > limit or (device == limit and "clamp-above" not in reader.row.rules))
        if limit is not None and above:
            instead = f"{limit}+PTX" if "clamp-above" in reader.row.rules else reader.listed("Common", cuda)[-1]
            reader.note(NoteKind.SURPRISE, f"{device} is taken as {instead}, by CUDA {cuda}")
            found.append(instead)
        else:
            # Written for 2.1, a text replacement that also hits 12.1.
            found.append(str(device).replace("2.1", "2.1(2.0)"))
    return found


# ---------------------------------------------------------------------------------------------------------
# CMake: CMAKE_CUDA_ARCHITECTURES, CUDAARCHS

_CMAKE_FALSE = frozenset({"0", "OFF", "NO", "FALSE", "N", "IGNORE"})


def _read_cmake(reader: _Reader) -> list[Target]:
    rules = reader.row.rules
    # CMake cuts blanks behind the value of an option, and none before it.
    text = reader.text.rstrip(" \t\r") if reader.text is not None else None
    if text is None:
        default = _default(reader)
        reader.note(NoteKind.SURPRISE, f"not set: CMake takes nvcc's own default, {default}")
        return list(_both(Target(default)))
    if text == "":
        reader.stop(ListError.EMPTY_LIST, "CMake stops: CMAKE_CUDA_ARCHITECTURES must be non-empty if set")
    if text.upper() in _CMAKE_FALSE or text == "NOTFOUND" or text.endswith("-NOTFOUND"):
        reader.note(NoteKind.SURPRISE, "a false value: no option is added, and nvcc builds for its own default")
        return []
    if text in ("all", "all-major") and "all" in rules:
        return _all(reader, text)
    if text == "native" and "native" in rules:
        return _native_cmake(reader)
    suffix = "[af]?" if rules & {"family", "unchecked"} else "a?" if "arch-specific" in rules else ""
    entry = re.compile(rf"([0-9]+{suffix})(?:-(real|virtual))?", re.ASCII)
    targets = []
    for piece in _split(text, ";"):
        match = entry.fullmatch(piece.text)
        if match is None:
            if not piece.text and (piece.start > 0 or "unchecked" in rules):
                continue
            _stop_cmake(reader, piece)
        target = _target(TargetKind.REAL, match[1])
        toolkit = reader.nvcc() if reader.toolkit is not None else None
        if target is None or (toolkit is not None and not toolkit.emits(target)):
            name = f"nvcc {toolkit.cuda}" if toolkit else "nvcc"
            reader.stop(
                ListError.COMPILER_REJECTS,
                f"CMake takes `{piece.text}`, but {name} does not know compute_{match[1]}, "
                "and the check of the compiler fails",
                piece,
            )
        real, virtual = _both(target)
        targets += {"real": [real], "virtual": [virtual], None: [real, virtual]}[match[2]]
        if match[2] != "real" and target.suffix is Suffix.ARCH_SPECIFIC:
            reader.note(
                NoteKind.SURPRISE, f"it embeds PTX for {match[1]}, which no other GPU can use; add -real", piece
            )
    if not targets:  # only where the list is unchecked
        reader.stop(ListError.COMPILER_REJECTS, "CMake takes it as empty, and its check of the compiler fails")
    return targets


def _stop_cmake(reader: _Reader, piece: _Piece) -> NoReturn:
    text = piece.text
    way_out = "entries are `90`, `90-real` or `90-virtual`, separated by `;`"
    target = _lenient(re.sub(r"\+PTX$|-PTX$", "", text))
    if not text:
        why = "the list begins with a separator"
    elif text in ("all", "all-major", "native"):
        why = f"`{text}` stands alone or not at all"
    elif text.lower() in ("all", "all-major", "native"):
        why = f"`{text}` is written in lower case"
    elif re.fullmatch(r"[0-9]+[af](?:-real|-virtual)?", text):
        why = f"this CMake knows no suffix `{'f' if 'f' in text.partition('-')[0] else 'a'}`"
    elif target is not None:
        why, way_out = "it is not written as CMake does", f"write `{_numbered(target)}`"
    else:
        why = "it is not of the form of an entry"
    if "unchecked" in reader.row.rules:
        reader.stop(
            ListError.COMPILER_REJECTS,
            f"this CMake takes `{_shown(text)}` unchecked, and nvcc refuses it",
            piece,
            way_out,
        )
    reader.stop(ListError.BAD_ENTRY, f"CMake stops at `{_shown(text)}`: {why}", piece, way_out)


def _default(reader: _Reader) -> ComputeCapability:
    """What nvcc builds for without an option."""
    cuda = reader.nvcc().cuda
    rows = [row for row in tables().dialects if row.dialect == "nvcc-arch" and row.since <= (cuda.major, cuda.minor)]
    return ComputeCapability.parse(dict(rows[-1].lists)["default"])


def _all(reader: _Reader, word: str) -> list[Target]:
    """``-arch=all`` and ``-arch=all-major``: machine code for each, PTX for the highest major version."""
    toolkit = reader.nvcc()
    plain = [Target.parse(name) for name in toolkit.targets if name.isdigit()]
    major = [target for target in plain if target.capability.minor == 0]
    real = plain if word == "all" else _unique([min(plain), *major])
    return [*sorted(real), _both(max(major))[1]]


def _native(reader: _Reader) -> list[Target]:
    """``-arch=native``."""
    devices = reader.seen()
    if devices:
        return [Target(device) for device in sorted(set(devices))]
    default = _default(reader)
    reader.note(NoteKind.SURPRISE, f"nvcc finds no GPU, warns, and builds for its own default, {default}")
    return list(_both(Target(default)))


def _native_cmake(reader: _Reader) -> list[Target]:
    if not reader.seen() and "native-unseen" not in reader.row.rules:
        reader.stop(ListError.NO_DEVICE, "CMake stops: `native` is set, but no GPU was detected")
    return _native(reader)


# ---------------------------------------------------------------------------------------------------------
# FlashInfer: flashinfer/compilation_context.py, CompilationContext


def _read_flashinfer(reader: _Reader) -> list[Target]:
    rules = reader.row.rules
    if "unread" in rules:
        reader.note(
            NoteKind.SURPRISE,
            "this version does not read the variable; it compiles for what torch's TORCH_CUDA_ARCH_LIST says",
        )
        return []
    found: list[tuple[int, str, _Piece]] = []
    if reader.text is None:
        found = _detect_flashinfer(reader)
    else:
        for piece in _split(reader.text, " "):
            found.append((*_flashinfer_entry(reader, piece), piece))
    named = {(major, minor): piece for major, minor, piece in reversed(found)}
    targets = []
    for major, minor in sorted(named) if "sorted" in rules else dict.fromkeys((m, n) for m, n, _ in found):
        name = f"{major}{minor}"
        if (major, minor) == (10, "7a"):
            name = _flashinfer_107(reader, named[major, minor])
        targets.append(_passed_on(reader, TargetKind.REAL, name, named[major, minor]))
    if targets and not any(t.capability >= ComputeCapability(7, 5) for t in targets):
        reader.note(NoteKind.LATER, "FlashInfer's own check refuses it later: nothing in it is 7.5 or higher")
    reader.later(targets)
    return targets


def _flashinfer_entry(reader: _Reader, piece: _Piece) -> tuple[int, str]:
    """One entry as FlashInfer splits it; its faults are those of Python."""
    rules = reader.row.rules
    try:
        major_text, minor = piece.text.split(".")
        major = int(major_text)
        if "normalised" not in rules:
            if "suffix-from-9" in rules and major >= 9 and minor.isdigit():
                minor += "a"
            return major, minor
        if minor[-1].isalpha():
            return major, minor
        return _normalised(reader, major, int(minor), piece)
    except (ValueError, IndexError) as error:
        why, way_out = _why_flashinfer(piece.text)
        reader.stop(
            ListError.IMPORT_FAILS,
            f"`import flashinfer` fails with {type(error).__name__}: {why}",
            piece,
            way_out,
        )


def _why_flashinfer(text: str) -> tuple[str, str]:
    if not text:
        return "an entry is empty", "put one space between entries, and none at the ends"
    if other := _OTHER_SEPARATORS.search(text):
        return _foreign(other[0], "one space")
    target = _lenient(text.removesuffix("+PTX"))
    if target is not None and "." not in text:
        return "numbers are written with a dot", f"write `{_dotted(target)}`"
    return f"`{_shown(text)}` is not a number with a dot", "write numbers such as `9.0`"


def _normalised(reader: _Reader, major: int, minor: int, piece: _Piece | None) -> tuple[int, str]:
    """The suffix that FlashInfer adds to a number without one."""
    rules = reader.row.rules
    if major == 12:
        cuda = reader.nvcc().cuda
        if cuda < CudaVersion(12, 9):
            if minor == 0 and "12.8-is-120a" in rules and cuda >= CudaVersion(12, 8):
                return major, "0a"
            floor = "12.8" if minor == 0 and "12.8-is-120a" in rules else "12.9"
            reader.stop(
                ListError.IMPORT_FAILS if piece else ListError.COMPILER_REJECTS,
                f"FlashInfer refuses 12.{minor} with nvcc {cuda}: it asks for CUDA {floor} or newer",
                piece,
                f"use nvcc {floor} or newer, or write the suffix yourself: `12.{minor}a`",
            )
        return major, "0f" if minor == 0 or "one-12" in rules else f"{minor}a"
    return major, f"{minor}a" if major >= 9 else str(minor)


def _flashinfer_107(reader: _Reader, piece: _Piece) -> str:
    if "needs-107" in reader.row.rules and not reader.nvcc().emits(Target(ComputeCapability(10, 7))):
        reader.note(NoteKind.SURPRISE, "10.7 is built as 100f: this nvcc does not know 107", piece)
        return "100f"
    if reader.row.rules & {"maybe-107", "needs-107"}:
        reader.note(NoteKind.SURPRISE, "some modules are built for 100f instead of 107a", piece)
    return "107a"


def _detect_flashinfer(reader: _Reader) -> list[tuple[int, str, _Piece]]:
    whole = _Piece("", 0, 0)
    found: list[tuple[int, str, _Piece]] = []
    for device in reader.seen():
        try:
            if "normalised" in reader.row.rules:
                major, minor = _normalised(reader, device.major, device.minor, None)
            else:
                major, minor = device.major, f"{device.minor}a" if device.major >= 9 else str(device.minor)
        except _Stop as stop:
            # FlashInfer swallows the exception and keeps what came before.
            reader.note(NoteKind.DROPPED, f"{device} and what comes after it are dropped: {stop.problem.message}")
            if not found:
                raise
            break
        found.append((major, minor, whole))
    if not found:
        reader.stop(
            ListError.NO_DEVICE,
            "no list is set and no GPU is detected; FlashInfer says later that it requires sm75 or higher",
            way_out="set FLASHINFER_CUDA_ARCH_LIST where no GPU is visible",
        )
    return found


# ---------------------------------------------------------------------------------------------------------
# nvcc


def _read_nvcc_arch(reader: _Reader) -> list[Target]:
    text = reader.text
    reader.toolkit = _toolkit_of(reader)
    if text is None:
        return list(_both(Target(_default(reader))))
    if text in ("all", "all-major") and "all" in reader.row.rules:
        return _all(reader, text)
    if text == "native" and "native" in reader.row.rules:
        return _native(reader)
    target = _nvcc_name(reader, _Piece(text, 0, len(text)), text)
    real, virtual = _both(target)
    targets = [real, virtual] if target.kind is TargetKind.REAL else [target]
    if target.suffix and "plain-too" in reader.row.rules:
        plain = Target(target.capability, Suffix.NONE, TargetKind.VIRTUAL)
        reader.note(NoteKind.SURPRISE, f"{plain} comes with it")
        targets.append(plain)
    return targets


def _toolkit_of(reader: _Reader) -> CudaVersion:
    """The version of nvcc is that of the toolkit."""
    numbers = _version_numbers(reader.version or None)
    if numbers is None:
        return reader.toolkit or tables().toolkits[-1].cuda
    return CudaVersion(numbers[0], numbers[1] if len(numbers) > 1 else 0)


def _nvcc_name(reader: _Reader, piece: _Piece, name: str) -> Target:
    """``sm_90a`` or ``compute_90``, which the toolkit has to know."""
    prefix, _, number = name.partition("_")
    kind = {"sm": TargetKind.REAL, "compute": TargetKind.VIRTUAL, "lto": TargetKind.LTO}.get(prefix)
    target = _target(kind, number) if kind else None
    toolkit = reader.nvcc()
    if target is None or not toolkit.emits(target):
        span = tables().emitting_toolkits(target) if target else None
        renamed = tables().architectures.get(target.capability) if target else None
        why = f"; known to CUDA {span[0]} to {span[1]}" if span else ""
        if renamed is not None and renamed.renamed is not None:
            why += f", and called sm_{renamed.renamed.number} since"
        reader.stop(
            ListError.UNKNOWN_ARCH,
            f"nvcc {toolkit.cuda} stops: Unsupported gpu architecture '{_shown(name)}'{why}",
            piece,
        )
    return target


def _read_nvcc_gencode(reader: _Reader) -> list[Target]:
    reader.toolkit = _toolkit_of(reader)
    if reader.text is None:
        return list(_both(Target(_default(reader))))
    targets: list[Target] = []
    words = iter(re.finditer(r"\S+", reader.text))
    for word in words:
        option, equals, value = word[0].partition("=")
        start = word.start() + len(option) + 1
        if option in ("-gencode", "--generate-code"):
            if not equals:
                following = next(words, None)
                if following is None:
                    reader.stop(
                        ListError.BAD_ENTRY, f"nothing follows {option}", _Piece(option, word.start(), word.end())
                    )
                value, start = following[0], following.start()
            targets += _gencode(reader, _Piece(value, start, start + len(value)))
        else:
            reader.stop(
                ListError.BAD_ENTRY,
                f"`{_shown(word[0])}` is not -gencode arch=…,code=…",
                _Piece(word[0], word.start(), word.end()),
            )
    if not targets:
        reader.stop(ListError.EMPTY_LIST, "there is no -gencode in it")
    return _unique(targets)


_GENCODE = re.compile(
    r'"?(?:arch=(?P<arch>[^,\[\]"]*),code=(?P<code>\[[^\[\]]*\]|"[^"]*"|[^,\[\]"]*)|code=(?P<code2>[^,\[\]"]*),arch=(?P<arch2>[^,\[\]"]*))"?'
)


def _gencode(reader: _Reader, piece: _Piece) -> list[Target]:
    """``arch=compute_90,code=sm_90``, ``code=[sm_90,compute_90]``."""
    match = _GENCODE.fullmatch(piece.text)
    if match is None:
        reader.stop(
            ListError.BAD_ENTRY,
            f"`{_shown(piece.text)}` is not of the form arch=compute_90,code=sm_90",
            piece,
        )
    group = "" if match["arch"] is not None else "2"
    arch, code = match[f"arch{group}"], match[f"code{group}"].strip('[]"')

    def place(text: str, name: str, offset: int = 0) -> _Piece:
        start = piece.start + match.start(name + group) + offset
        return _Piece(text, start, start + len(text))

    source = _nvcc_name(reader, place(arch, "arch"), arch)
    if source.kind is not TargetKind.VIRTUAL:
        reader.stop(
            ListError.BAD_ENTRY,
            f"arch= names a virtual architecture, as compute_{_numbered(source)}",
            place(arch, "arch"),
        )
    targets = []
    for name in code.split(","):
        where = place(name, "code", max(0, match[f"code{group}"].find(name)))
        target = _nvcc_name(reader, where, name.strip())
        _pair(reader, source, target, where)
        targets.append(_family_of(reader, source, target, where))
    return targets


def _pair(reader: _Reader, source: Target, target: Target, piece: _Piece) -> None:
    """What nvcc refuses as incompatible, and what it takes although its assembler refuses it later."""
    family = tables().family(source.capability)
    inside = family is not None and target.capability in family.members
    exact = target.suffix is Suffix.ARCH_SPECIFIC
    if target.kind is TargetKind.VIRTUAL:
        fits = target == source
    elif source.suffix is Suffix.ARCH_SPECIFIC:
        fits = exact
    elif "own-family" in reader.row.rules:
        fits = inside or exact or Suffix.FAMILY_SPECIFIC not in (source.suffix, target.suffix)
    else:
        fits = inside or source.suffix is not Suffix.FAMILY_SPECIFIC
    if not fits or target.capability < source.capability:
        reader.stop(
            ListError.COMPILER_REJECTS,
            f"nvcc stops: Incompatible code generation requested: arch='{source}', code='{target}'",
            piece,
        )
    if source.suffix and not (
        inside if source.suffix is Suffix.FAMILY_SPECIFIC else target.capability == source.capability
    ):
        reader.note(NoteKind.LATER, f"nvcc takes it, and ptxas refuses {source} for {target} later", piece)


def _family_of(reader: _Reader, source: Target, target: Target, piece: _Piece) -> Target:
    """Machine code made from `f` PTX is `f` code, whatever it is called."""
    if source.suffix is Suffix.FAMILY_SPECIFIC and not target.suffix and target.kind is TargetKind.REAL:
        made = Target(target.capability, Suffix.FAMILY_SPECIFIC, target.kind)
        reader.note(NoteKind.SURPRISE, f"{target} made from {source} is {made}", piece)
        return made
    return target


# ---------------------------------------------------------------------------------------------------------
# flash-attention, bitsandbytes, CuPy, Triton


def _read_flash_attn(reader: _Reader) -> list[Target]:
    cuda = reader.nvcc().cuda
    built = reader.listed("built", cuda)
    ever = [_ranged(entry)[0] for entry in dict(reader.row.lists)["built"].split()]
    if "unread" in reader.row.rules:
        reader.note(NoteKind.SURPRISE, "this version does not read the variable")
        return [Target.parse(number) for number in built]
    text = reader.text if reader.text is not None else dict(reader.row.lists)["default"]
    asked = {}
    for piece in _split(text, ";"):
        where = piece if reader.text is not None else None
        if piece.text in built:
            asked[piece.text] = True
        elif piece.text in ever and reader.text is not None:
            reader.note(
                NoteKind.DROPPED, f"{piece.text} is left out without a word: nvcc {cuda} is too old for it", where
            )
        elif reader.text is not None:
            what = f"`{_shown(piece.text)}`" if piece.text else "an empty entry"
            reader.note(NoteKind.DROPPED, f"{what} is left out without a word: it knows {', '.join(ever)}", where)
    if not asked:
        reader.note(NoteKind.SURPRISE, "no option is left: torch's TORCH_CUDA_ARCH_LIST decides")
    return [Target.parse(number) for number in built if number in asked]


def _natural(text: str) -> list[tuple[int, int, str]]:
    """The order of CMake's ``list(SORT … COMPARE NATURAL)``; a number is compared without being converted."""
    parts = re.findall(r"[0-9]+|[^0-9]", text)
    return [(0, len(part.lstrip("0")), part.lstrip("0")) if part[0] in "0123456789" else (1, 0, part) for part in parts]


def _read_bitsandbytes(reader: _Reader) -> list[Target]:
    if reader.text is None:
        plain = [Target.parse(name) for name in reader.nvcc().targets if name.isdigit()]
        return [*sorted(plain), _both(max(plain))[1]]
    pieces = sorted(
        _first_of_each(piece for piece in _split(reader.text, ";") if piece.text), key=lambda p: _natural(p.text)
    )
    if not pieces:
        reader.stop(ListError.EMPTY_LIST, "CMake stops: there is no last entry to take")
    targets = []
    for piece in pieces:
        entry = piece.text if piece is pieces[-1] else f"{piece.text}-real"
        match = re.fullmatch(r"([0-9]+[af]?)(-real|-virtual)?", entry, re.ASCII)
        if match is None:
            reader.stop(
                ListError.BAD_ENTRY, f"`{_shown(piece.text)}` is not a number without a dot", piece, "write `89`"
            )
        target = _target(TargetKind.REAL, match[1])
        if target is None or (reader.toolkit is not None and not reader.nvcc().emits(target)):
            reader.stop(ListError.COMPILER_REJECTS, f"nvcc does not know compute_{match[1]}", piece)
        real, virtual = _both(target)
        targets += {"-real": [real], "-virtual": [virtual], None: [real, virtual]}[match[2]]
    if len(pieces) > 1 or not pieces[-1].text.endswith(("-real", "-virtual")):
        last = pieces[-1].text
        reader.note(
            NoteKind.SURPRISE,
            f"each becomes machine code alone: only the last could ask for PTX, and {last} does not"
            if last.endswith("-real")
            else f"PTX goes to the highest, {last}, and only there",
        )
    return targets


def _read_cupy(reader: _Reader) -> list[Target]:
    devices = reader.seen() if reader.text == "current" else ()
    if devices:
        return [
            target
            for device in dict.fromkeys(devices)
            for target in (_both(Target(device))[1:] if device < ComputeCapability(6, 0) else [Target(device)])
        ]
    if reader.text in (None, "current"):
        cuda = reader.nvcc().cuda
        why = "not set" if reader.text is None else "no GPU is found"
        reader.note(
            NoteKind.SURPRISE, f"{why}: it builds for its own list, by CUDA {cuda}; on aarch64 for Jetson boards too"
        )
        return [Target.parse(name) for name in reader.listed("default", cuda)]
    targets: list[Target] = []
    for piece in _split(reader.text or "", ";"):
        if piece.text:
            targets += _gencode(reader, piece)
    if not targets:
        reader.note(NoteKind.SURPRISE, "nothing is asked for: nvcc builds for its own default")
    return _unique(targets)


_LONG = 100  # digits: no number of a target, and nothing to convert


def _read_triton(reader: _Reader) -> list[Target]:
    if (
        "unread" in reader.row.rules
        or reader.text is None
        or (not reader.text and "empty-is-unset" in reader.row.rules)
    ):
        if reader.text and "unread" in reader.row.rules:
            reader.note(NoteKind.DROPPED, "this version does not read the variable")
        devices = reader.seen()
        if not devices:
            reader.stop(ListError.NO_DEVICE, "Triton compiles for the current GPU, and there is none")
        return [_triton_target(reader, devices[0])]
    whole = _Piece(reader.text, 0, len(reader.text))
    match = re.fullmatch(r"sm(\d+)", reader.text)  # as Python's int reads it: zeros before it, digits of any script
    target = _target(TargetKind.REAL, str(int(match[1]))) if match and len(match[1]) < _LONG else None
    if match is None:
        reader.stop(
            ListError.BAD_ENTRY,
            r"Triton raises `ValueError: TRITON_OVERRIDE_ARCH must have the form ^sm(\d+)$`",
            whole,
            "write `sm90`: no underscore, no dot, no suffix",
        )
    if target is None:
        reader.stop(ListError.INVALID_TARGET_PASSED_ON, f"{reader.text} is passed on and is no target", whole)
    if reader.devices:
        here = _triton_target(reader, reader.devices[0])
        if here.capability != target.capability:
            reader.note(
                NoteKind.SURPRISE,
                f"only the passes before PTX follow it: the machine code is still made for the GPU, {here}",
            )
        return [here]
    reader.note(
        NoteKind.SURPRISE, "only the passes before PTX follow it; the machine code is for the GPU that is there"
    )
    return [_triton_target(reader, target.capability)]


def _triton_target(reader: _Reader, capability: ComputeCapability) -> Target:
    first = ComputeCapability(9, 0)
    suffixed = capability == first if "unread" in reader.row.rules else capability >= first
    return Target(capability, Suffix.ARCH_SPECIFIC if suffixed else Suffix.NONE)


# ---------------------------------------------------------------------------------------------------------
# Writing: a text that may say it. `write` reads it back, so that nothing here needs to know what a tool refuses.


def _grouped(targets: Iterable[Target]) -> dict[str, list[Target]]:
    """By number and suffix, in the order in which they come first."""
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(_dotted(target), []).append(target)
    return groups


def _write_torch(targets: Sequence[Target]) -> str:
    entries = []
    for number, group in _grouped(targets).items():
        entries.append(number + ("+PTX" if any(t.kind is TargetKind.VIRTUAL for t in group) else ""))
    return ";".join(entries)


def _write_cmake(targets: Sequence[Target]) -> str:
    entries = []
    for group in _grouped(targets).values():
        kind = {TargetKind.REAL: "-real", TargetKind.VIRTUAL: "-virtual"}[group[0].kind] if len(group) == 1 else ""
        entries.append(_numbered(group[0]) + kind)
    return ";".join(entries)


def _write_dotted(targets: Sequence[Target]) -> str:
    return " ".join(_grouped(targets))


def _write_nvcc_arch(targets: Sequence[Target]) -> str:
    first = min(targets, key=lambda target: (target.kind is not TargetKind.REAL, not target.suffix))
    return str(first)


def _write_gencode(targets: Sequence[Target]) -> str:
    return " ".join(f"-gencode arch=compute_{_numbered(target)},code={target}" for target in targets)


def _write_numbers(targets: Sequence[Target]) -> str:
    return ";".join(dict.fromkeys(map(_numbered, targets)))


def _write_bitsandbytes(targets: Sequence[Target]) -> str:
    """All but the highest are machine code; that one is what its ending says, or both."""
    groups = sorted(_grouped(targets).values(), key=lambda group: _natural(_numbered(group[0])))
    kinds = {target.kind for target in groups[-1]}
    ending = "" if len(kinds) > 1 else "-virtual" if TargetKind.VIRTUAL in kinds else "-real"
    return ";".join(_numbered(group[0]) for group in groups) + ending


def _write_cupy(targets: Sequence[Target]) -> str:
    return ";".join(f"arch=compute_{_numbered(target)},code={target}" for target in targets)


def _write_triton(targets: Sequence[Target]) -> str:
    return ";".join(f"sm{target.capability.number}" for target in targets)


_READERS: dict[str, Callable[[_Reader], list[Target]]] = {
    "torch-python": _read_torch_python,
    "torch-cmake": _read_torch_cmake,
    "cmake": _read_cmake,
    "flashinfer": _read_flashinfer,
    "nvcc-arch": _read_nvcc_arch,
    "nvcc-gencode": _read_nvcc_gencode,
    "flash-attn": _read_flash_attn,
    "bitsandbytes": _read_bitsandbytes,
    "cupy": _read_cupy,
    "triton": _read_triton,
}
_WRITERS: dict[str, Callable[[Sequence[Target]], str]] = {
    "torch-python": _write_torch,
    "torch-cmake": _write_torch,
    "cmake": _write_cmake,
    "flashinfer": _write_dotted,
    "nvcc-arch": _write_nvcc_arch,
    "nvcc-gencode": _write_gencode,
    "flash-attn": _write_numbers,
    "bitsandbytes": _write_bitsandbytes,
    "cupy": _write_cupy,
    "triton": _write_triton,
}
