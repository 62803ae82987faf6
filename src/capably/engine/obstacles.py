"""What stands between GPU code and a device: the arguments about the images that came closest to loading.

A library of a hundred fatbins yields thousands of arguments, most of them about images that nobody expected to load.
They are picked from a verdict; nothing is weighed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.arch import Target
from capably.codes import Outcome, Reason
from capably.engine.verdict import Verdict
from capably.facts import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.facts import Artifact, Library

__all__ = ["EMPTY", "RELOCATABLE", "Obstacle", "obstacles"]

EMPTY = "kernels-for-other-architectures-only"
"""The code of a fatbin whose fitting images hold no kernels."""
RELOCATABLE = frozenset({"relocatable-only", "relocatable-ptx-unproven"})
"""Codes of images that still have to be linked."""
_DOUBTS = frozenset({"driver-device-unproven", "driver-drop-unproven"})


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why fatbins of one kind do not load, or may not.

    Attributes:
        library: The verdict on the library that holds them.
        fatbin: The verdict on one of them; its `count` says how many there are.
        targets: What they hold kernels for, in rising order.
        reasons: The arguments about the images that came closest.
    """

    library: Verdict
    fatbin: Verdict
    targets: tuple[Target, ...]
    reasons: tuple[Reason, ...]


def obstacles(artifact: Artifact, verdict: Verdict) -> Iterator[Obstacle]:
    """What stands in the way of *artifact*: of the fatbins that fail or, where none does, of those that are undecided."""
    outcome = Outcome.FAILS if verdict.counts.fails else Outcome.UNKNOWN
    for library, part in zip(artifact.libraries, verdict.parts, strict=True):
        if part.role is not Role.PRODUCT:
            continue
        for fatbin, targets in _kinds(library, part):
            if fatbin.outcome is outcome:
                yield Obstacle(part, fatbin, targets, tuple(_closest(fatbin)))


def _kinds(library: Library, verdict: Verdict) -> Iterator[tuple[Verdict, tuple[Target, ...]]]:
    """The verdict on each kind of fatbin that counts, and the targets that it holds kernels for."""
    judged = [group.fatbin for group in library.fatbins if not group.fatbin.relocatable and not group.fatbin.idle]
    for fatbin, part in zip(judged, verdict.parts, strict=True):
        targets = {image.target for image in fatbin.images if not image.stub and image.target is not None}
        yield part, tuple(sorted(targets))


def _closest(part: Verdict) -> list[Reason]:
    """The arguments of the images that had the fewest against them."""
    empty = [reason for reason in part.reasons if reason.code == EMPTY]
    if empty:
        return empty
    images: dict[str, list[Reason]] = {}
    for reason in part.reasons:
        images.setdefault(reason.subject, []).append(reason)
    against = {
        subject: [reason for reason in reasons if reason.outcome is part.outcome]
        for subject, reasons in images.items()
        # The outcome of a fatbin is that of its best image: no image has one below.
        if any(reason.outcome is part.outcome for reason in reasons)
        and (part.outcome is Outcome.FAILS or all(reason.outcome is not Outcome.FAILS for reason in reasons))
    }
    if not against:  # images of one subject that differ in something else
        return [reason for reason in part.reasons if reason.outcome is part.outcome]
    # What still has to be linked is the last resort: it is told of only where nothing else could have loaded.
    linked = {
        subject: reasons
        for subject, reasons in against.items()
        if not any(reason.code in RELOCATABLE for reason in images[subject])
    }
    against = linked or against
    least = min(map(len, against.values()), default=0)
    close = {subject: reasons for subject, reasons in against.items() if len(reasons) == least}
    # A driver that may not serve the device at all is worth knowing before another one is installed for the image.
    doubts = (reason for subject in close for reason in images[subject] if reason.code in _DOUBTS)
    return list(dict.fromkeys((*(reason for reasons in close.values() for reason in reasons), *doubts)))
