"""What the files of an artifact are for, whether it is judged or only listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.engine import role_of

if TYPE_CHECKING:
    from capably.facts import Artifact, Role

__all__ = ["roles"]


def roles(artifact: Artifact) -> tuple[Role, ...]:
    """The role of each library of *artifact*, in their order."""
    return tuple(role_of(artifact, library) for library in artifact.libraries)
