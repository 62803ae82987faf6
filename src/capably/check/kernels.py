"""The kernels of libraries on GPUs: those that are there for the same targets and fare alike, together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capably.check.grid import word
from capably.engine import Coverage, judge_kernels
from capably.facts import Library
from capably.wording import by_number

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from capably.check.grid import Gpu, Grid, GridRow
    from capably.engine import KernelVerdict

__all__ = ["LACKING", "Alike", "LibraryKernels", "kernels_of", "kernels_on", "unread_images"]

LACKING = ("none", "partial", "unknown")
"""Words for kernels of which a GPU has nothing, not all, or perhaps nothing."""


@dataclass(slots=True)
class Alike:
    """Kernels that are there for the same targets and fare alike.

    Attributes:
        targets: In rising order.
        words: What becomes of them, by the index of the GPU.
        left_out: The GPUs for which their fatbins hold code that loads, without them.
        coverage: On the first of the GPUs.
        names: Of the kernels.
    """

    targets: tuple[str, ...]
    words: tuple[tuple[int, str], ...]
    left_out: tuple[int, ...]
    coverage: Coverage | None
    names: list[str] = field(default_factory=list)

    @property
    def lacking(self) -> bool:
        """Whether some GPU has nothing of them, not all, or perhaps nothing."""
        return any(text in LACKING for _, text in self.words)


@dataclass(frozen=True, slots=True)
class LibraryKernels:
    """The kernels of one library.

    Attributes:
        library: The library.
        groups: Its kernels, the largest groups first.
    """

    library: Library
    groups: tuple[Alike, ...]

    @property
    def count(self) -> int:
        """How many kernels there are."""
        return sum(len(alike.names) for alike in self.groups)

    @property
    def unread(self) -> int:
        """Images that may hold kernels whose names could not be read."""
        return unread_images(self.library)


def unread_images(library: Library) -> int:
    """Images that may hold kernels whose names could not be read."""
    return sum(part.names is None and not found.bare for found in library.kernels or () for part in found.images)


def kernels_of(
    rows: Sequence[GridRow], grid: Grid, wanted: Collection[str] | None = None
) -> tuple[LibraryKernels, ...]:
    """The kernels of an artifact, library by library.

    Args:
        rows: Of the artifact.
        grid: Where they are from.
        wanted: These kernels only.
    """
    found: dict[str, tuple[Library, dict[int, Gpu]]] = {}
    for row in rows:
        for result in row.results:
            if result is None:
                continue
            for library in result.artifact.libraries:
                _, gpus = found.setdefault(library.path, (library, {}))
                gpus.setdefault(result.gpu, grid.gpus[result.gpu])
    return tuple(kernels_on(library, gpus, wanted) for library, gpus in found.values())


def kernels_on(library: Library, gpus: Mapping[int, Gpu], wanted: Collection[str] | None = None) -> LibraryKernels:
    """The kernels of one library on *gpus*, by the numbers that they have; *wanted* as above."""
    read = gpus if library.kernels is not None else {}
    verdicts = {index: judge_kernels(library, gpu.device, gpu.driver) for index, gpu in read.items()}
    return LibraryKernels(library, _alike(verdicts, wanted))


def _alike(verdicts: dict[int, tuple[KernelVerdict, ...]], wanted: Collection[str] | None) -> tuple[Alike, ...]:
    found: dict[object, Alike] = {}
    for same in zip(*verdicts.values(), strict=True):
        first = same[0]
        if wanted is not None and first.name not in wanted:
            continue
        targets = tuple(sorted(map(str, first.targets), key=by_number))
        words = tuple((gpu, word(one.counts)) for gpu, one in zip(verdicts, same, strict=True))
        left_out = tuple(
            gpu
            for gpu, one in zip(verdicts, same, strict=True)
            if one.left_out and one.counts.coverage is Coverage.NONE
        )
        key = (targets, words, left_out)
        found.setdefault(key, Alike(*key, first.counts.coverage)).names.append(first.name)
    return tuple(sorted(found.values(), key=lambda alike: -len(alike.names)))
