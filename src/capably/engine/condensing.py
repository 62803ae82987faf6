"""Loose files of equal code taken together: a wheel may hold thousands, which are judged and told of once."""

from __future__ import annotations

from dataclasses import replace

from capably.engine.roles import role_of

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.facts import Artifact, Library

__all__ = ["condense"]


def condense(artifact: Artifact) -> Artifact:
    """*artifact* with one library for all loose files (cubins, fatbins, PTX) of one role that hold equal code.

    It stands where the first of them stood, and counts for all. What a host loads stays as it is: its name may decide
    what it is for. So does a file of which something is to be said, or whose kernels are known.

    >>> from capably.facts import Artifact, ArtifactKind, Fatbin, FatbinGroup, Library
    >>> code = (FatbinGroup(Fatbin((), "file"), 1),)
    >>> wheel = Artifact("x.whl", ArtifactKind.WHEEL, (Library("a.cubin", 9, code), Library("b.cubin", 7, code)))
    >>> [(library.path, library.files, library.fatbins[0].count) for library in condense(wheel).libraries]
    [('a.cubin', 2, 2)]
    """
    alone = {finding.path for finding in artifact.findings}
    alike: dict[object, list[Library]] = {}
    for number, library in enumerate(artifact.libraries):
        loose = library.machine is None and library.kernels is None and library.path not in alone
        key = (library.fatbins, library.bare, library.needed, role_of(artifact, library)) if loose else number
        alike.setdefault(key, []).append(library)
    if len(alike) == len(artifact.libraries):
        return artifact
    return replace(artifact, libraries=tuple(_as_one(same) for same in alike.values()))


def _as_one(same: list[Library]) -> Library:
    first, *others = same
    if not others:
        return first
    count = len(same)
    return replace(
        first,
        size_bytes=sum(library.size_bytes for library in same),
        fatbins=tuple(replace(group, count=group.count * count) for group in first.fatbins),
        bare=tuple(replace(group, count=group.count * count) for group in first.bare),
        files=count,
    )
