"""By whatever way the bytes of a file come, the facts are the same."""

from __future__ import annotations

import random
from pathlib import Path

import build
import pytest
import ways
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GOOD = build.fatbin([build.sass("sm_80")])
CRASHERS = sorted((Path(__file__).parent / "crashers").glob("*.bin"))
once_each = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@once_each
@given(rng=st.randoms(use_true_random=False))
def test_all_ways_give_the_same(tmp_path: Path, rng: random.Random) -> None:
    ways.read(ways.compose(rng), tmp_path, rng, ways=6)


@once_each
@given(rng=st.randoms(use_true_random=False))
def test_all_ways_give_the_same_kernels(tmp_path: Path, rng: random.Random) -> None:
    ways.read(ways.compose(rng), tmp_path, rng, ways=4, with_kernels=True)


@pytest.mark.parametrize("crasher", CRASHERS, ids=lambda path: path.stem)
def test_inputs_that_once_broke_it(tmp_path: Path, crasher: Path) -> None:
    ways.read(crasher.read_bytes(), tmp_path, random.Random(1), with_kernels=True)  # noqa: S311 - to be repeated


@pytest.mark.parametrize("gap", [ways.MAGIC, ways.MAGIC + bytes(4), ways.MAGIC + b"\1\0\x10\0" + bytes(3)])
def test_half_a_header_in_a_short_gap_is_damage_by_any_way(tmp_path: Path, gap: bytes) -> None:
    # A stream was not walked once more for a gap in which no whole header has room, and nothing was said.
    data = build.library(GOOD + bytes(4) + gap + GOOD)
    found = ways.read(data, tmp_path, random.Random(1))  # noqa: S311 - to be repeated
    assert [finding.code for finding in found.findings] == ["damaged-fatbin"]


def test_the_last_member_of_a_static_library_that_is_cut_off(tmp_path: Path) -> None:
    # Behind half a fatbin the search went on where its end should be: a stream ran out of the library and could not come
    # back to its last byte.
    data = build.ar([("a.o", build.library(GOOD)), ("b.o", build.library(GOOD, GOOD))])
    data = data[: data.rindex(ways.MAGIC) - 20]
    found = ways.read(data, tmp_path, random.Random(1))  # noqa: S311 - to be repeated
    assert {finding.code for finding in found.findings} == {"truncated-file", "damaged-fatbin"}
