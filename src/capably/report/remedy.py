"""Which driver, or which setting of it, would make an answer better.

Nothing is weighed here: the engine judges once more, by the driver that would be there. A driver that would change
nothing, or next to nothing, is none to advise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capably.arch import Target
from capably.codes import REASONS, Outcome
from capably.engine import judge
from capably.facts import Driver, Image, ImageKind, PtxJit
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.facts import Device
    from capably.report.answer import Result

__all__ = ["WORTH", "Change", "change_for", "change_for_builds"]

# One in more fatbins than these is next to nothing: no driver is changed for it, unless it is the last one.
WORTH = 100
_UNSET = {PtxJit.DISABLED: "unset CUDA_DISABLE_PTX_JIT", PtxJit.FORCED: "unset CUDA_FORCE_PTX_JIT"}


@dataclass(frozen=True, slots=True)
class Change:
    """Something to change about the driver.

    Attributes:
        words: What to do, as the begin of a sentence without its capital.
        driver: The driver that loads the code then.
    """

    words: str
    driver: Driver


def change_for(result: Result) -> tuple[Change, Result] | None:
    """The nearest change by which about as much of an artifact loads as by any, and the result then.

    Returns:
        None where no change lets anything load that is worth it.
    """
    verdict = result.verdict
    if verdict.driver is None or all(REASONS[reason.code].otherwise is None for reason in verdict.reasons):
        return None  # no argument is about the driver
    tried: list[tuple[Change, Result]] = []
    for change in _changes(verdict.device, verdict.driver):
        then = replace(result, verdict=judge(result.artifact, verdict.device, change.driver))
        tried.append((change, then))
        if _complete(then) and not then.blocked:
            break
    free = min([len(result.blocked), *(len(then.blocked) for _, then in tried)])
    tried = [(change, then) for change, then in tried if len(then.blocked) == free]
    best = max((then for _, then in tried), key=_usable, default=result)
    if _as_good(result, best):
        return None
    return next(one for one in tried if _as_good(one[1], best))


def _usable(result: Result) -> int:
    return result.verdict.counts.usable


def _complete(result: Result) -> bool:
    return _usable(result) == result.verdict.counts.total


def _as_good(one: Result, best: Result) -> bool:
    """Whether about as much loads."""
    if _complete(best):
        return _complete(one)
    return (_usable(best) - _usable(one)) * WORTH < best.verdict.counts.total


def change_for_builds(device: Device, driver: Driver) -> Change | None:
    """What a build for *device* would need too: the nearest change by which code made for exactly it loads.

    Returns:
        None where it loads as things are, or where no change is known by which it does.
    """
    if _loads(device, driver):
        return None
    return next((change for change in _changes(device, driver) if _loads(device, change.driver)), None)


def _loads(device: Device, driver: Driver) -> bool:
    return judge(Image(ImageKind.SASS, Target(device.capability)), device, driver).outcome is Outcome.RUNS


def _changes(device: Device, driver: Driver) -> Iterator[Change]:
    """What could be changed, the least first."""
    newer, older = tables().other_drivers(driver, device.capability)
    if _loads(device, replace(driver, jit=PtxJit.ALLOWED)):
        older = []  # it is served: an older driver is nothing to go back to
    drivers = [driver, *newer, *older]
    words = ["", *(_words(one, "newer") for one in newer), *(_words(one, "older") for one in older)]
    for one, said in zip(drivers, words, strict=True):
        if said:
            yield Change(said, one)
        if driver.jit is not PtxJit.ALLOWED:
            unset = _UNSET[driver.jit]
            yield Change(f"{unset} and {said}" if said else unset, replace(one, jit=PtxJit.ALLOWED))


def _words(driver: Driver, way: str) -> str:
    if driver.release is None:
        return f"install a driver of CUDA {driver.cuda} or {way}"
    return f"install a driver of branch R{driver.release.branch} (CUDA {driver.cuda}) or {way}"
