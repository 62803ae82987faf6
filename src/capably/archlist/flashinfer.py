"""FlashInfer: ``flashinfer/compilation_context.py``, ``CompilationContext``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Target, TargetKind
from capably.archlist.reading import (
    ListError,
    NoteKind,
    Piece,
    Reader,
    Stop,
    dotted,
    foreign,
    grouped,
    lenient,
    ranged,
    shown,
    split,
)
from capably.errors import TableError
from capably.requirement import Comparison, Requirement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capably.tables import DialectVersion
    from capably.version import CudaVersion


def read(reader: Reader) -> list[Target]:
    """The list as it is taken apart at import, or the GPUs where it is not set."""
    rules = reader.row.rules
    if "unread" in rules:
        reader.note(
            NoteKind.SURPRISE,
            "this version does not read the variable; it compiles for what torch's TORCH_CUDA_ARCH_LIST says",
        )
        return []
    found: list[tuple[int, str, Piece]] = []
    if reader.text is None:
        found = _detect(reader)
    else:
        for piece in split(reader.text, " "):
            found.append((*_entry(reader, piece), piece))
    named = {(major, minor): piece for major, minor, piece in reversed(found)}
    targets = []
    for major, minor in sorted(named) if "sorted" in rules else dict.fromkeys((m, n) for m, n, _ in found):
        name = f"{major}{minor}"
        if (major, minor) == (10, "7a"):
            name = _name_of_107(reader, named[major, minor])
        targets.append(reader.passed_on(TargetKind.REAL, name, named[major, minor]))
    floor = _floor(reader.row)
    if targets and not any(target.capability >= floor for target in targets):
        reader.note(NoteKind.REFUSED, f"FlashInfer's own check refuses it later: nothing in it is {floor} or higher")
    reader.later(targets)
    return targets


def refusal(row: DialectVersion, asked: Sequence[ComputeCapability], *, listed: bool) -> str:
    """Why FlashInfer's own check stops, in one sentence; empty where it passes.

    Args:
        row: The version.
        asked: What the list names, which is torch's for a version without one of its own; else the visible GPUs.
        listed: They are of a list.
    """
    floor = _floor(row)
    older = "unread" in row.rules
    low = [one for one in dict.fromkeys(asked) if one < floor]
    if not low or (not older and len(low) < len(set(asked))):
        return ""
    what = "the list names" if listed else "there is a GPU of"
    said = f"{what} {', '.join(map(str, low))}, and {'nothing may be' if older else 'all are'} below {floor}"
    number = f"{floor.major}{floor.minor}"
    printed = f"FlashInfer requires sm{number}+" if older else f"FlashInfer requires GPUs with sm{number} or higher"
    return f"its own check stops with `{printed}`{', whatever the GPU is' if listed else ''}: {said}"


def _floor(row: DialectVersion) -> ComputeCapability:
    """The lowest number with which FlashInfer's own check is content: it compares, and knows no other condition."""
    match Requirement.parse(row.requires) if row.requires else None:
        case Requirement(((Comparison(">=", lowest),),)):
            return lowest
        case _:
            raise TableError("dialects", f"flashinfer {row.since}", "`requires` is a lowest compute capability")


def _entry(reader: Reader, piece: Piece) -> tuple[int, str]:
    """One entry as FlashInfer splits it; its faults are those of Python."""
    rules = reader.row.rules
    try:
        major_text, minor = piece.text.split(".")
        major = int(major_text)
        if "normalised" not in rules:
            if "adds-suffix" in rules and reader.within("suffixed", major) and minor.isdigit():
                minor += "a"
            return major, minor
        if minor[-1].isalpha():
            return major, minor
        return _normalised(reader, major, int(minor), piece)
    except (ValueError, IndexError) as error:
        why, way_out = _why(piece.text)
        reader.stop(
            ListError.IMPORT_FAILS,
            f"`import flashinfer` fails with {type(error).__name__}: {why}",
            piece,
            way_out,
        )


def _why(text: str) -> tuple[str, str]:
    if not text:
        return "an entry is empty", "put one space between entries, and none at the ends"
    if other := foreign(text, "one space"):
        return other
    target = lenient(text.removesuffix("+PTX"))
    if target is not None and "." not in text:
        return "numbers are written with a dot", f"write `{dotted(target)}`"
    return f"`{shown(text)}` is not a number with a dot", "write numbers such as `9.0`"


def _normalised(reader: Reader, major: int, minor: int, piece: Piece | None) -> tuple[int, str]:
    """The suffix that FlashInfer adds to a number without one."""
    floor = _oldest_nvcc(reader.row, major, minor)
    if floor is None:
        return major, _suffixed(reader, major, minor)
    nvcc = reader.nvcc()
    if nvcc.cuda < floor:
        suffixed = f"{major}{minor}a" in nvcc.targets
        reader.stop(
            ListError.IMPORT_FAILS if piece else ListError.COMPILER_REJECTS,
            f"FlashInfer refuses {major}.{minor} with nvcc {nvcc.cuda}: it asks for CUDA {floor} or newer",
            piece,
            f"use nvcc {floor} or newer{f', or write the suffix yourself: `{major}.{minor}a`' * suffixed}",
        )
    if minor == 0 or "one-12" in reader.row.rules:
        return major, "0f" if f"{major}0f" in nvcc.targets else "0a"
    return major, f"{minor}a"


def _suffixed(reader: Reader, major: int, minor: int) -> str:
    return f"{minor}a" if reader.within("suffixed", major, minor) else str(minor)


def _oldest_nvcc(row: DialectVersion, major: int, minor: int) -> CudaVersion | None:
    """The CUDA version that FlashInfer asks for before it takes a number without a suffix; None where for none."""
    named = {name: first for name, first, _ in map(ranged, dict(row.lists).get("takes", "").split())}
    return named.get(f"{major}.{minor}", named.get(f"{major}.x"))


def _name_of_107(reader: Reader, piece: Piece) -> str:
    if "needs-107" in reader.row.rules and not reader.nvcc().emits(Target(ComputeCapability(10, 7))):
        reader.note(NoteKind.SURPRISE, "10.7 is built as 100f: this nvcc does not know 107", piece)
        return "100f"
    if reader.row.rules & {"maybe-107", "needs-107"}:
        reader.note(NoteKind.SURPRISE, "some modules are built for 100f instead of 107a", piece)
    return "107a"


def _detect(reader: Reader) -> list[tuple[int, str, Piece]]:
    whole = Piece("", 0, 0)
    found: list[tuple[int, str, Piece]] = []
    for device in reader.seen():
        try:
            if "normalised" in reader.row.rules:
                major, minor = _normalised(reader, device.major, device.minor, None)
            else:
                major, minor = device.major, _suffixed(reader, device.major, device.minor)
        except Stop as stop:
            # FlashInfer swallows the exception and keeps what came before.
            reader.note(NoteKind.DROPPED, f"{device} and what comes after it are dropped: {stop.problem.message}")
            if not found:
                raise
            break
        found.append((major, minor, whole))
    if not found:
        reader.stop(
            ListError.NO_DEVICE,
            "no list is set and no GPU is detected; FlashInfer says later that it requires "
            f"sm{_floor(reader.row).number} or higher",
            way_out="set FLASHINFER_CUDA_ARCH_LIST where no GPU is visible",
        )
    return found


def write(targets: Sequence[Target]) -> str:
    """The numbers with their suffixes; there is no word for PTX."""
    return " ".join(grouped(targets))
