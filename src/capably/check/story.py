"""Why a result is what it is, in the fewest words: the arguments of the images that came closest, those that tell first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capably.codes import REASONS
from capably.engine.advice import WORTH
from capably.engine.obstacles import EMPTY, obstacles
from capably.wording import by_number, join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.check.grid import Result

__all__ = ["Argument", "Story", "story"]

# Parameters that name the device or follow from it: arguments that differ in these only are told as one.
_DEVICE = frozenset({"capability", "wanted"})
# Parameters that follow from the target: arguments of one code about several targets are told as one.
_TARGET = frozenset({"target", "target_capability", "built"})
# What to tell first, and what last; the others stand between, the most frequent first. What is true of next to nothing
# comes behind all.
_RANK = {
    "driver-too-old-for-device": 0,
    "driver-dropped-device": 0,
    "zstd-needs-newer-driver": 0,
    "concatenated-needs-newer-driver": 0,
    "ptx-newer-than-driver": 0,
    "ptx-newer-than-any-driver": 0,
    "driver-device-unproven": 0,
    "machine-code-newer-than-driver": 0,
    "driver-drop-unproven": 0,
    "tegra-isolated": 0,
    "no-image-for-device": 2,
    "relocatable-only": 3,
}


@dataclass(frozen=True, slots=True)
class Argument:
    """Equal arguments about several images.

    Attributes:
        code: Key in `capably.codes.REASONS`.
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
        places: The libraries concerned, with how many of how many fatbins; a package's own before those it bundles.
    """

    arguments: tuple[Argument, ...]
    places: tuple[tuple[str, int, int], ...]


_Key = tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]]
"""What equal arguments share: their code, their parameters, and what the kernels are for."""


def story(result: Result) -> Story:
    """Why *result* is what it is: for the fatbins that fail or, where none does, those that are undecided."""
    found: Counter[_Key] = Counter()
    targets: dict[object, dict[str, dict[str, None]]] = {}
    places: dict[str, tuple[int, int]] = {}
    for obstacle in obstacles(result.artifact, result.verdict):
        library, fatbin = obstacle.library, obstacle.fatbin
        here, _ = places.get(library.subject, (0, 0))
        places[library.subject] = (here + fatbin.count, library.counts.total)
        kernels = tuple(map(str, obstacle.targets)) if obstacle.reasons[0].code == EMPTY else ()
        keys: dict[_Key, None] = {}
        for reason in obstacle.reasons:
            params = tuple((name, value) for name, value in reason.params if name not in _DEVICE | _TARGET)
            key = (reason.code, params, kernels)
            keys[key] = None
            for name, value in reason.params:
                if name in _TARGET:
                    targets.setdefault(key, {}).setdefault(name, {})[value] = None
        for key in keys:
            found[key] += fatbin.count
    arguments = []
    most = max(found.values(), default=0)

    def place(item: tuple[_Key, int]) -> tuple[bool, int, int]:
        (code, *_), count = item
        return (count * WORTH < most, _RANK.get(code, 1), -count)

    for key, count in sorted(found.items(), key=place):
        code, params, kernels = key
        values = {name: tuple(sorted(found, key=by_number)) for name, found in targets.get(key, {}).items()}
        built = values.pop("built", ())
        arguments.append(Argument(code, params, tuple(values.items()), count, kernels, built))
    ordered = sorted(places.items(), key=lambda place: (".libs/" in place[0], -place[1][0]))
    return Story(tuple(arguments), tuple((path, *counts) for path, counts in ordered))
