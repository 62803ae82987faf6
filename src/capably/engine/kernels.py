"""What becomes of each kernel of a library: that of the best image of its fatbin that holds it."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass

from capably.arch import Target
from capably.codes import Outcome
from capably.engine.containers import chosen_image
from capably.engine.image import judge_image, loading_reasons
from capably.engine.verdict import SEVERITY, OutcomeCounts, worst
from capably.facts import Image, ImageKind

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.facts import Device, Driver, FatbinKernels, ImageKernels, Library

__all__ = ["KernelVerdict", "judge_kernels"]


@dataclass(frozen=True, slots=True)
class KernelVerdict:
    """What becomes of one kernel of a library on a device.

    Attributes:
        name: As the compiler mangled it.
        counts: The fatbins that hold it for any target, by what becomes of it in them.
        targets: What it is there for, over these fatbins, in the order of the file.
        left_out: Some image of a fatbin of it loads there and does not hold it.
    """

    name: str
    counts: OutcomeCounts
    targets: tuple[Target, ...]
    left_out: bool


def judge_kernels(library: Library, device: Device, driver: Driver | None = None) -> tuple[KernelVerdict, ...]:
    """What becomes of each kernel of *library* on *device*; the fatbins are judged as `judge` does.

    A kernel fares as the best image of its fatbin that holds it. Where another image may be the one that the driver
    takes, or holds names that could not be read, that is undecided.

    Args:
        library: Scanned with its kernels.
        device: On which device.
        driver: None means that the driver is not known.

    Returns:
        One for each different name, in the order of the file. Kernels of images outside any fatbin are not judged,
        nor those of link input.

    Raises:
        ValueError: It was scanned without its kernels.
    """
    if library.kernels is None:
        raise ValueError(f"{library.path} was scanned without its kernels")

    def fate(part: ImageKernels) -> _Fate:
        return _fate(part.image, part.names is not None, device, driver)

    origins: list[_Fate] = []
    origins_of: dict[str, list[int]] = {}
    for found in library.kernels:
        if not found.bare and found.fatbin.relocatable:
            for part in found.images:
                if part.image.stub is not True:
                    for name in part.names or ():
                        origins_of.setdefault(name, []).append(len(origins))
                    origins.append(fate(part))
    # As of fatbins: one that no wrapper names, where some are named, gets none of them.
    linked_ones = (found for found in library.kernels if not (found.bare or found.fatbin.relocatable))
    unread = all(found.prelinked is None for found in linked_ones)
    alone = _Choice(device)
    beside = alone.having(origins)
    counts: dict[str, Counter[str]] = {}
    targets: dict[str, dict[Target, None]] = {}
    left_out: set[str] = set()
    for found in library.kernels:
        if found.bare or found.fatbin.relocatable or found.fatbin.idle:
            continue
        own = [fate(part) for part in found.images]
        relinked = found.prelinked or unread
        choice = (beside if relinked else alone).having(own)
        for (mine, linked), names in _held(found, origins_of if relinked else {}).items():
            holders = [*map(own.__getitem__, mine), *map(origins.__getitem__, linked)]
            outcome, lacking = choice.of_kernels(holders)
            here = dict.fromkeys(one.image.target for one in holders if one.image.target is not None)
            for name in names:
                counts.setdefault(name, Counter())[outcome.value] += 1
                targets.setdefault(name, {}).update(here)
            if lacking:
                left_out.update(names)
    return tuple(
        KernelVerdict(name, OutcomeCounts(**found), tuple(targets[name]), name in left_out)
        for name, found in counts.items()
    )


def _held(
    found: FatbinKernels, origins_of: dict[str, list[int]]
) -> dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]]:
    """Kernels of a fatbin, together where the same images hold them: its own, and those that it was linked from."""
    holders: dict[str, list[int]] = {}
    for index, part in enumerate(found.images):
        for name in part.names or ():
            holders.setdefault(name, []).append(index)
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for name, mine in holders.items():  # other kernels of its origins were taken out by the linker
        groups.setdefault((tuple(mine), tuple(origins_of.get(name, ()))), []).append(name)
    return groups


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of an image, and whether it loads whatever it holds."""

    image: Image
    outcome: Outcome
    read: bool  # its kernels are known
    loads: bool

    @property
    def usable(self) -> bool:
        return self.outcome in (Outcome.RUNS, Outcome.COMPILES)


@functools.lru_cache(maxsize=65536)
def _fate(image: Image, read: bool, device: Device, driver: Driver | None) -> _Fate:
    loading = worst(loading_reasons(image, device, driver))
    outcome = judge_image(image, device, driver).outcome or Outcome.UNKNOWN
    return _Fate(image, outcome, read, loading in (Outcome.RUNS, Outcome.COMPILES))


class _Choice:
    """The images among which the driver chooses for one fatbin.

    They are counted: a file may hold a hundred thousand, each with a kernel that the others lack.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.outcomes: dict[Image, Outcome] = {}
        self.numbers: Counter[Image] = Counter()
        self.usable = 0
        self.loading = 0  # of those whose kernels are known
        self.unread = False
        self.chosen: Image | None = None

    def having(self, fates: Iterable[_Fate]) -> _Choice:
        """The same images and some more. Link-time IR is none that the driver takes."""
        fates = [one for one in fates if one.image.kind is not ImageKind.LTOIR]
        more = _Choice(self.device)
        more.outcomes = self.outcomes | {one.image: one.outcome for one in fates}
        more.numbers = self.numbers + Counter(one.image for one in fates)
        more.usable = self.usable + sum(one.usable for one in fates)
        more.loading = self.loading + sum(one.loads and one.read for one in fates)
        more.unread = self.unread or any(not one.read and one.outcome is not Outcome.FAILS for one in fates)
        more.chosen = chosen_image(more.outcomes, self.device)
        return more

    def of_kernels(self, holders: Sequence[_Fate]) -> tuple[Outcome, bool]:
        """What becomes of the kernels that *holders* hold, and whether an image that loads lacks them."""
        best = min((one.outcome for one in holders), key=SEVERITY.__getitem__)
        lacking = self.loading > sum(one.loads for one in holders)
        usable = sum(one.usable for one in holders)
        if not usable:
            return (Outcome.UNKNOWN if self.unread else best), lacking
        # The driver takes one image of a fatbin: where that may be one without the kernel, nothing is certain.
        taken = self.chosen is not None and self.numbers[self.chosen] == sum(
            one.image == self.chosen for one in holders
        )
        return (best if taken or usable == self.usable else Outcome.UNKNOWN), lacking
