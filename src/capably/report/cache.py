"""What ``capably cache`` answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capably.units import size_text

if TYPE_CHECKING:
    from capably.report.layout import Style
    from capably.store import StoreInfo

__all__ = ["cache_document", "cache_text"]


def cache_document(info: StoreInfo, *, removed: int | None = None, sound: int | None = None) -> dict[str, Any]:
    """The answer of ``capably cache``.

    Args:
        info: What the store holds afterwards.
        removed: Entries that were removed: all by ``clear``, the damaged ones by ``verify``.
        sound: Entries that ``verify`` found whole.
    """
    return {
        "schema": 1,
        "cache": {
            "path": info.root,
            "entries": info.entries,
            "size_bytes": info.size_bytes,
            "max_bytes": info.max_bytes,
            "problem": info.problem,
            "removed": removed,
            "sound": sound,
        },
    }


def cache_text(info: StoreInfo, style: Style, *, removed: int | None = None, sound: int | None = None) -> str:
    """The same for people; see `cache_document`."""
    lines = []
    if sound is not None:
        lines.append(f"{_entries(sound)} sound, {removed} damaged and removed")
    elif removed is not None:
        lines.append(f"{_entries(removed)} removed")
    lines.append(
        f"{style.safe(info.root)}: {_entries(info.entries)}, {size_text(info.size_bytes)} of {size_text(info.max_bytes)}"
    )
    if info.problem is not None:
        lines.append(style.paint("not used", "warn") + f": {style.safe(info.problem)}")
    return "\n".join(lines) + "\n"


def _entries(count: int) -> str:
    return f"{count} result{'' if count == 1 else 's'}"
