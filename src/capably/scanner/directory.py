"""The central directory of a zip: what its members are called and where they lie.

`zipfile` reads it too, but makes an object of each record before anybody can say that these are too many, refuses a
whole archive for one odd name, and takes 6 ms to import. What it reads (that of Python 3.11) is read alike here.

Source: PKWARE APPNOTE.TXT 6.3, sections 4.3.12 to 4.3.16 and 4.5.3.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

from capably.errors import LimitError, ScanError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from capably.scanner.limits import Budget
    from capably.scanner.source import Source

__all__ = ["Member", "name_text", "read_directory"]

_END = struct.Struct("<4s8xII2x")  # size and offset of the directory
_WIDE_END = struct.Struct("<4s36xQQ")
_LOCATOR = struct.Struct("<4s4xQ4x")
# Flags, method, CRC, size as stored, size, lengths of name, extra fields and comment, offset of the local header
_RECORD = struct.Struct("<4s4xHH4xIIIHHH8xI")
_LONGEST_COMMENT = 0xFFFF
_LONGEST_RECORD = _RECORD.size + 3 * 0xFFFF
_STEP = 1 << 20  # of a directory, which may be large
_SHOWN = 1 << 10  # of a name that is too long
_WIDE = 0xFFFFFFFF  # stands for a number that is in the extra field for zip64
_UTF8 = 0x800


class Member(NamedTuple):
    """What a record of the directory says. Nothing of it was checked.

    Attributes:
        name: What is no text in it is escaped.
        flags: The general purpose bit flag.
        method: How it is compressed.
        crc: CRC-32 of its data.
        stored_bytes: Its size as it is stored.
        size_bytes: Its size.
        offset: Of its local header in the file; it may lie outside.
    """

    name: str
    flags: int
    method: int
    crc: int
    stored_bytes: int
    size_bytes: int
    offset: int


def read_directory(
    path: str,
    source: Source,
    size: int,
    budget: Budget,
    *,
    prefix: str = "",
    refuse: Callable[[str, int], None] = lambda _name, _size: None,
) -> list[Member]:
    """All records, in order, but those with names that are too long.

    Args:
        path: How to name the archive in what is raised.
        source: The archive.
        size: Of the archive, in bytes.
        budget: What may be spent.
        prefix: What is put before the names.
        refuse: Told the beginning and the size of a name that is too long with it.

    Raises:
        ScanError: There is no directory that can be read.
        LimitError: It is too large, or has too many records or bytes of names.
    """
    start, length, moved = _find(path, source, size)
    limits = budget.limits
    if length > size:
        raise TruncatedError(path, "its central directory is larger than the file")
    if length > limits.directory_bytes:
        raise LimitError(path, f"its central directory has more than {limits.directory_bytes} bytes")
    if start < 0:
        raise ScanError(path, "it is not a readable zip: its central directory lies before the file")
    room = limits.path_bytes - len(prefix)
    data = b""
    left = length  # of what is not in `data` yet
    result: list[Member] = []
    position = 0
    while left > 0 or position < len(data):
        while left > 0 and len(data) - position < _LONGEST_RECORD:
            budget.check_time(path)
            piece = source.read(start + length - left, min(left, _STEP))
            data, position, left = data[position:] + piece, 0, left - len(piece) if piece else 0
        if position + _RECORD.size > len(data):
            raise ScanError(path, "it is not a readable zip: its central directory is cut off")
        mark, flags, method, crc, stored, full, name_size, extra_size, comment_size, offset = _RECORD.unpack_from(
            data, position
        )
        if mark != b"PK\x01\x02":
            raise ScanError(path, "it is not a readable zip: a record of its central directory is damaged")
        if len(result) == limits.members:
            raise LimitError(path, f"it has more than {limits.members} members")
        position += _RECORD.size
        name = data[position : position + name_size]
        position += name_size
        if _WIDE in (stored, full, offset):
            full, stored, offset = _widened(path, data[position : position + extra_size], full, stored, offset)
        position += extra_size + comment_size
        if name_size > room:
            refuse(name_text(name[:_SHOWN], flags), name_size)
            continue
        text = name_text(name, flags)
        budget.count_names(sys.getsizeof(text) + len(prefix))
        result.append(Member(text, flags, method, crc, stored, full, offset + moved))
    return result


def name_text(name: bytes, flags: int) -> str:
    """The name in a header that has these *flags*; what is no text in it is escaped."""
    # Windows tools of old wrote NULs behind names.
    return name.partition(b"\0")[0].decode("utf-8" if flags & _UTF8 else "cp437", "backslashreplace")


def _find(path: str, source: Source, size: int) -> tuple[int, int, int]:
    """Where the directory begins and how long it is, and how many bytes were put before the archive."""
    first = max(0, size - _END.size - _LONGEST_COMMENT - _LOCATOR.size - _WIDE_END.size)
    tail = source.read(first, size - first)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + _END.size > len(tail):
        raise TruncatedError(path, "it begins like a zip but has no end: it is cut off")
    _, length, stated = _END.unpack_from(tail, end)
    locator = end - _LOCATOR.size
    if locator >= 0 and tail.startswith(b"PK\x06\x07", locator):
        # A zip64 end record is believed wherever there is a locator, not only where the 32-bit numbers are full. It lies
        # right before it, wherever the archive begins; only one with more data than anybody writes lies elsewhere.
        wide = locator - _WIDE_END.size
        if wide < 0 or not tail.startswith(b"PK\x06\x06", wide):
            wide = _LOCATOR.unpack_from(tail, locator)[1] - first
        if not 0 <= wide <= locator - _WIDE_END.size or not tail.startswith(b"PK\x06\x06", wide):
            raise TruncatedError(path, "its zip64 end record is not where its locator says")
        end = wide
        _, length, stated = _WIDE_END.unpack_from(tail, end)
    start = first + end - length
    # Offsets count from the first member, before which there may be a program that unpacks the archive.
    return start, length, start - stated


def _widened(path: str, extra: bytes, full: int, stored: int, offset: int) -> tuple[int, int, int]:
    """The numbers of a record with those that are in its extra field."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        position += 4
        if kind == 1:
            stop = min(position + length, len(extra))
            numbers = []
            for number in (full, stored, offset):
                if number == _WIDE:
                    if position + 8 > stop:
                        raise ScanError(path, "it is not a readable zip: a zip64 field of its directory is cut off")
                    (number,) = struct.unpack_from("<Q", extra, position)  # noqa: PLW2901 - the same number
                    position += 8
                numbers.append(number)
            return numbers[0], numbers[1], numbers[2]
        position += length
    return full, stored, offset
