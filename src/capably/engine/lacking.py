"""What is missing of a library on a device, and what that means: a gap, or something for other devices.

Builds name targets for each source file, so that a fatbin without anything for a device is mostly no fault. What tells
is what the library is for: its *general* fatbins are those with its most frequent set of plain targets, and those whose
set contains it.
"""

from __future__ import annotations

import functools
from collections import Counter

from capably import facts
from capably.codes import Outcome
from capably.engine.verdict import Lack, OutcomeCounts, Shares

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.arch import Target
    from capably.engine.verdict import Verdict
    from capably.facts import Fatbin, FatbinGroup

__all__ = ["exact_only", "lacks", "made_for", "missing", "widest"]


def _targets(fatbin: Fatbin) -> frozenset[Target | None]:
    """What it holds kernels for that a driver may load."""
    return frozenset(
        image.target for image in fatbin.images if image.stub is not True and image.kind is not facts.ImageKind.LTOIR
    )


def _plain(fatbin: Fatbin) -> frozenset[Target]:
    return frozenset(target for target in _targets(fatbin) if target is not None and not target.suffix)


def exact_only(fatbin: Fatbin) -> bool:
    """All its images with kernels have a suffix, so that it never was meant for devices at large."""
    targets = _targets(fatbin)
    return bool(targets) and all(target is not None and target.suffix for target in targets)


def _sets(groups: Sequence[FatbinGroup]) -> dict[frozenset[Target], int]:
    """How many fatbins there are of each set of plain targets; of all targets, where none is plain."""
    counting = [group for group in groups if not group.fatbin.idle]
    sets: Counter[frozenset[Target]] = Counter()
    for group in counting:
        if plain := _plain(group.fatbin):
            sets[plain] += group.count
    return sets


@functools.lru_cache(maxsize=256)
def made_for(groups: tuple[FatbinGroup, ...]) -> tuple[tuple[bool, bool], ...]:
    """Of each group of a library, whether it is general, and whether it is for exact architectures only."""
    return tuple(zip(_general(groups), (exact_only(group.fatbin) for group in groups), strict=True))


def _general(groups: Sequence[FatbinGroup]) -> tuple[bool, ...]:
    """Of each group of a library, whether it is general.

    Sets that are equally frequent and equally wide are so alike: the order of the file does not matter. Where no fatbin
    has a plain target, all are what the library is for.
    """
    sets = _sets(groups)
    if not sets:
        return tuple(not group.fatbin.idle for group in groups)
    most = max((count, len(targets)) for targets, count in sets.items())
    chosen = [targets for targets, count in sets.items() if (count, len(targets)) == most]
    return tuple(any(targets <= _plain(group.fatbin) for targets in chosen) for group in groups)


def widest(groups: Sequence[FatbinGroup]) -> tuple[bool, ...]:
    """Of each group of a library, whether it is for as many plain targets as any."""
    most = max(map(len, _sets(groups)), default=0)
    return tuple(not group.fatbin.idle and len(_plain(group.fatbin)) == most for group in groups)


def lacks(part: Verdict, counts: OutcomeCounts, *, exact: bool) -> Lack | None:
    """What it means that a fatbin, *exact* or not, fails in a library of these *counts*; None where it does not."""
    if part.outcome is not Outcome.FAILS:
        return None
    return Lack.SPECIALITY if counts.usable or exact else Lack.GAP


def missing(parts: Iterable[tuple[Verdict, bool]], counts: OutcomeCounts) -> Shares:
    """What is missing of a library of these *counts*; its parts each with whether it is for exact architectures only."""
    failing = plain = undecided = 0  # plain: fails, and is no speciality by what it is for
    for part, exact in parts:
        if part.outcome is Outcome.FAILS:
            failing += part.count
            plain += part.count * (not exact)
        elif part.outcome is Outcome.UNKNOWN:
            undecided += part.count * (not exact)
    if counts.usable:
        return Shares(specialised=failing)
    # One part that is undecided and loads makes specialities of all the others.
    certain = 0 if counts.unknown else plain
    return Shares(plain, failing - plain, certain, plain + undecided)
