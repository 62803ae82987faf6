"""Compute capabilities and targets: the two things that everybody writes as "sm_90".

A *compute capability* belongs to a device. A *target* is what code is compiled for: a real architecture
(machine code), a virtual one (PTX) or link-time IR, with or without a suffix. They compare and sort by
number; whether code for a target runs on a device is never an operator but a question for
`capably.engine.judge`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from capably.compat import StrEnum
from capably.errors import ParseError

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from capably.compat import Self

__all__ = ["ComputeCapability", "Suffix", "Target", "TargetKind", "by_kind"]

_PREFIX = re.compile(r"(?i:sm_?|compute_?|lto_?|cc ?)?")
_CAPABILITY = re.compile(r"([0-9]{1,2})\.([0-9])|([0-9]{1,2})([0-9])")


@dataclass(frozen=True, slots=True, eq=False)
class ComputeCapability:
    """The compute capability of a device: a pair of numbers, never a decimal.

    ``10.0`` is newer than ``9.0``. Ordering is numeric, for sorting; it says nothing about compatibility. As a sequence
    it is its two numbers, and it compares with a pair of them as such a pair would: ``(9, 0)``, as torch has it.

    Attributes:
        major: 1 to 99.
        minor: 0 to 9: a single digit in every spelling that leaves out the dot.

    Raises:
        ValueError: A number is out of range.

    >>> ComputeCapability.parse("sm_120") > ComputeCapability.parse("9.0")
    True
    >>> major, minor = ComputeCapability.parse("9.0")
    >>> major, ComputeCapability.parse("9.0") >= (8, 9)
    (9, True)
    """

    major: int
    minor: int

    def __post_init__(self) -> None:
        if not (1 <= self.major <= 99 and 0 <= self.minor <= 9):
            raise ValueError(f"no compute capability: {self.major}.{self.minor}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read any spelling in use: ``9.0``, ``90``, ``sm_90``, ``SM90``, ``compute_90``.

        Raises:
            ParseError: Not such a spelling; a target's suffix (``9.0a``) is refused too, since a device
                has none, and ``12``, which people write for 12.0 and which would be 1.2.
        """
        start, end, capability = _read_number("compute capability", text)
        if end != len(text.rstrip()):
            raise ParseError("compute capability", text, end, len(text.rstrip()), "nothing more")
        if re.fullmatch("1[0-9]", text.strip()):
            raise ParseError("compute capability", text, start, end, f"`{text.strip()}.0`, with its minor version")
        return cls(*capability)

    @classmethod
    def of(cls, value: int | str | tuple[int, int] | ComputeCapability) -> Self:
        """The capability that *value* means: ``90``, ``"9.0"``, ``"sm_90"``, ``(9, 0)`` or one itself.

        Raises:
            ParseError: It is no compute capability.
            TypeError: It is something else. A fraction is, too: ``12.1`` and ``12.10`` are one number, and two versions.
        """
        if isinstance(value, str):
            return cls.parse(value)
        pair: tuple[object, ...] = ()
        if isinstance(value, int) and not isinstance(value, bool):
            pair = divmod(value, 10)
        elif isinstance(value, tuple | list | ComputeCapability):
            pair = tuple(value)
        if len(pair) != 2 or not all(isinstance(one, int) and not isinstance(one, bool) for one in pair):
            raise TypeError(f"{value!r} is no compute capability: it takes '9.0', 90 or (9, 0)")
        major, minor = pair
        try:
            return cls(major, minor)  # type: ignore[arg-type]
        except ValueError:
            text = str(value)
            raise ParseError("compute capability", text, 0, len(text), "one such as 90, '9.0' or (9, 0)") from None

    @classmethod
    def from_number(cls, number: int) -> Self:
        """The capability that a two- or three-digit architecture number means: 90 is 9.0, 121 is 12.1.

        Raises:
            ValueError: *number* is not in 10 … 999.
        """
        return cls(*divmod(number, 10))

    @property
    def number(self) -> int:
        """The architecture number as in ``sm_90``."""
        return self.major * 10 + self.minor

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    def __iter__(self) -> Iterator[int]:
        return iter((self.major, self.minor))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return (self.major, self.minor)[index]

    def __hash__(self) -> int:
        return hash((self.major, self.minor))

    def __eq__(self, other: object) -> bool:
        if other.__class__ is ComputeCapability:
            return self.major == other.major and self.minor == other.minor
        return (self.major, self.minor) == other if isinstance(other, tuple) else NotImplemented

    def __lt__(self, other: object) -> bool:
        pair = _pair(other)
        return NotImplemented if pair is None else (self.major, self.minor) < pair

    def __le__(self, other: object) -> bool:
        pair = _pair(other)
        return NotImplemented if pair is None else (self.major, self.minor) <= pair

    def __gt__(self, other: object) -> bool:
        pair = _pair(other)
        return NotImplemented if pair is None else (self.major, self.minor) > pair

    def __ge__(self, other: object) -> bool:
        pair = _pair(other)
        return NotImplemented if pair is None else (self.major, self.minor) >= pair


def _pair(value: object) -> tuple[Any, ...] | None:
    if value.__class__ is ComputeCapability:
        return (value.major, value.minor)
    return value if isinstance(value, tuple) else None


class Suffix(StrEnum):
    """How far code for a target reaches, as its suffix says."""

    NONE = ""
    ARCH_SPECIFIC = "a"
    FAMILY_SPECIFIC = "f"


class TargetKind(StrEnum):
    """What is compiled: machine code, PTX, or IR for the link step. Values are the prefixes of nvcc."""

    REAL = "sm"
    VIRTUAL = "compute"
    LTO = "lto"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What code is compiled for.

    Attributes:
        capability: The architecture by its number.
        suffix: Plain, architecture-specific (``a``) or family-specific (``f``).
        kind: Real (``sm_90``), virtual (``compute_90``) or LTO-IR (``lto_90``).

    >>> str(Target.parse("9.0a")), str(Target.parse("100f-virtual"))
    ('sm_90a', 'compute_100f')
    """

    capability: ComputeCapability
    suffix: Suffix = Suffix.NONE
    kind: TargetKind = TargetKind.REAL

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read any spelling of one target that is in use.

        ``sm_90a``, ``SM90``, ``compute_100f``, ``lto_90``, ``9.0a``, ``90``, ``90-real``, ``90a-virtual``.
        A bare number means the real architecture, as everywhere outside CMake (where it means both;
        that is a matter of CMake's dialect).

        Raises:
            ParseError: Not a target. The span is that of the first character that does not fit.
        """
        start, position, capability = _read_number("target", text)
        prefix = text[:start].strip().lower().rstrip("_ ")
        kind = {"sm": TargetKind.REAL, "compute": TargetKind.VIRTUAL, "lto": TargetKind.LTO}.get(prefix)
        suffix = Suffix.NONE
        stop = len(text.rstrip())
        if position < stop and text[position].lower() in ("a", "f"):
            suffix = Suffix(text[position].lower())
            position += 1
        if position < stop:
            tail = text[position:stop].lower()
            if kind is None and prefix == "" and tail in ("-real", "-virtual"):
                kind = TargetKind.REAL if tail == "-real" else TargetKind.VIRTUAL
                position = stop
            else:
                raise ParseError("target", text, position, stop, "the suffix `a` or `f`, or nothing more")
        return cls(ComputeCapability(*capability), suffix, kind or TargetKind.REAL)

    def __str__(self) -> str:
        return f"{self.kind}_{self.capability.number}{self.suffix}"


def by_kind(target: Target) -> tuple[bool, Target]:
    """The order in which targets are listed: machine code, then PTX.

    >>> [str(target) for target in sorted(map(Target.parse, ["compute_80", "sm_90", "sm_80"]), key=by_kind)]
    ['sm_80', 'sm_90', 'compute_80']
    """
    return target.kind is TargetKind.VIRTUAL, target


def _read_number(what: str, text: str) -> tuple[int, int, tuple[int, int]]:
    """The start and end of the number in *text*, and what it means."""
    lead = len(text) - len(text.lstrip())
    prefix = _PREFIX.match(text, lead)
    start = prefix.end() if prefix else lead
    match = _CAPABILITY.match(text, start)
    if match is None:
        end = len(text) if start >= len(text) else start + 1
        raise ParseError(what, text, start, end, "a compute capability such as `9.0` or `90`")
    major, minor = (int(part) for part in match.groups() if part is not None)
    end = match.end()
    if major == 0:
        raise ParseError(what, text, start, end, "a compute capability of 1.0 or higher")
    if end < len(text) and text[end] in "0123456789.":
        raise ParseError(what, text, end, end + 1, "the end of the number: one digit stands for the minor version")
    return start, end, (major, minor)
