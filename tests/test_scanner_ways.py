"""By whatever way the bytes of a file come, the facts are the same."""

from __future__ import annotations

import importlib.metadata
import random
from pathlib import Path
from typing import TYPE_CHECKING

import build
import pytest
import ways
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capably.scanner import Limits, scan, scan_distribution
from capably.store import Store

if TYPE_CHECKING:
    from capably.facts import Artifact, Finding, Library

GOOD = build.fatbin([build.sass("sm_80")])
CRASHERS = sorted((Path(__file__).parent / "crashers").glob("*.bin"))
some = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
few = settings(some, max_examples=25)


@some
@given(rng=st.randoms(use_true_random=False))
def test_all_ways_give_the_same(tmp_path: Path, rng: random.Random) -> None:
    ways.read(ways.compose(rng), tmp_path, rng, ways=6)


@some
@given(rng=st.randoms(use_true_random=False))
def test_all_ways_give_the_same_kernels(tmp_path: Path, rng: random.Random) -> None:
    ways.read(ways.compose(rng), tmp_path, rng, ways=4, with_kernels=True)


@few
@given(rng=st.randoms(use_true_random=False))
def test_several_files_are_the_same_wherever_they_lie(
    tmp_path_factory: pytest.TempPathFactory, rng: random.Random
) -> None:
    one, two = (data for data in (ways.compose(rng), ways.compose(rng)))
    files = {"a.bin": one, "b.bin": two, "c/a.bin": one, "c/d.txt": b"text"}  # in the order in which a tree is walked
    root = tmp_path_factory.mktemp("ways")
    expected = facts(scan(lay_out(files, root / "tree"), with_sha256=True))
    store = Store(root / "store")
    zipped, tarred = build.zip_file(root / "x.zip", files), root / "x.tar.gz"
    tarred.write_bytes(ways.gzipped(build.tar(*(build.tar_member(name, data) for name, data in files.items()))))
    for path in (root / "tree", zipped, tarred):
        assert facts(scan(path, with_sha256=True)) == expected
        for _ in range(2):  # kept, and remembered
            assert facts(scan(path, with_sha256=True, store=store)) == expected
    with ways.in_pieces(rng.choice(ways.STEPS[2:]), threads=3):
        assert facts(scan(zipped, with_sha256=True)) == expected
        assert facts(scan(tarred, with_sha256=True)) == expected
    info = lay_out(
        {
            "METADATA": b"Name: x\nVersion: 1\n",
            "WHEEL": b"",
            "RECORD": "".join(f"{name},,\n" for name in files).encode(),
        },
        root / "tree/x-1.dist-info",
    )
    assert facts(scan_distribution(importlib.metadata.PathDistribution(info), with_sha256=True)) == expected


def lay_out(files: dict[str, bytes], root: Path) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def facts(artifact: Artifact) -> tuple[tuple[Library, ...], list[Finding]]:
    return artifact.libraries, [finding for finding in artifact.findings if finding.code != "no-gpu-code"]


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


def test_code_in_a_section_that_is_not_searched_does_not_count_against_a_limit(tmp_path: Path) -> None:
    # Of a stream it did, for the members of a static library that followed.
    host = build.elf([build.section(".text", GOOD * 20 + bytes(8), flags=6), build.section(".nv_fatbin", GOOD * 2)])
    data = build.ar([("a.o", host), ("b.o", host)])
    found = ways.read(data, tmp_path, random.Random(1), limits=Limits(entries=46))  # noqa: S311 - to be repeated
    assert (found.libraries[0].fatbins[0].count, found.findings) == (4, ())


def test_an_object_that_is_cut_off_is_as_long_in_a_stream(tmp_path: Path) -> None:
    # As the last member of a static library in a tar archive it seemed to end where it had been read to.
    data = build.ar([("a.o", build.coff([build.section(".nv_fatbin", GOOD * 9), build.section(".data", GOOD)]))])[:-900]
    found = ways.read(data, tmp_path, random.Random(1))  # noqa: S311 - to be repeated
    assert "truncated-file" in {finding.code for finding in found.findings}
