"""Packages that are known by their versions, as if their wheels had been scanned."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capably.arch import TargetKind
from capably.engine import Coverage, judge
from capably.facts import Artifact, ArtifactKind, Fatbin, FatbinGroup, Image, ImageKind, Library
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.logs.origins import Known
    from capably.tables import KnownBuild

__all__ = ["known_builds"]


def known_builds(known: Known) -> Iterator[Artifact]:
    """What the tables know of packages whose versions are known and whose files were not read."""
    scanned = {one.name for one in known.artifacts}
    for name in dict.fromkeys(row.package for row in tables().known_builds):
        if name in known.distributions and name not in scanned:
            version = known.distributions.peek(name)
            row = _row(name, version, known.machine)
            if row is None:
                continue
            artifact = _artifact(row, version)
            # One from between two releases may hold more than they do.
            if not _PREVIEW.search(version) or not any(
                judge(artifact, device).coverage is Coverage.NONE for device in known.peek_devices()
            ):
                yield artifact


_PREVIEW = re.compile(r"dev|rc|a[0-9]|b[0-9]|git|nightly")


def _row(package: str, version: str, machine: str) -> KnownBuild | None:
    found = re.match(r"[0-9]{1,4}(?:\.[0-9]{1,4}){1,3}", version)
    if found is None:
        return None
    numbers = tuple(map(int, found[0].split(".")))
    build = version.partition("+")[2].split(".")[0] or "index"
    return next(
        (
            row
            for row in tables().known_builds
            if row.package == package
            and row.machine == machine
            and build in row.builds
            and row.since <= numbers
            and numbers[: len(row.last)] <= row.last
        ),
        None,
    )


def _artifact(row: KnownBuild, version: str) -> Artifact:
    images = tuple(
        Image(ImageKind.SASS if target.kind is TargetKind.REAL else ImageKind.PTX, target) for target in row.targets
    )
    library = Library(row.package, 0, (FatbinGroup(Fatbin(images), 1),))
    return Artifact(row.package, ArtifactKind.DISTRIBUTION, (library,), name=row.package, version=version)
