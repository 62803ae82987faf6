"""Why a result is what it is, in the fewest words: the arguments of the images that came closest.

A library of a hundred fatbins yields thousands of arguments, most of them about images that nobody expected
to load. What a person needs is the few that stood between the code and the GPU. They are picked here from
the engine's own verdicts; nothing is weighed again. The ways out are those of these arguments, as far as the engine
finds them good for something (`capably.report.remedy`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capably.codes import REASONS, Outcome
from capably.report.remedy import WORTH, change_for, change_for_builds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capably.arch import Target
    from capably.codes import Reason
    from capably.engine import Verdict
    from capably.facts import Library
    from capably.report.answer import Result

__all__ = ["Argument", "Story", "by_number", "join", "story"]

_EMPTY = "kernels-for-other-architectures-only"
# Parameters that name the device or follow from it: arguments that differ in these only are told as one.
_DEVICE = frozenset({"capability", "wanted"})
# Parameters that follow from the target: arguments of one code about several targets are told as one.
_TARGET = frozenset({"target", "target_capability", "members", "built"})
_RELOCATABLE = frozenset({"relocatable-only", "relocatable-ptx-unproven"})
_DOUBTS = frozenset({"driver-device-unproven", "driver-drop-unproven"})
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
        ways_out: What to do, one sentence each.
        places: The libraries concerned, with how many of how many fatbins.
        counterparts: What does not load lies beside machine code that does, in one library at least: it may be the
            same for other architectures, which no build would change.
    """

    arguments: tuple[Argument, ...]
    ways_out: tuple[str, ...]
    places: tuple[tuple[str, int, int], ...]
    counterparts: bool

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
    found: Counter[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]]] = Counter()
    targets: dict[object, dict[str, dict[str, None]]] = {}
    places: dict[str, tuple[int, int]] = {}
    for verdict, part, held, reasons in _obstacles(result):
        here, _ = places.get(verdict.subject, (0, 0))
        places[verdict.subject] = (here + part.count, verdict.counts.total)
        kernels = tuple(map(str, held)) if reasons[0].code == _EMPTY else ()
        keys: dict[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], None] = {}
        for reason in reasons:
            params = tuple((name, value) for name, value in reason.params if name not in _DEVICE | _TARGET)
            key = (reason.code, params, kernels)
            keys[key] = None
            for name, value in reason.params:
                if name in _TARGET:
                    targets.setdefault(key, {}).setdefault(name, {})[value] = None
        for key in keys:
            found[key] += part.count
    arguments = []
    most = max(found.values(), default=0)

    def place(item: tuple[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], int]) -> tuple[bool, int, int]:
        (code, *_), count = item
        return (count * WORTH < most, _RANK.get(code, 1), -count)

    for key, count in sorted(found.items(), key=place):
        code, params, kernels = key
        values = {name: tuple(sorted(found, key=by_number)) for name, found in targets.get(key, {}).items()}
        built = values.pop("built", ())
        arguments.append(Argument(code, params, tuple(values.items()), count, kernels, built))
    ways_out, counterparts = _ways_out(result)
    return Story(tuple(arguments), ways_out, tuple((path, *counts) for path, counts in places.items()), counterparts)


def _obstacles(result: Result) -> Iterator[tuple[Verdict, Verdict, tuple[Target, ...], list[Reason]]]:
    """What the story of *result* is about.

    Yields:
        The verdict on a library, that on one kind of its fatbins, the targets that it holds kernels for, and the
        arguments of its images that came closest.
    """
    outcome = Outcome.FAILS if result.verdict.counts.fails else Outcome.UNKNOWN
    for library, verdict in zip(result.artifact.libraries, result.verdict.parts, strict=True):
        for part, held in _kinds(library, verdict):
            if part.outcome is outcome:
                yield verdict, part, held, _closest(part)


def _ways_out(result: Result) -> tuple[tuple[str, ...], bool]:
    """What to do, and whether what is left then may be there for other architectures."""
    verdict = result.verdict
    builds, counterparts = _builds(result)
    changed = change_for(result)
    # A build for this device may need another driver as well, and is then nothing to do alone.
    also = None if verdict.driver is None else change_for_builds(verdict.device, verdict.driver)
    if changed is None:
        return tuple(f"{_begin(also.words)}, and {_go_on(way)}" if also else way for way in builds), counterparts
    change, then = changed
    do = _begin(change.words)
    counts = then.verdict.counts
    if counts.usable == counts.total:
        instead = () if also else builds
        return (f"{', or '.join((do, *(_go_on(way)[:-1] for way in instead)))}.",), False
    left, counterparts = _builds(then)
    share = f"{counts.usable} of {counts.total} fatbins load then"
    if also is None:
        return (*left, f"{'Or ' + change.words if left else do}: {share}."), counterparts
    return (f"{do}: {share}.", *(f"And, for the others, {_go_on(way)}" for way in left)), counterparts


def _builds(result: Result) -> tuple[tuple[str, ...], bool]:
    """What to do with the driver left as it is; and whether fatbins lack what others of their library have."""
    ways: dict[str, None] = {}
    beside = False
    for library, _, _, reasons in _obstacles(result):
        already = bool(library.counts.runs and library.counts.fails)
        for reason in reasons:
            for_target = any(name == "wanted" for name, _ in reason.params) and reason.code not in _RELOCATABLE
            if already and for_target:
                beside = True  # it is a build for that target, and could not be more of one
            else:
                ways[reason.otherwise] = None
    return _distinct(ways), beside


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


def by_number(text: str) -> tuple[int, str]:
    """Sorts `sm_90` before `sm_100`."""
    digits = "".join(character for character in text if character.isdigit())
    return (int(digits) if digits else 0, text)
