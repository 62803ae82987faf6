"""What to do where code does not load, or may not: judged again before it is given, for every reader alike.

The page of an argument says what would remove that one argument. Whether that is good for anything depends on all the
others, so the engine judges once more, by the driver that would be there. A driver that would change nothing, or next
to nothing, is none to advise; a build that this driver could not load is none alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capably.arch import Target
from capably.codes import FINDINGS, REASONS, Outcome
from capably.engine.judging import judge
from capably.engine.obstacles import RELOCATABLE, Obstacle, obstacles
from capably.engine.verdict import Coverage, Lack, Verdict
from capably.facts import Driver, Fatbin, FatbinGroup, Image, ImageKind, PtxJit, Role
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.codes import Reason
    from capably.facts import Artifact, Device, Finding

__all__ = ["WORTH", "Advice", "Change", "advise", "change_for", "change_for_builds"]

WORTH = 100
"""One in more fatbins than these is next to nothing: no driver is changed for it, unless it is the last one."""
_FEW = 3
_LOADS = frozenset({Outcome.RUNS, Outcome.COMPILES})
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


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about one artifact on one GPU.

    Attributes:
        steps: One sentence each; empty where nothing has to be done, or nothing is known to help.
        counterparts: What does not load lies beside machine code that does, in one library at least: it may be the
            same for other architectures, which no build would change.
        partial: Some of it loads, so that what does not may be meant for other architectures.
        change: What the steps ask for of the driver; None where they leave it as it is.
        still: Codes of the findings that would stand in the way with that driver too.
    """

    steps: tuple[str, ...] = ()
    counterparts: bool = False
    partial: bool = False
    change: Change | None = None
    still: frozenset[str] = frozenset()

    def caveat(self, *, listed: bool = False) -> str:
        """What to know beside the steps; the kernels in question are *listed* below it, or are not shown."""
        where = "they are listed below" if listed else "--kernels lists them"
        if self.counterparts and self.partial:
            return (
                "What does not load may be the same kernels for other GPUs, or kernels that only those need: then nothing is "
                f"missing. Some kernels may have no code for this GPU: {where}. If you need one of them, only another build "
                "helps."
            )
        if self.counterparts:
            return "The others may be the same kernels for other GPUs."
        if self.steps and self.partial:
            return f"If those kernels are for other GPUs only, nothing is missing: {where}."
        return ""

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it, in the order in which it is to be read."""
        return self.around(self.steps)

    def around(self, steps: Sequence[str], *, listed: bool = False) -> tuple[str, ...]:
        """The steps of this and of advice like it, with the caveat in its place; *listed* as above."""
        caveat = self.caveat(listed=listed)
        if not caveat:
            return tuple(steps)
        # Whether anything is missing comes before what would bring it.
        return (caveat, *steps) if self.counterparts and self.partial else (*steps, caveat)

    def way_out(self, library: Verdict, reason: Reason) -> str:
        """The way out of one argument about *library*, when it is judged again; empty where nothing has to be done."""
        if library.counts.usable == library.counts.total or not reason.way_out:
            return ""
        if self.change is not None:
            return " ".join(self.steps)
        if _is_built_for(library, reason):
            return self.caveat()
        return reason.otherwise

    def way_around(self, finding: Finding) -> str:
        """What to do about *finding*, which stands beside the GPU code."""
        if self.change is not None and self.removes(finding):
            return f"{_begin(self.change.words)}."
        page = FINDINGS.get(finding.code)
        return page.way_out if page else ""

    def removes(self, finding: Finding) -> bool:
        """Whether the steps do away with *finding* too: one that stands in the way, and would not with their driver."""
        page = FINDINGS.get(finding.code)
        return page is not None and page.blocks and self.change is not None and finding.code not in self.still


def advise(artifact: Artifact, verdict: Verdict) -> Advice:
    """What to do about *artifact*, on which the engine gave *verdict*."""
    if _complete(verdict) and not verdict.blocked:
        return Advice()
    partial = verdict.coverage is Coverage.PARTIAL
    builds, counterparts = _builds(artifact, verdict)
    changed = change_for(artifact, verdict)
    # A build for this device may need another driver as well, and is then nothing to do alone.
    also = None if verdict.driver is None else change_for_builds(verdict.device, verdict.driver)
    if changed is None:
        if also is None or not builds:
            return Advice(builds, counterparts, partial)
        steps = tuple(f"{_begin(also.words)}, and {_go_on(way)}" for way in builds)
        return Advice(steps, counterparts, partial, also, _blocking(artifact, verdict, also.driver))
    change, then = changed
    do = _begin(change.words)
    counts = then.counts
    still = frozenset(finding.code for finding in then.blocked)
    if counts.usable == counts.total:
        instead = () if also else builds
        steps = (f"{', or '.join((do, *(_go_on(way)[:-1] for way in instead)))}.",)
        return Advice(steps, counterparts=False, partial=partial, change=change, still=still)
    left, counterparts = _builds(artifact, then)
    share = f"{counts.usable} of {counts.total} fatbins load then"
    if also is None:
        steps = (*left, f"{'Or ' + change.words if left else do}: {share}.")
    else:
        steps = (f"{do}: {share}.", *(f"And, for the others, {_go_on(way)}" for way in left))
    return Advice(steps, counterparts, partial, change, still)


def _blocking(artifact: Artifact, verdict: Verdict, driver: Driver) -> frozenset[str]:
    """Codes of what would stand in the way with *driver*."""
    if not verdict.blocked:
        return frozenset()
    return frozenset(finding.code for finding in judge(artifact, verdict.device, driver).blocked)


def _builds(artifact: Artifact, verdict: Verdict) -> tuple[tuple[str, ...], bool]:
    """What to do with the driver left as it is; and whether fatbins lack what others of their library have."""
    ways: dict[str, dict[str, None]] = {}
    beside = False
    for obstacle in obstacles(artifact, verdict):
        other = bool(verdict.counts.usable) and _is_for_others(obstacle)
        for reason in obstacle.reasons:
            if other or _is_built_for(obstacle.library, reason):
                beside = True
            elif reason.otherwise:
                ways.setdefault(reason.otherwise, {})[obstacle.library.subject.rpartition("/")[2]] = None
    steps = _distinct(ways)
    if not verdict.counts.usable:
        return steps, beside
    # The package has code for the device already: it is these libraries that have none.
    return tuple(_of_libraries(way, list(ways[way])) for way in steps), beside


def _is_for_others(obstacle: Obstacle) -> bool:
    """Whether its fatbins are a speciality of other devices, so that no build for this one would hold more of them."""
    if obstacle.fatbin.lack is not Lack.SPECIALITY:
        return False
    return not obstacle.fatbin.general or all(target.suffix for target in obstacle.targets)


def _of_libraries(way: str, names: list[str]) -> str:
    """A step about a build, said of some libraries of it only.

    >>> _of_libraries("Use a build that targets sm_90.", ["a.so"])
    'If a.so is needed, use a build in which it targets sm_90.'
    """
    about = f"one of {len(names)} libraries" if len(names) > _FEW else " or ".join(names)
    return f"If {about} is needed, {_go_on(way).replace('that targets', 'in which it targets', 1)}"


def _is_built_for(library: Verdict, reason: Reason) -> bool:
    """Whether *library* is a build for the target that *reason* misses, and could not be more of one."""
    for_target = any(name == "wanted" for name, _ in reason.params) and reason.code not in RELOCATABLE
    return bool(for_target and library.counts.runs and library.counts.fails)


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]


def _go_on(text: str) -> str:
    return text[:1].lower() + text[1:]


def _distinct(ways_out: Iterable[str]) -> tuple[str, ...]:
    """Those that are not already the second half of another.

    >>> _distinct(["Use a build.", "Install a driver, or use a build."])
    ('Install a driver, or use a build.',)
    """
    ways = [way for way in ways_out if way]
    return tuple(way for way in ways if not any(way != other and way[1:] in other for other in ways))


# -- the driver


def change_for(artifact: Artifact, verdict: Verdict) -> tuple[Change, Verdict] | None:
    """The nearest change by which about as much of *artifact* loads as by any, and the verdict then.

    Returns:
        None where no change lets anything load that is worth it.
    """
    if verdict.driver is None or all(REASONS[reason.code].otherwise is None for reason in verdict.reasons):
        return None  # no argument is about the driver
    total = verdict.counts.total
    decided = _what_drivers_decide(artifact, verdict.device)
    most = sum(group.count for library in decided.libraries for group in library.fatbins)
    if _usable(verdict) >= most:
        return None
    tried: list[tuple[Change, Verdict]] = []
    for change in _changes(verdict.device, verdict.driver):
        then = judge(decided, verdict.device, change.driver)
        tried.append((change, then))
        if _usable(then) == most and not then.blocked:
            break
    free = min([len(verdict.blocked), *(len(then.blocked) for _, then in tried)])
    tried = [(change, then) for change, then in tried if len(then.blocked) == free]
    best = max((_usable(then) for _, then in tried), default=_usable(verdict))
    if _as_good(_usable(verdict), best, total):
        return None
    change = next(change for change, then in tried if _as_good(_usable(then), best, total))
    return change, judge(artifact, verdict.device, change.driver)


def _what_drivers_decide(artifact: Artifact, device: Device) -> Artifact:
    """As much of *artifact* as some driver may load, which is little: most of a wheel is for other GPUs.

    It is judged by each driver that could be installed. As much of it loads by one as of the whole.
    """
    libraries = []
    for library, judged in zip(artifact.libraries, judge(artifact, device).parts, strict=True):
        if judged.role is not Role.PRODUCT:
            continue
        found = [
            (tuple(one.image for one in part.parts if one.image and _may_load(one)), part.count)
            for part in judged.parts
        ]
        groups = tuple(FatbinGroup(Fatbin(images, prelinked=False), count) for images, count in found if images)
        libraries.append(replace(library, fatbins=groups))
    return replace(artifact, libraries=tuple(libraries))


def _may_load(image: Verdict) -> bool:
    """Whether an image, judged without a driver, may load by some: nothing is against it, and its target is for it."""
    return image.outcome is not Outcome.FAILS and any(reason.outcome in _LOADS for reason in image.reasons)


def _usable(verdict: Verdict) -> int:
    return verdict.counts.usable


def _complete(verdict: Verdict) -> bool:
    return _usable(verdict) == verdict.counts.total


def _as_good(usable: int, best: int, total: int) -> bool:
    """Whether about as much loads as *best*, of *total*."""
    return usable == total if best == total else (best - usable) * WORTH < total


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
    words = ["", *(_words(one, "newer", device) for one in newer), *(_words(one, "older", device) for one in older)]
    for one, said in zip(drivers, words, strict=True):
        if said:
            yield Change(said, one)
        if driver.jit is not PtxJit.ALLOWED:
            unset = _UNSET[driver.jit]
            yield Change(f"{unset} and {said}" if said else unset, replace(one, jit=PtxJit.ALLOWED))


def _words(driver: Driver, way: str, device: Device) -> str:
    """The step to *driver*; never beyond the last one that serves *device*."""
    last = tables().newest_driver(device.capability)
    bounded = way == "newer" and tables().driver_cuda(last) < tables().branches[-1].cuda
    if driver.release is None or last.release is None:
        end = tables().driver_cuda(last)
        return f"install a driver of CUDA {driver.cuda}{_up_to(driver.cuda == end, f'{end}', way, bounded=bounded)}"
    end_ = f"R{last.release.branch}"
    there = driver.release.branch == last.release.branch
    return (
        f"install a driver of branch R{driver.release.branch} (CUDA {driver.cuda})"
        f"{_up_to(there, end_, way, bounded=bounded)}"
    )


def _up_to(there: bool, last: str, way: str, *, bounded: bool) -> str:
    if not bounded:
        return f" or {way}"
    return ", the last one that serves this GPU" if there else f" or newer, up to {last}"
