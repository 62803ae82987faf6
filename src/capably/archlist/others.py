"""The small ones: flash-attention, bitsandbytes, CuPy and Triton."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.archlist.nvcc import gencode
from capably.archlist.reading import (
    ListError,
    NoteKind,
    Piece,
    Reader,
    both,
    first_of_each,
    grouped,
    numbered,
    ranged,
    shown,
    split,
    target_of,
    unique,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_flash_attn(reader: Reader) -> list[Target]:
    """``FLASH_ATTN_CUDA_ARCHS``: of the numbers that ``setup.py`` knows, those that are in the list."""
    cuda = reader.nvcc().cuda
    built = reader.listed("built", cuda)
    ever = [ranged(entry)[0] for entry in dict(reader.row.lists)["built"].split()]
    if "unread" in reader.row.rules:
        reader.note(NoteKind.SURPRISE, "this version does not read the variable")
        return [Target.parse(number) for number in built]
    text = reader.text if reader.text is not None else dict(reader.row.lists)["default"]
    asked = {}
    for piece in split(text, ";"):
        where = piece if reader.text is not None else None
        if piece.text in built:
            asked[piece.text] = True
        elif piece.text in ever and reader.text is not None:
            reader.note(
                NoteKind.DROPPED, f"{piece.text} is left out without a word: nvcc {cuda} is too old for it", where
            )
        elif reader.text is not None:
            what = f"`{shown(piece.text)}`" if piece.text else "an empty entry"
            reader.note(NoteKind.DROPPED, f"{what} is left out without a word: it knows {', '.join(ever)}", where)
    if not asked:
        reader.note(NoteKind.SURPRISE, "no option is left: torch's TORCH_CUDA_ARCH_LIST decides")
    return [Target.parse(number) for number in built if number in asked]


def write_flash_attn(targets: Sequence[Target]) -> str:
    """The numbers."""
    return ";".join(dict.fromkeys(map(numbered, targets)))


def _natural(text: str) -> list[tuple[int, int, str]]:
    """The order of CMake's ``list(SORT … COMPARE NATURAL)``; a number is compared without being converted."""
    parts = re.findall(r"[0-9]+|[^0-9]", text)
    return [(0, len(part.lstrip("0")), part.lstrip("0")) if part[0] in "0123456789" else (1, 0, part) for part in parts]


def read_bitsandbytes(reader: Reader) -> list[Target]:
    """``COMPUTE_CAPABILITY``, which its CMake file sorts: only the last may have PTX."""
    if reader.text is None:
        plain = [Target.parse(name) for name in reader.nvcc().targets if name.isdigit()]
        return [*sorted(plain), both(max(plain))[1]]
    pieces = sorted(
        first_of_each(piece for piece in split(reader.text, ";") if piece.text), key=lambda p: _natural(p.text)
    )
    if not pieces:
        reader.stop(ListError.EMPTY_LIST, "CMake stops: there is no last entry to take")
    targets = []
    for piece in pieces:
        entry = piece.text if piece is pieces[-1] else f"{piece.text}-real"
        match = re.fullmatch(r"([0-9]+[af]?)(-real|-virtual)?", entry, re.ASCII)
        if match is None:
            reader.stop(
                ListError.BAD_ENTRY, f"`{shown(piece.text)}` is not a number without a dot", piece, "write `89`"
            )
        target = target_of(TargetKind.REAL, match[1])
        if target is None or (reader.toolkit is not None and not reader.nvcc().emits(target)):
            reader.stop(ListError.COMPILER_REJECTS, f"nvcc does not know compute_{match[1]}", piece)
        real, virtual = both(target)
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


def write_bitsandbytes(targets: Sequence[Target]) -> str:
    """All but the highest are machine code; that one is what its ending says, or both."""
    groups = sorted(grouped(targets).values(), key=lambda group: _natural(numbered(group[0])))
    kinds = {target.kind for target in groups[-1]}
    ending = "" if len(kinds) > 1 else "-virtual" if TargetKind.VIRTUAL in kinds else "-real"
    return ";".join(numbered(group[0]) for group in groups) + ending


def read_cupy(reader: Reader) -> list[Target]:
    """``CUPY_NVCC_GENERATE_CODE``: options of nvcc without the word ``-gencode``; or ``current``."""
    devices = reader.seen() if reader.text == "current" else ()
    if devices:
        made = ((*both(Target(device)), reader.within("ptx-only", device.major, device.minor)) for device in devices)
        return unique(virtual if ptx_only else real for real, virtual, ptx_only in made)
    if reader.text in (None, "current"):
        cuda = reader.nvcc().cuda
        why = "not set" if reader.text is None else "no GPU is found"
        reader.note(
            NoteKind.SURPRISE, f"{why}: it builds for its own list, by CUDA {cuda}; on aarch64 for Jetson boards too"
        )
        return [Target.parse(name) for name in reader.listed("default", cuda)]
    targets: list[Target] = []
    for piece in split(reader.text or "", ";"):
        if piece.text:
            targets += gencode(reader, piece)
    if not targets:
        reader.note(NoteKind.SURPRISE, "nothing is asked for: nvcc builds for its own default")
    return unique(targets)


def write_cupy(targets: Sequence[Target]) -> str:
    """One pair for each target."""
    return ";".join(f"arch=compute_{numbered(target)},code={target}" for target in targets)


_LONG = 100  # digits: no number of a target, and nothing to convert


def read_triton(reader: Reader) -> list[Target]:
    """``TRITON_OVERRIDE_ARCH``, which looks like a list of what to compile and is none."""
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
    whole = Piece(reader.text, 0, len(reader.text))
    match = re.fullmatch(r"sm(\d+)", reader.text)  # as Python's int reads it: zeros before it, digits of any script
    target = target_of(TargetKind.REAL, str(int(match[1]))) if match and len(match[1]) < _LONG else None
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


def _triton_target(reader: Reader, capability: ComputeCapability) -> Target:
    suffixed = reader.within("suffixed", capability.major, capability.minor)
    return Target(capability, Suffix.ARCH_SPECIFIC if suffixed else Suffix.NONE)


def write_triton(targets: Sequence[Target]) -> str:
    """The number, without a suffix."""
    return ";".join(f"sm{target.capability.number}" for target in targets)
