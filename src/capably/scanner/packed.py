"""Compressed streams around a tar archive: gzip, bzip2, xz and zstd, run through in chunks.

Sources: RFC 1952 (gzip), RFC 8878 (zstd); Python's bz2 and lzma for the others.
"""

from __future__ import annotations

import bz2
import lzma
from typing import IO, TYPE_CHECKING, cast

from capably.scanner.inflate import ERRORS, gzip_decompressor
from capably.scanner.source import Source, StreamSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capably.scanner.content import Content
    from capably.scanner.inflate import Decompressor
    from capably.scanner.tally import Job

__all__ = ["PackedContent"]

_INPUT = 64 << 10
_OUTPUT = 1 << 20
_XZ_MEMORY = 128 << 20  # `xz -9` needs 65 MB
_ZSTD_WINDOW = 1 << 27
_PROGRESS_STEP = 8 << 20


class PackedContent:
    """What a compressed content unpacks to. Its size is not known.

    Attributes:
        size: Only right after `finish`.
        damaged: The first run ended early, as a finding says.

    Args:
        path: How to name it in findings.
        content: The compressed bytes.
        job: The call.
    """

    def __init__(self, path: str, content: Content, job: Job) -> None:
        self.size = 0
        self.damaged = False
        self._path = path
        self._content = content
        self._job = job
        self._stream = StreamSource(self._chunks(content.stream() or content.source(), first=True))

    def stream(self) -> StreamSource:
        """The first run."""
        return self._stream

    def source(self) -> StreamSource:
        """One more run."""
        return StreamSource(self._chunks(self._content.source(), first=False))

    def finish(self) -> None:
        """Run the first one to its end."""
        self.size = self._stream.drain()

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at any offset, by one more run."""
        return self.source().read(offset, size)

    def _chunks(self, source: Source, *, first: bool) -> Iterator[bytes]:
        """The unpacked data; it ends where the compressed data is damaged, which the first run says."""
        limits = self._job.budget.limits
        feed = _Feed(source)
        total = 0
        reported = 0
        code, message = "", ""
        try:
            for chunk in _unpacked(feed):
                total += len(chunk)
                self._job.budget.spend(len(chunk))
                if total > max(limits.ratio * feed.position, limits.ratio_from_bytes):
                    code, message = "limit-reached", f"It unpacks to more than {limits.ratio} times its size."
                    break
                if first and feed.position - reported >= _PROGRESS_STEP:
                    reported = feed.position
                    self._job.advance(self._path, feed.position, max(feed.position, self._content.size))
                yield chunk
        except _CutOffError:
            code, message = "truncated-file", "Its compressed data is cut off."
        except _DamageError:
            code, message = "damaged-archive-member", "Its compressed data is damaged."
        if first and code:
            self.damaged = True
            self._job.findings.add(code, self._path, f"{message} The rest was not read.")


class _Feed:
    """The compressed bytes, and how many were taken; also as a file for the reader of zstd."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.position = 0

    def read(self, size: int = _INPUT) -> bytes:
        data = self._source.read(self.position, min(size, _INPUT))
        self.position += len(data)
        return data


class _DamageError(Exception):
    """The data cannot be unpacked any further."""


class _CutOffError(Exception):
    """The data ends in the middle."""


_ERRORS: tuple[type[Exception], ...] = (*ERRORS, lzma.LZMAError, OSError, EOFError, ValueError)
_MAKERS: dict[bytes, Callable[[], Decompressor]] = {
    b"\x1f\x8b": gzip_decompressor,
    b"BZ": bz2.BZ2Decompressor,
    b"\xfd7": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
}


def _unpacked(feed: _Feed) -> Iterator[bytes]:
    data = feed.read()
    make = _MAKERS.get(data[:2])
    if make is None:
        yield from _unpacked_zstd(feed)
        return
    engine = make()
    fresh = False  # nothing of a second stream came yet: what follows the first may be padding
    while True:
        try:
            chunk = engine.decompress(data, _OUTPUT)
        except _ERRORS:
            if fresh:
                return
            raise _DamageError from None
        if chunk:
            fresh = False
            yield chunk
        data = b""
        if engine.eof:
            data = engine.unused_data or feed.read()
            if not data:
                return
            engine = make()
            fresh = True
        elif engine.needs_input:
            data = feed.read()
            if not (data or chunk):  # behind a chunk there may be more, without input
                if fresh:
                    return
                raise _CutOffError


def _unpacked_zstd(feed: _Feed) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - only where there is zstd

    feed.position = 0
    # The reader does not tell a stream that ends early from one that is over, but the archive within does.
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
        cast("IO[bytes]", feed), read_size=_INPUT, read_across_frames=True
    )
    while True:
        try:
            chunk = reader.read1(_OUTPUT)
        except (zstandard.ZstdError, MemoryError):
            raise _DamageError from None
        if not chunk:
            return
        yield chunk
