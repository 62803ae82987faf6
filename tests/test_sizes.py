"""Estimates of size: against files of which every byte is known, and against what real wheels hold."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from typing import TYPE_CHECKING

import build
import pytest
import wheels

from capably.arch import Target, TargetKind
from capably.cli.app import run
from capably.facts import Artifact, ArtifactKind
from capably.scanner import scan
from capably.sizes import estimate

if TYPE_CHECKING:
    from pathlib import Path

XFORMERS = (
    "xformers-0.0.35-py39-none-manylinux_2_28_x86_64.whl",
    "ccc73c7db9890224ab05f5fb60e2034f9e6c8672a10be0cf00e95cbbae3eda7c",
)


def target(text: str) -> Target:
    return Target.parse(text)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Two fatbins; sm_80 in both, sm_90 and PTX in one of them."""
    one = build.fatbin(
        [build.sass("sm_80", filler=1024), build.sass("sm_90", filler=3000), build.ptx_entry("compute_90")]
    )
    two = build.fatbin([build.sass("sm_80", filler=512)])
    return build.wheel(tmp_path, "x", "1.0", {"x/_C.so": build.library(one, two), "x/none.so": build.library()})


def test_sizes_are_those_of_the_images(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo("x/_C.so")
    found = estimate(scan(wheel, with_kernels=True), {"x/_C.so": info.compress_size / info.file_size, "x/none.so": 1.0})
    (library,) = [lib for lib in scan(wheel, with_kernels=True).libraries if lib.fatbins]
    assert library.kernels is not None
    stored = [{part.image.target: part.stored_bytes for part in fatbin.images} for fatbin in library.kernels]
    a80, b80 = (fatbin[target("sm_80")] for fatbin in stored)
    assert (a80 - b80) == 512  # what was built
    a90 = stored[0][target("sm_90")]
    assert found.fatbins == 2
    eighty, ninety = found.of(target("sm_80")), found.of(target("sm_90"))
    assert eighty is not None
    assert ninety is not None
    assert (eighty.stored, eighty.fatbins, eighty.there) == (a80 + b80, 2, True)
    assert eighty.packed == round((a80 + b80) * info.compress_size / info.file_size)
    assert (ninety.stored, ninety.fatbins) == (a90, 1)
    # One that is not there: in each fatbin the mean of what is.
    other = found.of(target("sm_120"))
    assert other is not None
    assert (other.stored, other.fatbins, other.there) == (round((a80 + a90) / 2 + b80), 2, False)
    notes = list(found.notes([target("sm_90"), target("sm_120"), target("compute_120")]))
    assert "sm_120: not in this build" in notes[0]
    assert "sm_90: in 1 of the 2 fatbins" in notes[1]
    assert "compute_120: not in this build" in notes[2]
    assert list(found.notes([target("sm_80")])) == []


def test_nothing_tells_the_size_of_what_there_is_no_kind_of(tmp_path: Path) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(build.library(build.fatbin([build.sass("sm_80")])))
    found = estimate(scan(path, with_kernels=True), {})
    assert found.of(target("compute_80")) is None
    assert found.text(target("compute_80")) == ""
    assert "holds no PTX" in next(found.notes([target("compute_80")]))
    size = found.of(target("sm_80"))
    assert size is not None
    assert size.packed is None  # not in a wheel
    empty = estimate(Artifact("x", ArtifactKind.WHEEL), {})
    assert empty.of(target("sm_80")) is None
    assert empty.summary([target("sm_80")]) == "nothing to estimate from: this build holds no GPU code with kernels"
    assert list(empty.notes([target("sm_80"), target("compute_80")])) == []
    assert found.summary([target("compute_80")]).startswith("not known; "), "and not 0 bytes"


def test_the_command_tells_them(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["plan", "--gpu", "A100, H100", "--toolkit", "12.8", "--for", "nvcc", "--wheel", str(wheel)]
    assert run([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["targets"]
    assert [row["target"] for row in rows] == ["sm_80", "sm_90"]
    assert all(row["bytes"] > row["packed_bytes"] > 0 for row in rows)
    assert run(arguments) == 0
    text = capsys.readouterr().out
    assert "sm_80  about " in text
    assert "size  about " in text
    assert "note  sm_90: in 1 of the 2 fatbins of this build" in text


@pytest.mark.network
def test_a_target_that_is_taken_away_is_estimated_near_what_it_takes() -> None:
    artifact = scan(wheels.wheel_path(*XFORMERS), with_kernels=True)
    whole = estimate(artifact, {})
    real = [target for target in whole.sizes if target.kind is TargetKind.REAL]
    assert len(real) >= 3
    for taken in real:
        libraries = tuple(
            dataclasses.replace(
                library,
                kernels=tuple(
                    dataclasses.replace(fatbin, images=tuple(p for p in fatbin.images if p.image.target != taken))
                    for fatbin in library.kernels or ()
                ),
            )
            for library in artifact.libraries
        )
        guessed = estimate(dataclasses.replace(artifact, libraries=libraries), {}).of(taken)
        size = whole.sizes[taken]
        assert guessed is not None
        assert not guessed.there
        assert 0.7 < guessed.stored / size.stored < 1.4
