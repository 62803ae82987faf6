"""Codecs that are packages of their own. None is needed: without one, what it would read is a finding."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["NoCodecError", "codec", "no_codec"]

_PACKAGES = {"lz4.block": ("LZ4", "lz4"), "zstandard": ("zstd", "zstandard")}


class NoCodecError(Exception):
    """What reads a compression is not installed.

    Attributes:
        compression: Its name, as people write it.

    >>> print(NoCodecError("zstandard"))
    zstd needs the package zstandard, which is not installed (pip install 'capably[cli]')
    """

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.compression, self._package = _PACKAGES[module]

    def __str__(self) -> str:
        return (
            f"{self.compression} needs the package {self._package}, which is not installed (pip install 'capably[cli]')"
        )


def no_codec(error: NoCodecError) -> tuple[str, str]:
    """Code and message of the finding about the images of a file: the same for each of them, and so told once."""
    return "codec-missing", f"Images that are compressed with {error.compression} were not looked into: {error}."


def codec(module: str) -> ModuleType:
    """``lz4.block`` or ``zstandard``.

    Raises:
        NoCodecError: It is not installed.
    """
    found = _installed(module)
    if found is None:
        raise NoCodecError(module)
    return found


@functools.cache  # a package that is not there is looked for in every folder, for a quarter of a millisecond
def _installed(module: str) -> ModuleType | None:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None
