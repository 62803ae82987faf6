"""Reads small files that somebody else wrote: regular ones only, and only so much of them."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

__all__ = ["NOT_REGULAR", "TOO_LARGE", "bounded_pieces", "read_bounded"]

NOT_REGULAR: Final = "not a regular file"
TOO_LARGE: Final = "larger than such a file may be"


def read_bounded(path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """The whole of a regular file of at most *most_bytes*.

    Nothing waits for a named pipe, reads a device without end, or takes memory for a size that a file claims.

    Args:
        path: A symbolic link is followed.
        most_bytes: How much is read.

    Raises:
        OSError: It cannot be opened or read; it is no regular file (``EINVAL``, `NOT_REGULAR`), or holds more
            (``EFBIG``, `TOO_LARGE`).
        ValueError: *path* cannot be a path: it holds a null byte.
    """
    return b"".join(bounded_pieces(path, most_bytes))


def bounded_pieces(path: str | os.PathLike[str], most_bytes: int) -> Iterator[bytes]:
    """As `read_bounded`, a mebibyte at a time: for who looks for something and stops there."""
    # Without O_NONBLOCK, opening a named pipe waits for somebody to write.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NOCTTY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path))
        room = most_bytes + 1
        while room > 0:
            piece = os.read(descriptor, min(room, 1 << 20))
            if not piece:
                return
            yield piece
            room -= len(piece)
        raise OSError(errno.EFBIG, TOO_LARGE, os.fspath(path))
    finally:
        os.close(descriptor)
