"""The scanner against NVIDIA's cuobjdump on every library of seven public wheels."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import wheels

from capably.facts import ImageKind, Library
from capably.scanner import scan
from capably.scanner.layout import FATBIN_SECTIONS

pytestmark = [pytest.mark.network, pytest.mark.toolkit]

CUOBJDUMP = (
    "nvidia_cuda_cuobjdump-13.5.37-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "38780fee50863252a0b8926357faa91615ca1c8346490563f33a06100cd73f58",
)
LINES = (Path(__file__).parent / "data" / "groundtruth_public.jsonl").read_text().splitlines()
TRUTH = [json.loads(line) for line in LINES]
# What cuobjdump gives up on, and what it says.
REFUSED = {
    "bitsandbytes/libbitsandbytes_cuda121.so": "cuobjdump fatal   : Invalid ELF in FILE",  # of bitsandbytes 0.50.2
    "xformers/_C.so": "cuobjdump fatal   : Invalid ELF in FILE",  # of xformers 0.0.28.post3 alone
}
REFUSED_IN = ("bitsandbytes-0.50.2-", "xformers-0.0.28.post3-")
_LINE = re.compile(r"^(ELF|PTX) file +[0-9]+: .*\.(sm_[0-9]+[af]?)\.(?:elf\.|elf|cubin|ptx)", re.MULTILINE)


@pytest.fixture(scope="module")
def cuobjdump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the wheel of cuobjdump that is pinned here is that for Linux on x86_64")
    directory = tmp_path_factory.mktemp("cuobjdump")
    with zipfile.ZipFile(wheels.wheel_path(*CUOBJDUMP)) as archive:
        archive.extractall(directory)
    (tool,) = directory.glob("**/bin/cuobjdump")
    tool.chmod(0o755)
    return tool


def by_cuobjdump(tool: Path, path: Path) -> tuple[Counter[tuple[str, str]], str]:
    """What it lists, and what it complains about."""
    command = [str(tool), "--all-fatbin", "--list-elf", "--list-ptx", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    listed = Counter((kind, target) for kind, target in _LINE.findall(done.stdout))
    assert sum(listed.values()) == len(re.findall(r"^(?:ELF|PTX) file ", done.stdout, re.MULTILINE)), done.stdout[-999:]
    fatal = [line for line in done.stderr.splitlines() if "fatal" in line]
    return listed, re.sub(r"'[^']*'", "FILE", fatal[0]) if fatal else ""


def by_capably(library: Library) -> Counter[tuple[str, str]]:
    """The same list: no `f` of machine code, and only the sections that it looks into."""
    result: Counter[tuple[str, str]] = Counter()
    for group in library.fatbins:
        if group.fatbin.section not in FATBIN_SECTIONS:
            continue
        for image in group.fatbin.images:
            target = str(image.target).replace("compute_", "sm_")
            if image.kind is ImageKind.SASS:
                result["ELF", target.removesuffix("f")] += group.count
            elif image.kind is ImageKind.PTX:
                result["PTX", target] += group.count
    return result


@pytest.mark.parametrize("truth", TRUTH, ids=lambda truth: truth["wheel"].split("-py")[0].split("-cp")[0])
def test_lists_agree(truth: dict[str, Any], cuobjdump: Path, tmp_path: Path) -> None:
    wheel = wheels.wheel_path(truth["wheel"], truth["sha256"])
    artifact = scan(wheel)
    assert artifact.libraries
    refused = {}
    with zipfile.ZipFile(wheel) as archive:
        for library in artifact.libraries:
            listed, problem = by_cuobjdump(cuobjdump, Path(archive.extract(library.path, tmp_path)))
            own = by_capably(library)
            if problem:
                refused[library.path] = problem
                assert listed < own, library.path  # as far as it got
            else:
                assert listed == own, library.path
    paths = {library.path for library in artifact.libraries} if truth["wheel"].startswith(REFUSED_IN) else set()
    assert refused == {path: problem for path, problem in REFUSED.items() if path in paths}
