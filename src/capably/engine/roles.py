"""The role of a file in its distribution: only the product decides what becomes of it."""

from __future__ import annotations

from capably.facts import Role

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.facts import Artifact, Library

__all__ = ["role_of"]


def role_of(artifact: Artifact, library: Library) -> Role:  # noqa: ARG001 - by what the file is; tables come next
    """The role of *library*, a file of *artifact*."""
    return Role.LINK_INPUT if library.link_input else Role.PRODUCT
