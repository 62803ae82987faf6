"""What a piece of software needs of a GPU, as text that people write and as a value that the engine judges.

The grammar, from the loosest binding to the tightest:

=====================================  ==========================================================================
``A | B``                              either will do
``a, b``                               both must hold
``>=8.0`` ``<9.0`` ``==12.0``          comparison of the compute capability, by major and then minor number
``12.0``                               exactly this one; ``!=12.1``: any but this one
``sm75+``                              short for ``>=7.5``; ``7.5+`` is the same
``{8.0,8.6}``                          one of these; ``!={8.0,8.6}``: none of them
``10.x``                               any of that major version; ``!=10.x``: none of it; also inside braces
``9.0a``                               needs architecture-specific code for 9.0, so that device
``10.0f``                              needs family-specific code for 10.0, so a device of its family from 10.0 on
``fp8``                                a named feature (``data/features.json``)
``smem>=99KiB``                        shared memory that one block can have; ``sms``: multiprocessors;
                                       ``memory``: of the device
``driver>=550``                        the release of the driver
``cuda>=12.8``                         the newest CUDA version that the driver supports
``toolkit>=12.9``                      the CUDA version of the compiler that is used
``torch-cuda>=12.8``                   the CUDA version that the loaded torch was built with
``ptxas>=12.9``                        the version of the ptxas that Triton or torch would run
``cudnn>=9.8`` ``cublaslt>=12.8``      the version of the library that this process has loaded
``installed:nvidia-nccl-cu12>=2.27``   the version of an installed distribution
``!fp8`` ``!9.0a``                     the opposite of a condition
=====================================  ==========================================================================

Versions are compared at the precision that is written: ``driver<=550`` holds for every release of R550.
Nothing is judged here; `capably.engine.judge` does that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from capably.arch import ComputeCapability, Suffix, Target
from capably.errors import ParseError

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.compat import Self

__all__ = [
    "LOADED",
    "Clause",
    "CodeFor",
    "Comparison",
    "Generation",
    "Limit",
    "NamedFeature",
    "Not",
    "OneOf",
    "Requirement",
    "Version",
]

LOADED = ("torch-cuda", "cudnn", "cublaslt", "ptxas")
"""Versions that are those of what a process has loaded, or would run for it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The compute capability beside another: ``>=8.0``."""

    operator: str
    capability: ComputeCapability

    def __str__(self) -> str:
        return f"{self.operator}{self.capability}"


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """Every compute capability of a major version: ``10.x``."""

    major: int

    def __str__(self) -> str:
        return f"{self.major}.x"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several compute capabilities, or none of them: ``{8.0,8.6}``, ``10.x``, ``!=12.1``."""

    members: tuple[ComputeCapability | Generation, ...]
    excluded: bool = False

    def __str__(self) -> str:
        listed = ",".join(map(str, self.members))
        return f"{'!=' if self.excluded else ''}{listed if len(self.members) == 1 else f'{{{listed}}}'}"


@dataclass(frozen=True, slots=True)
class CodeFor:
    """Code with a suffix: ``9.0a``, ``10.0f``."""

    target: Target

    def __str__(self) -> str:
        return f"{self.target.capability}{self.target.suffix}"


@dataclass(frozen=True, slots=True)
class NamedFeature:
    """A feature by its name: ``fp8``. Which names there are, the tables say."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Limit:
    """A quantity of the device: ``smem>=99KiB``, ``sms>=132``.

    Attributes:
        what: ``smem``, ``sms`` or ``memory``.
        amount: In bytes; of ``sms``, how many.
    """

    what: str
    operator: str
    amount: int

    def __str__(self) -> str:
        return f"{self.what}{self.operator}{self.shown(self.amount)}"

    def shown(self, amount: int) -> str:
        """*amount* in the unit that people use for this quantity.

        >>> Limit("memory", ">=", 0).shown(80 << 30)
        '80GiB'
        """
        if self.what == "sms":
            return str(amount)
        for unit, size in _UNITS.items():
            if amount and amount % size == 0:
                return f"{amount // size}{unit}"
        return f"{amount}B"


@dataclass(frozen=True, slots=True)
class Version:
    """A version: ``driver>=550.54``, ``toolkit<13``, ``installed:torch>=2.9``.

    Attributes:
        what: ``driver``, ``cuda``, ``toolkit``, one of `LOADED`, or ``installed:`` and the normalised name of a
            distribution.
        numbers: As many as were written; so many are compared.
    """

    what: str
    operator: str
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.what}{self.operator}{'.'.join(map(str, self.numbers))}"


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition that has no operator to turn round: ``!fp8``, ``!9.0a``.

    Of a distribution too: one that is not installed is neither ``>=2`` nor ``<2``, and meets ``!installed:x>=2``.
    """

    clause: CodeFor | NamedFeature | Version

    def __str__(self) -> str:
        return f"!{self.clause}"


Clause = Comparison | OneOf | CodeFor | NamedFeature | Limit | Version | Not
"""One condition."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What is needed of a device: alternatives, each of clauses that must all hold.

    Prints in one way whatever way it was written, and reads back equal.

    Attributes:
        alternatives: At least one, of at least one clause each.

    Raises:
        ValueError: There is no alternative, or an empty one.

    >>> str(Requirement.parse("sm80+ , != 10.X | SM_120a"))
    '>=8.0,!=10.x | 12.0a'
    >>> Requirement.parse(">=9.0a")
    Traceback (most recent call last):
    ...
    capably.errors.ParseError: not a requirement: `>=9.0a`: expected no suffix behind a comparison; `9.0a` alone needs that code
      >=9.0a
           ^
    """

    alternatives: tuple[tuple[Clause, ...], ...]
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.alternatives or not all(self.alternatives):
            raise ValueError("a requirement needs at least one condition in each alternative")
        text = " | ".join(",".join(map(str, clauses)) for clauses in self.alternatives)
        object.__setattr__(self, "_text", text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a requirement.

        Raises:
            ParseError: Not in the grammar; the span is that of the first character that does not fit.
        """
        return cls(_Reader(text).requirement())

    @classmethod
    def at_least(cls, capability: int | str | tuple[int, int] | ComputeCapability) -> Self:
        """A compute capability or any higher one; the number as frameworks pass it: ``90``, ``(9, 0)``, ``"9.0"``.

        Raises:
            ParseError: It is no compute capability.
            TypeError: It is a fraction: ``12.10`` and ``12.1`` are one number, and two versions.

        >>> str(Requirement.at_least(75)), str(Requirement.at_least((9, 0)))
        ('>=7.5', '>=9.0')
        """
        return cls(((Comparison(">=", ComputeCapability.of(capability)),),))

    @classmethod
    def exactly(cls, *capabilities: int | str | tuple[int, int] | ComputeCapability) -> Self:
        """One of some compute capabilities, and no other.

        Raises:
            ParseError: One is no compute capability.
            TypeError: One is a fraction.
            ValueError: None is given.

        >>> str(Requirement.exactly(80, "8.6"))
        '{8.0,8.6}'
        """
        return cls._of_members(ComputeCapability.of(one) for one in capabilities)

    @classmethod
    def major(cls, *majors: int) -> Self:
        """Any compute capability of some major versions.

        Raises:
            ValueError: One is no major version, or none is given.

        >>> str(Requirement.major(9, 10))
        '{9.x,10.x}'
        """
        for one in majors:
            if one not in range(1, _MOST_MAJOR + 1):
                raise ValueError(f"{one!r} is no major version: a number from 1 to {_MOST_MAJOR}, such as 9")
        return cls._of_members(map(Generation, majors))

    @classmethod
    def _of_members(cls, members: Iterable[ComputeCapability | Generation]) -> Self:
        found = tuple(sorted(set(members), key=_order))
        if not found:
            raise ValueError("a requirement needs at least one compute capability")
        return cls(((OneOf(found),),))

    def __and__(self, other: object) -> Requirement:
        """Both must be met."""
        if not isinstance(other, Requirement):
            return NotImplemented
        return Requirement(
            tuple(tuple(dict.fromkeys((*a, *b))) for a in self.alternatives for b in other.alternatives),
        )

    def __or__(self, other: object) -> Requirement:
        """Either will do."""
        if not isinstance(other, Requirement):
            return NotImplemented
        return Requirement(tuple(dict.fromkeys((*self.alternatives, *other.alternatives))))

    def met_by(self, capability: int | str | tuple[int, int] | ComputeCapability) -> bool | None:
        """Whether every GPU of a compute capability meets this.

        Returns:
            None where that is not known, or depends on more than the capability.

        Raises:
            ParseError: It is no compute capability.
            TypeError: It is a fraction.
            UnknownNameError: A feature is named that is not known.

        >>> Requirement.parse(">=8.0,!=10.x").met_by((9, 0))
        True
        """
        import importlib  # noqa: PLC0415 - what judges rests on this module, and is asked by name as `capably` itself does

        judge = importlib.import_module("capably.engine").judge
        device = importlib.import_module("capably.facts").Device(ComputeCapability.of(capability), assumed=True)
        outcome = judge(self, device).outcome
        return {"runs": True, "fails": False}.get(str(outcome))

    def __hash__(self) -> int:
        return hash(self._text)  # texts keep theirs, so that one as a key costs little

    def __str__(self) -> str:
        return self._text

    @property
    def distributions(self) -> tuple[str, ...]:
        """Names of the distributions whose versions are asked for."""
        clauses = (
            clause for clauses in self.alternatives for clause in map(_bare, clauses) if isinstance(clause, Version)
        )
        return tuple(dict.fromkeys(c.what.partition(":")[2] for c in clauses if c.what.startswith("installed:")))

    def mentions(self, *what: str) -> bool:
        """Whether a clause asks for one of these quantities or versions: ``sms``, ``toolkit``, ``installed``."""
        return any(
            isinstance(clause, Limit | Version) and clause.what.split(":", 1)[0] in what
            for clauses in self.alternatives
            for clause in map(_bare, clauses)
        )

    def without(self, *what: str) -> Requirement | None:
        """This requirement, less its clauses about versions of these things.

        Returns:
            None where that leaves nothing of an alternative, so that everything meets it.

        >>> str(Requirement.parse("9.0,driver>=550 | 10.x").without("driver"))
        '9.0 | 10.x'
        """
        left = tuple(
            tuple(
                clause
                for clause in clauses
                if not (isinstance(bare := _bare(clause), Version) and bare.what.split(":", 1)[0] in what)
            )
            for clauses in self.alternatives
        )
        return Requirement(left) if all(left) else None


def _bare(clause: Clause) -> Clause:
    """What an opposite is the opposite of."""
    return clause.clause if isinstance(clause, Not) else clause


_MOST_MAJOR = 99
_OPPOSITE = {">=": "<", "<": ">=", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}

# From the largest to the smallest; what is a whole number of several is shown in the largest.
_UNITS = {
    "TiB": 1 << 40,
    "TB": 10**12,
    "GiB": 1 << 30,
    "GB": 10**9,
    "MiB": 1 << 20,
    "MB": 10**6,
    "KiB": 1 << 10,
    "kB": 10**3,
}
_UNIT_NAMES = {unit.lower(): size for unit, size in {**_UNITS, "B": 1}.items()}
_LIMITS = ("memory", "smem", "sms")
_VERSIONS = ("cuda", "driver", "toolkit", *LOADED)

_SPACE = re.compile(r"\s*")
_OPERATOR = re.compile(r">=|<=|==|!=|>|<")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[._-][A-Za-z0-9]+)*")
_SM = re.compile(r"(?i:sm[_ ]?|cc ?)(?=[0-9])")
_DOTTED = re.compile(r"([0-9]{1,2})\.([0-9]|[xX](?![A-Za-z0-9]))")
_JOINED = re.compile(r"([0-9]{1,2})([0-9])")
_NUMBERS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){0,3}")
_AMOUNT = re.compile(r"([0-9]{1,15})\s*([A-Za-z]*)")


class _Reader:
    """Reads a requirement from left to right, and knows where it is when something does not fit."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, expected: str, start: int | None = None, end: int | None = None) -> ParseError:
        first = self.at if start is None else start
        return ParseError("requirement", self.text, first, first + 1 if end is None else end, expected)

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def took(self, text: str) -> bool:
        """Whether *text* comes next, which is then behind us, with the spaces before it."""
        self.skip()
        if not self.text.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def requirement(self) -> tuple[tuple[Clause, ...], ...]:
        alternatives = [self.alternative()]
        while self.took("|"):
            alternatives.append(self.alternative())
        if self.at < len(self.text):
            raise self.fail("`,` or `|` between conditions, or the end")
        return tuple(alternatives)

    def alternative(self) -> tuple[Clause, ...]:
        clauses = [self.clause()]
        while self.took(","):
            clauses.append(self.clause())
        self.skip()
        return tuple(dict.fromkeys(clauses))

    def clause(self) -> Clause:
        self.skip()
        if self.text.startswith("!", self.at) and not self.text.startswith("!=", self.at):
            self.at += 1
            self.skip()
            if self.text.startswith("!", self.at):
                raise self.fail("one `!` before a condition, or none")
            return _opposite(self.clause())
        operator_at = self.at
        found = self.take(_OPERATOR)
        operator = found[0] if found else ""
        self.skip()
        if self.text.startswith("{", self.at):
            return self.members(operator, operator_at)
        start = self.at
        if self.take(_SM) or self.text[self.at : self.at + 1].isdigit():
            return self.capability(operator, start)
        name = self.take(_NAME)
        if name is None:
            raise self.fail("a condition, such as `>=8.0`, `9.0a`, `fp8` or `driver>=550`")
        if operator:
            raise self.fail("a compute capability such as `9.0` behind a comparison", name.start(), name.end())
        return self.named(name)

    def members(self, operator: str, operator_at: int) -> OneOf:
        if operator not in ("", "==", "!="):
            raise self.fail("`==` or `!=` before a set, or nothing", operator_at, operator_at + len(operator))
        self.took("{")
        found = [self.member()]
        while self.took(","):
            found.append(self.member())
        if not self.took("}"):
            raise self.fail("`,` or `}`")
        return OneOf(tuple(sorted(set(found), key=_order)), operator == "!=")

    def member(self) -> ComputeCapability | Generation:
        self.skip()
        self.take(_SM)
        found = self.number()
        if self.text[self.at : self.at + 1].lower() in ("a", "f"):
            raise self.fail("no suffix inside braces; write `9.0a | 10.0a` instead", self.at)
        return found

    def number(self) -> ComputeCapability | Generation:
        start = self.at
        match = self.take(_DOTTED) or self.take(_JOINED)
        if match is None:
            raise self.fail("a compute capability such as `9.0`")
        if self.text[self.at : self.at + 1] in tuple("0123456789."):
            raise self.fail("the end of the number: one digit stands for the minor version")
        major = int(match[1])
        if major == 0:
            raise self.fail("a compute capability of 1.0 or higher", start, self.at)
        if match[2] in ("x", "X"):
            return Generation(major)
        if match.re is _JOINED and major == 1:
            # Read as the joined form it would be 1.2, which every GPU is beyond.
            raise self.fail(
                f"`{match[0]}.0` or `{match[0]}0`, for `{match[0]}` alone is {major}.{match[2]}", start, self.at
            )
        return ComputeCapability(major, int(match[2]))

    def capability(self, operator: str, start: int) -> Clause:
        found = self.number()
        following = self.text[self.at : self.at + 1]
        if isinstance(found, Generation):
            if operator not in ("", "==", "!="):
                raise self.fail("a minor version, or `==` or `!=` before `.x`", start, self.at)
            return OneOf((found,), operator == "!=")
        if following.lower() in ("a", "f"):
            if operator:
                text = f"no suffix behind a comparison; `{found}{following.lower()}` alone needs that code"
                raise self.fail(text)
            self.at += 1
            if (self.text[self.at : self.at + 1] or " ").isalnum():
                raise self.fail("the end of the target")
            return CodeFor(Target(found, Suffix(following.lower())))
        if following == "+":
            if operator:
                raise self.fail("either a comparison or `+`, which means `>=`")
            self.at += 1
            return Comparison(">=", found)
        if operator in ("", "==", "!="):
            return OneOf((found,), operator == "!=")
        return Comparison(operator, found)

    def named(self, name: re.Match[str]) -> Clause:
        what = name[0].lower()
        if what == "installed" and self.took(":"):
            distribution = self.take(_NAME)
            if distribution is None:
                raise self.fail("the name of a distribution")
            return self.version(f"installed:{re.sub(r'[-_.]+', '-', distribution[0]).lower()}")
        self.skip()
        at = self.at
        if what in _VERSIONS:
            return self.version(what)
        if what in _LIMITS:
            return self.limit(what)
        if _OPERATOR.match(self.text, at):
            known = ", ".join(f"`{known}`" for known in sorted((*_LIMITS, *_VERSIONS)))
            raise self.fail(f"one of {known} or `installed:NAME` before a comparison", name.start(), name.end())
        return NamedFeature(what)

    def operator(self, what: str, example: str) -> str:
        self.skip()
        found = self.take(_OPERATOR)
        if found is None:
            raise self.fail(f"a comparison behind `{what}`, such as `{what}{example}`")
        self.skip()
        return found[0]

    def version(self, what: str) -> Version:
        example = _EXAMPLES.get(what, ">=1.2")
        operator = self.operator(what, example)
        if what == "driver" and self.text[self.at : self.at + 1] in ("R", "r"):
            self.at += 1
        found = self.take(_NUMBERS)
        if found is None or self.text[self.at : self.at + 1].isalnum() or self.text.startswith(".", self.at):
            raise self.fail(f"a version of numbers, such as `{what}{example}`")
        numbers = tuple(int(number) for number in found[0].split("."))
        most = 4 if ":" in what or what in {"cudnn", "cublaslt"} else 3 if what == "driver" else 2
        if len(numbers) > most:
            raise self.fail(f"at most {most} numbers", found.start(), found.end())
        return Version(what, operator, numbers)

    def limit(self, what: str) -> Limit:
        example = {"sms": ">=132", "smem": ">=99KiB"}.get(what, ">=40GiB")
        operator = self.operator(what, example)
        found = self.take(_AMOUNT)
        if found is None:
            raise self.fail(f"an amount, such as `{what}{example}`")
        unit = found[2].lower()
        size = (None if unit else 1) if what == "sms" else _UNIT_NAMES.get(unit)
        if size is None:
            text = "a plain number" if what == "sms" else "a unit: `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB` or `B`"
            raise self.fail(text, found.start(2), max(found.end(2), found.start(2) + 1))
        return Limit(what, operator, int(found[1]) * size)


_EXAMPLES = {
    "driver": ">=550",
    "cuda": ">=12.8",
    "toolkit": ">=12.9",
    "torch-cuda": ">=12.8",
    "ptxas": ">=12.9",
    "cudnn": ">=9.8",
    "cublaslt": ">=12.8",
}


def _opposite(clause: Clause) -> Clause:
    match clause:
        case Comparison():
            return Comparison(_OPPOSITE[clause.operator], clause.capability)
        case OneOf():
            return OneOf(clause.members, not clause.excluded)
        case Limit():
            return Limit(clause.what, _OPPOSITE[clause.operator], clause.amount)
        case Version() if not clause.what.startswith("installed:"):
            return Version(clause.what, _OPPOSITE[clause.operator], clause.numbers)
        case Not():
            return clause.clause
        case _:
            return Not(clause)


def _order(member: ComputeCapability | Generation) -> tuple[int, int]:
    return (member.major, -1) if isinstance(member, Generation) else (member.major, member.minor)
