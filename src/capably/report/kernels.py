"""The kernels of libraries as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from capably.check.kernels import kernels_on
from capably.engine.verdict import Coverage
from capably.report.names import demangled, families

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from capably.check.grid import Grid, Result
    from capably.facts import FatbinKernels, Library

__all__ = ["judged_kernels", "kernel_rows"]

_MOST_DEMANGLED = 100_000  # names of one answer in JSON: half a minute


def judged_kernels(library: Library, result: Result, grid: Grid, wanted: Collection[str] | None) -> dict[str, Any]:
    """The kernels of a library on one GPU, as JSON: how many fare how, and those that lack something or are wanted."""
    kernels = kernels_on(library, {result.gpu: grid.gpus[result.gpu]}, wanted)
    counts: Counter[Coverage | None] = Counter()
    for alike in kernels.groups:
        counts[alike.coverage] += len(alike.names)
    return {
        "count": kernels.count,
        "outcomes": {str(level): counts[level] for level in Coverage},
        "unread_images": kernels.unread,
        "groups": [
            {
                "coverage": alike.coverage,
                "left_out": bool(alike.left_out),
                "targets": list(alike.targets),
                "count": len(alike.names),
                "families": [
                    {"name": family.name, "count": len(family.members), "example": family.members[0]}
                    for family in families(alike.names)
                ],
            }
            for alike in kernels.groups
            if wanted is not None or alike.lacking
        ],
    }


def kernel_rows(library: Library, wanted: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Each different kernel of a library, or those *wanted*, as JSON: its names, and what images hold of it."""
    rows: dict[str, dict[tuple[str, bool, str, str | None], list[Any]]] = {}
    for found in library.kernels or ():
        for part, name, registers, shared in _entries(found):
            if wanted is not None and name not in wanted:
                continue
            target = str(part.image.target) if part.image.target else None
            key = (found.section, found.bare, str(part.image.kind), target)
            row = rows.setdefault(name, {}).setdefault(key, [0, set(), set(), set()])
            row[0] += 1
            for values, value in zip(row[1:], (registers, shared, part.toolkit), strict=True):
                if value is not None:
                    values.add(value)
    return [
        {
            "name": name,
            "demangled": demangled(name) if index < _MOST_DEMANGLED else None,
            "images": [
                {
                    "section": section,
                    "kind": kind,
                    "target": target,
                    "count": count,
                    **({"bare": True} if bare else {}),
                    "registers": sorted(registers),
                    "shared_bytes": sorted(shared),
                    "toolkits": [str(toolkit) for toolkit in sorted(toolkits)],
                }
                for (section, bare, kind, target), (count, registers, shared, toolkits) in images.items()
            ],
        }
        for index, (name, images) in enumerate(rows.items())
    ]


def _entries(found: FatbinKernels) -> Iterator[tuple[Any, str, int | None, int | None]]:
    for part in found.images:
        nothing = (None,) * len(part.names or ())
        yield from zip(
            (part,) * len(nothing),
            part.names or (),
            part.registers or nothing,
            part.shared_bytes or nothing,
            strict=True,
        )
