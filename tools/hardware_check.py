"""Asks a real driver what capably claims: which code loads, which devices a process sees, who initialises what.

    python tools/hardware_check.py --pack images       on any machine: build what to carry along
    python tools/hardware_check.py --carry images      on the machine with the GPU

Every question that could crash or hang is a child process with a time limit. No setting of a GPU is changed.
The record is one JSON file; `compare` sets it against today's rules, here and whenever it is replayed.
Exit code: 0 everything agrees, 1 something does not, 2 the check could not run, or not to its end.
docs/hardware.md says how to read it.

Long, and one room: each question stands beside what the rules say of its answer, and a replay runs the same code.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import fnmatch
import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from capably import probe  # noqa: E402 - from this checkout, whatever is installed
from capably.arch import Suffix, Target, TargetKind  # noqa: E402
from capably.codes import Outcome  # noqa: E402
from capably.engine import judge  # noqa: E402
from capably.errors import CapablyError  # noqa: E402
from capably.facts import (  # noqa: E402
    Confidence,
    Device,
    Driver,
    Fatbin,
    PtxJit,
    ToolkitKind,
    from_object,
    to_object,
)
from capably.probe.compilers import Located, find_compilers  # noqa: E402
from capably.probe.visible import by_pci, parse_visible  # noqa: E402
from capably.tables import tables  # noqa: E402
from capably.version import CudaVersion, PtxVersion  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SCHEMA = 1
MOST_CARRIED = 64 << 20
PARTS = ("toolkits", "images", "visible", "devices", "compilers", "times")
CHILD = ROOT / "tools/hardware_child.py"
# How the driver is told to treat PTX: what the environment holds, and what the engine is told.
MODES = {
    "default": ({}, PtxJit.ALLOWED),
    "forced": ({"CUDA_FORCE_PTX_JIT": "1"}, PtxJit.FORCED),
    "disabled": ({"CUDA_DISABLE_PTX_JIT": "1"}, PtxJit.DISABLED),
}
WAYS = ("module", "library")
# CUresults that say: this code is not for this device, driver or setting. Any other says nothing about the code.
REFUSALS = frozenset({98, 200, 209, 218, 222, 223, 300, 301, 500})
_UNASKED = -1  # the function is not in this driver
PTX = """\
.version {version}
.target {target}
.address_size 64
"""
KERNEL = """\
.visible .entry k(.param .u64 p)
{
	.reg .b32 %r<2>;
	.reg .b64 %rd<3>;
	ld.param.u64 %rd1, [p];
	cvta.to.global.u64 %rd2, %rd1;
	mov.u32 %r1, 42;
	st.global.u32 [%rd2], %r1;
	ret;
}
"""
CUDA = 'extern "C" __global__ void k(unsigned *x) { *x = 42u; }\n'

Object = dict[str, Any]


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


# -- what to load


@dataclass(frozen=True)
class Sample:
    """A file with GPU code: its name among the samples, where it lies, and what is in it."""

    name: str
    file: Path
    fatbin: Fatbin


class Samples:
    """Collects files in a folder, with what the scanner reads in them."""

    def __init__(self, folder: Path, only: Sequence[str] = ()) -> None:
        self.folder, self.only = folder, only
        self.all: dict[str, Sample] = {}
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Remember what went wrong, once."""
        if text not in self.notes:
            self.notes.append(text)

    def add(self, name: str, data: bytes) -> Sample | None:
        """Add a file; None where the scanner makes nothing of it, which is noted."""
        from capably.scanner import scan  # noqa: PLC0415 - not needed where the carried ones have been read

        if not self.wants(name):
            return None
        file = self.folder / f"{len(self.all):04}.bin"
        file.write_bytes(data)
        try:
            libraries = scan(file).libraries
        except (CapablyError, ImportError) as error:
            self.note(f"{name} was not read: {str(error).splitlines()[0].replace(str(self.folder), '')}")
            return None
        groups = [group for library in libraries for group in library.fatbins]
        if len(groups) != 1:
            self.note(f"{name} holds {len(groups)} fatbins and was left out")
            return None
        return self.put(Sample(name, file, groups[0].fatbin))

    def put(self, sample: Sample) -> Sample | None:
        """Take a sample, if it is wanted."""
        if not self.wants(sample.name):
            return None
        self.all[sample.name] = sample
        return sample

    def wants(self, name: str) -> bool:
        """It is new, and one of those that are asked for."""
        asked = not self.only or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.only)
        return asked and name not in self.all

    def save(self) -> int:
        """Write the list of them; the bytes of all files."""
        rows = [
            {"name": sample.name, "file": sample.file.name, "facts": to_object(sample.fatbin)}
            for sample in self.all.values()
        ]
        listed = {file for row in rows if isinstance(file := row["file"], str)}
        for file in self.folder.glob("*.bin"):
            if file.name not in listed:
                file.unlink()
        (self.folder / "images.json").write_text(json.dumps({"schema": SCHEMA, "images": rows}, indent=1) + "\n")
        return sum(file.stat().st_size for file in self.folder.iterdir())


def carried(folder: Path, samples: Samples) -> None:
    """Take what lies in *folder*: a pack, or loose files (``*.cubin``, ``*.ptx``, ``*.fatbin``)."""
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    if size > MOST_CARRIED:
        raise ValueError(f"the carried folder holds {size >> 20} MB; the limit is {MOST_CARRIED >> 20}")
    index = folder / "images.json"
    if index.is_file():
        listed = json.loads(index.read_text(encoding="utf-8"))
        if listed["schema"] != SCHEMA:
            raise ValueError(f"the carried folder was packed for schema {listed['schema']}, not {SCHEMA}")
        for row in listed["images"]:
            samples.put(Sample(row["name"], folder / Path(row["file"]).name, from_object(Fatbin, row["facts"])))
        return
    loose = sorted(file for file in folder.iterdir() if file.suffix in (".cubin", ".ptx", ".fatbin"))
    for file in loose:
        data = file.read_bytes()
        sample = samples.add(file.name, data)
        if sample is not None and file.suffix == ".cubin":
            wrap_sass(samples, file.stem, data, sample)
    bundles(samples, [(file.stem, file.read_bytes()) for file in loose if file.suffix == ".cubin"])


def build(samples: Samples) -> Any:  # noqa: ANN401 - a module
    """The writers of containers; None where what they compress with is not installed, which is noted."""
    try:
        return importlib.import_module("build")
    except ImportError as error:
        samples.note(f"no containers were written: {error}")
        return None


def _flags(target: Target) -> int:
    """What NVIDIA's tools set beside what `build` does: this cubin is of the kind for compute capability 10 and up."""
    return 0x1000000 if target.capability.number >= 100 else 0


def wrap_sass(samples: Samples, name: str, data: bytes, sample: Sample) -> None:
    """The cubin *data* in every container; one without kernels or to be linked in the plain one only."""
    writer = build(samples)
    image = sample.fatbin.images[0]
    if writer is None or image.target is None:
        return
    forms = ("none",) if image.stub or image.relocatable else ("none", "lz4", "zstd")
    for form in forms:
        entry = writer.entry(
            "sass", str(image.target), data, compression=form, code_version=(1, data[8]), flags=_flags(image.target)
        )
        samples.add(f"{name}.fatbin-{form}", writer.fatbin([entry]))
    if len(forms) > 1:
        entry = writer.entry("sass", str(image.target), data, code_version=(1, data[8]), flags=_flags(image.target))
        for form in ("none", "zstd"):
            samples.add(f"{name}.concat-{form}", writer.fatbin([writer.concat([entry], form)]))


def ptx_text(target: Target, version: PtxVersion, *, kernel: bool = True) -> str:
    """PTX for a target: that writes a number, or without a kernel."""
    real = Target(target.capability, target.suffix)
    return PTX.format(version=version, target=real) + (KERNEL if kernel else "")


def oldest_ptx(target: Target) -> PtxVersion | None:
    """The oldest PTX version of the tables that knows *target*."""
    known = tables()
    span = known.emitting_toolkits(target)
    return None if span is None else next((ptx for cuda, ptx in known.ptx if cuda >= span[0]), None)


def texts(samples: Samples) -> None:
    """PTX needs no compiler: every target in every container, every version, and what must not load."""
    known, writer = tables(), build(samples)

    def add(name: str, target: Target, version: PtxVersion, *, wrapped: bool) -> None:
        text = ptx_text(target, version)
        samples.add(f"{name}.ptx", text.encode())
        if not wrapped or writer is None:
            return
        payload, code = text.encode() + b"\0", (version.major, version.minor)
        for form in ("none", "lz4", "zstd"):
            entry = writer.entry("ptx", str(target), payload, compression=form, code_version=code)
            samples.add(f"{name}.ptx-fatbin-{form}", writer.fatbin([entry]))
        entry = writer.entry("ptx", str(target), payload, code_version=code)
        samples.add(f"{name}.ptx-concat-zstd", writer.fatbin([writer.concat([entry])]))

    for capability in known.architectures:
        for suffix in Suffix:
            target = Target(capability, suffix, TargetKind.VIRTUAL)
            version = oldest_ptx(target)
            if version is not None:
                add(f"{target}-{version}", target, version, wrapped=True)
    base = Target.parse("compute_75")
    versions = [ptx for _, ptx in known.ptx]
    newest = versions[-1]
    for version in (*dict.fromkeys(versions), PtxVersion(newest.major, newest.minor + 1)):
        add(f"{base}-{version}", base, version, wrapped=False)
    samples.add("stub.ptx", ptx_text(base, versions[0], kernel=False).encode())
    if writer is not None:
        payload = ptx_text(base, versions[0]).encode() + b"\0"
        code = (versions[0].major, versions[0].minor)
        entry = writer.entry("ptx", str(base), payload, code_version=code, options="--compile-only  ")
        samples.add("relocatable.ptx-fatbin-none", writer.fatbin([entry]))


def bundles(samples: Samples, cubins: Sequence[tuple[str, bytes]]) -> None:
    """Fatbins of several images, as real ones are: the driver has to choose."""
    writer = build(samples)
    if writer is None:
        return
    entries = []
    for name, data in cubins:
        image = samples.all[name + ".cubin"].fatbin.images[0] if name + ".cubin" in samples.all else None
        if image is not None and image.target is not None and not image.stub and not image.relocatable:
            made = writer.entry("sass", str(image.target), data, code_version=(1, data[8]), flags=_flags(image.target))
            entries.append((image.target, made))
    if not entries:
        return
    base, version = Target.parse("compute_75"), tables().ptx[0][1]
    text = writer.entry(
        "ptx", str(base), ptx_text(base, version).encode() + b"\0", code_version=(version.major, version.minor)
    )
    everything = [made for _, made in entries]
    lowest = [made for target, made in entries if target == min(target for target, _ in entries)]
    samples.add("all-targets.fatbin", writer.fatbin(everything))
    samples.add("all-targets-and-ptx.fatbin", writer.fatbin([*everything, text]))
    samples.add("lowest-target-and-ptx.fatbin", writer.fatbin([*lowest, text]))


def _run(command: Sequence[str], folder: Path, seconds: float = 120) -> str | None:
    """What is wrong with a command; None where it worked."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]


def assembled(samples: Samples, compilers: Iterable[Located], until: float) -> None:
    """What the ptxas that are installed make: the newest first, older ones for what only they do otherwise."""
    assemblers = [one for one in compilers if one.toolkit.kind is ToolkitKind.PTXAS and one.toolkit.cuda is not None]
    assemblers.sort(key=lambda one: one.toolkit.cuda or CudaVersion(0, 0), reverse=True)
    wrapped: set[Target] = set()
    cubins: list[tuple[str, bytes]] = []
    done: set[CudaVersion] = set()
    for one in assemblers:
        cuda = one.toolkit.cuda
        if cuda is None or cuda in done:
            continue
        done.add(cuda)
        version = next((ptx for release, ptx in reversed(tables().ptx) if release <= cuda), tables().ptx[0][1])
        for target in one.toolkit.targets or ():
            if target.kind is not TargetKind.REAL:
                continue
            for kind, options, kernel in (("", (), True), ("stub-", (), False), ("relocatable-", ("-c",), True)):
                if (kind and target.suffix is not Suffix.NONE) or time.monotonic() > until:
                    continue
                source, result = samples.folder / "source.ptx", samples.folder / "result.cubin"
                source.write_text(ptx_text(target, version, kernel=kernel))
                command = [str(one.file), "-arch", str(target), *options, source.name, "-o", result.name]
                name = f"{kind}{target}-cuda{cuda}"
                if not samples.wants(f"{name}.cubin"):
                    continue
                problem = _run(command, samples.folder)
                if problem is not None:
                    samples.note(f"ptxas of CUDA {cuda} made no {kind}{target}: {problem}")
                    continue
                data = result.read_bytes()
                sample = samples.add(f"{name}.cubin", data)
                if sample is None or (not kind and target in wrapped):
                    continue
                wrap_sass(samples, name, data, sample)
                if not kind:
                    wrapped.add(target)
                    cubins.append((name, data))
    bundles(samples, cubins)
    for name in ("source.ptx", "result.cubin"):
        (samples.folder / name).unlink(missing_ok=True)


def compiled(samples: Samples, compilers: Iterable[Located], until: float) -> None:
    """Fatbins as the nvcc that are installed write them, by each of their ways to compress."""
    done: set[CudaVersion] = set()
    for one in compilers:
        cuda, targets = one.toolkit.cuda, one.toolkit.targets
        if one.toolkit.kind is not ToolkitKind.NVCC or cuda is None or not targets or cuda in done:
            continue
        done.add(cuda)
        numbers = sorted({target.capability for target in targets if target.suffix is Suffix.NONE})
        every = [f"-gencode=arch=compute_{one.number},code=sm_{one.number}" for one in numbers]
        lowest = f"-gencode=arch=compute_{numbers[0].number},code="
        source, result = samples.folder / "source.cu", samples.folder / "result.fatbin"
        source.write_text(CUDA)
        forms = {
            "all": [*every, f"{lowest}compute_{numbers[0].number}"],
            "ptx": [f"{lowest}compute_{numbers[0].number}"],
            **{
                f"all-{how}": [*every, f"--compress-mode={how}"] for how in ("none", "size", "speed", "balance")
            },
            "rdc": [*every, "-rdc=true"],
            "lto": [f"{lowest}lto_{numbers[0].number}"],
        }  # fmt: skip
        for name, options in forms.items():
            if time.monotonic() > until:
                samples.note("there was no time for everything that nvcc makes")
                break
            command = [str(one.file), "-fatbin", *options, source.name, "-o", result.name]
            if not samples.wants(f"nvcc{cuda}-{name}.fatbin"):
                continue
            problem = _run(command, samples.folder)
            if problem is None:
                samples.add(f"nvcc{cuda}-{name}.fatbin", result.read_bytes())
            else:
                samples.note(f"nvcc of CUDA {cuda} made no {name}: {problem}")
        for file in (source, result):
            file.unlink(missing_ok=True)


def collect(options: argparse.Namespace, folder: Path, compilers: Sequence[Located], until: float) -> Samples:
    """Everything to load: what is carried along, what the compilers here make, and PTX, which needs neither."""
    samples = Samples(folder, options.only)
    if options.carry is not None:
        carried(options.carry, samples)
    # A machine without the libraries that a scan needs has what was packed, and that only.
    assembled(samples, compilers, until)
    compiled(samples, compilers, until)
    texts(samples)
    return samples


# -- asking


def environment(**more: str) -> dict[str, str]:
    """The variables of a child: those of this process, without what changes how code is loaded."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CUDA_FORCE_", "CUDA_DISABLE_", "CUDA_CACHE_", "CUDA_MODULE_"))
    }
    return {**kept, "CUDA_CACHE_DISABLE": "1", **more}  # a cached compilation would answer for the driver


def ask(question: Object, seconds: float, variables: dict[str, str]) -> Object:
    """The answer of a child; where it ended early, what it had said until then, and how it ended."""
    command = [sys.executable, "-I", "-S", str(CHILD), json.dumps({**question, "seconds": seconds})]
    ended: str | None = None
    try:
        done = subprocess.run(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
        output = done.stdout
        if done.returncode:
            ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
    except subprocess.TimeoutExpired as error:
        output, ended = error.stdout or b"", "timeout"
    answer: Object = {}
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            answer.update(json.loads(line))
    return answer if ended is None else {**answer, "ended": ended}


def load_everything(
    samples: Samples, devices: Sequence[Device], seconds: float, jobs: int, until: float
) -> tuple[list[Object], int]:
    """Load each sample on each kind of device in each mode; and how many questions there was no time for."""
    chosen = list({device.capability: device for device in reversed(devices)}.values())
    runs: dict[str, list[Object]] = {name: [] for name in samples.all}
    left = 0

    def one(work: tuple[str, Device, Sample]) -> Object | None:
        mode, device, sample = work
        if time.monotonic() > until:
            return None
        question = {"do": "load", "file": str(sample.file), "device": device.ordinal}
        answer = ask({**question, "ways": WAYS}, seconds, environment(**MODES[mode][0]))
        if any(way not in answer for way in WAYS) or "ended" in answer or _spoilt(answer):
            # What the first way broke, the second one cannot use: each in a process of its own.
            answer = {
                way: {**apart.get(way, {}), **{key: apart[key] for key in ("ended", "context") if key in apart}}
                for way in WAYS
                for apart in [ask({**question, "ways": [way]}, seconds, environment(**MODES[mode][0]))]
            }
        return {"device": str(device.capability), "mode": mode, **{way: answer[way] for way in WAYS}}

    works = [(mode, device, sample) for mode in MODES for device in chosen for sample in samples.all.values()]
    with ThreadPoolExecutor(jobs) as pool:
        for index, (work, run) in enumerate(zip(works, pool.map(one, works), strict=True)):
            if run is None:
                left += 1
            else:
                runs[work[2].name].append(run)
            if index % 50 == 0:
                say(f"images: {index} of {len(works)}")
    rows = [
        {"name": name, "facts": to_object(sample.fatbin), "runs": runs[name]} for name, sample in samples.all.items()
    ]
    return rows, left


def _spoilt(answer: Object) -> bool:
    """A kernel failed in a way that leaves nothing to use of the context."""
    return any(answer[way].get("launch", 0) not in (0, *REFUSALS) for way in WAYS)


def visible_values(fleet: Sequence[Device]) -> list[str | None]:
    """Values of CUDA_VISIBLE_DEVICES, with the identifiers of the GPUs that are here."""
    whole = [one.uuid for one in by_pci(fleet) if one.uuid and one.uuid.startswith("GPU-")]
    slices = [one.uuid for one in fleet if one.uuid and one.uuid.startswith("MIG-")]
    count = max(1, len(whole))
    values: list[str | None] = [None]
    values += ["", "0", "1", "2", "1,0", "0,1", "2,1,0", "0,1,2", "0,5,1", "0,-1,1", "0,2,-1,1", "-1", "-1,0"]
    values += [str(count), f"{count - 1},{count}", "99999999999999999999", "NoDevFiles", "all", "none", "void", "0,all"]
    values += ["0,0", "0,1,0", "0,5,5", f"0,{count},{count}", "1gpu2,2ampere", "0gpu2", " 0", "0 ", "+0", "0x0", "00"]
    values += [" ", ",", ",0", "0,", "0,,1", "0 ,1", "0, 1", "0;1", "0.0", "GPU-", "MIG-", "gpu-"]
    values.append("MIG-00000000-0000-0000-0000-000000000000")
    free = next(digit for digit in "0123456789abcdef" if not any(one[4:5] == digit for one in whole) or digit == "f")
    for uuid in whole[:3]:
        short = uuid[:12]
        values += [uuid, short, uuid[:5], uuid[:6], uuid[:-1], uuid.upper(), short.lower(), "GPU-" + short[4:].upper()]
        values += [f"{uuid} ", f" {uuid}", f"{uuid},{uuid}", f"{uuid},{short}", f"0,{uuid}", f"{uuid},0", f"{uuid},"]
        values += [f"{uuid},GPU-{free}", f"GPU-{free},{uuid}", f"{uuid}0", f"MIG-{uuid}/0/0", f"MIG-{uuid}/1/0"]
        others = [other for other in whole if other != uuid][:2]
        for other in others:
            values += [
                f"{uuid},{other}",
                f"{short},{other[:12]}",
                f"{uuid}, {other}",
                _shared(uuid, other),
            ]
    for uuid in slices[:2]:
        values += [uuid, uuid[:-1], uuid.upper(), f"{uuid},0", f"0,{uuid}", f"{uuid},{uuid}"]
        values += [f"{uuid},{other}" for other in (*slices[:2], *whole[:1]) if other != uuid]
    return list(dict.fromkeys(values))


def _shared(one: str, other: str) -> str:
    """What both begin with: fits two."""
    same = (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[: next(same, None)]


def ask_visible(fleet: Sequence[Device], seconds: float, jobs: int, until: float) -> tuple[list[Object], int]:
    """What the driver makes of each value, in both orders that can be told; and how many were left."""
    works = [(value, order) for order in ("PCI_BUS_ID", None) for value in visible_values(fleet)]
    by_address = {one.pci: one.uuid for one in fleet if one.mig_profile is None}

    def one(work: tuple[str | None, str | None]) -> Object | None:
        value, order = work
        if time.monotonic() > until:
            return None
        variables = environment()
        for name, setting in (("CUDA_VISIBLE_DEVICES", value), ("CUDA_DEVICE_ORDER", order)):
            variables.pop(name, None)
            if setting is not None:
                variables[name] = setting
        answer = ask({"do": "visible"}, seconds, variables)
        answer.pop("seconds", None)
        sees = [_uuid(seen, fleet, by_address) for seen in answer.pop("devices", [])]
        return {"value": value, "order": order, **answer, "sees": sees}

    with ThreadPoolExecutor(jobs) as pool:
        rows = list(pool.map(one, works))
    return [row for row in rows if row is not None], rows.count(None)


def _uuid(seen: Object, fleet: Sequence[Device], by_address: dict[str | None, str | None]) -> str | None:
    """The device of the fleet that the driver means: by its identifier, else by its address."""
    digits = seen["uuid"]
    for one in fleet:
        if digits and one.uuid and re.sub("^(GPU|MIG)-|-", "", one.uuid).lower() == digits:
            return one.uuid
    return by_address.get(seen["pci"])


def ask_torch(seconds: float) -> Object:
    """What torch says about the devices, where it is installed."""
    if importlib.util.find_spec("torch") is None:
        return {"missing": "torch is not installed"}
    script = (
        "import json, torch\n"
        "if torch.version.cuda is None:\n"
        "    raise SystemExit(print(json.dumps({'missing': 'torch is built without CUDA'})))\n"
        "devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]\n"
        "print(json.dumps({'version': torch.__version__, 'devices': [\n"
        "    {'name': one.name, 'capability': f'{one.major}.{one.minor}'}\n"
        "    for one in devices]}))\n"
    )
    return _told([sys.executable, "-c", script], seconds)


def ask_smi(seconds: float) -> Object:
    """What nvidia-smi says about them, where it is installed."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {"missing": "there is no nvidia-smi"}
    try:
        done = subprocess.run(
            [program, "--query-gpu=uuid,name,compute_cap,driver_version", "--format=csv,noheader"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"missing": type(error).__name__}
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    if done.returncode or any(len(row) != 4 for row in rows):
        return {"missing": f"nvidia-smi ended with {done.returncode}"}
    names = ("uuid", "name", "capability", "driver")
    return {"devices": [dict(zip(names, row, strict=True)) for row in rows]}


def _told(command: Sequence[str], seconds: float, **more: str) -> Object:
    """The JSON object that a program prints last."""
    try:
        done = subprocess.run(
            command, env=environment(**more), capture_output=True, text=True, timeout=seconds, check=False
        )
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        return {"missing": f"no answer ({type(error).__name__})"}
    return answer if isinstance(answer, dict) else {"missing": "no object"}


def ask_compilers(device: Device, compilers: Iterable[Located], seconds: float) -> list[Object]:
    """Whether NVRTC and nvJitLink initialise the driver in the process that compiles: found out, not judged."""
    libraries = [one.file for one in compilers if one.toolkit.kind is ToolkitKind.NVRTC]
    folders = {file.parent for file in libraries} | {file.parents[2] / "nvjitlink/lib" for file in libraries}
    linkers = {
        Path(os.path.realpath(file)): file for folder in sorted(folders) for file in folder.glob("libnvJitLink.so.*")
    }
    version = tables().ptx[0][1]
    text = ptx_text(Target.parse("compute_75"), version)
    number = device.capability.number
    rows = []
    for kind, files in (("nvrtc", libraries), ("nvjitlink", list(linkers.values()))):
        for file in files:
            option = f"--gpu-architecture=sm_{number}" if kind == "nvrtc" else f"-arch=sm_{number}"
            for more in ([], ["--no-cache" if kind == "nvrtc" else "-no-cache"]):
                question = {"do": kind, "library": str(file), "options": [option, *more], "ptx": text}
                rows.append({"kind": kind, "options": more, **ask(question, seconds, environment())})
    return rows


def ask_times(seconds: float) -> Object:
    """Seconds until the first answer, of `capably.devices()` and of the driver; three processes each."""
    script = (
        "import json, time\nbegan = time.perf_counter()\nimport capably\nimported = time.perf_counter()\n"
        "found = capably.devices()\nended = time.perf_counter()\n"
        "print(json.dumps({'import': round(imported - began, 4), 'devices': round(ended - imported, 4), 'uuids': [one.uuid for one in found]}))"
    )
    runs = [_told([sys.executable, "-c", script], seconds, PYTHONPATH=str(ROOT / "src")) for _ in range(3)]
    inits = [ask({"do": "visible"}, seconds, environment()) for _ in range(3)]
    return {"capably": runs, "cuInit": [init.get("seconds") for init in inits]}


# -- comparing


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        entry: Its name, by which a record explains it.
        status: ``agree``; ``disagree``; ``settled``: the rules left it open and the GPU answered;
            ``unsettled``: the answer says nothing (a crash, a time limit, another error).
        said: What the rules say.
        found: What the GPU did.
        explained: Why a disagreement is none, where the record says so.
    """

    entry: str
    status: str
    said: str
    found: str
    explained: str | None = None

    @property
    def bad(self) -> bool:
        """Nobody has explained why it does not agree."""
        return self.status in ("disagree", "unsettled") and self.explained is None


def compare(record: Object) -> list[Row]:
    """Every entry of *record* against the rules of today. Nothing here looks at a machine.

    An explanation that explains nothing is a disagreement too: it is out of date.
    """
    if record.get("schema") != SCHEMA:
        raise ValueError(f"the record is of schema {record.get('schema')}, not {SCHEMA}")
    explained: dict[str, str] = record.get("explained", {})
    rows, used = [], set()
    for row in (*_images(record), *_visible(record), *_devices(record)):
        pattern = next((one for one in explained if fnmatch.fnmatchcase(row.entry, one)), None)
        if pattern is not None and row.bad:
            used.add(pattern)
            rows.append(replace(row, explained=explained[pattern]))
        else:
            rows.append(row)
    stale = [Row(f"explained/{one}", "disagree", "explains", "nothing") for one in explained if one not in used]
    return [*rows, *stale]


def _what_happened(run: Object) -> str:
    """What a driver made of an image: ``ran``, ``refused: CODE``, ``unasked``, or why that is not known."""
    if "ended" in run or "context" in run:
        return f"unsettled: {run.get('ended') or 'no context, ' + str(run['context'])}"
    for step in ("load", "function", "memory", "launch"):
        code = run.get(step, 0)
        if code == _UNASKED:
            return "unasked"
        if code:
            refused = code in REFUSALS and step != "memory"
            return f"{'refused' if refused else 'unsettled'}: {step} gave {code}"
    return "ran" if run.get("wrote") is True else "unsettled: the kernel wrote nothing"


def _images(record: Object) -> Iterator[Row]:
    driver = from_object(Driver, record["driver"])
    for image in record["images"]:
        fatbin = from_object(Fatbin, image["facts"])
        for run in image["runs"]:
            device = from_object(Device, {"capability": run["device"]})
            verdict = judge(fatbin, device, replace(driver, jit=MODES[run["mode"]][1]))
            codes = ", ".join(dict.fromkeys(reason.code for reason in verdict.reasons))
            for way in WAYS:
                found = _what_happened(run[way])
                if found == "unasked":
                    continue
                # A fatbin without kernels has no outcome; there is nothing in it to launch.
                outcome = verdict.outcome or Outcome.FAILS
                expected = {Outcome.FAILS: "refused", Outcome.UNKNOWN: None}.get(outcome, "ran")
                status = found.partition(":")[0]
                if status != "unsettled":
                    status = "settled" if expected is None else "agree" if status == expected else "disagree"
                entry = f"images/{image['name']}/{run['device']}/{run['mode']}/{way}"
                yield Row(entry, status, f"{outcome} ({codes or 'no kernels'})", found)


def _visible(record: Object) -> Iterator[Row]:
    fleet = tuple(from_object(Device, one) for one in record["fleet"])
    for row in record["visible"]:
        entry = f"visible/{row['order'] or 'default'}/{'unset' if row['value'] is None else repr(row['value'])}"
        seen = parse_visible(row["value"], fleet, row["order"])
        said = [one.uuid for one in seen.devices]
        text = f"{', '.join(map(str, said)) or 'nothing'} ({seen.confidence})"
        found = ", ".join(map(str, row["sees"])) or "nothing"
        if "ended" in row or row.get("code") not in (0, 100):
            yield Row(entry, "unsettled", text, f"unsettled: {row.get('ended') or row.get('code')}")
        elif said == row["sees"]:
            yield Row(entry, "agree" if seen.confidence is not Confidence.ASSUMED else "settled", text, found)
        else:
            yield Row(entry, "disagree" if seen.confidence is not Confidence.ASSUMED else "settled", text, found)


def _devices(record: Object) -> Iterator[Row]:
    def short(one: Object) -> str:
        return f"{one['name']} {one['capability']}"

    def listed(names: Iterable[str]) -> str:
        return ", ".join(names) or "nothing"

    here, told = record["devices"], record["told"]
    if "devices" in told.get("torch", {}):
        said, found = [short(one) for one in here], [short(one) for one in told["torch"]["devices"]]
        yield Row("devices/torch", "agree" if said == found else "disagree", listed(said), listed(found))
    if "devices" in told.get("nvidia-smi", {}):
        smi = told["nvidia-smi"]["devices"]
        whole = [one for one in record["fleet"] if one["mig_profile"] is None]
        wanted = sorted(f"{one['uuid']} {one['capability']}" for one in whole)
        got = sorted(f"{one['uuid']} {one['capability']}" for one in smi)
        yield Row("devices/nvidia-smi", "agree" if wanted == got else "disagree", listed(wanted), listed(got))
        release = record["driver"]["release"]
        for one in {one["driver"] for one in smi}:
            yield Row("driver/nvidia-smi", "agree" if one == release else "disagree", str(release), one)
    said = [str(one["uuid"]) for one in here]
    for index, one in enumerate(told.get("times", {}).get("capably", [])):
        again = None if "missing" in one else [str(uuid) for uuid in one["uuids"]]
        status = "unsettled" if again is None else "agree" if again == said else "disagree"
        yield Row(f"devices/again-{index}", status, listed(said), "no answer" if again is None else listed(again))


# -- the record


def masked(value: Any, secret: random.Random | None = None) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """*value* with other identifiers of GPUs, in all texts of it.

    Digits become digits and letters letters, each place by its own table: equal identifiers and equal
    beginnings stay equal, different ones different, and case stays, so that the rules see the same cases.
    """
    secret = secret or random.SystemRandom()
    places: list[dict[int, int]] = []
    for _ in range(64):
        digits, letters = list("0123456789"), list("abcdef")
        secret.shuffle(digits)
        secret.shuffle(letters)
        places.append(str.maketrans("0123456789abcdefABCDEF", "".join((*digits, *letters)) + "".join(letters).upper()))

    def text(match: re.Match[str]) -> str:
        digits = (one.translate(places[index % 64]) for index, one in enumerate(match[2]))
        return match[1] + "".join(digits)

    def walk(one: Any) -> Any:  # noqa: ANN401 - as above
        if isinstance(one, dict):
            return {key: walk(item) for key, item in one.items()}
        if isinstance(one, list):
            return [walk(item) for item in one]
        if isinstance(one, str):
            return re.sub(r"(?i)\b((?:MIG-)?GPU-|MIG-)([0-9a-f][0-9a-f-]*)", text, one)
        return one

    return walk(value)


def make_record(options: argparse.Namespace, folder: Path) -> Object:
    """Ask everything.

    Raises:
        ValueError: There is nothing to ask, or nothing to ask with.
    """
    began = time.monotonic()
    until = began + options.budget
    if os.environ.get("CAPABLY_SYSTEM"):
        raise ValueError("CAPABLY_SYSTEM names a record of a machine: unset it to ask the one that is here")
    system = probe.system(compilers=False)
    if not system.devices or system.driver is None:
        raise ValueError(f"no device to ask: {system.absence or 'the driver does not say which it is'}")
    say(f"{', '.join(one.name or '?' for one in system.devices)}; driver {system.driver.release}")
    compilers = () if "toolkits" in options.skip else find_compilers(probe.Machine(), run_all=True)
    asked: Callable[[str], bool] = lambda part: part not in options.skip  # noqa: E731 - a word for it
    samples: Samples | None = None
    rows: list[Object] = []
    visible: list[Object] = []
    notes: list[str] = []
    left = 0
    if asked("images"):
        # Half of the time at most goes into making them.
        samples = collect(options, folder, compilers, began + options.budget / 2)
        notes = samples.notes
        say(f"{len(samples.all)} images to load")
    told: Object = {}
    if asked("visible"):
        say("visible devices")
        visible, left = ask_visible(system.fleet, options.seconds, options.jobs, until)
    if asked("devices"):
        say("torch and nvidia-smi")
        told = {"torch": ask_torch(120), "nvidia-smi": ask_smi(options.seconds)}
    if asked("compilers"):
        say("NVRTC and nvJitLink")
        told["compilers"] = ask_compilers(system.devices[0], compilers, options.seconds)
    if asked("times"):
        told["times"] = ask_times(options.seconds)
    if samples is not None:
        rows, unasked = load_everything(samples, system.devices, options.seconds, options.jobs, until)
        left += unasked
    return {
        "schema": SCHEMA,
        "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "gpus": [one.name for one in system.devices],
        "capabilities": [str(one.capability) for one in system.devices],
        "driver": to_object(replace(system.driver, jit=PtxJit.ALLOWED)),
        "cuda": str(system.driver.cuda) if system.driver.cuda else None,
        "machine": system.machine,
        "devices": to_object(system.devices),
        "fleet": to_object(system.fleet),
        "toolkits": to_object(tuple(one.toolkit for one in compilers)),
        "images": rows,
        "visible": visible,
        "told": told,
        "notes": notes,
        "skipped": sorted(options.skip),
        "only": options.only,
        "unasked": left,
        "seconds": round(time.monotonic() - began, 1),
        "explained": {},
    }


def summary(rows: Sequence[Row]) -> str:
    """Numbers, every entry that does not agree, and in groups what the rules had left open."""
    lines = []
    for part in dict.fromkeys(row.entry.split("/")[0] for row in rows):
        counts = Counter(row.status for row in rows if row.entry.split("/")[0] == part)
        lines.append(f"{part}: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    lines += [f"  {row.status} {row.entry}: the rules say {row.said}; {row.found}" for row in rows if row.bad]
    lines += [f"  explained {row.entry}: {row.explained}" for row in rows if row.explained is not None]
    settled = [row for row in rows if row.status == "settled"]
    refused = Counter(
        (row.said, row.found) for row in rows if row.status == "agree" and row.found.startswith("refused")
    )
    lines += [f"  agreed on {count} images: {said}; {found}" for (said, found), count in sorted(refused.items())]
    images = Counter((row.said, row.found) for row in settled if row.entry.startswith("images/"))
    lines += [f"  settled {count} images: {said}; {found}" for (said, found), count in sorted(images.items())]
    for row in settled:
        if row.entry.startswith("visible/"):
            same = "as assumed" if row.said == f"{row.found} ({Confidence.ASSUMED})" else f"not {row.said}"
            lines.append(f"  settled {row.entry}: {row.found}, {same}")
    return "\n".join(lines)


def default_name(record: Object) -> Path:
    """Where a record belongs."""
    parts = [record["gpus"][0] or "gpu", record["driver"]["release"] or "driver", record["date"]]
    return ROOT / "tests/hardware" / ("-".join(re.sub("[^a-z0-9.]+", "-", part.lower()) for part in parts) + ".json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pack", type=Path, metavar="DIR", help="build what to carry along, and stop")
    parser.add_argument("--carry", type=Path, metavar="DIR", help="load what lies there: a pack, or loose images")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the record; by default in tests/hardware")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="compare a record with today's rules, and stop")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="load images of that name only")
    parser.add_argument("--skip", action="append", default=[], choices=PARTS, help="leave a part out")
    parser.add_argument("--budget", type=float, default=540.0, metavar="SECONDS", help="for everything [540]")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="SECONDS", help="for one question [30]")
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1), help="questions at the same time")
    options = parser.parse_args(arguments)
    try:
        if options.replay is not None:
            record = json.loads(options.replay.read_text(encoding="utf-8"))
        elif options.pack is not None:
            return _pack(options)
        else:
            with tempfile.TemporaryDirectory(prefix="hardware-check-") as folder:
                record = masked(make_record(options, Path(folder)))
            out = options.out or default_name(record)
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(
                json.dumps(record, indent=None, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n"
            )
            say(f"record: {out.name}, {out.stat().st_size >> 10} KiB, {record['seconds']} s")
        rows = compare(record)
    except (OSError, ValueError, KeyError, CapablyError) as error:
        say(f"hardware check: {error}")
        return 2
    print(summary(rows))
    if record["unasked"]:
        say(f"there was no time for {record['unasked']} questions")
    if any(row.bad for row in rows):
        return 1
    return 2 if record["unasked"] or not rows else 0


def _pack(options: argparse.Namespace) -> int:
    options.pack.mkdir(parents=True, exist_ok=True)
    if any(options.pack.iterdir()):
        say("hardware check: the folder to pack into is not empty")
        return 2
    compilers = () if "toolkits" in options.skip else find_compilers(probe.Machine(), run_all=True)
    samples = collect(options, options.pack, compilers, time.monotonic() + options.budget)
    for name, sample in list(samples.all.items()):
        if sample.file.parent != options.pack:  # carried from elsewhere
            file = options.pack / f"carried-{sample.file.name}"
            shutil.copyfile(sample.file, file)
            samples.all[name] = replace(sample, file=file)
    size = samples.save()
    for note in samples.notes:
        say(note)
    say(f"{len(samples.all)} images, {size >> 10} KiB")
    return 0 if size <= MOST_CARRIED else 2


if __name__ == "__main__":
    sys.exit(main())
