"""Names of kernels as people read them.

A library holds tens of thousands of instances of a few templates, so names are told in families: by the mangled
beginning, which costs nothing, and only what is shown is demangled. That is done by a library which bounds depth
and size: a name of a hundred bytes can stand for a text that fills the memory. Without it they are shown as they are.
"""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

__all__ = ["KernelFamily", "demangled", "families", "without_parameters"]

# A part of a qualified name in the Itanium C++ ABI, 5.1.3 and 5.1.8: a substitution, or a length before the text.
_PART = re.compile(r"S(?:[0-9A-Z]*_|[tabsiod])|L?([0-9]{1,5})")
_LONGEST = 4 << 10  # of a name that is demangled: the longest of PyTorch's has 2,301 bytes
_KINDS = 8  # first arguments that are told apart; with more of them the template alone is named
_MOST_NAMED = 1_000  # families: the largest; the others are counted


@dataclass(frozen=True, slots=True)
class KernelFamily:
    """Kernels that are told together.

    Attributes:
        name: What they share, demangled: ``marlin::Marlin<…>``; the whole name of a single one. None for those that
            are in no family of their own.
        members: Their mangled names.
    """

    name: str | None
    members: tuple[str, ...]


@functools.cache
def _demangler() -> ModuleType | None:
    """The package ``demangle`` where it is installed: 30 ms, and only where names are shown."""
    try:
        return importlib.import_module("demangle")
    except ImportError:
        return None


@functools.lru_cache(maxsize=4096)
def demangled(name: str) -> str:
    """*name* as it was written in C++, in the spelling of ``c++filt``.

    As it is where it is nothing of the kind, very long, or where no demangler is installed.

    >>> demangled("_Z6kernelIfEvPT_"), demangled("main"), demangled("_Zz")
    ('void kernel<float>(float*)', 'main', '_Zz')
    """
    if len(name) > _LONGEST:
        return name
    demangle = _demangler()
    if demangle is None:
        return name
    return str(demangle.demangle(name, language="itanium", style="gnu"))


def without_parameters(name: str) -> str:
    """*name* demangled, without what it returns and takes; as it is where `demangled` leaves it so.

    >>> without_parameters("_Z6kernelIfEvPT_"), without_parameters("main")
    ('kernel<float>', 'main')
    """
    if len(name) > _LONGEST:
        return name
    demangle = _demangler()
    if demangle is None:
        return name
    try:
        return str(demangle.signature(name, language="itanium", style="gnu").qualified_name)
    except demangle.DemanglingError:
        return name


def families(names: Iterable[str]) -> tuple[KernelFamily, ...]:
    """Kernels by template, the largest families first.

    Instances of one template are one family. Where its first argument is a template too, it is named with it as
    long as there are few: ``cutlass::device_kernel`` alone says nothing. Beyond the largest thousand, they are one
    family without a name.

    >>> [(family.name, len(family.members)) for family in families(["_Z1fIfEvPT_", "_Z1fIiEvPT_", "_Z1gPf"])]
    [('f<…>', 2), ('g', 1)]
    """
    by_stem: dict[str, dict[str, list[str]]] = {}
    for mangled in names:
        stem, argument = _key(mangled)
        by_stem.setdefault(stem, {}).setdefault(argument, []).append(mangled)
    found: dict[str | None, list[str]] = {}
    groups = [group for kinds in by_stem.values() for group in _told_apart(kinds)]
    for index, (detailed, same) in enumerate(sorted(groups, key=lambda group: -len(group[1]))):
        name: str | None = None
        if index < _MOST_NAMED:
            whole = without_parameters(same[0])
            # Those of files of their own share what they are called: (anonymous namespace)::f<…>.
            name = whole if len(same) == 1 else _outline(whole, detailed=detailed)
        found.setdefault(name, []).extend(same)
    result = [KernelFamily(name, tuple(same)) for name, same in found.items()]
    return tuple(sorted(result, key=lambda one: (one.name is None, -len(one.members), one.name)))


def _told_apart(kinds: dict[str, list[str]]) -> list[tuple[bool, list[str]]]:
    """Instances of one template, by their first argument where that is of few kinds."""
    if len(kinds) > _KINDS:
        return [(False, [name for same in kinds.values() for name in same])]
    return [(argument != "", same) for argument, same in kinds.items()]


def _key(name: str) -> tuple[str, str]:
    """The mangled beginning of a template's name, and that of its first argument if that is a template as well.

    The whole name of what is no template, or is spelled in a way that is not looked into here.
    """
    if not name.startswith("_Z"):
        return name, ""
    end = _stem(name, 2)
    if name[end : end + 1] != "I":
        return name, ""
    inner = _stem(name, end + 1)
    return name[:end], name[end + 1 : inner] if name[inner : inner + 1] == "I" else ""


def _stem(name: str, at: int) -> int:
    """Where the parts of the qualified name that begins at *at* end."""
    if name.startswith("N", at):
        at += 1
    while match := _PART.match(name, at):
        at = match.end() + int(match[1] or 0)
    return at


def _outline(name: str, *, detailed: bool) -> str:
    """A name with the arguments of its templates left out.

    >>> _outline("a::f<b::g<int>, 3>", detailed=True), _outline("a::f<b::g<int>, 3>", detailed=False)
    ('a::f<b::g<…>…>', 'a::f<…>')
    """
    stem, _, arguments = name.partition("<")
    first = re.match(r"[^<>,]*(?=<)", arguments) if detailed else None
    return f"{stem}<{first[0]}<…>…>" if first else f"{stem}<…>"
