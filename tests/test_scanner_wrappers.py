"""Whether fatbins were linked from relocatable code, as their wrappers say, in every kind of file and by every way."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import build
import pytest
import ways
import wrapped

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKS = Path(__file__).parent / "data/checks"


def said(data: bytes, directory: Path) -> dict[tuple[str, bool | None], int]:
    """How many fatbins there are by section and wrapper, the same by all ways, with and without kernels."""
    rng = random.Random(1)  # noqa: S311 - to be repeated
    found = ways.read(data, directory, rng)
    counts: dict[tuple[str, bool | None], int] = {}
    for group in found.libraries[0].fatbins:
        key = (group.fatbin.section, group.fatbin.prelinked)
        counts[key] = counts.get(key, 0) + group.count
    kernels = ways.read(data, directory, rng, ways=3, with_kernels=True).libraries[0]
    assert sorted(group.count for group in kernels.fatbins) == sorted(
        group.count for group in found.libraries[0].fatbins
    )
    assert {kernel.fatbin for kernel in kernels.kernels or ()} == {group.fatbin for group in found.libraries[0].fatbins}
    return counts


@pytest.mark.parametrize("make", wrapped.KINDS)
def test_each_fatbin_has_the_version_of_its_wrapper(tmp_path: Path, make: Callable[[tuple[int, ...]], bytes]) -> None:
    short = make == wrapped.windows
    own, linked = (".nv_fatb", "__nv_rel") if short else (".nv_fatbin", "__nv_relfatbin")
    assert said(make((1, 1, 2, 1)), tmp_path) == {(own, False): 2, (own, True): 1, (linked, False): 1}
    assert said(make((2, 1, 1, 1)), tmp_path) == {(own, False): 2, (own, True): 1, (linked, False): 1}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ((1, 3, 2), {False: 1, None: 1, True: 1}),  # a version that nobody knows
        ((1, 2), {False: 1, True: 1, None: 1}),  # one without a wrapper
        ((), {None: 3}),
    ],
)
def test_what_no_wrapper_says_is_not_known(
    tmp_path: Path, versions: tuple[int, ...], expected: dict[bool | None, int]
) -> None:
    counts = said(wrapped.shared(versions), tmp_path)
    assert {key[1]: count for key, count in counts.items() if key[0] == ".nv_fatbin"} == expected


def test_wrappers_that_contradict_each_other_say_nothing(tmp_path: Path) -> None:
    data = b"".join(build.wrapper(version, 0x1000) for version in (1, 2))
    host = [
        build.Section(".nv_fatbin", wrapped.ONE, address=0x1000),
        build.Section(".nvFatBinSegment", data, flags=3, address=0xA000),
    ]
    assert said(build.elf(host), tmp_path) == {(".nv_fatbin", None): 1}


def test_wrappers_of_real_libraries(tmp_path: Path) -> None:
    # Made by nvcc 13.0: two plain objects and one by -rdc=true. readelf -x .nvFatBinSegment shows 1, 1, 1, 2.
    mixed = said((CHECKS / "mix.so").read_bytes(), tmp_path)
    assert mixed == {(".nv_fatbin", False): 2, (".nv_fatbin", True): 1, ("__nv_relfatbin", False): 1}
    assert said((CHECKS / "plain.so").read_bytes(), tmp_path) == {(".nv_fatbin", False): 2}
