"""Real wheels against counts that NVIDIA's cuobjdump confirms (`data/groundtruth_public.jsonl`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import wheels

from capably.facts import Artifact, ArtifactKind
from capably.scanner import scan

LINES = (Path(__file__).parent / "data" / "groundtruth_public.jsonl").read_text().splitlines()
TRUTH = [json.loads(line) for line in LINES]


def summary(artifact: Artifact) -> dict[str, tuple[int, dict[str, object]]]:
    result: dict[str, tuple[int, dict[str, object]]] = {}
    for library in artifact.libraries:
        sections: dict[str, Any] = {}
        for group in library.fatbins:
            row = sections.setdefault(
                group.fatbin.section, {"sass": {}, "ptx": {}, "other": {}, "fatbins": 0, "stub_fatbins": 0}
            )
            row["fatbins"] += group.count
            row["stub_fatbins"] += group.count * group.fatbin.stub
            for image in group.fatbin.images:
                kind = image.kind.value if image.kind.value in ("sass", "ptx") else "other"
                target = str(image.target)
                row[kind][target] = row[kind].get(target, 0) + group.count
        result[library.path] = (library.size_bytes, sections)
    return result


@pytest.mark.network
@pytest.mark.parametrize("truth", TRUTH, ids=lambda truth: truth["wheel"].split("-py")[0].split("-cp")[0])
def test_wheel_equals_ground_truth(truth: dict[str, Any], tmp_path: Path) -> None:
    path = wheels.wheel_path(truth["wheel"], truth["sha256"])
    artifact = scan(path)
    assert artifact.kind is ArtifactKind.WHEEL
    assert summary(artifact) == {m["path"]: (m["bytes"], m["sections"]) for m in truth["members"]}
    assert {finding.code for finding in artifact.findings} <= {"foreign-gpu-code"}
    assert all(library.machine == "x86_64" and library.needed for library in artifact.libraries)
    # The same bytes from disk.
    import zipfile

    with zipfile.ZipFile(path) as archive:
        for library in artifact.libraries:
            archive.extract(library.path, tmp_path)
    tree = scan(tmp_path)
    assert tree.libraries == artifact.libraries
