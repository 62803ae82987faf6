"""torch, which reads its list in Python and in CMake, and not in the same way.

Python: ``torch/utils/cpp_extension.py``, ``_get_cuda_arch_flags``. CMake: ``select_compute_arch.cmake``,
``CUDA_SELECT_NVCC_ARCH_FLAGS``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.archlist.reading import (
    ListError,
    NoteKind,
    Piece,
    Reader,
    both,
    dotted,
    first_of_each,
    foreign,
    grouped,
    lenient,
    numbered,
    shown,
    split,
    target_of,
)
from capably.errors import ParseError
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def entries(text: str) -> tuple[Target, ...]:
    """The targets that a list names in torch's notation, one for each entry: no tool's reading of it.

    What some version of a tool does not know is none of its business; for what a tool makes of a list, see
    `capably.archlist.read`. A name stands for its members, by the newest torch that knows it. ``+PTX`` adds no entry.

    Raises:
        ParseError: It is not a list: an empty entry, or one that is neither a number nor a name.

    >>> [str(target) for target in entries("7.0;9.0a+PTX Turing")]
    ['sm_70', 'sm_90a', 'sm_75']
    """
    names = {name: members for row in tables().dialects if row.dialect == "torch-python" for name, members in row.names}
    found: list[Target] = []
    for piece in split(text, "; \t\n"):
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
    target = lenient(text)
    if target is not None:
        return f"a number with a dot, such as `{dotted(target)}`"
    return "numbers such as `9.0`, `9.0a` or `9.0+PTX`, with `;` or a space between them"


# ---------------------------------------------------------------------------------------------------------
# Python


def read_python(reader: Reader) -> list[Target]:
    """``TORCH_CUDA_ARCH_LIST`` as a Python extension is built, or the GPUs where it is not set."""
    text = reader.text
    if not text or (text == "native" and "native" in reader.row.rules):
        pieces = _detect_python(reader)
    else:
        pieces = list(_expanded(text, reader.row.names))
    targets: list[Target] = []
    for piece in pieces:
        number, plus, rest = piece.text.partition("+")
        if number not in reader.row.numbers or plus + rest not in ("", "+PTX"):
            _stop_python(reader, piece)
        target = target_of(TargetKind.REAL, number.replace(".", ""))
        assert target is not None  # noqa: S101 - a number of the table
        targets += both(target) if plus else [target]
    reader.later(targets)
    # In the order of the texts of torch's flags.
    return sorted(set(targets), key=lambda target: (f"compute_{numbered(target)},code=", str(target)))


def _expanded(text: str, names: Sequence[tuple[str, str]]) -> Iterator[Piece]:
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
                yield Piece("".join(c for c, _, _ in entry), entry[0][1], entry[-1][2])
            else:
                yield Piece("", place, place)
            entry, place = [], min(character[2], len(text))
        else:
            entry.append(character)


def _stop_python(reader: Reader, piece: Piece) -> NoReturn:
    said = f"torch raises `ValueError: Unknown CUDA arch ({shown(piece.text)}) or GPU not supported`"
    if not piece.text:
        reader.stop(
            ListError.EMPTY_ENTRY,
            f"{said}: an entry is empty",
            piece,
            "put one `;` or one space between entries, and none at the ends",
        )
    why, way_out = _why_unknown(reader, piece.text)
    reader.stop(ListError.UNKNOWN_ARCH, f"{said}: {why}", piece, way_out)


def _why_unknown(reader: Reader, text: str) -> tuple[str, str]:
    """Why an entry of torch's list is not known, and what to write instead."""
    base = text.removesuffix("+PTX")
    if other := foreign(text, "`;`"):
        return other
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
    target = lenient(base)
    if target is None:
        names = ", ".join(name for name, _ in reader.row.names)
        return "it is neither a number with a dot nor a name that torch knows", f"names are {names}"
    if dotted(target) in reader.row.numbers:
        return "numbers are written with a dot", f"write `{dotted(target)}`"
    if target.suffix is Suffix.FAMILY_SPECIFIC:
        return "it has no targets with `f`", "pass -gencode flags to nvcc yourself, which turns this list off"
    return "it is not in torch's table", ""


def _detect_python(reader: Reader) -> list[Piece]:
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
    return [Piece(f"{device}{'+PTX' * (device == ordered[-1])}", 0, whole) for device in ordered]


def _digits(text: str) -> ComputeCapability:
    return ComputeCapability.from_number(int("".join(re.findall(r"[0-9]+", text)) or "10"))


# ---------------------------------------------------------------------------------------------------------
# CMake


def read_cmake(reader: Reader) -> list[Target]:
    """``TORCH_CUDA_ARCH_LIST`` as torch itself and what uses its CMake files are built."""
    text = (reader.text or "").strip(";")  # CMake drops what is empty at the ends before it compares with words
    one = r"[0-9]" if "one-digit-major" in reader.row.rules else r"[0-9]+"
    suffix = "[af]?" if "family" in reader.row.rules else "a?"
    numbers = re.compile(rf"({one}\.[0-9]{suffix})(?:\(({one}\.[0-9])\))?", re.ASCII)
    whole = Piece(reader.text or "", 0, len(reader.text or ""))
    pieces = [piece for piece in split(whole.text, "; \t") if piece.text]
    if not text or text == "Auto":
        pieces = [Piece(entry, 0, whole.end) for entry in _detect_cmake(reader)]
    elif text in ("All", "Common"):
        cuda = reader.nvcc().cuda
        pieces = [Piece(entry, 0, whole.end) for entry in reader.listed(text, cuda)]
    names = dict(reader.row.names)
    real: list[str] = []
    virtual: list[str] = []
    for piece in first_of_each(pieces):
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
            _stop_cmake(reader, piece, entry)
        real += [name.replace(".", "") for name in made]
        if piece.text.endswith("+PTX"):
            virtual += [name.replace(".", "") for name in ptx]
    for name in real:  # `8.6a(8.0)` falls into two names, of which the second is none
        if re.search(r"[af]\(", name):
            reader.passed_on(TargetKind.REAL, name[name.index("(") :], whole)
    real = [name.partition("(")[0] for name in dict.fromkeys(real)]
    targets = [reader.passed_on(TargetKind.REAL, name, whole) for name in real]
    targets += [reader.passed_on(TargetKind.VIRTUAL, name, whole) for name in dict.fromkeys(virtual)]
    if not targets:
        reader.note(NoteKind.SURPRISE, "nothing is asked for: nvcc builds for its own default")
    reader.later(targets)
    return targets


def _stop_cmake(reader: Reader, piece: Piece, entry: str) -> NoReturn:
    why, way_out = _why_unknown(reader, piece.text)
    reader.stop(ListError.UNKNOWN_ARCH, f"CMake stops at the unknown name `{shown(entry)}`: {why}", piece, way_out)


def _detect_cmake(reader: Reader) -> list[str]:
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


def write(targets: Sequence[Target]) -> str:
    """Machine code of each number, with PTX where that is asked for: the list has none without the other."""
    written = []
    for number, group in grouped(targets).items():
        written.append(number + ("+PTX" if any(t.kind is TargetKind.VIRTUAL for t in group) else ""))
    return ";".join(written)
