"""A compressed file around a tar archive, as a content that is run through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.scanner.codecs import NoCodecError
from capably.scanner.source import Source, StreamSource
from capably.scanner.unpack import CutOffError, DamageError, Feed, MemoryLimitError, unpack

if TYPE_CHECKING:
    from collections.abc import Generator

    from capably.scanner.content import Content
    from capably.scanner.job import Job

__all__ = ["PackedContent"]

_PROGRESS_STEP = 8 << 20
# Real ones hold tens of kilobytes each; to begin one takes as long as to inflate some.
_MOST_STREAMS, _LEAST_OUTPUT = 10_000, 512


class PackedContent:
    """What a compressed content unpacks to. Its size is not known.

    Attributes:
        size: Only right after `finish`.
        damaged: The first run ended early, as a finding says.
        no_codec: What would have to be installed for it; else empty.

    Args:
        path: How to name it in findings.
        content: The compressed bytes.
        job: The call.
    """

    def __init__(self, path: str, content: Content, job: Job) -> None:
        self.size = 0
        self.damaged = False
        self.no_codec = ""
        self._path = path
        self._content = content
        self._job = job
        self._first = self._chunks(content.stream() or content.source(), first=True)
        self._stream = StreamSource(self._first)

    def close(self) -> None:
        """End the first run where it is, and give back what it holds. Others end when nobody has them any more."""
        self._first.close()

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

    def _chunks(self, source: Source, *, first: bool) -> Generator[bytes]:
        """The unpacked data; it ends where the compressed data is damaged, which the first run says."""
        budget, limits = self._job.budget, self._job.budget.limits
        feed = Feed(source)
        total = 0
        reported = 0
        code, message = "", ""
        with budget.hold() as take:
            try:
                for chunk in unpack(feed, take):
                    total += len(chunk)
                    budget.spend(len(chunk))
                    if total > max(limits.ratio * feed.position, limits.ratio_from_bytes):
                        code, message = "limit-reached", f"It unpacks to more than {limits.ratio} times its size."
                        break
                    if feed.streams > _MOST_STREAMS and total < _LEAST_OUTPUT * feed.streams:
                        code, message = "limit-reached", "It is made of very many streams that hold next to nothing."
                        break
                    if first and feed.position - reported >= _PROGRESS_STEP:
                        reported = feed.position
                        self._job.advance(self._path, feed.position, max(feed.position, self._content.size))
                    if chunk:
                        yield chunk
            except MemoryLimitError as error:
                code, message = "limit-reached", f"It cannot be unpacked: {error}."
            except NoCodecError as error:
                self.damaged, self.no_codec = True, str(error)
            except CutOffError:
                code, message = "truncated-file", "Its compressed data is cut off."
            except DamageError:
                code, message = "damaged-archive-member", "Its compressed data is damaged."
        if first and code:
            self.damaged = True
            self._job.findings.add(code, self._path, f"{message} The rest was not read.")
