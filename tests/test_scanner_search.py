"""The search for what may be GPU code."""

from __future__ import annotations

import build
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capably.scanner.fatbin import MAGIC, Mode, _find, promising, walk
from capably.scanner.layout import Region
from capably.scanner.limits import DEFAULT_LIMITS, Budget
from capably.scanner.source import BytesSource

NEEDLES = (MAGIC, b"\x7fELF\x02\x01\x01", b".version ")
IMAGES = (
    build.fatbin([build.sass("sm_90")]),
    build.fatbin([build.sass("sm_80"), build.ptx_entry("compute_80")]),
    build.cubin("sm_86"),
    build.ptx("compute_75"),
    *NEEDLES,
)
# Bytes of the needles, so that many of them begin and few are complete.
crumbs = st.lists(st.sampled_from([*NEEDLES, b"\xba", b"\x7f", b".", b"\0", b"\x50\xed\x55"]), max_size=12).map(
    b"".join
)


@given(data=crumbs, needle=st.sampled_from(NEEDLES), start=st.integers(0, 80), stop=st.integers(0, 80))
@example(data=b"\xba" * 2_000 + MAGIC, needle=MAGIC, start=0, stop=2_004)
@example(data=b"\x7f" * 2_000, needle=NEEDLES[1], start=0, stop=2_000)
@example(data=b".version .version ", needle=NEEDLES[2], start=0, stop=2)
def test_a_needle_is_found_where_python_finds_it(data: bytes, needle: bytes, start: int, stop: int) -> None:
    start, stop = min(start, len(data)), min(stop, len(data))
    assert _find(data, needle, start, stop) == data.find(needle, start, stop)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"", b"\0" * 8, b"\0" * 5_000, IMAGES[0]]),  # between the regions: code, or nothing
            st.lists(st.one_of(crumbs, st.sampled_from(IMAGES)), max_size=4).map(b"".join),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_small_regions_searched_together_lose_nothing(parts: list[tuple[bytes, bytes, bool]]) -> None:
    data = b""
    regions: list[Region] = []
    for between, inside, named in parts:
        data += between
        regions.append(Region(f"section{len(regions)}", len(data), len(data) + len(inside), named))
        data += inside
    source = BytesSource(data)

    def found(some: list[Region]) -> list[object]:
        budget = Budget(DEFAULT_LIMITS)
        return [
            (region.section, one)
            for region in some
            for one in walk(source, region.start, region.end, Mode.FATBINS if region.named else Mode.DATA, budget)
        ]

    assert found(list(promising(source, regions, Budget(DEFAULT_LIMITS)))) == found(regions)
