"""Hosts of four fatbins, each with a wrapper of the version that is asked for: three as they are, one relocatable."""

from __future__ import annotations

import struct

import build

ONE = build.fatbin([build.sass("sm_80")])
TWO = build.fatbin([build.sass("sm_90", relocatable=True)])
BASE = 0x1_8000_0000


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


KINDS = (shared, relocated, an_object, windows, windows_object, big_windows_object)
