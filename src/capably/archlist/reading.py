"""What a reading of a list is, and what the readers of all dialects share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.compat import StrEnum
from capably.errors import ParseError
from capably.escaping import printable
from capably.tables import DialectVersion, KnownToolkit, tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class ListError(StrEnum):
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


class NoteKind(StrEnum):
    """What a note is about."""

    DROPPED = "dropped"  # asked for, and left out without a word
    SURPRISE = "surprise"  # not what the text looks like
    LATER = "later"  # accepted here, and refused by something that comes later
    REFUSED = "refused"  # a condition of the tool itself stops at what the list asks for
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


class Stop(Exception):  # noqa: N818 - it ends a reading and never leaves `capably.archlist.read`
    """The tool stops at the list."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of a list, and where it is."""

    text: str
    start: int
    end: int


@dataclass(slots=True)
class Reader:
    """What a reader is given, and what it notes."""

    text: str | None
    row: DialectVersion
    version: str
    devices: tuple[ComputeCapability, ...] | None
    build_list: tuple[str, ...] | None
    toolkit: CudaVersion | None
    notes: dict[Note, None] = field(default_factory=dict)  # in order, each once

    def note(self, kind: NoteKind, message: str, piece: Piece | None = None) -> None:
        """Remember something about a piece, or about the whole list."""
        start, end = (piece.start, piece.end) if piece else (0, len(self.text or ""))
        self.notes[Note(kind, message, start, end)] = None

    def stop(self, code: ListError, message: str, piece: Piece | None = None, way_out: str = "") -> NoReturn:
        """End the reading: the tool stops at a piece, or at the whole list."""
        length = len(self.text or "")
        start, end = (piece.start, piece.end) if piece else (0, length)
        if start == end:  # an entry without a character is shown by the separator beside it
            start, end = max(0, start - (start == length)), min(length, end + (end < length))
        raise Stop(Problem(code, message, way_out, start, end))

    def seen(self) -> tuple[ComputeCapability, ...]:
        """The devices that detection finds."""
        if self.devices is None:
            self.note(NoteKind.ASSUMED, "it looks for GPUs; none were given, so none are taken to be visible")
        return self.devices or ()

    def nvcc(self) -> KnownToolkit:
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
            entry for entry, first, before in map(ranged, entries) if first <= cuda and (not before or cuda < before)
        ]

    def within(self, name: str, major: int, minor: int = 0) -> bool:
        """Whether a number is in the span of that name: ``9.0``, from that one on, or ``9.0-10.0``, up to the second."""
        first, _, before = dict(self.row.lists)[name].partition("-")
        low, high = ComputeCapability.parse(first), ComputeCapability.parse(before) if before else None
        here = (major, minor)  # what a list holds need not be a number that there is
        return here >= (low.major, low.minor) and (high is None or here < (high.major, high.minor))

    def later(self, targets: Iterable[Target]) -> None:
        """Note those that the given toolkit does not know, for tools that do not look."""
        if self.toolkit is None:
            return
        toolkit = self.nvcc()
        for target in targets:
            if not toolkit.emits(target):
                self.note(NoteKind.LATER, f"nvcc {toolkit.cuda} does not know {target}, and refuses it later")

    def passed_on(self, kind: TargetKind, name: str, piece: Piece) -> Target:
        """The target that a flag names; stops where it names none, which only the compiler finds out."""
        target = target_of(kind, name)
        if target is None:
            self.stop(
                ListError.INVALID_TARGET_PASSED_ON,
                f"it is passed on as {kind}_{shown(name)}, which is no target: nvcc refuses it",
                piece,
            )
        return target


def ranged(entry: str) -> tuple[str, CudaVersion, CudaVersion | None]:
    """``9.0@11.8-12.0``: an entry, the first toolkit that it holds for, and the first that it no longer does."""
    text, _, span = entry.partition("@")
    first, _, before = span.partition("-")
    return text, CudaVersion.parse(first or "0"), CudaVersion.parse(before) if before else None


def version_numbers(version: str | None) -> tuple[int, ...] | None:
    """The numbers that a version begins with; what follows (``+cpu``, ``.post1``, ``rc1``) changes no dialect."""
    if version is None:
        return None
    match = re.match(r"\s*v?([0-9]{1,6}(?:\.[0-9]{1,6}){0,3})", version)
    if match is None:
        raise ParseError("version", version, 0, max(1, len(version)), "numbers such as `2.15.0`")
    return tuple(int(part) for part in match[1].split("."))


def split(text: str, separators: str) -> Iterator[Piece]:
    """The pieces between separators, each of which is one character; an empty one where two meet, or at an end."""
    start = 0
    for index, character in enumerate(text):
        if character in separators:
            yield Piece(text[start:index], start, index)
            start = index + 1
    yield Piece(text[start:], start, len(text))


def target_of(kind: TargetKind, number: str) -> Target | None:
    """``90a`` as a target; None where it is none."""
    match = re.fullmatch(r"([1-9][0-9]?)([0-9])([af]?)", number, re.ASCII)
    if match is None:
        return None
    return Target(ComputeCapability(int(match[1]), int(match[2])), Suffix(match[3]), kind)


def lenient(text: str) -> Target | None:
    """What *text* means to people, whatever this tool makes of it; None where it is no target."""
    try:
        return Target.parse(text)
    except ParseError:
        return None


def both(target: Target) -> tuple[Target, Target]:
    """The machine code and the PTX of a number and its suffix."""
    return (
        Target(target.capability, target.suffix, TargetKind.REAL),
        Target(target.capability, target.suffix, TargetKind.VIRTUAL),
    )


def numbered(target: Target) -> str:
    """``90a``."""
    return f"{target.capability.number}{target.suffix}"


def dotted(target: Target) -> str:
    """``9.0a``."""
    return f"{target.capability}{target.suffix}"


def unique(targets: Iterable[Target]) -> list[Target]:
    """Each once, in the order in which they come first."""
    return list(dict.fromkeys(targets))


def grouped(targets: Iterable[Target]) -> dict[str, list[Target]]:
    """By number and suffix, in the order in which they come first."""
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(dotted(target), []).append(target)
    return groups


def shown(text: str) -> str:
    """*text* for a message: on one line, and without what a terminal would obey."""
    return printable(text)


def first_of_each(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces less those whose text came before."""
    seen = set()
    for piece in pieces:
        if piece.text not in seen:
            seen.add(piece.text)
            yield piece


def foreign(text: str, separator: str) -> tuple[str, str] | None:
    """What is wrong with the first character that no entry has, and what to write instead; None where there is none."""
    found = re.search(r"[^0-9A-Za-z.+_()\-]", text)
    if found is None:
        return None
    character = found[0]
    if character in "'\"":
        return "a quotation mark is part of the list", "set the variable to the text without quotation marks"
    if character == "=":
        return "more than the list is there", "give only what stands behind `=`"
    name = "a comma" if character == "," else f"`{shown(character)}`"
    return f"{name} does not separate entries", f"separate entries by {separator}"
