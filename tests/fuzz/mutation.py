"""What a target of the fuzzing harness is, and how its inputs are made: number N of a seed is the same everywhere."""

from __future__ import annotations

import atexit
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from capably.errors import ScanError

INTERESTING = (0, 1, 7, 8, 15, 16, 63, 64, 65, 127, 128, 255, 256, 4095, 4096, 65535, 65536, 2**31 - 1, 2**31,
                2**32 - 8, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 64, 2**64 - 8, 2**64 - 1)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A parser, inputs that it reads, and which bytes of them its headers are."""

    name: str
    parse: Callable[[bytes], bool]
    seeds: Callable[[], list[bytes]]
    declared: tuple[type[Exception], ...]
    hot: Callable[[bytes], list[tuple[int, int]]]
    compose: Callable[[random.Random], bytes] | None = None  # makes a new seed for each input
    torn: int = 2  # one of so many of those is changed anywhere besides
    cost: int = 1  # how long an input takes, against others


TARGETS: dict[str, Target] = {}


def head_is_hot(data: bytes) -> list[tuple[int, int]]:
    return [(0, min(len(data), 128))]


def target(
    seeds: Callable[[], list[bytes]],
    *declared: type[Exception],
    hot: Callable[[bytes], list[tuple[int, int]]] = head_is_hot,
    compose: Callable[[random.Random], bytes] | None = None,
    torn: int = 2,
    cost: int = 1,
) -> Callable[[Callable[[bytes], bool]], Callable[[bytes], bool]]:
    """Register a parser under the name of its function."""

    def register(parse: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
        name = parse.__name__
        TARGETS[name] = Target(name, parse, cache(seeds), (ScanError, *declared), hot, compose, torn, cost)
        return parse

    return register


def around(needle: bytes, length: int, before: int = 0) -> Callable[[bytes], list[tuple[int, int]]]:
    """What is hot: *length* bytes at each place of *needle*."""

    def find(data: bytes) -> list[tuple[int, int]]:
        result, place = [], data.find(needle)
        while place >= 0:
            result.append((max(0, place - before), min(len(data), place + length)))
            place = data.find(needle, place + 1)
        return result or head_is_hot(data)

    return find


def chosen_by(data: bytes) -> random.Random:
    return random.Random(data)  # noqa: S311 - to be repeated


@cache
def scratch_directory() -> Path:
    memory = Path("/dev/shm")  # noqa: S108 - only where it is faster
    path = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, path)
    return Path(path)


def mutate(seeds: list[bytes], hot: Callable[[bytes], list[tuple[int, int]]], rng: random.Random) -> bytes:
    """One to four changes of one seed."""
    raw = bytearray(rng.choice(seeds))
    places = hot(bytes(raw))
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not raw:
            break
        start, stop = rng.choice(places) if rng.random() < 0.7 else (0, len(raw))
        at = min(rng.randrange(start, max(stop, start + 1)), len(raw) - 1)
        kind = rng.randrange(10)
        if kind < 2:
            raw[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            raw[at] = rng.randrange(256)
        elif kind < 7:
            width = rng.choice((1, 2, 4, 4, 8, 8))
            at -= (at - start) % width
            value = rng.choice((*INTERESTING, len(raw), len(raw) - at, at))
            if rng.random() < 0.25:
                value += int.from_bytes(raw[at : at + width], "little")
            raw[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
        elif kind == 7:
            del raw[at if rng.random() < 0.3 else rng.randrange(len(raw)) :]
        elif kind == 8:
            other = rng.choice(seeds)
            cut = rng.randrange(len(other))
            raw[at : at + rng.choice((0, 8, 64))] = other[cut : cut + rng.choice((8, 64, 512, len(other)))]
        else:
            piece = bytes(raw[at : at + rng.choice((1, 8, 16, 64, 256))])
            raw[at:at] = piece * rng.choice((1, 1, 2, 50))
    return bytes(raw)


def make(name: str, seed: int, number: int) -> bytes:
    """Input *number* of a target; the seeds themselves come first."""
    found = TARGETS[name]
    seeds = found.seeds()
    if number < len(seeds):
        return seeds[number]
    rng = random.Random(f"{seed}/{name}/{number}")  # noqa: S311 - to be repeated
    if found.compose is None:
        return mutate(seeds, found.hot, rng)
    data = found.compose(rng)
    return data if rng.randrange(found.torn) else mutate([data], found.hot, rng)
