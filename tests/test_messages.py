"""What messages mean: real ones, the seven causes behind one of them, ordinary and hostile logs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from capably.arch import ComputeCapability, Target
from capably.facts import (
    Artifact,
    ArtifactKind,
    Device,
    Driver,
    DriverState,
    Fatbin,
    FatbinGroup,
    Finding,
    Image,
    ImageKind,
    Library,
    PtxJit,
    System,
    Toolkit,
    ToolkitKind,
)
from capably.knowledge import tables
from capably.messages import _TESTS, MOST_BYTES, Explanation, State, explain, recognise
from capably.probe import load
from capably.version import CudaVersion, DriverRelease

DATA = Path(__file__).parent / "data"
RECORDS = [json.loads(line) for line in (DATA / "messages.jsonl").read_text(encoding="utf-8").splitlines()]
EXPECTED = [json.loads(line) for line in (DATA / "messages_expected.jsonl").read_text(encoding="utf-8").splitlines()]


def machine(said: dict[str, Any] | None) -> System | None:
    """The machine that a report describes, as far as it does."""
    if said is None:
        return None
    nvccs = said.get("nvcc", [])
    return System(
        driver=Driver(DriverRelease.parse(said["driver"])) if "driver" in said else None,
        devices=tuple(Device(ComputeCapability.parse(text)) for text in said.get("devices", [])),
        toolkits=tuple(
            Toolkit(ToolkitKind.NVCC, f"/usr/local/cuda-{text}/bin/nvcc", cuda=CudaVersion.parse(text))
            for text in nvccs
        ),
        environment=tuple(said.get("env", {}).items()),
        distributions=tuple(said.get("packages", {}).items()),
        absence=said.get("absence"),
    )


def test_every_record_has_an_expectation() -> None:
    assert [(i + 1, record["id"]) for i, record in enumerate(RECORDS)] == [(e["line"], e["id"]) for e in EXPECTED]
    assert sum(e["answer"] != "none" for e in EXPECTED) >= 60


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: f"{e['line']}-{e['id']}")
def test_real_messages(expected: dict[str, Any]) -> None:
    found = explain(RECORDS[expected["line"] - 1]["symptom"], machine(expected.get("machine")))
    if expected["answer"] == "none":
        assert not found, [one.found.message.code for one in found]
        return
    assert found
    first = found[0]
    assert first.found.message.code == expected["message"]
    open_ = [one.cause.code for one in first.causes if one.state is not State.EXCLUDED]
    assert expected["cause"] is None or expected["cause"] in open_
    if expected["answer"] == "not-architecture":
        assert not first.architecture
        assert first.answer in (None, expected["cause"])
    else:
        assert first.architecture
        assert (first.answer or "cannot-tell") == expected["answer"]
