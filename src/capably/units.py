"""Sizes in bytes, in one wording for all that is printed."""

from __future__ import annotations

__all__ = ["size_text"]


def size_text(count: int) -> str:
    """Bytes as people say them, in decimal units like package indexes.

    >>> size_text(123_456_789), size_text(999_960), size_text(999), size_text(1)
    ('123.5 MB', '1.0 MB', '999 bytes', '1 byte')
    """
    # A unit begins where the one before it would be rounded to a thousand.
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if 20_000 * count >= 19_999 * scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} byte{'' if count == 1 else 's'}"
