"""Compressed streams of gzip, bzip2, xz and zstd: what comes out, in pieces, in no more memory than is granted.

How much memory a stream takes its header says, so it is asked for before there is any of it.

Sources: RFC 1952 (gzip), RFC 8878 (zstd), "The .xz File Format" 1.2.0; Python's bz2 and lzma for the others.
"""

from __future__ import annotations

import bz2
import lzma
from typing import IO, TYPE_CHECKING, cast

from capably.errors import LimitError
from capably.scanner.codecs import codec
from capably.scanner.inflate import ERRORS, gzip_decompressor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capably.scanner.inflate import Decompressor
    from capably.scanner.source import Source

__all__ = ["CutOffError", "DamageError", "Feed", "MemoryLimitError", "unpack"]

_INPUT = 64 << 10
_OUTPUT = 1 << 20
_LARGEST_WINDOW = 1 << 27  # `zstd --long` needs as much, `xz -9` half of it
_GZIP_MEMORY = 64 << 10
_BZIP2_MEMORY = 4 << 20
_XZ_MEMORY = 1 << 20  # besides the dictionary
_XZ_HEADERS = 12 + 1024  # of a stream and its first block
_ZSTD_HEADER = 18
_REPEATED_BYTE = 1  # a kind of block, which has one byte
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)


class DamageError(Exception):
    """The data cannot be unpacked any further."""


class CutOffError(Exception):
    """The data ends in the middle."""


class MemoryLimitError(Exception):
    """It takes too much memory. The text is a sentence part."""


class Feed:
    """The compressed bytes.

    Attributes:
        position: How many were taken.
        streams: How many streams, or frames, began so far.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.position = 0
        self.streams = 0

    def read(self, size: int = _INPUT) -> bytes:
        """Take the next bytes, none at the end."""
        data = self.peek(min(size, _INPUT))
        self.position += len(data)
        return data

    def peek(self, size: int) -> bytes:
        """The next bytes, which are not taken."""
        return self._source.read(self.position, size)

    def exactly(self, size: int) -> bytes:
        """Take so many bytes."""
        data = self.peek(size)
        if len(data) < size:
            raise CutOffError
        self.position += size
        return data

    def skip(self, size: int) -> None:
        """Take so many bytes without looking at them."""
        self.position += size
        if size and not self._source.read(self.position - 1, 1):
            raise CutOffError


_ERRORS: tuple[type[Exception], ...] = (*ERRORS, lzma.LZMAError, OSError, EOFError, ValueError)


def unpack(feed: Feed, take: Callable[[int], None]) -> Iterator[bytes]:
    """What comes out of a stream and of those behind it; an empty piece where one begins.

    Args:
        feed: The compressed bytes.
        take: Is asked for so many bytes of memory more; raises `LimitError` where there is no room.

    Raises:
        CutOffError: The data ends in the middle.
        DamageError: It cannot be unpacked any further.
        MemoryLimitError: It takes more memory than there is room for.
        NoCodecError: What unpacks it is not installed.
    """
    granted = 0

    def claim(size: int) -> None:
        nonlocal granted
        if size > _LARGEST_WINDOW:
            raise MemoryLimitError(f"a part of it needs {size} bytes of memory")
        try:
            take(max(0, size - granted))
        except LimitError as error:
            raise MemoryLimitError(error.problem) from None
        granted = max(granted, size)

    head = feed.peek(2)
    if head == b"\x1f\x8b":
        claim(_GZIP_MEMORY)
        return _streams(feed, lambda _: gzip_decompressor())
    if head == b"BZ":
        claim(_BZIP2_MEMORY)
        return _streams(feed, lambda _: bz2.BZ2Decompressor())
    if head == b"\xfd7":
        return _streams(feed, lambda data: _xz_decompressor(data + feed.peek(_XZ_HEADERS), claim))
    return _frames(feed, claim)


def _streams(feed: Feed, make: Callable[[bytes], Decompressor]) -> Iterator[bytes]:
    engine = None
    data = feed.read()
    while data:
        fresh = engine is not None  # nothing of a second stream came yet: what follows the first may be padding
        engine = make(data)
        feed.streams += 1
        yield b""
        while not engine.eof:
            try:
                chunk = engine.decompress(data, _OUTPUT)
            except _ERRORS:
                if fresh:
                    return
                raise DamageError from None
            if chunk:
                fresh = False
                yield chunk
            data = b""
            if engine.needs_input and not engine.eof:
                data = feed.read()
                if not (data or chunk):  # behind a chunk there may be more, without input
                    if fresh:
                        return
                    raise CutOffError
        data = engine.unused_data or feed.read()


def _xz_decompressor(head: bytes, claim: Callable[[int], None]) -> Decompressor:
    window = _xz_window(head)
    claim(window)
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=window + _XZ_MEMORY)


def _xz_window(head: bytes) -> int:
    """The size of the dictionary of the first block; 0 where there is none."""
    position = 14  # behind the header of the stream, and the size and the flags in that of the block

    def number() -> int:
        nonlocal position
        result = shift = 0
        while True:
            byte = head[position]
            position += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    try:
        flags = head[13]
        for _ in range((flags >> 6 & 1) + (flags >> 7)):
            number()
        for _ in range((flags & 3) + 1):
            kind, size = number(), number()
            if kind == 0x21:  # LZMA2; before it there may be filters that take no memory
                bits = min(head[position], 40)
                return (2 | bits & 1) << bits // 2 + 11
            position += size
    except IndexError:
        pass
    return 0


def _frames(feed: Feed, claim: Callable[[int], None]) -> Iterator[bytes]:
    """One frame of zstd after the other: each has a window of its own."""
    zstandard = codec("zstandard")
    engine = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    while head := feed.peek(_ZSTD_HEADER):
        feed.streams += 1
        yield b""
        if int.from_bytes(head[:4], "little") in _SKIPPABLE:
            feed.skip(8 + int.from_bytes(head[4:8], "little"))
            continue
        try:
            stated = zstandard.get_frame_parameters(head)
            claim(stated.window_size)
            frame = _Frame(feed, zstandard.frame_header_size(head), 4 if stated.has_checksum else 0)
            reader = engine.stream_reader(cast("IO[bytes]", frame), read_size=_INPUT)
            while chunk := reader.read1(_OUTPUT):
                yield chunk
        except (zstandard.ZstdError, MemoryError):
            raise DamageError from None


class _Frame:
    """One frame of zstd, as a file that ends where it does: the decompressor would take what lies behind it, too."""

    def __init__(self, feed: Feed, header_bytes: int, checksum_bytes: int) -> None:
        self._feed = feed
        self._left = header_bytes  # of the header or of a block
        self._checksum_bytes = checksum_bytes
        self._is_last = False

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end."""
        lead = b""
        if not self._left and not self._is_last:
            lead = self._feed.exactly(3)
            block = int.from_bytes(lead, "little")
            self._is_last = bool(block & 1)
            self._left = 1 if block >> 1 & 3 == _REPEATED_BYTE else block >> 3
            if self._is_last:
                self._left += self._checksum_bytes
        data = self._feed.read(min(max(size - len(lead), 0), self._left))
        if not (data or lead) and self._left:
            raise CutOffError
        self._left -= len(data)
        return lead + data
