"""Lists are read as the tools read them: their own answers, recorded, and laws about writing them."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from capably.arch import ComputeCapability
from capably.archlist import ListError, Reading, read
from capably.version import CudaVersion

RECORD = Path(__file__).parent / "data/archlists_recorded.jsonl"
# The tools whose order is one of a set, or of a fatbin, where it means nothing.
UNORDERED = ("flashinfer", "nvcc-arch", "nvcc-gencode")
IS_TARGET = re.compile(r"(sm|compute|lto)_[1-9][0-9]{1,2}[af]?", re.ASCII)


@functools.cache
def recorded() -> tuple[dict[str, Any], ...]:
    return tuple(map(json.loads, RECORD.read_text(encoding="utf-8").splitlines()))


def ours(case: dict[str, Any], version: str) -> Reading:
    return read(
        case["input"],
        case["dialect"],
        version,
        devices=[ComputeCapability.parse(device) for device in case.get("devices", ())],
        build_list=case.get("build_list"),
        toolkit=CudaVersion.parse(case["toolkit"]) if "toolkit" in case else None,
    )


def agrees(case: dict[str, Any], answer: dict[str, Any], reading: Reading) -> bool:
    if "stops" in answer:
        return reading.error is not None
    code = [name.rpartition(">")[2] for name in answer["code"]]
    if not all(map(IS_TARGET.fullmatch, code)):
        return reading.error is not None and reading.error.code is ListError.INVALID_TARGET_PASSED_ON
    if reading.targets is None:
        # CMake was recorded without its check of the compiler, which is one of the table of toolkits.
        return case["dialect"] == "cmake" and reading.error is not None and reading.error.code == "compiler-rejects"
    found = list(map(str, reading.targets))
    return set(found) == set(code) if case["dialect"] in UNORDERED else found == code


@pytest.mark.parametrize("dialect", sorted({case["dialect"] for case in recorded()}))
def test_every_recorded_answer_of_the_tool_itself_is_ours(dialect: str) -> None:
    wrong = [
        (version, {name: value for name, value in case.items() if name != "answers"}, answer, reading)
        for case in recorded()
        if case["dialect"] == dialect
        for answer in case["answers"]
        for version in answer["versions"]
        if not agrees(case, answer, reading := ours(case, version))
    ]
    assert not wrong, f"{len(wrong)} differ, the first: {wrong[0]}"
