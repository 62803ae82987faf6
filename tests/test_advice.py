"""One advice for one question: the same in text, JSON and doctor, and good for something when it is followed."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import build

from capably.cli import main

if TYPE_CHECKING:
    import pytest

NONE = Path(__file__).parent / "data" / "systems" / "none.json"
R570 = "Install a driver of branch R570 (CUDA 12.8) or newer."
R580 = "Install a driver of branch R580 (CUDA 13.0) or newer."
ANOTHER_BUILD = "se a build that targets sm_120 (CUDA 12.8 or newer), or plain PTX of at most compute_120."


def made(folder: Path, *entries: build.Entry, needs: str = "libcudart.so.12") -> Path:
    """A wheel with one library."""
    return build.wheel(
        folder, "kernels", "1.0", {"kernels/_C.so": build.library(build.fatbin(list(entries)), needed=(needs,))}
    )


def like_xformers(folder: Path) -> Path:
    """As xformers 0.0.28: machine code for older GPUs, PTX of CUDA 12.1, and the runtime of CUDA 12."""
    return made(folder, *map(build.sass, ("sm_60", "sm_80", "sm_90a")), build.ptx_entry("compute_80", "8.1"))


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def advised_by_check(capsys: pytest.CaptureFixture[str], wheel: Path, gpu: str, driver: str) -> dict[str, Any]:
    document = json.loads(answer(capsys, "check", str(wheel), "--gpu", gpu, "--driver", driver, "--json"))
    (result,) = document["results"]
    assert isinstance(result, dict)
    return result


def done_by_text(text: str) -> list[str]:
    """What stands behind `do`, each as one line."""
    found = re.findall(r"^ +do +(.*(?:\n {8,}\S.*)*)", text, re.MULTILINE)
    return [" ".join(re.sub(r"\n +(?:run) .*", "", one).split()) for one in found]


def told_by_doctor(capsys: pytest.CaptureFixture[str], wheel: Path, gpu: str, driver: str) -> tuple[list[str], str]:
    """The actions in the JSON about the package, and the text."""
    place = wheel.parent / "env"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "lib" / "python3.12" / "site-packages")
    asked = ["doctor", "--system", str(NONE), "--python", str(place), "--gpu", gpu, "--driver", driver]
    findings = json.loads(answer(capsys, *asked, "--json"))["findings"]
    about = [one["action"] for one in findings if one["subject"] == "kernels" and one["gpus"]]
    return about, answer(capsys, *asked, "-v")


def test_text_json_and_doctor_give_the_same_advice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """They gave three: a driver of R570, one of CUDA 12.1 with which nothing loads, and another build."""
    wheel = like_xformers(tmp_path)
    text = answer(capsys, "check", str(wheel), "--gpu", "RTX 5090", "--driver", "450.80.02")
    assert done_by_text(text) == [R570, R570]  # about the code, and about the runtime
    result = advised_by_check(capsys, wheel, "RTX 5090", "450.80.02")
    assert result["advice"] == [R570]
    assert {reason["way_out"] for reason in result["reasons"] if reason["outcome"] == "fails"} == {R570}
    actions, shown = told_by_doctor(capsys, wheel, "RTX 5090", "450.80.02")
    assert set(actions) == {R570}
    assert len(actions) == 2
    assert shown.count(f"do   {R570}") == 2


def test_the_advice_is_good_when_it_is_followed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wheel = like_xformers(tmp_path)
    before = advised_by_check(capsys, wheel, "RTX 5090", "R565")
    assert (before["coverage"], before["advice"]) == ("none", [R570])
    after = advised_by_check(capsys, wheel, "RTX 5090", "R570")
    assert (after["coverage"], after["advice"]) == ("full", [])
    # Nothing has to be done about an image that is for another GPU where one beside it loads.
    assert {reason["outcome"] for reason in after["reasons"]} == {"compiles", "fails"}
    assert {reason["way_out"] for reason in after["reasons"]} == {""}


def test_a_driver_that_loads_nothing_is_told_with_the_build_that_it_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wheel = made(tmp_path, build.sass("sm_80"), build.sass("sm_90"))
    both = f"Install a driver of branch R570 (CUDA 12.8) or newer, and u{ANOTHER_BUILD}"
    result = advised_by_check(capsys, wheel, "RTX 5090", "R550")
    assert result["advice"] == [both]
    assert {reason["way_out"] for reason in result["reasons"]} == {both}
    assert told_by_doctor(capsys, wheel, "RTX 5090", "R550")[0] == [both]
    served = advised_by_check(capsys, wheel, "RTX 5090", "R570")
    assert served["advice"] == [f"U{ANOTHER_BUILD}"] == list({reason["way_out"] for reason in served["reasons"]})


def test_the_runtime_counts_for_the_driver_that_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """R570 knows the GPU and compiles the PTX, and does not start a program of CUDA 13."""
    wheel = made(tmp_path, build.ptx_entry("compute_80", "8.1"), needs="libcudart.so.13")
    assert advised_by_check(capsys, wheel, "RTX 5090", "R550")["advice"] == [R580]
    actions, _ = told_by_doctor(capsys, wheel, "RTX 5090", "R550")
    assert actions == [R580, R580]


def test_what_no_driver_mends_is_told_beside_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A wheel for another processor stays one, whatever the driver."""
    result = advised_by_check(capsys, like_xformers(tmp_path), "DGX Spark", "450.80.02")
    assert result["advice"][-1] == "Use a build for that processor."
    assert result["advice"][0].startswith("Install a driver of branch R5")


def test_some_that_loads_is_looked_at_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A build for a GPU could not be more of one: what lacks it may be the counterpart for another."""
    code = build.library(build.fatbin([build.sass("sm_75")]), build.fatbin([build.sass("sm_90")]))
    wheel = build.wheel(tmp_path, "kernels", "1.0", {"kernels/_C.so": code})
    result = advised_by_check(capsys, wheel, "T4", "R550")
    (advice,) = result["advice"]
    assert advice.startswith("What does not load may be the same kernels for other GPUs")
    against = [reason for reason in result["reasons"] if reason["outcome"] == "fails"]
    assert [reason["way_out"] for reason in against] == [advice]
    elsewhere = advice.replace("--kernels lists", "`capably check kernels --kernels` lists")
    assert told_by_doctor(capsys, wheel, "T4", "R550")[0] == [elsewhere]
    assert done_by_text(answer(capsys, "check", str(wheel), "--gpu", "T4", "--driver", "R550")) == [advice]
