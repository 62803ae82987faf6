"""Reads files that somebody else wrote: regular ones only, and only so much of them."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

__all__ = [
    "NOT_REGULAR",
    "TOO_LARGE",
    "bounded_pieces",
    "handed",
    "open_regular",
    "read_bounded",
    "read_given",
]

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
    descriptor = open_regular(path)
    try:
        yield from _pieces(descriptor, path, most_bytes)
    finally:
        os.close(descriptor)


def read_given(path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """As `read_bounded`, and a pipe that the user handed to this process too: ``/dev/stdin``, or ``<(command)``.

    Whoever hands over a pipe has somebody write to it, and waits for that; a named pipe is one that lies there.
    """
    number = handed(path)
    return read_bounded(path, most_bytes) if number is None else b"".join(_pieces(number, path, most_bytes))


def handed(path: str | os.PathLike[str]) -> int | None:
    """The descriptor of this process that *path* names, where that is a pipe and no file or device; None elsewhere."""
    folder, _, name = os.fspath(path).rpartition("/")
    if (folder, name) == ("/dev", "stdin"):
        number = 0
    elif folder in {"/dev/fd", "/proc/self/fd"} and name.isascii() and name.isdecimal() and len(name) < 8:
        number = int(name)
    else:
        return None
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        return None
    return number if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def open_regular(path: str | os.PathLike[str]) -> int:
    """A descriptor of a regular file, to be closed by the caller.

    Raises:
        OSError: It cannot be opened, or is no regular file (``EINVAL``, `NOT_REGULAR`).
        ValueError: *path* cannot be a path: it holds a null byte.
    """
    # Without O_NONBLOCK, opening a named pipe waits for somebody to write.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NOCTTY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path))
    return descriptor


def _pieces(descriptor: int, path: str | os.PathLike[str], most_bytes: int) -> Iterator[bytes]:
    room = most_bytes + 1
    while room > 0:
        piece = os.read(descriptor, min(room, 1 << 20))
        if not piece:
            return
        yield piece
        room -= len(piece)
    raise OSError(errno.EFBIG, TOO_LARGE, os.fspath(path))
