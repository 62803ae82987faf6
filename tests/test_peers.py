"""What other projects' tests and tables state, as questions: capably agrees with each of the 1,201.

The projects are vLLM, FlashInfer, text-embeddings-inference, Rust-CUDA, warp, CMake and others; each case names the file
that it comes from. Most know a yes and a no only: PTX that the driver compiles is a yes then.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from capably.cli.conform import answer
from capably.errors import UnknownNameError
from capably.gpu_names import named_devices

ROWS = [
    json.loads(line) for line in (Path(__file__).parent / "data/peers.jsonl").read_text(encoding="utf-8").splitlines()
]
WORDS = {"yes": {"runs", "compiles"}, "compiles": {"compiles"}, "no": {"fails"}}
GROUPS = {
    name: list(rows)
    for name, rows in itertools.groupby(sorted(ROWS, key=lambda row: row["project"]), lambda row: row["project"])
}


def answered(row: dict[str, Any]) -> object:
    """What capably says to the question of a row, in the words of the row."""
    question, expected = row["question"], row["expected"]
    if row["kind"] == "name":
        try:
            return str(*{str(device.capability) for device in named_devices([question])})
        except UnknownNameError:
            return "error"
    found = answer(question if row["kind"] == "archlist" else {"id": row["what"], **question})
    if row["kind"] == "verdict":
        return expected if found["outcome"] in WORDS[expected] else found["outcome"]
    if row["kind"] == "archlist":
        return "error" if "error" in found else sorted(found["targets"])
    return found["answers"]


def test_there_are_as_many_as_were_collected() -> None:
    assert len(ROWS) == 1201
    assert {row["kind"] for row in ROWS} == {"verdict", "gate", "archlist", "name"}


@pytest.mark.parametrize("project", GROUPS)
def test_capably_agrees_with_what_a_project_states_of_itself(project: str) -> None:
    differing = [
        (row["kind"], row["what"], said, row["expected"])
        for row in GROUPS[project]
        if (said := answered(row)) != row["expected"]
    ]
    assert differing == []
