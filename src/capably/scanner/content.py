"""Files and parts of files, whether their bytes can be had in any order or only once in a row."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

from capably.scanner.source import BytesSource, FileSource, Seekable, Source

if TYPE_CHECKING:
    from capably.scanner.source import Digest

__all__ = [
    "BytesContent",
    "CachedSource",
    "Content",
    "FileContent",
    "SliceContent",
    "SourceContent",
    "SourceFile",
    "Stream",
    "in_memory_if_small",
]

_SMALL = 16 << 20
_STEP = 1 << 20


class Stream(Source, Protocol):
    """Bytes that come once, from first to last."""

    @property
    def position(self) -> int:
        """How many bytes came so far."""
        ...

    def keep(self, start: int, stop: int) -> None:
        """Put aside the bytes from *start* to *stop* as they come by."""
        ...

    def kept(self, offset: int, size: int) -> bytes | None:
        """The bytes at *offset* if they were put aside, else None."""
        ...

    def hash(self, start: int, stop: int, digest: Digest) -> None:
        """Feed *digest* with the bytes from *start* to *stop* as they come by."""
        ...

    def forget(self) -> None:
        """Drop what was put aside."""
        ...


class Content(Protocol):
    """The bytes of one file."""

    @property
    def size(self) -> int:
        """In bytes. Of a stream before `finish`: as its container states it."""
        ...

    def stream(self) -> Stream | None:
        """The stream that starts at the first byte; None where bytes can be had in any order."""
        ...

    def source(self) -> Source:
        """Where to read from the first byte on, once more if need be."""
        ...

    def finish(self) -> None:
        """Run `stream` to its end, after which `size` is exact and `read` works."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at any offset, slow where they were not kept of a stream."""
        ...


class SourceContent:
    """Bytes that can be had in any order."""

    def __init__(self, source: Source, size: int) -> None:
        self.size = size
        self._source = source

    def stream(self) -> None:
        """Bytes can be had in any order."""
        return

    def source(self) -> Source:
        """The bytes."""
        return self._source

    def finish(self) -> None:
        """Nothing is left to do."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at any offset."""
        return self._source.read(offset, size)


class FileContent(SourceContent):
    """A file on disk, or what acts like one."""

    def __init__(self, file: Seekable, size: int) -> None:
        super().__init__(FileSource(file), size)


class BytesContent(SourceContent):
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        super().__init__(BytesSource(data), len(data))


class SliceContent:
    """A part of another content: a member of an archive that stores its members as they are.

    Args:
        parent: The whole. If it is a stream, nothing before *start* is needed any more.
        start: Offset of the first byte.
        size: As the archive states it; cut where the whole ends, as far as that is known.
    """

    def __init__(self, parent: Content, start: int, size: int) -> None:
        self._parent = parent
        self._start = start
        stream = parent.stream()
        if stream is None or isinstance(parent, SliceContent):
            size = max(0, min(size, parent.size - start))
        self._stream = None if stream is None else _SlicedStream(stream, start, size)
        self.size = size

    def stream(self) -> Stream | None:
        """See `Content.stream`."""
        return self._stream

    def source(self) -> Source:
        """See `Content.source`."""
        return _SlicedSource(self._parent.source(), self._start, self.size)

    def finish(self) -> None:
        """See `Content.finish`."""
        if self._stream is not None:
            self.size = self._stream.finish()

    def read(self, offset: int, size: int) -> bytes:
        """See `Content.read`."""
        size = min(size, max(0, self.size - offset))
        kept = self._stream.kept(offset, size) if self._stream is not None else None
        return self.source().read(offset, size) if kept is None else kept


class _SlicedSource:
    def __init__(self, source: Source, start: int, size: int) -> None:
        self._source = source
        self._start = start
        self._size = size

    def read(self, offset: int, size: int) -> bytes:
        size = min(size, self._size - offset)
        return self._source.read(self._start + offset, size) if size > 0 else b""

    def window(self, offset: int, least: int) -> tuple[int, bytes]:
        least = min(least, self._size - offset)
        if least <= 0:  # a stream would go on, and never come back to its part
            return offset, b""
        base, data = self._source.window(self._start + offset, least)
        first = max(0, self._start - base)
        stop = self._start + self._size - base
        if first or stop < len(data):
            data = data[first : max(first, stop)]
        return base + first - self._start, data


class _SlicedStream(_SlicedSource):
    def __init__(self, stream: Stream, start: int, size: int) -> None:
        super().__init__(stream, start, size)
        self._stream = stream

    @property
    def position(self) -> int:
        return max(0, min(self._stream.position - self._start, self._size))

    def keep(self, start: int, stop: int) -> None:
        self._stream.keep(self._start + start, self._start + min(stop, self._size))

    def kept(self, offset: int, size: int) -> bytes | None:
        return self._stream.kept(self._start + offset, size)

    def hash(self, start: int, stop: int, digest: Digest) -> None:
        self._stream.hash(self._start + start, self._start + min(stop, self._size), digest)

    def forget(self) -> None:
        self._stream.forget()

    def finish(self) -> int:
        """Run to the end of the slice; its size."""
        if self._size and not self._stream.read(self._start + self._size - 1, 1):
            self._size = self.position
        return self._size


class CachedSource:
    """Another source that is read by many short requests which hardly ever go back."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._base = 0
        self._data = b""

    def read(self, offset: int, size: int) -> bytes:
        """See `Source.read`."""
        start = offset - self._base
        if start < 0 or start + size > len(self._data):
            if size > _STEP:
                return self._source.read(offset, size)
            self._base, self._data = self._source.window(offset, size)
            start = offset - self._base
        return self._data[start : start + size]

    def window(self, offset: int, least: int) -> tuple[int, bytes]:
        """See `Source.window`."""
        return self._source.window(offset, least)


class SourceFile(io.RawIOBase):
    """A content as a file that can be read and sought, for those who want one."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._source = content.source()
        self._size = content.size
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go somewhere."""
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Bytes from there on; all of them without *size*."""
        left = max(0, self._size - self._position)
        data = self._source.read(self._position, left if size is None or size < 0 else min(size, left))
        self._position += len(data)
        return data


def in_memory_if_small(content: Content) -> Content:
    """The same content, read into memory if it is a short stream: going back costs nothing there."""
    stream = content.stream()
    if stream is None or content.size > _SMALL:
        return content
    return BytesContent(stream.read(0, content.size))
