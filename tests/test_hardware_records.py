"""What real GPUs once answered, against the rules of today.

A disagreement fails, unless the record itself explains the entry (`explained`: pattern of entries to reason).
There is no record of a real GPU yet; what replays them is covered by `test_hardware_check` and by the last test here.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import hardware_check  # noqa: E402 - tools are no package

FOLDER = Path(__file__).parent / "hardware"
RECORDS = sorted(FOLDER.glob("*.json"))


NONE = pytest.param(FOLDER, id="none", marks=pytest.mark.skip(reason="no real GPU has been asked yet"))


@pytest.mark.parametrize("path", [*RECORDS, *([] if RECORDS else [NONE])], ids=lambda path: path.stem)
def test_record_agrees_with_the_rules_of_today(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    rows = hardware_check.compare(record)
    assert rows
    assert record["unasked"] == 0
    assert [f"{row.status} {row.entry}: {row.said}; {row.found}" for row in rows if row.bad] == []
    assert all(len(reason.split()) >= 3 for reason in record["explained"].values()), "a reason, not a word"
    assert not re.search(r"/home/|/root|/Users/", path.read_text(encoding="utf-8"))


def test_the_folder_says_whether_there_are_any() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert ("None yet: no real GPU has been asked" in text) == (not RECORDS)


def record(**changed: Any) -> Any:
    """A small one, written by hand."""
    gpu = {"capability": "9.0", "name": "H100", "uuid": "GPU-1234", "pci": "0000:01:00.0", "mig_profile": None}
    image = {"kind": "sass", "target": "sm_90"}
    run = {"load": 0, "function": 0, "launch": 0, "wrote": True}
    whole = {
        "schema": 1,
        "driver": {"release": "580.65.06", "cuda": "13.0"},
        "devices": [gpu],
        "fleet": [gpu],
        "images": [
            {
                "name": "x",
                "facts": {"images": [image]},
                "runs": [{"device": "9.0", "mode": "default", "module": run, "library": {"load": -1}}],
            }
        ],
        "visible": [{"value": "0", "order": "PCI_BUS_ID", "code": 0, "sees": ["GPU-1234"]}],
        "told": {"nvidia-smi": {"devices": [{**gpu, "driver": "580.65.06"}]}, "torch": {"devices": [gpu]}},
        "unasked": 0,
        "explained": {},
    }
    return {**whole, **changed}


def statuses(value: Any) -> dict[str, str]:
    return {row.entry: row.status for row in hardware_check.compare(value)}


def test_replay_of_one_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert statuses(record()) == {
        "images/x/9.0/default/module": "agree",  # the driver of the other way has no such function
        "visible/PCI_BUS_ID/'0'": "agree",
        "devices/torch": "agree",
        "devices/nvidia-smi": "agree",
        "driver/nvidia-smi": "agree",
    }
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record()))
    assert hardware_check.main(["--replay", str(file)]) == 0
    refused = record()
    refused["images"][0]["runs"][0]["module"] = {"load": 209}
    file.write_text(json.dumps(refused))
    assert hardware_check.main(["--replay", str(file)]) == 1
    assert "disagree images/x/9.0/default/module: the rules say runs (exact-image); refused" in capsys.readouterr().out
    file.write_text(json.dumps(record(schema=0)))
    assert hardware_check.main(["--replay", str(file)]) == 2


@pytest.mark.parametrize(
    ("run", "status"),
    [
        ({"load": 209}, "disagree"),
        ({"load": 0, "function": 500}, "disagree"),
        ({"load": 0, "function": 0, "launch": 209}, "disagree"),
        ({"load": 2}, "unsettled"),  # out of memory says nothing about the code
        ({"load": 0, "function": 0, "memory": 2}, "unsettled"),
        ({"load": 0, "function": 0, "launch": 700}, "unsettled"),
        ({"load": 0, "function": 0, "launch": 0, "wrote": False}, "unsettled"),
        ({"ended": "signal 11"}, "unsettled"),
        ({"context": 46}, "unsettled"),
    ],
)
def test_only_what_speaks_of_the_code_is_an_answer(run: Any, status: str) -> None:
    value = record()
    value["images"][0]["runs"][0]["module"] = run
    assert statuses(value)["images/x/9.0/default/module"] == status


def test_each_part_can_disagree() -> None:
    gpu = record()["devices"][0]
    assert statuses(record(visible=[{"value": "0", "order": "PCI_BUS_ID", "code": 0, "sees": []}]))[
        "visible/PCI_BUS_ID/'0'"
    ] == ("disagree")
    assert statuses(record(visible=[{"value": "0", "order": None, "ended": "timeout", "sees": []}]))[
        "visible/default/'0'"
    ] == ("unsettled")
    other = {**gpu, "capability": "8.0", "driver": "570.26"}
    found = statuses(record(told={"torch": {"devices": []}, "nvidia-smi": {"devices": [other]}}))
    assert {found[name] for name in ("devices/torch", "devices/nvidia-smi", "driver/nvidia-smi")} == {"disagree"}
    times = {"capably": [{"uuids": ["GPU-1234"]}, {"uuids": []}, {"missing": "x"}]}
    again = [status for entry, status in statuses(record(told={"times": times})).items() if "again" in entry]
    assert again == ["agree", "disagree", "unsettled"]
