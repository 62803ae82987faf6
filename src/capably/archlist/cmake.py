"""CMake: ``CMAKE_CUDA_ARCHITECTURES``, ``CUDAARCHS``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.archlist.nvcc import default_of, every, native
from capably.archlist.reading import (
    ListError,
    NoteKind,
    Piece,
    Reader,
    both,
    grouped,
    lenient,
    numbered,
    shown,
    split,
    target_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


_FALSE = frozenset({"0", "OFF", "NO", "FALSE", "N", "IGNORE"})


def read(reader: Reader) -> list[Target]:
    """The value as CMake checks it, and what it hands on to nvcc."""
    rules = reader.row.rules
    # CMake cuts blanks behind the value of an option, and none before it.
    text = reader.text.rstrip(" \t\r") if reader.text is not None else None
    if text is None:
        default = default_of(reader)
        reader.note(NoteKind.SURPRISE, f"not set: CMake takes nvcc's own default, {default}")
        return list(both(Target(default)))
    if text == "":
        reader.stop(ListError.EMPTY_LIST, "CMake stops: CMAKE_CUDA_ARCHITECTURES must be non-empty if set")
    if text.upper() in _FALSE or text == "NOTFOUND" or text.endswith("-NOTFOUND"):
        reader.note(NoteKind.SURPRISE, "a false value: no option is added, and nvcc builds for its own default")
        return []
    if text in ("all", "all-major") and "all" in rules:
        return _own(reader, text) or every(reader, text)
    if text == "native" and "native" in rules:
        return _native(reader)
    suffix = "[af]?" if rules & {"family", "unchecked"} else "a?" if "arch-specific" in rules else ""
    entry = re.compile(rf"([0-9]+{suffix})(?:-(real|virtual))?", re.ASCII)
    targets = []
    for piece in split(text, ";"):
        match = entry.fullmatch(piece.text)
        if match is None:
            if not piece.text and (piece.start > 0 or "unchecked" in rules):
                continue
            _stop(reader, piece)
        target = target_of(TargetKind.REAL, match[1])
        toolkit = reader.nvcc() if reader.toolkit is not None else None
        if target is None or (toolkit is not None and not toolkit.emits(target)):
            name = f"nvcc {toolkit.cuda}" if toolkit else "nvcc"
            reader.stop(
                ListError.COMPILER_REJECTS,
                f"CMake takes `{piece.text}`, but {name} does not know compute_{match[1]}, "
                "and the check of the compiler fails",
                piece,
            )
        real, virtual = both(target)
        targets += {"real": [real], "virtual": [virtual], None: [real, virtual]}[match[2]]
        if match[2] != "real" and target.suffix is Suffix.ARCH_SPECIFIC:
            reader.note(
                NoteKind.SURPRISE, f"it embeds PTX for {match[1]}, which no other GPU can use; add -real", piece
            )
    if not targets:  # only where the list is unchecked
        reader.stop(ListError.COMPILER_REJECTS, "CMake takes it as empty, and its check of the compiler fails")
    return targets


def _own(reader: Reader, word: str) -> list[Target]:
    """What CMake puts in the place of a word that nvcc of the toolkit does not know: PTX for the newest only."""
    numbers = [ComputeCapability.parse(entry) for entry in reader.listed(word, reader.nvcc().cuda)]
    return [*map(Target, numbers), *(Target(newest, kind=TargetKind.VIRTUAL) for newest in numbers[-1:])]


def _native(reader: Reader) -> list[Target]:
    if not reader.seen() and "native-unseen" not in reader.row.rules:
        reader.stop(ListError.NO_DEVICE, "CMake stops: `native` is set, but no GPU was detected")
    return native(reader)


def _stop(reader: Reader, piece: Piece) -> NoReturn:
    text = piece.text
    way_out = "entries are `90`, `90-real` or `90-virtual`, separated by `;`"
    target = lenient(re.sub(r"\+PTX$|-PTX$", "", text))
    if not text:
        why = "the list begins with a separator"
    elif text in ("all", "all-major", "native"):
        why = f"`{text}` stands alone or not at all"
    elif text.lower() in ("all", "all-major", "native"):
        why = f"`{text}` is written in lower case"
    elif re.fullmatch(r"[0-9]+[af](?:-real|-virtual)?", text):
        why = f"this CMake knows no suffix `{'f' if 'f' in text.partition('-')[0] else 'a'}`"
    elif target is not None:
        why, way_out = "it is not written as CMake does", f"write `{numbered(target)}`"
    else:
        why = "it is not of the form of an entry"
    if "unchecked" in reader.row.rules:
        reader.stop(
            ListError.COMPILER_REJECTS,
            f"this CMake takes `{shown(text)}` unchecked, and nvcc refuses it",
            piece,
            way_out,
        )
    reader.stop(ListError.BAD_ENTRY, f"CMake stops at `{shown(text)}`: {why}", piece, way_out)


def write(targets: Sequence[Target]) -> str:
    """Both of a number have no ending; one alone has its own."""
    entries = []
    for group in grouped(targets).values():
        kind = {TargetKind.REAL: "-real", TargetKind.VIRTUAL: "-virtual"}[group[0].kind] if len(group) == 1 else ""
        entries.append(numbered(group[0]) + kind)
    return ";".join(entries)
