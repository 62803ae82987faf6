"""Files that NVIDIA's compiler makes: what was asked for on its command line has to be found.

The compiler comes from its wheels, pinned by hash. It needs a host compiler, as always. What it made for the same
words, from the same files, with the same host compiler, is kept in the cache of the user.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

import build
import pytest
import wheels
from kept import kept

from capably.scanner import scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from capably.facts import Artifact, Image

pytestmark = [pytest.mark.network, pytest.mark.toolkit]

NVCC_13 = {
    "nvidia_cuda_nvcc-13.5.37-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": "f5c4f7ead5d964fb4af42bbf1e6d3ec3c1e6e9d83b53749f691d387e7fcaa3a7",
    "nvidia_cuda_crt-13.5.37-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": "e898b7f73d3035fa89915a3f7bf3b54a73e90249746111aed295822c4729bb29",
    "nvidia_nvvm-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl": "c41bfa362e407405163f103c2229f0765f8cc2ed7d148b754dc77f228bf7e070",
    "nvidia_cuda_runtime-13.5.37-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d",
}
PTXAS_12 = {
    "nvidia_cuda_nvcc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl": "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0",
}
SOURCE = "__global__ void k(float *x) { x[threadIdx.x] *= 2.0f; }\n"
NO_KERNEL = "int host() { return 1; }\n"
RELEASE = "9.5"  # of PTX, of CUDA 13.5
# All targets of CUDA 13.5 and of CUDA 12.9.
ALL_13 = [
    "75",
    "80",
    "86",
    "87",
    "88",
    "89",
    "90",
    "90a",
    "100",
    "100a",
    "100f",
    "103",
    "103a",
    "103f",
    "107",
    "107a",
    "107f",
    "110",
    "110a",
    "110f",
    "120",
    "120a",
    "120f",
    "121",
    "121a",
    "121f",
]
ALL_12 = "50 52 60 61 70 75 80 86 87 89 90 90a 100 100a 100f 101 101a 101f 103 103a 103f 120 120a 120f 121 121a 121f"
FEW = ["80", "90a", "100f", "121"]
Row = tuple[str, str, str, str]


def unpack(directory: Path, files: dict[str, str]) -> Path:
    for name, sha256 in files.items():
        with zipfile.ZipFile(wheels.wheel_path(name, sha256)) as archive:
            archive.extractall(directory)
    for tool in directory.glob("nvidia/*/**/bin/*"):
        tool.chmod(0o755)
    return directory / "nvidia"


class Toolkits:
    """NVIDIA's programs, unpacked once there is something to make with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def nvcc(self) -> Path:
        toolkit = unpack(self.folder / "13", NVCC_13) / "cu13"
        (toolkit / "lib/libcudart.so").symlink_to("libcudart.so.13")  # wheels hold no links
        (toolkit / "nvvm/lib64").mkdir(parents=True, exist_ok=True)
        (toolkit / "nvvm/lib64/libnvvm.so").symlink_to(toolkit / "lib/libnvvm.so.4")  # for the linker
        return toolkit / "bin/nvcc"

    @cached_property
    def ptxas(self) -> Path:
        return unpack(self.folder / "12", PTXAS_12) / "cuda_nvcc/bin/ptxas"

    @cached_property
    def pinned(self) -> str:
        """What decides what they make."""
        host = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout
        return f"{NVCC_13} {PTXAS_12} {host}"


@pytest.fixture(scope="module")
def toolkits(tmp_path_factory: pytest.TempPathFactory) -> Toolkits:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the compiler's wheels that are pinned here are those for Linux on x86_64")
    if not shutil.which("gcc"):
        pytest.skip("nvcc needs gcc, and there is none")
    return Toolkits(tmp_path_factory.mktemp("toolkit"))


class Compiler:
    """Runs nvcc in a directory and scans what it made."""

    LIBRARIES = "-L{libraries}"

    def __init__(self, toolkits: Toolkits, directory: Path) -> None:
        self.toolkits, self.directory = toolkits, directory
        (directory / "k.cu").write_text(SOURCE)
        (directory / "none.cu").write_text(NO_KERNEL)

    def made(self, *arguments: str, out: str | None = None) -> bytes:
        """The file that nvcc writes, or without one what it tells."""

        def make() -> bytes:
            nvcc = self.toolkits.nvcc
            words = [word.format(libraries=nvcc.parents[1] / "lib") for word in arguments]
            command = [str(nvcc), "--threads=2", *words, *(["-o", out] if out else [])]
            done = subprocess.run(command, cwd=self.directory, capture_output=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return (self.directory / out).read_bytes() if out else done.stderr

        files = [(self.directory / word).read_bytes() for word in arguments if (self.directory / word).is_file()]
        return kept([self.toolkits.pinned, *arguments, out or "", *files], make)

    def run(self, *arguments: str, source: str = "k.cu", out: str = "out") -> Artifact:
        made = self.made(*arguments, *([source] if source else []), out=out)
        (self.directory / out).write_bytes(made)
        return scan(self.directory / out)


@pytest.fixture
def compiler(toolkits: Toolkits, tmp_path: Path) -> Compiler:
    return Compiler(toolkits, tmp_path)


def gencode(codes: Sequence[str]) -> list[str]:
    """`sm_90a` as nvcc wants it: from PTX of the same name."""
    return [f"-gencode=arch=compute_{code.split('_')[1]},code={code}" for code in codes]


def row(image: Image) -> Row:
    marks = [
        mark
        for mark, there in [
            ("relocatable", image.relocatable),
            ("stub", image.stub),
            ("concatenated", image.concatenated),
        ]
        if there
    ]
    return (image.kind.value, str(image.target), image.compression.value, " ".join(marks))


def found(artifact: Artifact) -> dict[str, list[list[Row]]]:
    """All images of all fatbins by section, in the order of the file within each; fatbins sorted."""
    result: dict[str, list[list[Row]]] = {}
    for library in artifact.libraries:
        for group in library.fatbins:
            rows = sorted(row(image) for image in group.fatbin.images)
            result.setdefault(group.fatbin.section, []).extend([rows] * group.count)
    return {section: sorted(fatbins) for section, fatbins in result.items()}


def sass(targets: Sequence[str], compression: str = "none", marks: str = "") -> list[Row]:
    return [("sass", f"sm_{target}", compression, marks) for target in targets]


def ptx(targets: Sequence[str], compression: str = "zstd", marks: str = "") -> list[Row]:
    return [("ptx", f"compute_{target}", compression, marks) for target in targets]


def prelinked(artifact: Artifact) -> Counter[tuple[str, bool | None]]:
    result: Counter[tuple[str, bool | None]] = Counter()
    for library in artifact.libraries:
        for group in library.fatbins:
            result[group.fatbin.section, group.fatbin.prelinked] += group.count
    return result


def codes(artifact: Artifact) -> list[str]:
    return [finding.code for finding in artifact.findings]


@pytest.mark.parametrize("concat", [False, True], ids=["entries", "concatenated"])
@pytest.mark.parametrize("family", [False, True], ids=["others", "family-specific"])
def test_every_target_as_machine_code_and_ptx(compiler: Compiler, concat: bool, family: bool) -> None:
    # nvcc refuses sm_100 and sm_100f in one file.
    targets = [target for target in ALL_13 if target.endswith("f") is family]
    wanted = [f"{kind}_{target}" for target in targets for kind in ("sm", "compute")]
    artifact = compiler.run("-fatbin", *gencode(wanted), *(["--concat"] if concat else []))
    if concat:
        expected = sass(targets, "zstd", "concatenated") + ptx(targets, "zstd", "concatenated")
    else:
        expected = sass(targets) + ptx(targets)
    assert found(artifact) == {"file": [sorted(expected)]}
    images = artifact.libraries[0].fatbins[0].fatbin.images
    assert {str(image.ptx) for image in images if image.kind.value == "ptx"} == {RELEASE}
    assert {image.code_version for image in images if image.kind.value == "sass"} == {(1, 8)}
    assert codes(artifact) == []


@pytest.mark.parametrize(
    ("mode", "binary", "text"),
    [
        ("default", "none", "zstd"),
        ("balance", "none", "zstd"),
        ("size", "zstd", "zstd"),
        ("speed", "none", "lz4"),
        ("none", "none", "none"),
    ],
)
def test_modes_of_compression(compiler: Compiler, mode: str, binary: str, text: str) -> None:
    wanted = gencode([*(f"sm_{target}" for target in FEW), "compute_121"])
    artifact = compiler.run("-fatbin", *wanted, f"--compress-mode={mode}")
    assert found(artifact) == {"file": [sorted(sass(FEW, binary) + ptx(["121"], text))]}
    assert codes(artifact) == []


def test_one_container_and_what_stays_outside(compiler: Compiler) -> None:
    # Images of a class go together: PTX, code below 10.0, code from there on. One alone stays an entry.
    artifact = compiler.run("-fatbin", "--concat", *gencode(["sm_80", "sm_90a", "sm_100f", "compute_121"]))
    alone = sass(["100f"]) + ptx(["121"])
    assert found(artifact) == {"file": [sorted(sass(["80", "90a"], "zstd", "concatenated") + alone)]}


def test_objects(compiler: Compiler) -> None:
    wanted = gencode([*(f"sm_{target}" for target in FEW), "compute_90"])
    assert found(compiler.run("-c", *wanted)) == {".nv_fatbin": [sorted(sass(FEW) + ptx(["90"]))]}
    relocatable = compiler.run("-rdc=true", "-c", *wanted)
    expected = sorted(sass(FEW, "zstd", "relocatable") + ptx(["90"], "zstd", "relocatable"))
    assert found(relocatable) == {"__nv_relfatbin": [expected]}
    assert codes(relocatable) == ["link-input"]


def test_link_time_optimisation(compiler: Compiler) -> None:
    artifact = compiler.run("-c", "-rdc=true", *gencode([f"lto_{target}" for target in ("80", "90a", "100f")]))
    kinds = [(kind, target) for rows in found(artifact)["__nv_relfatbin"] for kind, target, _, _ in rows]
    assert kinds == [("ltoir", "lto_100f"), ("ltoir", "lto_80"), ("ltoir", "lto_90a")]
    assert codes(artifact) == ["link-input"]


def test_dlto(compiler: Compiler) -> None:
    arguments = ["-dlto", "-rdc=true", "-arch=sm_90a", "-Xcompiler=-fPIC"]
    artifact = compiler.run("-c", *arguments, out="k.o")
    # What the compiler tells the program that packs it.
    steps = compiler.made("--dryrun", "-c", *arguments, "k.cu").decode()
    images = re.findall(r"--image3=kind=(ptx|nvvm),sm=(\w+),", steps)
    names = {"ptx": ("ptx", "compute_"), "nvvm": ("ltoir", "lto_")}
    packed = sorted((names[kind][0], names[kind][1] + target) for kind, target in images)
    assert ("ltoir", "lto_90a") in packed
    [rows] = found(artifact)["__nv_relfatbin"]
    assert sorted((kind, target) for kind, target, _, _ in rows) == packed
    assert {(compression, "relocatable" in marks) for _, _, compression, marks in rows} == {("zstd", True)}
    # Linked it is machine code; what it was made of stays beside it.
    (compiler.directory / "twice.cu").write_text("__device__ float twice(float x) { return 2.0f * x; }\n")
    compiler.run("-c", *arguments, source="twice.cu", out="twice.o")
    link = ["-dlto", "-shared", "-arch=sm_90a", "-cudart=shared", compiler.LIBRARIES]
    library = compiler.run(*link, "k.o", "twice.o", source="", out="lib.so")
    assert codes(library) == ["link-time-ir"]
    linked = found(library)
    assert linked[".nv_fatbin"] == [sass(["90a"])]
    assert [[row[:2] for row in rows] for rows in linked["__nv_relfatbin"]] == [packed, packed]


def test_shared_libraries(compiler: Compiler) -> None:
    wanted = [*gencode(["sm_80", "sm_90a", "compute_90"]), "-Xcompiler=-fPIC", "-shared", "-cudart=shared"]
    wanted.append(compiler.LIBRARIES)
    plain = compiler.run(*wanted)
    # Linking adds a fatbin without kernels.
    assert found(plain) == {
        ".nv_fatbin": sorted([sorted(sass(["80", "90a"]) + ptx(["90"])), sass(["80", "90a"], "none", "stub")])
    }
    assert plain.libraries[0].machine == "x86_64"
    assert "libcudart.so.13" in plain.libraries[0].needed
    linked = found(compiler.run(*wanted, "-rdc=true"))
    assert Counter(target for rows in linked[".nv_fatbin"] for _, target, _, _ in rows) == {"sm_80": 1, "sm_90a": 1}
    kinds = {(kind, target) for rows in linked["__nv_relfatbin"] for kind, target, _, _ in rows}
    assert {("sass", "sm_80"), ("sass", "sm_90a"), ("ptx", "compute_90")} <= kinds
    assert all("relocatable" in marks for rows in linked["__nv_relfatbin"] for _, _, _, marks in rows)


def test_wrappers(compiler: Compiler) -> None:
    """What was compiled by -rdc=true is prelinked, in libraries and in the object that nvcc links; nothing else is."""
    common = [*gencode(["sm_80", "compute_90"]), "-Xcompiler=-fPIC"]
    plain = compiler.run("-c", *common, out="plain.o")
    (compiler.directory / "other.cu").write_text(SOURCE.replace("k(", "other("))
    related = compiler.run("-c", "-rdc=true", *common, source="other.cu", out="other.o")
    device_code = compiler.run("-dlink", *common, "other.o", source="", out="linked.o")
    assert prelinked(plain) == {(".nv_fatbin", False): 1}
    assert prelinked(related) == {("__nv_relfatbin", False): 1}
    assert prelinked(device_code) == {(".nv_fatbin", True): 1}
    link = ["-shared", *common, "-cudart=shared", compiler.LIBRARIES]
    library = compiler.run(*link, "plain.o", "other.o", source="", out="lib.so")
    assert prelinked(library) == {(".nv_fatbin", False): 1, (".nv_fatbin", True): 1, ("__nv_relfatbin", False): 1}
    archive = compiler.run("-lib", "plain.o", "other.o", "linked.o", source="", out="lib.a")
    assert prelinked(archive) == prelinked(library)


def test_sections_of_a_cubin_behind_their_table(compiler: Compiler) -> None:
    # ptxas has no option for it; NVIDIA's linker library writes such cubins.
    cubin = compiler.made("-cubin", "-arch=sm_90", "k.cu", out="k.cubin")
    data = build.elf([build.section(".rodata", build.pad8(build.table_first(cubin)) + cubin)])
    (compiler.directory / "host.so").write_bytes(data)
    ((bare,),) = [library.bare for library in scan(compiler.directory / "host.so").libraries]
    assert (str(bare.image.target), bare.count, bare.image.stub) == ("sm_90", 2, False)


def test_padding_to_an_alignment(compiler: Compiler) -> None:
    made = compiler.made("-c", *gencode(["sm_80"]), "-Xcompiler=-fPIC", "k.cu", out="k.o")
    (compiler.directory / "k.o").write_bytes(made)
    aligned = ["objcopy", "--set-section-alignment", ".nv_fatbin=256", "k.o"]
    parts = []
    for name in ("a.o", "b.o"):
        subprocess.run([*aligned, name], cwd=compiler.directory, check=True)
        parts.append(name)
    subprocess.run(["ld", "-r", "-z", "muldefs", *parts, "-o", "both.o"], cwd=compiler.directory, check=True)
    artifact = scan(compiler.directory / "both.o")
    assert (found(artifact), codes(artifact)) == ({".nv_fatbin": [sass(["80"])] * 2}, [])


def test_no_kernels(compiler: Compiler) -> None:
    artifact = compiler.run("-fatbin", *gencode(["sm_80", "sm_100f", "compute_90"]), source="none.cu")
    assert found(artifact) == {"file": [sorted(sass(["80", "100f"], "none", "stub") + ptx(["90"], "zstd", "stub"))]}


@pytest.mark.parametrize("target", ["75", "90", "90a", "100", "100a", "100f", "121a"])
def test_cubins_and_ptx_on_their_own(compiler: Compiler, target: str) -> None:
    cubin = compiler.run("-cubin", f"-arch=sm_{target}", out="k.cubin")
    assert found(cubin) == {"file": [sass([target])]}
    assert cubin.libraries[0].fatbins[0].fatbin.images[0].code_version == (1, 8)
    assert str(cubin.libraries[0].fatbins[0].fatbin.images[0].toolkit) == "13.5"
    text = compiler.run("-ptx", f"-arch=compute_{target}", out="k.ptx")
    assert found(text) == {"file": [ptx([target], "none")]}


def test_cubins_of_cuda_12(toolkits: Toolkits, tmp_path: Path) -> None:
    text = ".version 8.8\n.target sm_{}\n.address_size 64\n.visible .entry k()\n{{\n\tret;\n}}\n"

    def assembled(target: str, source: Path) -> bytes:
        out = tmp_path / "out"
        subprocess.run([toolkits.ptxas, f"-arch=sm_{target}", source, "-o", out], check=True, capture_output=True)
        return out.read_bytes()

    entries = []
    for target in ALL_12.split():
        source, cubin = tmp_path / f"{target}.ptx", tmp_path / f"{target}.cubin"
        source.write_text(text.format(target))
        inputs = [toolkits.pinned, "ptxas", target, text]
        cubin.write_bytes(kept(inputs, functools.partial(assembled, target, source)))
        artifact = scan(cubin)
        assert found(artifact) == {"file": [sass([target])]}
        image = artifact.libraries[0].fatbins[0].fatbin.images[0]
        assert str(image.toolkit) == "12.9"
        assert image.code_version == (1, 8 if int(re.sub("[af]", "", target)) >= 100 else 7)
        assert cubin.read_bytes()[8] == (8 if int(re.sub("[af]", "", target)) >= 100 else 7)
        entries.append(f"--image3=kind=elf,sm={target},file={cubin}")

    def pack() -> bytes:
        out = tmp_path / "packed"
        program = toolkits.nvcc.with_name("fatbinary")
        subprocess.run([program, "-64", f"--create={out}", *entries], check=True, capture_output=True)
        return out.read_bytes()

    out = tmp_path / "12.fatbin"
    out.write_bytes(kept([toolkits.pinned, "fatbinary", ALL_12, text], pack))
    assert found(scan(out)) == {"file": [sorted(sass(ALL_12.split()))]}
