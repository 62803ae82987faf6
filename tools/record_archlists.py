"""Records what the tools themselves make of lists of architectures: ``tests/data/archlists_recorded.jsonl``.

Each parser is taken out of the released package that holds it (fetched with pip, once, into a folder that is
named), and is run over generated lists: torch's function with a stand-in for torch, its CMake file by CMake,
CMake itself on a project with nvcc, FlashInfer's class with a stand-in for torch, and ``nvcc --dryrun``. The
tests compare `capably.archlist.read` with the record. It needs Linux on x86_64, gcc and the package index:

    python tools/record_archlists.py FOLDER [DIALECT...]
"""

from __future__ import annotations

import ast
import collections
import concurrent.futures
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

RECORD = Path(__file__).parents[1] / "tests/data/archlists_recorded.jsonl"
NVCC = "13.0.88"  # compiles for CMake


class Case(NamedTuple):
    """What a tool is given."""

    text: str | None
    devices: tuple[str, ...] = ()
    build_list: tuple[str, ...] | None = None
    toolkit: str | None = None


Answer = dict[str, Any]
"""Either ``{"code": [...]}``, what the flags name, in order; or ``{"stops": "what it said"}``."""


class Parser(NamedTuple):
    """One version of a tool; those of the same *text* answer the same and are run once."""

    version: str
    ask: Callable[[Case], Answer]
    text: str


# ---------------------------------------------------------------------------------------------------------
# Fetching


def fetch(folder: Path, requirement: str, *options: str) -> Path:
    """The package file, from *folder* or the package index."""
    there = folder / requirement.replace("==", "-")
    if not there.is_dir():
        scratch = there.with_suffix(".part")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(scratch), requirement]
        subprocess.run([*command, *options], env={**os.environ, "PIP_CONSTRAINT": os.devnull}, check=True)
        scratch.rename(there)
    return next(path for path in there.iterdir() if path.name.endswith((".whl", ".tar.gz")))


def member(package: Path, ending: str) -> str:
    """The text of the one file in *package* whose path ends so."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as archive:
            return archive.read(next(name for name in archive.namelist() if name.endswith(ending))).decode()
    with tarfile.open(package) as tar:
        file = tar.extractfile(next(name for name in tar.getnames() if name.endswith(ending)))
        assert file is not None  # noqa: S101 - a file of that name
        return file.read().decode()


def unpacked(folder: Path, name: str, *packages: Path) -> Path:
    """The wheels, side by side, their programs executable."""
    there = folder / name
    if not there.is_dir():
        scratch = there.with_suffix(".part")
        for package in packages:
            with zipfile.ZipFile(package) as archive:
                archive.extractall(scratch)  # noqa: S202 - a zip, from the index
        for tool in [*scratch.glob("**/bin/*")]:
            tool.chmod(0o755)
        scratch.rename(there)
    return there


# ---------------------------------------------------------------------------------------------------------
# Lists to try

NUMBERS = (
    "2.0 3.0 3.5 3.7 5.0 5.2 5.3 6.0 6.1 6.2 7.0 7.2 7.5 8.0 8.6 8.7 8.8 8.9 9.0 9.0a 9.0f 10.0 10.0a 10.0f 10.1 10.1a "
    "10.3 10.3a 10.3f 10.7 10.7a 11.0 11.0a 11.0f 12.0 12.0a 12.0f 12.1 12.1a 12.1f 13.0 9.9"
).split()
NAMES = (
    "Kepler Kepler+Tesla Kepler+Tegra Maxwell Maxwell+Tegra Pascal Volta Volta+Tegra Turing Ampere Ampere+Tegra Ada "
    "Hopper Blackwell Blackwell+Tegra Rubin"
).split()
WORDS = "native Native all All Common Auto hopper OFF cpu sm_90 compute_90 90 90a 8 8. .0 8.00 08.0 x".split()
DEVICES = ("7.0", "7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1")


def torch_lists(seed: str) -> Iterator[str]:
    """Lists as people write them for torch, and slips."""
    for entry in (*NUMBERS, *NAMES, *WORDS):
        yield from (entry, f"{entry}+PTX")
    yield from ("", " ", ";", "+PTX", "8.0+ptx", "8.0+PTX+PTX", "8.0,9.0", "8.0;", ";8.0", "8.0  9.0", "8.0;;9.0")
    yield from ("9.0 ", " 9.0", "8.0\t9.0", "\t8.0", "8.0\n9.0", "8.6(8.0)", "8.6(8.0)+PTX", "12.1(2.0)", "8.6a(8.0)")
    yield from ("9.0a(9.0)", "8.6(8.6)", "8.6()", "8.0 9.0+PTX", "9.0;9.0+PTX", "9.0+PTX;9.0", "native;9.0", "All;8.0")
    yield from ("8.0;9.0+PTX ; 10.0", "7.0;7.5;8.0;8.9;9.0;10.0+PTX", "5.2 6.0 7.0 7.5 8.0 8.6 9.0+PTX", "8.0-9.0")
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    for _ in range(160):
        entries = [
            chance.choice((NUMBERS, NUMBERS, NAMES, NUMBERS + WORDS)[chance.randrange(4)])
            + ("+PTX" if chance.random() < 0.25 else "")
            for _ in range(chance.randint(2, 5))
        ]
        separators = [";", " ", ";", " ", "; ", ",", "  ", "\t"]
        yield "".join(e + chance.choice(separators if chance.random() < 0.3 else [";", " "]) for e in entries[:-1]) + (
            entries[-1] + ("" if chance.random() < 0.9 else chance.choice([";", " "]))
        )


def fleets(seed: str) -> Iterator[tuple[str, ...]]:
    """Visible devices."""
    yield ()
    yield from ((device,) for device in DEVICES)
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    for _ in range(25):
        yield tuple(chance.choices(DEVICES, k=chance.randint(2, 4)))


BUILDS = (
    ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"),
    ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "compute_90"),
    ("sm_80", "sm_90a", "sm_100f"),
    ("compute_90",),
    (),
)


# ---------------------------------------------------------------------------------------------------------
# What flags name


def code_of(flags: Iterable[str]) -> list[str]:
    """What ``code=`` and ``-arch=`` name, in order; ``arch>code`` where the two are of different numbers."""
    found = []
    for flag in flags:
        match = re.search(r"arch=([^,]+),code=(.+)", flag)
        if match is None:
            found.append(flag)
            continue
        for code in sorted(match[2].strip("[]").split(","), reverse=True):  # machine code first
            same = match[1].removeprefix("compute_") == code.partition("_")[2]
            found.append(code if same else f"{match[1]}>{code}")
    return found


# ---------------------------------------------------------------------------------------------------------
# torch, Python

TORCH = "2.5.1 2.6.0 2.7.1 2.8.0 2.9.1 2.10.0 2.11.0 2.12.1 2.13.0 2.14.1 2.15.0".split()
# The smallest wheels; what is wanted of them is the same on all platforms.
MAC = (
    "--only-binary=:all:",
    "--platform=macosx_11_0_arm64",
    "--platform=macosx_14_0_arm64",
    "--python-version=3.12",
)


def torch_file(folder: Path, version: str, ending: str) -> str:
    """A text file of torch, kept without the rest of it."""
    kept = folder / f"torch-{version}-{ending.rpartition('/')[2]}"
    if not kept.is_file():
        wheel = fetch(folder, f"torch=={version}", *MAC)
        for other in ("torch/utils/cpp_extension.py", "FindCUDA/select_compute_arch.cmake"):
            (folder / f"torch-{version}-{other.rpartition('/')[2]}").write_text(member(wheel, other), encoding="utf-8")
        shutil.rmtree(wheel.parent)
    return kept.read_text(encoding="utf-8")


def torch_python(folder: Path) -> Iterator[Parser]:
    """``_get_cuda_arch_flags`` of each version; those with the same text are run once."""
    for version in TORCH:
        source = torch_file(folder, version, "torch/utils/cpp_extension.py")
        tree = ast.parse(source)
        node = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "_get_cuda_arch_flags")
        text = ast.unparse(node)

        def ask(case: Case, text: str = text) -> Answer:
            devices = [tuple(map(int, device.split("."))) for device in case.devices]
            cuda = types.SimpleNamespace(
                device_count=lambda: len(devices),
                get_device_capability=lambda index: devices[index],
                get_arch_list=lambda: list(case.build_list or ()),
            )
            environ = {} if case.text is None else {"TORCH_CUDA_ARCH_LIST": case.text}
            quiet = types.SimpleNamespace(debug=lambda *_: None, warning=lambda *_: None)
            space: dict[str, Any] = {
                "os": types.SimpleNamespace(environ=environ),
                "torch": types.SimpleNamespace(
                    cuda=cuda, distributed=types.SimpleNamespace(is_available=lambda: False)
                ),
                "re": re,
                "collections": collections,
                "logger": quiet,
                "warnings": types.SimpleNamespace(warn=lambda *_: None),
                **dict.fromkeys(("List", "Optional", "Dict"), list),
                "Optional": collections.defaultdict(lambda: None),
                "List": list,
            }
            exec(text, space)  # noqa: S102 - this is what is recorded
            try:
                return {"code": code_of(space["_get_cuda_arch_flags"]())}
            except (ValueError, IndexError) as error:
                return {"stops": f"{type(error).__name__}: {error}"}

        yield Parser(version, ask, text)


def torch_python_cases() -> Iterator[Case]:
    """Lists without a GPU, and automatic detection."""
    yield from (Case(text, (), BUILDS[0]) for text in torch_lists("torch"))
    yield from (Case(None, fleet, build) for fleet in fleets("torch") for build in BUILDS)
    yield Case("native", ("9.0", "12.0"), BUILDS[0])
    yield Case("", ("9.0", "12.0"), BUILDS[0])


# ---------------------------------------------------------------------------------------------------------
# torch, CMake


def torch_cmake(folder: Path) -> Iterator[Parser]:
    """``CUDA_SELECT_NVCC_ARCH_FLAGS``, called as torch's ``utils.cmake`` does."""
    cmake = cmake_program(folder, "3.31.6")
    for version in TORCH:
        text = torch_file(folder, version, "FindCUDA/select_compute_arch.cmake")
        file = folder / f"torch-{version}-select_compute_arch.cmake"

        def ask(case: Case, file: Path = file) -> Answer:
            script = folder / "scripts" / f"{abs(hash((file, case)))}.cmake"
            script.parent.mkdir(exist_ok=True)
            detected = f'set(CUDA_GPU_DETECT_OUTPUT "{" ".join(case.devices)} ")' if case.devices else ""
            if "12.1" in case.devices:  # what the file itself does with the output of its probe
                detected += '\nstring(REPLACE "2.1" "2.1(2.0)" CUDA_GPU_DETECT_OUTPUT "${CUDA_GPU_DETECT_OUTPUT}")'
            script.write_text(
                f"set(CUDA_VERSION {case.toolkit})\n"
                "set(CMAKE_MODULE_PATH)\nset(PROJECT_BINARY_DIR ${CMAKE_CURRENT_BINARY_DIR}/scripts)\n"
                "function(try_run result)\n  set(${result} 1 PARENT_SCOPE)\nendfunction()\n"
                f"include({file})\n{detected}\n"
                "if(DEFINED ENV{LIST})\n  set(TORCH_CUDA_ARCH_LIST $ENV{LIST})\nendif()\n"
                "cuda_select_nvcc_arch_flags(FLAGS ${TORCH_CUDA_ARCH_LIST})\n"
                'message("FLAGS=${FLAGS}")\n',
                encoding="utf-8",
            )
            environ = {name: value for name, value in os.environ.items() if name != "LIST"}
            if case.text is not None:
                environ["LIST"] = case.text
            done = subprocess.run(
                [cmake, "-P", script], env=environ, cwd=folder, capture_output=True, text=True, check=False
            )
            script.unlink()
            if done.returncode:
                return {"stops": cmake_said(done.stderr)}
            flags = re.search(r"FLAGS=(.*)", done.stderr)
            assert flags is not None  # noqa: S101 - the last line of the script
            return {"code": code_of(flag for flag in flags[1].split(";") if flag not in ("", "-gencode"))}

        yield Parser(version, ask, text)


def torch_cmake_cases() -> Iterator[Case]:
    """The same lists by two toolkits, and detection by several."""
    yield from (Case(text, toolkit="13.0") for text in (*torch_lists("torch"), "Auto;", ";All", " All", "All+PTX;"))
    for toolkit in ("10.2", "11.0", "11.1", "11.4", "11.8", "12.4", "12.6", "12.8", "12.9", "13.0", "13.2", "13.4"):
        yield from (Case(word, toolkit=toolkit) for word in ("All", "Common", "Auto", None))
        yield from (Case(None, fleet, toolkit=toolkit) for fleet in [*fleets("cmake")][1:20])


# ---------------------------------------------------------------------------------------------------------
# CMake

CMAKE = "3.18.4.post1 3.23.3 3.24.3 3.25.2 3.27.9 3.28.4 3.31.6 3.31.10 4.0.0 4.0.2 4.1.0 4.4.4".split()
PROJECT = "cmake_minimum_required(VERSION 3.18)\nproject(p LANGUAGES CUDA)\nadd_library(x OBJECT x.cu)\n"


def cmake_said(text: str) -> str:
    """The first error; of one that CMake's own files make, only the file, as its words name places."""
    error = " ".join(text.partition("CMake Error")[2].partition("CMake Error")[0].split())
    module = re.match(r"at \S*/Modules/(?:\w+/)*(\w+\.cmake):", error)
    return module[1] if module else re.sub(r"^at \S+ \(\w+\): ", "", error.partition(" Call Stack")[0])[:120]


def cmake_program(folder: Path, version: str) -> Path:
    """CMake of that version."""
    wheel = fetch(folder, f"cmake=={version}")
    return unpacked(folder, f"unpacked-cmake-{version}", wheel) / "cmake/data/bin/cmake"


def nvcc_program(folder: Path, version: str, *, whole: bool = False) -> Path:
    """Nvcc of that version; *whole*: with what it takes to compile."""
    packages = [fetch(folder, f"nvidia-cuda-nvcc=={version}")]
    if whole:
        series = ".".join(version.split(".")[:2])
        packages += [fetch(folder, f"{name}=={series}.*") for name in ("nvidia-cuda-crt", "nvidia-nvvm")]
        packages += [fetch(folder, f"nvidia-cuda-runtime=={series}.*")]
    root = unpacked(folder, f"unpacked-nvcc-{version}{'-whole' * whole}", *packages) / "nvidia/cu13"
    if whole and not (root / "lib/libcudart.so").exists():
        (root / "lib/libcudart.so").symlink_to("libcudart.so.13")  # wheels hold no links
        (root / "lib64").symlink_to("lib")
    return root / "bin/nvcc"


def cmake(folder: Path) -> Iterator[Parser]:
    """CMake itself, configuring a project; the flags are those that it writes into its makefiles."""
    nvcc = nvcc_program(folder, NVCC, whole=True)
    for version in CMAKE:
        program = cmake_program(folder, version)

        def ask(case: Case, program: Path = program) -> Answer:
            work = folder / "projects" / f"{abs(hash((program, case)))}"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            (work / "CMakeLists.txt").write_text(PROJECT, encoding="utf-8")
            (work / "x.cu").write_text("", encoding="utf-8")
            command = [
                str(program),
                "-S",
                str(work),
                "-B",
                f"{work}/b",
                f"-DCMAKE_CUDA_COMPILER={nvcc}",
                "-GUnix Makefiles",
            ]
            command.append(f"-DCMAKE_CUDA_ARCHITECTURES={case.text}")
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            flags = work / "b/CMakeFiles/x.dir/flags.make"
            written = flags.read_text(encoding="utf-8") if not done.returncode and flags.is_file() else None
            shutil.rmtree(work)
            if written is None:
                return {"stops": cmake_said(done.stderr.replace(str(work), ""))}
            text = re.search(r"^CUDA_FLAGS = ?(.*)$", written, re.MULTILINE)
            assert text is not None  # noqa: S101 - CMake writes it always
            found = re.findall(r'"?--generate-code=([^" ]+)"?|(-arch=\S+)', text[1])
            return {"code": code_of(code or arch for code, arch in found)}

        yield Parser(version.removesuffix(".post1"), ask, version)


def cmake_cases() -> Iterator[Case]:
    """Lists of CMake, and slips."""
    for text in (
        "80|90a|90a-real|90f|120f|120f-real|121a-virtual|80;90|80-real;90-virtual|80;80|80;|;80|80;;90|80;90;|;|080|00|"
        "0|OFF|off|No|n|False|IGNORE|ignore|NOTFOUND|notfound|X-NOTFOUND|x-notfound|all|all-major|native|ALL|NATIVE|"
        "all;80|native;80|80;native||8.0|sm_80|80,90|80 90|80 | 80|80-PTX|80+PTX|90A|80-Real|80-real-virtual|80;-real|"
        "-real|compute_80|75-real;80-real;86-real;90|89;90a|100a;100f|9|130|1000|80a|80a-real|ON|TRUE|Hopper"
    ).split("|"):
        yield Case(text, toolkit="13.0")


# ---------------------------------------------------------------------------------------------------------
# FlashInfer

FLASHINFER = "0.3.1 0.4.0 0.5.3 0.6.5 0.6.6 0.6.7 0.6.8 0.6.15 0.6.16 0.6.18 0.7.0 0.7.1 0.7.2.post1".split()


def flashinfer(folder: Path) -> Iterator[Parser]:
    """``CompilationContext`` of each version, with stand-ins for torch and for nvcc's version."""
    for compiler in COMPILERS.values():
        nvcc_program(folder, compiler)
    for version in FLASHINFER:
        # The two oldest are source distributions, which pip does not fetch without building them: by hand, then.
        kept = folder / f"flashinfer-{version}-compilation_context.py"
        if kept.is_file():
            source = kept.read_text(encoding="utf-8")
        else:
            source = member(fetch(folder, f"flashinfer-python=={version}"), "flashinfer/compilation_context.py")

        def ask(case: Case, source: str = source) -> Answer:
            return flashinfer_answer(source, case, folder)

        yield Parser(version, ask, source)


# It asks this nvcc what it knows; of toolkits without one here, it takes that as little.
COMPILERS = {"13.0": "13.0.88", "13.4": "13.4.92"}


def flashinfer_answer(source: str, case: Case, folder: Path) -> Answer:
    """One run of the module."""
    devices = [tuple(map(int, device.split("."))) for device in case.devices]
    cuda = tuple(map(int, (case.toolkit or "13.0").split(".")))
    stand_ins = {
        "torch": types.SimpleNamespace(
            cuda=types.SimpleNamespace(
                device_count=lambda: len(devices), get_device_capability=lambda index: devices[index]
            ),
            version=types.SimpleNamespace(cuda=case.toolkit),
        ),
        "flashinfer.jit.cpp_ext": types.SimpleNamespace(
            is_cuda_version_at_least=lambda text: cuda >= tuple(map(int, text.split("."))),
            get_cuda_version=lambda: case.toolkit,
            get_cuda_path=lambda: str(folder / f"unpacked-nvcc-{COMPILERS.get(case.toolkit or '')}/nvidia/cu13"),
        ),
    }
    package = types.ModuleType("flashinfer")
    package.__path__ = []
    jit = types.ModuleType("flashinfer.jit")
    jit.__path__ = []
    before = {name: sys.modules.get(name) for name in (*stand_ins, "flashinfer", "flashinfer.jit")}
    listed = os.environ.pop("FLASHINFER_CUDA_ARCH_LIST", None)
    try:
        sys.modules.update({"flashinfer": package, "flashinfer.jit": jit, **stand_ins})  # type: ignore[dict-item]
        if case.text is not None:
            os.environ["FLASHINFER_CUDA_ARCH_LIST"] = case.text
        space: dict[str, Any] = {
            "__name__": "flashinfer.compilation_context",
            "__package__": "flashinfer",
            "__file__": "/nowhere/flashinfer/compilation_context.py",
        }
        exec(compile(source, "compilation_context.py", "exec"), space)  # noqa: S102 - this is what is recorded
        try:
            context = space["CompilationContext"]()
            flags = [flag for flag in context.get_nvcc_flags_list() if flag.startswith("-gencode")]
            return {"code": sorted(code_of(flags))}  # it holds them in a set
        except Exception as error:  # noqa: BLE001 - whatever it raises is the answer
            return {"stops": f"{type(error).__name__}: {error}"[:200]}
    finally:
        os.environ.pop("FLASHINFER_CUDA_ARCH_LIST", None)
        if listed is not None:
            os.environ["FLASHINFER_CUDA_ARCH_LIST"] = listed
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def flashinfer_cases() -> Iterator[Case]:
    """Torch's lists and slips of FlashInfer's own, by two toolkits; and detection."""
    own = ("9.", "9.0b", "9.0A", "8.6a", "99.9", "9.0a ", "9 .0", "٩.0", "1_0.0", "10.0 9.0a 8.0", "9.0 9.0a", "+9.0")
    for text in (*own, *torch_lists("flashinfer")):
        yield Case(text, toolkit="13.0")
    for toolkit in ("12.6", "12.8", "12.9", "13.4"):
        yield from (Case(f"{number} 8.0", toolkit=toolkit) for number in NUMBERS)
        yield from (Case(None, fleet, toolkit=toolkit) for fleet in fleets("flashinfer"))


# ---------------------------------------------------------------------------------------------------------
# flash-attention

FLASH_ATTN = "2.7.3 2.7.4.post1 2.8.0.post2 2.8.3.post2".split()


def flash_attn(folder: Path) -> Iterator[Parser]:
    """The statements of ``setup.py`` that make ``-gencode`` options. Source distributions: ``setup.py`` put by hand."""
    for version in FLASH_ATTN:
        tree = ast.parse((folder / f"flash-attn-{version}-setup.py").read_text(encoding="utf-8"))
        function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "cuda_archs")
        function.decorator_list = []  # its cache
        build = next(n for n in tree.body if isinstance(n, ast.If) and "bare_metal_version" in ast.unparse(n))
        chosen = [n for n in build.body if isinstance(n, ast.If) and "cuda_archs()" in ast.unparse(n)]
        text = "\n".join(map(ast.unparse, (function, *chosen)))

        def ask(case: Case, text: str = text) -> Answer:
            default = dict(() if case.text is None else [("FLASH_ATTN_CUDA_ARCHS", case.text)])
            space: dict[str, Any] = {
                "os": types.SimpleNamespace(getenv=default.get),
                "CUDA_HOME": "/usr/local/cuda",
                "Version": lambda number: tuple(map(int, number.split("."))),
                "bare_metal_version": tuple(map(int, (case.toolkit or "").split("."))),
                "cc_flag": [],
            }
            exec(text, space)  # noqa: S102 - this is what is recorded
            return {"code": code_of(flag for flag in space["cc_flag"] if flag != "-gencode")}

        yield Parser(version, ask, text)


def flash_attn_cases() -> Iterator[Case]:
    """Lists of flash-attention, and slips, by several toolkits."""
    numbers = "75 80 86 87 89 90 90a 100 103 110 120 121 8.0 sm_80".split()
    chance = random.Random("flash-attn")  # noqa: S311 - reproducible, not secret
    some = [";".join(chance.choices(numbers, k=chance.randint(2, 5))) for _ in range(40)]
    for toolkit in ("11.7", "11.8", "12.6", "12.8", "13.0"):
        for text in (None, "", " ", ";", "80 ", "80;", "80,90", "80 90", "90;80", "80;80", *numbers, *some):
            yield Case(text, toolkit=toolkit)


# ---------------------------------------------------------------------------------------------------------
# CuPy

CUPY = "12.0.0 12.3.0 13.0.0 13.4.1 13.6.0 14.0.1 14.2.0".split()


def cupy(folder: Path) -> Iterator[Parser]:
    """``_nvcc_gencode_options`` of each version. Source distributions: ``_compiler.py`` put by hand."""
    for version in CUPY:
        tree = ast.parse((folder / f"cupy-{version}-_compiler.py").read_text(encoding="utf-8"))
        function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "_nvcc_gencode_options")
        text = "from __future__ import annotations\n" + ast.unparse(function)

        def ask(case: Case, text: str = text) -> Answer:
            found = {int(device.replace(".", "")) for device in case.devices} or None
            space: dict[str, Any] = {
                "os": types.SimpleNamespace(getenv=lambda _, default: default if case.text is None else case.text),
                "sys": types.SimpleNamespace(argv=["setup.py"]),
                "platform": types.SimpleNamespace(machine=lambda: "x86_64"),
                "build": types.SimpleNamespace(get_compute_capabilities=lambda: found),
            }
            exec(text, space)  # noqa: S102 - this is what is recorded
            major, _, minor = (case.toolkit or "").partition(".")
            return {"code": sorted(code_of(space["_nvcc_gencode_options"](int(major) * 1000 + int(minor) * 10)))}

        yield Parser(version, ask, text)


def cupy_cases() -> Iterator[Case]:
    """What CuPy builds for by itself, by several toolkits and devices; and what it hands on."""
    for toolkit in ("12.0", "12.4", "12.8", "12.9", "13.0", "13.4"):
        yield Case(None, toolkit=toolkit)
        yield Case("", toolkit=toolkit)
        for fleet in ((), ("9.0",), ("8.6", "9.0"), ("5.2", "7.0"), ("9.0", "9.0", "12.0")):
            yield Case("current", fleet, toolkit=toolkit)
        pair = "arch=compute_90,code=sm_90"
        for text in (pair, f"{pair};;arch=compute_80,code=compute_80;", f"{pair};{pair}", ";"):
            yield Case(text, toolkit=toolkit)


# ---------------------------------------------------------------------------------------------------------
# nvcc

NVCCS = "13.0.88 13.1.115 13.2.86 13.3.73 13.4.92 13.5.37".split()


KINDS = {"elf": "sm", "ptx": "compute", "nvvm": "lto"}


def dryrun(nvcc: Path, *options: str) -> Answer:
    """What ``nvcc --dryrun`` would put into the fatbin, in order."""
    source = nvcc.parents[3] / "x.cu"
    source.touch()
    command = [str(nvcc), "--dryrun", "-c", str(source), "-o", "x.o", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=source.parent)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "fatal" in line or "error" in line.lower()]
        return {"stops": (lines or done.stderr.splitlines() or [""])[-1].replace(str(nvcc.parents[3]), "")[:200]}
    packed = re.findall(r'"?--image3?=kind=(\w+),sm=(\w+),', done.stderr)
    if not packed:
        return {"stops": "nothing packed", "said": done.stderr[:400]}
    return {"code": [f"{KINDS[kind]}_{number}" for kind, number in packed]}


def nvcc_arch(folder: Path) -> Iterator[Parser]:
    """``nvcc -arch=``."""
    for version in NVCCS:
        nvcc = nvcc_program(folder, version)

        def ask(case: Case, nvcc: Path = nvcc) -> Answer:
            return dryrun(nvcc, *([] if case.text is None else [f"-arch={case.text}"]))

        yield Parser(version, ask, version)


def nvcc_arch_cases() -> Iterator[Case]:
    """Values of ``-arch``."""
    yield Case(None)
    for number in "70 75 80 86 87 88 89 90 100 101 103 107 110 120 121 130".split():
        yield from (Case(f"{kind}_{number}{suffix}") for kind in ("sm", "compute") for suffix in ("", "a", "f"))
    yield from (
        Case(text) for text in ("all", "all-major", "native", "", "90", "SM_90", "sm_9", "lto_90", "sm_90,sm_80")
    )
    yield from (Case(text) for text in ("sm_90 ", "sm_090", "All", "hopper"))


def nvcc_gencode(folder: Path) -> Iterator[Parser]:
    """``nvcc -gencode``."""
    for version in NVCCS:
        nvcc = nvcc_program(folder, version)

        def ask(case: Case, nvcc: Path = nvcc) -> Answer:
            return dryrun(nvcc, *(case.text or "").split())

        yield Parser(version, ask, version)


def nvcc_gencode_cases() -> Iterator[Case]:
    """Pairs of virtual and real architectures, and slips."""
    numbers = "75 80 86 89 90 90a 100 100a 100f 103 103a 103f 110 110f 120 120a 120f 121 121a 121f".split()
    for first in numbers:
        for second in numbers:
            if int(first.rstrip("af")) <= int(second.rstrip("af")) + 5:
                yield Case(f"-gencode arch=compute_{first},code=sm_{second}")
        yield Case(f"-gencode arch=compute_{first},code=compute_{first}")
    for text in (
        "-gencode=arch=compute_90,code=sm_90",
        "--generate-code arch=compute_90,code=sm_90",
        "--generate-code=arch=compute_90,code=[sm_90,compute_90]",
        "-gencode arch=compute_80,code=[sm_80,sm_86,compute_80] -gencode arch=compute_90a,code=sm_90a",
        "-gencode arch=compute_90,code=sm_90 -gencode arch=compute_80,code=sm_80",
        "-gencode arch=compute_90,code=sm_90 -gencode arch=compute_90,code=sm_90",
        "-gencode code=sm_90,arch=compute_90",
        "-gencode arch=sm_90,code=sm_90",
        "-gencode arch=compute_90",
        "-gencode arch=compute_90,code=90",
        "-gencode arch=compute_80,code=compute_90",
        "-gencode arch=compute_90,code=compute_80",
        "-gencode",
    ):
        yield Case(text)


# ---------------------------------------------------------------------------------------------------------

DIALECTS: dict[str, tuple[Callable[[Path], Iterator[Parser]], Callable[[], Iterator[Case]], int]] = {
    "torch-python": (torch_python, torch_python_cases, 1),
    "torch-cmake": (torch_cmake, torch_cmake_cases, 2),
    "cmake": (cmake, cmake_cases, 2),
    "flashinfer": (flashinfer, flashinfer_cases, 1),
    "flash-attn": (flash_attn, flash_attn_cases, 1),
    "cupy": (cupy, cupy_cases, 1),
    "nvcc-arch": (nvcc_arch, nvcc_arch_cases, 2),
    "nvcc-gencode": (nvcc_gencode, nvcc_gencode_cases, 2),
}


def record(folder: Path, dialect: str) -> Iterator[dict[str, Any]]:
    """One line a case: what each version answers, those that agree together."""
    versions, cases, workers = DIALECTS[dialect]
    same: dict[str, list[str]] = {}
    asks: dict[str, Callable[[Case], Answer]] = {}
    for version, ask, text in versions(folder):
        same.setdefault(text, []).append(version)
        asks.setdefault(text, ask)
    todo = list(dict.fromkeys(cases()))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        answers = {text: list(pool.map(asks[text], todo)) for text in same}
    for index, case in enumerate(todo):
        merged: list[dict[str, Any]] = []
        for text, names in same.items():
            answer = answers[text][index]
            for other in merged:
                if {k: v for k, v in other.items() if k != "versions"} == answer:
                    other["versions"] += names
                    break
            else:
                merged.append({"versions": list(names), **answer})
        given = {
            k: v for k, v in case._asdict().items() if k != "text" and (v or (k == "build_list" and v is not None))
        }
        yield {"dialect": dialect, "input": case.text, **given, "answers": merged}


def main(arguments: list[str]) -> None:
    """Record the named dialects, or all; the lines of the others stay."""
    folder = Path(arguments[0]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chosen = arguments[1:] or list(DIALECTS)
    kept = RECORD.read_text(encoding="utf-8").splitlines() if RECORD.is_file() else []
    lines = {dialect: [line for line in kept if json.loads(line)["dialect"] == dialect] for dialect in DIALECTS}
    for dialect in chosen:
        lines[dialect] = [
            json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in record(folder, dialect)
        ]
        print(f"{dialect}: {len(lines[dialect])} cases")
    RECORD.write_text("".join(line + "\n" for dialect in DIALECTS for line in lines[dialect]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
