"""Causes of an undefined symbol: who defines it, by its name."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from capably.logs.code import is_of
from capably.logs.evidence import UNDECIDED, Facts, State, Tested, excluded, holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


__all__ = ["OWNERS", "other_symbol", "symbol_of"]

# Who defines a symbol, by its name: namespaces as the Itanium C++ ABI writes them, else the prefixes of C interfaces.
OWNERS = {
    "built-for-another-torch": (
        "torch's C++ interface",
        re.compile(r"_Z(?:T[VISTC])?NK?(?:3c10|2at|5torch|6caffe2)|(?:aoti_)?torch_|THP[A-Z]"),
    ),
    "cuda-library-of-another-release": (
        "a library of CUDA",
        re.compile(
            r"_{0,2}(?:nvJitLink|nvrtc|cublas|cudnn|cusparse|cusolver|cufft|curand|nccl|cupti|nvshmem|cuda[A-Z])"
        ),
    ),
    "built-for-another-python": ("Python's C interface", re.compile(r"_?Py(?:[A-Z][A-Za-z]*)?_")),
}


def symbol_of(cause: str) -> Callable[[Facts], Tested]:
    """The test of a *cause* by who defines the symbol that is missing."""

    def test(facts: Facts) -> Tested:
        if "undefined-symbol" not in facts.codes:
            return UNDECIDED
        symbol = facts.others.get("symbol")
        owner, pattern = OWNERS[cause]
        if symbol is None:
            return State.OPEN, ("the log says: undefined symbol",)
        if pattern.match(symbol) is None:
            return excluded(f"{symbol} is none of {owner}")
        return holds(f"{symbol} is of {owner}", *_about_symbol(symbol), *_about_packages(cause, symbol, facts))

    return test


def other_symbol(facts: Facts) -> Tested:
    """Nobody known defines the symbol."""
    symbol = facts.params.get("symbol")
    if symbol is None:
        return UNDECIDED
    owner = next((whose for whose, pattern in OWNERS.values() if pattern.match(symbol)), None)
    if owner is not None:
        return excluded(f"{symbol} is of {owner}")
    return State.OPEN, ((f"{symbol} is of the driver's library, libcuda",) if re.match("cu[A-Z]", symbol) else ())


def _about_symbol(symbol: str) -> Iterator[str]:
    if "__cxx1112basic_string" in symbol:
        yield "its strings are those of the C++11 ABI"
    elif re.search(r"(?:E|RK|_)Ss", symbol):
        yield "its strings are those of the ABI before C++11, which most builds of torch before 2.7 used"


def _about_packages(cause: str, symbol: str, facts: Facts) -> Iterator[str]:
    """The library that asks for it, and what is installed of those that should define it."""
    path = re.split(r"(?:site|dist)-packages/", facts.others.get("library", ""))[-1]
    top = posixpath.normpath(path).split("/")
    module = "-".join(top[:2] if top[0] == "nvidia" else top[:1]).lower().replace("_", "-")
    yield from (f"asked for by {title}" for title in _installed(facts, lambda name: is_of(module, name)))
    if cause == "built-for-another-torch" and "torch" in facts.distributions:
        yield f"installed: torch {facts.distributions['torch']}"
    if cause == "cuda-library-of-another-release":
        word = re.sub(r"^_*", "", symbol).lower()
        part = next((name for name in _CUDA_PARTS if word.startswith(name)), None)
        wheel = f"nvidia-{_CUDA_PARTS[part]}" if part else None
        if wheel is not None:
            yield from (f"installed: {title}" for title in _installed(facts, lambda name: name.startswith(wheel)))
        if "LD_LIBRARY_PATH" in facts.environment:
            yield f"LD_LIBRARY_PATH={facts.environment['LD_LIBRARY_PATH']}"


# What a symbol begins with, and the package that brings the library.
_CUDA_PARTS = {
    **{name: name for name in ("nvjitlink", "cublas", "cudnn", "cusparse", "cusolver", "cufft", "curand", "nccl")},
    "nvrtc": "cuda-nvrtc",
    "cupti": "cuda-cupti",
    "cuda": "cuda-runtime",
}


def _installed(facts: Facts, wanted: Callable[[str], bool]) -> list[str]:
    """Names and versions of those installed distributions that are *wanted*."""
    scanned = {one.name: one.version or "" for one in facts.artifacts if one.name}
    names = sorted({*facts.distributions, *scanned})
    return [
        f"{name} {scanned[name] if name in scanned else facts.distributions[name]}" for name in names if wanted(name)
    ]
