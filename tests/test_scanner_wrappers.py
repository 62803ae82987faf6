"""Whether fatbins were linked from relocatable code, as their wrappers say, in every kind of file and by every way."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import build
import pytest
import ways

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKS = Path(__file__).parent / "data/checks"
ONE = build.fatbin([build.sass("sm_80")])
TWO = build.fatbin([build.sass("sm_90", relocatable=True)])
BASE = 0x1_8000_0000


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


def wrappers(versions: tuple[int, ...], addresses: list[int]) -> bytes:
    return b"".join(build.wrapper(version, at) for version, at in zip(versions, addresses, strict=True))


def shared(versions: tuple[int, ...], *, at: int = 0x1000) -> bytes:
    addresses = [at + len(ONE) * number for number in range(3)] + [0x9000]
    return build.elf(
        [
            build.Section(".nv_fatbin", ONE * 3, address=at),
            build.Section("__nv_relfatbin", TWO, address=0x9000),
            build.Section(".nvFatBinSegment", wrappers(versions, addresses[: len(versions)]), flags=3, address=0xA000),
        ]
    )


def relocated(versions: tuple[int, ...]) -> bytes:
    """As the linker of LLVM leaves it: the pointers are empty, and relocations say what to write there."""
    addresses = [0x1000 + len(ONE) * number for number in range(3)] + [0x9000]
    rows = b"".join(struct.pack("<QQQ", 0xA008 + 24 * number, 8, at) for number, at in enumerate(addresses))
    return build.elf(
        [
            build.Section(".rela.dyn", struct.pack("<QQQ", 0x7000, 8, 0x1000) + rows, kind=4),
            build.Section(".nv_fatbin", ONE * 3, address=0x1000),
            build.Section("__nv_relfatbin", TWO, address=0x9000),
            build.Section(".nvFatBinSegment", wrappers(versions, [0] * 4), flags=3, address=0xA000),
        ]
    )


def an_object(versions: tuple[int, ...]) -> bytes:
    """Its sections have no addresses: relocations name a symbol of a section and a place in that."""
    symbols = bytes(24) + b"".join(struct.pack("<IBBHQQ", 0, 3, 0, home, value, 0) for home, value in ((1, 8), (2, 0)))
    places = [(1, len(ONE) * number - 8) for number in range(3)] + [(2, 0)]
    rows = b"".join(
        struct.pack("<QQq", 8 + 24 * number, symbol << 32 | 1, addend) for number, (symbol, addend) in enumerate(places)
    )
    return build.elf(
        [
            build.Section(".nv_fatbin", ONE * 3),
            build.Section("__nv_relfatbin", TWO),
            build.Section(".nvFatBinSegment", wrappers(versions, [0] * 4), flags=3),
            build.Section(".symtab", symbols, kind=2, flags=0),
            build.Section(".rela.nvFatBinSegment", rows, kind=4, flags=0x40, link=4, info=3),
        ],
        object_file=True,
    )


def windows(versions: tuple[int, ...]) -> bytes:
    size = -(-len(ONE * 3) // 0x1000) * 0x1000
    addresses = [BASE + 0x1000 + len(ONE) * number for number in range(3)] + [BASE + 0x1000 + size]
    return build.pe(
        [
            build.section(".nv_fatb", ONE * 3),
            build.section("__nv_rel", TWO),
            build.section(".nvFatBi", wrappers(versions, addresses), flags=3),
        ],
        base=BASE,
    )


def windows_object(versions: tuple[int, ...], *, big: bool = False) -> bytes:
    # What stands in the place of a pointer is added to the address of the symbol.
    places = (*((8 + 24 * number, 1, len(ONE) * number) for number in range(3)), (80, 2, 0))
    data = wrappers(versions, [0] * 4)
    return build.coff(
        [
            build.section(".nv_fatbin", ONE * 3),
            build.section("__nv_relfatbin", TWO),
            build.Section(".nvFatBinSegment", data, flags=3, relocations=places),
        ],
        big=big,
    )


def big_windows_object(versions: tuple[int, ...]) -> bytes:
    return windows_object(versions, big=True)


KINDS = [shared, relocated, an_object, windows, windows_object, big_windows_object]


@pytest.mark.parametrize("make", KINDS)
def test_each_fatbin_has_the_version_of_its_wrapper(tmp_path: Path, make: Callable[[tuple[int, ...]], bytes]) -> None:
    short = make == windows
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
    counts = said(shared(versions), tmp_path)
    assert {key[1]: count for key, count in counts.items() if key[0] == ".nv_fatbin"} == expected


def test_wrappers_that_contradict_each_other_say_nothing(tmp_path: Path) -> None:
    data = b"".join(build.wrapper(version, 0x1000) for version in (1, 2))
    host = [
        build.Section(".nv_fatbin", ONE, address=0x1000),
        build.Section(".nvFatBinSegment", data, flags=3, address=0xA000),
    ]
    assert said(build.elf(host), tmp_path) == {(".nv_fatbin", None): 1}


def test_wrappers_of_real_libraries(tmp_path: Path) -> None:
    # Made by nvcc 13.0: two plain objects and one by -rdc=true. readelf -x .nvFatBinSegment shows 1, 1, 1, 2.
    mixed = said((CHECKS / "mix.so").read_bytes(), tmp_path)
    assert mixed == {(".nv_fatbin", False): 2, (".nv_fatbin", True): 1, ("__nv_relfatbin", False): 1}
    assert said((CHECKS / "plain.so").read_bytes(), tmp_path) == {(".nv_fatbin", False): 2}
