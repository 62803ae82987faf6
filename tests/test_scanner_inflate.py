"""Deflate and gzip by the library that is installed and by Python's own."""

from __future__ import annotations

import gzip as python_gzip
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capably.scanner import inflate

if TYPE_CHECKING:
    from collections.abc import Callable

    from capably.scanner.inflate import Decompressor

MAKERS: dict[str, tuple[Callable[[], Decompressor], int]] = {
    "deflate": (inflate.deflate_decompressor, -15),
    "gzip": (inflate.gzip_decompressor, 31),
    "deflate by zlib": (lambda: inflate.Zlib(-15), -15),
}
# Pieces and how often each is repeated.
texts = st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.sampled_from([1, 3, 2_000])), max_size=6)


def whole(pieces: list[tuple[bytes, int]]) -> bytes:
    return b"".join(piece * count for piece, count in pieces)


def packed(text: bytes, window: int, level: int, fields: int = 0) -> bytes:
    """*text* as deflate or gzip; the header of gzip has the optional fields whose flags are set."""
    engine = zlib.compressobj(level, zlib.DEFLATED, window)
    data = engine.compress(text) + engine.flush()
    if window < 0 or not fields:
        return data
    header = data[:3] + bytes([fields]) + data[4:10]
    header += b"\x05\0extra" * bool(fields & 4) + b"name\0" * bool(fields & 8) + b"a comment\0" * bool(fields & 16)
    if fields & 2:
        header += struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    return header + data[10:]


def run(engine: Decompressor, data: bytes, step: int, most: int) -> bytes:
    """All output, as a caller gets it who gives input only where it is wanted."""
    parts = []
    position = 0
    while not engine.eof:
        piece = b""
        if engine.needs_input and position < len(data):
            piece = data[position : position + step]
            position += len(piece)
        part = engine.decompress(piece, most)
        assert len(part) <= most
        parts.append(part)
        if position == len(data) and engine.needs_input and not (part or piece):
            break
    return b"".join(parts)


@pytest.mark.parametrize("name", MAKERS)
@given(
    pieces=texts,
    form=st.tuples(st.sampled_from([0, 1, 9]), st.sampled_from([0, 8, 2, 4, 12, 24, 30])),
    steps=st.tuples(st.sampled_from([1, 7, 1_000, 1 << 20]), st.sampled_from([100, 4_096, 1 << 20])),
    behind=st.binary(max_size=5),
)
def test_what_was_packed_comes_out(
    name: str, pieces: list[tuple[bytes, int]], form: tuple[int, int], steps: tuple[int, int], behind: bytes
) -> None:
    make, window = MAKERS[name]
    text = whole(pieces)
    data = packed(text, window, *form)
    engine = make()
    assert run(engine, data + behind, *steps) == text
    assert engine.eof
    if steps[0] >= len(data + behind):
        assert engine.unused_data == behind


@pytest.mark.parametrize("name", MAKERS)
@given(pieces=texts, lost=st.integers(1, 50))
def test_what_is_cut_off_has_no_end(name: str, pieces: list[tuple[bytes, int]], lost: int) -> None:
    make, window = MAKERS[name]
    text = whole(pieces)
    data = packed(text, window, 6)[:-lost]
    engine = make()
    assert text.startswith(run(engine, data, 1_000, 4_096))
    assert not engine.eof


def test_a_wrong_checksum_is_an_error() -> None:
    data = bytearray(python_gzip.compress(b"text"))
    data[-6] ^= 1
    with pytest.raises(inflate.ERRORS):
        inflate.gzip_decompressor().decompress(bytes(data), 100)


@given(texts, st.integers(0, 0xFFFFFFFF))
def test_checksums(pieces: list[tuple[bytes, int]], start: int) -> None:
    text = whole(pieces)
    assert inflate.crc32(text, start) == zlib.crc32(text, start)
