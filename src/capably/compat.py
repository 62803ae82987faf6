"""What Python 3.10, the oldest that is supported, does not have and the core needs."""

from __future__ import annotations

import enum
import sys

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    # Type checkers know this module wherever they run; at run time nobody imports it.
    from typing_extensions import Self as Self  # noqa: PLC0414 - this is how they are told that others may import it

__all__ = ["StrEnum"]

if sys.version_info >= (3, 11):
    StrEnum = enum.StrEnum
else:  # pragma: no cover - depends on the version

    class StrEnum(str, enum.Enum):
        """Members that are texts, and print as such."""

        __str__ = str.__str__
        __format__ = str.__format__  # type: ignore[assignment]  # the stubs know no positional-only one
