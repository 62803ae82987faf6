"""The simulated driver: built once with the C compiler that is at hand, and run in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from kept import kept

SOURCES = Path(__file__).parent / "fake_driver"
COMPILER = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
needs_compiler = pytest.mark.skipif(
    COMPILER is None or not sys.platform.startswith("linux"),
    reason="the simulated driver needs a C compiler on Linux",
)

RTX3090 = "gpu cc=8.6 uuid=GPU-11111111-aaaa-0000-0000-000000000001 pci=0000:41:00.0 name=NVIDIA_GeForce_RTX_3090 memory=24576 sm=82 speed=2"
RTX4090 = "gpu cc=8.9 uuid=GPU-22222222-aaaa-0000-0000-000000000002 pci=0000:81:00.0 name=NVIDIA_GeForce_RTX_4090 memory=24564 sm=128 speed=9"
H100 = "gpu cc=9.0 uuid=GPU-33333333-aaaa-0000-0000-000000000003 pci=0000:1b:00.0 name=NVIDIA_H100_80GB_HBM3 memory=81559 sm=132 speed=8"
H100B = "gpu cc=9.0 uuid=GPU-33333333-bbbb-0000-0000-000000000004 pci=0000:43:00.0 name=NVIDIA_H100_80GB_HBM3 memory=81559 sm=132 speed=8"
T4 = (
    "gpu cc=7.5 uuid=GPU-77777777-aaaa-0000-0000-000000000007 pci=0000:05:00.0 name=Tesla_T4 memory=15360 sm=40 speed=1"
)
A100 = "gpu cc=8.0 uuid=GPU-88888888-aaaa-0000-0000-000000000008 pci=0000:0a:00.0 name=NVIDIA_A100-SXM4-40GB memory=40960 sm=108 speed=7 mig=1"
SLICE1 = "slice uuid=MIG-aaaaaaaa-1111-0000-0000-000000000011 name=NVIDIA_A100-SXM4-40GB_MIG_1g.5gb memory=4864 sm=14"
SLICE2 = "slice uuid=MIG-bbbbbbbb-2222-0000-0000-000000000012 name=NVIDIA_A100-SXM4-40GB_MIG_2g.10gb memory=9856 sm=28"
ORIN = "gpu cc=8.7 uuid=GPU-99999999-aaaa-0000-0000-000000000009 pci=0000:00:00.0 name=Orin memory=30697 sm=16 speed=1 integrated=1"


@cache
def libraries() -> Path:
    """A folder with both libraries, built once for each version of their sources and of the compiler."""
    assert COMPILER is not None
    version = subprocess.run([COMPILER, "--version"], check=True, capture_output=True).stdout
    folder = Path(mkdtemp(prefix="fake-driver-"))
    for source, soname in (("libcuda.c", "libcuda.so.1"), ("libnvidia_ml.c", "libnvidia-ml.so.1")):
        out = folder / soname
        command = [COMPILER, "-shared", "-fPIC", "-O0", f"-Wl,-soname,{soname}", str(SOURCES / source), "-o"]

        def build(command: list[str] = command, out: Path = out) -> bytes:
            subprocess.run([*command, str(out)], check=True, capture_output=True, text=True)
            return out.read_bytes()

        inputs = (path.read_bytes() for path in sorted(SOURCES.iterdir()) if path.is_file())
        out.write_bytes(kept([version, *command, *inputs], build))
    return folder


@dataclass
class Host:
    """A machine whose driver is simulated, and whose files are a tree of its own.

    Attributes:
        folder: Of its own.
        fleet: Lines of the fleet file.
        nvml, cuda: Which libraries it has.
        release: In the name of its libcuda.
        library_folder: Where they lie.
    """

    folder: Path
    fleet: tuple[str, ...]
    nvml: bool = True
    cuda: bool = True
    release: str = "580.65.06"
    driver: str = "580.65.06"
    cuda_version: int = 13000
    library_folder: str = "lib"
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lib = self.folder / self.library_folder
        lib.mkdir(parents=True, exist_ok=True)
        if self.cuda:
            shutil.copy(libraries() / "libcuda.so.1", lib / f"libcuda.so.{self.release}")
            (lib / "libcuda.so.1").unlink(missing_ok=True)
            (lib / "libcuda.so.1").symlink_to(f"libcuda.so.{self.release}")
        if self.nvml:
            shutil.copy(libraries() / "libnvidia-ml.so.1", lib / "libnvidia-ml.so.1")
        text = "\n".join((f"driver {self.driver}", f"cuda {self.cuda_version}", *self.fleet, ""))
        (self.folder / "fleet.txt").write_text(text)

    @property
    def log(self) -> Path:
        return self.folder / "calls.log"

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of a process on this host."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CUDA_", "NVIDIA_", "CAPABLY_")) and name != "LD_LIBRARY_PATH"
        }
        return {
            **kept,
            "LD_LIBRARY_PATH": str(self.folder / self.library_folder),
            "FAKE_CUDA_FLEET": str(self.folder / "fleet.txt"),
            "FAKE_CUDA_LOG": str(self.log),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **self.environ,
            **more,
        }

    def run(self, code: str, **more: str) -> Any:
        """The JSON value that *code* prints, run in a process on this host; `PID` is the process."""
        script = f"import json, os\nPID = os.getpid()\ndef say(x): print(json.dumps(x))\n{code}"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=self.variables(**more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def calls(self, pid: int) -> list[str]:
        """What the process *pid* called, in order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[1] for line in lines if line.split()[0] == str(pid)]

    def all_calls(self) -> list[str]:
        """What anybody called."""
        return [line.split()[1] for line in self.log.read_text().splitlines()] if self.log.exists() else []
