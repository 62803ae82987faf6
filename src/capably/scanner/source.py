"""Bytes by offset, from a file or from a stream that only runs forward.

The walkers ask for little: some bytes at an offset, or whatever is at hand around one. They promise in turn
never to go back behind the offset of their last request, so a member of an archive can be walked while it is
inflated, with one chunk in memory.
"""

from __future__ import annotations

import bisect
import errno
import os
from io import FileIO
from threading import Lock
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["BytesSource", "Digest", "FileSource", "NearSource", "Seekable", "Source", "StreamSource", "ToldSource"]

_WINDOW = 256 << 10
_NEAR = 1 << 10
_HAS_PREAD = hasattr(os, "pread")  # not on Windows


class Source(Protocol):
    """Where bytes come from."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes at *offset*; fewer only at the end."""
        ...

    def window(self, offset: int, least: int) -> tuple[int, bytes]:
        """A piece of any length around *offset*, and the offset of its first byte.

        At least *least* bytes lie behind *offset* unless the end comes first.
        """
        ...


class Seekable(Protocol):
    """As much of a file as is used here."""

    def seek(self, offset: int, /) -> int:
        """Go to an offset."""
        ...

    def read(self, size: int, /) -> bytes | None:
        """Up to *size* bytes from there on."""
        ...


class Digest(Protocol):
    """As much of a hash of `hashlib` as is used here."""

    def update(self, data: bytes, /) -> None:
        """Go on with *data*."""
        ...


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        """See `Source.read`."""
        return self._data[offset : offset + size]

    def window(self, offset: int, least: int) -> tuple[int, bytes]:
        """See `Source.window`."""
        del offset, least
        return 0, self._data


class FileSource:
    """A file on disk, read by offset, by several threads at a time if need be.

    It is read, not mapped: a file that another process truncates meanwhile ends early instead of killing
    this process by SIGBUS.
    """

    def __init__(self, file: Seekable) -> None:
        self._file = file
        self._descriptor = file.fileno() if _HAS_PREAD and isinstance(file, FileIO) else None
        self._lock = Lock()

    def read(self, offset: int, size: int) -> bytes:
        """See `Source.read`."""
        if offset >= 1 << 63:  # what no file has, and what no seek takes
            return b""
        try:
            data = self._read(offset, size)
            if 0 < len(data) < size:  # one read() call may return less (2 GiB at most on Linux)
                parts = [data]
                have = len(data)
                while have < size and (more := self._read(offset + have, size - have)):
                    parts.append(more)
                    have += len(more)
                data = b"".join(parts)
        except OSError as error:
            if error.errno == errno.EINVAL:  # nor does a file system far below that
                return b""
            raise
        return data

    def _read(self, offset: int, size: int) -> bytes:
        if self._descriptor is not None:
            return os.pread(self._descriptor, size, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size) or b""

    def window(self, offset: int, least: int) -> tuple[int, bytes]:
        """See `Source.window`."""
        return offset, self.read(offset, max(least, _WINDOW))


class NearSource:
    """Another source that is asked for a header and then for what lies right behind it: one request instead of three.

    For one thread.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._base = 0
        self._data = b""

    def read(self, offset: int, size: int) -> bytes:
        """See `Source.read`."""
        start = offset - self._base
        if 0 <= start <= len(self._data) - size:
            return self._data[start : start + size]
        if size >= _NEAR:
            return self._source.read(offset, size)
        self._base, self._data = offset, self._source.read(offset, _NEAR)
        return self._data[:size]

    def window(self, offset: int, least: int) -> tuple[int, bytes]:
        """See `Source.window`."""
        return self._source.window(offset, least)


class ToldSource:
    """Another source, which tells how far it was read.

    Args:
        source: The other one.
        tell: Is called with the offset behind what was read.
    """

    def __init__(self, source: Source, tell: Callable[[int], None]) -> None:
        self._source = source
        self._tell = tell

    def read(self, offset: int, size: int) -> bytes:
        """See `Source.read`."""
        data = self._source.read(offset, size)
        self._tell(offset + len(data))
        return data

    def window(self, offset: int, least: int) -> tuple[int, bytes]:
        """See `Source.window`."""
        return self._source.window(offset, least)


class StreamSource:
    """Chunks that come one after the other. Requests must not go back.

    Args:
        chunks: The pieces in order. It must end, not raise, where the stream is damaged.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._base = 0
        self._buffer = b""
        self._wanted: list[tuple[int, int]] = []
        # What was put aside: offsets, and the pieces there as they came, so that nothing is copied.
        self._starts: list[int] = []
        self._pieces: list[bytes] = []
        self._hashed: tuple[int, int, Digest] | None = None

    @property
    def position(self) -> int:
        """How many bytes came so far."""
        return self._base + len(self._buffer)

    def keep(self, start: int, stop: int) -> None:
        """Put aside the bytes from *start* to *stop* as they come by, as far as they are still to come."""
        if start < stop:
            self._wanted.append((start, stop))
            if self._buffer and start < self.position and self._base < stop:
                self._keep_buffer()

    def _keep_buffer(self) -> None:
        """Put aside what is at hand, up to what already is."""
        index = bisect.bisect_right(self._starts, self._base)
        if index and self._base < self._starts[index - 1] + len(self._pieces[index - 1]):
            return
        stop = self._starts[index] if index < len(self._starts) else self.position
        self._starts.insert(index, self._base)
        self._pieces.insert(index, self._buffer[: stop - self._base])

    def kept(self, offset: int, size: int) -> bytes | None:
        """The bytes at *offset* if they were put aside, else None."""
        index = bisect.bisect_right(self._starts, offset) - 1
        parts: list[bytes] = []
        while size > 0:
            start = self._starts[index] if 0 <= index < len(self._starts) else -1
            part = self._pieces[index][offset - start : offset - start + size] if 0 <= start <= offset else b""
            if not part:
                return None
            parts.append(part)
            offset += len(part)
            size -= len(part)
            index += 1
        return b"".join(parts)

    def hash(self, start: int, stop: int, digest: Digest) -> None:
        """Feed *digest* with the bytes from *start* to *stop* as they come by; one at a time.

        *start* must not lie before what is at hand.
        """
        self._hashed = None
        digest.update(self._buffer[max(0, start - self._base) : max(0, stop - self._base)])
        if stop > self.position:
            self._hashed = (start, stop, digest)

    def forget(self) -> None:
        """Drop what was put aside."""
        self._wanted.clear()
        self._starts.clear()
        self._pieces.clear()

    def read(self, offset: int, size: int) -> bytes:
        """See `Source.read`."""
        start = offset - self._base
        if 0 <= start <= len(self._buffer) - size:  # as nearly always
            return self._buffer[start : start + size]
        self._seek(offset)
        if self.position < offset:
            return b""
        if self.position < offset + size:
            rest = self._buffer[offset - self._base :]
            parts = [rest] if rest else []  # so that a single chunk is not copied
            have = len(rest)
            self._base = offset
            while have < size and (chunk := self._pull(offset + have)):
                parts.append(chunk)
                have += len(chunk)
            self._buffer = b"".join(parts)
        start = offset - self._base
        return self._buffer[start : start + size]

    def window(self, offset: int, least: int) -> tuple[int, bytes]:
        """See `Source.window`."""
        self._seek(offset)
        if self._base + len(self._buffer) < offset + least:
            self.read(offset, least)
        return self._base, self._buffer

    def drain(self) -> int:
        """Run to the end; the size of the whole.

        Nothing can be read afterwards but what was kept.
        """
        position = self.position
        self._buffer = b""
        while chunk := self._pull(position):
            position += len(chunk)
        self._base = position
        return position

    def _seek(self, offset: int) -> None:
        if offset < self._base:
            raise AssertionError(f"a stream cannot go back from {self._base} to {offset}")
        while offset > self._base + len(self._buffer):
            position = self.position
            chunk = self._pull(position)
            if not chunk:
                self._base, self._buffer = position, b""
                return
            self._base, self._buffer = position, chunk

    def _pull(self, position: int) -> bytes:
        chunk = next(self._chunks, b"")
        end = position + len(chunk)
        wanted = [(start, stop) for start, stop in self._wanted if start < end and position < stop]
        if wanted and chunk:
            first = max(position, min(start for start, _ in wanted))
            self._starts.append(first)
            self._pieces.append(chunk[first - position : max(stop for _, stop in wanted) - position])
        if self._hashed is not None and chunk:
            start, stop, digest = self._hashed
            digest.update(chunk[max(0, start - position) : max(0, stop - position)])
        return chunk
