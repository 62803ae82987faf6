"""The scanner against NVIDIA's cuobjdump on every library of seven public wheels: lists of images, and kernels."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import wheels

from capably.facts import Artifact, ImageKernels, ImageKind, Library
from capably.scanner import scan
from capably.scanner.layout import FATBIN_SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_ENTRY = re.compile(r"FUNC +[A-Z]+ +[A-Z]+ +ENTRY ")
_USAGE = re.compile(r" +REG:([0-9]+) .*SHARED:([0-9]+) ")
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


def run(tool: Path, path: Path, *options: str) -> tuple[str, str]:
    """What it says about all fatbins of a file, and what it complains about."""
    command = [str(tool), "--all-fatbin", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    fatal = [line for line in done.stderr.splitlines() if "fatal" in line]
    return done.stdout, re.sub(r"'[^']*'", "FILE", fatal[0]) if fatal else ""


def by_cuobjdump(tool: Path, path: Path) -> tuple[Counter[tuple[str, str]], str]:
    """What it lists, and what it complains about."""
    output, problem = run(tool, path, "--list-elf", "--list-ptx")
    listed = Counter((kind, target) for kind, target in _LINE.findall(output))
    assert sum(listed.values()) == len(re.findall(r"^(?:ELF|PTX) file ", output, re.MULTILINE)), output[-999:]
    return listed, problem


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
    assert refused == expected_refusals(truth["wheel"], artifact)


def expected_refusals(wheel: str, artifact: Artifact) -> dict[str, str]:
    paths = {library.path for library in artifact.libraries} if wheel.startswith(REFUSED_IN) else set()
    return {path: problem for path, problem in REFUSED.items() if path in paths}


def kernels_by_cuobjdump(tool: Path, path: Path) -> Counter[tuple[str, str]]:
    """Targets and names of the kernels of machine code: the symbols that it calls entries."""
    output, problem = run(tool, path, "--dump-elf-symbols")
    assert not problem
    found: Counter[tuple[str, str]] = Counter()
    target = ""
    for line in output.splitlines():
        if line.startswith("arch = "):
            target = line.removeprefix("arch = ")
        elif _ENTRY.match(line):
            found[target, line.split()[-1]] += 1
    return found


def resources_by_cuobjdump(tool: Path, path: Path) -> Counter[tuple[str, str, int, int]]:
    """Targets and names of functions, their registers and the bytes of their shared memory."""
    output, problem = run(tool, path, "-res-usage")
    assert not problem
    found: Counter[tuple[str, str, int, int]] = Counter()
    target = name = ""
    for line in output.splitlines():
        if line.startswith("arch = "):
            target = line.removeprefix("arch = ")
        elif line.startswith(" Function "):
            name = line.removeprefix(" Function ").removesuffix(":")
        elif match := _USAGE.match(line):
            found[target, name, int(match[1]), int(match[2])] += 1
    return found


def machine_code(library: Library) -> Iterator[ImageKernels]:
    """Where cuobjdump looks."""
    assert library.kernels is not None
    for found in library.kernels:
        if found.section in FATBIN_SECTIONS:
            yield from (part for part in found.images if part.image.kind is ImageKind.SASS)


# What cuobjdump cannot read has no truth here: how many kernels capably finds, all targets together.
UNCONFIRMED = {
    "bitsandbytes/libbitsandbytes_cuda121.so": 2_828,
    "xformers/_C.so": 460,
}


@pytest.mark.parametrize("truth", TRUTH, ids=lambda truth: truth["wheel"].split("-py")[0].split("-cp")[0])
def test_kernels_agree(truth: dict[str, Any], cuobjdump: Path, tmp_path: Path) -> None:
    """Every name, for every target, as often as cuobjdump has it; registers and shared memory of each."""
    wheel = wheels.wheel_path(truth["wheel"], truth["sha256"])
    artifact = scan(wheel, with_kernels=True)
    refused = expected_refusals(truth["wheel"], artifact)
    assert not {finding.code for finding in artifact.findings} - {"foreign-gpu-code"}
    with zipfile.ZipFile(wheel) as archive:
        for library in artifact.libraries:
            own = Counter((str(p.image.target), name) for p in machine_code(library) for name in p.names or ())
            assert own
            if library.path in refused:
                assert own.total() == UNCONFIRMED[library.path]
                continue
            path = Path(archive.extract(library.path, tmp_path))
            assert own == kernels_by_cuobjdump(cuobjdump, path), library.path
            usage = Counter(
                (str(p.image.target), *row)
                for p in machine_code(library)
                for row in zip(p.names or (), p.registers, p.shared_bytes, strict=True)
            )
            # It lists functions that are no kernels too.
            assert usage <= resources_by_cuobjdump(cuobjdump, path), library.path
