"""The bug that capably began with, on the real FlashInfer: what it does alone, and what it does after configure().

    python examples/flashinfer_bug.py [--work FOLDER] [--python VENV/bin/python] [--pip-option=OPTION]...

Any Python that has pip will do, on Linux; it needs a C compiler and about 1.7 GB of disk, and fetches some 300 MB. Everything is
put into FOLDER, a temporary one unless it is named: a virtual environment with capably from this checkout and torch
2.13.0, whose build for the CPU is taken where there is one (no GPU and no CUDA is used), and two releases of FlashInfer, each
in a folder of its own: 0.2.5 from its source distribution, which has the check of the report, and 0.7.2.post1. Of what
FlashInfer names as dependencies only what these checks import is installed. The GPUs are those of the simulated
driver of tests/fake_driver; the case without a GPU is that of this machine, which should have none. What it does it says on
standard error, what it finds on standard output. With --python that environment, which needs torch and pip, gets what is
missing.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OLD, NEW = "0.2.5", "0.7.2.post1"
TORCH = "torch==2.13.0"
TORCH_IMPORTS = ("filelock", "fsspec", "jinja2", "networkx", "setuptools>=70.1", "sympy", "typing-extensions")
# Of the builds for Linux on x86-64 that without CUDA, 190 MB: the other brings the libraries of NVIDIA with it.
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
# What `flashinfer.jit` imports, without the rest of what FlashInfer names: kernels for real GPUs.
NEEDED = {
    OLD: ("setuptools>=70.1", "numpy", "packaging", "ninja"),
    NEW: ("apache-tvm-ffi<0.2", "nvidia-ml-py", "requests", "tabulate", "tqdm", "einops", "click"),
}
REPORTED = "5.2 6.0 7.0 7.5 8.0 8.6 9.0+PTX"

H100 = "gpu cc=9.0 uuid=GPU-33333333-aaaa-0000-0000-000000000003 pci=0000:1b:00.0 name=NVIDIA_H100_80GB_HBM3 memory=81559 sm=132 speed=8"
V100 = "gpu cc=7.0 uuid=GPU-70707070-aaaa-0000-0000-000000000001 pci=0000:1a:00.0 name=Tesla_V100-SXM2-32GB memory=32510 sm=80 speed=5"
RTX5090 = "gpu cc=12.0 uuid=GPU-55555555-aaaa-0000-0000-000000000005 pci=0000:2b:00.0 name=NVIDIA_GeForce_RTX_5090 memory=32607 sm=170 speed=9"

CHECK = """
import json, logging, os, sys, warnings
warnings.simplefilter("ignore"); logging.disable()
said = {}
if sys.argv[1] == "configure":
    from capably.integrations import flashinfer as for_flashinfer
    said["configured"] = str(for_flashinfer.configure())
    assert not {"torch", "flashinfer"} & set(sys.modules)
try:
    from flashinfer.jit import core
    core.check_cuda_arch()
    said["check"] = "passes"
    if hasattr(core, "current_compilation_context"):
        flags = core.current_compilation_context.get_nvcc_flags_list()
    else:
        from torch.utils.cpp_extension import _get_cuda_arch_flags
        flags = _get_cuda_arch_flags()
    said["flags"] = [flag for flag in flags if "gencode" in flag]
except Exception as error:
    where = "check_cuda_arch()" if "core" in globals() else "import flashinfer"
    said["check"] = f"{where} raises {type(error).__name__}: {error}"
print("\\n" + json.dumps(said))
"""

PREBUILT = """
import json, logging, sys, warnings
warnings.simplefilter("ignore"); logging.disable()
from capably.integrations import flashinfer as for_flashinfer
for_flashinfer.configure()
from flashinfer.jit import env
said = {}
for name in ("built_for_80", "built_for_90a"):
    before = [one.path.name for one in env.get_aot_artifacts(name)]
    said[name] = [before, str(for_flashinfer.prebuilt(env.FLASHINFER_AOT_DIR / name / (name + ".so"))).partition(": ")[2]]
for_flashinfer.guard_prebuilt()
for name in said:
    said[name].append([one.path.name for one in env.get_aot_artifacts(name)])
print("\\n" + json.dumps(said))
"""


# Writes a library with GPU code, as the tests do.
LIBRARY = """
import pathlib, sys
tests, target, place = sys.argv[1:]
sys.path.insert(0, tests)
import build
pathlib.Path(place).write_bytes(build.library(build.fatbin([build.sass(target)])))
"""


class Bench:
    """The virtual environment, the two releases, and the machines."""

    def __init__(self, work: Path, python: Path | None, options: list[str]) -> None:
        self.work, self.options = work, options
        self.started = time.monotonic()
        self.python = python or self.environment()
        self.pip("capably from this checkout", str(ROOT))
        self.releases = {version: self.release(version) for version in (OLD, NEW)}
        self.driver = work / "driver"
        self.empty = work / "no-cuda"
        self.empty.mkdir(exist_ok=True)
        self.build_driver()

    def environment(self) -> Path:
        """The Python of a virtual environment with torch, which is made where it is not there."""
        self.python = python = self.work / "venv/bin/python"
        if not python.exists():
            self.say(f"a virtual environment in {self.work / 'venv'}")
            subprocess.run([sys.executable, "-m", "venv", self.work / "venv"], check=True)
        if not any((self.work / "venv").glob("lib/python*/site-packages/torch-*.dist-info")):
            if (sys.platform, platform.machine()) == ("linux", "x86_64"):
                self.pip("torch for the CPU, 190 MB", "--no-deps", f"{TORCH}+cpu", "--extra-index-url", CPU_BUILDS)
            else:
                self.pip("torch", "--no-deps", TORCH)
            self.pip("what torch imports", *TORCH_IMPORTS)
        return python

    def say(self, doing: str) -> None:
        """What is done now, and how long it has taken to come so far."""
        print(f"[{time.monotonic() - self.started:4.0f} s] {doing}", file=sys.stderr, flush=True)

    def pip(self, what: str, *arguments: str) -> None:
        """Install *what* into the environment."""
        self.say(f"pip installs {what}")
        line = [str(self.python), "-m", "pip", "install", "--quiet", *self.options, *arguments]
        done = subprocess.run(line, check=False)
        if done.returncode:
            raise SystemExit(f"pip could not install {what}: what it said is above; --work FOLDER keeps what is there")

    def release(self, version: str) -> Path:
        """The folder of one release of FlashInfer."""
        folder = self.work / f"flashinfer-{version}"
        if not (folder / "flashinfer").is_dir():
            self.pip(f"what FlashInfer {version} imports", *NEEDED[version])
            source = ("--no-build-isolation", "--no-binary=flashinfer-python") if version == OLD else ()
            release = f"flashinfer-python=={version}"
            self.pip(f"FlashInfer {version}", "--no-deps", *source, "--target", str(folder), release)
        return folder

    def build_driver(self) -> None:
        """The two libraries of the simulated driver."""
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler is None:
            raise SystemExit("the simulated driver needs a C compiler")
        self.say(f"{Path(compiler).name} builds the simulated driver")
        self.driver.mkdir(exist_ok=True)
        for source, name in (("libcuda.c", "libcuda.so.1"), ("libnvidia_ml.c", "libnvidia-ml.so.1")):
            flags = ["-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(self.driver / name)]
            subprocess.run([compiler, *flags, str(ROOT / "tests/fake_driver" / source)], check=True)

    def run(self, version: str, gpus: tuple[str, ...], code: str, *arguments: str, **variables: str) -> dict[str, Any]:
        """What *code* prints as JSON beside FlashInfer *version*, on a machine with *gpus* and without nvcc."""
        fleet = self.work / "fleet.txt"
        fleet.write_text("\n".join(("driver 580.65.06", "cuda 13000", *gpus, "")))
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.work),
            "PYTHONPATH": str(self.releases[version]),
            "FLASHINFER_WORKSPACE_BASE": str(self.work / "workspace"),
            "CUDA_HOME": str(self.empty),  # searched first, and by all of them alone: so there is no nvcc
            **variables,
        }
        if gpus:
            environment |= {"LD_LIBRARY_PATH": str(self.driver), "FAKE_CUDA_FLEET": str(fleet)}
        done = subprocess.run(
            [self.python, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told


# What happened when this was written: FlashInfer, machine, list, then what it does alone and after configure().
PASSES = "passes"
TOO_OLD = {
    OLD: "check_cuda_arch() raises RuntimeError: FlashInfer requires sm75+",
    NEW: "check_cuda_arch() raises RuntimeError: FlashInfer requires GPUs with sm75 or higher.",
}
MACHINES = (("H100", (H100,)), ("V100 and H100", (V100, H100)), ("no GPU", ()))
OWN = {OLD: "TORCH_CUDA_ARCH_LIST", NEW: "FLASHINFER_CUDA_ARCH_LIST"}
LISTS = (
    ("7.0;9.0", H100, {OLD: TOO_OLD[OLD], NEW: "import flashinfer raises ValueError: too many values to unpack"}),
    ("9.0+PTX", H100, {OLD: PASSES, NEW: PASSES}),  # 0.7 asks nvcc for compute_90+PTX then, which it refuses
    ("9.0 ", H100, {OLD: "check_cuda_arch() raises ValueError: Unknown CUDA arch ()", NEW: "import flashinfer raises ValueError: not enough values"}),
    ("12.0", RTX5090, {OLD: PASSES, NEW: "import flashinfer raises RuntimeError: nvcc not found"}),
)  # fmt: skip


def show(bench: Bench, version: str, gpus: tuple[str, ...], expected: tuple[str, str], **variables: str) -> int:
    """Run one case without and with configure(), print both, and count what is not as it was."""
    wrong = 0
    for mode, wanted in zip(("alone", "configure"), expected, strict=True):
        told = bench.run(version, gpus, CHECK, mode, **variables)
        print("  alone:" if mode == "alone" else "  after configure():")
        if "configured" in told:
            print("    " + told["configured"].replace("\n", "\n    "))
        print(f"    its own check_cuda_arch(): {told['check']}")
        if "flags" in told:
            print(f"    flags: {' '.join(told['flags'])}")
        if not told["check"].startswith(wanted):
            wrong += 1
            print(f"    NOT AS BEFORE, which was: {wanted}")
        sys.stdout.flush()
    return wrong


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, help="where everything is put; kept, and used again")
    parser.add_argument("--python", type=Path, help="of an environment that has torch")
    parser.add_argument("--pip-option", action="append", default=[], help="passed on to pip")
    asked = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        work = (asked.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(work, asked.python and asked.python.absolute(), asked.pip_option)
        for version in (OLD, NEW):
            for machine, gpus in MACHINES:
                print(f"FlashInfer {version}, {machine}, TORCH_CUDA_ARCH_LIST={REPORTED!r}")
                expected = (TOO_OLD[version], PASSES if gpus else TOO_OLD[version])
                wrong += show(bench, version, gpus, expected, TORCH_CUDA_ARCH_LIST=REPORTED)
            for text, gpu, alone in LISTS:
                print(f"FlashInfer {version}, {'RTX 5090' if gpu == RTX5090 else 'H100'}, {OWN[version]}={text!r}")
                wrong += show(bench, version, (gpu,), (alone[version], PASSES), **{OWN[version]: text})
        wrong += prebuilt(bench)
    print("all as it was when this was written" if not wrong else f"{wrong} not as it was when this was written")
    return 1 if wrong else 0


def prebuilt(bench: Bench) -> int:
    """Two modules as if they had come prebuilt, for other GPUs and for this one."""
    folder = bench.releases[NEW] / "flashinfer/data/aot"
    names = {"built_for_80": "sm_80", "built_for_90a": "sm_90a"}
    for name, target in names.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        # By the Python that has capably: this one need not.
        line = [str(bench.python), "-c", LIBRARY, str(ROOT / "tests"), target, str(folder / name / f"{name}.so")]
        subprocess.run(line, check=True)
    print(f"FlashInfer {NEW}, H100, prebuilt modules")
    try:
        told = bench.run(NEW, (H100,), PREBUILT)
    finally:
        for name in names:
            shutil.rmtree(folder / name)
    for name, (before, verdict, after) in told.items():
        print(f"  {name}: it would load {before}, and with guard_prebuilt() {after or 'nothing, so it compiles'}")
        print(f"    {verdict}")
    return sum(
        (before, after) != ([f"{name}.so"], [f"{name}.so"] if name == "built_for_90a" else [])
        for name, (before, _, after) in told.items()
    )


if __name__ == "__main__":
    sys.exit(main())
