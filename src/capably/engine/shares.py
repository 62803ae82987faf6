"""How much of an artifact any known device gets, to compare with what one gets."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace

from capably import facts
from capably.codes import Outcome
from capably.engine.image import judge_image
from capably.engine.roles import role_of
from capably.tables import tables

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.facts import Artifact, Fatbin, Image

__all__ = ["best_share"]


def best_share(artifact: Artifact) -> float | None:
    """The largest share of the fatbins of the product that loads on a known device, by the newest driver for it.

    None where there is nothing to judge.
    """
    total = 0
    usable: Counter[int] = Counter()
    for library in artifact.libraries:
        if role_of(artifact, library) is not facts.Role.PRODUCT:
            continue
        origins = tuple(
            dict.fromkeys(
                image
                for group in library.fatbins
                if group.fatbin.relocatable
                for image in group.fatbin.images
                if image.stub is not True
            )
        )
        for group in library.fatbins:
            if group.fatbin.relocatable or group.fatbin.idle:
                continue
            total += group.count
            for index in _served(group.fatbin, () if group.fatbin.prelinked is False else origins):
                usable[index] += group.count
    return round(max(usable.values(), default=0) / total, 4) if total else None


@functools.lru_cache(maxsize=4096)
def _served(fatbin: Fatbin, linked_from: tuple[Image, ...]) -> tuple[int, ...]:
    """The known devices, by number, on which *fatbin* loads: those on which one of its images does."""
    images = dict.fromkeys((*fatbin.images, *linked_from))
    # How an image is stored decides nothing: most of a wheel are of a few kinds without it.
    plain = {replace(image, compression=facts.Compression.NONE, concatenated=False) for image in images}
    return tuple(set().union(*map(_reached, plain)))


@functools.lru_cache(maxsize=4096)
def _reached(image: Image) -> frozenset[int]:
    """The known devices, by number, on which *image* loads. Link-time IR loads on none: a linker takes it."""
    if image.kind is facts.ImageKind.LTOIR:
        return frozenset()
    usable = (Outcome.RUNS, Outcome.COMPILES)
    return frozenset(
        index
        for index, (device, driver) in enumerate(_devices())
        if judge_image(image, device, driver).outcome in usable
    )


@functools.cache
def _devices() -> tuple[tuple[facts.Device, facts.Driver], ...]:
    known = tables()
    return tuple((facts.Device(one), known.newest_driver(one)) for one in known.architectures)
