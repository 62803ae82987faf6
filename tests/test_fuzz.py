"""A short run of the fuzzing harness; `tests/fuzz/harness.py` says how to make a long one."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import build
import pytest

from capably.scanner import DEFAULT_LIMITS
from capably.scanner.fatbin import Mode, walk
from capably.scanner.limits import Budget
from capably.scanner.source import BytesSource, StreamSource

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
import harness


@pytest.mark.parametrize("name", sorted(harness.TARGETS))
def test_mutated_inputs(name: str) -> None:
    count = 2_000 // harness.TARGETS[name].cost
    report = harness.run(name, count, seed=2)
    assert report.inputs == count
    assert report.broken == []
    assert report.slowest_s <= harness.SLOWEST_S, f"no. {report.slowest} of seed 2 takes {report.slowest_s:.1f} s"
    # Mutations that no parser lets in would prove nothing.
    assert 0.2 < report.deep / report.inputs < 0.95


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_an_input_that_waits_for_ever_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    waits = replace(harness.TARGETS["names_of_kernels"], parse=lambda _: bool((tmp_path / "pipe").read_bytes()))
    monkeypatch.setitem(harness.TARGETS, "names_of_kernels", waits)
    monkeypatch.setattr(harness, "_PATIENCE_S", 0.1)
    (broken,) = harness.run("names_of_kernels", 1, seed=2).broken or []
    assert "WaitsForeverError" in broken[1]


def test_inputs_can_be_made_again() -> None:
    assert all(harness.make(name, 7, 99) == harness.make(name, 7, 99) for name in harness.TARGETS)
    assert len({harness.make("cubin", 7, number) for number in range(50)}) > 40


@pytest.mark.parametrize("mode", Mode)
def test_the_edges_of_pieces_do_not_matter(mode: Mode) -> None:
    # Once, what lay behind a piece that ended within seven bytes after a find was never looked at.
    parts = [build.fatbin([build.sass("sm_80")]), build.fatbin([]), build.cubin("sm_86"), build.ptx() + b"\0"]
    data = bytes(8) + b"".join(part + bytes(-len(part) % 8) for part in parts) + build.fatbin([]) * 2
    expected = list(walk(BytesSource(data), 0, len(data), mode, Budget(DEFAULT_LIMITS)))
    assert expected
    for size in range(1, 200):
        pieces = iter([data[at : at + size] for at in range(0, len(data), size)])
        assert list(walk(StreamSource(pieces), 0, len(data), mode, Budget(DEFAULT_LIMITS))) == expected, size
