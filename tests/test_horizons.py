"""Each table says how far it reaches, and beyond that the answer is unknown: a row in one table is none in another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from made_up import copy_of_the_source, run_there

if TYPE_CHECKING:
    from pathlib import Path

# What is asked of a GPU 90.0 with a driver of R990, one with R620, and a GPU 12.0 with R990.
QUESTIONS = """
import json, sys
import capably
from capably.arch import ComputeCapability, Target
from capably.facts import Device, Driver, Image, ImageKind, Toolkit, ToolkitKind
from capably.requirement import Requirement
from capably.version import CudaVersion, DriverRelease, PtxVersion

def outcomes(capability, branch):
    device, driver = Device(ComputeCapability.parse(capability)), Driver(DriverRelease(branch))
    nvcc = Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion(19, 9))
    found = {text: capably.judge(Requirement.parse(text), device, driver) for text in (
        "fp4", "tcgen05", "fp8", "wgmma", "mma-block-scale", "fp4 | >=90.0", "90.0f", "12.0f", ">=90.0", "smem>=100KiB")}
    found["nvcc 19.9"] = capably.judge(Requirement.parse(">=7.5"), device, driver, toolkit=nvcc)
    for target in ("sm_900", "sm_900a", "sm_120", "sm_120f"):
        found[target] = capably.judge(Image(ImageKind.SASS, Target.parse(target), stub=False), device, driver)
    ptx = Image(ImageKind.PTX, Target.parse("compute_90"), ptx=PtxVersion(19, 9), stub=False)
    found["PTX 19.9"] = capably.judge(ptx, device, driver)
    return {name: [verdict.outcome, verdict.reasons[0].code] for name, verdict in found.items()}

print(json.dumps({"new": outcomes("90.0", 990), "older driver": outcomes("90.0", 620), "12.0": outcomes("12.0", 990)}))
"""


def answers(folder: Path, *without: str) -> dict[str, dict[str, list[str]]]:
    copy_of_the_source(folder, without=frozenset(without))
    found: dict[str, dict[str, list[str]]] = json.loads(run_there(folder, "-c", QUESTIONS))
    return found


def test_a_gpu_that_the_table_of_features_does_not_know_has_none_of_them_for_certain(tmp_path: Path) -> None:
    found = answers(tmp_path)
    for feature in ("fp4", "tcgen05", "fp8", "wgmma", "mma-block-scale"):
        assert found["new"][feature] == ["unknown", "requirement-beyond-tables"]
    assert found["12.0"]["fp4"] == ["runs", "requirement-met"]
    assert found["12.0"]["tcgen05"][0] == "fails"
    assert found["new"]["fp4 | >=90.0"][0] == "runs"


def test_what_the_other_tables_know_of_a_new_gpu_is_answered(tmp_path: Path) -> None:
    found = answers(tmp_path)
    assert {name: found["new"][name][0] for name in ("90.0f", ">=90.0", "12.0f", "smem>=100KiB", "nvcc 19.9")} == {
        "90.0f": "runs",
        ">=90.0": "runs",
        "12.0f": "fails",
        "smem>=100KiB": "runs",
        "nvcc 19.9": "runs",
    }
    assert found["new"]["sm_900"] == ["runs", "exact-image"]
    assert found["new"]["sm_120"][0] == found["new"]["sm_120f"][0] == "fails"
    assert found["new"]["PTX 19.9"] == ["compiles", "ptx-forward"]
    assert found["older driver"]["sm_900"] == ["fails", "driver-too-old-for-device"]
    assert found["12.0"]["PTX 19.9"] == ["compiles", "ptx-forward"]


@pytest.mark.parametrize(
    ("without", "names"),
    [
        # A table that lacks the new row, and what is then not known.
        ("families", {"90.0f"}),
        ("driver_devices", {"sm_900", "sm_900a"}),
        ("shared_memory", {"smem>=100KiB"}),
        ("toolkits", {"nvcc 19.9"}),
        ("ptx", {"PTX 19.9"}),
    ],
)
def test_what_one_table_does_not_know_is_unknown_and_never_a_no(without: str, names: set[str], tmp_path: Path) -> None:
    found = answers(tmp_path, without)["new"]
    assert {name: found[name][0] for name in names} == dict.fromkeys(names, "unknown")


def test_a_reference_is_written_of_tables_with_new_rows(tmp_path: Path) -> None:
    """Only what the new rows say is added: a GPU, a toolkit and a driver take no edit of the tool, nor of its examples."""
    copy_of_the_source(tmp_path)
    before = {name: (tmp_path / "docs" / name).read_text() for name in ("reasons.md", "commands.md", "gate.md")}
    run_there(tmp_path, "tools/write_reference.py")
    after = {name: (tmp_path / "docs" / name).read_text() for name in before}
    assert after["commands.md"] == before["commands.md"]
    assert "### made-up-cause" in after["reasons.md"]
    assert "| Made up | program | `made-up-cause` |" in after["reasons.md"]
    assert [line for line in after["gate.md"].splitlines() if line.startswith("### ")] == [
        line for line in before["gate.md"].splitlines() if line.startswith("### ")
    ]
