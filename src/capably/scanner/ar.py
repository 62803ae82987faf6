"""Static libraries: archives of objects as ar and Microsoft's lib write them (.a, .lib).

Sources: System V ABI, "Archive File"; BSD ar(5); Microsoft "PE Format", "Archive (Library) File Format".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capably.scanner.limits import Budget
    from capably.scanner.source import Source

__all__ = ["MAGIC", "THIN_MAGIC", "Member", "members"]

MAGIC = b"!<arch>\n"
THIN_MAGIC = b"!<thin>\n"
_HEADER_SIZE = 60
_LARGEST_NAMES = 16 << 20
_LONGEST_NAME = 1024
_DECIMAL = re.compile(rb"([0-9]{1,10}) *")
_LONG_NAME = re.compile(rb"/([0-9]{1,15}) *")  # GNU and Microsoft: an offset in the member `//`
_BSD_NAME = re.compile(rb"#1/([0-9]{1,13}) *")  # BSD: that many bytes in front of the data


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        name: As stored, without padding.
        start: Offset of its first byte.
        size: In bytes, as stated.
    """

    name: str
    start: int
    size: int


def members(source: Source, problem: Callable[[str, str], None], budget: Budget) -> Iterator[Member]:
    """All members but the tables of symbols and names, in order; requests never go back.

    Args:
        source: The archive.
        problem: Told the code and the message of what is wrong. Where a header is, the archive ends.
        budget: Bounds their number.

    Raises:
        LimitError: There is no room for its table of names.
    """
    if source.read(0, len(MAGIC)) == THIN_MAGIC:
        problem("unreadable-file", "It is a thin archive: its members lie in other files, which are not followed.")
        return
    with budget.hold() as take:  # archives lie within archives, each with its table of names
        yield from _members(source, problem, budget, take)


def _members(
    source: Source, problem: Callable[[str, str], None], budget: Budget, take: Callable[[int], None]
) -> Iterator[Member]:
    names = b""
    position = len(MAGIC)
    count = 0
    while header := source.read(position, _HEADER_SIZE):
        budget.check_time()
        if len(header) < _HEADER_SIZE:
            if header.strip(b"\n\0"):
                problem("truncated-file", "It ends within the header of a member.")
            return
        match = _DECIMAL.fullmatch(header[48:58])
        if match is None or header[58:] != b"`\n":
            problem("damaged-archive-member", f"The header at byte {position} is damaged; the rest was not read.")
            return
        count += 1
        if count > budget.limits.members:
            problem("limit-reached", f"It has more than {budget.limits.members} members.")
            return
        start = position + _HEADER_SIZE
        size = int(match[1])
        stored = header[:16]
        if stored.startswith(b"// "):
            take(2 * min(size, _LARGEST_NAMES))  # once more while its pieces are joined
            names = source.read(start, min(size, _LARGEST_NAMES))
        elif not stored.startswith((b"/ ", b"/SYM64/", b"/<", b"__.SYMDEF")):
            member = _member(source, stored, names, start, size)
            if not member.name.startswith("__.SYMDEF"):
                yield member
        if size and not source.read(start + size - 1, 1):
            problem("truncated-file", f"The member at byte {position} should have {size} bytes; the file ends in it.")
            return
        position = start + size + size % 2


def _member(source: Source, stored: bytes, names: bytes, start: int, size: int) -> Member:
    if (match := _BSD_NAME.fullmatch(stored)) is not None:
        length = min(int(match[1]), size)
        name = source.read(start, min(length, _LONGEST_NAME)).split(b"\0", 1)[0]
        return Member(_text(name), start + length, size - length)
    if (match := _LONG_NAME.fullmatch(stored)) is not None:
        offset = int(match[1])
        name = re.split(rb"/?\n|\0", names[offset : offset + _LONGEST_NAME], maxsplit=1)[0]
        return Member(_text(name or stored.rstrip()[1:]), start, size)
    return Member(_text(stored.rstrip().removesuffix(b"/")), start, size)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
