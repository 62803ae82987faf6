"""Why a result is what it is, in the fewest words: the arguments of the images that came closest.

A library of a hundred fatbins yields thousands of arguments, most of them about images that nobody expected
to load. What a person needs is the few that stood between the code and the GPU. They are picked here from
the engine's own verdicts; nothing is weighed again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capably.reasons import REASONS, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capably.arch import Target
    from capably.engine import Verdict
    from capably.facts import Library
    from capably.reasons import Reason
    from capably.report.answer import Result

__all__ = ["Argument", "Story", "by_number", "join", "story"]

_EMPTY = "kernels-for-other-architectures-only"
# Parameters that name the device or follow from it: arguments that differ in these only are told as one.
_DEVICE = frozenset({"capability", "wanted"})
# Parameters that follow from the target: arguments of one code about several targets are told as one.
_TARGET = frozenset({"target", "target_capability", "members", "built"})
# A driver that does not know the device loads nothing, so no other build would help.
_DRIVER = frozenset({"driver-too-old-for-device", "driver-dropped-device"})
_RELOCATABLE = frozenset({"relocatable-only", "relocatable-ptx-unproven"})
_DOUBTS = frozenset({"driver-device-unproven", "driver-drop-unproven"})
# What to tell first, and what last; the others stand between, the most frequent first.
_RANK = {
    "driver-too-old-for-device": 0,
    "driver-dropped-device": 0,
    "zstd-needs-newer-driver": 0,
    "concatenated-needs-newer-driver": 0,
    "ptx-newer-than-driver": 0,
    "ptx-newer-than-any-driver": 0,
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
    """

    arguments: tuple[Argument, ...]
    ways_out: tuple[str, ...]
    places: tuple[tuple[str, int, int], ...]

    @property
    def key(self) -> object:
        """Equal for results that are told together."""
        return self.arguments


def join(items: Iterable[str]) -> str:
    """A list as people write it.

    >>> join(["7.0", "7.5", "8.0"])
    '7.0, 7.5 and 8.0'
    """
    *most, last = list(items) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _kinds(library: Library, verdict: Verdict) -> Iterator[tuple[Verdict, tuple[Target, ...]]]:
    """The verdict on each kind of fatbin that counts, and the targets that it holds kernels for."""
    judged = [group.fatbin for group in library.fatbins if not group.fatbin.relocatable and not group.fatbin.stub]
    for fatbin, part in zip(judged, verdict.parts, strict=True):
        targets = {image.target for image in fatbin.images if not image.stub and image.target is not None}
        yield part, tuple(sorted(targets))


def _closest(part: Verdict) -> list[Reason]:
    """The arguments of the images that had the fewest against them."""
    empty = [reason for reason in part.reasons if reason.code == _EMPTY]
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
        if not any(reason.code in _RELOCATABLE for reason in images[subject])
    }
    against = linked or against
    least = min(map(len, against.values()), default=0)
    close = {subject: reasons for subject, reasons in against.items() if len(reasons) == least}
    # A driver that may not serve the device at all is worth knowing before another one is installed for the image.
    doubts = (reason for subject in close for reason in images[subject] if reason.code in _DOUBTS)
    return list(dict.fromkeys((*(reason for reasons in close.values() for reason in reasons), *doubts)))


def story(result: Result) -> Story:
    """Why *result* is what it is: for the fatbins that fail or, where none does, those that are undecided."""
    counts = result.verdict.counts
    outcome = Outcome.FAILS if counts.fails else Outcome.UNKNOWN
    found: Counter[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]]] = Counter()
    targets: dict[object, dict[str, dict[str, None]]] = {}
    ways_out: dict[str, None] = {}
    driver_ways: dict[str, None] = {}
    places: list[tuple[str, int, int]] = []
    for library, verdict in zip(result.artifact.libraries, result.verdict.parts, strict=True):
        here = total = 0
        for part, held in _kinds(library, verdict):
            total += part.count
            if part.outcome is not outcome:
                continue
            here += part.count
            reasons = _closest(part)
            kernels = tuple(map(str, held)) if reasons[0].code == _EMPTY else ()
            keys: dict[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], None] = {}
            for reason in reasons:
                params = tuple((name, value) for name, value in reason.params if name not in _DEVICE | _TARGET)
                key = (reason.code, params, kernels)
                keys[key] = None
                for name, value in reason.params:
                    if name in _TARGET:
                        targets.setdefault(key, {}).setdefault(name, {})[value] = None
                (driver_ways if reason.code in _DRIVER else ways_out)[reason.way_out] = None
            for key in keys:
                found[key] += part.count
        if here:
            places.append((library.path, here, total))
    arguments = []
    for key, count in sorted(found.items(), key=lambda item: (_RANK.get(item[0][0], 1), -item[1])):
        code, params, kernels = key
        values = {name: tuple(sorted(found, key=by_number)) for name, found in targets.get(key, {}).items()}
        built = values.pop("built", ())
        arguments.append(Argument(code, params, tuple(values.items()), count, kernels, built))
    return Story(tuple(arguments), _distinct(driver_ways or ways_out), tuple(places))


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
