"""How much code for a target takes, by a build that is there.

The images of a wheel are counted, by target and by kind. A target that is in the wheel takes what it takes there; of
another one it is assumed that each fatbin holds one more image, of the mean size of its images of that kind. Both are
estimates of the next build: its sources, flags and compiler may be others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capably.arch import Target, TargetKind, by_kind
from capably.facts import ImageKind
from capably.units import size_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capably.facts import Artifact

__all__ = ["Estimate", "Size", "estimate"]

_KINDS = {TargetKind.REAL: ImageKind.SASS, TargetKind.VIRTUAL: ImageKind.PTX}
_WORDS = {TargetKind.REAL: "machine code", TargetKind.VIRTUAL: "PTX"}


@dataclass(frozen=True, slots=True)
class Size:
    """What the images of one target take.

    Attributes:
        stored: Bytes in the libraries, as their fatbins hold them (compressed where they are).
        packed: Bytes in the wheel, if code packs as well as the library around it; None where that is not known.
        fatbins: How many fatbins hold one.
        there: The wheel holds the target; else it was estimated from others.
    """

    stored: int
    packed: int | None
    fatbins: int
    there: bool


@dataclass(slots=True)
class _Sum:
    stored: float = 0.0
    packed: float = 0.0
    fatbins: int = 0

    def add(self, stored: float, share: float | None, count: int = 1) -> None:
        self.stored += stored * count
        self.packed += stored * count * (share or 0.0)
        self.fatbins += count


@dataclass(frozen=True)
class Estimate:
    """Sizes by the targets that a build holds.

    Attributes:
        fatbins: How many fatbins with kernels it has.
        sizes: Of each target that it holds.
    """

    fatbins: int
    sizes: Mapping[Target, Size]
    _others: Mapping[TargetKind, Size] = field(repr=False)

    def of(self, target: Target) -> Size | None:
        """What *target* takes; None where the build holds no code of that kind."""
        return self.sizes.get(target) or self._others.get(target.kind)

    def text(self, target: Target) -> str:
        """The size of *target*, for people; empty where nothing tells it."""
        size = self.of(target)
        return f"about {_amount(size.stored, size.packed)}" if size else ""

    def summary(self, targets: Iterable[Target]) -> str:
        """What *targets* take together, and what the build has now."""
        wanted = tuple(targets)
        sizes = [size for target in wanted if (size := self.of(target))]
        now = tuple(self.sizes.values())
        if not now:
            return "nothing to estimate from: this build holds no GPU code with kernels"
        held = _listed(sorted(self.sizes, key=by_kind))
        coming = f"about {_total(sizes)} of GPU code" if sizes else "not known"
        return f"{coming}; {_total(now)} now, for {held}"

    def notes(self, targets: Iterable[Target]) -> Iterator[str]:
        """On what the sizes of *targets* rest, where that is not the plain case."""
        for kind, word in _WORDS.items() if self.sizes else ():
            wanted = [target for target in targets if target.kind is kind]
            whole = self._others.get(kind)
            if wanted and whole is None:
                yield f"{_listed(wanted)}: nothing in this build tells the size, for it holds no {word}"
                continue
            missing = [target for target in wanted if target not in self.sizes]
            if missing and whole is not None:
                yield (
                    f"{_listed(missing)}: not in this build, so taken as the mean of the {word} in each of the "
                    f"{whole.fatbins} fatbins that hold some"
                )
            for target in wanted:
                size = self.sizes.get(target)
                if size is not None and whole is not None and size.fatbins < whole.fatbins:
                    yield (
                        f"{target}: in {size.fatbins} of the {self.fatbins} fatbins of this build, and counted as it "
                        f"is there; in each that holds {word} it would be about {_amount(whole.stored, whole.packed)}"
                    )


def _listed(targets: Iterable[Target]) -> str:
    return ", ".join(map(str, targets))


def estimate(artifact: Artifact, packed: Mapping[str, float]) -> Estimate:
    """The sizes of the targets in *artifact*.

    Args:
        artifact: As scanned with its kernels, so that the size of each image is known.
        packed: Path of a library -> what share of its bytes it takes in the wheel.

    >>> from capably.facts import Artifact, ArtifactKind, FatbinKernels, Image, ImageKernels, Library
    >>> image = ImageKernels(Image(ImageKind.SASS, Target.parse("sm_90")), ("k",), stored_bytes=1000)
    >>> library = Library("a.so", 4000, kernels=(FatbinKernels(".nv_fatbin", (image,)),))
    >>> found = estimate(Artifact("a.whl", ArtifactKind.WHEEL, (library,)), {"a.so": 0.25})
    >>> found.of(Target.parse("sm_90")), found.of(Target.parse("sm_80")).there
    (Size(stored=1000, packed=250, fatbins=1, there=True), False)
    """
    of_target: defaultdict[Target, _Sum] = defaultdict(_Sum)
    of_kind: defaultdict[TargetKind, _Sum] = defaultdict(_Sum)
    fatbins = 0
    known = True
    for library in artifact.libraries:
        share = packed.get(library.path)
        known = known and share is not None
        copies = 1 + len(library.copies)
        for fatbin in library.kernels or ():
            if fatbin.bare or fatbin.fatbin.stub:
                continue
            fatbins += copies
            targets: defaultdict[Target, int] = defaultdict(int)
            for part in fatbin.images:
                target = part.image.target
                if target is not None and part.image.kind is _KINDS.get(target.kind):
                    targets[target] += part.stored_bytes
            for target, stored in targets.items():
                of_target[target].add(stored, share, copies)
            for kind in _KINDS:
                held = [stored for target, stored in targets.items() if target.kind is kind]
                if held:
                    of_kind[kind].add(sum(held) / len(held), share, copies)
    return Estimate(
        fatbins,
        {target: _size(found, there=True, known=known) for target, found in of_target.items()},
        {kind: _size(found, there=False, known=known) for kind, found in of_kind.items()},
    )


def _size(found: _Sum, *, there: bool, known: bool) -> Size:
    return Size(round(found.stored), round(found.packed) if known else None, found.fatbins, there)


def _total(sizes: Iterable[Size]) -> str:
    every = tuple(sizes)
    packed = [size.packed for size in every if size.packed is not None]
    return _amount(sum(size.stored for size in every), sum(packed) if len(packed) == len(every) else None)


def _amount(stored: int, packed: int | None) -> str:
    return size_text(stored) + (f" ({size_text(packed)} in the wheel)" if packed is not None else "")
