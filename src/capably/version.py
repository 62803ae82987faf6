"""Three version numbers that everybody mixes up, as three types.

`nvidia-smi` prints two of them side by side: ``Driver Version: 550.54.14    CUDA Version: 12.4``. The first
is a `DriverRelease`; the second is the newest `CudaVersion` that this driver supports, not the toolkit that
is installed. A `PtxVersion` is the ``.version`` of a PTX text. None of them compares with another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from capably.errors import ParseError

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.compat import Self

__all__ = ["CudaVersion", "DriverRelease", "PtxVersion"]

_NUMBERS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})*")


def _parse_numbers(what: str, text: str, least: int, most: int) -> tuple[int, ...]:
    lead = len(text) - len(text.lstrip())
    stop = len(text.rstrip())
    match = _NUMBERS.match(text, lead)
    shape = "a release such as `550.54.14`" if "driver" in what else "two numbers such as `12.4`"
    if match is None:
        raise ParseError(what, text, lead, max(stop, lead + 1), shape)
    if match.end() != stop:
        raise ParseError(what, text, match.end(), stop, f"nothing behind {shape}")
    numbers = tuple(int(part) for part in match.group().split("."))
    if not least <= len(numbers) <= most:
        raise ParseError(what, text, lead, stop, shape)
    return numbers


@dataclass(frozen=True, slots=True, order=True)
class CudaVersion:
    """A CUDA version ``major.minor``: of a toolkit, or the newest that a driver supports.

    >>> CudaVersion.parse("12.8") < CudaVersion.parse("12.10")
    True
    """

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``12.8``. ``12`` is read as ``12.0``; a build number (``12.8.61``) is dropped.

        Raises:
            ParseError: Not such a version.
        """
        numbers = _parse_numbers("CUDA version", text, 1, 3)
        return cls(numbers[0], numbers[1] if len(numbers) > 1 else 0)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True, order=True)
class PtxVersion:
    """A PTX ISA version, as in ``.version 8.7``.

    >>> str(PtxVersion.parse("8.7"))
    '8.7'
    """

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``8.7``.

        Raises:
            ParseError: Not such a version.
        """
        major, minor = _parse_numbers("PTX version", text, 2, 2)
        return cls(major, minor)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True, order=True)
class DriverRelease:
    """A release of the NVIDIA driver, such as 550.54.14.

    Attributes:
        branch: The first number, the branch: 550 of R550.
        minor: The second number.
        patch: The third; 0 where a release has only two.

    >>> DriverRelease.parse("470.42.01")
    DriverRelease(branch=470, minor=42, patch=1)
    >>> str(DriverRelease.parse("470.42.01"))
    '470.42.01'
    """

    branch: int
    minor: int = 0
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``550.54.14``, ``418.39`` or a bare branch, ``550`` or ``R550``.

        Raises:
            ParseError: Not such a release.
        """
        branch = re.fullmatch(r"\s*[Rr]([0-9]{1,6})\s*", text)
        if branch:
            return cls(int(branch[1]))
        return cls(*_parse_numbers("driver release", text, 1, 3))

    def __str__(self) -> str:
        if not self.minor and not self.patch:
            return f"R{self.branch}"
        # NVIDIA pads both (470.42.01), except on Tegra (540.4.0), whose releases end in a single digit.
        if self.minor < 10 and self.patch < 10:
            return f"{self.branch}.{self.minor}.{self.patch}"
        return f"{self.branch}.{self.minor:02d}" + (f".{self.patch:02d}" if self.patch else "")
