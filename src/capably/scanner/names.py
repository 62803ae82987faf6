"""Names of files, as archives give them: which of them are told about, and which are too long to be read."""

from __future__ import annotations

import re

__all__ = ["UNSAFE", "is_unsafe", "shown", "too_long"]

_LONGEST_SHOWN = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

UNSAFE = "Its name is absolute, has `..` in it or holds control characters."
"""What is said about a name that `is_unsafe`."""


def is_unsafe(name: str) -> bool:
    """Whether a member should not be called that: an absolute path, one with `..`, or with control characters."""
    return (
        name.startswith(("/", "\\"))
        or ".." in name.replace("\\", "/").split("/")
        or (len(name) > 1 and name[1] == ":")
        or _CONTROL.search(name) is not None
    )


def shown(name: str) -> str:
    """As much of a name as a message holds."""
    return name if len(name) <= _LONGEST_SHOWN else name[:_LONGEST_SHOWN] + "..."


def too_long(size: int) -> str:
    """What is said about a member whose name of *size* bytes makes a longer path than the limits allow."""
    return f"Its name is too long: {size} bytes. It was not read."
