"""How a tool is asked for targets: what it can be asked for, in which words, and where they go.

`capably.archlist` knows the words; here they become something to paste or to put into the environment. A tool
that cannot be asked for exactly some targets is told so, with the reason: nothing is approximated.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.arch import Target, TargetKind
from capably.archlist import VARIABLES, NoteKind, applying, read, write
from capably.errors import DialectError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.version import CudaVersion

__all__ = ["Entry", "Spelling", "deciding", "environment", "offers", "spell"]

Entry = tuple[Target, ...]
"""What one entry of a list makes: a target, or several that cannot be asked for apart."""

# Dialect -> the option to paste, where it is not the variable itself.
_OPTIONS = {
    "torch-cmake": "-DTORCH_CUDA_ARCH_LIST=",
    "cmake": "-DCMAKE_CUDA_ARCHITECTURES=",
    "bitsandbytes": "-DCOMPUTE_CAPABILITY=",
    "nvcc-arch": "-arch=",
    "nvcc-gencode": "",
}
# Dialect -> the variable of the environment that holds the list or adds the options, where the list has another
# name; None where the tool reads none.
_ENVIRONMENT = {
    "cmake": "CUDAARCHS",
    "bitsandbytes": None,
    "nvcc-arch": "NVCC_APPEND_FLAGS",
    "nvcc-gencode": "NVCC_APPEND_FLAGS",
}


@dataclass(frozen=True, slots=True)
class Spelling:
    """Targets in the words of one tool.

    Attributes:
        dialect: Whose words.
        version: The version of the tool; None means the newest known.
        text: The list; None where the tool cannot be asked for that.
        option: What stands before it on a command line; None where a variable of the environment holds it.
        variable: The variable of the environment that does the same; None where the tool reads none.
        value: What that variable is to hold; None as above, and where *text* is.
        problem: Why it cannot be said; None where it can.
        notes: What surprises about the list, or goes wrong later.
    """

    dialect: str
    version: str | None
    text: str | None
    option: str | None
    variable: str | None
    value: str | None
    problem: str | None = None
    notes: tuple[str, ...] = ()


# Not a list of what to compile, though it looks like one (see the reader of it).
_COMPILES_FOR_THE_GPU = {"triton": "it compiles for the GPU that is there, whatever TRITON_OVERRIDE_ARCH says"}


def deciding(dialect: str, version: str | None = None) -> str:
    """The dialect of the list that *version* of the tool really reads: old ones leave it to another tool.

    Raises:
        UnknownNameError: There is no such dialect.
        ParseError: *version* is no version.

    >>> deciding("flashinfer", "0.2.5"), deciding("flashinfer", "0.6.8")
    ('torch-python', 'flashinfer')
    """
    rules = applying(dialect, version).rules
    return next((rule.partition(":")[2] for rule in rules if rule.startswith("instead:")), dialect)


@functools.lru_cache(maxsize=256)
def offers(dialect: str, version: str | None, toolkit: tuple[str, ...], cuda: CudaVersion) -> tuple[Entry, ...]:
    """What the tool can be asked for, entry by entry.

    PTX with the suffix `a` is offered only where it cannot be had apart from machine code: it is for one
    capability, where machine code loads as well.

    Args:
        dialect: One of `capably.archlist.DIALECTS`.
        version: Of the tool; None for the newest known.
        toolkit: What its compiler emits, as in `capably.tables.KnownToolkit`.
        cuda: The version of that compiler.

    Raises:
        UnknownNameError: There is no such dialect.
        ParseError: *version* is no version.

    >>> from capably.version import CudaVersion
    >>> [" ".join(map(str, entry)) for entry in offers("torch-python", "2.7", ("90", "90a"), CudaVersion(12, 8))]
    ['sm_90', 'sm_90 compute_90', 'sm_90a']
    """
    found: list[Entry] = []
    for real in sorted(map(Target.parse, toolkit)):
        virtual = Target(real.capability, real.suffix, TargetKind.VIRTUAL)
        useless = real.suffix == "a"
        said: list[Entry] = [entry for entry in ((real,), (virtual,)) if _can_say(entry, dialect, version, cuda)]
        # Two that can be asked for one by one can be asked for together, in every dialect that has lists.
        if len(said) < 2 and not (useless and said) and _can_say((real, virtual), dialect, version, cuda):
            said.append((real, virtual))
        found += (entry for entry in said if not (useless and entry == (virtual,)))
    return tuple(found)


def _can_say(entry: Entry, dialect: str, version: str | None, cuda: CudaVersion) -> bool:
    try:
        write(entry, dialect, version, toolkit=cuda)
    except DialectError:
        return False
    return True


def spell(
    targets: Iterable[Target], dialect: str, version: str | None = None, *, toolkit: CudaVersion | None = None
) -> Spelling:
    """*targets* as the tool is asked for them, or why it cannot be.

    Args:
        targets: What is wanted, and nothing else.
        dialect: One of `capably.archlist.DIALECTS`.
        version: Of the tool; None for the newest known.
        toolkit: Version of its nvcc, where that matters.

    Raises:
        UnknownNameError: There is no such dialect.
        ParseError: *version* is no version.

    >>> spell([Target.parse("sm_90")], "cmake").option, spell([Target.parse("sm_90")], "cmake").text
    ('-DCMAKE_CUDA_ARCHITECTURES=', '90-real')
    >>> spell([Target.parse("sm_120f")], "torch-python").problem
    'torch raises `ValueError: Unknown CUDA arch (12.0f) or GPU not supported`: it has no targets with `f`'
    """
    option = _OPTIONS.get(dialect)
    variable = _ENVIRONMENT.get(dialect, VARIABLES.get(dialect))
    targets = tuple(targets)
    if dialect == "nvcc-arch" and len({target.capability for target in targets}) > 1:
        several = "it takes one architecture; nvcc-gencode takes several"
        return Spelling(dialect, version, None, option, variable, None, several)
    try:
        text = write(targets, dialect, version, toolkit=toolkit)
        if dialect in _COMPILES_FOR_THE_GPU:
            return Spelling(dialect, version, None, option, variable, None, _COMPILES_FOR_THE_GPU[dialect])
    except DialectError as error:
        # What it says to a list is no answer where it would read none.
        problem = _COMPILES_FOR_THE_GPU.get(dialect, error.problem)
        return Spelling(dialect, version, None, option, variable, None, problem)
    flags = dialect.startswith("nvcc-")
    value = f"{option}{text}" if flags else text
    about = (NoteKind.DROPPED, NoteKind.SURPRISE, NoteKind.REFUSED, NoteKind.LATER, NoteKind.ASSUMED)
    notes = tuple(note.message for note in read(text, dialect, version, toolkit=toolkit).notes if note.kind in about)
    return Spelling(dialect, version, text, option, variable, value if variable else None, None, notes)


def environment(
    targets: Iterable[Target], dialect: str, version: str | None = None, *, toolkit: CudaVersion | None = None
) -> dict[str, str]:
    """The variables of the environment that make the tool compile for *targets* and nothing else.

    Args:
        targets: What is wanted.
        dialect: One of `capably.archlist.DIALECTS`; of an old version, the one that `deciding` names.
        version: Of the tool; None for the newest known.
        toolkit: Version of its nvcc, where that matters.

    Raises:
        DialectError: The tool cannot be asked for that, or not by its environment.
        UnknownNameError: There is no such dialect.
        ParseError: *version* is no version.

    >>> environment([Target.parse("sm_90a")], "flashinfer", "0.6.8")
    {'FLASHINFER_CUDA_ARCH_LIST': '9.0a'}
    """
    wanted = tuple(targets)
    found = spell(wanted, dialect, version, toolkit=toolkit)
    names = tuple(map(str, wanted))
    if found.text is None:
        raise DialectError(dialect, names, found.problem or "")
    if found.variable is None or found.value is None:
        raise DialectError(
            dialect, names, f"it reads no variable of the environment; pass {found.option}{found.text} to CMake"
        )
    return {found.variable: found.value}
