"""Lists and orders as people write them."""

from __future__ import annotations

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["by_number", "join"]


def join(items: Iterable[str]) -> str:
    """A list as people write it.

    >>> join(["7.0", "7.5", "8.0"])
    '7.0, 7.5 and 8.0'
    """
    *most, last = list(items) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def by_number(text: str) -> tuple[int, str]:
    """Sorts `sm_90` before `sm_100`."""
    digits = "".join(character for character in text if character.isdigit())
    return (int(digits) if digits else 0, text)
