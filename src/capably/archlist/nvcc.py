"""nvcc: ``-arch`` and ``-gencode``, and what it does without them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.archlist.reading import (
    ListError,
    NoteKind,
    Piece,
    Reader,
    both,
    numbered,
    shown,
    target_of,
    unique,
    version_numbers,
)
from capably.tables import tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_arch(reader: Reader) -> list[Target]:
    """``-arch=sm_90``, which is machine code and PTX for it; a word; or nothing."""
    text = reader.text
    reader.toolkit = _toolkit_of(reader)
    if text is None:
        return list(both(Target(default_of(reader))))
    if text in ("all", "all-major") and "all" in reader.row.rules:
        return every(reader, text)
    if text == "native" and "native" in reader.row.rules:
        return native(reader)
    target = _named(reader, Piece(text, 0, len(text)), text)
    real, virtual = both(target)
    targets = [real, virtual] if target.kind is TargetKind.REAL else [target]
    if target.suffix and "plain-too" in reader.row.rules:
        plain = Target(target.capability, Suffix.NONE, TargetKind.VIRTUAL)
        reader.note(NoteKind.SURPRISE, f"{plain} comes with it")
        targets.append(plain)
    return targets


def read_gencode(reader: Reader) -> list[Target]:
    """``-gencode arch=compute_90,code=sm_90``, as often as it stands there."""
    reader.toolkit = _toolkit_of(reader)
    if reader.text is None:
        return list(both(Target(default_of(reader))))
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
                        ListError.BAD_ENTRY, f"nothing follows {option}", Piece(option, word.start(), word.end())
                    )
                value, start = following[0], following.start()
            targets += gencode(reader, Piece(value, start, start + len(value)))
        else:
            reader.stop(
                ListError.BAD_ENTRY,
                f"`{shown(word[0])}` is not -gencode arch=…,code=…",
                Piece(word[0], word.start(), word.end()),
            )
    if not targets:
        reader.stop(ListError.EMPTY_LIST, "there is no -gencode in it")
    return unique(targets)


def _toolkit_of(reader: Reader) -> CudaVersion:
    """The version of nvcc is that of the toolkit."""
    numbers = version_numbers(reader.version or None)
    if numbers is None:
        return reader.toolkit or tables().toolkits[-1].cuda
    return CudaVersion(numbers[0], numbers[1] if len(numbers) > 1 else 0)


def default_of(reader: Reader) -> ComputeCapability:
    """What nvcc builds for without an option."""
    cuda = reader.nvcc().cuda
    rows = [row for row in tables().dialects if row.dialect == "nvcc-arch" and row.since <= (cuda.major, cuda.minor)]
    return ComputeCapability.parse(dict(rows[-1].lists)["default"])


def every(reader: Reader, word: str) -> list[Target]:
    """``-arch=all`` and ``-arch=all-major``: machine code for each, PTX for the highest major version."""
    toolkit = reader.nvcc()
    plain = [Target.parse(name) for name in toolkit.targets if name.isdigit()]
    major = [target for target in plain if target.capability.minor == 0]
    real = plain if word == "all" else unique([min(plain), *major])
    return [*sorted(real), both(max(major))[1]]


def native(reader: Reader) -> list[Target]:
    """``-arch=native``."""
    devices = reader.seen()
    if devices:
        return [Target(device) for device in sorted(set(devices))]
    default = default_of(reader)
    reader.note(NoteKind.SURPRISE, f"nvcc finds no GPU, warns, and builds for its own default, {default}")
    return list(both(Target(default)))


def _named(reader: Reader, piece: Piece, name: str) -> Target:
    """``sm_90a`` or ``compute_90``, which the toolkit has to know."""
    prefix, _, number = name.partition("_")
    kind = {"sm": TargetKind.REAL, "compute": TargetKind.VIRTUAL, "lto": TargetKind.LTO}.get(prefix)
    target = target_of(kind, number) if kind else None
    toolkit = reader.nvcc()
    if target is None or not toolkit.emits(target):
        span = tables().emitting_toolkits(target) if target else None
        renamed = tables().architectures.get(target.capability) if target else None
        why = f"; known to CUDA {span[0]} to {span[1]}" if span else ""
        if renamed is not None and renamed.renamed is not None:
            why += f", and called sm_{renamed.renamed.number} since"
        reader.stop(
            ListError.UNKNOWN_ARCH,
            f"nvcc {toolkit.cuda} stops: Unsupported gpu architecture '{shown(name)}'{why}",
            piece,
        )
    return target


_GENCODE = r'"?(?:arch=(?P<arch>[^,\[\]"]*),code=(?P<code>\[[^\[\]]*\]|"[^"]*"|[^,\[\]"]*)|code=(?P<code2>[^,\[\]"]*),arch=(?P<arch2>[^,\[\]"]*))"?'


def gencode(reader: Reader, piece: Piece) -> list[Target]:
    """``arch=compute_90,code=sm_90``, ``code=[sm_90,compute_90]``."""
    match = re.fullmatch(_GENCODE, piece.text)
    if match is None:
        reader.stop(
            ListError.BAD_ENTRY,
            f"`{shown(piece.text)}` is not of the form arch=compute_90,code=sm_90",
            piece,
        )
    group = "" if match["arch"] is not None else "2"
    arch, code = match[f"arch{group}"], match[f"code{group}"].strip('[]"')

    def place(text: str, name: str, offset: int = 0) -> Piece:
        start = piece.start + match.start(name + group) + offset
        return Piece(text, start, start + len(text))

    source = _named(reader, place(arch, "arch"), arch)
    if source.kind is not TargetKind.VIRTUAL:
        reader.stop(
            ListError.BAD_ENTRY,
            f"arch= names a virtual architecture, as compute_{numbered(source)}",
            place(arch, "arch"),
        )
    targets = []
    for name in code.split(","):
        where = place(name, "code", max(0, match[f"code{group}"].find(name)))
        target = _named(reader, where, name.strip())
        _pair(reader, source, target, where)
        targets.append(_family_of(reader, source, target, where))
    return targets


def _pair(reader: Reader, source: Target, target: Target, piece: Piece) -> None:
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


def _family_of(reader: Reader, source: Target, target: Target, piece: Piece) -> Target:
    """Machine code made from `f` PTX is `f` code, whatever it is called."""
    if source.suffix is Suffix.FAMILY_SPECIFIC and not target.suffix and target.kind is TargetKind.REAL:
        made = Target(target.capability, Suffix.FAMILY_SPECIFIC, target.kind)
        reader.note(NoteKind.SURPRISE, f"{target} made from {source} is {made}", piece)
        return made
    return target


def write_arch(targets: Sequence[Target]) -> str:
    """One name: that of machine code brings its PTX."""
    first = min(targets, key=lambda target: (target.kind is not TargetKind.REAL, not target.suffix))
    return str(first)


def write_gencode(targets: Sequence[Target]) -> str:
    """One option for each target."""
    return " ".join(f"-gencode arch=compute_{numbered(target)},code={target}" for target in targets)
