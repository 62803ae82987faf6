"""The role of a file in its distribution: only the product decides what becomes of it."""

from __future__ import annotations

from capably.facts import ArtifactKind, Role
from capably.tables import tables

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.facts import Artifact, Library

__all__ = ["role_of"]

_DISTRIBUTIONS = frozenset({ArtifactKind.WHEEL, ArtifactKind.DISTRIBUTION})
_FOR_LINKERS = (".a", ".lib", ".o", ".obj")


def role_of(artifact: Artifact, library: Library) -> Role:
    """The role of *library*, a file of *artifact*.

    Where a file is not part of a distribution, nothing but what it holds takes it out: somebody named it. One that
    lies in a distribution under several names has a role only where all of its names agree.

    >>> from capably.facts import Artifact, Library
    >>> wheel = Artifact("x.whl", ArtifactKind.WHEEL, name="x")
    >>> [str(role_of(wheel, Library(path, 0))) for path in ("x/libx.so", "x/lib/libcupti.so.12", "x/tests/a.ptx")]
    ['product', 'profiler', 'test']
    """
    if library.link_input:
        return Role.LINK_INPUT
    if artifact.kind not in _DISTRIBUTIONS:
        return Role.PRODUCT
    roles = {_role_of_path(artifact.name or "", path) for path in (library.path, *library.copies)}
    return roles.pop() if len(roles) == 1 else Role.PRODUCT


def _role_of_path(distribution: str, path: str) -> Role:
    for row in tables().file_roles:
        own = row.product_of is not None and row.product_of.fullmatch(distribution)
        if row.pattern.fullmatch(path) and not own:
            return Role(row.role)
    return Role.LINK_INPUT if path.lower().endswith(_FOR_LINKERS) else Role.PRODUCT
