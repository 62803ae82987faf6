"""Tar archives: ustar, GNU and pax, and the old form without a magic number.

Sources: POSIX.1-2017 "pax"; GNU tar manual, "Basic Tar Format" and "Storing Sparse Files".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from capably.scanner.names import shown, too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capably.scanner.limits import Budget
    from capably.scanner.source import Source

__all__ = ["BLOCK", "Member", "is_tar", "members"]

BLOCK = 512
_LARGEST_EXTENSION = 1 << 20
_LARGEST_SIZE = 1 << 62
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")
_RECORD = re.compile(rb"([0-9]{1,7}) ([^=\n]{1,512})=", re.DOTALL)
_WITHOUT_DATA = b"123456"  # links, devices, directories, pipes: of no interest, and without data
_KEYS = (b"path", b"size")
_SPARSE_KEY = b"GNU.sparse."
_LONGEST_VALUE = 64 << 10
# As many bytes of names are read while a header is, or a row of an extended one.
_LEAST_COST, _RECORD_COST = 256, 32
_SPARSE = "It is stored as a sparse file, which is not read."


class Member(NamedTuple):
    """A regular file in an archive.

    Attributes:
        name: Its path, with ``/``.
        start: Offset of its first byte.
        size: In bytes, as stated.
    """

    name: str
    start: int
    size: int


def is_tar(head: bytes) -> bool:
    """Whether these bytes begin with the header of a member, by its checksum."""
    return (
        len(head) >= BLOCK
        and head[0] != 0
        and _checksum_fits(head[:BLOCK])
        and (head[257:262] == b"ustar" or (head[156] in b"\x00012345" and _number(head[124:136]) is not None))
    )


def members(source: Source, problem: Callable[[str, str, str], None], budget: Budget, room: int) -> Iterator[Member]:
    """All regular files in order, but those with names that are too long; requests never go back. Links are not followed.

    Args:
        source: The archive.
        problem: Told the code, the name of a member (or ``""``) and the message of what is wrong.
        budget: What may be spent; a row of headers without members takes time too.
        room: How many bytes a name may have.

    Raises:
        LimitError: Nothing more may be spent.
    """
    position = 0
    general: dict[bytes, bytes] = {}
    special: dict[bytes, bytes] = {}
    long_name: bytes | None = None
    while True:
        budget.check_time()
        header = source.read(position, BLOCK)
        if len(header) < BLOCK:
            problem("truncated-file", "", "It ends without the mark at the end of a tar archive.")
            return
        if not header.strip(b"\0"):
            return
        size = _number(header[124:136])
        if size is None or not _checksum_fits(header):
            problem("damaged-archive-member", "", f"The header at byte {position} is damaged; the rest was not read.")
            return
        position += BLOCK
        kind = header[156]
        if kind in b"xgXLKN":
            budget.count_names(_LEAST_COST + min(size, _LARGEST_EXTENSION))
            if size > _LARGEST_EXTENSION:
                problem("limit-reached", "", f"A name or an extended header of {size} bytes was not read.")
            elif kind in b"xgX":
                data = source.read(position, size)
                budget.count_names(data.count(b"\n") * _RECORD_COST)
                records = general if kind == ord("g") else special
                if not _read_records(data, records):
                    problem("damaged-archive-member", "", f"The extended header at byte {position} is damaged.")
            elif kind == ord("L"):
                long_name = source.read(position, size).split(b"\0", 1)[0]
            position += _blocks(size)
            continue
        known = {**general, **special}  # a few keys at most, see _read_records
        raw = known.get(b"path", long_name) or _name(header)
        special, long_name = {}, None
        name = raw[:room].decode("utf-8", "backslashreplace").removeprefix("./")
        if b"size" in known:
            stated = known[b"size"]
            if not re.fullmatch(rb"[0-9]{1,18}", stated):
                problem("damaged-archive-member", name, "Its extended header states no size; the rest was not read.")
                return
            size = int(stated)
        if kind in _WITHOUT_DATA or (kind == 0 and name.endswith("/")):
            budget.count_names(_LEAST_COST)
            continue
        if kind == ord("S"):
            problem("unreadable-file", name, _SPARSE)
            more = header[482]
            while more:
                budget.count_names(BLOCK)
                header = source.read(position, BLOCK)
                position += BLOCK
                more = header[504] if len(header) == BLOCK else 0
        elif _SPARSE_KEY in known:
            problem("unreadable-file", name, _SPARSE)
        elif len(raw) > room:
            budget.count_names(_LEAST_COST)
            problem("limit-reached", shown(name), too_long(len(raw)))
        else:
            yield Member(name, position, size)
        position += _blocks(size)


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0]
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _number(field: bytes) -> int | None:
    """Octal digits, or 0x80 and a big-endian number (GNU); None where it is neither, or too large."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        return value if value < _LARGEST_SIZE else None
    match = _OCTAL.fullmatch(field)
    return int(match[1] or b"0", 8) if match else None


def _checksum_fits(header: bytes) -> bool:
    """Whether the sum of all bytes, its own field as spaces, is what is stated; old tars summed signed ones."""
    match = _OCTAL.fullmatch(header[148:156])
    if match is None or not match[1]:
        return False
    total = sum(header) - sum(header[148:156]) + 8 * 32
    stated = int(match[1], 8)
    # The other sum takes fifty times as long as all else about a header.
    return stated == total or stated == total - 256 * sum(byte >= 128 for byte in header[:148] + header[156:])


def _read_records(data: bytes, records: dict[bytes, bytes]) -> bool:
    """Rows of a length, a key, ``=``, a value and a newline; False where one is damaged."""
    position = 0
    while position < len(data) and data[position]:
        match = _RECORD.match(data, position)
        if match is None:
            return False
        end = position + int(match[1])
        if not match.end() < end <= len(data) or data[end - 1] != 0x0A:
            return False
        # Kept for a whole archive, so no more than what is asked for: a megabyte of keys may stand before each member.
        if match[2] in _KEYS:
            records[match[2]] = data[match.end() : min(end - 1, match.end() + _LONGEST_VALUE)]
        elif match[2].startswith(_SPARSE_KEY):
            records[_SPARSE_KEY] = b""
        position = end
    return True
