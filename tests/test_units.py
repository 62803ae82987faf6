"""Sizes in words, against the reader of sizes in policies."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from capably.cli.policy import read_size
from capably.units import size_text


@given(st.integers(1, 10**14))
@example(999)
@example(1000)
@example(999_949)
@example(999_950)
@example(999_949_999)
def test_what_is_written_is_read_as_that_size(count: int) -> None:
    text = size_text(count)
    number, unit = re.fullmatch(r"([0-9]+(?:\.[0-9])?) (bytes?|kB|MB|GB)", text).groups()  # type: ignore[union-attr]
    assert float(number) < 1000 or unit == "GB"
    if unit.startswith("byte"):
        assert int(number) == count
    else:
        assert abs(read_size(text) - count) <= read_size(f"1 {unit}") // 20


def test_one_byte() -> None:
    assert [size_text(count) for count in (0, 1, 2)] == ["0 bytes", "1 byte", "2 bytes"]
