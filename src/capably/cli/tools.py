"""The tools that compile for a list of architectures: by which name they are asked for, and which version is here."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from capably.archlist import DIALECTS, VARIABLES, applying
from capably.archlist.reading import version_numbers
from capably.cli.console import WrongUseError, note
from capably.errors import ParseError, UnknownNameError
from capably.list_output import deciding
from capably.report.plan import Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capably.facts import System
    from capably.version import CudaVersion

__all__ = ["Versions", "parse_tool"]

_SHORT = {"torch": "torch-python", "pytorch": "torch-python", "nvcc": "nvcc-gencode"}
# Dialect -> the distributions that bring the tool. CMake and nvcc are mostly not installed as one.
_DISTRIBUTIONS = {
    "torch-python": ("torch",),
    "torch-cmake": ("torch",),
    "cmake": ("cmake",),
    "flashinfer": ("flashinfer-python",),
    "flash-attn": ("flash-attn",),
    "bitsandbytes": ("bitsandbytes",),
    "cupy": ("cupy", "cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x"),
    "triton": ("triton",),
}
_NVCC = ("nvcc-arch", "nvcc-gencode")


class Versions:
    """The versions of the tools: of a recorded machine, or of the environment that commands look at."""

    def __init__(self, system: System | None) -> None:
        self._recorded = None if system is None else dict(system.distributions)
        self._installed: dict[str, str | None] | None = None

    def installed(self, dialect: str) -> str | None:
        """The installed version; None where there is none, or where what it calls itself is no version."""
        found = self._named(_DISTRIBUTIONS.get(dialect, ()))
        try:
            return found if version_numbers(found) is not None else None
        except ParseError:
            return None

    def _named(self, names: Sequence[str]) -> str | None:
        if self._recorded is not None:
            return next((self._recorded[name] for name in names if name in self._recorded), None)
        if self._installed is None:
            from capably.cli.environment import distributions, find_environment  # noqa: PLC0415 - see capably.cli.app

            there = distributions(find_environment(None))
            self._installed = {name: distribution.version for name, distribution in there.items()}
        return next((self._installed[name] for name in names if name in self._installed), None)

    def __call__(self, cuda: CudaVersion) -> list[tuple[str, str | None]]:
        """Every dialect with the version to speak."""
        return [(dialect, str(cuda) if dialect in _NVCC else self.installed(dialect)) for dialect in DIALECTS]


def parse_tool(text: str, versions: Versions, cuda: CudaVersion, *, quiet: bool) -> Tool:
    """What ``--for`` names.

    Raises:
        WrongUseError: It has no version where one is meant, or one where the toolkit has it.
        UnknownNameError: There is no such tool.
        ParseError: Its version is none.
    """
    match = re.fullmatch(r"\s*([A-Za-z][\w.-]*?)\s*(?:==\s*([^=\s]\S*)\s*)?", text)
    if match is None:
        raise WrongUseError(f"`{text}` is no tool: write its name, or NAME==VERSION, such as torch or torch==2.13")
    name = match[1].lower().replace("_", "-")
    name = _SHORT.get(name, name)
    named = match[2]
    if name in _NVCC:
        if named is not None:
            raise WrongUseError("the version of nvcc is that of its toolkit: name it with --toolkit")
        return Tool(name, str(cuda), "the compiler of that toolkit", name, str(cuda))
    if name not in DIALECTS:
        close = difflib.get_close_matches(name, (*_SHORT, *DIALECTS), n=3)
        raise UnknownNameError("tool", match[1], tuple(close), tuple(DIALECTS))
    applying(name, named)  # whether that is a version
    version = named if named is not None else versions.installed(name)
    origin = "as asked" if named is not None else "installed" if version is not None else "newest known version"
    decides = deciding(name, version)
    if decides == name:
        return Tool(name, version, origin, name, version)
    note(f"{name} {version} reads no list of its own: it compiles for {VARIABLES[decides]}", quiet=quiet)
    other = versions.installed(decides)
    return Tool(decides, other, "installed" if other else "newest known version", name, version)
