"""Loose files of equal code are judged, stored and told of as one, and nothing that is said changes by it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import build
import strategies
from hypothesis import given
from hypothesis import strategies as st

from capably.cli import main
from capably.engine import best_share, condense, headline, judge
from capably.facts import Artifact, ArtifactKind, Device
from capably.scanner import scan
from capably.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAMES = ("a/{}.cubin", "a/tests/{}.ptx", "a/lib{}.so", "cupti/libcupti{}.so")


@st.composite
def wheels(draw: st.DrawFn) -> Artifact:
    codes = draw(st.lists(strategies.libraries, min_size=1, max_size=3))
    chosen = draw(st.lists(st.tuples(st.sampled_from(codes), st.sampled_from(NAMES)), min_size=1, max_size=8))
    libraries = [
        replace(code, path=name.format(number), machine=code.machine if name.endswith(".so") else None)
        for number, (code, name) in enumerate(chosen)
    ]
    return Artifact("a.whl", ArtifactKind.WHEEL, tuple(libraries), name="a", files=len(libraries))


@given(wheels(), strategies.devices)
def test_nothing_that_is_said_of_the_whole_changes(wheel: Artifact, device: Device) -> None:
    condensed = condense(wheel)
    one, other = judge(wheel, device), judge(condensed, device)
    assert (one.coverage, one.at_least, one.at_most, one.counts) == (
        other.coverage,
        other.at_least,
        other.at_most,
        other.counts,
    )
    assert one.shares == other.shares
    assert {reason.code for reason in one.reasons} == {reason.code for reason in other.reasons}
    assert one.findings == other.findings
    assert headline(wheel, one).headline is headline(condensed, other).headline
    assert best_share(wheel) == best_share(condensed)
    assert sum(library.files for library in condensed.libraries) == len(wheel.libraries)
    assert condense(condensed) == condensed


def test_a_thousand_cubins_are_one_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = {f"many/{number}.cubin": build.cubin("sm_90", filler=number) for number in range(1000)}
    members |= {f"many/{number}.fatbin": build.fatbin([build.sass("sm_80")]) for number in range(10)}
    wheel = build.wheel(tmp_path, "many", "1", members)
    assert main(["check", str(wheel), "--gpu", "H100", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert [(library["files"], library["outcomes"]["runs"]) for library in result["libraries"]] == [
        (1000, 1000),
        (1, 0),
    ]
    assert result["outcomes"] == {"runs": 1000, "compiles": 0, "fails": 1, "unknown": 0}


def test_what_is_kept_of_many_files_is_small_and_the_same(tmp_path: Path) -> None:
    members = {f"many/{number}.cubin": build.cubin("sm_90", filler=number) for number in range(500)}
    wheel = build.wheel(tmp_path, "many", "1", members)
    store = Store(tmp_path / "store")
    first = scan(wheel, store=store)
    assert scan(wheel, store=store) == first
    assert len(first.libraries) == 500
    kept = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert kept < 60 * 500  # a path, a size, and little else
