"""The one word for a package on a device: would it work there?

Coverage counts every fatbin alike, and so says little: torch without its linear algebra is not 75 % of a torch. The
headline asks first for what the package does nothing without, its core library, and of that for what is general.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from capably import facts
from capably.codes import Outcome
from capably.compat import StrEnum
from capably.engine.lacking import exact_only, widest
from capably.engine.roles import role_of
from capably.engine.verdict import OutcomeCounts, Verdict
from capably.tables import tables

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Sequence

    from capably.facts import Artifact, Library

__all__ = ["Conclusion", "Ground", "Headline", "conclude", "headline"]


class Headline(StrEnum):
    """Whether a package works on a device. Values are those of the JSON of ``capably check``."""

    YES = "yes"  # nothing is missing
    YES_COMPILED = "yes-compiled"  # likewise; some is compiled by the driver, or by its own compiler, at first use
    LIKELY = "likely"  # its core is usable; something else is missing
    PARTLY = "partly"  # some of what it does nothing without is missing
    NO = "no"
    UNKNOWN = "unknown"


class Ground(StrEnum):
    """What a headline rests on: the first that holds."""

    BLOCKED = "blocked"
    NOT_READ = "not-read"
    AT_RUN_TIME = "at-run-time"
    NOTHING = "nothing"
    CORE_FAILS = "core-fails"
    CORE_PARTLY = "core-partly"
    CORE_UNDECIDED = "core-undecided"
    CORE_USABLE = "core-usable"
    DISPATCHES = "dispatches"
    GENERAL_FAILS = "general-fails"
    GAPS = "gaps"
    UNDECIDED = "undecided"
    OTHERS = "others"
    COMPLETE = "complete"
    COMPILED = "compiled"
    BUILDS_DIFFER = "builds-differ"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A headline and what it rests on.

    Attributes:
        headline: None where there is no GPU code to judge.
        ground: Of the rules for headlines, the one that held.
        core: Paths of the core libraries; empty where none is known, or none is there.
    """

    headline: Headline | None
    ground: Ground | None = None
    core: tuple[str, ...] = ()


_MADE = {
    Outcome.RUNS: Headline.YES_COMPILED,
    Outcome.COMPILES: Headline.YES_COMPILED,
    Outcome.FAILS: Headline.NO,
    Outcome.UNKNOWN: Headline.UNKNOWN,
}
"""By what its compiler makes."""


def headline(artifact: Artifact, verdict: Verdict) -> Conclusion:
    """What *verdict*, which the engine gave on *artifact*, amounts to in a word.

    Args:
        artifact: As it was judged: of several bundled builds, one.
        verdict: Of `capably.judge`.
    """
    row = tables().package(artifact.name) if artifact.name is not None else None
    product = [
        (library, part)
        for library, part in zip(artifact.libraries, verdict.parts, strict=True)
        if role_of(artifact, library) is facts.Role.PRODUCT
    ]
    core = [] if row is None or row.core is None else [one for one in product if _named(one[0], row.core)]
    if verdict.blocked:
        return Conclusion(Headline.NO, Ground.BLOCKED)
    compiler = verdict.compiler
    if compiler is not None and (compiler.kernels == "run-time" or not (verdict.counts.total or verdict.unread)):
        return Conclusion(_MADE[compiler.outcome], Ground.AT_RUN_TIME)
    if row is not None and row.kernels == "run-time" and not core and product:
        # Files that lie about decide nothing: what its compiler makes would.
        return Conclusion(Headline.UNKNOWN, Ground.AT_RUN_TIME)
    brought = _of_files(verdict, product, core)
    return brought if compiler is None else _with_compiler(brought, compiler.outcome)


def _with_compiler(brought: Conclusion, made: Outcome) -> Conclusion:
    """What can be said of a package that brings some of its kernels, and makes others at run time.

    What it makes is a part that nothing goes without: no yes where that fails, none where that is undecided. And where
    that loads, something does, though nothing that is brought may; without its core a package is a no all the same.
    """
    nothing = brought.ground is Ground.NOTHING
    if brought.headline is Headline.NO and (made is Outcome.FAILS or not nothing):
        return brought
    if brought.headline is Headline.UNKNOWN:
        return brought
    if made is Outcome.FAILS or (nothing and made is not Outcome.UNKNOWN):
        return Conclusion(Headline.PARTLY, Ground.AT_RUN_TIME, brought.core)
    if made is Outcome.UNKNOWN:
        return brought if brought.headline is Headline.PARTLY else Conclusion(Headline.UNKNOWN, Ground.AT_RUN_TIME)
    if brought.headline is Headline.YES:
        return Conclusion(Headline.YES_COMPILED, Ground.AT_RUN_TIME, brought.core)
    return brought


def _of_files(
    verdict: Verdict, product: Sequence[tuple[Library, Verdict]], core: Sequence[tuple[Library, Verdict]]
) -> Conclusion:
    """By the code that the package brings."""
    hidden = verdict.unread
    counts = verdict.counts
    if not counts.total:
        return Conclusion(Headline.UNKNOWN, Ground.NOT_READ) if hidden else Conclusion(None)
    if not counts.usable and not counts.unknown and not hidden:
        return Conclusion(Headline.NO, Ground.NOTHING)
    if core:
        unread = {finding.path for finding in hidden}
        paths = tuple(library.path for library, _ in core)
        return _of_core(verdict, _general(core), product, paths, unread=any(path in unread for path in paths))
    if not counts.usable:
        return Conclusion(Headline.UNKNOWN, Ground.NOT_READ if hidden else Ground.UNDECIDED)
    if all(_vendor(library) for library, part in product if part.counts.total):
        found = _of_vendor(verdict, product)
        if found is not None:
            return found
    return _of_all(verdict, product)


def _of_core(
    verdict: Verdict,
    general: OutcomeCounts,
    product: Sequence[tuple[Library, Verdict]],
    core: tuple[str, ...],
    *,
    unread: bool,
) -> Conclusion:
    if general.usable and general.fails:
        return Conclusion(Headline.PARTLY, Ground.CORE_PARTLY, core)
    if general.unknown or unread:
        return Conclusion(Headline.UNKNOWN, Ground.NOT_READ if unread else Ground.CORE_UNDECIDED, core)
    if not general.usable:
        # Without any kernel in the core there is nothing to say of it.
        return Conclusion(Headline.NO if general.fails else Headline.UNKNOWN, Ground.CORE_FAILS, core)
    if verdict.counts.fails or verdict.counts.unknown or verdict.unread:
        return Conclusion(Headline.LIKELY, Ground.CORE_USABLE, core)
    return _complete(product, core)


def _of_vendor(verdict: Verdict, product: Sequence[tuple[Library, Verdict]]) -> Conclusion | None:
    """A library that takes what fits the device; None where something of it is missing all the same."""
    if verdict.shares.gaps_at_most or not verdict.counts.fails + verdict.counts.unknown:
        return None
    served = all(
        _all_usable(_general([(library, part)])) or _all_usable(_tally(part, widest(_counting(library))))
        for library, part in product
        if part.counts.total
    )
    return Conclusion(Headline.YES if served and verdict.counts.runs else Headline.LIKELY, Ground.DISPATCHES)


def _of_all(verdict: Verdict, product: Sequence[tuple[Library, Verdict]]) -> Conclusion:
    """A package of which no core is known: all its libraries count."""
    shares = verdict.shares
    if shares.gaps_at_least:
        return Conclusion(Headline.PARTLY, Ground.GAPS)
    general = sum((_plain_general(library, part) for library, part in product), OutcomeCounts())
    if general.fails:
        return Conclusion(Headline.PARTLY, Ground.GENERAL_FAILS)
    if shares.gaps_at_most or general.unknown:
        return Conclusion(Headline.UNKNOWN, Ground.NOT_READ if verdict.unread else Ground.UNDECIDED)
    if verdict.counts.fails or verdict.counts.unknown:
        return Conclusion(Headline.LIKELY, Ground.OTHERS)
    return _complete(product)


def _complete(product: Sequence[tuple[Library, Verdict]], core: tuple[str, ...] = ()) -> Conclusion:
    if _general(product).compiles:
        return Conclusion(Headline.YES_COMPILED, Ground.COMPILED, core)
    return Conclusion(Headline.YES, Ground.COMPLETE, core)


def _named(library: Library, pattern: re.Pattern[str]) -> bool:
    return any(pattern.fullmatch(path) for path in (library.path, *library.copies))


def _vendor(library: Library) -> bool:
    return any(row.vendor is not None and _named(library, row.vendor) for row in tables().packages)


def _tally(part: Verdict, chosen: Iterable[bool]) -> OutcomeCounts:
    """Fatbins of a library by outcome, of the kinds that are *chosen*."""
    found = Counter[str]()
    for one, taken in zip(part.parts, chosen, strict=True):
        if taken and one.outcome is not None:
            found[one.outcome.value] += one.count
    return OutcomeCounts(**found)


def _general(product: Iterable[tuple[Library, Verdict]]) -> OutcomeCounts:
    return sum((_tally(part, (one.general for one in part.parts)) for _, part in product), OutcomeCounts())


def _plain_general(library: Library, part: Verdict) -> OutcomeCounts:
    """The general fatbins, without those of a library that is for exact architectures only."""
    kinds = zip(part.parts, _counting(library), strict=True)
    return _tally(part, (one.general and not exact_only(kind.fatbin) for one, kind in kinds))


def _counting(library: Library) -> list[facts.FatbinGroup]:
    """The kinds of fatbins that count, in the order of the parts of a verdict."""
    return [group for group in library.fatbins if not group.fatbin.relocatable and not group.fatbin.idle]


def _all_usable(counts: OutcomeCounts) -> bool:
    return counts.total > 0 and counts.usable == counts.total


# -- a package of several builds


_SURE = (Headline.YES, Headline.YES_COMPILED, Headline.LIKELY)
"""From the best to the least: of builds that all work, the least is what can be said."""


def conclude(builds: Sequence[Conclusion]) -> Conclusion:
    """What can be said of a package that loads one of several builds, where what decides which is not known.

    >>> yes, no = Conclusion(Headline.YES, Ground.COMPLETE), Conclusion(Headline.NO, Ground.NOTHING)
    >>> conclude([yes, yes]).headline, conclude([yes, no]).headline
    (<Headline.YES: 'yes'>, <Headline.UNKNOWN: 'unknown'>)
    """
    first, *others = builds
    if all(one.headline is first.headline for one in others):
        return first
    if all(one.headline in _SURE for one in builds):
        return max(builds, key=lambda one: _SURE.index(one.headline) if one.headline in _SURE else 0)
    return Conclusion(Headline.UNKNOWN, Ground.BUILDS_DIFFER)
