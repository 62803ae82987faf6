"""Packages that hold several builds of a library and load one: which of them a device gets."""

from __future__ import annotations

from dataclasses import replace

from capably.engine.hosts import host_finding
from capably.tables import tables

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.facts import Artifact, Device, Library
    from capably.tables import Alternatives

__all__ = ["choose"]


def choose(artifact: Artifact, device: Device) -> tuple[tuple[str | None, Artifact], ...]:
    """The alternatives of *artifact* that a process on *device* may load, each with its libraries only.

    Some packages hold several libraries and load one. Where the device decides which, that one is returned;
    where something else does (the CUDA version of torch), each is.

    Returns:
        Pairs of an alternative's name and the artifact reduced to it; ``((None, artifact),)`` for a package
        that has no alternatives.
    """
    known = tables()
    for row in known.alternatives:
        if artifact.name == row.distribution:
            return _builds_of(artifact, device, row)
    return ((None, artifact),)


def _builds_of(artifact: Artifact, device: Device, row: Alternatives) -> tuple[tuple[str | None, Artifact], ...]:
    groups: dict[str, list[Library]] = {}
    shared: list[Library] = []
    for library in artifact.libraries:
        # A library that was stored under several names belongs to each alternative that names it.
        names = {m["alternative"] for path in (library.path, *library.copies) if (m := row.pattern.fullmatch(path))}
        for name in names:
            groups.setdefault(name, []).append(library)
        if not names:
            shared.append(library)
    if not groups:
        return ((None, artifact),)
    if row.chosen_by == "capability":
        choices = dict(row.choices)
        name = choices.get(str(device.capability), choices.get("*", ""))
        if name not in groups:
            missing = host_finding("alternative-missing", artifact.path, name=name, there=", ".join(sorted(groups)))
            return ((name, replace(artifact, libraries=tuple(shared), findings=(*artifact.findings, missing))),)
        groups = {name: groups[name]}
    return tuple(
        (name, replace(artifact, libraries=(*libraries, *shared))) for name, libraries in sorted(groups.items())
    )
