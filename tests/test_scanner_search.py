"""The search for what may be GPU code."""

from __future__ import annotations

import re

import build
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capably.scanner.fatbin import MAGIC, Mode, promising, walk
from capably.scanner.layout import Region
from capably.scanner.limits import DEFAULT_LIMITS, Budget
from capably.scanner.ptx import has_code
from capably.scanner.search import Needle, find, first_match
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


@given(
    data=crumbs, text=st.sampled_from(NEEDLES), start=st.integers(0, 80), stop=st.integers(0, 80), at=st.integers(0, 3)
)
@example(data=b"\xba" * 2_000 + MAGIC, text=MAGIC, start=0, stop=2_004, at=3)
@example(data=b"\xba" * 2_000 + MAGIC + b"\xba" * 9 + MAGIC, text=MAGIC, start=0, stop=2_017, at=3)
@example(data=b"\x7f" * 2_000, text=NEEDLES[1], start=0, stop=2_000, at=0)
@example(data=b".version .version ", text=NEEDLES[2], start=0, stop=2, at=0)
def test_a_needle_is_found_where_python_finds_it(data: bytes, text: bytes, start: int, stop: int, at: int) -> None:
    start, stop = min(start, len(data)), min(stop, len(data))
    assert find(data, Needle(text, at), start, stop) == data.find(text, start, stop)


@given(data=crumbs, start=st.integers(0, 80), stop=st.integers(0, 80))
@example(data=b"." * 2_000 + b".version .", start=0, stop=2_010)
@example(data=b"." * 2_000 + b".version .", start=1_999, stop=2_005)
def test_a_pattern_is_found_where_python_finds_it(data: bytes, start: int, stop: int) -> None:
    pattern = re.compile(rb"\.(?:version|v) ?")
    found, expected = first_match(pattern, b".", data, start, stop), pattern.search(data, start, stop)
    assert (found and found.span()) == (expected and expected.span())


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


def has_code_by_the_letter(text: bytes) -> bool:
    """What `has_code` says, told character by character."""
    at = 0
    while at < len(text):
        if text.startswith(b"//", at):
            at = text.find(b"\n", at) if b"\n" in text[at:] else len(text)
        elif text.startswith(b"/*", at):
            end = text.find(b"*/", at + 2)
            at = len(text) if end < 0 else end + 2
        elif text[at : at + 1] == b'"':
            at += 1
            while at < len(text) and text[at : at + 1] not in (b'"', b"\n"):
                at += 1
            at += text[at : at + 1] == b'"'
        else:
            for word in (b".entry", b".func"):
                behind = text[at + len(word) : at + len(word) + 1]
                if text.startswith(word, at) and not (behind.isalnum() or behind in (b"_", b"$")):
                    return True
            at += 1
    return False


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from(
            [b".entry", b".func", b" a(", b"//", b"/*", b"*/", b'"', b"\n", b".", b"/", b"1, 2", b"_", b"." * 99]
        )
    ).map(b"".join)
)
@example(b"// .entry /*\n.entry a(")
@example(b'".entry" /* .entry a( */')
@example(b"// .func\n" * 70)
@example(
    b"// .func\n" * 49 + b'".func" /*\n.entry a( */'
)  # a comment begins where lines are no longer taken one by one
@example(b"// .func\n" * 70 + b"/* .func */")
@example(b"." * 2_000 + b"// .func\n" * 60 + b".func a(")
def test_code_in_ptx_is_told_as_by_the_letter(text: bytes) -> None:
    assert has_code(text) is has_code_by_the_letter(text)
