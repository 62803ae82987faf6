"""The payload of a fatbin entry: as little of it as a question needs.

Fatbins hold raw images, LZ4 blocks without a frame, or zstd frames (NVIDIA fatbinary headers; checked
against cuobjdump 13.5). Sizes in headers are never believed: output is capped by `Limits`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from capably.errors import LimitError
from capably.facts import Compression
from capably.scanner.codecs import NoCodecError, codec

if TYPE_CHECKING:
    from capably.scanner.limits import Budget
    from capably.scanner.source import Source

__all__ = ["Payload", "PayloadError", "lz4_prefix"]

# A row of LZ4 has at least as many bytes when decompressed as it has in the block, less one for each 255.
_PREFIX_INPUT = 512
_LZ4_BY_HAND = 1 << 20  # of an image, where there is no codec: stubs are small, and this takes milliseconds
_ZSTD_STEP = 32 << 10
_ZSTD_WINDOW = 1 << 27  # what `zstd --long` needs; larger windows only serve to claim memory

_local = threading.local()  # decompressors, of which each thread needs one of its own


class PayloadError(Exception):
    """A payload cannot be decompressed. The text is a sentence part: "its LZ4 data is damaged"."""


class Payload(NamedTuple):
    """A stored payload.

    Attributes:
        source: Where it lies.
        offset: Of its first byte, in *source*.
        stored_bytes: Its size there, without padding.
        compression: How it is stored.
        size_bytes: Its size as its header states it; only a hint.
        budget: What may be spent on it.
    """

    source: Source
    offset: int
    stored_bytes: int
    compression: Compression
    size_bytes: int
    budget: Budget

    def prefix(self, size: int) -> bytes:
        """The first *size* bytes of the image or all of them if it is shorter, sometimes more.

        Raises:
            PayloadError: They cannot be had.
            NoCodecError: What decompresses them is not installed.
        """
        if self.compression is Compression.NONE:
            return self.source.read(self.offset, min(size, self.stored_bytes))
        if self.compression is Compression.LZ4:
            data = self.source.read(self.offset, min(self.stored_bytes, max(_PREFIX_INPUT, 2 * size)))
            return lz4_prefix(data, size)
        if self.compression is Compression.ZSTD:
            return self._inflate_zstd(size)
        raise PayloadError("its compression is not known")

    def full(self) -> bytes:
        """The whole image.

        Raises:
            PayloadError: It cannot be had.
            NoCodecError: What decompresses it is not installed.
            LimitError: It is larger than the limits allow.
        """
        limits = self.budget.limits
        if self.stored_bytes > limits.image_bytes:
            raise LimitError("", f"an image is larger than {limits.image_bytes} bytes")
        if self.compression is Compression.NONE:
            return self.source.read(self.offset, self.stored_bytes)
        if self.compression is Compression.LZ4:
            return self._inflate_lz4()
        if self.compression is Compression.ZSTD:
            return self._inflate_zstd(None)
        raise PayloadError("its compression is not known")

    def _inflate_lz4(self) -> bytes:
        # One byte of a block makes 255 of output at most, so a larger claim is a lie; and lz4 allocates
        # what it is told.
        if not 0 < self.size_bytes <= 255 * self.stored_bytes + 64:
            raise PayloadError("its LZ4 size cannot be right")
        if self.size_bytes > self.budget.limits.image_bytes:
            raise LimitError("", f"an image is larger than {self.budget.limits.image_bytes} bytes")
        self.budget.spend(self.size_bytes)
        data = self.source.read(self.offset, self.stored_bytes)
        try:
            lz4 = codec("lz4.block")
        except NoCodecError:
            if self.size_bytes > _LZ4_BY_HAND:
                raise
            image = lz4_prefix(data, self.size_bytes)
            if len(image) < self.size_bytes:
                raise PayloadError("its LZ4 data is damaged") from None
            return image
        try:
            return bytes(lz4.decompress(data, uncompressed_size=self.size_bytes))
        except (lz4.LZ4BlockError, ValueError, MemoryError):
            raise PayloadError("its LZ4 data is damaged") from None

    def _inflate_zstd(self, size: int | None) -> bytes:
        zstandard = codec("zstandard")
        engine = getattr(_local, "zstd", None)
        if engine is None:
            engine = _local.zstd = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        limits = self.budget.limits
        cap = min(limits.image_bytes, max(limits.ratio * self.stored_bytes, limits.ratio_from_bytes))
        if size is None:
            data = self.source.read(self.offset, self.stored_bytes)
            try:
                stated = zstandard.frame_content_size(data)
                if 0 < stated <= cap:
                    self.budget.spend(stated)
                    return bytes(engine.decompress(data))  # into its place, which takes two thirds of the time
            except (zstandard.ZstdError, MemoryError):
                pass  # what there is of it, the reader gives
        # The input is fetched at growing length, always from the same offset, so that a stream need not go
        # back; a frame of several blocks is mostly decided by its first.
        have = self.stored_bytes if size is None else min(self.stored_bytes, _ZSTD_STEP)
        while True:
            data = self.source.read(self.offset, have)
            reader = engine.stream_reader(data, read_across_frames=False)
            parts: list[bytes] = []
            total = 0
            want = cap + 1 if size is None else size
            try:
                while total < want and (part := reader.read(min(want - total, 1 << 20))):
                    parts.append(part)
                    total += len(part)
                    self.budget.spend(len(part))
            except (zstandard.ZstdError, MemoryError):
                raise PayloadError("its zstd data is damaged") from None
            if size is None and total > cap:
                raise LimitError("", f"an image decompresses to more than {cap} bytes")
            if total >= want or have >= self.stored_bytes:
                return b"".join(parts)
            have = min(self.stored_bytes, have * 8)


def lz4_prefix(data: bytes, limit: int) -> bytes:
    """The first *limit* bytes of the LZ4 block that begins with *data*; fewer where *data* ends first.

    A block is a row of: token, literals, offset of a match, with lengths above 14 continued by bytes (LZ4
    block format description). The library can only inflate a whole block, and 512 bytes decide most cubins.

    Raises:
        PayloadError: A match lies before the start.
    """
    out = bytearray()
    have = position = 0
    end = len(data)
    while position < end and have < limit:
        token = data[position]
        position += 1
        length = token >> 4
        if length == 15:
            while position < end:
                more = data[position]
                position += 1
                length += more
                if more != 255:
                    break
        stop = position + length
        out += data[position:stop]
        have += length
        if stop + 2 > end or have >= limit:
            break
        distance = data[stop] | data[stop + 1] << 8
        position = stop + 2
        if not 0 < distance <= have:
            raise PayloadError("its LZ4 data is damaged")
        length = token & 15
        if length == 15:
            while position < end:
                more = data[position]
                position += 1
                length += more
                if more != 255:
                    break
        length = min(length + 4, limit)
        start = have - distance
        if length <= distance:
            out += out[start : start + length]
        else:  # it goes on with what it has just written
            out += (out[start:] * (length // distance + 1))[:length]
        have += length
    return bytes(out[:limit])
