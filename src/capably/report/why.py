"""Why a result is what it is, in the fewest words: the arguments of the images that came closest.

A library of a hundred fatbins yields thousands of arguments, most of them about images that nobody expected
to load. What a person needs is the few that stood between the code and the GPU. They are picked here from
the engine's own verdicts; nothing is weighed again.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from capably.arch import Suffix
from capably.engine import Coverage, judge
from capably.reasons import REASONS, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capably.engine import Verdict
    from capably.facts import Device, Driver, FatbinGroup, Image, Library
    from capably.report.answer import Result

__all__ = ["Argument", "Story", "by_number", "join", "story"]

_EMPTY = "kernels-for-other-architectures-only"
# Parameters that name the device or follow from it: arguments that differ in these only are told as one.
_DEVICE = frozenset({"capability", "wanted"})
# Parameters that follow from the target: arguments of one code about several targets are told as one.
_TARGET = frozenset({"target", "target_capability", "members", "built"})
_DOUBTS = frozenset({"driver-device-unproven", "driver-drop-unproven"})
# What to tell first, and what last; the others stand between, the most frequent first.
_RANK = {
    "driver-too-old-for-device": 0,
    "driver-dropped-device": 0,
    "compression-newer-than-driver": 0,
    "ptx-newer-than-driver": 0,
    "driver-device-unproven": 0,
    "driver-drop-unproven": 0,
    "tegra-isolated": 0,
    "no-image-for-device": 2,
    "relocatable-only": 3,
}


@dataclass(frozen=True, slots=True)
class Argument:
    """Equal arguments about several images.

    Attributes:
        code: Key in `capably.reasons.REASONS`.
        params: What the page's texts are filled with, without the device and what follows from the target.
        targets: Values of the parameters that follow from the target, by name, in rising order.
        fatbins: Of how many fatbins it is told.
        kernels: For fatbins whose fitting images are empty: what their kernels are for.
        built: The toolkits that made the images, where that matters. Alternatives are often built by one each,
            and told together all the same.
    """

    code: str
    params: tuple[tuple[str, str], ...]
    targets: tuple[tuple[str, tuple[str, ...]], ...]
    fatbins: int
    kernels: tuple[str, ...] = ()
    built: tuple[str, ...] = field(default=(), compare=False)

    def message(self, capabilities: Iterable[str], built: Iterable[str] | None = None) -> str:
        """The argument as one sentence about the devices of these capabilities.

        Args:
            capabilities: Of all devices that it is told of.
            built: The toolkits of all artifacts that it is told of; those of this one by default.
        """
        texts = {name: join(values) for name, values in self.targets}
        text = REASONS[self.code].message.format_map(
            {
                "wanted": "",
                **dict(self.params),
                **texts,
                "capability": join(capabilities),
                "built": join(self.built if built is None else built),
            }
        )
        return f"{text}: {join(self.kernels)}" if self.kernels else text


@dataclass(frozen=True, slots=True)
class Story:
    """Why one artifact is not plainly usable on one GPU.

    Attributes:
        arguments: The most telling first.
        ways_out: What to do, one sentence each.
        places: The libraries concerned, with how many of how many fatbins.
        deliberate: Each failing fatbin is for other architectures in particular: by the suffix `a` of its code, or
            because its images for the others are empty.
    """

    arguments: tuple[Argument, ...]
    ways_out: tuple[str, ...]
    places: tuple[tuple[str, int, int], ...]
    deliberate: bool

    @property
    def key(self) -> object:
        """Equal for results that are told together."""
        return (self.arguments, self.deliberate)


def join(items: Iterable[str]) -> str:
    """A list as people write it.

    >>> join(["7.0", "7.5", "8.0"])
    '7.0, 7.5 and 8.0'
    """
    *most, last = list(items) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _kinds(library: Library, result: Result) -> Iterator[tuple[FatbinGroup, Outcome, tuple[Image, ...]]]:
    """Each kind of fatbin that counts, its outcome, and all images that the driver has for it."""
    relocatable = tuple(group for group in library.fatbins if group.fatbin.relocatable)
    origins = tuple(image for group in relocatable for image in group.fatbin.images if image.stub is not True)
    for group in library.fatbins:
        if group.fatbin.relocatable:
            continue
        # With relocatable code beside it a fatbin is judged as part of its library, which says how they belong together.
        what = replace(library, fatbins=(group, *relocatable)) if relocatable else group.fatbin
        alone = judge(what, result.verdict.device, result.verdict.driver)
        outcome = next((outcome for outcome in Outcome if getattr(alone.counts, outcome)), None)
        if outcome is not None:
            yield group, outcome, tuple(dict.fromkeys((*group.fatbin.images, *origins)))


@functools.lru_cache(maxsize=65536)
def _judged(image: Image, device: Device, driver: Driver | None) -> Verdict:
    return judge(image, device, driver)


def _closest(images: Iterable[Image], outcome: Outcome, result: Result) -> tuple[list[Reason], tuple[str, ...]]:
    """The arguments of the images that had the fewest against them, and the kernels that are elsewhere."""
    device, driver = result.verdict.device, result.verdict.driver
    verdicts = {image: _judged(image, device, driver) for image in images}
    against = {
        image: [reason for reason in verdict.reasons if reason.outcome is outcome]
        for image, verdict in verdicts.items()
        if verdict.outcome is outcome
    }
    # What still has to be linked is the last resort: it is told of only where nothing else could have loaded.
    against = {image: reasons for image, reasons in against.items() if not image.relocatable} or against
    least = min(map(len, against.values()), default=0)
    close = {image: reasons for image, reasons in against.items() if len(reasons) == least}
    if outcome is Outcome.FAILS and any([reason.code for reason in reasons] == ["stub"] for reasons in close.values()):
        elsewhere = sorted({image.target for image in images if not image.stub and image.target is not None})
        template = next(reason for reasons in close.values() for reason in reasons if reason.code == "stub")
        params = (*template.params, ("capability", str(device.capability)))
        return [replace(template, code=_EMPTY, params=params)], tuple(map(str, elsewhere))
    # A driver that may not serve the device at all is worth knowing before another one is installed for the image.
    doubts = (reason for image in close for reason in verdicts[image].reasons if reason.code in _DOUBTS)
    return list(dict.fromkeys((*(reason for reasons in close.values() for reason in reasons), *doubts))), ()


def story(result: Result) -> Story:
    """Why *result* is what it is: for the fatbins that fail or, where none does, those that are undecided."""
    counts = result.verdict.counts
    outcome = Outcome.FAILS if counts.fails else Outcome.UNKNOWN
    found: Counter[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]]] = Counter()
    targets: dict[object, dict[str, dict[str, None]]] = {}
    ways_out: dict[str, None] = {}
    places: list[tuple[str, int, int]] = []
    deliberate = outcome is Outcome.FAILS and result.verdict.coverage is Coverage.PARTIAL
    for library in result.artifact.libraries:
        here = total = 0
        for group, decided, images in _kinds(library, result):
            total += group.count
            if decided is not outcome:
                continue
            here += group.count
            reasons, kernels = _closest(images, outcome, result)
            keys: dict[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], None] = {}
            for reason in reasons:
                params = tuple((name, value) for name, value in reason.params if name not in _DEVICE | _TARGET)
                key = (reason.code, params, kernels)
                keys[key] = None
                for name, value in reason.params:
                    if name in _TARGET:
                        targets.setdefault(key, {}).setdefault(name, {})[value] = None
                ways_out[reason.way_out] = None
            for key in keys:
                found[key] += group.count
            tuned = all(
                image.target is not None and image.target.suffix is Suffix.ARCH_SPECIFIC
                for image in images
                if not image.stub
            )
            deliberate = deliberate and (tuned or any(kernels for _, _, kernels in keys))
        if here:
            places.append((library.path, here, total))
    arguments = []
    for key, count in sorted(found.items(), key=lambda item: (_RANK.get(item[0][0], 1), -item[1])):
        code, params, kernels = key
        values = {name: tuple(sorted(found, key=by_number)) for name, found in targets.get(key, {}).items()}
        built = values.pop("built", ())
        arguments.append(Argument(code, params, tuple(values.items()), count, kernels, built))
    return Story(tuple(arguments), _distinct(ways_out), tuple(places), deliberate)


def _distinct(ways_out: Iterable[str]) -> tuple[str, ...]:
    """Those that are not already the second half of another.

    >>> _distinct(["Use a build.", "Install a driver, or use a build."])
    ('Install a driver, or use a build.',)
    """
    ways = [way for way in ways_out if way]
    return tuple(way for way in ways if not any(way != other and way[1:] in other for other in ways))


def by_number(text: str) -> tuple[int, str]:
    """Sorts `sm_90` before `sm_100`."""
    digits = "".join(character for character in text if character.isdigit())
    return (int(digits) if digits else 0, text)
