"""What ``capably cache`` answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capably.store import StoreInfo
from capably.units import size_text

if TYPE_CHECKING:
    from capably.report.layout import Style

__all__ = ["Kept", "cache_document", "cache_text"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store holds, and what was done with it.

    Attributes:
        info: What it holds afterwards.
        removed: Entries that were removed: all by ``clear``, the damaged ones by ``verify``.
        sound: Entries that ``verify`` found whole.
    """

    info: StoreInfo
    removed: int | None = None
    sound: int | None = None


def cache_document(results: Kept, wheels: Kept) -> dict[str, Any]:
    """The answer of ``capably cache``."""
    return {"schema": 1, "cache": _object(results), "wheels": _object(wheels)}


def _object(kept: Kept) -> dict[str, Any]:
    return {
        "path": kept.info.root,
        "entries": kept.info.entries,
        "size_bytes": kept.info.size_bytes,
        "max_bytes": kept.info.max_bytes,
        "problem": kept.info.problem,
        "removed": kept.removed,
        "sound": kept.sound,
    }


def cache_text(results: Kept, wheels: Kept, style: Style) -> str:
    """The same for people."""
    return "".join(f"{line}\n" for line in [*_lines(results, "result", style), *_lines(wheels, "wheel", style)])


def _lines(kept: Kept, what: str, style: Style) -> list[str]:
    def many(count: int) -> str:
        return f"{count} {what}{'' if count == 1 else 's'}"

    info = kept.info
    lines = []
    if kept.sound is not None:
        lines.append(f"{many(kept.sound)} sound, {kept.removed} damaged and removed")
    elif kept.removed is not None:
        lines.append(f"{many(kept.removed)} removed")
    size = f"{size_text(info.size_bytes)} of {size_text(info.max_bytes)}"
    lines.append(f"{style.safe(info.root)}: {many(info.entries)}, {size}")
    if info.problem is not None:
        lines.append(style.paint("not used", "warn") + f": {style.safe(info.problem)}")
    return lines
