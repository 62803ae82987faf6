"""The central directory of a zip, against what Python's `zipfile` reads."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capably.errors import ScanError
from capably.scanner.directory import Member, read_directory
from capably.scanner.limits import Budget, Limits
from capably.scanner.source import BytesSource

names = st.one_of(
    st.text("abcé世/.\\\0 ", min_size=1, max_size=12), st.sampled_from(["a/", "../x", "/x", "pkg/_C.so", "a\0b"])
)
records = st.tuples(names, st.binary(max_size=40), st.booleans(), st.booleans(), st.binary(max_size=9))


_LIMITS = Limits(path_bytes=1 << 17)  # for which no name is too long


def _refuse(name: str, size: int) -> None:
    pytest.fail(f"{name}: {size}")


def ours(data: bytes) -> list[Member]:
    return read_directory("x.zip", BytesSource(data), len(data), Budget(_LIMITS), refuse=_refuse)


def theirs(data: bytes) -> list[Member]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [
            Member(
                info.filename,
                info.flag_bits,
                info.compress_type,
                info.CRC,
                info.compress_size,
                info.file_size,
                info.header_offset,
            )
            for info in archive.infolist()
        ]


def written(
    rows: list[tuple[str, bytes, bool, bool, bytes]],
    before: bytes = b"",
    comment: bytes = b"",
    *,
    wide_end: bool = False,
) -> bytes:
    """A zip of members with a name, data, whether it is deflated, whether it has zip64 fields, and a comment."""
    stream = io.BytesIO(before)
    with zipfile.ZipFile(stream, "a") as archive:
        for name, data, deflated, wide, note in rows:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
            info.comment = note
            with archive.open(info, "w", force_zip64=wide) as member:
                member.write(data)
        archive.comment = comment
    data = stream.getvalue()
    if not wide_end:
        return data
    end = len(data) - len(comment) - 22
    count, size, start = struct.unpack_from("<HII", data, end + 10)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end - len(before), 1)
    return data[:end] + record + locator + data[end:]


def compare(data: bytes) -> None:
    """What zipfile reads is read alike; what it refuses may be refused, with an error that says so."""
    try:
        expected = theirs(data)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        with contextlib.suppress(ScanError):
            ours(data)
        return
    assert ours(data) == expected


@given(st.lists(records, max_size=6), st.binary(max_size=30), st.binary(max_size=30), st.booleans())
@example([("a.so", b"x", True, True, b"")], b"#!/bin/sh\n", b"a comment", True)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_it_says_what_zipfile_says(
    rows: list[tuple[str, bytes, bool, bool, bytes]], before: bytes, comment: bytes, wide_end: bool
) -> None:
    compare(written(rows, before, comment, wide_end=wide_end))


@given(
    st.lists(records, min_size=1, max_size=3),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3),
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_zipfile_reads_of_damaged_ones_is_read_alike(
    rows: list[tuple[str, bytes, bool, bool, bytes]], changes: list[tuple[float, int]]
) -> None:
    data = bytearray(written(rows))
    start = data.index(b"PK\x01\x02")
    for where, value in changes:
        data[start + int(where * (len(data) - start))] = value
    compare(bytes(data))


def test_numbers_of_more_than_four_gigabytes() -> None:
    rows = [(7, 5_000_000_000, 4_999_999_999, 6_000_000_000), (8, 5, 0xFFFFFFFF, 3)]
    directory = b""
    for number, stored, full, offset in rows:
        wide = [value for value in (full, stored, offset) if value >= 0xFFFFFFFF]
        extra = struct.pack(f"<HHI HH{len(wide)}Q", 0x5455, 4, 0, 1, 8 * len(wide), *wide)
        short = [min(value, 0xFFFFFFFF) for value in (stored, full, offset)]
        directory += struct.pack(
            "<4s4xHH4xIIIHHHHHII", b"PK\x01\x02", 0, 8, number, *short[:2], 1, len(extra), 0, 0, 0, 0, short[2]
        )
        directory += b"a" + extra
    far = 7_000_000_000
    wide_end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, len(directory), far)
    tail = directory + wide_end + struct.pack("<4sIQI", b"PK\x06\x07", 0, far + len(directory), 1)
    tail += struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 2, 2, 0xFFFFFFFF, 0xFFFFFFFF, 0)

    class Sparse:
        """A file of which only the end has bytes."""

        def read(self, offset: int, size: int) -> bytes:
            start = offset - far
            return tail[max(start, 0) : start + size] if start >= 0 else bytes(min(size, -start)) + tail[: start + size]

        def window(self, offset: int, least: int) -> tuple[int, bytes]:
            return offset, self.read(offset, least)

    found = read_directory("x.zip", Sparse(), far + len(tail), Budget(_LIMITS), refuse=_refuse)
    assert [(one.crc, one.stored_bytes, one.size_bytes, one.offset) for one in found] == rows


@pytest.mark.parametrize(
    "extra", [b"\x01\0\0\0", b"\x01\0\0\0" + b"\x55\x54\x08\0" + bytes(8), b"\x01\0\x08\0" + bytes(7)]
)
def test_a_zip64_field_that_is_cut_off_is_refused(extra: bytes) -> None:
    directory = struct.pack(
        "<4s12xIIIHHHHHII4s", b"PK\x01\x02", 0, 0, 0xFFFFFFFF, 4, len(extra), 0, 0, 0, 0, 0, b"a.so"
    )
    data = directory + extra
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(data), 0, 0)
    with pytest.raises(zipfile.BadZipFile):
        theirs(data + end)
    with pytest.raises(ScanError, match="zip64 field"):
        ours(data + end)


def test_a_name_that_is_no_text_is_escaped_and_hides_no_other() -> None:
    data = bytearray(written([("é.so", b"x", False, False, b""), ("b.so", b"y", False, False, b"")]))
    at = data.rindex("é.so".encode())
    data[at] = 0xFF
    assert [member.name for member in ours(bytes(data))] == ["\\xff\\xa9.so", "b.so"]
